//! The generations of a handler: `wx.<app>.generation.<handler>` says which of them is live.
//!
//! A generation is what a handler has made of its events, and how far it is: lease, checkpoint, state, parked events and
//! dead letters are a generation's own. In subjects and marks the first has the handler's name, later ones are
//! `<handler>~<number>`. Beside the live one there is at most one other: one that is being built, or the one that was
//! live before.

use std::{collections::BTreeSet, fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use waxwing_event::{Digest, HandlerName, Position, Subject};

use super::{EntryError, json, operator, partitions::Partitions};
use crate::port::log::{Entry, Expect, Keep, NewEntry};

/// The header that names the live generation and its partitions, unless their owners are to give way.
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
    /// The highest number that a generation was ever given.
    #[serde(default)]
    pub highest: Generation,
    /// Into how many partitions the live one's inputs are divided.
    #[serde(default, skip_serializing_if = "Partitions::is_one")]
    pub partitions: Partitions,
    /// Where the key is found by which they were divided; empty: they never were.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key: Vec<String>,
    /// The host that switches, or divides: as long as it lives, the owners give the live one's leases up to it.
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
    /// It is being removed.
    Removed,
}

/// Inputs whose effects beyond the state are left out. Its lists are sorted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Withheld {
    /// All up to here.
    pub up_to: Position,
    /// And these above.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<Position>,
    /// But none of these: they are dead letters, and have had no effects.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub but: Vec<Position>,
}

impl Withheld {
    /// Every input.
    pub fn everything() -> Withheld {
        Withheld { up_to: Position(u64::MAX), ..Withheld::default() }
    }

    /// True for one of them.
    pub fn covers(&self, input: Position) -> bool {
        let is_among = |inputs: &[Position]| inputs.binary_search(&input).is_ok();
        (input <= self.up_to || is_among(&self.also)) && !is_among(&self.but)
    }

    /// What is to be withheld after a switch from the generation that withholds these: it has handled everything up to
    /// `watermark` and these above, of which those in `dead` are dead letters. What was withheld before and is not
    /// handled yet stays so.
    pub fn after(
        &self,
        watermark: Position,
        handled: &BTreeSet<Position>,
        dead: BTreeSet<Position>,
    ) -> Withheld {
        let is_open = |input: &&Position| **input > watermark && !handled.contains(input);
        let mut but = dead;
        but.extend(self.but.iter().filter(is_open));
        let up_to = watermark.max(self.up_to);
        let also: BTreeSet<Position> = handled.iter().chain(&self.also).copied().collect();
        Withheld {
            up_to,
            also: also.into_iter().filter(|input| *input > up_to).collect(),
            but: but.into_iter().collect(),
        }
    }
}

impl Generations {
    /// Reads an entry.
    pub fn read(entry: &Entry) -> Result<Generations, EntryError> {
        json::read(entry)
    }

    /// True where an entry, of which the headers are enough, says that the owners of this generation's leases may go on,
    /// one for each of so many partitions.
    pub fn says_that_it_is_live(entry: &Entry, generation: Generation, partitions: Partitions) -> bool {
        entry.headers.get(LIVE_HEADER) == Some(live(generation, partitions).as_str())
    }

    /// The entry that says it, in place of the one at `last`. Hosts hear of it as of what operators write.
    pub fn write(&self, subject: Subject, last: Position) -> NewEntry {
        let mut entry = json::write(subject, self);
        entry.headers.push(operator::HEADER, "1");
        if self.gives_way_to.is_none() {
            entry.headers.push(LIVE_HEADER, live(self.live, self.partitions));
        }
        entry.rollup = true;
        entry.keep = Keep::Forever;
        entry.expect = Some(Expect { subject: None, last });
        entry
    }

    /// The same with this one beside the live one, in place of the other.
    pub fn with_other(&self, other: Option<Other>) -> Generations {
        let highest = other.as_ref().map_or(self.highest, |other| self.highest.max(other.generation));
        Generations { other, highest, ..self.clone() }
    }

    /// The other one, unless it is being removed.
    pub fn standing_other(&self) -> Option<&Other> {
        self.other.as_ref().filter(|other| other.kind != Kind::Removed)
    }

    /// A generation that there never was.
    pub fn fresh(&self) -> Generation {
        let other = self.other.as_ref().map_or(self.live, |other| other.generation);
        self.live.max(other).max(self.highest).next()
    }
}

fn live(generation: Generation, partitions: Partitions) -> String {
    match partitions {
        Partitions::ONE => generation.to_string(),
        Partitions(count) => format!("{generation}/{count}"),
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

    #[test]
    fn no_number_is_given_twice() {
        let other =
            |generation| Other { generation: Generation(generation), module: None, kind: Kind::Built };
        let removed = Generations::default().with_other(Some(other(2))).with_other(None);
        assert_eq!(removed.fresh(), Generation(3));
        let removing = Other { kind: Kind::Removed, ..other(2) };
        assert_eq!(Generations::default().with_other(Some(removing)).standing_other(), None);
    }

    #[test]
    fn what_was_withheld_stays_so_until_it_is_handled() {
        let at =
            |positions: &[u64]| positions.iter().map(|position| Position(*position)).collect::<BTreeSet<_>>();
        let list = |positions: &[u64]| at(positions).into_iter().collect::<Vec<_>>();
        // The first has handled 5, 7 and 9 beyond 4; 3 and 9 are dead letters.
        let first = Withheld::default().after(Position(5), &at(&[7, 9]), at(&[3, 9]));
        assert_eq!(first, Withheld { up_to: Position(5), also: list(&[7, 9]), but: list(&[3, 9]) });
        let covered =
            |withheld: &Withheld| (1..=10).filter(|n| withheld.covers(Position(*n))).collect::<Vec<_>>();
        assert_eq!(covered(&first), [1, 2, 4, 5, 7]);
        // The second got no further than 4, where 2 became a dead letter; 3 was run again.
        let second = first.after(Position(4), &at(&[]), at(&[2]));
        assert_eq!(covered(&second), [1, 3, 4, 5, 7]);
        // The third has done all of it.
        let third = second.after(Position(10), &at(&[]), at(&[]));
        assert_eq!(third, Withheld { up_to: Position(10), ..Withheld::default() });
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
