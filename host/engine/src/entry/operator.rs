//! What operators write beside the hosts: redrive and archive of dead letters, events that are sent outside
//! again, pause and resume.
//!
//! They write without a lease, expecting that nothing has changed since they looked, and sign with the header
//! `wx-operator`. Hosts follow these entries and act on them. An entry that replaces another takes over its
//! mark, so that no mark is lost to a rollup.

use jiff::Timestamp;
use waxwing_event::{HandlerName, Subject};

use super::{DeadLetter, Layout, Original, Outgoing, ParkedEvent, mark, parked, tombstone};
use crate::port::log::{Entry, Expect, Keep, NewEntry};

/// Signs what an operator wrote.
pub const HEADER: &str = "wx-operator";

/// True where an operator wrote the entry.
pub fn wrote(entry: &Entry) -> bool {
    entry.headers.get(HEADER).is_some()
}

/// The commit that runs a dead letter again: it waits with the events of its key, in its old place. The
/// tombstone of the letter is the entry after the parked event.
pub fn redrive(
    layout: &Layout,
    entry: &Entry,
    letter: DeadLetter,
    now: Timestamp,
    max_bytes: usize,
) -> Vec<NewEntry> {
    let original = letter.about.original;
    let subject = layout.parked(&original.handler, original.position);
    let parked = ParkedEvent { about: parked::About::untried(original, now), payload: letter.payload };
    let mut parked = parked.write(subject, max_bytes);
    sign(&mut parked, entry);
    // In this order hosts hear of them: the event waits before its dead letter lets the key go.
    vec![parked, bury(entry)]
}

/// The commit that puts a dead letter away: its key goes on without it, and it stays to be looked at for as
/// long as the log keeps events.
pub fn archive(layout: &Layout, entry: &Entry, letter: DeadLetter, max_bytes: usize) -> Vec<NewEntry> {
    let Original { handler, position, .. } = &letter.about.original;
    let mut archived = letter.clone().write(layout.archived(handler, *position), max_bytes);
    archived.keep = Keep::Retention;
    vec![bury(entry), archived]
}

/// The commit that puts an edited dead letter in its own place.
pub fn edit(entry: &Entry, letter: DeadLetter, max_bytes: usize) -> Vec<NewEntry> {
    let mut edited = letter.write(entry.subject.clone(), max_bytes);
    edited.expect = Some(Expect { subject: None, last: entry.position });
    sign(&mut edited, entry);
    vec![edited]
}

/// The commit that sends an event again that was refused outside, behind those that wait.
pub fn send_again(
    layout: &Layout,
    handler: &HandlerName,
    entry: &Entry,
    refused: &Outgoing,
) -> Vec<NewEntry> {
    let mut again = refused.again(layout, handler);
    sign(&mut again, entry);
    vec![bury(entry), again]
}

/// The entry that pauses a handler.
pub fn pause(subject: Subject, now: Timestamp) -> NewEntry {
    let mut entry = NewEntry::new(subject, now.to_string());
    entry.headers.push(HEADER, "1");
    entry.rollup = true;
    entry.keep = Keep::Forever;
    entry
}

/// The entry that lets a handler go on.
pub fn resume(subject: Subject) -> NewEntry {
    let mut entry = tombstone::write(subject);
    entry.headers.push(HEADER, "1");
    entry
}

fn bury(entry: &Entry) -> NewEntry {
    let mut gone = tombstone::write(entry.subject.clone());
    gone.expect = Some(Expect { subject: None, last: entry.position });
    sign(&mut gone, entry);
    gone
}

fn sign(new: &mut NewEntry, replaces: &Entry) {
    new.headers.push(HEADER, "1");
    if let Some(mark) = replaces.headers.get(mark::HEADER) {
        new.headers.push(mark::HEADER, mark);
    }
}
