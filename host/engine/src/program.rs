//! The program of a handler: the module that runs, and which deployed version that is.

use std::{fmt, sync::Arc};

use waxwing_event::{Digest, Position};

use crate::{entry::version::VersionNumber, port::Invoke};

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
}

impl Program {
    /// A module that was not deployed.
    pub fn new(module: Arc<dyn Invoke>) -> Program {
        Program { module, version: None, decided: Position::NONE }
    }

    /// Its module's digest.
    pub fn digest(&self) -> Digest {
        self.module.digest()
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Program { version, decided, .. } = self;
        let module = self.digest();
        f.debug_struct("Program")
            .field("module", &module)
            .field("version", version)
            .field("decided", decided)
            .finish()
    }
}
