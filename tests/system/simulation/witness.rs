//! The witness: knows of every run of a handler, whatever became of it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use tokio::sync::Notify;
use waxwing_event::Position;

use super::handler::Handler;

/// For each input, how far the log went when a run of it was done.
pub type Done = BTreeMap<(Handler, Position), Vec<Position>>;

/// What the witness has seen. Clones are the same witness.
#[derive(Clone, Default)]
pub struct Witness {
    begun: Arc<Mutex<BTreeMap<(Handler, Position), u64>>>,
    done: Arc<Mutex<Done>>,
    present: Arc<Mutex<BTreeMap<Handler, usize>>>,
    came: Arc<Notify>,
}

impl Witness {
    /// A run of an input begins; tells which one it is, from 1.
    pub fn begins(&self, handler: Handler, position: Position) -> u64 {
        let mut begun = self.begun.lock().unwrap();
        let runs = begun.entry((handler, position)).or_default();
        *runs += 1;
        *runs
    }

    /// A run has not failed.
    pub fn ran(&self, handler: Handler, position: Position, log: Position) {
        self.done.lock().unwrap().entry((handler, position)).or_default().push(log);
    }

    /// The runs that have not failed.
    pub fn done(&self) -> Done {
        self.done.lock().unwrap().clone()
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
