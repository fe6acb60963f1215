//! `wasmcloud:messaging@0.2.0`: messages are records, their bodies lists of bytes.
//!
//! Source: wit/messaging.wit of wasmCloud's messaging package, as its crate `wasmcloud-component` 0.2.0 has it.

use std::time::Duration;

use wasmtime::{
    StoreContextMut,
    component::{ComponentType, Lift, Linker, Lower},
};
use waxwing_event::Event;

use super::{
    asking::{Patience, ask},
    outgoing::{Outgoing, REPLY_TO},
    reply_to,
};
use crate::guest::Guest;

/// `broker-message`.
#[derive(Debug, Clone, ComponentType, Lift, Lower)]
#[component(record)]
pub(crate) struct Message {
    subject: String,
    body: Vec<u8>,
    #[component(name = "reply-to")]
    reply_to: Option<String>,
}

impl Message {
    /// An event as a guest receives it.
    pub(super) fn of(event: &Event, is_asked: bool) -> Message {
        Message {
            subject: event.subject.to_string(),
            body: event.data.to_vec(),
            reply_to: reply_to(event, is_asked),
        }
    }
}

/// Links `consumer`.
pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    let mut consumer = linker.instance("wasmcloud:messaging/consumer@0.2.0")?;
    consumer.func_wrap("publish", |mut store: StoreContextMut<'_, Guest>, (message,): (Message,)| {
        let Message { subject, body, reply_to } = message;
        let outgoing = outgoing(subject, body, reply_to);
        Ok((store.data_mut().send(outgoing).map_err(|refusal| refusal.to_string()),))
    })?;
    consumer.func_wrap_async(
        "request",
        |mut store: StoreContextMut<'_, Guest>, (subject, data, timeout_ms): (String, Vec<u8>, u32)| {
            Box::new(async move {
                let timeout = Some(Duration::from_millis(timeout_ms.into()));
                let granted = store.data_mut().question(&subject, data, Patience { timeout, replies: 1 });
                let answered = ask(granted).await.map_err(|error| error.to_string()).and_then(|replies| {
                    let reply = replies.into_iter().next().ok_or_else(|| "no reply came".to_owned())?;
                    Ok(Message { subject: reply.subject, body: reply.payload.to_vec(), reply_to: None })
                });
                Ok((answered,))
            })
        },
    )
}

/// A message as the guest publishes it.
pub(super) fn outgoing(subject: String, data: Vec<u8>, reply_to: Option<String>) -> Outgoing {
    let metadata = reply_to.map(|address| (REPLY_TO.to_owned(), address)).into_iter().collect();
    Outgoing { subject, data, metadata, content_type: None }
}
