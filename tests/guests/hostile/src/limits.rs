//! More effects and log lines than a run may have.

use waxwing_sdk::prelude::*;

const EVENTS: u32 = 100_000;
const LINES: u32 = 100 * 1024;
const LINE_BYTES: usize = 1024;

pub(crate) fn emit_until_refused(cx: &mut Context) -> Outcome {
    for n in 0..EVENTS {
        cx.emit("hostile.many", &n)?;
    }
    Ok(())
}

pub(crate) fn emit_and_ignore(cx: &mut Context) -> Outcome {
    for n in 0..EVENTS {
        let _ = cx.try_emit("hostile.many", &n);
    }
    Ok(())
}

pub(crate) fn flood_the_log(cx: &mut Context) -> Outcome {
    let line = "x".repeat(LINE_BYTES);
    for _ in 0..LINES {
        cx.info(&line);
    }
    Ok(())
}
