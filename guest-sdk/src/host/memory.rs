//! A host in memory, for native tests. It refuses what the contract in `wit/` forbids; the limits that
//! a real host sets from its manifest (sizes, counts) it does not have.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::aggregate::AggregateError;
use crate::bindings::waxwing::events::{emit, types};
use crate::emit::EmitError;
use crate::http::{HttpCall, HttpError, HttpResponse, shown};
use crate::log::Level;
use crate::reply::ReplyError;
use crate::secret::SecretError;
use crate::state::StateError;
use crate::testing::{Answer, Emitted, Line, Replied, SetTimer};
use crate::timer::{Due, TimerError};

/// Names that only the host may stamp.
const STAMPED: [&str; 12] = [
    "specversion",
    "id",
    "source",
    "type",
    "subject",
    "time",
    "datacontenttype",
    "dataschema",
    "correlationid",
    "causationid",
    "traceparent",
    "tracestate",
];

#[derive(Clone, Debug, Default)]
pub(crate) struct Host {
    pub(crate) state: BTreeMap<String, Vec<u8>>,
    pub(crate) timers: BTreeMap<String, SetTimer>,
    /// Where histories stand.
    pub(crate) aggregate: Option<String>,
    pub(crate) histories: BTreeMap<String, Vec<types::Event>>,
    /// How many events have been appended; the last one's position.
    pub(crate) appended: u64,
    /// Keys of the state that are snapshots, and the position up to which.
    pub(crate) snapshots: BTreeMap<String, u64>,
    /// What time it is: so long after 1970-01-01T00:00:00Z.
    pub(crate) now: Duration,
    /// The key of the event that runs.
    pub(crate) key: Option<String>,
    pub(crate) settings: BTreeMap<String, String>,
    pub(crate) secrets: BTreeMap<String, Vec<u8>>,
    /// Subject patterns; none: everything is granted.
    pub(crate) grants: Option<Vec<String>>,
    pub(crate) emitted: Vec<Emitted>,
    pub(crate) lines: Vec<Line>,
    /// True where somebody waits for a reply.
    pub(crate) is_asked: bool,
    pub(crate) replied: Option<Replied>,
    /// The HTTP calls of the run.
    pub(crate) calls: Vec<HttpCall>,
    /// What answers them; none: they are refused.
    pub(crate) outside: Option<Outside>,
}

/// What answers the HTTP calls of a test.
#[derive(Clone)]
pub(crate) struct Outside(pub(crate) Arc<Answers>);

/// A call's answer, or why there is none.
pub(crate) type Answers = dyn Fn(&HttpCall) -> Result<Answer, HttpError> + Send + Sync;

impl fmt::Debug for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outside").finish_non_exhaustive()
    }
}

impl Host {
    pub(crate) fn emit(&mut self, event: emit::NewEvent<'_>) -> Result<(), EmitError> {
        if !is_subject(event.subject) {
            return Err(EmitError::InvalidSubject(event.subject.to_owned()));
        }
        let granted = |patterns: &Vec<String>| patterns.iter().any(|p| covers(p, event.subject));
        if !self.grants.as_ref().is_none_or(granted) {
            return Err(EmitError::NotGranted(event.subject.to_owned()));
        }
        self.keep(event)
    }

    fn keep(&mut self, event: emit::NewEvent<'_>) -> Result<(), EmitError> {
        let mut extensions = BTreeMap::new();
        for attribute in event.extensions {
            if !is_attribute(attribute.name) {
                return Err(EmitError::InvalidAttribute(attribute.name.to_owned()));
            }
            extensions.insert(attribute.name.to_owned(), attribute.value.to_owned());
        }
        self.emitted.push(Emitted {
            subject: event.subject.to_owned(),
            event_type: event.type_.unwrap_or(event.subject).to_owned(),
            about: event.about.map(str::to_owned),
            content_type: event.content_type.unwrap_or("application/json").to_owned(),
            data_schema: event.data_schema.map(str::to_owned),
            extensions,
            data: event.data.to_vec(),
        });
        Ok(())
    }

    pub(crate) fn is_asked(&self) -> bool {
        self.is_asked
    }

