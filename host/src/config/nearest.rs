//! "Did you mean": the known word nearest to one that is not known.

/// The known word that `word` was probably meant to be, if there is one.
pub(super) fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let word = word.to_lowercase();
    let allowed = (word.chars().count() / 3).max(1);
    let near = known.into_iter().map(|candidate| (distance(&word, candidate), candidate));
    near.filter(|(steps, _)| *steps <= allowed).min().map(|(_, candidate)| candidate)
}

/// How many characters must be put in, taken out, replaced or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, to) in b.iter().enumerate() {
            let at = |row: &[usize], k: usize| row.get(k).copied().unwrap_or(usize::MAX / 2);
            let mut best =
                (at(&above, j) + usize::from(from != to)).min(at(&above, j + 1) + 1).min(at(&row, j) + 1);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(to) && b.get(j - 1) == Some(from);
            if swapped {
                best = best.min(at(&before, j - 1) + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_steps() {
        for (a, b, steps) in
            [("", "abc", 3), ("memory", "memory", 0), ("memroy", "memory", 1), ("on", "key", 3)]
        {
            assert_eq!(distance(a, b), steps, "{a} {b}");
        }
    }

    #[test]
    fn finds_slips_and_no_strangers() {
        let known = ["memory", "module", "on", "deadline"];
        assert_eq!(nearest("memroy", known), Some("memory"));
        assert_eq!(nearest("Deadlin", known), Some("deadline"));
        assert_eq!(nearest("colour", known), None);
    }
}
