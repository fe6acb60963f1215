//! An input under way.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use waxwing_event::{Digest, Event, Failure, HandlerName, Position, Subject};

use jiff::Timestamp;

use crate::{
    cache::RunView,
    entry::{DeadLetter, dead},
    port::observe::{Handled, HandledResult},
    source::Input,
};

/// An input that was read and is not yet handled.
pub(super) struct Active {
    pub(super) input: Box<Input>,
    /// What its run has read; none before the first run.
    pub(super) view: Option<Arc<RunView>>,
    /// Time in the sandbox, all runs together.
    pub(super) elapsed: Duration,
    /// State keys that no other run may write until this one is through.
    pub(super) claims: Vec<String>,
    /// What has been handed to the committer.
    pub(super) writing: Option<Writing>,
}

/// A commit under way.
pub(super) struct Writing {
    /// Written keys with their values, in the order of their entries, which are the commit's last.
    pub(super) state: Vec<(String, Option<Bytes>)>,
    /// Subjects of emitted events.
    pub(super) emitted: Vec<Subject>,
    /// Why it is a dead letter, if it is one.
    pub(super) failure: Option<Failure>,
    /// Other inputs of which the entries tell that they are handled.
    pub(super) also: Vec<Position>,
    /// The highest position known when it was handed over: its entries lie above.
    pub(super) after: Position,
}

impl Active {
    pub(super) fn new(input: Box<Input>) -> Active {
        Active { input, view: None, elapsed: Duration::ZERO, claims: Vec::new(), writing: None }
    }

    pub(super) fn position(&self) -> Position {
        self.input.entry.position
    }

    pub(super) fn event(&self) -> Option<&Arc<Event>> {
        self.input.event.as_ref().ok()
    }

    /// The dead letter that this input becomes.
    pub(super) fn dead_letter(
        &self,
        handler: &HandlerName,
        failure: &Failure,
        module: Digest,
        time: Timestamp,
    ) -> DeadLetter {
        let event = self.event();
        let mut about = dead::About {
            handler: handler.clone(),
            position: self.position(),
            subject: self.input.entry.subject.clone(),
            event_id: None,
            key: event.and_then(|event| event.key.clone()),
            kind: failure.kind,
            reason: String::new(),
            backtrace: None,
            attempts: 1,
            module,
            time,
            headers: Vec::new(),
            broken_headers: None,
            headers_omitted: false,
            payload_omitted: false,
        };
        if let Some(event) = event {
            about.set_event_id(&event.id);
        }
        about.set_failure(failure);
        about.set_headers(&self.input.entry.headers);
        DeadLetter { about, payload: self.input.entry.payload.clone() }
    }

    /// What is told of it when it is handled.
    pub(super) fn as_handled<'a>(
        &'a self,
        handler: &'a HandlerName,
        writing: Option<&'a Writing>,
    ) -> Handled<'a> {
        let result = match writing {
            None => HandledResult::Done { emitted: &[], state_keys: 0 },
            Some(Writing { failure: Some(failure), .. }) => HandledResult::Dead(failure),
            Some(writing) => {
                HandledResult::Done { emitted: &writing.emitted, state_keys: writing.state.len() }
            }
        };
        let event = self.event().map(Arc::as_ref);
        Handled { handler, position: self.position(), event, result, elapsed: self.elapsed }
    }
}
