//! The witness: knows of every run of a handler, whatever became of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use tokio::sync::Notify;
use waxwing_event::Position;

use super::handler::Handler;

/// What the witness has seen. Clones are the same witness.
#[derive(Clone, Default)]
pub struct Witness {
    begun: Arc<Mutex<BTreeSet<(Handler, Position)>>>,
    ended: Arc<Mutex<BTreeSet<(Handler, Position)>>>,
    present: Arc<Mutex<BTreeMap<Handler, usize>>>,
    came: Arc<Notify>,
}

impl Witness {
    /// A run begins; true where another of the same input began before.
    pub fn begins(&self, handler: Handler, position: Position) -> bool {
        !self.begun.lock().unwrap().insert((handler, position))
    }

    /// A run came to an end of its own.
    pub fn ran(&self, handler: Handler, position: Position) {
        self.ended.lock().unwrap().insert((handler, position));
    }

    pub fn has_ran(&self, handler: Handler, position: Position) -> bool {
        self.ended.lock().unwrap().contains(&(handler, position))
    }

    /// Waits until `count` runs of this handler are here.
    pub async fn meet(&self, handler: Handler, count: usize) {
        *self.present.lock().unwrap().entry(handler).or_default() += 1;
        self.came.notify_waiters();
        loop {
            let came = self.came.notified();
            if self.present.lock().unwrap()[&handler] >= count {
                return;
            }
            came.await;
        }
    }
}
