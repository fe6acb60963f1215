//! The generations of a handler: `wx.<app>.generation.<handler>` says which of them is live.
//!
//! A generation is what a handler has made of its events, and how far it is: lease, checkpoint, state, parked events and
//! dead letters are a generation's own. In subjects and marks the first has the handler's name, later ones are
//! `<handler>~<number>`. Beside the live one there is at most one other: one that is being built, or the one that was
//! live before.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use waxwing_event::{Digest, HandlerName, Position, Subject};

use super::{EntryError, operator};
use crate::port::log::{Entry, Expect, Keep, NewEntry};

/// The header that names the live generation, unless its owner is to give way.
const LIVE_HEADER: &str = "wx-live";

/// Which generation of a handler, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(pub u32);

impl Generation {
    /// The one that a handler begins with.
    pub const FIRST: Generation = Generation(1);

    /// The one behind this one.
    pub fn next(self) -> Generation {
        Generation(self.0.saturating_add(1))
    }
}

impl Default for Generation {
    fn default() -> Generation {
        Generation::FIRST
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a generation is called in subjects and marks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenerationName {
    /// The handler.
    pub handler: HandlerName,
    /// Which of its generations.
    pub generation: Generation,
}

impl fmt::Display for GenerationName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let GenerationName { handler, generation } = self;
        match *generation {
            Generation::FIRST => handler.fmt(f),
            later => write!(f, "{handler}~{later}"),
        }
    }
}

/// Text that is no generation's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no generation of a handler")]
pub struct GenerationNameError;

impl FromStr for GenerationName {
    type Err = GenerationNameError;

    fn from_str(text: &str) -> Result<GenerationName, GenerationNameError> {
        let (handler, number) = text.split_once('~').unwrap_or((text, "1"));
        let handler = handler.parse().map_err(|_| GenerationNameError)?;
        let generation = Generation(number.parse().map_err(|_| GenerationNameError)?);
        let name = GenerationName { handler, generation };
        // There is one way to write it.
        (generation >= Generation::FIRST && name.to_string() == text)
            .then_some(name)
            .ok_or(GenerationNameError)
    }
}

/// Which generations of a handler there are.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Generations {
    /// The one that hosts run, and whose state is the handler's.
    pub live: Generation,
    /// The module that has built it; none for one that has always been live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module: Option<Digest>,
    /// What the one before it has handled: the live one leaves out what that has emitted.
    #[serde(default)]
    pub withheld: Withheld,
    /// The other one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other: Option<Other>,
    /// The host that switches: as long as it lives, the owner gives the live one's lease up to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gives_way_to: Option<String>,
}

/// A generation beside the live one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Other {
    /// Which.
    pub generation: Generation,
    /// The module that builds it, or has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module: Option<Digest>,
    /// How it came to be.
    pub kind: Kind,
}

/// How a generation that is not live came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// It is being built, to be live some day.
    Built,
    /// It was live.
    Former,
    /// A replay has written it, to be looked at.
    Replayed,
}

/// Inputs whose effects beyond the state are left out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Withheld {
    /// All up to here.
    pub up_to: Position,
    /// And these above.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<Position>,
}

impl Withheld {
    /// Every input.
    pub fn everything() -> Withheld {
        Withheld { up_to: Position(u64::MAX), also: Vec::new() }
    }

    /// True for one of them.
    pub fn covers(&self, input: Position) -> bool {
        input <= self.up_to || self.also.contains(&input)
    }
}

impl Generations {
    /// Reads an entry.
    pub fn read(entry: &Entry) -> Result<Generations, EntryError> {
        serde_json::from_slice(&entry.payload).map_err(|error| EntryError::new(entry, error))
    }

    /// True where an entry, of which the headers are enough, says that the one of this generation's lease may go on.
    pub fn says_that_it_is_live(entry: &Entry, generation: Generation) -> bool {
        entry.headers.get(LIVE_HEADER) == Some(generation.to_string().as_str())
    }

    /// The entry that says it, in place of the one at `last`. Hosts hear of it as of what operators write.
    pub fn write(&self, subject: Subject, last: Position) -> NewEntry {
        let mut entry = NewEntry::new(subject, serde_json::to_vec(self).unwrap_or_default());
        entry.headers.push(operator::HEADER, "1");
        if self.gives_way_to.is_none() {
            entry.headers.push(LIVE_HEADER, self.live.to_string());
        }
        entry.rollup = true;
        entry.keep = Keep::Forever;
        entry.expect = Some(Expect { subject: None, last });
        entry
    }

    /// A generation that there never was.
    pub fn fresh(&self) -> Generation {
        self.other.as_ref().map_or(self.live, |other| self.live.max(other.generation)).next()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn is_called_in_one_way() {
        let first = GenerationName { handler: "basket".parse().unwrap(), generation: Generation::FIRST };
        let second = GenerationName { generation: Generation(2), ..first.clone() };
        assert_eq!((first.to_string(), second.to_string()), ("basket".into(), "basket~2".into()));
        assert_eq!(("basket".parse(), "basket~2".parse()), (Ok(first), Ok(second)));
        for text in ["basket~1", "basket~0", "basket~02", "basket~+2", "basket~", "~2", "a b~2", "basket~2~3"]
        {
            assert_eq!(text.parse::<GenerationName>(), Err(GenerationNameError), "{text}");
        }
    }

    #[test]
    fn a_fresh_one_was_none_before() {
        let other =
            |generation| Some(Other { generation: Generation(generation), module: None, kind: Kind::Former });
        let fresh =
            |live, other| Generations { live: Generation(live), other, ..Generations::default() }.fresh();
        assert_eq!(
            (fresh(1, None), fresh(1, other(2)), fresh(2, other(1))),
            (Generation(2), Generation(3), Generation(3))
        );
    }

    proptest! {
        #[test]
        fn refuses_anything_else_without_a_panic(text in ".*") {
            if let Ok(name) = text.parse::<GenerationName>() {
                prop_assert_eq!(name.to_string(), text);
            }
        }
    }
}
