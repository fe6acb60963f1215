//! The modules of the handlers, from outside: whether they have been fixed, and what they depend on.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use super::handler::Handler;

/// What the modules are like. Clones are the same modules.
#[derive(Clone, Default)]
pub struct Modules {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    fixed: bool,
    down: BTreeSet<Handler>,
}

impl Modules {
    /// From now on nothing fails that failed before.
    pub fn fix(&self) {
        self.state.lock().unwrap().fixed = true;
    }

    pub fn are_fixed(&self) -> bool {
        self.state.lock().unwrap().fixed
    }

    /// What a handler depends on is down, or works again.
    pub fn set_down(&self, handler: Handler, down: bool) {
        let mut state = self.state.lock().unwrap();
        if down {
            state.down.insert(handler);
        } else {
            state.down.remove(&handler);
        }
    }

    pub fn is_down(&self, handler: Handler) -> bool {
        self.state.lock().unwrap().down.contains(&handler)
    }
}
