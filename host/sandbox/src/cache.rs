//! Compiled code on disk: one file a module and engine.
//!
//! A file holds the code as wasmtime serialises it, then the SHA-256 digest of that code. It is written beside
//! its place and renamed, so that nobody reads half of it. What is damaged or of another engine is compiled
//! again. Of several who need the same module at once, one compiles and the others wait for its file: a deployment
//! costs a machine as much on four hosts as on one.

use std::{
    fs::{File as StdFile, TryLockError},
    hash::{DefaultHasher, Hash, Hasher},
    io::{self, Read, Write},
    process,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use cap_std::fs::{Dir, File, OpenOptions};
use sha2::{Digest as _, Sha256};
use wasmtime::{Engine, component::Component};
use waxwing_event::Digest;

/// Bytes of the digest at the end of a file.
const DIGEST_BYTES: usize = 32;

/// How long another who compiles is waited for: it may be stopped, and whoever waits can compile, too.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often it is looked whether another is through.
const LOOKS_EVERY: Duration = Duration::from_millis(5);

/// A folder of compiled code.
#[derive(Debug)]
pub(crate) struct Cache {
    dir: Dir,
    engine: String,
}

/// Why a file was not used. Compiling again helps against all of it.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error("it cannot be read")]
    Io(#[from] io::Error),
    #[error("its digest does not fit its content")]
    Damaged,
    #[error("wasmtime refuses it")]
    Refused(#[from] wasmtime::Error),
}

impl Cache {
    /// The code in this folder that was compiled by an engine such as this one.
    pub(crate) fn new(dir: Dir, engine: &Engine) -> Cache {
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Cache { dir, engine: format!("{:016x}", hasher.finish()) }
    }

    /// The module's code: from the folder, or compiled and then kept there.
    pub(crate) fn component(
        &self,
        engine: &Engine,
        digest: Digest,
        module: &[u8],
    ) -> wasmtime::Result<Component> {
        let name = format!("{}-{}.cwasm", digest.hex(), self.engine);
        if let Ok(component) = self.read(engine, &name) {
            return Ok(component);
        }
        let _turn = self.wait_for_turn(digest);
        // Another may have compiled it meanwhile.
        match self.read(engine, &name) {
            Ok(component) => return Ok(component),
            Err(ReadError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(file = name, %error, "compiled code is not used: compiling the module again")
            }
        }
        self.compile(engine, &name, module)
    }

    /// Locks out others who would compile the same, who wait until then; none where that cannot be had: it is compiled without.
    fn wait_for_turn(&self, digest: Digest) -> Option<StdFile> {
        // One of a few files, by the module, so that they need not be removed.
        let name = format!("{}.lock", digest.hex().get(..1).unwrap_or_default());
        let file = self.dir.open_with(&name, OpenOptions::new().write(true).create(true)).ok()?.into_std();
        let since = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Some(file),
                Err(TryLockError::WouldBlock) if since.elapsed() < PATIENCE => thread::sleep(LOOKS_EVERY),
                Err(error) => {
                    tracing::debug!(file = name, %error, "compiling without a lock");
                    return None;
                }
            }
        }
    }

    /// Compiles the module, and keeps its code in this file.
    fn compile(&self, engine: &Engine, name: &str, module: &[u8]) -> wasmtime::Result<Component> {
        let since = Instant::now();
        let code = engine.precompile_component(module)?;
        tracing::debug!(file = name, elapsed = ?since.elapsed(), "a module was compiled");
        // Read back, so that the code is mapped from the file and costs no memory of its own.
        match self.write(name, &code).map_err(ReadError::from).and_then(|()| self.read(engine, name)) {
            Ok(component) => Ok(component),
            Err(error) => {
                tracing::warn!(file = name, %error, "compiled code cannot be kept: the next start compiles it again");
                Component::from_binary(engine, module)
            }
        }
    }

    fn read(&self, engine: &Engine, name: &str) -> Result<Component, ReadError> {
        let mut file = self.dir.open(name)?;
        let mut content = Vec::new();
        file.read_to_end(&mut content)?;
        let (code, digest) = content
            .len()
            .checked_sub(DIGEST_BYTES)
            .and_then(|code| content.split_at_checked(code))
            .ok_or(ReadError::Damaged)?;
        if Sha256::digest(code).as_slice() != digest {
            return Err(ReadError::Damaged);
        }
        Ok(load(engine, &file, code)?)
    }

    fn write(&self, name: &str, code: &[u8]) -> io::Result<()> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let draft = format!("{name}.{}-{}.tmp", process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let written = self.write_draft(&draft, code).and_then(|()| self.dir.rename(&draft, &self.dir, name));
        if written.is_err() {
            // The draft may not exist; what went wrong is told anyway.
            let _ = self.dir.remove_file(&draft);
        }
        written
    }

    fn write_draft(&self, draft: &str, code: &[u8]) -> io::Result<()> {
        let mut file = self.dir.open_with(draft, OpenOptions::new().write(true).create_new(true))?;
        file.write_all(code)?;
        file.write_all(Sha256::digest(code).as_slice())
    }
}

/// Makes a component of code that [`Cache::write`] has written and whose digest was checked.
///
/// The code is mapped from the open file where the system gives it a path, so that handlers share pages with
/// the file and a file put in its place meanwhile is not looked at.
#[expect(
    unsafe_code,
    reason = "wasmtime cannot check compiled code: the folder is the host's own, the digest fits"
)]
fn load(engine: &Engine, file: &File, code: &[u8]) -> wasmtime::Result<Component> {
    #[cfg(target_os = "linux")]
    {
        use std::os::fd::AsRawFd;

        let _ = code;
        // SAFETY: only this host writes to the folder, it never writes to a file once it has its name, and the
        // digest of the content was checked.
        unsafe { Component::deserialize_file(engine, format!("/proc/self/fd/{}", file.as_raw_fd())) }
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = file;
        // SAFETY: as above; these are the very bytes whose digest was checked.
        unsafe { Component::deserialize(engine, code) }
    }
}
