//! Calls that the host refuses with a typed error. Each behaviour reports the errors' kinds, in order, in
//! one event `hostile.seen` `{"kinds": […]}`, and ends well.

use waxwing_sdk::prelude::*;
use waxwing_sdk::{EmitError, StateError};

const OVERSIZE_BYTES: usize = 2 * 1024 * 1024;

pub(crate) fn emit_elsewhere(cx: &mut Context) -> Outcome {
    let kind = emit_kind(cx.try_emit("elsewhere.done", &1));
    seen(&[kind], cx)
}

pub(crate) fn emit_wrong_subjects(cx: &mut Context) -> Outcome {
    let long = format!("hostile.{}", "x".repeat(292));
    let subjects = ["", "hostile..b", "hostile.*", "hostile.a b", &long];
    let kinds = subjects.map(|subject| emit_kind(cx.try_emit(subject, &1)));
    seen(&kinds, cx)
}

pub(crate) fn emit_oversize(cx: &mut Context) -> Outcome {
    let event = cx.event("hostile.big").bytes(vec![b'x'; OVERSIZE_BYTES]);
    let kind = emit_kind(event.try_emit());
    seen(&[kind], cx)
}

pub(crate) fn state_oversize(cx: &mut Context) -> Outcome {
    let kind = state_kind(cx.state().set_bytes("big", &vec![b'x'; OVERSIZE_BYTES]));
    seen(&[kind], cx)
}

pub(crate) fn state_wrong_keys(cx: &mut Context) -> Outcome {
    let (longest, too_long) = ("x".repeat(200), "x".repeat(201));
    let keys = ["", &too_long, "a..b *>ü", &longest];
    let kinds = keys.map(|key| state_kind(cx.state().set(key, &1)));
    seen(&kinds, cx)
}

fn seen(kinds: &[&str], cx: &mut Context) -> Outcome {
    cx.emit("hostile.seen", &json!({ "kinds": kinds }))
}

fn emit_kind(result: Result<(), EmitError>) -> &'static str {
    match result {
        Ok(()) => "none",
        Err(EmitError::InvalidSubject(_)) => "invalid-subject",
        Err(EmitError::NotGranted(_)) => "not-granted",
        Err(EmitError::InvalidAttribute(_)) => "invalid-attribute",
        Err(EmitError::TooLarge(_)) => "too-large",
        Err(EmitError::TooMany(_)) => "too-many",
        Err(_) => "other",
    }
}

fn state_kind(result: Result<(), StateError>) -> &'static str {
    match result {
        Ok(()) => "none",
        Err(StateError::InvalidKey(_)) => "invalid-key",
        Err(StateError::TooLarge(_)) => "too-large",
        Err(StateError::TooMany(_)) => "too-many",
        Err(StateError::Unavailable(_)) => "unavailable",
        Err(_) => "other",
    }
}
