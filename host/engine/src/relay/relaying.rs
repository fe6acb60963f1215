//! Relaying: one task owns a handler's outbox while the lease holds.

use std::{ops::ControlFlow, time::Duration};

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use waxwing_event::Position;

use super::{
    End, Relay, tidying,
    verdict::{Verdict, verdict},
    window::{Ticket, Window},
};
use crate::{
    committer::Work,
    entry::{Outgoing, Refusal, Relayed},
    gauges::Gauges,
    lease::Held,
    port::{
        log::{CommitError, Committed, Entry, NewEntry, Part, Reader},
        observe::OutboxChange,
        outside::{SendError, Sent},
    },
};

/// Signals taken at a time.
const SIGNALS: usize = 64;

/// How often what is out is removed.
const TIDY_EVERY: Duration = Duration::from_secs(10);

/// Why relaying cannot go on.
type Step<T = ()> = ControlFlow<String, T>;

/// What others report.
enum Signal {
    Ended(Ticket, Result<Sent, SendError>),
    SetAside(Ticket, Result<Committed, CommitError>),
    /// The place was saved, or not; it was handed over at that time.
    Saved(Relayed, Timestamp, Result<Committed, CommitError>),
}

/// An outbox that is being relayed.
pub(super) struct Relaying<'a> {
    cx: &'a Relay,
    held: Held,
    window: Window,
    /// When the lease was last known to be ours.
    verified: Timestamp,
    /// Nothing is sent before this has passed.
    resting: bool,
    saved: Relayed,
    save_under_way: bool,
    stalled: Option<String>,
    /// Events that are out, in all and when it was last told.
    out: (u64, u64),
    tidied: Timestamp,
    tidying: Option<AbortOnDropHandle<()>>,
    signals: mpsc::UnboundedSender<Signal>,
    inbox: mpsc::UnboundedReceiver<Signal>,
}

impl<'a> Relaying<'a> {
    /// Relays until `stop` or until it cannot go on.
    pub(super) async fn run(cx: &'a Relay, held: Held, stop: &CancellationToken) -> End {
        let mut relaying = match Relaying::begin(cx, held).await {
            Ok(relaying) => relaying,
            Err(why) => return End::Interrupted { why, progressed: false },
        };
        match relaying.relay(stop).await {
            ControlFlow::Continue(()) => End::Drained,
            ControlFlow::Break(why) => End::Interrupted { why, progressed: relaying.out.0 > 0 },
        }
    }

