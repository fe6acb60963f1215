//! Guests that were written for other hosts run as they are: their messages are events, what they send goes through the
//! effects of the run, and how they end is how a run ends.
//!
//! | module | noun |
//! | --- | --- |
//! | `peer` | which contracts there are |
//! | `records`, `streams`, `resources` | each of them: its types, and what a guest may call |
//! | `outgoing` | what a guest sends |
//! | `asking` | what it asks others, and waits for |

mod asking;
mod outgoing;
mod peer;
mod records;
mod resources;
mod streams;

use wasmtime::{
    AsContextMut, Store, bail,
    component::{
        Component, ComponentExportIndex, InstancePre, Linker, Resource, TypedFunc, types::ComponentItem,
    },
};
use waxwing_event::Event;

pub(crate) use asking::Asker;
pub use peer::Peer;

use self::peer::Kind;
use crate::{
    contract::waxwing::events::types::{Failure, Retry},
    guest::Guest,
};

/// Of a contract that has changed without another version, which one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edition {
    Newer,
    Older,
}

/// Both, in the order in which they are tried.
pub(crate) const EDITIONS: [Edition; 2] = [Edition::Newer, Edition::Older];

/// Links what the guests of a contract may import beside WASI.
pub(crate) fn link(linker: &mut Linker<Guest>, peer: &Peer, edition: Edition) -> wasmtime::Result<()> {
    match peer.kind {
        Kind::Records => records::link(linker),
        Kind::Streams => {
            records::link(linker)?;
            streams::link(linker, edition)
        }
        Kind::Resources { package, version } => resources::link(linker, (package, version), edition),
    }
}

/// A module that is ready to be instantiated.
pub(crate) struct Ready {
    pre: InstancePre<Guest>,
    function: ComponentExportIndex,
    call: Call,
}

/// How its function is called.
#[derive(Debug, Clone, Copy)]
enum Call {
    Records,
    Streams,
    /// As before the handler told what is to become of its message.
    StreamsBefore,
    Resources,
}

type ByRecord = TypedFunc<(records::Message,), (Result<(), String>,)>;
type ByStream = TypedFunc<(streams::Message,), (Result<(), streams::Disposition>,)>;
type ByStreamBefore = TypedFunc<(streams::Message,), (Result<(), streams::Error>,)>;
type ByResource = TypedFunc<(Resource<resources::Message>,), (Result<(), resources::Error>,)>;

/// The function of a live instance.
pub(crate) enum Function {
    Records(ByRecord),
    Streams(ByStream),
    StreamsBefore(ByStreamBefore),
    Resources(ByResource),
}

impl Ready {
    /// Finds the function of a linked module, and whether it has the type that is called.
    pub(crate) fn new(
        peer: &Peer,
        component: &Component,
        pre: InstancePre<Guest>,
    ) -> wasmtime::Result<Ready> {
        let name = match peer.kind {
            Kind::Records | Kind::Streams => "handle-message",
            Kind::Resources { .. } => "handle",
        };
        let interface = component.get_export_index(None, peer.export);
        let found = interface.and_then(|interface| component.get_export(Some(&interface), name));
        let Some((ComponentItem::ComponentFunc(handle), function)) = found else {
            bail!("`{}` has no function `{name}`", peer.export);
        };
        let exported = component.component_type();
        let types = exported.instance_type();
        let call = match peer.kind {
            Kind::Records => {
                handle.typecheck::<(records::Message,), (Result<(), String>,)>(&types)?;
                Call::Records
            }
            Kind::Streams => {
                type Before = (Result<(), streams::Error>,);
                match handle.typecheck::<(streams::Message,), (Result<(), streams::Disposition>,)>(&types) {
                    Ok(()) => Call::Streams,
                    Err(_) if handle.typecheck::<(streams::Message,), Before>(&types).is_ok() => {
                        Call::StreamsBefore
                    }
                    Err(error) => return Err(error),
                }
            }
            Kind::Resources { .. } => Call::Resources,
        };
        Ok(Ready { pre, function, call })
    }

    /// A new instance in this store.
    pub(crate) async fn instantiate(&self, store: &mut Store<Guest>) -> wasmtime::Result<Function> {
        let instance = self.pre.instantiate_async(&mut *store).await?;
        Ok(match self.call {
            Call::Records => Function::Records(instance.get_typed_func(store, self.function)?),
            Call::Streams => Function::Streams(instance.get_typed_func(store, self.function)?),
            Call::StreamsBefore => Function::StreamsBefore(instance.get_typed_func(store, self.function)?),
            Call::Resources => Function::Resources(instance.get_typed_func(store, self.function)?),
        })
    }
}

impl Function {
    /// Has an event handled.
    pub(crate) async fn call(
        &self,
        store: &mut Store<Guest>,
        event: &Event,
    ) -> wasmtime::Result<Result<(), Failure>> {
        let is_asked = store.data().is_asked;
        match self {
            Function::Records(function) => {
                let message = records::Message::of(event, is_asked);
                let (ended,) = function.call_async(store, (message,)).await?;
                Ok(ended.map_err(retry))
            }
            Function::Streams(function) => {
                let message = streams::Message::of(store.as_context_mut(), event, is_asked)?;
                let (ended,) = function.call_async(store, (message,)).await?;
                Ok(ended.map_err(|disposition| match disposition {
                    streams::Disposition::Retry => retry("the handler asks for another attempt".to_owned()),
                    streams::Disposition::Reject => Failure::Reject("the handler rejects it".to_owned()),
                    streams::Disposition::Other(why) => Failure::Reject(why),
                }))
            }
            Function::StreamsBefore(function) => {
                let message = streams::Message::of(store.as_context_mut(), event, is_asked)?;
                let (ended,) = function.call_async(store, (message,)).await?;
                Ok(ended.map_err(|error| retry(error.into_reason())))
            }
            Function::Resources(function) => {
                let message = store.data_mut().hold(resources::Message::of(event))?;
                let (ended,) = function.call_async(store, (message,)).await?;
                Ok(ended.map_err(|error| retry(error.into_reason())))
            }
        }
    }
}

/// What has no word for it is tried again by the manifest's policy.
fn retry(reason: String) -> Failure {
    Failure::Retry(Retry { after_ms: None, reason })
}

/// The address for a reply, as a guest is told it: an event that was published by such a guest may name one.
fn reply_to(event: &Event, is_asked: bool) -> Option<String> {
    if is_asked {
        return Some(outgoing::ASKING.to_owned());
    }
    event.extension(outgoing::REPLY_TO).map(str::to_owned)
}
