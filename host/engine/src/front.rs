//! The front of a handler: takes requests and live messages as they come to this host, and brings each to the
//! host that owns the handler's partition: this one, or another.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use waxwing_event::HandlerName;

use crate::{
    door::{Door, Shut},
    entry::Partition,
    port::{
        Requests,
        requests::{Answer, Arrival, Incoming, Kind, Message},
    },
};

/// Takes what comes for one handler.
pub struct Front {
    /// The handler.
    pub handler: HandlerName,
    /// The part of it to which its messages go.
    pub partition: Partition,
    /// Where messages come from, and where those go that are not for this host.
    pub requests: Arc<dyn Requests>,
    /// Where they go on this host.
    pub door: Door,
}

impl Front {
    /// Takes messages of the handler's own subjects until `stop`, and then those that had come.
    pub async fn take_shared(self, incoming: Box<dyn Incoming>, stop: CancellationToken) {
        let take = |message| {
            if let Err(Shut::Elsewhere(message)) = self.door.enter(message) {
                self.requests.pass_on(message, &self.handler, self.partition);
            }
        };
        self.take(incoming, stop, take).await;
    }

    /// Takes what other hosts pass on until `stop`, and then what had come. It goes no further: hosts that do
    /// not agree on the owner shall not play with it.
    pub async fn take_passed_on(self, incoming: Box<dyn Incoming>, stop: CancellationToken) {
        let take = |message| {
            if let Err(Shut::Elsewhere(Message { kind, sender, .. })) = self.door.enter(message) {
                match (kind, sender) {
                    (Kind::Live, _) => self.door.shed(1),
                    (Kind::Request, Some(sender)) => sender.answer(&Answer::unowned(&self.handler)),
                    (Kind::Request, None) => {}
                }
            }
        };
        self.take(incoming, stop, take).await;
    }

    async fn take(&self, mut incoming: Box<dyn Incoming>, stop: CancellationToken, take: impl Fn(Message)) {
        let mut is_open = true;
        loop {
            tokio::select! {
                arrival = incoming.next() => match arrival {
                    Some(Arrival::Message(message)) => take(message),
                    Some(Arrival::Lost(count)) => self.door.shed(count),
                    None => return,
                },
                () = stop.cancelled(), if is_open => {
                    is_open = false;
                    incoming.close();
                }
            }
        }
    }
}
