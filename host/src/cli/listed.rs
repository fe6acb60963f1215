//! Lists entries of the host's own. Tombstones are left out; what cannot be read is named and hides no other.

use waxwing_engine::{
    entry::{EntryError, tombstone},
    port::log::{Entry, Log, Part, ReadError},
};
use waxwing_event::{Pattern, Position};

use super::{
    output,
    style::{END, WARN},
};

/// The most entries that are looked through for those that somebody names.
pub(super) const MAX_SEARCHED: usize = 100_000;

/// The last entries of some subjects, as they were read.
pub(super) struct Listed<T> {
    pub(super) items: Vec<Item<T>>,
    unreadable: Vec<EntryError>,
    /// The limit, where it was reached.
    pub(super) cut_at: Option<usize>,
}

/// One entry.
pub(super) struct Item<T> {
    /// Where it stands.
    pub(super) entry: Position,
    /// What it says.
    pub(super) what: T,
}

impl<T> Listed<T> {
    /// Lists the last entry of each subject that matches, without payloads.
    pub(super) async fn read(
        log: &dyn Log,
        subjects: &Pattern,
        limit: usize,
        read: impl Fn(Entry) -> Result<T, EntryError>,
    ) -> Result<Listed<T>, ReadError> {
        let entries = log.last_of_each(subjects, Part::Headers, limit).await?;
        let cut_at = (entries.len() >= limit).then_some(limit);
        let mut listed = Listed { items: Vec::with_capacity(entries.len()), unreadable: Vec::new(), cut_at };
        for entry in entries.into_iter().filter(|entry| !tombstone::is(entry)) {
            let position = entry.position;
            match read(entry) {
                Ok(what) => listed.items.push(Item { entry: position, what }),
                Err(error) => listed.unreadable.push(error),
            }
        }
        Ok(listed)
    }

    /// Says on standard error what is not in the list.
    pub(super) fn say_what_is_missing(&self) {
        for error in &self.unreadable {
            let error = output::line(&error.to_string());
            anstream::eprintln!("{WARN}warning:{END} {error}: it is left out");
        }
        if let Some(limit) = self.cut_at {
            anstream::eprintln!("only {limit} entries were read: there may be more");
        }
    }
}
