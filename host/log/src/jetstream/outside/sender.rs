//! The task that sends messages outside and hears how each ended.
//!
//! A message for a stream asks for its acknowledgement. One for plain subscribers gets none; behind it goes an
//! echo to ourselves: a server handles what comes over one connection in its order, so when the echo is back
//! the message has been handed to all who listened.
//!
//! A missing permission is reported before the echo, but the client tells it by another task than the one that
//! hands echoes on. So all of them share one thread, where no task overtakes another that was woken before it.

use std::{collections::BTreeMap, io, thread, time::Duration};

use async_nats::{Client, HeaderMap, Message as NatsMessage, Subscriber, client::PublishErrorKind, header};
use bytes::Bytes;
use futures::StreamExt;
use tokio::{
    runtime::Builder,
    sync::{mpsc, oneshot, watch},
    time::{Instant, Interval, MissedTickBehavior, interval, timeout},
};
use waxwing_engine::port::outside::{Done, Message, SendError, Sent};
use waxwing_event::{Subject, handler::Audience};

use super::answer;
use crate::jetstream::{
    connect::{ConnectError, Link, LinkState, Server},
    headers,
    line::Line,
};

/// How long an answer may take, and a message to get into the client.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How often overdue messages are looked for.
const SWEEP: Duration = Duration::from_millis(250);
/// How often a message for plain subscribers is followed by an echo. We may have been woken before the task that
/// is told of a missing permission; before the client reads the second echo, that task has had its turn.
const ECHOES: u8 = 2;
/// Why a message is not even sent.
const AWAY: &str = "there is no connection to NATS";

/// A message, and who waits for its end.
pub(super) struct Parcel {
    pub(super) message: Message,
    pub(super) done: Done,
}

/// Connects, and sends what is handed over until nobody does any more.
pub(super) async fn start(server: &Server) -> Result<mpsc::UnboundedSender<Parcel>, ConnectError> {
    let server = server.clone();
    // Bounded by those who hand over: each handler waits for the ends of what it has under way.
    let (queue, parcels) = mpsc::unbounded_channel();
    let (tell, connected) = oneshot::channel();
    let runtime = Builder::new_current_thread().enable_all().build().map_err(ConnectError::Thread)?;
    let sends = move || {
        runtime.block_on(async move {
            match Line::connect(&server, "outbox").await {
                Ok(line) => {
                    let _ = tell.send(Ok(()));
                    send_all(&line, parcels).await;
                }
                Err(error) => drop(tell.send(Err(error))),
            }
        });
    };
    thread::Builder::new().name("outbox".to_owned()).spawn(sends).map_err(ConnectError::Thread)?;
    match connected.await {
        Ok(connected) => connected.map(|()| queue),
        Err(_) => Err(ConnectError::Thread(io::Error::other("it has ended"))),
    }
}

/// Sends with one connection after the other until nobody hands over any more.
async fn send_all(line: &Line, mut parcels: mpsc::UnboundedReceiver<Parcel>) {
    loop {
        let connected = async { Sender::new(line.living().await).await };
        let sender = tokio::select! {
            biased;
            sender = connected => sender,
            parcel = parcels.recv() => match parcel {
                Some(parcel) => {
                    (parcel.done)(Err(SendError::Away(AWAY.to_owned())));
                    continue;
                }
                None => return,
            },
        };
        let Some(mut sender) = sender else { continue };
        let end = sender.run(&mut parcels).await;
        sender.lose_all();
        if end == End::Closed {
            return;
        }
    }
}

/// Why a sender stopped.
#[derive(PartialEq, Eq)]
enum End {
    /// Nobody will hand over any more.
    Closed,
    /// Its client has died.
    Dead,
}

/// A message on its way.
struct Flight {
    subject: Subject,
    /// Echoes that are still to come; none: a stream is to answer.
    echoes: Option<u8>,
    since: Instant,
    done: Done,
}

/// The task's possessions, for as long as one client lives.
struct Sender {
    link: Link,
    client: Client,
    state: watch::Receiver<LinkState>,
    answers: Subscriber,
    /// Reply subjects are this and a token.
    inbox: String,
    /// By token, and so by time.
    flights: BTreeMap<u64, Flight>,
    next_token: u64,
    sweep: Interval,
    connected: bool,
    losses: u64,
}

impl Sender {
    async fn new(link: Link) -> Option<Sender> {
        let client = link.client().clone();
        let inbox = format!("{}.", client.new_inbox());
        let answers = client.subscribe(format!("{inbox}*")).await.ok()?;
        let mut state = link.watch();
        let LinkState { connected, losses } = *state.borrow_and_update();
        let mut sweep = interval(SWEEP);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (flights, next_token) = Default::default();
        Some(Sender { link, client, state, answers, inbox, flights, next_token, sweep, connected, losses })
    }

