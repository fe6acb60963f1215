//! What a commit must look like to be taken, checked before anything is written.
//!
//! Both logs check with the same rules, so that a commit which memory takes is not refused by a server
//! later. The rules are those of JetStream (ADR-50 for batches).

use std::{collections::HashSet, time::Duration};

use waxwing_engine::port::log::{CommitError, Expect, Keep, MAX_COMMIT_ENTRIES, NewEntry};
use waxwing_event::{Headers, Pattern, Subject};

/// Bytes kept free in each entry for the headers that a log adds: expectation, rollup, TTL, batch.
pub const ADDED_HEADER_BYTES: usize = 1024;

/// The most bytes of headers that an entry may have: JetStream counts a header block's length in 16 bits.
pub const MAX_HEADER_BYTES: usize = u16::MAX as usize - ADDED_HEADER_BYTES;

/// Headers that say what the fields of [`NewEntry`] say; a log writes them itself.
const RESERVED: [&str; 8] = [
    "Nats-Rollup",
    "Nats-TTL",
    "Nats-Expected-Last-Subject-Sequence",
    "Nats-Expected-Last-Subject-Sequence-Subject",
    "Nats-Expected-Last-Sequence",
    "Nats-Batch-Id",
    "Nats-Batch-Sequence",
    "Nats-Batch-Commit",
];

/// The limits of one log.
#[derive(Debug, Clone)]
pub struct Form {
    /// What the log keeps; nothing else is taken.
    pub kept: Vec<Pattern>,
    /// The most bytes of headers and payload in one entry.
    pub max_entry_bytes: usize,
}

impl Form {
    /// Checks a commit; an error is always [`CommitError::Invalid`].
    pub fn check(&self, entries: &[NewEntry]) -> Result<(), CommitError> {
        if entries.is_empty() || entries.len() > MAX_COMMIT_ENTRIES {
            let count = entries.len();
            return invalid(format!("a commit has 1 to {MAX_COMMIT_ENTRIES} entries, not {count}"));
        }
        for entry in entries {
            self.check_entry(entry)?;
        }
        if entries.len() > 1 { check_expectations(entries) } else { Ok(()) }
    }

    fn check_entry(&self, entry: &NewEntry) -> Result<(), CommitError> {
        let subject = &entry.subject;
        if !self.kept.iter().any(|pattern| pattern.matches(subject.as_str())) {
            return invalid(format!("the log does not keep `{subject}`: add it to the app's events"));
        }
        let header_bytes = entry.headers.size_bytes();
        let bytes = header_bytes.saturating_add(entry.payload.len());
        if bytes > self.max_entry_bytes {
            let max = self.max_entry_bytes;
            return invalid(format!("the entry on `{subject}` has {bytes} bytes: at most {max} are allowed"));
        }
        if header_bytes > MAX_HEADER_BYTES {
            return invalid(format!(
                "the headers of the entry on `{subject}` have {header_bytes} bytes: at most {MAX_HEADER_BYTES} are allowed"
            ));
        }
        check_headers(subject, &entry.headers)?;
        check_keep(subject, entry.keep)
    }
}

fn invalid<T>(reason: String) -> Result<T, CommitError> {
    Err(CommitError::Invalid(reason))
}

fn check_headers(subject: &Subject, headers: &Headers) -> Result<(), CommitError> {
    if headers.broken().is_some() {
        return invalid(format!(
            "the headers of the entry on `{subject}` are broken: store them in its payload"
        ));
    }
    for (name, value) in headers.iter() {
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_graphic() && b != b':') {
            return invalid(format!("`{name}` is no name of a header: use visible ASCII without `:`"));
        }
        if value.bytes().any(|b| b == b'\r' || b == b'\n') {
            return invalid(format!("the header `{name}` of the entry on `{subject}` contains a line break"));
        }
        if is_reserved(name) {
            return invalid(format!(
                "the header `{name}` of the entry on `{subject}` is the log's own: set the field"
            ));
        }
    }
    Ok(())
}

fn is_reserved(name: &str) -> bool {
    let of_the_broker = name.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("nats-"));
    of_the_broker && RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(name))
}

fn check_keep(subject: &Subject, keep: Keep) -> Result<(), CommitError> {
    match keep {
        Keep::For(time) if time < Duration::from_secs(1) || time.subsec_nanos() != 0 => invalid(format!(
            "the entry on `{subject}` is kept for {time:?}: whole seconds from 1 are allowed"
        )),
        _ => Ok(()),
    }
}

