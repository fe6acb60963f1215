//! The task that writes commits and hears how each ended.
//!
//! It owns everything on the way: what waits for others with the same fence, the messages that wait for room
//! in the client, the flights, and one subscription on which all acknowledgements come.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use async_nats::{Client, Message, Subject, Subscriber, client::PublishErrorKind, message::OutboundMessage};
use futures::{FutureExt, Sink, StreamExt, future::poll_fn};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, Interval, MissedTickBehavior, interval},
};
use waxwing_engine::port::log::{CommitError, Committed};

use super::{
    ack::{self, Ack},
    connect::{Link, LinkState},
    flights::{Cargo, Flights},
    gate::Gate,
    group::{Fence, Fenced},
    line::Line,
    pipeline::{Shared, Work},
};

/// How long an acknowledgement may take.
const ACK_TIMEOUT: Duration = Duration::from_secs(5);
/// How often overdue flights are looked for.
const SWEEP: Duration = Duration::from_millis(250);
/// Commits taken from the queue at once.
const CHUNK: usize = 256;
/// Why a commit is not even sent.
const AWAY: &str = "there is no connection to NATS";

/// Writes with one connection after the other until nobody will commit any more.
pub(super) async fn write_all(
    line: Arc<Line>,
    mut commits: mpsc::UnboundedReceiver<Work>,
    shared: Arc<Shared>,
) {
    loop {
        let connected = async { Writer::new(line.living().await, shared.clone()).await };
        let writer = tokio::select! {
            biased;
            writer = connected => writer,
            commit = commits.recv() => match commit {
                Some(commit) => {
                    commit.lost(AWAY);
                    continue;
                }
                None => return,
            },
        };
        let Some(mut writer) = writer else { continue };
        let end = writer.run(&mut commits).await;
        writer.lose_all("the connection to NATS has ended");
        if end == End::Closed {
            return;
        }
    }
}

/// Why a writer stopped.
#[derive(PartialEq, Eq)]
enum End {
    /// Nobody will commit any more.
    Closed,
    /// Its client has died.
    Dead,
}

/// One message of a commit, waiting for room in the client.
struct Outgoing {
    message: OutboundMessage,
    token: u64,
    is_last: bool,
}

/// The task's possessions, for as long as one client lives.
struct Writer {
    client: Client,
    state: watch::Receiver<LinkState>,
    acks: Subscriber,
    shared: Arc<Shared>,
    gate: Gate,
    /// Reply subjects are this and a token.
    inbox: String,
    flights: Flights,
    outgoing: VecDeque<Outgoing>,
    sweep: Interval,
    connected: bool,
    losses: u64,
}

impl Writer {
    async fn new(link: Link, shared: Arc<Shared>) -> Option<Writer> {
        let client = link.client().clone();
        let inbox = format!("{}.", client.new_inbox());
        let acks = client.subscribe(format!("{inbox}*")).await.ok()?;
        let mut state = link.watch();
        let LinkState { connected, losses } = *state.borrow_and_update();
        let mut sweep = interval(SWEEP);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (gate, flights, outgoing) = Default::default();
        Some(Writer { client, state, acks, shared, gate, inbox, flights, outgoing, sweep, connected, losses })
    }

    async fn run(&mut self, commits: &mut mpsc::UnboundedReceiver<Work>) -> End {
        let mut chunk = Vec::with_capacity(CHUNK);
        let mut closed = false;
        while !(closed && self.flights.is_empty() && self.gate.is_empty()) {
            tokio::select! {
                biased;
                change = self.state.changed() => match change {
                    Ok(()) => self.link_changed(),
                    Err(_) => return End::Dead,
                },
                ack = self.acks.next() => match ack {
                    Some(ack) => self.acknowledged(&ack),
                    None => return End::Dead,
                },
                room = poll_fn(|cx| Pin::new(&mut self.client).poll_ready(cx)), if !self.outgoing.is_empty() => {
                    if room.is_err() {
                        return End::Dead;
                    }
                    self.send();
                }
                taken = commits.recv_many(&mut chunk, CHUNK), if !closed && self.outgoing.is_empty() => {
                    closed = taken == 0;
                    self.take(&mut chunk);
                }
                now = self.sweep.tick() => self.give_up_overdue(now),
            }
        }
        End::Closed
    }

