//! Serving: one task owns all bookkeeping of a partition while its lease holds.
//!
//! Source, sandbox, committer and operators report to it over channels. It decides with [`crate::policy`],
//! [`crate::parking`] and [`crate::plan`], and it acts. Anything unforeseen ends it: the lease is taken anew,
//! which keeps late writes out, and the log tells what has been handled.
//!
//! Here: the loop, and what arrives and starts. `attempt.rs` runs events, `writing.rs` writes what came of
//! them, `waiting.rs` looks after those that wait, `visits.rs` after requests and live messages, `saving.rs`
//! saves the place, `swapping.rs` goes on with another version of the module, `trying.rs` counts what comes of a canary,
//! `shadowing.rs` runs a shadow.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    ops::ControlFlow,
    sync::Arc,
};

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use waxwing_event::Position;

use super::{
    Context,
    active::Active,
    alarm::Alarm,
    claims::Claims,
    entrance::Entrance,
    ready::Ready,
    runs::{RunId, Runs},
    shadowing::Ran,
    timing::Fired,
    trying::{Tallies, Trying},
    visits::Looked,
    waiting::Loaded,
};
use crate::{
    cache::StateCache,
    door::Visitor,
    entry::{deploy::Running, partitions::Former},
    gauges::Gauges,
    health::Health,
    inputs::Inputs,
    lane::Lanes,
    lease::Held,
    parking::Parking,
    port::{
        invoke::{Report, StateUnavailable},
        log::{CommitError, Committed, Entry, ReadError},
        observe::PartitionChange,
    },
    program::Program,
    recovery::Place,
    source::{self, Arrival, Arrivals, Source},
    timers::Timers,
};

/// Signals taken at a time.
const SIGNALS: usize = 256;

/// How serving ended.
pub(super) enum End {
    /// It was asked to stop, and all that was under way is durable.
    Drained,
    /// It cannot go on as it is.
    Interrupted {
        /// For people.
        why: String,
        /// True where something was handled since it began.
        progressed: bool,
        /// The highest position that is known to be taken.
        seen: Position,
    },
}

/// What sandbox, committer and log report.
pub(super) enum Signal {
    Ran(RunId, Report),
    Committed(RunId, Result<Committed, CommitError>),
    /// The checkpoint was saved, or not; it counts the marks up to that position.
    Checkpointed(Position, Result<Committed, CommitError>),
    /// An entry that tells about the handler was written, or not.
    Noted(Result<Committed, CommitError>),
    /// A parked event was read.
    Loaded(Position, Loaded),
    /// A timer's entry was read.
    Fired(Arc<str>, Position, Fired),
    /// Whether a request was handled before.
    Looked(RunId, Looked),
    /// Whether an event was handled at another position.
    WasHandled(RunId, Result<bool, StateUnavailable>),
    /// Whether the lease still is this host's, after a commit of this run was refused.
    StillOwns(RunId, Result<bool, ReadError>),
    /// What all partitions have counted of a canary.
    Tallied(Tallies),
    /// A run of the shadow has ended.
    Shadowed(Box<Ran>),
}

/// Why serving cannot go on.
pub(super) type Step = ControlFlow<String>;

