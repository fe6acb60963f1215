//! `wasi:messaging@0.2.0-draft`, and `wasmcloud:messaging@0.3.0` as wasmCloud 1 has it, which is the same under another
//! name: messages are resources of the host.
//!
//! Source: the WIT of WebAssembly/wasi-messaging. There, what changes a message gives a result or nothing, by the day of
//! the file; a guest of either is served.

use std::time::Duration;

use wasmtime::{
    StoreContextMut, bail,
    component::{
        ComponentNamedList, ComponentType, Lift, Linker, LinkerInstance, Lower, Resource, ResourceType,
    },
};
use waxwing_engine::port::ask::{AskError, Response};
use waxwing_event::Event;

use super::{
    Edition,
    asking::{Patience, ask},
    outgoing::{Outgoing, REPLY_TO, Refusal},
};
use crate::{guest::Guest, imports::emit::STAMPED};

/// `client`: there is one broker.
struct Client;

/// `message`.
#[derive(Debug, Default)]
pub(crate) struct Message {
    topic: Option<String>,
    content_type: Option<String>,
    metadata: Vec<(String, String)>,
    data: Vec<u8>,
    /// True for the event that is handled.
    is_event: bool,
}

/// `request-options`.
#[derive(Debug, Default)]
struct Options {
    timeout_ms: Option<u32>,
    replies: Option<u32>,
}

/// `error`.
#[derive(Debug, Clone, ComponentType, Lift, Lower)]
#[component(variant)]
pub(crate) enum Error {
    #[component(name = "timeout")]
    Timeout,
    #[component(name = "connection")]
    Connection(String),
    #[component(name = "permission-denied")]
    PermissionDenied(String),
    #[component(name = "other")]
    Other(String),
}

/// `metadata-error`; it has no cause here.
#[derive(Debug, Clone, ComponentType, Lower)]
#[component(variant)]
enum MetadataError {
    #[component(name = "not-supported")]
    #[expect(dead_code, reason = "part of the contract")]
    NotSupported,
    #[component(name = "invalid")]
    #[expect(dead_code, reason = "part of the contract")]
    Invalid(Option<String>),
}

