//! Modules in memory: the same bytes are compiled and linked once, whoever loads them.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use sha2::{Digest as _, Sha256};
use wasmtime::{
    Engine, bail,
    component::{Component, Linker, types::ComponentItem},
};
use waxwing_event::Digest;

use crate::{
    Contract, LoadError,
    cache::Cache,
    contract::{EventHandlerPre, waxwing::events::types},
    guest::Guest,
};

/// A compiled and linked module.
pub(crate) struct Module {
    /// Which module it is.
    pub(crate) digest: Digest,
    /// Ready to be instantiated.
    pub(crate) ready: EventHandlerPre<Guest>,
}

/// All modules that some handler holds.
pub(crate) struct Modules {
    engine: Engine,
    linker: Linker<Guest>,
    cache: Option<Cache>,
    held: Mutex<HashMap<Digest, Weak<Module>>>,
}

impl Modules {
    /// No modules yet.
    pub(crate) fn new(engine: Engine, linker: Linker<Guest>, cache: Option<Cache>) -> Modules {
        Modules { engine, linker, cache, held: Mutex::default() }
    }

    /// The module of these bytes, whose check found this contract.
    pub(crate) fn load(&self, bytes: &[u8], contract: &Contract) -> Result<Arc<Module>, LoadError> {
        let digest = Digest(Sha256::digest(bytes).into());
        if let Some(module) = self.find(digest) {
            return Ok(module);
        }
        let component = match &self.cache {
            Some(cache) => cache.component(&self.engine, digest, bytes),
            None => Component::from_binary(&self.engine, bytes),
        };
        let component = component.map_err(LoadError::Compile)?;
        let fits = fits(&self.engine, &component, &contract.handler);
        let linked = fits.and_then(|()| self.linker.instantiate_pre(&component));
        let ready = linked.and_then(EventHandlerPre::new).map_err(LoadError::Mismatch)?;
        let module = Arc::new(Module { digest, ready });
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|_, module| module.strong_count() > 0);
        held.insert(digest, Arc::downgrade(&module));
        Ok(module)
    }

    fn find(&self, digest: Digest) -> Option<Arc<Module>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).get(&digest)?.upgrade()
    }
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
