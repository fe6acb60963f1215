//! The entrance of a partition that is served: the open door, and the host as the owner to whom others pass on.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::Context;
use crate::{
    door::{Door, Visitor},
    front::Front,
    port::Requests,
};

/// Visitors taken at a time.
const AT_ONCE: usize = 256;

/// Where the requests and live messages of a handler come in.
#[derive(Clone)]
pub struct Doorway {
    /// Where they wait on this host.
    pub door: Door,
    /// Where they come from.
    pub requests: Arc<dyn Requests>,
}

/// An open entrance; nothing ever comes in where the handler takes none.
pub(super) struct Entrance {
    visitors: Option<mpsc::UnboundedReceiver<Visitor>>,
    /// Takes what other hosts pass on, until it is told to stop and all that had come is in.
    passed_on: Option<AbortOnDropHandle<()>>,
}

impl Entrance {
    /// Opens it until `stop`.
    pub(super) fn open(cx: &Context, stop: &CancellationToken) -> Entrance {
        let Some(Doorway { door, requests }) = cx.entrance.clone() else {
            return Entrance { visitors: None, passed_on: None };
        };
        let (handler, partition, stop) = (cx.spec.name.clone(), cx.share.partition, stop.clone());
        let visitors = door.open(partition);
        let passed_on = async move {
            let incoming = requests.own(&handler, partition).await;
            Front { handler, requests, door }.take_passed_on(partition, incoming, stop).await;
        };
        let passed_on = Some(AbortOnDropHandle::new(tokio::spawn(passed_on)));
        Entrance { visitors: Some(visitors), passed_on }
    }

    /// True when nobody comes in any more: it was told to stop, and all that had come is taken.
    pub(super) fn is_shut(&self) -> bool {
        let waiting = self.visitors.as_ref().is_some_and(|visitors| !visitors.is_empty());
        self.passed_on.is_none() && !waiting
    }

    /// Waits for visitors; also returns, once and without any, when the last can have come. A future dropped
    /// while it waits loses none.
    pub(super) async fn visitors(&mut self, into: &mut Vec<Visitor>) {
        let Some(visitors) = &mut self.visitors else { return std::future::pending().await };
        match &mut self.passed_on {
            Some(passed_on) => tokio::select! {
                biased;
                _ = visitors.recv_many(into, AT_ONCE) => {}
                _ = passed_on => self.passed_on = None,
            },
            None => {
                visitors.recv_many(into, AT_ONCE).await;
            }
        }
    }

    /// Adds visitors who are there, without a wait.
    pub(super) fn present(&mut self, into: &mut Vec<Visitor>) {
        let Some(visitors) = &mut self.visitors else { return };
        while into.len() < AT_ONCE
            && let Ok(visitor) = visitors.try_recv()
        {
            into.push(visitor);
        }
    }
}
