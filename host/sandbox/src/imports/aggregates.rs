//! Aggregates: histories are read from the log, and appended to when the run commits.

use bytes::Bytes;
use waxwing_engine::{
    entry::aggregate,
    port::invoke::{HistoryError, HistoryStart},
};
use waxwing_event::{Event, Position, Subject};

use super::{
    emit::JSON,
    state::{awaited, check_name, committed},
};
use crate::{
    contract::waxwing::events::{
        aggregates::{AggregateError, Host, Start},
        emit::{EmitError, NewEvent},
        types,
    },
    guest::Guest,
};

/// The longest id as it stands in a subject.
const ENCODED_ID_BYTES: usize = 200;

impl Host for Guest {
    async fn load(&mut self, id: String) -> Result<Start, AggregateError> {
        self.subject_of(&id)?;
        if let Some(saved) = self.effects.saved(&id) {
            return Ok(Start { snapshot: Some(saved.to_vec()), after: u64::MAX });
        }
        let read =
            awaited(self.handler.state_wait, async { committed(&self.state)?.load_history(&id).await }).await;
        let HistoryStart { snapshot, after } = self.noted_history(read)?;
        Ok(Start { snapshot: snapshot.map(Vec::from), after: after.0 })
    }

    async fn read(&mut self, id: String, after: u64) -> Result<Vec<types::EventResult>, AggregateError> {
        self.subject_of(&id)?;
        let events = self.events_behind(&id, Position(after)).await?;
        Ok(events.into_iter().map(record).collect())
    }

    async fn append(&mut self, id: String, event: NewEvent) -> Result<(), AggregateError> {
        let subject = self.subject_of(&id)?;
        if !event.subject.is_empty() {
            let why = "leave it empty: an aggregate's events have its subject".to_owned();
            return Err(AggregateError::Refused(EmitError::InvalidSubject(why)));
        }
        self.look_at_its_end(&id).await?;
        self.keep(subject, Some(id), event, Some(JSON)).map_err(AggregateError::Refused)
    }

    async fn save(&mut self, id: String, snapshot: Vec<u8>) -> Result<(), AggregateError> {
        self.subject_of(&id)?;
        let limit = self.handler.limits.entry_bytes;
        if snapshot.len() as u64 > limit {
            return Err(AggregateError::TooLarge(limit));
        }
        self.look_at_its_end(&id).await?;
        let saved = self.effects.save(id, Bytes::from(snapshot), &self.handler.limits);
        saved.map_err(|overflow| AggregateError::TooMany(overflow.limit()))
    }
}

impl Guest {
    fn subject_of(&self, id: &str) -> Result<Subject, AggregateError> {
        let subjects = self.handler.aggregate.as_ref().ok_or(AggregateError::NoneHere)?;
        check_name(("an", "id"), id).map_err(AggregateError::InvalidId)?;
        let bytes = aggregate::encoded_bytes(id);
        if bytes > ENCODED_ID_BYTES {
            return Err(AggregateError::InvalidId(format!(
                "`{id}` takes {bytes} bytes in a subject: at most {ENCODED_ID_BYTES} are allowed, and only \
                 A-Z a-z 0-9 - _ / take one"
            )));
        }
        Ok(aggregate::subject(subjects, id))
    }

    async fn events_behind(&mut self, id: &str, after: Position) -> Result<Vec<Event>, AggregateError> {
        let wait = self.handler.state_wait;
        let read = awaited(wait, async { committed(&self.state)?.read_history(id, after).await }).await;
        self.noted_history(read)
    }

    /// What a run appends to or saves, it must have looked at: what is committed meanwhile makes it run again.
    async fn look_at_its_end(&mut self, id: &str) -> Result<(), AggregateError> {
        self.events_behind(id, Position(u64::MAX)).await.map(drop)
    }

    /// Remembers that a history could not be read: it may be why the run fails.
    fn noted_history<T>(&mut self, read: Result<T, HistoryError>) -> Result<T, AggregateError> {
        read.map_err(|error| {
            let text = error.to_string();
            match error {
                HistoryError::NoneHere => AggregateError::NoneHere,
                HistoryError::Damaged(_) => AggregateError::Damaged(text),
                HistoryError::Unavailable(unavailable) => {
                    self.state_unavailable = Some(unavailable);
                    AggregateError::Unavailable(text)
                }
            }
        })
    }
}

fn record(event: Event) -> types::EventResult {
    types::EventResult {
        id: event.id,
        source: event.source,
        type_: event.event_type,
        subject: event.subject.to_string(),
        about: event.about,
        time: event.time,
        content_type: event.content_type,
        data_schema: event.data_schema,
        correlation_id: event.correlation_id,
        causation_id: event.causation_id,
        key: event.key,
        position: event.position.0,
        attempt: event.attempt,
        extensions: event
            .extensions
            .into_iter()
            .map(|(name, value)| types::AttributeResult { name, value })
            .collect(),
        data: event.data.to_vec(),
    }
}
