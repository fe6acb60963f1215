//! Which subjects a reader asks the server for.
//!
//! A server refuses filters that overlap, so those that do are widened into one that covers both, and the
//! reader itself leaves out what nobody asked for.

use waxwing_event::Pattern;

/// What a reader wants, and what it asks for.
#[derive(Debug, Clone)]
pub(super) struct Filters {
    wanted: Vec<Pattern>,
    asked: Vec<Pattern>,
    widened: bool,
}

impl Filters {
    /// Filters for `wanted`; for everything where it is empty.
    pub(super) fn new(wanted: &[Pattern]) -> Filters {
        let mut filters = Filters { wanted: wanted.to_vec(), asked: Vec::new(), widened: false };
        if wanted.is_empty() {
            filters.asked.extend(">".parse::<Pattern>());
        }
        for pattern in wanted {
            filters.ask(pattern.clone());
        }
        filters
    }

    /// Patterns to ask for: none of them overlaps another.
    pub(super) fn asked(&self) -> &[Pattern] {
        &self.asked
    }

    /// True where an entry that came is one that was wanted.
    pub(super) fn want(&self, subject: &str) -> bool {
        !self.widened || self.wanted.iter().any(|pattern| pattern.matches(subject))
    }

    fn ask(&mut self, mut pattern: Pattern) {
        while let Some(at) = self.asked.iter().position(|other| other.overlaps(&pattern)) {
            let other = self.asked.swap_remove(at);
            if other.covers(&pattern) {
                pattern = other;
            } else if !pattern.covers(&other) {
                pattern = union(&other, &pattern);
                self.widened = true;
            }
        }
        self.asked.push(pattern);
    }
}

/// The narrowest pattern that covers both, token by token.
fn union(a: &Pattern, b: &Pattern) -> Pattern {
    let (mut left, mut right) = (a.as_str().split('.'), b.as_str().split('.'));
    let mut tokens = Vec::new();
    loop {
        match (left.next(), right.next()) {
            (None, None) => break,
            (Some(">"), _) | (_, Some(">")) | (None, _) | (_, None) => {
                tokens.push(">");
                break;
            }
            (Some(a), Some(b)) => tokens.push(if a == b { a } else { "*" }),
        }
    }
    // Made of whole tokens of two patterns, so it is one.
    tokens.join(".").parse().unwrap_or_else(|_| a.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters(wanted: &[&str]) -> Filters {
        Filters::new(&wanted.iter().map(|p| p.parse().unwrap()).collect::<Vec<_>>())
    }

    fn asked(wanted: &[&str]) -> Vec<String> {
        let mut asked: Vec<String> = filters(wanted).asked().iter().map(ToString::to_string).collect();
        asked.sort();
        asked
    }

    #[test]
    fn asks_for_everything_where_nothing_is_named() {
        assert_eq!(asked(&[]), [">"]);
        assert!(filters(&[]).want("a.b"));
    }

    #[test]
    fn leaves_out_what_another_covers() {
        assert_eq!(asked(&["a.b", "a.>", "c.*", "c.d"]), ["a.>", "c.*"]);
    }

    #[test]
    fn widens_what_overlaps_and_wants_no_more_than_before() {
        assert_eq!(asked(&["a.*.c", "a.b.*"]), ["a.*.*"]);
        let filters = filters(&["a.*.c", "a.b.*"]);
        assert!(filters.want("a.b.x") && filters.want("a.x.c") && !filters.want("a.x.x"));
        assert_eq!(asked(&["*.b.>", "a.>", "x.c"]), ["*.>"]);
    }
}