    /// Finds the place.
    async fn begin(cx: &'a Relay, held: Held) -> Result<Relaying<'a>, String> {
        let saved = match cx.log.last(&cx.layout.relayed(&cx.spec.name)).await {
            Ok(Some(entry)) => Relayed::read(&entry).map_err(|error| error.to_string())?,
            Ok(None) => Relayed::default(),
            Err(error) => return Err(error.to_string()),
        };
        // Bounded by what is under way: each event has at most one signal on its way.
        let (signals, inbox) = mpsc::unbounded_channel();
        let now = cx.clock.now();
        Ok(Relaying {
            cx,
            held,
            window: Window::new(saved.up_to, cx.spec.outbox.in_flight),
            verified: now,
            resting: false,
            saved,
            save_under_way: false,
            stalled: None,
            out: (0, 0),
            tidied: Timestamp::UNIX_EPOCH,
            tidying: None,
            signals,
            inbox,
        })
    }

    async fn relay(&mut self, stop: &CancellationToken) -> Step {
        let from = self.window.relayed().next();
        self.cx.tell(&OutboxChange::Started { from });
        let outbox = [self.cx.layout.outboxes(Some(&self.cx.spec.name))];
        let mut reader = match self.cx.log.read(from, &outbox, Part::Whole).await {
            Ok(reader) => reader,
            Err(error) => return Step::Break(error.to_string()),
        };
        let mut stopping = false;
        let mut rest = self.cx.clock.sleep(Duration::ZERO);
        let mut tick = self.cx.clock.sleep(self.cx.save_every);
        let mut signals = Vec::with_capacity(SIGNALS);
        while !(stopping && self.window.is_still()) {
            if !stopping && !self.resting {
                self.send().await?;
            }
            self.show();
            let room = if stopping { 0 } else { self.window.room() };
            // In a fixed order, so that a simulation can repeat a run. None starves the next: stop comes once,
            // the tick and the rest in their time, entries until the window is full.
            tokio::select! {
                biased;
                () = stop.cancelled(), if !stopping => stopping = true,
                () = &mut tick => {
                    self.save();
                    self.tidy();
                    self.tell_progress();
                    tick = self.cx.clock.sleep(self.cx.save_every);
                }
                () = &mut rest, if self.resting => self.resting = false,
                entries = next(&mut reader, room), if room > 0 => self.take(entries)?,
                _ = self.inbox.recv_many(&mut signals, SIGNALS) => {
                    for signal in signals.drain(..) {
                        if let Some(pause) = self.on_signal(signal)? {
                            self.resting = true;
                            rest = self.cx.clock.sleep(pause);
                        }
                    }
                }
            }
        }
        self.show();
        self.save_at_the_end().await
    }

    fn show(&self) {
        Gauges::set(&self.cx.gauges.outbox, self.window.len());
    }

    fn take(&mut self, entries: Result<Vec<Entry>, String>) -> Step {
        let entries = match entries {
            Ok(entries) => entries,
            Err(why) => return Step::Break(why),
        };
        for entry in entries {
            match Outgoing::read(entry) {
                Ok(outgoing) => self.window.push(outgoing),
                // Nobody but a host writes here, so somebody has damaged it, and it can go nowhere.
                Err(error) => tracing::error!(handler = %self.cx.spec.name, %error, "left out of the outbox"),
            }
        }
        Step::Continue(())
    }

    /// Sends all that may go.
    async fn send(&mut self) -> Step {
        while let Some((ticket, message)) = self.window.next() {
            self.verify().await?;
            let signals = self.signals.clone();
            let done = Box::new(move |end| drop(signals.send(Signal::Ended(ticket, end))));
            self.cx.publish.publish(message, done);
        }
        Step::Continue(())
    }

    /// A host that was paused looks at its lease before it sends on: outside there is no fence.
    async fn verify(&mut self) -> Step {
        let now = self.cx.clock.now();
        let since = Duration::try_from(now.duration_since(self.verified)).unwrap_or(Duration::MAX);
        if since < self.cx.lease / 2 {
            return Step::Continue(());
        }
        match self.cx.log.last(&self.held.subject).await {
            Ok(Some(entry)) if entry.position == self.held.fence => {
                self.verified = now;
                Step::Continue(())
            }
            Ok(_) => Step::Break("another host relays".to_owned()),
            Err(error) => Step::Break(error.to_string()),
        }
    }

    /// Gives a pause where there is one to be made.
    fn on_signal(&mut self, signal: Signal) -> Step<Option<Duration>> {
        match signal {
            Signal::Ended(ticket, Ok(_)) => self.is_out(ticket),
            Signal::Ended(ticket, Err(error)) => return Step::Continue(self.on_failure(ticket, &error)),
            Signal::SetAside(ticket, Ok(_)) => {
                self.window.out(ticket);
                self.stalled = None;
                Gauges::count(&self.cx.gauges.outbox_set_aside);
            }
            Signal::Saved(relayed, handed_over, Ok(_)) => {
                (self.saved, self.save_under_way) = (relayed, false);
                // The lease was ours when it was written; since then the process may have been stopped.
                self.verified = self.verified.max(handed_over);
            }
            Signal::SetAside(_, Err(error)) | Signal::Saved(_, _, Err(error)) => {
                return Step::Break(error.to_string());
            }
        }
        Step::Continue(None)
    }

    fn is_out(&mut self, ticket: Ticket) {
        self.window.out(ticket);
        self.stalled = None;
        self.out.0 += 1;
        Gauges::count(&self.cx.gauges.outbox_out);
    }

    fn on_failure(&mut self, ticket: Ticket, error: &SendError) -> Option<Duration> {
        let is_oldest = self.window.is_oldest(ticket);
        let failures = self.window.failed(ticket, error);
        match verdict(error, failures, self.cx.spec.outbox.attempts) {
            Verdict::SetAside(why) if is_oldest => {
                self.set_aside(ticket, why, failures.refusals);
                None
            }
            // What is older may still go out; it comes again when it is the oldest.
            Verdict::SetAside(_) => Some(Duration::ZERO),
            Verdict::Again(pause) => {
                self.tell_stalled(error);
                Some(pause)
            }
        }
    }

    /// Moves the oldest event out of the way, in one step with the place.
    fn set_aside(&mut self, ticket: Ticket, why: String, attempts: u32) {
        let Some(outgoing) = self.window.hold(ticket) else { return };
        let (layout, handler) = (&self.cx.layout, &self.cx.spec.name);
        let about = Refusal::new(&why, attempts, self.cx.clock.now());
        let refused = outgoing.refused(layout, handler, &about);
        let relayed = Relayed { up_to: outgoing.position }.write(layout.relayed(handler));
        let change =
            OutboxChange::SetAside { subject: outgoing.message.subject, id: outgoing.message.id, why };
        self.cx.tell(&change);
        self.submit(vec![refused, relayed], move |end| Signal::SetAside(ticket, end));
    }

    fn save(&mut self) {
        let relayed = Relayed { up_to: self.window.relayed() };
        if self.save_under_way || relayed == self.saved {
            return;
        }
        self.save_under_way = true;
        let entry = relayed.write(self.cx.layout.relayed(&self.cx.spec.name));
        let now = self.cx.clock.now();
        self.submit(vec![entry], move |end| Signal::Saved(relayed, now, end));
    }

    async fn save_at_the_end(&mut self) -> Step {
        while self.save_under_way || self.saved.up_to < self.window.relayed() {
            self.save();
            match self.inbox.recv().await {
                Some(signal) => self.on_signal(signal).map_continue(drop)?,
                None => return Step::Break("the log was closed".to_owned()),
            }
        }
        Step::Continue(())
    }

    fn submit(
        &self,
        entries: Vec<NewEntry>,
        signal: impl FnOnce(Result<Committed, CommitError>) -> Signal + Send + 'static,
    ) {
        let signals = self.signals.clone();
        // A failed send means that relaying has ended: nobody waits for it any more.
        let done = Box::new(move |end| drop(signals.send(signal(end))));
        self.cx.committer.submit(Work::under(&self.held, entries, done));
    }

    fn tidy(&mut self) {
        let now = self.cx.clock.now();
        let since = Duration::try_from(now.duration_since(self.tidied)).unwrap_or(Duration::MAX);
        let is_under_way = self.tidying.as_ref().is_some_and(|task| !task.is_finished());
        if is_under_way || since < TIDY_EVERY || self.saved.up_to == Position::NONE {
            return;
        }
        self.tidied = now;
        let (log, layout) = (self.cx.log.clone(), self.cx.layout.clone());
        let task = tidying::run(log, layout, self.cx.spec.name.clone(), self.saved);
        self.tidying = Some(AbortOnDropHandle::new(tokio::spawn(task)));
    }

    fn tell_stalled(&mut self, error: &SendError) {
        let why = error.to_string();
        if self.stalled.as_ref() == Some(&why) {
            return;
        }
        let subject = self.window.oldest().map(|outgoing| outgoing.message.subject.clone());
        if let Some(subject) = subject {
            self.cx.tell(&OutboxChange::Stalled { subject, why: why.clone() });
        }
        self.stalled = Some(why);
    }

    fn tell_progress(&mut self) {
        let now = self.cx.clock.now();
        let waited = |outgoing: &Outgoing| Duration::try_from(now.duration_since(outgoing.time));
        let behind = self.window.oldest().map_or(Duration::ZERO, |o| waited(o).unwrap_or_default());
        Gauges::set(
            &self.cx.gauges.outbox_behind_ms,
            usize::try_from(behind.as_millis()).unwrap_or(usize::MAX),
        );
        let (all, told) = self.out;
        if all > told || behind > Duration::ZERO {
            self.out.1 = all;
            self.cx.tell(&OutboxChange::Relayed { out: all - told, behind });
        }
    }
}

async fn next(reader: &mut Box<dyn Reader>, room: usize) -> Result<Vec<Entry>, String> {
    reader.next(room).await.map_err(|error| error.to_string())
}
