//! What operators write beside the hosts: redrive and archive of dead letters, events that are sent outside
//! again, pause and resume.
//!
//! They write without a lease, expecting that nothing has changed since they looked, and sign with the header
//! `wx-operator`. Hosts follow these entries and act on them. An entry that replaces another takes over its
//! mark, so that no mark is lost to a rollup.

use jiff::Timestamp;
use waxwing_event::{HandlerName, Headers, Subject};

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
    let mut about = parked::About::untried(original, now);
    // Hosts wait for it by their own clocks, and this one may be ahead of them.
    about.due = now.min(letter.about.time);
    let parked = ParkedEvent { about, payload: letter.payload };
    let parked = signed(entry, max_bytes, |max_bytes| parked.write(subject, max_bytes));
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
    let mut edited = signed(entry, max_bytes, |max_bytes| letter.write(entry.subject.clone(), max_bytes));
    edited.expect = Some(Expect { subject: None, last: entry.position });
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
    let mut gone = signed(entry, usize::MAX, |_| tombstone::write(entry.subject.clone()));
    gone.expect = Some(Expect { subject: None, last: entry.position });
    gone
}

/// The entry that `write` makes of the bytes that the signature leaves, with the mark of the one it replaces.
fn signed(replaces: &Entry, max_bytes: usize, write: impl FnOnce(usize) -> NewEntry) -> NewEntry {
    let mut entry = write(max_bytes.saturating_sub(signature(replaces).size_bytes()));
    sign(&mut entry, replaces);
    entry
}

fn sign(new: &mut NewEntry, replaces: &Entry) {
    let signature = signature(replaces).into_pairs();
    signature.into_iter().for_each(|(name, value)| new.headers.push(name, value));
}

fn signature(replaces: &Entry) -> Headers {
    let mut signature: Headers = [(HEADER, "1")].into_iter().collect();
    if let Some(mark) = replaces.headers.get(mark::HEADER) {
        signature.push(mark::HEADER, mark);
    }
    signature
}

#[cfg(test)]
mod tests {
    use waxwing_event::{Digest, Failure, Position, outcome::FailureKind};

    use super::*;
    use crate::entry::{dead, original::tests::entry};

    /// A dead letter and its entry, in which it leaves no byte of `max_bytes` free.
    fn letter(payload: usize) -> (Entry, DeadLetter, usize) {
        let event = entry(Headers::new(), payload);
        let original = Original::new(&"basket".parse().unwrap(), &event, None);
        let failure = Failure::new(FailureKind::Reject, "no");
        let now = "2026-01-02T03:04:05.123456789Z".parse().unwrap();
        let letter = DeadLetter {
            about: dead::About::new(original, &failure, 1, Digest([7; 32]), now),
            payload: event.payload,
        };
        let written = letter.clone().write(Subject::from_checked("wx.shop.dead.basket.7"), usize::MAX);
        let mut headers = written.headers;
        headers.push(mark::HEADER, "basket 0 7 0 6");
        let max_bytes = headers.size_bytes() + payload;
        let (position, subject) = (Position(9), written.subject);
        let entry = Entry { position, subject, headers, payload: written.payload, time: event.time };
        (entry, letter, max_bytes)
    }

    #[test]
    fn what_fitted_as_a_dead_letter_fits_when_it_is_redriven() {
        let layout = Layout::new("shop".parse().unwrap());
        let (entry, letter, max_bytes) = letter(1_000);
        let now = letter.about.time;
        for written in redrive(&layout, &entry, letter.clone(), now, max_bytes) {
            assert!(written.headers.size_bytes() + written.payload.len() <= max_bytes);
            assert_eq!(written.headers.get(mark::HEADER), Some("basket 0 7 0 6"));
            assert_eq!(written.payload.is_empty(), written.expect.is_some());
        }
    }

    #[test]
    fn an_edited_letter_keeps_what_fits_beside_its_signature() {
        let (entry, letter, max_bytes) = letter(1_000);
        let whole = edit(&entry, letter.clone(), max_bytes + HEADER.len() + 100);
        assert_eq!(whole[0].payload, letter.payload);
        let cut = edit(&entry, letter, max_bytes);
        assert!(cut[0].payload.is_empty());
        assert!(cut[0].headers.size_bytes() <= max_bytes);
    }

    #[test]
    fn a_redriven_event_is_due_by_the_clocks_of_hosts() {
        let layout = Layout::new("shop".parse().unwrap());
        let (entry, letter, max_bytes) = letter(10);
        let given_up = letter.about.time;
        let ahead = given_up + jiff::SignedDuration::from_hours(1);
        let parked = redrive(&layout, &entry, letter, ahead, max_bytes).remove(0);
        let NewEntry { subject, headers, payload, .. } = parked;
        let parked = Entry { position: Position(10), subject, headers, payload, time: given_up };
        assert_eq!(parked::About::read(&parked).unwrap().due, given_up);
    }
}
