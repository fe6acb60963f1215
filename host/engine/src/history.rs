//! Reading the history of an aggregate.

use waxwing_event::{Event, Pattern, Position, Subject, decode};

use crate::port::{
    invoke::HistoryError,
    log::{Entry, Log, Part, ReadError},
};

/// The most events of a history that are read at once.
pub const MAX_EVENTS: usize = 256;

/// So many bytes of a history read at once are enough.
const ENOUGH_BYTES: usize = 1 << 20;

/// Entries of a history behind `after`, up to and with `until`, oldest first: as many as are read at once. `until` must
/// stand there, or nothing behind `after`: it is waited for.
pub async fn read(
    log: &dyn Log,
    subject: &Subject,
    after: Position,
    until: Position,
) -> Result<Vec<Entry>, ReadError> {
    let mut entries: Vec<Entry> = Vec::new();
    if after >= until {
        return Ok(entries);
    }
    let pattern = Pattern::from_checked(subject.as_str());
    let mut reader = log.read(after.next(), &[pattern], Part::Whole).await?;
    let mut bytes = 0;
    loop {
        for entry in reader.next(MAX_EVENTS).await? {
            bytes += entry.payload.len();
            let position = entry.position;
            entries.extend((position <= until).then_some(entry));
            if position >= until || entries.len() >= MAX_EVENTS || bytes >= ENOUGH_BYTES {
                return Ok(entries);
            }
        }
    }
}

/// The event that an entry of a history holds.
pub fn event(entry: &Entry) -> Result<Event, HistoryError> {
    let decoded = decode::event(&entry.subject, entry.position, &entry.headers, &entry.payload);
    decoded.map_err(|failure| {
        HistoryError::Damaged(format!(
            "the entry at position {} of `{}`: {failure}",
            entry.position, entry.subject
        ))
    })
}
