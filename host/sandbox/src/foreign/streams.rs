//! `wasmcloud:messaging@0.3.0` as wasmCloud 2 has it: messages are records, their bodies streams of bytes, and all
//! functions are async.
//!
//! Source: wit/messaging of wasmCloud 2. There, `request` takes its time-out as an option or as a number, and the handler
//! fails with a disposition or with an error of the broker, by the day of the file; a guest of either is served.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::sync::oneshot;
use wasmtime::{
    StoreContextMut,
    component::{
        Accessor, ComponentType, Lift, Linker, Lower, Source, StreamConsumer, StreamReader, StreamResult,
    },
};
use waxwing_engine::port::ask::AskError;
use waxwing_event::Event;

use super::{
    Edition,
    asking::{Patience, ask},
    outgoing::Refusal,
    records::outgoing,
    reply_to,
};
use crate::guest::Guest;

/// The most bytes of a body that are taken at once.
const CHUNK_BYTES: usize = 64 << 10;

/// `broker-message`.
#[derive(ComponentType, Lift, Lower)]
#[component(record)]
pub(crate) struct Message {
    subject: String,
    body: StreamReader<u8>,
    #[component(name = "reply-to")]
    reply_to: Option<String>,
}

impl Message {
    /// An event as a guest receives it.
    pub(super) fn of(
        store: StoreContextMut<'_, Guest>,
        event: &Event,
        is_asked: bool,
    ) -> wasmtime::Result<Message> {
        let body = StreamReader::new(store, event.data.to_vec())?;
        Ok(Message { subject: event.subject.to_string(), body, reply_to: reply_to(event, is_asked) })
    }
}

/// `error`.
#[derive(Debug, Clone, ComponentType, Lift, Lower)]
#[component(variant)]
pub(crate) enum Error {
    #[component(name = "subject-invalid")]
    SubjectInvalid,
    #[component(name = "access-denied")]
    AccessDenied,
    #[component(name = "timeout")]
    Timeout,
    #[component(name = "broker-unavailable")]
    BrokerUnavailable,
    #[component(name = "message-too-large")]
    MessageTooLarge,
    #[component(name = "quota-exceeded")]
    QuotaExceeded,
    #[component(name = "other")]
    Other(String),
}

/// `handle-message-error`.
#[derive(Debug, Clone, ComponentType, Lift, Lower)]
#[component(variant)]
pub(crate) enum Disposition {
    #[component(name = "reject")]
    Reject,
    #[component(name = "retry")]
    Retry,
    #[component(name = "other")]
    Other(String),
}

