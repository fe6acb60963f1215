//! An instance of a saga, found in the state of its handler.

use anyhow::Result;
use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned};
use waxwing_engine::{
    entry::state,
    port::log::{Entry, Part},
};
use waxwing_event::{HandlerName, Position};

use super::{
    super::{
        listed::MAX_SEARCHED,
        output,
        place::Place,
        style::{END, WARN},
    },
    record::{Cause, Happened, Record},
};

const SAGA: &str = "saga/";
const WAITING: &str = "waiting/";
const TRAIL: &str = "trail/";

/// What the status is called where only events wait for a start.
pub(super) const WAITS: &str = "waiting";

/// A key of a saga: its instance, or events that wait for its start.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Instance {
    pub(super) handler: HandlerName,
    pub(super) key: String,
    #[serde(flatten)]
    pub(super) record: Record,
    /// When it was written last.
    pub(super) written: Timestamp,
    pub(super) position: Position,
    /// Events that wait: for its start, or for their step.
    pub(super) waiting: Vec<Cause>,
}

/// The keys that a handler's state has of sagas, in their order, each once.
pub(super) async fn keys(place: &Place, handler: &HandlerName) -> Result<Vec<String>> {
    let (log, layout) = (&place.log, &place.layout);
    let entries = log.last_of_each(&layout.states(handler), Part::Headers, MAX_SEARCHED).await?;
    let standing = entries.iter().filter(|entry| entry.headers.get(state::DELETED_HEADER).is_none());
    let keys = standing.filter_map(|entry| layout.state_key(handler, &entry.subject));
    Ok(of_sagas(keys))
}

fn of_sagas(keys: impl Iterator<Item = String>) -> Vec<String> {
    let of_saga =
        |key: String| key.strip_prefix(SAGA).or_else(|| key.strip_prefix(WAITING)).map(str::to_owned);
    let mut keys: Vec<String> = keys.filter_map(of_saga).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

impl Instance {
    /// What the state has of this key; none where that is nothing, or cannot be read.
    pub(super) async fn find(place: &Place, handler: &HandlerName, key: &str) -> Result<Option<Instance>> {
        let record = read::<Record>(place, handler, SAGA, key).await?;
        let waiting = read::<Vec<Cause>>(place, handler, WAITING, key).await?;
        let (written, position) = match (&record, &waiting) {
            (Some((_, entry)), Some((_, other))) if other.position > entry.position => place_of(other),
            (Some((_, entry)), _) | (None, Some((_, entry))) => place_of(entry),
            (None, None) => return Ok(None),
        };
        let only_waits = || Record { status: WAITS.to_owned(), ..Record::default() };
        Ok(Some(Instance {
            handler: handler.clone(),
            key: key.to_owned(),
            record: record.map_or_else(only_waits, |(record, _)| record),
            waiting: waiting.map(|(waiting, _)| waiting).unwrap_or_default(),
            written,
            position,
        }))
    }

    /// What has happened to it.
    pub(super) async fn trail(&self, place: &Place) -> Result<Vec<Happened>> {
        let trail = read::<Vec<Happened>>(place, &self.handler, TRAIL, &self.key).await?;
        Ok(trail.map(|(lines, _)| lines).unwrap_or_default())
    }
}

fn place_of(entry: &Entry) -> (Timestamp, Position) {
    (entry.time, entry.position)
}

/// What stands under a key of the state, and its entry; none where nothing does, or it cannot be read.
async fn read<T: DeserializeOwned>(
    place: &Place,
    handler: &HandlerName,
    prefix: &str,
    key: &str,
) -> Result<Option<(T, Entry)>> {
    let name = format!("{prefix}{key}");
    let entry = place.log.last(&place.layout.state(handler, &name)).await?;
    let Some(entry) = entry else { return Ok(None) };
    let Some(value) = state::value(entry.clone()) else { return Ok(None) };
    match serde_json::from_slice(&value) {
        Ok(read) => Ok(Some((read, entry))),
        Err(error) => {
            let what = output::line(&format!(
                "the state `{name}` of handler `{handler}` is none of a saga: {error}"
            ));
            anstream::eprintln!("{WARN}warning:{END} {what}: it is left out");
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_counts_once_whatever_stands_under_it() {
        let keys = ["waiting/b", "trail/a", "saga/a", "saga/b", "saga/a/b", "sagas", "other", "waiting/c"];
        assert_eq!(of_sagas(keys.into_iter().map(str::to_owned)), ["a", "a/b", "b", "c"]);
    }
}