/// A partition that is being served.
pub(super) struct Serving<'a> {
    pub(super) cx: &'a Context,
    pub(super) held: Held,
    /// What runs that begins now.
    pub(super) program: Program,
    pub(super) programs: watch::Receiver<Program>,
    /// Of what the log says that it ran last.
    pub(super) swapped: Running,
    /// What is tried beside it.
    pub(super) trying: Option<Trying>,
    pub(super) inputs: Inputs,
    pub(super) cache: Arc<StateCache>,
    pub(super) runs: Runs,
    pub(super) lanes: Lanes<RunId>,
    pub(super) parking: Parking,
    pub(super) timers: Timers,
    pub(super) health: Health,
    /// True while an operator has paused the handler.
    pub(super) paused: bool,
    pub(super) ready: Ready,
    /// Requests and live messages that are free to start, oldest first.
    pub(super) ready_visits: VecDeque<RunId>,
    /// Requests under way, by their ids.
    pub(super) by_id: HashMap<String, RunId>,
    /// Who had a turn to start last.
    visits_had_turn: bool,
    /// Started and not yet handled.
    pub(super) under_way: usize,
    /// Parked events that are being read.
    pub(super) loading: usize,
    /// State keys that one run may write, and who waits for each.
    pub(super) claims: Claims,
    /// For each state key, handled inputs above the watermark of which its current entry tells.
    pub(super) told_by_state: HashMap<String, Vec<Position>>,
    /// The highest position that is known to be taken.
    pub(super) seen: Position,
    /// What operators decided about events that are not closed here yet.
    pub(super) decided: HashMap<Position, Vec<Entry>>,
    /// Events handled since serving began.
    pub(super) handled: u64,
    /// Watermark and count at the last checkpoint.
    pub(super) checkpointed: (Position, u64),
    pub(super) checkpoint_under_way: bool,
    /// When entries were removed last whose marks are counted.
    pub(super) tidied: Timestamp,
    pub(super) stopping: bool,
    /// Inputs handled before serving began that have not been read yet.
    pub(super) handled_before: BTreeSet<Position>,
    /// What was handled before the inputs were divided as they are now.
    pub(super) former: Vec<Former>,
    is_new: bool,
    pub(super) signals: mpsc::UnboundedSender<Signal>,
    inbox: mpsc::UnboundedReceiver<Signal>,
    operators: mpsc::UnboundedReceiver<Entry>,
    /// Ends it in good order.
    pub(super) until: CancellationToken,
}