    async fn run(&mut self, parcels: &mut mpsc::UnboundedReceiver<Parcel>) -> End {
        let mut closed = false;
        while !(closed && self.flights.is_empty()) {
            tokio::select! {
                biased;
                change = self.state.changed() => match change {
                    Ok(()) => self.link_changed(),
                    Err(_) => return End::Dead,
                },
                answer = self.answers.next() => match answer {
                    Some(answer) => self.answered(&answer).await,
                    None => return End::Dead,
                },
                now = self.sweep.tick() => self.give_up_overdue(now),
                parcel = parcels.recv(), if !closed => match parcel {
                    Some(parcel) => self.send(parcel).await,
                    None => closed = true,
                },
            }
        }
        End::Closed
    }

    async fn send(&mut self, Parcel { message, done }: Parcel) {
        if !self.connected {
            return done(Err(SendError::Away(AWAY.to_owned())));
        }
        let token = self.next_token;
        self.next_token += 1;
        let Message { id, subject, audience, headers, payload } = message;
        let mut headers = headers::to_nats(headers);
        headers.insert(header::NATS_MESSAGE_ID, id);
        let echoes = match audience {
            Audience::Stream => None,
            Audience::Live => Some(ECHOES),
        };
        let since = Instant::now();
        self.flights.insert(token, Flight { subject: subject.clone(), echoes, since, done });
        let handed = self.hand_over(&subject, echoes.is_none().then_some(token), headers, payload).await;
        match handed {
            Ok(()) if echoes.is_some() => self.echo(token).await,
            Ok(()) => {}
            Err(error) => self.end(token, Err(error)),
        }
    }

    async fn hand_over(
        &mut self,
        subject: &Subject,
        reply: Option<u64>,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<(), SendError> {
        let to = subject.as_str().to_owned();
        let sent = async {
            match reply {
                Some(token) => {
                    let reply = format!("{}{token}", self.inbox);
                    self.client.publish_with_reply_and_headers(to, reply, headers, payload).await
                }
                None => self.client.publish_with_headers(to, headers, payload).await,
            }
        };
        match timeout(TIMEOUT, sent).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) if error.kind() == PublishErrorKind::Send => {
                Err(SendError::Away(error.to_string()))
            }
            Ok(Err(error)) => Err(SendError::Refused(error.to_string())),
            Err(_) => Err(SendError::Away(AWAY.to_owned())),
        }
    }

    /// Sends a message to ourselves.
    async fn echo(&mut self, token: u64) {
        let sent = self.client.publish(format!("{}{token}", self.inbox), Bytes::new());
        if !matches!(timeout(TIMEOUT, sent).await, Ok(Ok(()))) {
            self.end(token, Err(SendError::Away(AWAY.to_owned())));
        }
    }

    async fn answered(&mut self, message: &NatsMessage) {
        let token = message.subject.as_str().strip_prefix(self.inbox.as_str());
        let Some(token) = token.and_then(|token| token.parse::<u64>().ok()) else { return };
        let Some(flight) = self.flights.get_mut(&token) else { return };
        match &mut flight.echoes {
            None => {
                if let Some(end) = answer::read(message, &flight.subject) {
                    self.end(token, end);
                }
            }
            Some(left) => {
                *left = left.saturating_sub(1);
                let is_last = *left == 0;
                if self.link.denied(flight.subject.as_str(), flight.since) {
                    let denied = denied(&flight.subject);
                    self.end(token, Err(denied));
                } else if is_last {
                    self.end(token, Ok(Sent::Told));
                } else {
                    self.echo(token).await;
                }
            }
        }
    }

    fn end(&mut self, token: u64, end: Result<Sent, SendError>) {
        if let Some(flight) = self.flights.remove(&token) {
            (flight.done)(end);
        }
    }

    fn link_changed(&mut self) {
        let LinkState { connected, losses } = *self.state.borrow_and_update();
        self.connected = connected;
        if losses != self.losses {
            self.losses = losses;
            self.lose_all();
        }
    }

    /// Where the connection is lost, so are the answers.
    fn lose_all(&mut self) {
        for flight in std::mem::take(&mut self.flights).into_values() {
            (flight.done)(Err(SendError::Away("the connection to NATS was lost".to_owned())));
        }
    }

    fn give_up_overdue(&mut self, now: Instant) {
        let is_denied = |flight: &Flight| self.link.denied(flight.subject.as_str(), flight.since);
        let is_overdue = |flight: &Flight| now.duration_since(flight.since) >= TIMEOUT;
        let ended: Vec<u64> = self
            .flights
            .iter()
            .filter(|(_, flight)| is_denied(flight) || is_overdue(flight))
            .map(|(token, _)| *token)
            .collect();
        for token in ended {
            let Some(flight) = self.flights.remove(&token) else { continue };
            let end = match is_denied(&flight) {
                true => denied(&flight.subject),
                false => overdue(&flight.subject),
            };
            (flight.done)(Err(end));
        }
    }
}

fn denied(subject: &Subject) -> SendError {
    SendError::Refused(format!("the NATS server does not permit this user to publish to `{subject}`"))
}

fn overdue(subject: &Subject) -> SendError {
    SendError::Away(format!(
        "no stream has acknowledged `{subject}` in time: if plain subscribers are meant, grant it with `live`"
    ))
}
