//! Tells systemd that the host is ready, that it stops, and, again and again, that it still turns (`sd_notify`). Where
//! nobody asked to be told (`NOTIFY_SOCKET`), nothing is sent.

use tokio_util::task::AbortOnDropHandle;

/// Tells the service manager how the host is; dropped, it tells no more that it turns.
pub struct Notifier {
    _watchdog: Option<AbortOnDropHandle<()>>,
}

#[cfg(unix)]
mod manager {
    use std::time::Duration;

    use sd_notify::NotifyState;

    pub(super) const READY: NotifyState<'_> = NotifyState::Ready;
    pub(super) const STOPPING: NotifyState<'_> = NotifyState::Stopping;
    pub(super) const TURNS: NotifyState<'_> = NotifyState::Watchdog;

    pub(super) fn tell(state: NotifyState<'_>) {
        if let Err(error) = sd_notify::notify(&[state]) {
            tracing::warn!(%error, "the service manager cannot be told how the host is");
        }
    }

    /// After how much silence it takes the host for dead.
    pub(super) fn patience() -> Option<Duration> {
        sd_notify::watchdog_enabled()
    }
}

#[cfg(not(unix))]
mod manager {
    use std::time::Duration;

    pub(super) const READY: () = ();
    pub(super) const STOPPING: () = ();
    pub(super) const TURNS: () = ();

    pub(super) fn tell((): ()) {}

    pub(super) fn patience() -> Option<Duration> {
        None
    }
}

impl Notifier {
    /// Begins to tell that the host turns, where the manager watches: twice in its patience.
    pub fn start() -> Notifier {
        let watchdog = manager::patience().map(|patience| {
            AbortOnDropHandle::new(tokio::spawn(async move {
                let mut beats = tokio::time::interval(patience / 2);
                loop {
                    beats.tick().await;
                    manager::tell(manager::TURNS);
                }
            }))
        });
        Notifier { _watchdog: watchdog }
    }

    /// Tells that the host is ready.
    pub fn ready(&self) {
        manager::tell(manager::READY);
    }

    /// Tells that the host stops.
    pub fn stopping(&self) {
        manager::tell(manager::STOPPING);
    }
}
