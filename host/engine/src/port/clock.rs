//! Time, as a port: a simulation owns it.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

/// Tells and waits for time.
#[async_trait]
pub trait Clock: Send + Sync {
    /// The wall clock's time.
    fn now(&self) -> Timestamp;

    /// Returns after `duration`.
    async fn sleep(&self, duration: Duration);
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}
