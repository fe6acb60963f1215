//! Whether a checkpoint speaks of the stream that its handler reads now.

use waxwing_event::{HandlerName, Position, StreamName};

use crate::{
    entry::{Checkpoint, Origin},
    inputs::Inputs,
};

/// Why a checkpoint's positions mean nothing in what the handler reads now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Elsewhere {
    /// The handler read something else.
    #[error(
        "handler `{handler}` has read {before} until now, and is to read {now}, where other events have the same \
         positions: give the handler another name, under which it begins anew"
    )]
    Other {
        /// The handler.
        handler: HandlerName,
        /// What it has read.
        before: String,
        /// What it is to read.
        now: String,
    },
    /// The stream was made anew.
    #[error(
        "the stream `{stream}` that was read up to {watermark} is gone, and another of this name was made at \
         {made}: restore the former one, or give the handler another name, under which it begins anew"
    )]
    MadeAnew {
        /// The stream.
        stream: StreamName,
        /// The checkpoint's watermark.
        watermark: Position,
        /// When the one of now was made.
        made: jiff::Timestamp,
    },
    /// The stream has lost its end.
    #[error(
        "the stream `{stream}` ends at {last}, but was read up to {watermark}: it was restored from an older \
         copy; restore a newer one, or give the handler another name, under which it begins anew"
    )]
    TooShort {
        /// The stream.
        stream: StreamName,
        /// The stream's last position.
        last: Position,
        /// The checkpoint's watermark.
        watermark: Position,
    },
}

/// Checks a checkpoint against the inputs as they are.
pub fn check(saved: &Checkpoint, inputs: &Inputs, handler: &HandlerName) -> Result<(), Elsewhere> {
    let name = |origin: &Option<Origin>| origin.as_ref().map(|origin| origin.stream.clone());
    let (before, now) = (name(&saved.origin), name(&inputs.origin));
    let (watermark, last) = (saved.watermark, inputs.bounds.last);
    if before != now {
        let (handler, before, now) = (handler.clone(), shown(before), shown(now));
        return Err(Elsewhere::Other { handler, before, now });
    }
    match &inputs.origin {
        Some(Origin { stream, made }) if saved.origin != inputs.origin => {
            Err(Elsewhere::MadeAnew { stream: stream.clone(), watermark, made: *made })
        }
        Some(Origin { stream, .. }) if watermark > last => {
            Err(Elsewhere::TooShort { stream: stream.clone(), last, watermark })
        }
        _ => Ok(()),
    }
}

fn shown(stream: Option<StreamName>) -> String {
    stream.map_or_else(|| "the app's log".to_owned(), |stream| format!("the stream `{stream}`"))
}