impl<'a> Serving<'a> {
    pub(super) fn new(
        cx: &'a Context,
        held: Held,
        (inputs, place): (Inputs, Place),
        operators: mpsc::UnboundedReceiver<Entry>,
        until: &CancellationToken,
    ) -> Serving<'a> {
        // Bounded by what is under way: each event has at most one signal on its way.
        let (signals, inbox) = mpsc::unbounded_channel();
        let cache = StateCache::new(cx.log.clone(), cx.layout.clone(), &cx.spec, cx.cache_bytes);
        let cache = if cx.share.partitions.is_one() { cache } else { cache.shared() };
        let mut programs = cx.programs.clone();
        let program = programs.borrow_and_update().clone();
        let health = Health::new(cx.spec.outage.clone(), place.outage, cx.clock.now());
        let mut serving = Serving {
            cx,
            seen: held.fence,
            decided: HashMap::new(),
            held,
            program,
            programs,
            swapped: place.swapped,
            trying: None,
            inputs,
            cache: Arc::new(cache),
            runs: Runs::new(place.watermark),
            lanes: Lanes::default(),
            parking: Parking::default(),
            timers: Timers::default(),
            health,
            paused: place.paused,
            ready: Ready::default(),
            ready_visits: VecDeque::new(),
            by_id: HashMap::new(),
            visits_had_turn: false,
            under_way: 0,
            loading: 0,
            claims: Claims::default(),
            told_by_state: place.told_by_state,
            handled: 0,
            checkpointed: (place.saved, 0),
            checkpoint_under_way: false,
            tidied: cx.clock.now(),
            stopping: false,
            handled_before: place.handled,
            former: place.former,
            is_new: place.is_new,
            signals,
            inbox,
            operators,
            until: until.clone(),
        };
        serving.remember(place.parked, place.letters);
        serving.remember_timers(place.timers, place.fired);
        serving
    }

    /// Serves until it is to end or cannot go on.
    pub(super) async fn run(mut self) -> End {
        let gauges = self.cx.gauges.clone();
        let _serving = gauges.serve();
        match self.serve().await {
            ControlFlow::Continue(()) => End::Drained,
            ControlFlow::Break(why) => {
                End::Interrupted { why, progressed: self.handled > 0, seen: self.seen }
            }
        }
    }

    async fn serve(&mut self) -> Step {
        let until = self.until.clone();
        // Who hears that it has started may ask at once.
        let mut entrance = Entrance::open(self.cx, &until);
        self.tell(PartitionChange::Started { from: self.runs.window.watermark().next() });
        if self.is_new {
            self.save_checkpoint().await?;
        }
        if self.paused {
            self.tell(PartitionChange::Paused);
        }
        self.recall_trial().await?;
        self.note_swap();
        let (mut arrivals, _source) = self.start_source();
        let mut visitors = Vec::new();
        let mut signals = Vec::with_capacity(SIGNALS);
        let mut tick = self.cx.clock.sleep(self.cx.checkpoint_every);
        let mut alarm = Alarm::default();
        let mut stopped = std::pin::pin!(until.cancelled());
        while !(self.stopping && self.under_way == 0 && self.ready_visits.is_empty() && entrance.is_shut()) {
            let has_room = !self.stopping && self.has_room_to_read();
            self.show();
            alarm.set(self.next_time(), self.cx.clock.as_ref());
            // In a fixed order, so that a simulation can repeat a run. None starves the next: stop comes once,
            // the tick in its time, few things from operators, arrivals until the window is full, and signals
            // start what the alarm would. Visitors come in with each of them.
            tokio::select! {
                biased;
                () = &mut stopped, if !self.stopping => self.stopping = true,
                () = &mut tick => {
                    self.hand_over_checkpoint();
                    self.save_trial();
                    self.look_at_trial();
                    tick = self.cx.clock.sleep(self.cx.checkpoint_every);
                }
                Some(entry) = self.operators.recv() => self.on_operator(&entry)?,
                Ok(()) = self.programs.changed() => self.swap()?,
                batch = arrivals.recv(), if has_room => self.on_arrivals(batch)?,
                _ = self.inbox.recv_many(&mut signals, SIGNALS) => {
                    for signal in signals.drain(..) {
                        self.on_signal(signal)?;
                    }
                    // Under load there is always a signal: who has come in need not wait for the last of them.
                    self.let_in(&mut entrance, &mut visitors)?;
                }
                () = entrance.visitors(&mut visitors) => self.let_in(&mut entrance, &mut visitors)?,
                () = alarm.rings() => self.start_ready()?,
            }
        }
        self.save_trial();
        self.save_checkpoint().await
    }

    /// Takes up the visitors, and those who have come since.
    fn let_in(&mut self, entrance: &mut Entrance, visitors: &mut Vec<Visitor>) -> Step {
        entrance.present(visitors);
        if visitors.is_empty() {
            return Step::Continue(());
        }
        visitors.drain(..).for_each(|visitor| self.on_visitor(visitor));
        self.start_ready()
    }

    fn has_room_to_read(&self) -> bool {
        let most_bytes = usize::try_from(self.cx.spec.limits.in_flight_bytes).unwrap_or(usize::MAX);
        self.runs.window.len() < self.window() && self.runs.window_bytes() < most_bytes
    }

    /// Shows how full everything is.
    fn show(&self) {
        let gauges = &self.cx.gauges;
        Gauges::set(&gauges.watermark, usize::try_from(self.runs.window.watermark().0).unwrap_or(usize::MAX));
        let oldest = self
            .runs
            .window
            .open_inputs()
            .next()
            .map_or(0, |active| active.input.entry.time.as_millisecond());
        Gauges::set(&gauges.oldest_ms, usize::try_from(oldest).unwrap_or(0));
        Gauges::set(&gauges.under_way, self.under_way);
        Gauges::set(&gauges.window, self.runs.window.len());
        Gauges::set(&gauges.window_bytes, self.runs.window_bytes());
        Gauges::set(&gauges.lanes, self.lanes.len());
        Gauges::set(&gauges.parked, self.parking.len());
        Gauges::set(&gauges.parked_keys, self.parking.keys());
        Gauges::set(&gauges.timers, self.timers.len());
        Gauges::set(&gauges.outage, usize::from(self.health.outage().is_some()));
        Gauges::set(&gauges.paused, usize::from(self.paused));
    }

    /// How many inputs may be between the watermark and the end of what was read.
    fn window(&self) -> usize {
        let own = self.limit().saturating_mul(2).max(64);
        // Those of the other partitions are in it, too.
        own.saturating_mul(self.cx.share.partitions.0.get() as usize)
    }

    /// How many events may be under way.
    pub(super) fn limit(&self) -> usize {
        self.cx.spec.concurrency.get() as usize
    }

    fn start_source(&self) -> (mpsc::Receiver<Arrivals>, AbortOnDropHandle<()>) {
        let (sender, receiver) = mpsc::channel(source::CHUNKS_AHEAD);
        let source = Source {
            inputs: self.inputs.entries.clone(),
            origin: self.inputs.origin.clone(),
            spec: self.cx.spec.clone(),
            readings: self.cx.readings.clone(),
        };
        let from = self.runs.window.watermark().next();
        let (share, handled, former) =
            (self.cx.share.clone(), self.handled_before.clone(), self.former.clone());
        let open = source::Open { share, handled, former };
        let task = tokio::spawn(source.run(from, open, sender));
        (receiver, AbortOnDropHandle::new(task))
    }

    fn on_arrivals(&mut self, batch: Option<Arrivals>) -> Step {
        match batch {
            Some(Ok(arrivals)) => arrivals.into_iter().for_each(|arrival| self.arrive(arrival)),
            Some(Err(error)) => return Step::Break(error.to_string()),
            None => return Step::Break("the reader has ended".to_owned()),
        }
        self.start_ready()
    }

    fn arrive(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Handled(position) => {
                self.handled_before.remove(&position);
                self.runs.window.skip(position);
            }
            Arrival::Elsewhere(position) => self.runs.window.pass(position),
            Arrival::Input(input) => {
                let key = input.key.clone();
                let id = self.runs.open(self.known(Active::new(input)));
                match key {
                    Some(key) => self.enter(id, &key),
                    None => self.put_ready(id),
                }
            }
        }
    }

    /// An event whose id tells whether it was handled, where the manifest says so.
    pub(super) fn known(&self, active: Active) -> Active {
        if self.cx.spec.dedupe_events { active.known_by_its_id() } else { active }
    }

    /// Starts what may start.
    pub(super) fn start_ready(&mut self) -> Step {
        self.load_due();
        while self.under_way < self.limit() {
            let Some(id) = self.next_to_start() else { break };
            self.under_way += 1;
            if matches!(id, RunId::Visit(_)) {
                self.start_visit(id);
                continue;
            }
            if let Some(active) = self.runs.get_mut(id) {
                self.health.started(active.position());
            }
            self.start(id);
        }
        Step::Continue(())
    }

    /// Events and visits take turns, so that neither waits for the other's backlog.
    fn next_to_start(&mut self) -> Option<RunId> {
        let event_may = !self.ready.is_empty() && !self.stopping && !self.paused && self.lets_start();
        let visit_may = !self.ready_visits.is_empty();
        self.visits_had_turn = visit_may && !(event_may && self.visits_had_turn);
        if self.visits_had_turn {
            return self.ready_visits.pop_front();
        }
        if event_may { self.ready.take() } else { None }
    }

    /// It may start.
    pub(super) fn put_ready(&mut self, id: RunId) {
        match id {
            RunId::Visit(_) => self.ready_visits.push_back(id),
            RunId::Window(_) | RunId::Aside(_) => {
                if let Some(position) = self.runs.get_mut(id).map(|active| active.position()) {
                    self.ready.put(position, id);
                }
            }
        }
    }

    /// True unless an outage forbids it for now.
    pub(super) fn lets_start(&self) -> bool {
        self.health.outage().is_none() || self.health.lets_start(self.cx.clock.now())
    }

    fn on_signal(&mut self, signal: Signal) -> Step {
        match signal {
            Signal::Ran(id, report) => self.on_report(id, report),
            Signal::Committed(id, Ok(committed)) => self.on_committed(id, committed),
            Signal::Committed(id, Err(CommitError::Invalid(why))) => self.on_invalid(id, why),
            Signal::Committed(id, Err(CommitError::Refused(why))) => self.on_refused(id, why),
            Signal::Checkpointed(counted, Ok(committed)) => {
                self.on_checkpointed(counted, committed);
                Step::Continue(())
            }
            Signal::Noted(Ok(committed)) => {
                self.seen = self.seen.max(committed.last);
                Step::Continue(())
            }
            Signal::Committed(_, Err(error))
            | Signal::Checkpointed(_, Err(error))
            | Signal::Noted(Err(error)) => Step::Break(error.to_string()),
            Signal::Loaded(position, loaded) => self.on_loaded(position, loaded),
            Signal::Fired(id, position, fired) => self.on_fired(&id, position, fired),
            Signal::Looked(id, looked) => self.on_looked(id, looked),
            Signal::WasHandled(id, looked) => self.on_looked_whether_handled(id, looked),
            Signal::StillOwns(id, owns) => self.on_looked_whether_owned(id, owns),
            Signal::Tallied(tallies) => self.on_tallied(tallies),
            Signal::Shadowed(ran) => self.on_shadowed(*ran),
        }
    }
}
