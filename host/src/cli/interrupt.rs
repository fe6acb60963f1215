//! Waits for the wish to stop: ctrl-c or SIGTERM.

use anyhow::Result;

/// Returns the name of the signal that came.
#[cfg(unix)]
pub(super) async fn wait() -> Result<&'static str> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "ctrl-c",
    })
}

/// Returns the name of the signal that came.
#[cfg(not(unix))]
pub(super) async fn wait() -> Result<&'static str> {
    tokio::signal::ctrl_c().await?;
    Ok("ctrl-c")
}
