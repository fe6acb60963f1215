//! Watching: what a command shows is shown again and again, until it is interrupted.

use std::time::Duration;

use anyhow::Result;
use clap::Args;

use super::{interrupt, output};

/// The time between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Clears a terminal, and begins at its top.
const CLEAR: &str = "\u{1b}[2J\u{1b}[H";

/// Whether it is shown again.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct Watching {
    /// Show it again every second, until ctrl-c
    #[arg(long, short)]
    watch: bool,
}

impl Watching {
    /// Shows it: once, or until it is interrupted.
    pub(super) async fn show(self, show: impl AsyncFn() -> Result<()>) -> Result<()> {
        loop {
            if self.watch && output::is_watched() {
                output::write_bytes(CLEAR.as_bytes())?;
            }
            show().await?;
            if !self.watch {
                return Ok(());
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                signal = interrupt::wait() => return signal.map(drop),
            }
        }
    }
}
