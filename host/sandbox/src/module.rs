//! Modules in memory: the same bytes are compiled and linked once, whoever loads them.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Instant,
};

use cap_std::fs::Dir;
use sha2::{Digest as _, Sha256};
use wasmtime::{
    Engine, Store, bail,
    component::{Component, Linker, types::ComponentItem},
};
use waxwing_event::{Digest, Event};

use crate::{
    Contract, LoadError,
    cache::Cache,
    contract::{EventHandler, EventHandlerPre, waxwing::events::types},
    engine::{self, Engines},
    figures::Loads,
    foreign::{self, EDITIONS, Peer},
    guest::Guest,
    run,
};

/// A compiled and linked module.
pub(crate) struct Module {
    /// Which module it is.
    pub(crate) digest: Digest,
    /// The contract of another host, where it was written for that.
    peer: Option<&'static Peer>,
    engine: Engine,
    ready: Ready,
}

/// Ready to be instantiated, by its contract.
enum Ready {
    Own(EventHandlerPre<Guest>),
    Foreign(foreign::Ready),
}

/// What a live instance exports.
pub(crate) enum Exports {
    Own(EventHandler),
    Foreign(foreign::Function),
}

impl Module {
    /// The engine whose code it is.
    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// True where an instance may handle several events. One whose functions are async may still be at work for an
    /// event when it has handled it.
    pub(crate) fn may_reuse(&self) -> bool {
        !self.peer.is_some_and(Peer::is_concurrent)
    }

    /// A new instance in this store.
    pub(crate) async fn instantiate(&self, store: &mut Store<Guest>) -> wasmtime::Result<Exports> {
        match &self.ready {
            Ready::Own(ready) => Ok(Exports::Own(ready.instantiate_async(store).await?)),
            Ready::Foreign(ready) => Ok(Exports::Foreign(ready.instantiate(store).await?)),
        }
    }
}

impl Exports {
    /// Has an event handled.
    pub(crate) async fn handle(
        &self,
        store: &mut Store<Guest>,
        event: &Event,
    ) -> wasmtime::Result<Result<(), types::Failure>> {
        match self {
            Exports::Own(exports) => {
                let attributes = run::attributes(event);
                let record = run::record(event, &attributes);
                exports.waxwing_events_handler().call_handle(store, record).await
            }
            Exports::Foreign(function) => function.call(store, event).await,
        }
    }
}

/// All modules that some handler holds.
pub(crate) struct Modules {
    engines: Arc<Engines>,
    linker: Linker<Guest>,
    cache: Option<Dir>,
    held: Mutex<HashMap<Digest, Weak<Module>>>,
    loads: Loads,
}

impl Modules {
    /// No modules yet; compiled code is kept in this folder.
    pub(crate) fn new(engines: Arc<Engines>, linker: Linker<Guest>, cache: Option<Dir>) -> Modules {
        Modules { engines, linker, cache, held: Mutex::default(), loads: Loads::default() }
    }

    /// The module of these bytes, whose check found this contract.
    pub(crate) fn load(&self, bytes: &[u8], contract: &Contract) -> Result<Arc<Module>, LoadError> {
        let digest = Digest(Sha256::digest(bytes).into());
        if let Some(module) = self.find(digest) {
            return Ok(module);
        }
        let engine = match contract.peer {
            Some(peer) if peer.is_concurrent() => self.engines.concurrent().map_err(LoadError::Engine)?,
            _ => self.engines.plain(),
        };
        let begun = Instant::now();
        let component = self.compile(engine, digest, bytes).map_err(LoadError::Compile)?;
        self.loads.ended(begun);
        let ready = match contract.peer {
            Some(peer) => foreign(engine, peer, &component).map(Ready::Foreign),
            None => self.own(engine, &component, &contract.handler).map(Ready::Own),
        };
        let ready = ready.map_err(LoadError::Mismatch)?;
        let module = Arc::new(Module { digest, peer: contract.peer, engine: engine.clone(), ready });
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|_, module| module.strong_count() > 0);
        held.insert(digest, Arc::downgrade(&module));
        Ok(module)
    }

    /// What was loaded so far.
    pub(crate) fn loads(&self) -> &Loads {
        &self.loads
    }

    fn find(&self, digest: Digest) -> Option<Arc<Module>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).get(&digest)?.upgrade()
    }

    fn compile(&self, engine: &Engine, digest: Digest, bytes: &[u8]) -> wasmtime::Result<Component> {
        match self.cache.as_ref().map(Dir::try_clone).transpose()? {
            Some(dir) => Cache::new(dir, engine).component(engine, digest, bytes),
            None => Component::from_binary(engine, bytes),
        }
    }

    fn own(
        &self,
        engine: &Engine,
        component: &Component,
        handler: &str,
    ) -> wasmtime::Result<EventHandlerPre<Guest>> {
        fits(engine, component, handler)?;
        EventHandlerPre::new(self.linker.instantiate_pre(component)?)
    }
}

/// Links a guest of another host's contract by the edition that it was built for.
fn foreign(engine: &Engine, peer: &Peer, component: &Component) -> wasmtime::Result<foreign::Ready> {
    let mut refused = None;
    for edition in EDITIONS {
        let linker = engine::linker_of(engine, peer, edition)?;
        match linker.instantiate_pre(component) {
            Ok(pre) => return foreign::Ready::new(peer, component, pre),
            // What the newest says of it tells more.
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    Err(refused.unwrap_or_else(|| wasmtime::format_err!("no edition of the contract fits")))
}

/// Finds whether the handler's function has the type that this host calls.
fn fits(engine: &Engine, component: &Component, handler: &str) -> wasmtime::Result<()> {
    let exported = component.component_type();
    let Some(ComponentItem::ComponentInstance(interface)) =
        exported.get_export(engine, handler).map(|e| e.ty)
    else {
        bail!("`{handler}` is no interface");
    };
    let Some(ComponentItem::ComponentFunc(handle)) = interface.get_export(engine, "handle").map(|e| e.ty)
    else {
        bail!("`{handler}` has no function `handle`");
    };
    handle.typecheck::<(types::EventParam<'_>,), (Result<(), types::Failure>,)>(&exported.instance_type())
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Module").field("digest", &self.digest).finish_non_exhaustive()
    }
}

impl fmt::Debug for Modules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Modules").field("held", &self.held).finish_non_exhaustive()
    }
}
