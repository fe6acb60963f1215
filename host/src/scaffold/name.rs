//! What a new app or handler may be called.

use std::{fmt, str::FromStr};

use waxwing_event::{HandlerName, name::NameError};

/// The name of a new app or handler. It becomes a part of a crate's name, so it begins with a letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(HandlerName);

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No name of an app or a handler.
    #[error(transparent)]
    Name(#[from] NameError),
    /// It begins with something else than a letter.
    #[error("`{0}` begins with no letter: crates are named after it, so let it begin with a-z")]
    NoLetter(String),
}

impl Name {
    /// As text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl FromStr for Name {
    type Err = Error;

    fn from_str(text: &str) -> Result<Name, Error> {
        let name: HandlerName = text.parse()?;
        if !text.starts_with(|first: char| first.is_ascii_lowercase()) {
            return Err(Error::NoLetter(text.to_owned()));
        }
        Ok(Name(name))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_a_crate_may_be_called() {
        assert_eq!("price-watch_2".parse::<Name>().unwrap().as_str(), "price-watch_2");
        for bad in ["", "Shop", "a b", "a/b", "../a", "a.b", &"a".repeat(65)] {
            assert!(matches!(bad.parse::<Name>(), Err(Error::Name(_))), "{bad}");
        }
        for bad in ["2nd", "-a", "_a"] {
            assert_eq!(bad.parse::<Name>(), Err(Error::NoLetter(bad.to_owned())));
        }
    }
}
