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

/// What an answer means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ack {
    /// The first message of a batch was taken, the rest is still to come.
    Begun,
    /// The commit has ended.
    Ended(Result<Committed, CommitError>),
    /// A replicated stream does not take it while another with the same expectation is under way.
    InProcess(CommitError),
}

/// Reads an answer.
pub(super) fn read(message: &Message) -> Ack {
    if message.status == Some(StatusCode::NO_RESPONDERS) {
        let why = "nobody listens: the stream is gone, or JetStream is not ready";
        return Ack::Ended(Err(CommitError::Unavailable(why.to_owned())));
    }
    if message.payload.is_empty() {
        return Ack::Begun;
    }
    Ack::Ended(match serde_json::from_slice::<Answer>(&message.payload) {
        // The form of a commit rules out all other reasons for this one.
        Ok(Answer { error: Some(error), .. }) if error.err_code == code::WRONG_LAST_IN_PROCESS => {
            return Ack::InProcess(CommitError::Unavailable(error.to_string()));
        }
        Ok(Answer { error: Some(error), .. }) => Err(refusal(&error)),
        Ok(Answer { duplicate: true, seq, .. }) => {
            Err(CommitError::Refused(format!("its Nats-Msg-Id was stored before, at {seq}")))
        }
        Ok(Answer { seq: 0, .. }) => Err(CommitError::Unknown("the answer has no position".to_owned())),
        Ok(Answer { seq, .. }) => Ok(Committed { last: Position(seq) }),
        Err(error) => Err(CommitError::Unknown(format!("the answer cannot be understood: {error}"))),
    })
}

/// Every error of the server means that nothing was written.
fn refusal(error: &ServerError) -> CommitError {
    let why = error.to_string();
    match (error.err_code, error.code) {
        (code::WRONG_LAST, _) => CommitError::Refused(why),
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
        let Ack::Ended(end) = read(&answer(payload, None)) else { panic!("{payload}") };
        end
    }

    #[test]
    fn reads_positions() {
        assert_eq!(end(r#"{"stream":"wx-a","seq":7}"#), Ok(Committed { last: Position(7) }));
        assert_eq!(
            end(r#"{"stream":"wx-a","seq":9,"batch":"b","count":2}"#),
            Ok(Committed { last: Position(9) })
        );
        assert_eq!(read(&answer("", None)), Ack::Begun);
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
        assert!(matches!(read(&away), Ack::Ended(Err(CommitError::Unavailable(_)))));
        let busy = r#"{"error":{"code":400,"err_code":10164,"description":"wrong last sequence"}}"#;
        assert!(matches!(read(&answer(busy, None)), Ack::InProcess(CommitError::Unavailable(_))));
        assert!(matches!(end("?"), Err(CommitError::Unknown(_))));
    }
}
