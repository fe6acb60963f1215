//! Subjects of NATS, and patterns over them.
//!
//! Source: the NATS documentation on subject names: tokens apart by dots; `*` stands for one token,
//! `>` for one or more at the end.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

/// The longest subject that is taken, in bytes.
pub const MAX_SUBJECT_BYTES: usize = 255;

/// Why a subject or a pattern was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubjectError {
    /// Nothing there.
    #[error("a subject must not be empty")]
    Empty,
    /// Over [`MAX_SUBJECT_BYTES`].
    #[error("the subject is {0} bytes long: at most {MAX_SUBJECT_BYTES} are allowed")]
    TooLong(usize),
    /// Two dots in a row, or a dot at an end.
    #[error("`{0}` has an empty token: put something between the dots")]
    EmptyToken(String),
    /// White space or a control character.
    #[error("`{0}` contains white space or a control character")]
    Character(String),
    /// A wildcard where one subject is asked for.
    #[error("`{0}` contains a wildcard: name one subject")]
    Wildcard(String),
    /// `>` before the end, or a wildcard within a token.
    #[error("`{0}` has a misplaced wildcard: `*` stands for a whole token, `>` for all that follow")]
    MisplacedWildcard(String),
}

fn check(text: &str) -> Result<(), SubjectError> {
    if text.is_empty() {
        return Err(SubjectError::Empty);
    }
    if text.len() > MAX_SUBJECT_BYTES {
        return Err(SubjectError::TooLong(text.len()));
    }
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(SubjectError::Character(text.to_owned()));
    }
    if text.split('.').any(str::is_empty) {
        return Err(SubjectError::EmptyToken(text.to_owned()));
    }
    Ok(())
}

/// One subject, without wildcards.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Subject(Arc<str>);

impl Subject {
    /// The subject as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The tokens between the dots.
    pub fn tokens(&self) -> impl Iterator<Item = &str> {
        self.0.split('.')
    }

    /// A subject that is known to be well formed: it came from a server, or was put together from names.
    pub fn from_checked(text: &str) -> Subject {
        Subject(text.into())
    }
}

impl FromStr for Subject {
    type Err = SubjectError;

    fn from_str(text: &str) -> Result<Self, SubjectError> {
        check(text)?;
        if text.contains(['*', '>']) {
            return Err(SubjectError::Wildcard(text.to_owned()));
        }
        Ok(Subject(text.into()))
    }
}

/// A subject in which `*` stands for one token and a closing `>` for one or more.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern(Arc<str>);

impl Pattern {
    /// A pattern that is known to be well formed.
    pub fn from_checked(text: &str) -> Pattern {
        Pattern(text.into())
    }

    /// The pattern as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True where `subject` is one of those that this pattern stands for.
    pub fn matches(&self, subject: &str) -> bool {
        let mut theirs = subject.split('.');
        for mine in self.0.split('.') {
            match (mine, theirs.next()) {
                (">", Some(_)) => return true,
                ("*", Some(_)) => {}
                (mine, Some(token)) if mine == token => {}
                _ => return false,
            }
        }
        theirs.next().is_none()
    }

    /// True where every subject of `other` is also one of this pattern.
    pub fn covers(&self, other: &Pattern) -> bool {
        let mut theirs = other.0.split('.');
        for mine in self.0.split('.') {
            match (mine, theirs.next()) {
                (">", Some(_)) => return true,
                ("*", Some(token)) if token != ">" => {}
                (mine, Some(token)) if mine == token => {}
                _ => return false,
            }
        }
        theirs.next().is_none()
    }

    /// True where some subject is one of both patterns.
    pub fn overlaps(&self, other: &Pattern) -> bool {
        let (mut mine, mut theirs) = (self.0.split('.'), other.0.split('.'));
        loop {
            match (mine.next(), theirs.next()) {
                (None, None) => return true,
                (Some(">"), Some(_)) | (Some(_), Some(">")) => return true,
                (Some(a), Some(b)) if a == b || a == "*" || b == "*" => {}
                _ => return false,
            }
        }
    }
}

