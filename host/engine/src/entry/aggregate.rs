//! The history of an aggregate: its events stand one behind the other on `<subjects>.<id>`, among the app's own, and are
//! kept for ever.
//!
//! An id is any text; in the subject it is one token, written as a key of the state is ([`super::state`]), its dots as
//! `=2E`.

use bytes::Bytes;
use waxwing_event::{Event, HandlerName, Position, Subject};

use super::{
    Layout, slot,
    state::{decode, encode_key},
};

/// The type of a [`question`].
pub const QUESTION_TYPE: &str = "waxwing.aggregate";

const SLOT: &str = "history";

/// Where the events of this aggregate stand.
pub fn subject(subjects: &Subject, id: &str) -> Subject {
    Subject::from_checked(&format!("{subjects}.{}", token(id)))
}

/// The aggregate whose events stand on this subject.
pub fn id(subjects: &Subject, subject: &Subject) -> Option<String> {
    let token = subject.as_str().strip_prefix(subjects.as_str())?.strip_prefix('.')?;
    decode(token).filter(|id| self::token(id) == token)
}

/// The event by which a host asks a handler's module what an aggregate was. No client can publish it: it stands on a
/// subject of the host's.
pub fn question(layout: &Layout, handler: &HandlerName, id: &str) -> Event {
    Event {
        id: format!("aggregate {id}"),
        source: layout.source(handler),
        event_type: QUESTION_TYPE.to_owned(),
        subject: layout.question(handler),
        about: Some(id.to_owned()),
        time: None,
        content_type: None,
        data_schema: None,
        correlation_id: format!("aggregate {id}"),
        causation_id: None,
        key: Some(id.to_owned()),
        position: Position::NONE,
        attempt: 1,
        extensions: Vec::new(),
        data: Bytes::new(),
    }
}

/// What a history is called among state keys, where claims and reads know both.
pub fn slot(id: &str) -> String {
    slot::of(SLOT, id)
}

/// The aggregate whose [`slot`](fn@slot) this is.
pub fn of_slot(key: &str) -> Option<&str> {
    slot::id(SLOT, key)
}

/// The bytes of an id as it stands in a subject.
pub fn encoded_bytes(id: &str) -> usize {
    token(id).len()
}

fn token(id: &str) -> String {
    encode_key(id).replace('.', "=2E")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_id_has_a_subject_of_its_own(id in ".{1,40}") {
            let accounts = Subject::from_checked("accounts");
            let subject = subject(&accounts, &id);
            prop_assume!(subject.as_str().len() < 250);
            prop_assert!(subject.as_str().parse::<Subject>().is_ok(), "{subject}");
            prop_assert_eq!(subject.tokens().count(), 2);
            prop_assert_eq!(super::id(&accounts, &subject), Some(id));
        }
    }

    #[test]
    fn other_subjects_are_no_aggregates() {
        let accounts = Subject::from_checked("accounts");
        for other in ["accounts.a.b", "accountsx.a", "accounts.=61", "accounts"] {
            assert_eq!(id(&accounts, &Subject::from_checked(other)), None, "{other}");
        }
        assert_eq!(subject(&accounts, "a.b").as_str(), "accounts.a=2Eb");
    }
}
