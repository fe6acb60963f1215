//! Waits for the wish to stop: ctrl-c or SIGTERM.

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};

use anyhow::Result;

/// Hears of every wish to stop from its making on, those between two waits too: once one of it was made, the system
/// ends the process no more by itself.
pub(super) struct Interrupts {
    #[cfg(unix)]
    terminate: Signal,
    #[cfg(unix)]
    interrupt: Signal,
}

#[cfg(unix)]
impl Interrupts {
    pub(super) fn listen() -> Result<Interrupts> {
        let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        Ok(Interrupts { terminate, interrupt })
    }

    /// Returns the name of the signal that came.
    pub(super) async fn next(&mut self) -> Result<&'static str> {
        Ok(tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "ctrl-c",
        })
    }
}

#[cfg(not(unix))]
impl Interrupts {
    pub(super) fn listen() -> Result<Interrupts> {
        Ok(Interrupts {})
    }

    /// Returns the name of the signal that came.
    pub(super) async fn next(&mut self) -> Result<&'static str> {
        tokio::signal::ctrl_c().await?;
        Ok("ctrl-c")
    }
}
