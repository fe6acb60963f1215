//! What such a guest asks others over the broker: at once and at least once, as calls over HTTP are.

use std::{
    fmt,
    num::NonZeroU32,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use uuid::Uuid;
use waxwing_engine::port::ask::{Ask, AskError, Question, Response};
use waxwing_event::{Event, Subject};

use crate::{guest::Guest, slice};

/// The most that one run may ask.
const MAX_QUESTIONS: u32 = 256;

/// The most replies to one question.
const MAX_REPLIES: u32 = 64;

/// The namespace of the ids of questions, made once for them.
const NAMESPACE: Uuid = Uuid::from_u128(0x1f53_77f1_6f2e_4a53_9a0e_9e1f_6fd4_6a52);

/// Where questions go, once that is said: there may be no broker.
#[derive(Clone, Default)]
pub(crate) struct Asker(Arc<OnceLock<Arc<dyn Ask>>>);

impl Asker {
    /// Says where they go; who is set already stays.
    pub(crate) fn set(&self, asker: Arc<dyn Ask>) {
        let _ = self.0.set(asker);
    }
}

impl fmt::Debug for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asker").field("is_set", &self.0.get().is_some()).finish()
    }
}

/// How long and how often a guest wants to hear.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// As long as this; none: as long as the run may take.
    pub(super) timeout: Option<Duration>,
    /// So many replies.
    pub(super) replies: u32,
}

/// A question that is granted.
pub(super) struct Granted {
    asker: Arc<dyn Ask>,
    question: Question,
}

/// Asks what is granted. Borrows nothing of the guest, which may do something else meanwhile.
pub(super) async fn ask(granted: Result<Granted, AskError>) -> Result<Vec<Response>, AskError> {
    let Granted { asker, question } = granted?;
    asker.ask(question).await
}

impl Guest {
    /// Checks a question.
    pub(super) fn question(
        &mut self,
        subject: &str,
        data: Vec<u8>,
        patience: Patience,
    ) -> Result<Granted, AskError> {
        let granted = self.granted_question(subject, data, patience);
        if let Err(error) = &granted {
            self.warn(&error.to_string());
        }
        granted
    }

    fn granted_question(
        &mut self,
        subject: &str,
        data: Vec<u8>,
        patience: Patience,
    ) -> Result<Granted, AskError> {
        let subject: Subject =
            subject.parse().map_err(|error| AskError::Subject(format!("`{subject}`: {error}")))?;
        let handler = &self.handler;
        if !handler.grants.request.iter().any(|pattern| pattern.matches(subject.as_str())) {
            return Err(AskError::NotGranted(subject.to_string()));
        }
        if data.len() as u64 > handler.limits.entry_bytes {
            return Err(AskError::TooLarge(handler.limits.entry_bytes));
        }
        self.questions = self.questions.saturating_add(1);
        if self.questions > MAX_QUESTIONS {
            return Err(AskError::TooMany(MAX_QUESTIONS));
        }
        let asker = handler.surroundings.asker.as_ref().ok_or(AskError::Rehearsed)?;
        let asker = asker.0.get().ok_or_else(|| AskError::Away("there is no NATS server".to_owned()))?;
        // What is asked for longer than the run may take ends with it.
        let left = slice::left().unwrap_or(handler.limits.deadline);
        let question = Question {
            id: self.event().map(|event| self.question_id(&event)),
            subject,
            payload: Bytes::from(data),
            trace: self.event().map(|event| trace(&event)).unwrap_or_default(),
            timeout: patience.timeout.map_or(left, |timeout| timeout.min(left)),
            replies: NonZeroU32::new(patience.replies.min(MAX_REPLIES)).unwrap_or(NonZeroU32::MIN),
        };
        Ok(Granted { asker: asker.clone(), question })
    }

    /// The same whenever the event runs: so one who knows ids handles a question once.
    fn question_id(&self, event: &Event) -> String {
        let handler = &self.handler;
        let index = self.questions.to_string();
        let parts =
            [handler.surroundings.app.as_str(), handler.name.as_str(), &event.source, &event.id, &index];
        let mut name = Vec::new();
        for part in parts {
            // With its length before it no part can pass for two.
            name.extend_from_slice(&(part.len() as u64).to_be_bytes());
            name.extend_from_slice(part.as_bytes());
        }
        Uuid::new_v5(&NAMESPACE, &name).to_string()
    }
}

fn trace(event: &Event) -> Vec<(&'static str, String)> {
    let value = |name| event.extension(name).map(|value| (name, value.to_owned()));
    ["traceparent", "tracestate"].into_iter().filter_map(value).collect()
}