impl Error {
    /// What it says, for people.
    pub(super) fn into_reason(self) -> String {
        match self {
            Error::Timeout => "the handler says that something took too long".to_owned(),
            Error::Connection(why) => format!("the handler has lost a connection: {why}"),
            Error::PermissionDenied(why) => format!("the handler was denied something: {why}"),
            Error::Other(why) => why,
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Error {
        match refusal {
            Refusal::NotGranted(why) => Error::PermissionDenied(why),
            other => Error::Other(other.to_string()),
        }
    }
}

impl From<AskError> for Error {
    fn from(error: AskError) -> Error {
        match error {
            AskError::Timeout(_) => Error::Timeout,
            AskError::Away(why) => Error::Connection(why),
            AskError::NotGranted(_) => Error::PermissionDenied(error.to_string()),
            _ => Error::Other(error.to_string()),
        }
    }
}

impl Message {
    /// An event as a guest receives it.
    pub(super) fn of(event: &Event) -> Message {
        let shown = event.extensions.iter().filter(|(name, _)| !STAMPED.contains(&name.as_str()));
        Message {
            topic: Some(event.subject.to_string()),
            content_type: event.content_type.clone(),
            metadata: shown.cloned().collect(),
            data: event.data.to_vec(),
            is_event: true,
        }
    }

    fn of_response(response: Response) -> Message {
        let Response { subject, content_type, payload } = response;
        Message { topic: Some(subject), content_type, data: payload.to_vec(), ..Message::default() }
    }

    fn into_outgoing(self, subject: String) -> Outgoing {
        Outgoing { subject, content_type: self.content_type, metadata: self.metadata, data: self.data }
    }

    fn size_bytes(&self) -> u64 {
        let named: usize = self.metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
        let texts = [&self.topic, &self.content_type].into_iter().flatten();
        (self.data.len() + named + texts.map(String::len).sum::<usize>()) as u64
    }

    fn remove(&mut self, key: &str) {
        self.metadata.retain(|(name, _)| name != key);
    }
}

impl Guest {
    /// Keeps a message for the guest, within what it may hold at once.
    pub(super) fn hold(&mut self, message: Message) -> wasmtime::Result<Resource<Message>> {
        self.count_held(0, message.size_bytes())?;
        Ok(self.wasi().table().push(message)?)
    }

    fn count_held(&mut self, less: u64, more: u64) -> wasmtime::Result<()> {
        // The event that is handled, and what the run may send.
        let limits = &self.handler.limits;
        let most = limits.effect_bytes.saturating_mul(2).saturating_add(limits.in_flight_bytes);
        self.held_bytes = self.held_bytes.saturating_sub(less).saturating_add(more);
        if self.held_bytes > most {
            bail!("its messages hold more than {most} bytes: let go of those that are sent");
        }
        Ok(())
    }

    fn release(&mut self, message: Resource<Message>) -> wasmtime::Result<Message> {
        let message = self.wasi().table().delete(message)?;
        self.count_held(message.size_bytes(), 0)?;
        Ok(message)
    }

    fn message(&mut self, message: &Resource<Message>) -> wasmtime::Result<&mut Message> {
        Ok(self.wasi().table().get_mut(message)?)
    }

    fn change(
        &mut self,
        message: &Resource<Message>,
        change: impl FnOnce(&mut Message),
    ) -> wasmtime::Result<()> {
        let message = self.message(message)?;
        let before = message.size_bytes();
        change(message);
        let after = message.size_bytes();
        self.count_held(before, after)
    }
}

type Store<'a> = StoreContextMut<'a, Guest>;
type Held = Resource<Message>;
type Pairs = Vec<(String, String)>;

/// Links `types`, `producer` and `request-reply`.
pub(super) fn link(
    linker: &mut Linker<Guest>,
    (package, version): (&str, &str),
    edition: Edition,
) -> wasmtime::Result<()> {
    let mut types = linker.instance(&format!("{package}/types@{version}"))?;
    link_clients(&mut types)?;
    link_messages(&mut types)?;
    match edition {
        Edition::Newer => {
            link_changes(&mut types, || (Ok::<(), ()>(()),), || (Ok::<(), MetadataError>(()),))?
        }
        Edition::Older => link_changes(&mut types, || (), || ())?,
    }
    let mut producer = linker.instance(&format!("{package}/producer@{version}"))?;
    producer.func_wrap(
        "send",
        |mut store: Store<'_>, (_, topic, message): (Resource<Client>, String, Held)| {
            let message = store.data_mut().release(message)?;
            Ok((store.data_mut().send(message.into_outgoing(topic)).map_err(Error::from),))
        },
    )?;
    link_requests(&mut linker.instance(&format!("{package}/request-reply@{version}"))?)
}

fn link_clients(types: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    types.resource("client", ResourceType::host::<Client>(), |mut store, rep| {
        store.data_mut().wasi().table().delete(Resource::<Client>::new_own(rep))?;
        Ok(())
    })?;
    types.func_wrap("[static]client.connect", |mut store: Store<'_>, (_,): (String,)| {
        let client = store.data_mut().wasi().table().push(Client)?;
        Ok((Ok::<_, Error>(client),))
    })?;
    types.func_wrap("[method]client.disconnect", |_: Store<'_>, (_,): (Resource<Client>,)| {
        Ok((Ok::<(), Error>(()),))
    })
}

fn link_messages(types: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    types.resource("message", ResourceType::host::<Message>(), |mut store, rep| {
        store.data_mut().release(Resource::new_own(rep))?;
        Ok(())
    })?;
    types.func_wrap("[constructor]message", |mut store: Store<'_>, (data,): (Vec<u8>,)| {
        Ok((store.data_mut().hold(Message { data, ..Message::default() })?,))
    })?;
    types.func_wrap("[method]message.topic", |mut store: Store<'_>, (message,): (Held,)| {
        Ok((store.data_mut().message(&message)?.topic.clone(),))
    })?;
    types.func_wrap("[method]message.content-type", |mut store: Store<'_>, (message,): (Held,)| {
        Ok((store.data_mut().message(&message)?.content_type.clone(),))
    })?;
    types.func_wrap("[method]message.data", |mut store: Store<'_>, (message,): (Held,)| {
        Ok((store.data_mut().message(&message)?.data.clone(),))
    })?;
    types.func_wrap(
        "[method]message.set-data",
        |mut store: Store<'_>, (message, data): (Held, Vec<u8>)| {
            store.data_mut().change(&message, |message| message.data = data)
        },
    )?;
    types.func_wrap("[method]message.metadata", |mut store: Store<'_>, (message,): (Held,)| {
        let metadata = store.data_mut().message(&message)?.metadata.clone();
        Ok(((!metadata.is_empty()).then_some(metadata),))
    })
}

