//! A stream as the server has it: looked up, made, changed.

use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use waxwing_event::Position;

use super::api::{Api, ApiError, code, malformed};

/// A stream's settings, as known here and as the server has them: a newer server has more.
#[derive(Debug)]
pub(super) struct Found<C> {
    pub(super) known: C,
    all: Value,
    /// When it was made: the same name at another time is another stream.
    pub(super) made: Timestamp,
    /// The last position that was given out.
    pub(super) last: Position,
}

#[derive(Deserialize)]
struct Info {
    #[serde(default)]
    config: Value,
    created: Timestamp,
    #[serde(default)]
    state: State,
}

#[derive(Default, Deserialize)]
struct State {
    #[serde(default)]
    last_seq: u64,
}

impl<C: Serialize + DeserializeOwned> Found<C> {
    /// The stream of this name, made as `asked` where there is none.
    pub(super) async fn get_or_create(api: &Api, stream: &str, asked: &C) -> Result<Found<C>, ApiError> {
        if let Some(found) = Found::get(api, stream).await? {
            return Ok(found);
        }
        match Found::create(api, stream, asked).await {
            // Another host was faster.
            Err(error) if error.is(code::NAME_IN_USE) => Found::get(api, stream).await?.ok_or(error),
            made => made,
        }
    }

    /// The stream of this name; none where there is none.
    pub(super) async fn get(api: &Api, stream: &str) -> Result<Option<Found<C>>, ApiError> {
        match api.call::<Info>(&format!("STREAM.INFO.{stream}"), &Value::Null).await {
            Ok(info) => Found::read(info).map(Some),
            Err(error) if error.is(code::NO_STREAM) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes a stream of this name.
    pub(super) async fn create(api: &Api, stream: &str, asked: &C) -> Result<Found<C>, ApiError> {
        let body = serde_json::to_value(asked).map_err(malformed)?;
        Found::read(api.call(&format!("STREAM.CREATE.{stream}"), &body).await?)
    }

    /// Sets these settings in place of those found.
    pub(super) async fn update(
        mut self,
        api: &Api,
        stream: &str,
        settings: Map<String, Value>,
    ) -> Result<Found<C>, ApiError> {
        if settings.is_empty() {
            return Ok(self);
        }
        let changed: Vec<&str> = settings.keys().map(String::as_str).collect();
        let changed = changed.join(", ");
        tracing::info!(stream, settings = changed, "the stream's settings are brought up to date");
        if let Some(all) = self.all.as_object_mut() {
            all.extend(settings);
        }
        Found::read(api.call(&format!("STREAM.UPDATE.{stream}"), &self.all).await?)
    }

    fn read(info: Info) -> Result<Found<C>, ApiError> {
        let Info { config: all, created: made, state } = info;
        let known = serde_json::from_value(all.clone()).map_err(malformed)?;
        Ok(Found { known, all, made, last: Position(state.last_seq) })
    }
}
