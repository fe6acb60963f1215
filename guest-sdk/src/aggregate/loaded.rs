//! An aggregate as it is now.

use std::ops::Deref;

use super::{Aggregate, AggregateError, past, to_fact};
use crate::bindings::waxwing::events::emit as wire;
use crate::context::Context;

/// An aggregate as it is now, from [`Context::aggregate`].
#[derive(Debug)]
pub struct Loaded<'a, A> {
    cx: &'a mut Context,
    id: String,
    aggregate: A,
    is_new: bool,
}

impl<'a, A: Aggregate> Loaded<'a, A> {
    pub(crate) fn load(cx: &'a mut Context, id: &str) -> Result<Self, AggregateError> {
        let (snapshot, after) = cx.host.history_load(id)?;
        let is_saved = snapshot.is_some();
        let mut aggregate: A = match snapshot {
            Some(snapshot) => serde_json::from_slice(&snapshot)
                .map_err(|source| AggregateError::Snapshot { id: id.to_owned(), source })?,
            None => A::default(),
        };
        let is_new = past::fold(&cx.host, id, &mut aggregate, after)? && !is_saved;
        Ok(Self { cx, id: id.to_owned(), aggregate, is_new })
    }

    /// True where nothing has happened to it yet.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// Lets it decide, and appends what it makes happen to its history: in the run's commit, all of it or nothing.
    ///
    /// # Errors
    /// Events that the host does not take; within that, the aggregate's refusal.
    pub fn decide(&mut self, command: A::Command) -> Result<Result<(), A::Refusal>, AggregateError> {
        let events = match self.aggregate.decide(command) {
            Ok(events) => events,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if events.is_empty() {
            return Ok(Ok(()));
        }
        for event in events {
            self.append(&event)?;
            self.aggregate.evolve(event);
        }
        let snapshot = serde_json::to_vec(&self.aggregate)
            .map_err(|source| AggregateError::Snapshot { id: self.id.clone(), source })?;
        self.cx.host.history_save(&self.id, &snapshot)?;
        self.is_new = false;
        Ok(Ok(()))
    }

    fn append(&mut self, event: &A::Event) -> Result<(), AggregateError> {
        let (event_type, data) = to_fact(event).map_err(AggregateError::Json)?;
        let data = data.map(|data| serde_json::to_vec(&data)).transpose().map_err(AggregateError::Json)?;
        let event = wire::NewEvent {
            subject: "",
            type_: Some(&event_type),
            about: Some(&self.id),
            content_type: None,
            data_schema: None,
            extensions: &[],
            data: data.as_deref().unwrap_or_default(),
        };
        self.cx.host.history_append(&self.id, event)
    }
}

impl<A> Deref for Loaded<'_, A> {
    type Target = A;

    fn deref(&self) -> &A {
        &self.aggregate
    }
}