impl FromStr for Pattern {
    type Err = SubjectError;

    fn from_str(text: &str) -> Result<Self, SubjectError> {
        check(text)?;
        let mut tokens = text.split('.').peekable();
        while let Some(token) = tokens.next() {
            let whole = token == "*" || (token == ">" && tokens.peek().is_none());
            if !whole && token.contains(['*', '>']) {
                return Err(SubjectError::MisplacedWildcard(text.to_owned()));
            }
        }
        Ok(Pattern(text.into()))
    }
}

impl From<&Subject> for Pattern {
    fn from(subject: &Subject) -> Pattern {
        Pattern(subject.0.clone())
    }
}

macro_rules! text {
    ($name:ident) => {
        impl TryFrom<String> for $name {
            type Error = SubjectError;

            fn try_from(text: String) -> Result<Self, SubjectError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> String {
                value.0.as_ref().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "`{}`", self.0)
            }
        }
    };
}

text!(Subject);
text!(Pattern);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str) -> Pattern {
        text.parse().unwrap()
    }

    #[test]
    fn refuses_malformed_subjects() {
        for (text, want) in [
            ("", SubjectError::Empty),
            ("a..b", SubjectError::EmptyToken("a..b".into())),
            (".a", SubjectError::EmptyToken(".a".into())),
            ("a b", SubjectError::Character("a b".into())),
            ("a.*", SubjectError::Wildcard("a.*".into())),
        ] {
            assert_eq!(text.parse::<Subject>(), Err(want));
        }
        assert!("a".repeat(MAX_SUBJECT_BYTES).parse::<Subject>().is_ok());
        assert_eq!("a".repeat(256).parse::<Subject>(), Err(SubjectError::TooLong(256)));
    }

    #[test]
    fn refuses_misplaced_wildcards() {
        for text in ["a.>.b", "a.b*", ">a"] {
            assert_eq!(text.parse::<Pattern>(), Err(SubjectError::MisplacedWildcard(text.into())));
        }
    }

    #[test]
    fn matches_as_a_server_does() {
        assert!(pattern("a.*.c").matches("a.b.c"));
        assert!(!pattern("a.*").matches("a.b.c"));
        assert!(pattern("a.>").matches("a.b.c"));
        assert!(!pattern("a.>").matches("a"));
        assert!(!pattern("a.b").matches("a"));
    }

    #[test]
    fn covers_only_what_lies_within() {
        assert!(pattern("a.>").covers(&pattern("a.*.c")));
        assert!(pattern("a.>").covers(&pattern("a.b.>")));
        assert!(!pattern("a.*").covers(&pattern("a.>")));
        assert!(!pattern("a.b").covers(&pattern("a.*")));
    }

    fn token() -> impl Strategy<Value = String> {
        prop_oneof![Just("a".to_owned()), Just("b".to_owned()), Just("*".to_owned())]
    }

    fn any_pattern() -> impl Strategy<Value = Pattern> {
        (prop::collection::vec(token(), 1..4), any::<bool>()).prop_map(|(mut tokens, open)| {
            if open {
                tokens.push(">".to_owned());
            }
            pattern(&tokens.join("."))
        })
    }

    fn any_subject() -> impl Strategy<Value = String> {
        prop::collection::vec(prop_oneof![Just("a"), Just("b"), Just("c")], 1..6).prop_map(|t| t.join("."))
    }

    proptest! {
        #[test]
        fn covering_and_overlap_agree_with_matching(a in any_pattern(), b in any_pattern(), s in any_subject()) {
            if a.covers(&b) && b.matches(&s) {
                prop_assert!(a.matches(&s));
            }
            if a.matches(&s) && b.matches(&s) {
                prop_assert!(a.overlaps(&b));
            }
        }
    }
}
