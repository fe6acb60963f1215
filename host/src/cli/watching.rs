//! Watching: what a command shows is shown again and again, until it is interrupted.

use std::time::Duration;

use anyhow::Result;
use clap::Args;

use super::{interrupt::Interrupts, output};

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
        if !self.watch {
            return show().await;
        }
        let mut interrupts = Interrupts::listen()?;
        loop {
            if output::is_watched() {
                output::write_bytes(CLEAR.as_bytes())?;
            }
            let look = async {
                show().await?;
                tokio::time::sleep(LOOK_EVERY).await;
                anyhow::Ok(())
            };
            tokio::select! {
                looked = look => looked?,
                signal = interrupts.next() => return signal.map(drop),
            }
        }
    }
}
