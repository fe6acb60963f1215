//! The host on the other side of the component's imports.
//!
//! Plain functions, no trait object: a table of functions would make every module import everything.

use crate::aggregate::AggregateError;
use crate::bindings::waxwing::events::{
    aggregates, emit, log, reply, secrets, settings, state, timers, types,
};
use crate::emit::EmitError;
use crate::http::{HttpCall, HttpError, HttpResponse};
use crate::log::Level;
use crate::reply::ReplyError;
use crate::secret::SecretError;
use crate::state::StateError;
use crate::timer::{Due, TimerError};

pub(crate) struct Host;

impl Host {
    pub(crate) fn emit(&mut self, event: emit::NewEvent<'_>) -> Result<(), EmitError> {
        emit::emit(event).map_err(emit_error)
    }

    pub(crate) fn is_asked(&self) -> bool {
        reply::is_asked()
    }

    pub(crate) fn reply(
        &mut self,
        data: &[u8],
        content_type: Option<&str>,
        attributes: &[types::AttributeParam<'_>],
    ) -> Result<(), ReplyError> {
        reply::respond(data, content_type, attributes).map_err(reply_error)
    }

    pub(crate) fn state_get(&self, key: &str) -> Result<Option<Vec<u8>>, StateError> {
        state::get(key).map_err(state_error)
    }

    pub(crate) fn state_set(&mut self, key: &str, value: &[u8]) -> Result<(), StateError> {
        state::set(key, value).map_err(state_error)
    }

    pub(crate) fn state_delete(&mut self, key: &str) -> Result<(), StateError> {
        state::delete(key).map_err(state_error)
    }

    pub(crate) fn state_keys(&self, prefix: &str) -> Result<Vec<String>, StateError> {
        state::keys(prefix).map_err(state_error)
    }

    pub(crate) fn timer_set(
        &mut self,
        id: &str,
        due: Due,
        data: &[u8],
        content_type: Option<&str>,
    ) -> Result<(), TimerError> {
        let due = match due {
            Due::AfterMs(ms) => timers::Due::AfterMs(ms),
            Due::AtMs(ms) => timers::Due::AtMs(ms),
        };
        timers::set(id, due, data, content_type).map_err(timer_error)
    }

    pub(crate) fn timer_cancel(&mut self, id: &str) -> Result<(), TimerError> {
        timers::cancel(id).map_err(timer_error)
    }

    /// A snapshot where there is one, and the position behind which to read on.
    pub(crate) fn history_load(&self, id: &str) -> Result<(Option<Vec<u8>>, u64), AggregateError> {
        let start = aggregates::load(id).map_err(aggregate_error)?;
        Ok((start.snapshot, start.after))
    }

    pub(crate) fn history_read(&self, id: &str, after: u64) -> Result<Vec<types::Event>, AggregateError> {
        aggregates::read(id, after).map_err(aggregate_error)
    }

    pub(crate) fn history_append(
        &mut self,
        id: &str,
        event: emit::NewEvent<'_>,
    ) -> Result<(), AggregateError> {
        aggregates::append(id, event).map_err(aggregate_error)
    }

    pub(crate) fn history_save(&mut self, id: &str, snapshot: &[u8]) -> Result<(), AggregateError> {
        aggregates::save(id, snapshot).map_err(aggregate_error)
    }

    pub(crate) fn http(&mut self, call: HttpCall) -> Result<HttpResponse, HttpError> {
        crate::http::send(call)
    }

    pub(crate) fn secret(&self, name: &str) -> Result<Vec<u8>, SecretError> {
        secrets::get(name).map_err(secret_error)
    }

    pub(crate) fn setting(&self, name: &str) -> Option<String> {
        settings::get(name)
    }

    pub(crate) fn settings(&self) -> Vec<(String, String)> {
        settings::all()
    }

    pub(crate) fn log(&mut self, level: Level, message: &str, fields: &[(&str, &str)]) {
        let level = match level {
            Level::Trace => log::Level::Trace,
            Level::Debug => log::Level::Debug,
            Level::Info => log::Level::Info,
            Level::Warn => log::Level::Warn,
            Level::Error => log::Level::Error,
        };
        let fields: Vec<_> = fields.iter().map(|&(name, value)| log::Field { name, value }).collect();
        log::write(level, message, &fields);
    }
}

fn emit_error(error: emit::EmitError) -> EmitError {
    match error {
        emit::EmitError::InvalidSubject(why) => EmitError::InvalidSubject(why),
        emit::EmitError::NotGranted(why) => EmitError::NotGranted(why),
        emit::EmitError::InvalidAttribute(why) => EmitError::InvalidAttribute(why),
        emit::EmitError::TooLarge(limit) => EmitError::TooLarge(limit),
        emit::EmitError::TooMany(limit) => EmitError::TooMany(limit),
    }
}

fn aggregate_error(error: aggregates::AggregateError) -> AggregateError {
    match error {
        aggregates::AggregateError::NoneHere => AggregateError::NoneHere,
        aggregates::AggregateError::InvalidId(why) => AggregateError::InvalidId(why),
        aggregates::AggregateError::Unavailable(why) => AggregateError::Unavailable(why),
        aggregates::AggregateError::Damaged(why) => AggregateError::Damaged(why),
        aggregates::AggregateError::Refused(error) => AggregateError::Refused(emit_error(error)),
        aggregates::AggregateError::TooLarge(limit) => AggregateError::TooLarge(limit),
        aggregates::AggregateError::TooMany(limit) => AggregateError::TooMany(limit),
    }
}

fn reply_error(error: reply::ReplyError) -> ReplyError {
    match error {
        reply::ReplyError::NotAsked => ReplyError::NotAsked,
        reply::ReplyError::Replied => ReplyError::Replied,
        reply::ReplyError::InvalidAttribute(why) => ReplyError::InvalidAttribute(why),
        reply::ReplyError::TooLarge(limit) => ReplyError::TooLarge(limit),
        reply::ReplyError::TooMany(limit) => ReplyError::TooMany(limit),
    }
}

fn timer_error(error: timers::TimerError) -> TimerError {
    match error {
        timers::TimerError::InvalidId(why) => TimerError::InvalidId(why),
        timers::TimerError::InvalidContentType(why) => TimerError::InvalidContentType(why),
        timers::TimerError::TooFar(limit) => TimerError::TooFar(limit),
        timers::TimerError::TooLarge(limit) => TimerError::TooLarge(limit),
        timers::TimerError::TooMany(limit) => TimerError::TooMany(limit),
        timers::TimerError::NotHere => TimerError::NotHere,
    }
}

fn secret_error(error: secrets::SecretError) -> SecretError {
    match error {
        secrets::SecretError::NotGranted(name) => SecretError::NotGranted(name),
        secrets::SecretError::Unavailable(name) => SecretError::Unavailable(name),
    }
}

fn state_error(error: state::StateError) -> StateError {
    match error {
        state::StateError::InvalidKey(why) => StateError::InvalidKey(why),
        state::StateError::TooLarge(limit) => StateError::TooLarge(limit),
        state::StateError::TooMany(limit) => StateError::TooMany(limit),
        state::StateError::Unavailable(why) => StateError::Unavailable(why),
    }
}
