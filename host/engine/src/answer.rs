//! From how a request's run ended to its answer.

use waxwing_event::{Failure, Reply, encode, outcome::FailureKind};

use crate::{entry::seen::Seen, port::requests::Answer};

/// The longest reason in an answer, in bytes.
pub const MAX_REASON_BYTES: usize = 1024;

/// What a run that ended well is answered with; empty where it gave no reply.
pub fn of_reply(reply: Option<Reply>) -> Seen {
    let reply = reply.unwrap_or_default();
    Seen { headers: encode::reply_headers(&reply), payload: reply.data }
}

/// The answer to a request that was not handled. What the handler itself says goes out; what the host knows
/// of its insides does not.
pub fn of_failure(failure: &Failure) -> Answer {
    let (code, reason) = match failure.kind {
        FailureKind::Reject | FailureKind::Decode => (Answer::BAD_REQUEST, failure.reason.as_str()),
        FailureKind::Retry => (Answer::UNAVAILABLE, "the handler cannot handle this now: ask again later"),
        FailureKind::Unavailable => (Answer::UNAVAILABLE, "the host is interrupted: ask again"),
        FailureKind::Deadline => (Answer::FAILED, "the handler ran longer than it may"),
        FailureKind::Effects => (Answer::FAILED, "the handler wanted more effects than it may have"),
        FailureKind::Parked => (Answer::UNAVAILABLE, "too much waits: ask again later"),
        FailureKind::Trap | FailureKind::Exit | FailureKind::Memory | FailureKind::Stack => {
            (Answer::FAILED, "the handler failed")
        }
    };
    refused(code, reason)
}

/// A refusal for people, on one line.
pub fn refused(code: u16, reason: &str) -> Answer {
    let end = reason.floor_char_boundary(MAX_REASON_BYTES);
    let shown = reason.get(..end).unwrap_or_default();
    let line = shown.split(|c: char| c.is_control() || c.is_whitespace()).filter(|word| !word.is_empty());
    Answer::Refused { code, reason: line.collect::<Vec<_>>().join(" ") }
}

impl From<Seen> for Answer {
    fn from(seen: Seen) -> Answer {
        Answer::Reply { headers: seen.headers, payload: seen.payload }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(kind: FailureKind, reason: &str) -> (u16, String) {
        match of_failure(&Failure::new(kind, reason)) {
            Answer::Refused { code, reason } => (code, reason),
            Answer::Reply { .. } => panic!("a failure is no reply"),
        }
    }

    #[test]
    fn says_what_the_handler_says_and_nothing_of_its_insides() {
        assert_eq!(answer(FailureKind::Reject, "no such\r\nproduct"), (400, "no such product".to_owned()));
        assert_eq!(answer(FailureKind::Decode, "no key").0, 400);
        for kind in [FailureKind::Trap, FailureKind::Memory, FailureKind::Deadline, FailureKind::Retry] {
            let (code, reason) = answer(kind, "secret");
            assert!(code >= 500 && !reason.contains("secret"), "{kind}: {reason}");
        }
    }

    #[test]
    fn keeps_reasons_short() {
        let (_, reason) = answer(FailureKind::Reject, &"ü".repeat(MAX_REASON_BYTES));
        assert_eq!(reason.len(), MAX_REASON_BYTES);
    }
}
