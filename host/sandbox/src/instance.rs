//! Instances: one for each event, or kept for the next.

use std::{collections::HashMap, sync::Arc};

use wasmtime::Store;

use crate::{guest::Guest, handler::Loaded, module::Exports, slice};

/// Runs after which an instance is replaced even if nothing failed: what it leaks stays bounded.
const RUNS_MAX: u32 = 10_000;

/// Bytes that one host call may carry above what a run's effects may hold.
const CALL_SLACK_BYTES: u64 = 1 << 20;

/// Resources of the component model that an instance may hold at once.
const HANDLES: usize = 1024;

/// A live instance.
pub(crate) struct Instance {
    /// Its memory and the host's side of it.
    pub(crate) store: Store<Guest>,
    /// What the module exports.
    pub(crate) exports: Exports,
    /// Runs that it has finished.
    pub(crate) runs: u32,
}

/// A store for one instance of a handler, bounded.
pub(crate) fn store(handler: Arc<Loaded>) -> Store<Guest> {
    let limits = &handler.limits;
    let call_bytes = limits.effect_bytes.max(limits.entry_bytes).saturating_add(CALL_SLACK_BYTES);
    let module = handler.module.clone();
    let mut store = Store::new(module.engine(), Guest::new(handler));
    store.limiter(|guest| &mut guest.memory);
    store.set_hostcall_fuel(usize::try_from(call_bytes).unwrap_or(usize::MAX));
    store.set_max_component_handles(HANDLES);
    slice::guard(&mut store);
    // Only a sandbox that counts fuel takes it.
    let _ = store.set_fuel(u64::MAX);
    store
}

/// Instances of a worker that wait for their handler's next event.
#[derive(Default)]
pub(crate) struct Kept {
    handlers: HashMap<*const Loaded, Shelf>,
    count: usize,
    clock: u64,
}

#[derive(Default)]
struct Shelf {
    instances: Vec<Instance>,
    used: u64,
}

impl Kept {
    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// An instance of this handler.
    pub(crate) fn take(&mut self, handler: &Arc<Loaded>) -> Option<Instance> {
        let instance = self.handlers.get_mut(&Arc::as_ptr(handler))?.instances.pop()?;
        self.count -= 1;
        Some(instance)
    }

    /// Keeps an instance, unless it has done enough or its handler was let go.
    pub(crate) fn put(&mut self, handler: &Arc<Loaded>, mut instance: Instance) {
        instance.runs += 1;
        if instance.runs >= RUNS_MAX || handler.is_retired() {
            return;
        }
        self.clock += 1;
        let shelf = self.handlers.entry(Arc::as_ptr(handler)).or_default();
        shelf.used = self.clock;
        shelf.instances.push(instance);
        self.count += 1;
    }

    /// Drops one instance of the handler that has not run for the longest time.
    pub(crate) fn evict(&mut self) {
        let oldest =
            self.handlers.iter().filter(|(_, shelf)| !shelf.instances.is_empty()).min_by_key(|(_, s)| s.used);
        let Some(oldest) = oldest.map(|(handler, _)| *handler) else { return };
        if let Some(shelf) = self.handlers.get_mut(&oldest) {
            self.count -= usize::from(shelf.instances.pop().is_some());
            if shelf.instances.is_empty() {
                self.handlers.remove(&oldest);
            }
        }
    }

    /// Drops the instances of handlers that were let go.
    pub(crate) fn drop_retired(&mut self) {
        self.handlers.retain(|_, shelf| {
            shelf.instances.first().is_some_and(|first| !first.store.data().handler.is_retired())
        });
        self.count = self.handlers.values().map(|shelf| shelf.instances.len()).sum();
    }
}
