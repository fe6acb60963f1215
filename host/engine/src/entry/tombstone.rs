//! The tombstone: an empty entry with the header `wx-gone`, in place of an entry that matters no more. It keeps
//! the mark of what it replaces, and goes by its TTL.

use std::time::Duration;

use waxwing_event::Subject;

use crate::port::log::{Entry, Keep, NewEntry};

/// Tells that what stood here is gone.
pub const HEADER: &str = "wx-gone";

/// How long a tombstone stays: far longer than a host is away with a mark that was not counted yet.
pub const KEPT_FOR: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// A tombstone.
pub fn write(subject: Subject) -> NewEntry {
    let mut entry = NewEntry::new(subject, "");
    entry.headers.push(HEADER, "1");
    entry.rollup = true;
    entry.keep = Keep::For(KEPT_FOR);
    entry
}

/// True where the entry is one.
pub fn is(entry: &Entry) -> bool {
    entry.headers.get(HEADER).is_some()
}
