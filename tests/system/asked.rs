//! Requests as clients make them that ask again.

use std::time::Duration;

use async_nats::{Client, HeaderMap, Message};
use serde_json::Value;
use waxwing_request::service::ERROR_CODE_HEADER;

use crate::app::PATIENCE;

/// Asks once; none: no answer in time, or nobody there.
pub async fn ask(client: &Client, subject: &str, id: Option<&str>, data: &Value) -> Option<Message> {
    let mut headers = HeaderMap::new();
    if let Some(id) = id {
        headers.insert("Nats-Msg-Id", id);
    }
    let payload = data.to_string().into();
    let request =
        async_nats::Request::new().headers(headers).payload(payload).timeout(Some(Duration::from_secs(1)));
    client.send_request(subject.to_owned(), request).await.ok()
}

/// The code of a host's error.
pub fn code(message: &Message) -> Option<u16> {
    let code = message.headers.as_ref()?.get(ERROR_CODE_HEADER)?;
    Some(code.as_str().parse().unwrap())
}

/// Asks again and again, with the same id, until there is an answer that is no error of the host's: while a handler moves
/// from one host to another, nobody can answer.
pub async fn answered(client: &Client, subject: &str, id: &str, data: &Value) -> Message {
    let until = async {
        loop {
            match ask(client, subject, Some(id), data).await {
                Some(message) if code(&message).is_none() => return message,
                Some(message) => assert_eq!(code(&message), Some(503), "{message:?}"),
                None => {}
            }
        }
    };
    tokio::time::timeout(PATIENCE, until).await.expect("an answer comes")
}
