//! The tools: cargo in a clean environment, and the wasm target of the compiler.

use std::{
    env,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use super::build::Progress;

/// What handlers are compiled for.
pub(super) const TARGET: &str = "wasm32-wasip2";

/// Variables with which an outer cargo, or a habit of the caller, would change the build of a handler.
const DISTURBING: [&str; 9] = [
    "RUSTFLAGS",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_BUILD_RUSTFLAGS",
    "RUSTC_WORKSPACE_WRAPPER",
    "CARGO_CRATE_NAME",
    "CARGO_PRIMARY_PACKAGE",
    "OUT_DIR",
    "LLVM_PROFILE_FILE",
];

/// Cargo, to be run in `folder`, undisturbed by an outer cargo.
pub(super) fn cargo(folder: &Path) -> Command {
    let mut command = tool("cargo", folder);
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        let of_outer_cargo =
            ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"].iter().any(|p| text.starts_with(p));
        if of_outer_cargo || DISTURBING.contains(&text.as_ref()) {
            command.env_remove(&name);
        }
    }
    command
}

fn tool(name: &str, folder: &Path) -> Command {
    let mut command = Command::new(name);
    command.current_dir(folder).stdin(Stdio::null());
    command
}

/// True where the compiler used in `folder` has the wasm target.
pub(super) fn is_installed(folder: &Path) -> bool {
    let asked = tool("rustc", folder).args(["--print", "target-libdir", "--target", TARGET]).output();
    asked.is_ok_and(|answer| Path::new(String::from_utf8_lossy(&answer.stdout).trim()).is_dir())
}

/// Adds the wasm target with rustup.
pub(super) fn install(folder: &Path, progress: &dyn Progress) -> Result<()> {
    progress.line(&format!("adding the target {TARGET}: rustup target add {TARGET}"));
    let added = tool("rustup", folder).args(["target", "add", TARGET]).output();
    let added = added.with_context(|| {
        format!(
            "the Rust target {TARGET} is missing and rustup is not there to add it: see https://rustup.rs"
        )
    })?;
    if !added.status.success() {
        bail!("`rustup target add {TARGET}` failed:\n{}", String::from_utf8_lossy(&added.stderr).trim());
    }
    Ok(())
}
