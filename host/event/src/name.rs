//! Names of apps and handlers: single tokens, so that they fit into subjects, streams and metrics. And names
//! of streams, which are as their owners chose them.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

/// The longest name, in bytes.
pub const MAX_NAME_BYTES: usize = 64;

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing there.
    #[error("a name must not be empty")]
    Empty,
    /// Over [`MAX_NAME_BYTES`].
    #[error("`{0}` is longer than {MAX_NAME_BYTES} bytes")]
    TooLong(String),
    /// A character that has a meaning in subjects, streams or paths.
    #[error("`{name}` must not contain `{found}`: use a-z, 0-9, `-` and `_`")]
    Character {
        /// The name as given.
        name: String,
        /// The first character that is not allowed.
        found: char,
    },
}

/// Why a stream's name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamNameError {
    /// Nothing there.
    #[error("a stream's name must not be empty")]
    Empty,
    /// Over [`MAX_STREAM_NAME_BYTES`].
    #[error("`{0}` is longer than {MAX_STREAM_NAME_BYTES} bytes")]
    TooLong(String),
    /// A character that the server takes in no stream's name.
    #[error("`{name}` contains `{found}`: no stream has it in its name")]
    Character {
        /// The name as given.
        name: String,
        /// The first character that is not allowed.
        found: char,
    },
}

fn checked(name: &str) -> Result<Arc<str>, NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name.len() > MAX_NAME_BYTES {
        return Err(NameError::TooLong(name.to_owned()));
    }
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    match name.chars().find(|c| !allowed(*c)) {
        Some(found) => Err(NameError::Character { name: name.to_owned(), found }),
        None => Ok(name.into()),
    }
}

/// The longest name of a stream, in bytes.
pub const MAX_STREAM_NAME_BYTES: usize = 255;

/// What the server refuses in the name of a stream: it stands in subjects and in paths.
fn checked_stream(name: &str) -> Result<Arc<str>, StreamNameError> {
    if name.is_empty() {
        return Err(StreamNameError::Empty);
    }
    if name.len() > MAX_STREAM_NAME_BYTES {
        return Err(StreamNameError::TooLong(name.to_owned()));
    }
    let refused = |c: char| c.is_whitespace() || c.is_control() || ".*>/\\".contains(c);
    match name.chars().find(|c| refused(*c)) {
        Some(found) => Err(StreamNameError::Character { name: name.to_owned(), found }),
        None => Ok(name.into()),
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident: $check:ident, $error:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = $error;

            fn from_str(name: &str) -> Result<Self, $error> {
                $check(name).map(Self)
            }
        }

        impl TryFrom<String> for $name {
            type Error = $error;

            fn try_from(name: String) -> Result<Self, $error> {
                name.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.as_ref().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

name! {
    /// The name of an app: 1 to 64 of a–z, 0–9, `-`, `_`.
    AppName: checked, NameError
}

name! {
    /// The name of a handler within its app: 1 to 64 of a–z, 0–9, `-`, `_`.
    HandlerName: checked, NameError
}

name! {
    /// What is special about a host, such as where it stands: 1 to 64 of a–z, 0–9, `-`, `_`.
    Label: checked, NameError
}

name! {
    /// The name of a secret that hosts keep: 1 to 64 of a–z, 0–9, `-`, `_`. So it is a file's name, too.
    SecretName: checked, NameError
}

name! {
    /// The name of a stream in JetStream.
    StreamName: checked_stream, StreamNameError
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_tokens_up_to_the_limit() {
        assert!("basket-2_x".parse::<HandlerName>().is_ok());
        assert!("a".repeat(MAX_NAME_BYTES).parse::<AppName>().is_ok());
    }

    #[test]
    fn takes_streams_as_their_owners_named_them() {
        for good in ["ORDERS", "KV_config", "wx-shop", "a:b"] {
            assert_eq!(good.parse::<StreamName>().unwrap().as_str(), good);
        }
        assert_eq!("".parse::<StreamName>(), Err(StreamNameError::Empty));
        for bad in ["a.b", "a b", "a>", "a*", "a/b", "a\\b", "a\n"] {
            assert!(matches!(bad.parse::<StreamName>(), Err(StreamNameError::Character { .. })), "{bad}");
        }
        let long = "a".repeat(MAX_STREAM_NAME_BYTES + 1);
        assert!(matches!(long.parse::<StreamName>(), Err(StreamNameError::TooLong(_))));
    }

    #[test]
    fn refuses_what_would_break_a_subject() {
        assert_eq!("".parse::<AppName>(), Err(NameError::Empty));
        assert!(matches!("a".repeat(MAX_NAME_BYTES + 1).parse::<AppName>(), Err(NameError::TooLong(_))));
        for bad in ["a.b", "a b", "A", "a>", "a*", "a/b", "ä"] {
            assert!(matches!(bad.parse::<AppName>(), Err(NameError::Character { .. })), "{bad}");
        }
    }
}
