//! From what wasmtime says to what people read.

use std::{collections::BTreeSet, time::Duration};

use wasmtime::{FrameInfo, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;
use waxwing_event::{Failure, outcome::FailureKind};

use crate::{
    backtrace, contract::waxwing::events::types, engine::BACKTRACE_FRAMES, guest::Guest, panic_text,
    slice::DeadlinePassed,
};

/// Why a run failed that ended with an error of wasmtime's.
pub(crate) fn of_error(error: &wasmtime::Error, guest: &Guest) -> Failure {
    if let Some(unavailable) = unavailable(guest) {
        return unavailable;
    }
    let (kind, reason) = classify(error, guest);
    Failure { backtrace: backtrace::of(frames(error), BACKTRACE_FRAMES), ..Failure::new(kind, reason) }
}

/// Why a run failed that ended with a failure of the guest's own.
pub(crate) fn of_guest(failure: types::Failure, guest: &Guest) -> Failure {
    if let Some(unavailable) = unavailable(guest) {
        return unavailable;
    }
    match failure {
        types::Failure::Retry(retry) => Failure {
            after: retry.after_ms.map(Duration::from_millis),
            ..Failure::new(FailureKind::Retry, retry.reason)
        },
        types::Failure::Reject(reason) => Failure::new(FailureKind::Reject, reason),
    }
}

/// A run that waited beyond its deadline.
pub(crate) fn deadline(deadline: Duration) -> Failure {
    Failure::new(FailureKind::Deadline, format!("ran longer than its deadline of {deadline:?}"))
}

/// State that could not be read is the likely cause of whatever came after it.
fn unavailable(guest: &Guest) -> Option<Failure> {
    let error = guest.state_unavailable.as_ref()?;
    Some(Failure::new(FailureKind::Unavailable, error.to_string()))
}

fn classify(error: &wasmtime::Error, guest: &Guest) -> (FailureKind, String) {
    if error.is::<DeadlinePassed>() {
        let failure = deadline(guest.handler.limits.deadline);
        return (failure.kind, failure.reason);
    }
    if error.is::<I32Exit>() {
        return (FailureKind::Exit, "ended its process: return from the handler instead".to_owned());
    }
    let words = panic_text::find(&guest.tail());
    if let Some(limit) = guest.memory.reached() {
        let words = words.map(|words| format!(" ({words})")).unwrap_or_default();
        return (
            FailureKind::Memory,
            format!("asked for more memory than its limit of {}{words}", bytes(limit)),
        );
    }
    if is_overflow(error) {
        let reason = "its calls nested deeper than its stack: look for a recursion without end";
        return (FailureKind::Stack, reason.to_owned());
    }
    (FailureKind::Trap, words.unwrap_or_else(|| error.root_cause().to_string()))
}

/// True where the stack was used up: wasmtime's, or the one that the guest keeps in its memory.
///
/// Guests keep that one at the bottom of their memory. Below it every access is out of bounds, which wasmtime
/// cannot tell from other such accesses; a full backtrace of few functions that call each other can.
fn is_overflow(error: &wasmtime::Error) -> bool {
    match error.downcast_ref() {
        Some(Trap::StackOverflow) => true,
        Some(Trap::MemoryOutOfBounds) => {
            let functions: Vec<u32> = frames(error).iter().map(FrameInfo::func_index).collect();
            let distinct: BTreeSet<u32> = functions.iter().copied().collect();
            functions.len() >= BACKTRACE_FRAMES && distinct.len() <= BACKTRACE_FRAMES / 4
        }
        _ => false,
    }
}

fn frames(error: &wasmtime::Error) -> &[FrameInfo] {
    error.downcast_ref::<WasmBacktrace>().map(WasmBacktrace::frames).unwrap_or_default()
}

fn bytes(count: usize) -> String {
    match count {
        count if count > 0 && count % (1 << 20) == 0 => format!("{} MiB", count >> 20),
        count if count > 0 && count % (1 << 10) == 0 => format!("{} KiB", count >> 10),
        count => format!("{count} bytes"),
    }
}