/// The subject of which an entry expects something.
pub fn expected_subject<'a>(entry: &'a NewEntry, expect: &'a Expect) -> &'a Subject {
    expect.subject.as_ref().unwrap_or(&entry.subject)
}

/// A server checks expectations against what is stored, so a subject that the commit itself has already
/// written cannot be expected about (error 10164).
fn check_expectations(entries: &[NewEntry]) -> Result<(), CommitError> {
    let mut written: HashSet<&Subject> = HashSet::with_capacity(entries.len());
    for entry in entries {
        if let Some(expect) = &entry.expect {
            let about = expected_subject(entry, expect);
            if written.contains(about) {
                return invalid(format!(
                    "something is expected of `{about}`, which the commit has written before"
                ));
            }
        }
        written.insert(&entry.subject);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use waxwing_event::Position;

    use super::*;

    fn form() -> Form {
        Form { kept: vec!["a.>".parse().unwrap()], max_entry_bytes: 100_000 }
    }

    fn entry(subject: &str) -> NewEntry {
        NewEntry::new(subject.parse().unwrap(), "x")
    }

    fn expecting(subject: &str, of: Option<&str>) -> NewEntry {
        let expect = Expect { subject: of.map(|s| s.parse().unwrap()), last: Position::NONE };
        NewEntry { expect: Some(expect), ..entry(subject) }
    }

    fn with_header(name: &'static str, value: &str) -> NewEntry {
        NewEntry { headers: [(name, value)].into_iter().collect(), ..entry("a.b") }
    }

    #[test]
    fn takes_one_to_a_thousand_entries() {
        assert!(form().check(&[]).is_err());
        assert!(form().check(&vec![entry("a.b"); 1000]).is_ok());
        assert!(form().check(&vec![entry("a.b"); 1001]).is_err());
    }

    #[test]
    fn refuses_subjects_that_are_not_kept() {
        assert!(form().check(&[entry("b.c")]).is_err());
    }

    #[test]
    fn bounds_headers_and_entries() {
        let filled = |headers: usize, payload: usize| NewEntry {
            headers: [("h", "x".repeat(headers - 5))].into_iter().collect(),
            payload: vec![0; payload].into(),
            ..entry("a.b")
        };
        assert!(form().check(&[filled(MAX_HEADER_BYTES, 0)]).is_ok());
        assert!(form().check(&[filled(MAX_HEADER_BYTES + 1, 0)]).is_err());
        assert!(form().check(&[filled(10, 99_990)]).is_ok());
        assert!(form().check(&[filled(10, 99_991)]).is_err());
    }

    #[test]
    fn refuses_headers_that_a_server_would_misread() {
        assert!(form().check(&[with_header("ce-id", "1: 2")]).is_ok());
        for (name, value) in [("a:b", "1"), ("", "1"), ("a b", "1"), ("a", "1\r\nb: 2"), ("nats-ttl", "1s")] {
            assert!(form().check(&[with_header(name, value)]).is_err(), "{name}");
        }
        let broken = NewEntry { headers: Headers::from_broken("x".into()), ..entry("a.b") };
        assert!(form().check(&[broken]).is_err());
    }

    #[test]
    fn keeps_for_whole_seconds() {
        let kept = |ms| NewEntry { keep: Keep::For(Duration::from_millis(ms)), ..entry("a.b") };
        assert!(form().check(&[kept(1000)]).is_ok());
        assert!(form().check(&[kept(999)]).is_err());
        assert!(form().check(&[kept(1500)]).is_err());
    }

    #[test]
    fn refuses_expectations_about_what_the_commit_writes_before() {
        assert!(form().check(&[expecting("a.b", None), entry("a.b")]).is_ok());
        assert!(form().check(&[entry("a.b"), expecting("a.b", None)]).is_err());
        assert!(form().check(&[entry("a.b"), expecting("a.c", Some("a.b"))]).is_err());
    }

    #[test]
    fn takes_a_fence_on_every_entry() {
        assert!(form().check(&[expecting("a.b", Some("a.f")), expecting("a.c", None)]).is_ok());
        assert!(form().check(&[expecting("a.b", Some("a.f")), expecting("a.c", Some("a.f"))]).is_ok());
        assert!(form().check(&[expecting("a.b", Some("a.f")), expecting("a.c", Some("a.g"))]).is_ok());
    }
}
