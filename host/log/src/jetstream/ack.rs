//! What the server says of a publish.

use async_nats::{Message, StatusCode};
use serde::Deserialize;
use waxwing_engine::port::log::{CommitError, Committed};
use waxwing_event::Position;

use super::api::{ServerError, code};

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    seq: u64,
    #[serde(default)]
    duplicate: bool,
    error: Option<ServerError>,
}

/// Reads an answer. None: the first message of a batch was taken, the rest is still to come.
pub(super) fn read(message: &Message) -> Option<Result<Committed, CommitError>> {
    if message.status == Some(StatusCode::NO_RESPONDERS) {
        let why = "nobody listens: the stream is gone, or JetStream is not ready";
        return Some(Err(CommitError::Unavailable(why.to_owned())));
    }
    if message.payload.is_empty() {
        return None;
    }
    Some(match serde_json::from_slice::<Answer>(&message.payload) {
        Ok(Answer { error: Some(error), .. }) => Err(refusal(&error)),
        Ok(Answer { duplicate: true, seq, .. }) => {
            Err(CommitError::Refused(format!("its Nats-Msg-Id was stored before, at {seq}")))
        }
        Ok(Answer { seq: 0, .. }) => Err(CommitError::Unknown("the answer has no position".to_owned())),
        Ok(Answer { seq, .. }) => Ok(Committed { last: Position(seq) }),
        Err(error) => Err(CommitError::Unknown(format!("the answer cannot be understood: {error}"))),
    })
}

/// True where another message about the same expectation was under way, as happens in replicated streams.
pub(super) fn is_in_process(end: &Result<Committed, CommitError>) -> bool {
    matches!(end, Err(CommitError::Unavailable(why)) if why.ends_with("(10164)"))
}

/// Every error of the server means that nothing was written.
fn refusal(error: &ServerError) -> CommitError {
    let why = error.to_string();
    match (error.err_code, error.code) {
        (code::WRONG_LAST, _) => CommitError::Refused(why),
        // The form of a commit rules out all other reasons for this one.
        (code::WRONG_LAST_IN_PROCESS, _) => CommitError::Unavailable(why),
        // Its beginning was lost with a connection or a leader.
        (code::BATCH_INCOMPLETE, _) => CommitError::Unavailable(why),
        (_, 404 | 429 | 500..) => CommitError::Unavailable(why),
        _ => CommitError::Invalid(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(payload: &'static str, status: Option<StatusCode>) -> Message {
        Message {
            subject: "_INBOX.a.1".into(),
            reply: None,
            payload: payload.into(),
            headers: None,
            status,
            description: None,
            length: 0,
        }
    }

    fn end(payload: &'static str) -> Result<Committed, CommitError> {
        read(&answer(payload, None)).unwrap()
    }

    #[test]
    fn reads_positions() {
        assert_eq!(end(r#"{"stream":"wx-a","seq":7}"#), Ok(Committed { last: Position(7) }));
        assert_eq!(
            end(r#"{"stream":"wx-a","seq":9,"batch":"b","count":2}"#),
            Ok(Committed { last: Position(9) })
        );
        assert!(read(&answer("", None)).is_none());
    }

    #[test]
    fn tells_errors_apart() {
        let wrong = r#"{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 3"}}"#;
        assert!(matches!(end(wrong), Err(CommitError::Refused(_))));
        let large =
            r#"{"error":{"code":400,"err_code":10054,"description":"message size exceeds maximum allowed"}}"#;
        assert!(matches!(end(large), Err(CommitError::Invalid(_))));
        let many = r#"{"error":{"code":429,"err_code":10210,"description":"too many"}}"#;
        assert!(matches!(end(many), Err(CommitError::Unavailable(_))));
        let away = answer("", Some(StatusCode::NO_RESPONDERS));
        assert!(matches!(read(&away), Some(Err(CommitError::Unavailable(_)))));
        assert!(matches!(end("?"), Err(CommitError::Unknown(_))));
    }
}
