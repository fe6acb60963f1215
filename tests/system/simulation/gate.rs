//! A gate that opens and shuts. Those who wait before it go through in the order of their coming; tokio's
//! `watch` would let them go in any order.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use tokio::sync::Notify;

/// A gate, open at first.
#[derive(Default)]
pub struct Gate {
    shut: AtomicBool,
    opened: Notify,
}

impl Gate {
    pub fn is_open(&self) -> bool {
        !self.shut.load(Relaxed)
    }

    pub fn shut(&self) {
        self.shut.store(true, Relaxed);
    }

    pub fn open(&self) {
        self.shut.store(false, Relaxed);
        self.opened.notify_waiters();
    }

    /// Waits until it is open.
    pub async fn pass(&self) {
        loop {
            let opened = self.opened.notified();
            if self.is_open() {
                return;
            }
            opened.await;
        }
    }
}