    pub(crate) fn reply(
        &mut self,
        data: &[u8],
        content_type: Option<&str>,
        attributes: &[types::AttributeParam<'_>],
    ) -> Result<(), ReplyError> {
        if !self.is_asked {
            return Err(ReplyError::NotAsked);
        }
        if self.replied.is_some() {
            return Err(ReplyError::Replied);
        }
        let mut named = BTreeMap::new();
        for attribute in attributes {
            if !is_name(attribute.name) || !is_header(attribute.value) {
                return Err(ReplyError::InvalidAttribute(attribute.name.to_owned()));
            }
            if named.insert(attribute.name.to_owned(), attribute.value.to_owned()).is_some() {
                return Err(ReplyError::InvalidAttribute(attribute.name.to_owned()));
            }
        }
        if content_type.is_some_and(|value| value.is_empty() || !is_header(value)) {
            return Err(ReplyError::InvalidAttribute("content-type".to_owned()));
        }
        self.replied = Some(Replied {
            data: data.to_vec(),
            content_type: content_type.unwrap_or("application/json").to_owned(),
            attributes: named,
        });
        Ok(())
    }

    pub(crate) fn state_get(&self, key: &str) -> Result<Option<Vec<u8>>, StateError> {
        check_key(key)?;
        Ok(self.state.get(key).cloned())
    }

    pub(crate) fn state_set(&mut self, key: &str, value: &[u8]) -> Result<(), StateError> {
        check_key(key)?;
        self.snapshots.remove(key);
        self.state.insert(key.to_owned(), value.to_vec());
        Ok(())
    }

    pub(crate) fn state_delete(&mut self, key: &str) -> Result<(), StateError> {
        check_key(key)?;
        self.state.remove(key);
        Ok(())
    }

    pub(crate) fn state_keys(&self, prefix: &str) -> Result<Vec<String>, StateError> {
        let keys = self.state.keys();
        Ok(keys.filter(|key| key.starts_with(prefix)).cloned().collect())
    }

    pub(crate) fn timer_set(
        &mut self,
        id: &str,
        due: Due,
        data: &[u8],
        content_type: Option<&str>,
    ) -> Result<(), TimerError> {
        check_id(id)?;
        let due = match due {
            Due::AfterMs(ms) => self.now.saturating_add(Duration::from_millis(ms)),
            Due::AtMs(ms) => Duration::from_millis(ms),
        };
        let timer = SetTimer {
            due,
            data: data.to_vec(),
            content_type: content_type.unwrap_or("application/json").to_owned(),
            key: self.key.clone(),
        };
        self.timers.insert(id.to_owned(), timer);
        Ok(())
    }

    pub(crate) fn timer_cancel(&mut self, id: &str) -> Result<(), TimerError> {
        check_id(id)?;
        self.timers.remove(id);
        Ok(())
    }

    pub(crate) fn history_load(&self, id: &str) -> Result<(Option<Vec<u8>>, u64), AggregateError> {
        check_name("an id", id).map_err(AggregateError::InvalidId)?;
        let after = self.snapshots.get(id).copied();
        let snapshot = after.and_then(|_| self.state.get(id).cloned());
        Ok((snapshot, after.unwrap_or_default()))
    }

    pub(crate) fn history_read(&self, id: &str, after: u64) -> Result<Vec<types::Event>, AggregateError> {
        let history = self.histories.get(id).into_iter().flatten();
        Ok(history.filter(|event| event.position > after).cloned().collect())
    }

    pub(crate) fn history_append(
        &mut self,
        id: &str,
        event: emit::NewEvent<'_>,
    ) -> Result<(), AggregateError> {
        let (past, subject) = (self.past(event.type_.unwrap_or_default(), event.data), self.subject_of(id));
        self.keep(emit::NewEvent { subject: &subject, ..event }).map_err(AggregateError::Refused)?;
        self.histories.entry(id.to_owned()).or_default().push(past);
        Ok(())
    }

    /// An event as it would stand in a history next.
    pub(crate) fn past(&mut self, event_type: &str, data: &[u8]) -> types::Event {
        self.appended += 1;
        let event = crate::testing::event(event_type).position(self.appended).bytes(data);
        event.record
    }

    fn subject_of(&self, id: &str) -> String {
        format!("{}.{}", self.aggregate.as_deref().unwrap_or("aggregates"), id.replace('.', "=2E"))
    }

    pub(crate) fn history_save(&mut self, id: &str, snapshot: &[u8]) -> Result<(), AggregateError> {
        self.state.insert(id.to_owned(), snapshot.to_vec());
        self.snapshots.insert(id.to_owned(), self.appended);
        Ok(())
    }

    pub(crate) fn http(&mut self, call: HttpCall) -> Result<HttpResponse, HttpError> {
        self.calls.push(call.clone());
        match &self.outside {
            Some(Outside(answer)) => answer(&call).map(|answer| answer.of(&shown(&call.url))),
            None => Err(HttpError::Denied(shown(&call.url))),
        }
    }

    pub(crate) fn secret(&self, name: &str) -> Result<Vec<u8>, SecretError> {
        self.secrets.get(name).cloned().ok_or_else(|| SecretError::NotGranted(name.to_owned()))
    }

    pub(crate) fn setting(&self, name: &str) -> Option<String> {
        self.settings.get(name).cloned()
    }

    pub(crate) fn settings(&self) -> Vec<(String, String)> {
        self.settings.clone().into_iter().collect()
    }

    pub(crate) fn log(&mut self, level: Level, message: &str, fields: &[(&str, &str)]) {
        self.lines.push(Line {
            level,
            message: message.to_owned(),
            fields: fields.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect(),
        });
    }
}

fn is_subject(subject: &str) -> bool {
    subject.len() <= 255
        && subject.split('.').all(|token| {
            !token.is_empty()
                && !token.contains(|c: char| c.is_whitespace() || c.is_control() || "*>".contains(c))
        })
}

/// Whether a NATS subject pattern (`*` one token, `>` the rest) covers a subject.
fn covers(pattern: &str, subject: &str) -> bool {
    let mut tokens = subject.split('.');
    for wanted in pattern.split('.') {
        match (wanted, tokens.next()) {
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (wanted, Some(token)) if wanted == token => {}
            _ => return false,
        }
    }
    tokens.next().is_none()
}

fn is_attribute(name: &str) -> bool {
    is_name(name) && !STAMPED.contains(&name)
}

fn is_name(name: &str) -> bool {
    (1..=20).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

/// Whether a header can carry a value as it is.
fn is_header(value: &str) -> bool {
    !value.contains(char::is_control) && value.trim() == value
}

fn check_id(id: &str) -> Result<(), TimerError> {
    check_name("an id", id).map_err(TimerError::InvalidId)
}

fn check_key(key: &str) -> Result<(), StateError> {
    check_name("a key", key).map_err(StateError::InvalidKey)
}

fn check_name(what: &str, name: &str) -> Result<(), String> {
    match name.len() {
        0 => Err(format!("{what} must not be empty")),
        1..=200 => Ok(()),
        length => Err(format!("{what} of {length} bytes: at most 200 are allowed")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_subjects_without_wildcards_blanks_or_empty_tokens() {
        assert!(is_subject("prices.updated"));
        assert!(is_subject(&"a".repeat(255)));
        for refused in ["", ".", "a.", "a..b", "a.*", "a.>", "a b", "a\tb", &"a".repeat(256)] {
            assert!(!is_subject(refused), "{refused:?}");
        }
    }

    #[test]
    fn takes_keys_of_1_to_200_bytes() {
        for taken in ["a", "event/7", "a..b ü*", &"k".repeat(200)] {
            assert!(check_key(taken).is_ok(), "{taken:?}");
        }
        for refused in ["", &"k".repeat(201)] {
            assert!(check_key(refused).is_err(), "{refused:?}");
        }
    }

    #[test]
    fn matches_grants_as_nats_does() {
        for (pattern, subject) in [("a.>", "a.b.c"), ("a.*.c", "a.b.c"), ("a.b", "a.b"), (">", "a")] {
            assert!(covers(pattern, subject), "{pattern} {subject}");
        }
        for (pattern, subject) in [("a.>", "a"), ("a.*", "a.b.c"), ("a", "a.b"), ("a.b", "a")] {
            assert!(!covers(pattern, subject), "{pattern} {subject}");
        }
    }

    #[test]
    fn refuses_attributes_that_the_host_stamps() {
        assert!(is_attribute("tenant"));
        for refused in ["", "Tenant", "a-b", "correlationid", &"a".repeat(21)] {
            assert!(!is_attribute(refused), "{refused:?}");
        }
    }
}
