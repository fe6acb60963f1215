//! What a command prints, and what a page says that it prints.

/// Whether `actual` is what `expected` says: `[..]` stands for anything within a line, a line of `...` for any lines.
pub(super) fn fits(expected: &str, actual: &str) -> bool {
    let lines = |text| str::lines(text).map(str::trim_end).collect::<Vec<_>>();
    let (expected, actual) = (lines(expected.trim_end()), lines(actual.trim_end()));
    lines_fit(&expected, &actual)
}

fn lines_fit(expected: &[&str], actual: &[&str]) -> bool {
    match expected {
        [] => actual.is_empty(),
        ["...", rest @ ..] => (0..=actual.len()).any(|skipped| lines_fit(rest, &actual[skipped..])),
        [line, rest @ ..] => {
            actual.split_first().is_some_and(|(first, left)| line_fits(line, first) && lines_fit(rest, left))
        }
    }
}

/// Whether a line is what another says.
pub(super) fn line_fits(expected: &str, actual: &str) -> bool {
    match expected.split_once("[..]") {
        None => expected == actual,
        Some((start, rest)) => actual.strip_prefix(start).is_some_and(|left| {
            left.char_indices().map(|(i, _)| i).chain([left.len()]).any(|i| line_fits(rest, &left[i..]))
        }),
    }
}

#[test]
fn wildcards_stand_for_anything_and_the_rest_for_itself() {
    assert!(fits("a [..] c\n...\nz", "a bä c\nd\ne\nz\n"));
    assert!(fits("a\n...\n", "a\n") && fits("", "\n"));
    assert!(fits("[..]: 1 [..]", "x: 2: 1 y"));
    assert!(!fits("a [..] c", "a b d") && !fits("a", "a\nb") && !fits("...\nz", "a"));
}
