//! The program of a handler: the module that runs, which deployed version that is, and what is tried beside it.

use std::{fmt, sync::Arc};

use waxwing_event::{Digest, HandlerName, Position};

use crate::{
    entry::{
        deploy::{self, OnCanary, Running, Tried},
        version::VersionNumber,
    },
    port::Invoke,
};

/// What runs for a handler on this host.
#[derive(Clone)]
pub struct Program {
    /// Its module, loaded and ready.
    pub module: Arc<dyn Invoke>,
    /// The deployed version; none: the module is that of a manifest.
    pub version: Option<VersionNumber>,
    /// Where the decision stands that made this host choose it ([`Position::NONE`]: nothing was ever deployed). A host
    /// takes up a partition only by the latest decision.
    pub decided: Position,
    /// The version that is tried beside it.
    pub beside: Option<Arc<Beside>>,
}

/// A version that is tried beside another on this host.
pub struct Beside {
    /// Which, and as what.
    pub what: deploy::Beside,
    /// Its module, loaded and ready: that of a shadow for runs that nobody is to notice.
    pub module: Arc<dyn Invoke>,
}

impl Program {
    /// A module that was not deployed.
    pub fn new(module: Arc<dyn Invoke>) -> Program {
        Program { module, version: None, decided: Position::NONE, beside: None }
    }

    /// Its module's digest.
    pub fn digest(&self) -> Digest {
        self.module.digest()
    }

    /// What runs an event of this key; of one without a key, of this id. The same for as long as the canary is the same,
    /// on every host.
    pub fn for_key(&self, handler: &HandlerName, key: &str) -> Program {
        let decided = self.decided;
        match self.beside.as_deref() {
            Some(Beside { what, module }) if what.share().has(handler, key) => {
                Program { module: module.clone(), version: Some(what.version), decided, beside: None }
            }
            _ => Program { module: self.module.clone(), version: self.version, decided, beside: None },
        }
    }

    /// What runs by it, as the log tells.
    pub fn runs(&self) -> Running {
        let what = self.beside.as_ref().map(|beside| &beside.what);
        let canary = what.and_then(|what| match what.tried {
            Tried::Canary { share, .. } => Some(OnCanary { version: what.version, share }),
            Tried::Shadow => None,
        });
        Running { version: self.version, canary }
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Program { version, decided, beside, .. } = self;
        let module = self.digest();
        let beside = beside.as_ref().map(|beside| &beside.what);
        f.debug_struct("Program")
            .field("module", &module)
            .field("version", version)
            .field("decided", decided)
            .field("beside", &beside)
            .finish()
    }
}
