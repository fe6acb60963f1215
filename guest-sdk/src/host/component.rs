//! The host on the other side of the component's imports.
//!
//! Plain functions, no trait object: a table of functions would make every module import everything.

use crate::bindings::waxwing::events::{emit, log, reply, settings, state, types};
use crate::emit::EmitError;
use crate::log::Level;
use crate::reply::ReplyError;
use crate::state::StateError;

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

fn reply_error(error: reply::ReplyError) -> ReplyError {
    match error {
        reply::ReplyError::NotAsked => ReplyError::NotAsked,
        reply::ReplyError::Replied => ReplyError::Replied,
        reply::ReplyError::InvalidAttribute(why) => ReplyError::InvalidAttribute(why),
        reply::ReplyError::TooLarge(limit) => ReplyError::TooLarge(limit),
        reply::ReplyError::TooMany(limit) => ReplyError::TooMany(limit),
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