    /// A loss ends all flights at once: their acknowledgements will never come.
    fn link_changed(&mut self) {
        let LinkState { connected, losses } = *self.state.borrow_and_update();
        self.connected = connected;
        if losses != self.losses {
            self.losses = losses;
            self.lose_all("the connection to NATS was lost");
        }
    }

    fn lose_all(&mut self, why: &str) {
        self.outgoing.clear();
        self.flights.drain().for_each(|cargo| cargo.lost(why));
        self.gate.drain().for_each(|commit| commit.lost(why));
    }

    fn take(&mut self, chunk: &mut Vec<Work>) {
        let deadline = Instant::now() + ACK_TIMEOUT;
        for work in chunk.drain(..) {
            match work {
                work if !self.connected => work.lost(AWAY),
                Work::Ready(messages, promise) => self.queue(messages, Cargo::One(promise), deadline),
                Work::Fenced(commit) => {
                    let fences = commit.fences.clone();
                    self.gate.push(commit);
                    self.release(&fences);
                }
            }
        }
    }

    /// Sends on what waits for these fences, if its turn has come.
    fn release(&mut self, fences: &[Fence]) {
        for fence in fences {
            if let Some(group) = self.gate.next(&fence.subject) {
                let messages = self.shared.messages(group.entries());
                self.queue(messages, Cargo::Group(group), Instant::now() + ACK_TIMEOUT);
            }
        }
    }

    /// A group has come to its end: its fences are free for the next.
    fn land(&mut self, fences: &[Fence], alone: Vec<Fenced>) {
        self.gate.landed(fences, alone);
        self.release(fences);
    }

    fn queue(&mut self, messages: Vec<OutboundMessage>, cargo: Cargo, deadline: Instant) {
        let token = self.flights.open(cargo, deadline);
        let last = messages.len().saturating_sub(1);
        for (index, mut message) in messages.into_iter().enumerate() {
            // The first of a batch is answered where it is refused, which the last would not tell.
            if index == 0 || index == last {
                message.reply = Some(Subject::from(format!("{}{token}", self.inbox)));
            }
            self.outgoing.push_back(Outgoing { message, token, is_last: index == last });
        }
    }

    /// Hands messages to the client while it has room; the first place has been promised.
    fn send(&mut self) {
        while let Some(Outgoing { message, token, is_last }) = self.outgoing.pop_front() {
            if !self.flights.is_open(token) {
                continue;
            }
            match Pin::new(&mut self.client).start_send(message) {
                Ok(()) if is_last => self.flights.sent(token),
                Ok(()) => {}
                Err(error) => self.refuse(token, error),
            }
            if !matches!(poll_fn(|cx| Pin::new(&mut self.client).poll_ready(cx)).now_or_never(), Some(Ok(())))
            {
                return;
            }
        }
    }

    fn refuse(&mut self, token: u64, error: async_nats::PublishError) {
        let why = error.to_string();
        self.end(
            token,
            Err(match error.kind() {
                PublishErrorKind::Send => CommitError::Unavailable(why),
                _ => CommitError::Invalid(why),
            }),
        );
    }

    fn acknowledged(&mut self, first: &Message) {
        self.close(first);
        while let Some(Some(ack)) = self.acks.next().now_or_never() {
            self.close(&ack);
        }
    }

    fn close(&mut self, message: &Message) {
        let token =
            message.subject.as_str().strip_prefix(self.inbox.as_str()).and_then(|token| token.parse().ok());
        let Some(token) = token else { return };
        match ack::read(message) {
            Ack::Begun => {}
            Ack::Ended(end) => self.end(token, end),
            Ack::InProcess(error) => {
                // The stream has got replicas since it was opened.
                self.shared.replicated.store(true, Ordering::Relaxed);
                self.end(token, Err(error));
            }
        }
    }

    fn end(&mut self, token: u64, end: Result<Committed, CommitError>) {
        match self.flights.close(token) {
            Some(Cargo::One(promise)) => promise.end(end),
            Some(Cargo::Group(group)) => {
                let fences = group.fences().to_vec();
                let alone = group.end(end);
                self.land(&fences, alone);
            }
            None => {}
        }
    }

    fn give_up_overdue(&mut self, now: Instant) {
        while let Some(cargo) = self.flights.overdue(now) {
            let fences = match &cargo {
                Cargo::Group(group) => group.fences().to_vec(),
                Cargo::One(_) => Vec::new(),
            };
            cargo.lost("no acknowledgement came in time");
            self.land(&fences, Vec::new());
        }
    }
}
