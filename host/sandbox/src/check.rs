//! What a module imports and exports, found without compiling it.
//!
//! Only names and versions of interfaces are looked at here; whether their functions fit is found when the
//! module is loaded.

use std::fmt;

use crate::foreign::Peer;
use wasmparser::{ComponentExternalKind, Encoding, Parser, Payload, WasmFeatures};

/// The contract's package.
const PACKAGE: &str = "waxwing:events";

/// The version of the contract that this host serves.
pub const CONTRACT_VERSION: Version = Version { major: 0, minor: 1, patch: 0 };

/// The interface that a handler exports.
const HANDLER: &str = "handler";

/// The contract's interfaces that a handler may import.
const OFFERED: [&str; 9] =
    ["types", "emit", "state", "settings", "log", "reply", "timers", "aggregates", "secrets"];

/// WASI 0.2 as it is offered: `wasi:` and these, at version 0.2.x.
const OFFERED_WASI: [&str; 29] = [
    "cli/environment",
    "cli/exit",
    "cli/stderr",
    "cli/stdin",
    "cli/stdout",
    "cli/terminal-input",
    "cli/terminal-output",
    "cli/terminal-stderr",
    "cli/terminal-stdin",
    "cli/terminal-stdout",
    "clocks/monotonic-clock",
    "clocks/wall-clock",
    "filesystem/preopens",
    "filesystem/types",
    "http/outgoing-handler",
    "http/types",
    "io/error",
    "io/poll",
    "io/streams",
    "random/insecure",
    "random/insecure-seed",
    "random/random",
    "sockets/instance-network",
    "sockets/ip-name-lookup",
    "sockets/network",
    "sockets/tcp",
    "sockets/tcp-create-socket",
    "sockets/udp",
    "sockets/udp-create-socket",
];

/// What a module asks of its host and offers to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contract {
    /// The contract of another host, where the module was written for that.
    pub peer: Option<&'static Peer>,
    /// The version of the contract for which the module was built.
    pub version: Version,
    /// The interface that it exports, such as `waxwing:events/handler@0.1.0`.
    pub handler: String,
    /// The interfaces that it imports, in the module's order, such as `waxwing:events/emit@0.1.0`.
    pub imports: Vec<String>,
    /// Linear memory with which it starts.
    pub memory_bytes: u64,
}

impl Contract {
    /// The contract's version; of another host's contract its handler's interface, which names it.
    pub fn spoken(&self) -> String {
        self.peer.map_or_else(|| self.version.to_string(), |peer| peer.export.to_owned())
    }
}

/// Why a module is no handler for this host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// Another kind of file.
    #[error("it is not WebAssembly: name the .wasm file that the build has made")]
    NotWasm,
    /// WebAssembly, but broken or cut off.
    #[error("it is not a whole WebAssembly component ({0}): build or copy it again")]
    Malformed(String),
    /// A module of the core language, without types for its imports and exports.
    #[error("it is a core module: build it with --target wasm32-wasip2")]
    CoreModule,
    /// No handler in it.
    #[error(
        "it does not export `{PACKAGE}/{HANDLER}@{CONTRACT_VERSION}`: mark a function with #[handler] of the SDK, \
         and build the crate as a cdylib"
    )]
    NoHandler,
    /// Built for a contract that this host does not serve yet.
    #[error(
        "it was built for version {module} of the contract {PACKAGE}, and this host serves {CONTRACT_VERSION}: \
         upgrade the host, or build the module with SDK {}.{}", CONTRACT_VERSION.major, CONTRACT_VERSION.minor
    )]
    NewerContract {
        /// The module's version.
        module: Version,
    },
    /// Built for a contract that this host does not serve any more.
    #[error(
        "it was built for version {module} of the contract {PACKAGE}, and this host serves {CONTRACT_VERSION}: \
         build the module with SDK {}.{}", CONTRACT_VERSION.major, CONTRACT_VERSION.minor
    )]
    OlderContract {
        /// The module's version.
        module: Version,
    },
    /// It needs something that is not there.
    #[error("it imports `{0}`, which this host does not offer: build it without the part that needs this")]
    NotOffered(String),
}

/// The version of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Raised by changes that break modules.
    pub major: u64,
    /// Raised by changes that break modules while the major number is 0.
    pub minor: u64,
    /// Raised by additions.
    pub patch: u64,
}

impl Version {
    fn parse(text: &str) -> Option<Version> {
        let mut numbers = text.split(['-', '+']).next()?.split('.').map(str::parse);
        let version = Version {
            major: numbers.next()?.ok()?,
            minor: numbers.next()?.ok()?,
            patch: numbers.next()?.ok()?,
        };
        numbers.next().is_none().then_some(version)
    }

