//! The mark: which input an entry handles.
//!
//! Every entry that a run writes carries the header `wx-mark`:
//!
//! ```text
//! <generation> <partition>[/<partitions>] <input position> <index> <watermark> [<position>,<position>…] [v<version>]
//! ```
//!
//! The generation is the handler's name, or, behind its first, `<handler>~<number>`. The partition is one of
//! so many, where there is more than one: what a mark says stays true when they are divided in another way. The watermark
//! and the further positions tell what else was handled when the entry was written. They keep two facts that would be lost otherwise: an
//! input without effect has no entry of its own, and a state entry that replaces another takes that one's mark out of the
//! log. The version is the deployed one on which the run was.

use std::str::FromStr;

use waxwing_event::{Headers, Position};

use super::{generation::GenerationName, partitions::Share, version::VersionNumber};

/// The header's name.
pub const HEADER: &str = "wx-mark";

/// Says which input an entry handles, and what its partition had handled before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// Whose input.
    pub whose: GenerationName,
    /// Which part of the handler.
    pub share: Share,
    /// The input.
    pub input: Position,
    /// Which of the run's entries this is, from 0.
    pub index: u32,
    /// Every input up to here is handled.
    pub watermark: Position,
    /// Inputs above the watermark that are handled too.
    pub also: Vec<Position>,
    /// The deployed version that ran; none where none was deployed, or where nothing ran.
    pub version: Option<VersionNumber>,
}

/// All inputs of which the entries of a run tell, but those below their watermark.
pub fn told(also: &[Position], input: Position) -> Vec<Position> {
    also.iter().copied().chain([input]).collect()
}

impl Mark {
    /// The mark among an entry's headers, if there is one that can be read.
    pub fn of(headers: &Headers) -> Option<Mark> {
        headers.get(HEADER)?.parse().ok()
    }

    /// All inputs of which it tells, but those below its watermark.
    pub fn told(&self) -> Vec<Position> {
        told(&self.also, self.input)
    }

    /// The header's value for the entry `index` of this run.
    pub fn encode(&self, index: u32) -> String {
        use std::fmt::Write;
        let Mark { whose, share, input, watermark, also, version, .. } = self;
        let mut text = String::with_capacity(64);
        // Writing to a string cannot fail.
        let _ = write!(text, "{whose} {share} {input} {index} {watermark}");
        for (i, position) in also.iter().enumerate() {
            let _ = write!(text, "{}{position}", if i == 0 { ' ' } else { ',' });
        }
        if let Some(version) = version {
            let _ = write!(text, " v{version}");
        }
        text
    }
}

/// Text that is no mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no mark")]
pub struct MarkError;

impl FromStr for Mark {
    type Err = MarkError;

    fn from_str(text: &str) -> Result<Mark, MarkError> {
        let mut words = text.split(' ').peekable();
        let mut word = || words.next().ok_or(MarkError);
        let mark = Mark {
            whose: word()?.parse().map_err(|_| MarkError)?,
            share: word()?.parse().map_err(|_| MarkError)?,
            input: Position(number(word()?)?),
            index: number(word()?)?,
            watermark: Position(number(word()?)?),
            also: match words.next_if(|word| !word.starts_with('v')) {
                Some(list) => list.split(',').map(|p| number(p).map(Position)).collect::<Result<_, _>>()?,
                None => Vec::new(),
            },
            version: match words.next() {
                Some(word) => Some(VersionNumber(number(word.strip_prefix('v').ok_or(MarkError)?)?)),
                None => None,
            },
        };
        words.next().is_none().then_some(mark).ok_or(MarkError)
    }
}

/// A number in the one way in which it is written: other ways are not ours.
fn number<N: FromStr>(word: &str) -> Result<N, MarkError> {
    let has_zeros = word.len() > 1 && word.starts_with('0');
    if has_zeros || word.starts_with('+') {
        return Err(MarkError);
    }
    word.parse().map_err(|_| MarkError)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use proptest::prelude::*;

    use super::*;
    use crate::entry::{Partition, Partitions};

    #[test]
    fn is_written_in_one_way() {
        for text in
            ["basket 0 17 2 12 13,15", "basket 1/4 17 2 12", "basket 0 17 2 12 v3", "basket 0 17 2 12 13 v3"]
        {
            assert!(text.parse::<Mark>().is_ok(), "{text}");
        }
        for text in [
            "basket +0 17 2 12",
            "basket 0/1 17 2 12",
            "basket 1 17 2 12",
            "basket 4/4 17 2 12",
            "basket 1/04 17 2 12",
            "basket 0 017 2 12",
            "basket 0 17 2 12 ",
            "basket 0 17 2 12 13,",
            "basket 0 17 2",
            "basket 0 17 2 12 v03",
            "basket 0 17 2 12 v3 13",
            "basket 0 17 2 12 3 4",
        ] {
            assert_eq!(text.parse::<Mark>(), Err(MarkError), "{text}");
        }
    }

    proptest! {
        #[test]
        fn reads_what_it_writes(
            number in 0u32..4, input: u64, index: u32, watermark: u64, version: Option<u32>,
            also in prop::collection::vec(any::<u64>(), 0..5),
        ) {
            let mark = Mark {
                whose: "basket~2".parse().unwrap(),
                share: Share {
                    partition: Partition(number),
                    partitions: Partitions(NonZeroU32::new(if number == 0 { 1 } else { 4 }).unwrap()),
                },
                input: Position(input),
                index,
                watermark: Position(watermark),
                also: also.into_iter().map(Position).collect(),
                version: version.map(VersionNumber),
            };
            prop_assert_eq!(mark.encode(index).parse(), Ok(mark));
        }

        #[test]
        fn refuses_anything_else_without_a_panic(text in ".*") {
            if let Ok(mark) = text.parse::<Mark>() {
                prop_assert_eq!(mark.encode(mark.index).parse(), Ok(mark));
            }
        }
    }
}
