//! What comes back for a message that went out to a stream.

use async_nats::{Message, StatusCode};
use serde::Deserialize;
use waxwing_engine::port::outside::{SendError, Sent};
use waxwing_event::Subject;

use crate::jetstream::api::ServerError;

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    stream: String,
    #[serde(default)]
    seq: u64,
    error: Option<ServerError>,
}

/// What an answer means; none where it is no stream's: others who listen may answer too.
pub(super) fn read(answer: &Message, subject: &Subject) -> Option<Result<Sent, SendError>> {
    if answer.status == Some(StatusCode::NO_RESPONDERS) {
        return Some(Err(SendError::Away(format!(
            "no stream keeps `{subject}` now: make one with `nats stream add`, or grant it with `live` where \
             plain subscribers are meant"
        ))));
    }
    match serde_json::from_slice::<Answer>(&answer.payload) {
        Ok(Answer { error: Some(error), .. }) => Some(Err(refusal(&error))),
        Ok(Answer { stream, seq, .. }) if !stream.is_empty() && seq > 0 => Some(Ok(Sent::Kept)),
        _ => None,
    }
}

/// A stream that is full or away may take it later; one that objects to the message itself will not.
fn refusal(error: &ServerError) -> SendError {
    match error.code {
        408 | 429 | 500.. => SendError::Away(error.to_string()),
        _ => SendError::Refused(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(payload: &'static str, status: Option<StatusCode>) -> Option<Result<Sent, SendError>> {
        let message = Message {
            subject: "_INBOX.a.1".into(),
            reply: None,
            payload: payload.into(),
            headers: None,
            status,
            description: None,
            length: 0,
        };
        read(&message, &Subject::from_checked("audit.a"))
    }

    #[test]
    fn a_stream_has_it_whether_new_or_known() {
        assert_eq!(answer(r#"{"stream":"AUDIT","seq":7}"#, None), Some(Ok(Sent::Kept)));
        assert_eq!(answer(r#"{"stream":"AUDIT","seq":7,"duplicate":true}"#, None), Some(Ok(Sent::Kept)));
    }

    #[test]
    fn tells_what_will_never_be_taken_from_what_is_not_taken_now() {
        let large =
            r#"{"error":{"code":400,"err_code":10054,"description":"message size exceeds maximum allowed"}}"#;
        assert!(matches!(answer(large, None), Some(Err(SendError::Refused(_)))));
        let full = r#"{"error":{"code":503,"err_code":10077,"description":"maximum messages exceeded"}}"#;
        assert!(matches!(answer(full, None), Some(Err(SendError::Away(_)))));
        let nobody = answer("", Some(StatusCode::NO_RESPONDERS));
        assert!(matches!(nobody, Some(Err(SendError::Away(why))) if why.contains("`audit.a`")));
    }

    #[test]
    fn what_others_answer_says_nothing() {
        for other in ["", "ok", "{}", "[]", r#"{"seq":7}"#, r#"{"stream":"A"}"#, "7"] {
            assert_eq!(answer(other, None), None, "{other}");
        }
    }
}