    /// Versions on one track understand each other.
    fn track(self) -> (u64, u64) {
        (self.major, if self.major == 0 { self.minor } else { 0 })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// Checks that a module is a handler which this host can serve.
pub fn check(module: &[u8]) -> Result<Contract, CheckError> {
    let surface = Surface::read(module)?;
    let exports_handler =
        |name: &String| of_contract(name).is_some_and(|(_, interface)| interface == HANDLER);
    if !surface.exports.iter().any(exports_handler)
        && let Some(peer) = Peer::of(&surface.exports)
    {
        return check_foreign(surface, peer);
    }
    let mut newest = None;
    for name in &surface.imports {
        newest = newest.max(check_import(name)?);
    }
    let mut handler = None;
    for name in &surface.exports {
        let Some((version, interface)) = of_contract(name) else { continue };
        served(version)?;
        if interface == HANDLER {
            handler = Some((version, name.clone()));
        }
    }
    let (version, handler) = handler.ok_or(CheckError::NoHandler)?;
    Ok(Contract {
        peer: None,
        version: newest.map_or(version, |imported| version.max(imported)),
        handler,
        imports: surface.imports,
        memory_bytes: surface.memory_bytes,
    })
}

/// Checks a guest that was written for another host.
fn check_foreign(surface: Surface, peer: &'static Peer) -> Result<Contract, CheckError> {
    let Surface { imports, memory_bytes, .. } = surface;
    for name in imports.iter().filter(|name| !peer.imports.contains(&name.as_str())) {
        check_import(name)?;
        if of_contract(name).is_some() {
            return Err(CheckError::NotOffered(name.clone()));
        }
    }
    let version = peer.export.split_once('@').and_then(|(_, version)| Version::parse(version));
    Ok(Contract {
        peer: Some(peer),
        version: version.unwrap_or(CONTRACT_VERSION),
        handler: peer.export.to_owned(),
        imports,
        memory_bytes,
    })
}

/// Checks one import; the version of the contract that it belongs to, where it does.
fn check_import(name: &str) -> Result<Option<Version>, CheckError> {
    let not_offered = || CheckError::NotOffered(name.to_owned());
    if let Some((version, interface)) = of_contract(name) {
        served(version)?;
        return if OFFERED.contains(&interface) {
            Ok(Some(version))
        } else if version > CONTRACT_VERSION {
            Err(CheckError::NewerContract { module: version })
        } else {
            Err(not_offered())
        };
    }
    let (path, version) =
        name.strip_prefix("wasi:").and_then(|rest| rest.split_once('@')).ok_or_else(not_offered)?;
    let track = Version::parse(version).map(Version::track);
    if OFFERED_WASI.contains(&path) && track == Some((0, 2)) { Ok(None) } else { Err(not_offered()) }
}

/// Version and name of an interface of the contract; none for other names.
fn of_contract(name: &str) -> Option<(Version, &str)> {
    let (interface, version) = name.strip_prefix(PACKAGE)?.strip_prefix('/')?.split_once('@')?;
    Some((Version::parse(version)?, interface))
}

fn served(module: Version) -> Result<(), CheckError> {
    if module.track() == CONTRACT_VERSION.track() {
        Ok(())
    } else if module > CONTRACT_VERSION {
        Err(CheckError::NewerContract { module })
    } else {
        Err(CheckError::OlderContract { module })
    }
}

/// The outside of a component.
#[derive(Default)]
struct Surface {
    imports: Vec<String>,
    exports: Vec<String>,
    memory_bytes: u64,
}

impl Surface {
    fn read(module: &[u8]) -> Result<Surface, CheckError> {
        if !module.starts_with(b"\0asm") {
            return Err(CheckError::NotWasm);
        }
        let mut surface = Surface::default();
        let mut depth = 0_u32;
        let mut parser = Parser::new(0);
        parser.set_features(WasmFeatures::all());
        for payload in parser.parse_all(module) {
            match payload.map_err(malformed)? {
                Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => {
                    return Err(CheckError::CoreModule);
                }
                Payload::Version { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                part => surface.add(part, depth == 1).map_err(malformed)?,
            }
        }
        Ok(surface)
    }

    /// Takes in one section; only the outermost component's imports and exports count.
    fn add(&mut self, part: Payload<'_>, outermost: bool) -> Result<(), wasmparser::BinaryReaderError> {
        match part {
            Payload::ComponentImportSection(imports) if outermost => {
                for import in imports {
                    self.imports.push(import?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(exports) if outermost => {
                for export in exports {
                    let export = export?;
                    if export.kind == ComponentExternalKind::Instance {
                        self.exports.push(export.name.name.to_owned());
                    }
                }
            }
            Payload::MemorySection(memories) => {
                for memory in memories {
                    let memory = memory?;
                    let page_bytes = 1_u64 << memory.page_size_log2.unwrap_or(16).min(16);
                    self.memory_bytes =
                        self.memory_bytes.saturating_add(memory.initial.saturating_mul(page_bytes));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

fn malformed(error: wasmparser::BinaryReaderError) -> CheckError {
    CheckError::Malformed(error.to_string())
}