impl Error {
    /// What it says, for people.
    pub(super) fn into_reason(self) -> String {
        let of = match self {
            Error::SubjectInvalid => "a subject that is not valid",
            Error::AccessDenied => "access that was denied",
            Error::Timeout => "a time-out",
            Error::BrokerUnavailable => "a broker that was away",
            Error::MessageTooLarge => "a message that was too large",
            Error::QuotaExceeded => "a limit that was reached",
            Error::Other(why) => return why,
        };
        format!("the handler fails for {of}")
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Error {
        match refusal {
            Refusal::Subject(_) => Error::SubjectInvalid,
            Refusal::NotGranted(_) => Error::AccessDenied,
            Refusal::TooLarge(_) => Error::MessageTooLarge,
            Refusal::TooMany(_) => Error::QuotaExceeded,
            Refusal::Other(why) => Error::Other(why),
        }
    }
}

impl From<AskError> for Error {
    fn from(error: AskError) -> Error {
        match error {
            AskError::Subject(_) => Error::SubjectInvalid,
            AskError::NotGranted(_) => Error::AccessDenied,
            AskError::TooLarge(_) => Error::MessageTooLarge,
            AskError::TooMany(_) => Error::QuotaExceeded,
            AskError::Timeout(_) => Error::Timeout,
            AskError::Away(_) => Error::BrokerUnavailable,
            AskError::Rehearsed => Error::Other(error.to_string()),
        }
    }
}

/// Links `consumer`.
pub(super) fn link(linker: &mut Linker<Guest>, edition: Edition) -> wasmtime::Result<()> {
    let mut consumer = linker.instance("wasmcloud:messaging/consumer@0.3.0")?;
    consumer.func_wrap_concurrent("publish", |guest: &Accessor<Guest>, (message,): (Message,)| {
        Box::pin(async move {
            let Message { subject, body, reply_to } = message;
            let sent = match read(guest, body).await? {
                Ok(data) => guest
                    .with(|mut store| store.data_mut().send(outgoing(subject, data, reply_to)))
                    .map_err(Error::from),
                Err(refused) => Err(refused),
            };
            Ok((sent,))
        })
    })?;
    match edition {
        Edition::Newer => consumer.func_wrap_concurrent(
            "request",
            |guest: &Accessor<Guest>, (subject, body, ms): (String, StreamReader<u8>, Option<u32>)| {
                Box::pin(request(guest, subject, body, ms))
            },
        ),
        Edition::Older => consumer.func_wrap_concurrent(
            "request",
            |guest: &Accessor<Guest>, (subject, body, ms): (String, StreamReader<u8>, u32)| {
                Box::pin(request(guest, subject, body, Some(ms)))
            },
        ),
    }
}

async fn request(
    guest: &Accessor<Guest>,
    subject: String,
    body: StreamReader<u8>,
    timeout_ms: Option<u32>,
) -> wasmtime::Result<(Result<Message, Error>,)> {
    let data = match read(guest, body).await? {
        Ok(data) => data,
        Err(refused) => return Ok((Err(refused),)),
    };
    let timeout = timeout_ms.map(|ms| Duration::from_millis(ms.into()));
    let granted =
        guest.with(|mut store| store.data_mut().question(&subject, data, Patience { timeout, replies: 1 }));
    let reply = match ask(granted).await.map(|replies| replies.into_iter().next()) {
        Ok(Some(reply)) => reply,
        Ok(None) => return Ok((Err(Error::Timeout),)),
        Err(error) => return Ok((Err(error.into()),)),
    };
    let body = guest.with(|store| StreamReader::new(store, reply.payload.to_vec()))?;
    Ok((Ok(Message { subject: reply.subject, body, reply_to: None }),))
}

/// Reads a body to its end, or to the largest that an entry may be.
async fn read(guest: &Accessor<Guest>, body: StreamReader<u8>) -> wasmtime::Result<Result<Vec<u8>, Error>> {
    let (whole, taken) = oneshot::channel();
    guest.with(|mut store| {
        let most = usize::try_from(store.data_mut().handler.limits.entry_bytes).unwrap_or(usize::MAX);
        body.pipe(store, Body { data: Vec::new(), most, whole: Some(whole) })
    })?;
    let data = taken.await.map_err(|_| wasmtime::format_err!("a body was lost"))?;
    Ok(data.ok_or(Error::MessageTooLarge))
}

/// A body as far as it has come. Its end is that the guest lets go of the stream, which drops this.
struct Body {
    data: Vec<u8>,
    most: usize,
    whole: Option<oneshot::Sender<Option<Vec<u8>>>>,
}

impl StreamConsumer<Guest> for Body {
    type Item = u8;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut store: StoreContextMut<'_, Guest>,
        mut source: Source<'_, u8>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let come = source.remaining(&mut store);
        if come == 0 {
            return Poll::Ready(Ok(if finish { StreamResult::Cancelled } else { StreamResult::Completed }));
        }
        if self.data.len().saturating_add(come) > self.most {
            if let Some(whole) = self.whole.take() {
                let _ = whole.send(None);
            }
            return Poll::Ready(Ok(StreamResult::Dropped));
        }
        let mut chunk = Vec::with_capacity(come.min(CHUNK_BYTES));
        source.read(&mut store, &mut chunk)?;
        self.data.append(&mut chunk);
        Poll::Ready(Ok(StreamResult::Completed))
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        if let Some(whole) = self.whole.take() {
            // Who waited for it may be gone.
            let _ = whole.send(Some(std::mem::take(&mut self.data)));
        }
    }
}