/// Links what changes a message; `done` and `noted` are what the guest is told of it.
fn link_changes<D, N>(
    types: &mut LinkerInstance<'_, Guest>,
    done: fn() -> D,
    noted: fn() -> N,
) -> wasmtime::Result<()>
where
    D: ComponentNamedList + Lower + 'static,
    N: ComponentNamedList + Lower + 'static,
{
    types.func_wrap(
        "[method]message.set-content-type",
        move |mut store: Store<'_>, (message, value): (Held, String)| {
            store.data_mut().change(&message, |message| message.content_type = Some(value))?;
            Ok(done())
        },
    )?;
    types.func_wrap(
        "[method]message.add-metadata",
        move |mut store: Store<'_>, (message, key, value): (Held, String, String)| {
            store.data_mut().change(&message, |message| {
                message.remove(&key);
                message.metadata.push((key, value));
            })?;
            Ok(noted())
        },
    )?;
    types.func_wrap(
        "[method]message.set-metadata",
        move |mut store: Store<'_>, (message, metadata): (Held, Pairs)| {
            store.data_mut().change(&message, |message| message.metadata = metadata)?;
            Ok(noted())
        },
    )?;
    types.func_wrap(
        "[method]message.remove-metadata",
        move |mut store: Store<'_>, (message, key): (Held, String)| {
            store.data_mut().change(&message, |message| message.remove(&key))?;
            Ok(noted())
        },
    )
}

fn link_requests(asking: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    asking.resource("request-options", ResourceType::host::<Options>(), |mut store, rep| {
        store.data_mut().wasi().table().delete(Resource::<Options>::new_own(rep))?;
        Ok(())
    })?;
    asking.func_wrap("[constructor]request-options", |mut store: Store<'_>, (): ()| {
        Ok((store.data_mut().wasi().table().push(Options::default())?,))
    })?;
    asking.func_wrap(
        "[method]request-options.set-timeout-ms",
        |mut store: Store<'_>, (options, ms): (Resource<Options>, u32)| {
            store.data_mut().wasi().table().get_mut(&options)?.timeout_ms = Some(ms);
            Ok(())
        },
    )?;
    asking.func_wrap(
        "[method]request-options.set-expected-replies",
        |mut store: Store<'_>, (options, replies): (Resource<Options>, u32)| {
            store.data_mut().wasi().table().get_mut(&options)?.replies = Some(replies);
            Ok(())
        },
    )?;
    asking.func_wrap_async(
        "request",
        |store: Store<'_>,
         (_, topic, message, options): (Resource<Client>, String, Held, Option<Resource<Options>>)| {
            Box::new(async move { Ok((request(store, topic, message, options).await?,)) })
        },
    )?;
    asking.func_wrap("reply", |mut store: Store<'_>, (to, message): (Held, Held)| {
        let guest = store.data_mut();
        let message = guest.release(message)?;
        Ok((guest.reply_to(&to, message)?,))
    })
}

async fn request(
    mut store: Store<'_>,
    topic: String,
    message: Held,
    options: Option<Resource<Options>>,
) -> wasmtime::Result<Result<Vec<Held>, Error>> {
    let guest = store.data_mut();
    let options =
        options.map(|options| guest.wasi().table().delete(options)).transpose()?.unwrap_or_default();
    let data = guest.message(&message)?.data.clone();
    let patience = Patience {
        timeout: options.timeout_ms.map(|ms| Duration::from_millis(ms.into())),
        replies: options.replies.unwrap_or(1),
    };
    let granted = guest.question(&topic, data, patience);
    let replies = match ask(granted).await {
        Ok(replies) => replies,
        Err(error) => return Ok(Err(error.into())),
    };
    let held = replies.into_iter().map(|reply| store.data_mut().hold(Message::of_response(reply)));
    Ok(Ok(held.collect::<wasmtime::Result<_>>()?))
}

impl Guest {
    /// By the contract a reply for which nobody waits is nothing.
    fn reply_to(&mut self, to: &Held, message: Message) -> wasmtime::Result<Result<(), Error>> {
        if !self.message(to)?.is_event {
            return Ok(Err(Error::Other("a reply goes to the message that is handled".to_owned())));
        }
        let elsewhere = self.event().and_then(|event| event.extension(REPLY_TO).map(str::to_owned));
        let sent = match elsewhere {
            _ if self.is_asked => self.reply_with(message.into_outgoing(String::new())),
            Some(address) => self.send(message.into_outgoing(address)),
            None => Ok(()),
        };
        Ok(sent.map_err(Error::from))
    }
}
