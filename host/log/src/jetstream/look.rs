//! A server and an app's stream as they are, for those who only look: nothing is made, changed or refused.

use std::{sync::Arc, time::Duration};

use async_nats::Client;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use waxwing_engine::port::log::{Entry, Part};
use waxwing_event::{AppName, HandlerName, Pattern, Position, StreamName, Subject};

use super::{
    api::{Api, ApiError, code, malformed},
    bucket::{self, SeenBucket},
    config::{Config, Retention},
    connect::{ConnectError, Server},
    each,
    line::Line,
    max_entry_bytes,
    options::{Options, Storage},
    settings::{Breach, breaches, missing_flags},
    stored::Stored,
    stream::is_new_enough,
};

/// Looks at a server and at one app's stream.
#[derive(Debug)]
pub struct Look {
    line: Arc<Line>,
    api: Api,
    stored: Stored,
    bare: Options,
}

/// What a server tells of itself when it is connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenServer {
    /// Its id, new at each start.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// True where it has all that a log needs.
    pub is_new_enough: bool,
    /// The largest message that it takes, headers and payload together.
    pub max_payload_bytes: usize,
}

/// A stream as it is.
#[derive(Debug, Clone, PartialEq)]
pub struct SeenStream {
    /// The subjects that it keeps.
    pub subjects: Vec<String>,
    /// Where it keeps its entries.
    pub storage: Storage,
    /// How many copies it should have.
    pub replicas: usize,
    /// The other servers that have a copy, where there is a cluster.
    pub copies: Vec<SeenCopy>,
    /// How long entries stay that do not say otherwise; none: for ever.
    pub retention: Option<Duration>,
    /// For how long it knows the ids of what was published.
    pub duplicate_window: Duration,
    /// The largest entry that a log on it can write.
    pub max_entry_bytes: usize,
    /// Settings that break a log's promises, for which a host refuses it.
    pub breaches: Vec<Breach>,
    /// Settings that a log cannot do without and that are off; a host switches them on.
    pub lacking: Vec<&'static str>,
    /// The last position that was given out.
    pub last: Position,
    /// The server's time when it answered, where it tells it.
    pub server_time: Option<Timestamp>,
}

/// A copy of a stream on another server than the one that leads it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SeenCopy {
    /// The server's name.
    pub name: String,
    /// True where it has all that the leader has.
    #[serde(rename = "current", default)]
    pub is_current: bool,
    /// True where it is away.
    #[serde(rename = "offline", default)]
    pub is_offline: bool,
}

/// A stream that the app does not own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenElsewhere {
    /// When it was made: the same name at another time is another stream.
    pub made: Timestamp,
    /// The last position that was given out.
    pub last: Position,
    /// How long its entries stay; none: for ever.
    pub retention: Option<Duration>,
    /// True where an entry stays although somebody has read it.
    pub keeps_what_was_read: bool,
}

/// Storage of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenAccount {
    /// Bytes on disk.
    pub used_bytes: u64,
    /// The most that it may have; none: as much as the servers have.
    pub limit_bytes: Option<u64>,
}

#[derive(Deserialize)]
struct Info {
    config: Value,
    state: State,
    #[serde(default)]
    cluster: Option<Cluster>,
    #[serde(default)]
    ts: Option<Timestamp>,
    created: Timestamp,
}

#[derive(Deserialize)]
struct State {
    last_seq: u64,
}

#[derive(Deserialize)]
struct Cluster {
    #[serde(default)]
    replicas: Vec<SeenCopy>,
}

#[derive(Deserialize)]
struct More {
    /// Nanoseconds.
    #[serde(default)]
    duplicate_window: u64,
}

#[derive(Deserialize)]
struct Names {
    #[serde(default)]
    streams: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Account {
    #[serde(default)]
    storage: u64,
    #[serde(default)]
    limits: Limits,
}

#[derive(Default, Deserialize)]
struct Limits {
    #[serde(default)]
    max_storage: i64,
}

impl Look {
    /// Connects.
    pub async fn connect(server: &Server, app: &AppName) -> Result<Look, ConnectError> {
        let line = Arc::new(Line::connect(server, "doctor").await?);
        let api = Api::new(line.clone());
        let bare = Options::new(app.clone(), Vec::new());
        Ok(Look { stored: Stored::new(api.clone(), &bare.stream()), line, api, bare })
    }

    /// The connection.
    pub fn client(&self) -> Client {
        self.line.current().client().clone()
    }

