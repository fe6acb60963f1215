//! Which entries belong to which story, so that nobody reads the whole log to tell one.
//!
//! The index stands in the log itself, in *segments*: lists of hashes of correlation ids with the positions of their entries.
//! A segment of level 0 covers [`SPAN`] positions. Sixteen of a level become one of the next, which is divided by the hash
//! into sixteen times as many parts: so each part stays as long as a segment of level 0, and who looks something up reads
//! one part of at most fifteen segments a level, however long the log.
//!
//! It follows from the log alone. One who finds a segment gone reads that part of the log instead.
//!
//! | module | noun |
//! | --- | --- |
//! | [`segment`] | pure: a list of hashes and positions, as bytes |
//! | [`extent`] | pure: which segments there are when so much is indexed, and how far that is |
//! | [`terms`] | pure: to which story an entry belongs |
//! | [`build`] | makes it, beside a host's work |
//! | [`find`] | looks up |

pub mod build;
pub mod extent;
pub mod find;
pub mod segment;
pub mod terms;

/// How many positions a segment of level 0 covers.
pub const SPAN: u64 = 1 << 12;

/// How many segments of a level become one of the next.
pub const FAN: u64 = 16;

/// The highest level: 4,096 parts, of 17 million positions.
pub const TOP: u32 = 3;
