//! Requests to JetStream's API: JSON there and back.
//!
//! Its answers carry stored headers in base64, so that no entry, however broken its headers, can end the
//! connection as a delivered message can.

use std::{sync::Arc, time::Duration};

use async_nats::client::{Request, RequestErrorKind};
use bytes::Bytes;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use waxwing_engine::port::log::ReadError;

use super::line::Line;

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Codes of JetStream's errors that mean something to the log.
pub(super) mod code {
    /// JetStream is not enabled on this server.
    pub(in super::super) const NOT_ENABLED: u64 = 10076;
    /// JetStream is not enabled for this account.
    pub(in super::super) const NOT_ENABLED_FOR_ACCOUNT: u64 = 10039;
    /// No such message.
    pub(in super::super) const NO_MESSAGE: u64 = 10037;
    /// No such stream.
    pub(in super::super) const NO_STREAM: u64 = 10059;
    /// A stream of this name has other settings.
    pub(in super::super) const NAME_IN_USE: u64 = 10058;
    /// Another stream keeps some of these subjects.
    pub(in super::super) const OVERLAP: u64 = 10065;
    /// An expectation did not hold.
    pub(in super::super) const WRONG_LAST: u64 = 10071;
    /// Another message about the same expectation is on its way through a replicated stream.
    pub(in super::super) const WRONG_LAST_IN_PROCESS: u64 = 10164;
    /// Messages of a batch are missing.
    pub(in super::super) const BATCH_INCOMPLETE: u64 = 10176;
}

/// An error as JetStream words it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, thiserror::Error)]
#[error("{description} ({err_code})")]
pub struct ServerError {
    /// The class of the error, as HTTP has them.
    #[serde(default)]
    pub code: u16,
    /// Which error it is.
    #[serde(default)]
    pub err_code: u64,
    /// For people.
    #[serde(default)]
    pub description: String,
}

/// Why a request came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// JetStream said no.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// Nobody listens: no JetStream, or no leader for now.
    #[error("JetStream does not answer: nobody listens for its requests")]
    NoResponders,
    /// No answer in time, or no connection.
    #[error("JetStream does not answer: {0}")]
    Away(String),
    /// An answer that cannot be understood.
    #[error("JetStream's answer cannot be understood: {0}")]
    Malformed(String),
}

impl ApiError {
    /// True where JetStream says that this very thing is the matter.
    pub(super) fn is(&self, code: u64) -> bool {
        matches!(self, ApiError::Server(error) if error.err_code == code)
    }
}

impl From<ApiError> for ReadError {
    fn from(error: ApiError) -> ReadError {
        match &error {
            ApiError::Malformed(_) => ReadError::Broken(error.to_string()),
            ApiError::Server(server) if server.err_code == code::NO_STREAM => {
                ReadError::Broken(error.to_string())
            }
            _ => ReadError::Unavailable(error.to_string()),
        }
    }
}

#[derive(Deserialize)]
struct Failure {
    error: Option<ServerError>,
}

/// The API, through one connection.
#[derive(Debug, Clone)]
pub(super) struct Api {
    line: Arc<Line>,
}

impl Api {
    pub(super) fn new(line: Arc<Line>) -> Api {
        Api { line }
    }

    /// Asks `$JS.API.<subject>`.
    pub(super) async fn call<T: DeserializeOwned>(&self, subject: &str, body: &Value) -> Result<T, ApiError> {
        let answer = self.ask(subject, body).await?;
        let failure: Failure = serde_json::from_slice(&answer).map_err(malformed)?;
        match failure.error {
            Some(error) => Err(ApiError::Server(error)),
            None => serde_json::from_slice(&answer).map_err(malformed),
        }
    }

    async fn ask(&self, subject: &str, body: &Value) -> Result<Bytes, ApiError> {
        let payload = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        let request = Request::new().payload(payload).timeout(Some(TIMEOUT));
        let link = self.line.living().await;
        let answer = link.client().send_request(format!("$JS.API.{subject}"), request).await;
        answer.map(|message| message.payload).map_err(|error| match error.kind() {
            RequestErrorKind::NoResponders => ApiError::NoResponders,
            _ => ApiError::Away(error.to_string()),
        })
    }
}

pub(super) fn malformed(error: impl ToString) -> ApiError {
    ApiError::Malformed(error.to_string())
}
