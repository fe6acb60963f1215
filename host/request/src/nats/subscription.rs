//! Messages of one subject, from one connection after the other.

use std::{sync::Arc, time::Duration};

use async_nats::{Client, Message, Subscriber};
use futures::StreamExt;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use waxwing_engine::port::requests::Arrival;

use super::line::Line;

/// How long to wait for a server to confirm that it knows of a subscription, or that it has ended.
const PATIENCE: Duration = Duration::from_secs(5);

/// The pause after a connection on which nothing could be subscribed to.
const PAUSE: Duration = Duration::from_millis(100);

/// A subscription that goes on until it is closed or dropped.
pub(super) struct Subscription {
    close: CancellationToken,
    established: Option<oneshot::Receiver<()>>,
    task: AbortOnDropHandle<()>,
}

struct Task<F> {
    line: Arc<Line>,
    subject: String,
    queue_group: Option<String>,
    arrivals: Option<mpsc::Sender<Arrival>>,
    take: F,
    close: CancellationToken,
}

impl Subscription {
    /// Subscribes. What `take` makes of each message goes to `arrivals`.
    pub(super) fn start(
        line: Arc<Line>,
        subject: String,
        queue_group: Option<String>,
        arrivals: Option<mpsc::Sender<Arrival>>,
        take: impl Fn(Message) -> Option<Arrival> + Send + Sync + 'static,
    ) -> Subscription {
        let close = CancellationToken::new();
        let (tell, established) = oneshot::channel();
        let task = Task { line, subject, queue_group, arrivals, take, close: close.clone() };
        let task = AbortOnDropHandle::new(tokio::spawn(task.run(tell)));
        Subscription { close, established: Some(established), task }
    }

    /// Returns when the server knows of it, or has been away for a while.
    pub(super) async fn established(&mut self) {
        if let Some(established) = self.established.take() {
            let _ = timeout(PATIENCE, established).await;
        }
    }

    /// Lets no more messages come; those that have come are still taken.
    pub(super) fn close(&self) {
        self.close.cancel();
    }

    /// Returns when all that had come before [`Subscription::close`] is taken.
    pub(super) async fn ended(self) {
        let _ = self.task.await;
    }
}

impl<F: Fn(Message) -> Option<Arrival>> Task<F> {
    async fn run(self, tell: oneshot::Sender<()>) {
        let mut tell = Some(tell);
        loop {
            let client = tokio::select! {
                client = self.line.living() => client,
                () = self.close.cancelled() => return,
            };
            let Some(subscriber) = self.subscribe(&client).await else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            if let Some(tell) = tell.take() {
                confirm(&client).await;
                // Nobody may wait for it any more.
                let _ = tell.send(());
            }
            if self.follow(subscriber).await.is_closed() {
                return;
            }
        }
    }

    async fn subscribe(&self, client: &Client) -> Option<Subscriber> {
        let subject = self.subject.clone();
        let subscribed = match &self.queue_group {
            Some(group) => client.queue_subscribe(subject, group.clone()).await,
            None => client.subscribe(subject).await,
        };
        subscribed
            .map_err(|error| tracing::warn!(subject = self.subject, %error, "cannot subscribe yet"))
            .ok()
    }

    /// Takes messages until the client has died, or the subscription is closed.
    async fn follow(&self, mut subscriber: Subscriber) -> Followed {
        loop {
            let message = tokio::select! {
                message = subscriber.next() => message,
                () = self.close.cancelled() => break,
            };
            match message {
                Some(message) => self.hand_over(message).await,
                None => return Followed::Died,
            }
        }
        // What the server has sent before it heard of the end still comes.
        let rest = async {
            if subscriber.drain().await.is_ok() {
                while let Some(message) = subscriber.next().await {
                    self.hand_over(message).await;
                }
            }
        };
        let _ = timeout(PATIENCE, rest).await;
        Followed::Closed
    }

    async fn hand_over(&self, message: Message) {
        if let (Some(arrival), Some(arrivals)) = ((self.take)(message), &self.arrivals) {
            // Whoever has dropped the receiver wants no more.
            let _ = arrivals.send(arrival).await;
        }
    }
}

enum Followed {
    Died,
    Closed,
}

impl Followed {
    fn is_closed(&self) -> bool {
        matches!(self, Followed::Closed)
    }
}

/// Returns when the server has taken everything that was sent before: a message to ourselves has come back.
async fn confirm(client: &Client) {
    let inbox = client.new_inbox();
    let there_and_back = async {
        let mut echo = client.subscribe(inbox.clone()).await.ok()?;
        client.publish(inbox, "".into()).await.ok()?;
        echo.next().await
    };
    let _ = timeout(PATIENCE, there_and_back).await;
}
