//! The alarm: rings at one moment, which may be changed.

use std::{pin::Pin, time::Duration};

use jiff::Timestamp;

use crate::port::Clock;

/// Rings at the moment for which it is set.
#[derive(Default)]
pub(super) struct Alarm<'c> {
    at: Option<Timestamp>,
    sleep: Option<Pin<Box<dyn Future<Output = ()> + Send + 'c>>>,
}

impl<'c> Alarm<'c> {
    /// Sets it for this moment, or for none.
    pub(super) fn set(&mut self, at: Option<Timestamp>, clock: &'c dyn Clock) {
        if self.at == at && (at.is_none() || self.sleep.is_some()) {
            return;
        }
        self.at = at;
        self.sleep = at.map(|at| {
            let wait = Duration::try_from(at.duration_since(clock.now())).unwrap_or(Duration::ZERO);
            clock.sleep(wait)
        });
    }

    /// Waits until it rings; for ever where it is not set. It must then be set anew.
    pub(super) async fn rings(&mut self) {
        match &mut self.sleep {
            Some(sleep) => sleep.await,
            None => std::future::pending().await,
        }
        self.sleep = None;
    }
}