    /// What the server tells of itself.
    pub fn server(&self) -> SeenServer {
        let client = self.client();
        let info = client.server_info();
        SeenServer {
            is_new_enough: is_new_enough(&client),
            max_payload_bytes: client.max_payload(),
            id: info.server_id,
            name: info.server_name,
            version: info.version,
        }
    }

    /// The account's storage.
    pub async fn account(&self) -> Result<SeenAccount, ApiError> {
        let account: Account = self.api.call("INFO", &Value::Null).await?;
        let limit_bytes = u64::try_from(account.limits.max_storage).ok().filter(|limit| *limit > 0);
        Ok(SeenAccount { used_bytes: account.storage, limit_bytes })
    }

    /// The app's stream, judged by what is asked of it; without `asked`, by itself. None where there is none.
    pub async fn stream(&self, asked: Option<&Options>) -> Result<Option<SeenStream>, ApiError> {
        let Some(info) = self.info(&self.bare.stream()).await? else { return Ok(None) };
        let more: More = serde_json::from_value(info.config.clone()).map_err(malformed)?;
        let found: Config = serde_json::from_value(info.config).map_err(malformed)?;
        let wanted = match asked {
            Some(asked) => Config::asked(asked),
            None => Config { storage: found.storage, ..Config::asked(&self.bare) },
        };
        Ok(Some(SeenStream {
            breaches: breaches(&found, &wanted),
            lacking: missing_flags(&found),
            max_entry_bytes: max_entry_bytes(self.client().max_payload(), found.max_msg_size),
            storage: found.storage,
            replicas: found.num_replicas,
            copies: info.cluster.map(|cluster| cluster.replicas).unwrap_or_default(),
            retention: retention(&found),
            subjects: found.subjects,
            duplicate_window: Duration::from_nanos(more.duplicate_window),
            last: Position(info.state.last_seq),
            server_time: info.ts,
        }))
    }

    /// The names of the streams that keep subjects of this pattern.
    pub async fn streams_that_keep(&self, subjects: &Pattern) -> Result<Vec<String>, ApiError> {
        let found: Names = self.api.call("STREAM.NAMES", &json!({ "subject": subjects.as_str() })).await?;
        Ok(found.streams.unwrap_or_default())
    }

    /// A stream that the app does not own; none where there is none.
    pub async fn elsewhere(&self, stream: &StreamName) -> Result<Option<SeenElsewhere>, ApiError> {
        let Some(info) = self.info(stream.as_str()).await? else { return Ok(None) };
        let found: Config = serde_json::from_value(info.config).map_err(malformed)?;
        Ok(Some(SeenElsewhere {
            made: info.created,
            last: Position(info.state.last_seq),
            retention: retention(&found),
            keeps_what_was_read: found.retention == Retention::Limits,
        }))
    }

    /// How the bucket of a handler's state is, where the app's log is as asked for.
    pub async fn bucket(&self, asked: &Options, handler: &HandlerName) -> Result<SeenBucket, ApiError> {
        bucket::look(&self.api, asked, handler).await
    }

    async fn info(&self, stream: &str) -> Result<Option<Info>, ApiError> {
        match self.api.call(&format!("STREAM.INFO.{stream}"), &Value::Null).await {
            Ok(info) => Ok(Some(info)),
            Err(error) if error.is(code::NO_STREAM) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The last entry of a subject.
    pub async fn last(&self, subject: &Subject) -> Result<Option<Entry>, ApiError> {
        self.stored.last(subject.as_str(), Part::Whole).await
    }

    /// The last entry of each subject that matches, by subject, at most `limit`.
    pub async fn last_of_each(
        &self,
        subjects: &Pattern,
        part: Part,
        limit: usize,
    ) -> Result<Vec<Entry>, ApiError> {
        each::last_of_each(&self.api, &self.stored, &self.bare.stream(), (subjects, part, limit)).await
    }

    /// The first entry at or after `from` on one of `subjects`, without its payload: of this stream, else of the
    /// app's.
    pub async fn next(
        &self,
        stream: Option<&StreamName>,
        from: Position,
        subjects: &[Pattern],
    ) -> Result<Option<Entry>, ApiError> {
        match stream {
            Some(stream) => {
                Stored::new(self.api.clone(), stream.as_str()).next(from, subjects, Part::Headers).await
            }
            None => self.stored.next(from, subjects, Part::Headers).await,
        }
    }
}

fn retention(found: &Config) -> Option<Duration> {
    (found.max_age > 0).then(|| Duration::from_nanos(found.max_age))
}
