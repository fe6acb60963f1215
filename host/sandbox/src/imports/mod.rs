//! What guests may import: one file a capability. Linked once; what a run may use is in its [`Guest`].

mod aggregates;
pub(crate) mod emit;
pub(crate) mod files;
pub(crate) mod http;
mod log;
mod reply;
mod secrets;
mod settings;
mod state;
mod timers;
pub(crate) mod wasi;

use wasmtime::component::{HasSelf, Linker};

use crate::{
    contract::{EventHandler, waxwing::events::types},
    guest::Guest,
};

/// Links everything.
pub(crate) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    link_wasi(linker)?;
    EventHandler::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)
}

/// Links WASI alone.
pub(crate) fn link_wasi(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    wasi::link(linker)?;
    http::link(linker)
}

impl types::Host for Guest {}
