//! Waiting: events that are parked, keys that are held, handlers that are paused or in outage.

use std::time::Duration;

use jiff::Timestamp;
use waxwing_event::{Failure, HandlerSpec, Position, Subject, outcome::FailureKind};

use super::{
    active::Active,
    runs::RunId,
    serving::{Serving, Signal, Step},
};
use crate::{
    committer::Work,
    entry::{Layout, Mark, ParkedEvent, generation::Generations, parked, tombstone},
    gauges::Gauges,
    generations::Role,
    lane::Key,
    parking::{Parked, Stage},
    port::{
        Clock, Log,
        clock::after,
        log::{Entry, NewEntry, ReadError},
        observe::PartitionChange,
        outside::Read,
    },
    recovery::Letter,
    source::{self, Input},
};

/// A parked event as it was read; none where it is parked no more.
pub(super) type Loaded = Result<Option<Unparked>, ReadError>;

/// A parked event that may run now.
pub(super) struct Unparked {
    input: Box<Input>,
    about: parked::About,
}

impl Serving<'_> {
    /// Takes over what waited before serving began.
    pub(super) fn remember(&mut self, parked: Vec<(Position, Parked)>, letters: Vec<Letter>) {
        for (position, parked) in parked {
            self.park(position, parked);
        }
        for Letter { position, key, entry } in letters {
            self.hold(position, &key, entry);
        }
    }

    /// An input with a key: it goes, waits in its lane, or is parked behind those that wait longer.
    pub(super) fn enter(&mut self, id: RunId, key: &Key) {
        if let Some(active) = self.runs.get_mut(id) {
            active.in_lane = true;
        }
        match self.lanes.enter(key, id) {
            Some(first) => self.put_ready(first),
            None => self.park_next(key),
        }
    }

    /// A failed event waits for its next attempt, and so do those of its key that follow.
    pub(super) fn park_failed(&mut self, id: RunId, mut failure: Failure, delay: Duration) {
        let now = self.cx.clock.now();
        let due = after(now, delay);
        let Some(active) = self.runs.get_mut(id) else { return };
        if active.parked.is_none() && !self.has_room() {
            failure.reason.push_str("; there is no room to park it");
            Gauges::count(&self.cx.gauges.refused);
            return self.write_dead_letter(id, failure);
        }
        let Some(active) = self.runs.get_mut(id) else { return };
        let about = active.about_parked(&self.cx.spec, Some(&failure), due, now);
        self.park_run(id, due);
        self.write_parked(id, about, Some(failure));
    }

    /// An event that was not tried waits behind others of its key.
    fn park_untried(&mut self, id: RunId) {
        let now = self.cx.clock.now();
        self.under_way += 1;
        if let Some(active) = self.runs.get_mut(id) {
            active.in_lane = false;
        }
        if !self.has_room() {
            let most = self.cx.spec.limits.parked;
            let why = format!("its key waits, and {most} events are parked, as many as may be");
            return self.write_dead_letter(id, Failure::new(FailureKind::Parked, why));
        }
        let Some(active) = self.runs.get_mut(id) else { return };
        let about = active.about_parked(&self.cx.spec, None, now, now);
        self.park_run(id, now);
        self.write_parked(id, about, None);
    }

    fn has_room(&self) -> bool {
        self.parking.len() < self.cx.spec.limits.parked as usize
    }

    fn park_run(&mut self, id: RunId, due: Timestamp) {
        let Some(active) = self.runs.get_mut(id) else { return };
        let (position, key) = (active.position(), active.key().cloned());
        let told = self.parking.get(position).map(|parked| parked.told.clone()).unwrap_or_default();
        self.park(position, Parked { key, due, told, stage: Stage::Writing });
    }

    /// Takes an event into parking; its lane is kept for it.
    fn park(&mut self, position: Position, parked: Parked) {
        let busy = parked.key.as_ref().is_some_and(|key| self.lanes.reserve(key));
        self.parking.park(position, parked, busy);
    }

    /// A dead letter, whose entry stands at `entry`, holds its key until somebody has decided about it.
    pub(super) fn hold(&mut self, position: Position, key: &Key, entry: Position) {
        let busy = self.lanes.reserve(key);
        self.parking.hold(position, key, entry, busy);
    }

    /// Parks what waits in the lane of a blocked key, one after the other: an event is parked when all before it
    /// are durable, so that after a crash none is known before an older one of its key.
    pub(super) fn park_next(&mut self, key: &Key) {
        while self.parking.is_blocked(key, self.cx.clock.now())
            && !self.parking.is_writing(key)
            && !self.lanes.is_busy(key)
        {
            match self.lanes.take_first(key) {
                Some(id @ RunId::Visit(_)) => self.leave_lane(id),
                Some(id) => self.park_untried(id),
                None => return,
            }
        }
    }

    /// Lets requests and live messages go that wait for events which do not start for now.
    fn free_visits(&mut self) {
        for id in self.lanes.take_all(|id| matches!(id, RunId::Visit(_))) {
            self.leave_lane(id);
        }
    }

    /// Lets the lane of a key go on where nothing of it is parked or held any more.
    pub(super) fn release_lane(&mut self, key: &Key) {
        if !self.parking.has(key) {
            let next = self.lanes.release(key);
            next.into_iter().for_each(|next| self.put_ready(next));
        }
    }

    /// When something that waits may start; none where nothing does, or something else comes first.
    pub(super) fn next_time(&self) -> Option<Timestamp> {
        if self.stopping || self.paused || self.under_way >= self.limit() {
            return None;
        }
        let due = [self.parking.next_due(), self.timers.next_due()].into_iter().flatten().min();
        let due = if self.ready.is_empty() { due.filter(|_| self.can_load()) } else { None };
        match self.health.outage() {
            None => due,
            Some(_) if self.ready.is_empty() => Some(due?.max(self.health.next_probe()?)),
            Some(_) => self.health.next_probe(),
        }
    }

    /// Parked events in memory count as under way; in an outage one of them will do.
    pub(super) fn can_load(&self) -> bool {
        let most = if self.health.outage().is_some() { 1 } else { self.limit() };
        self.loading + self.runs.aside() < most
    }

    /// Reads parked events whose time has come.
    pub(super) fn load_due(&mut self) {
        let is_any = self.parking.next_due().is_some() || self.timers.next_due().is_some();
        if !is_any || self.stopping || self.paused || !self.lets_start() {
            return;
        }
        self.load_timers();
        let now = self.cx.clock.now();
        while self.can_load()
            && let Some(position) = self.parking.take_due(now)
        {
            self.loading += 1;
            let (log, clock) = (self.cx.log.clone(), self.cx.clock.clone());
            let inputs = self.inputs.entries.clone();
            let (spec, signals) = (self.cx.spec.clone(), self.signals.clone());
            let subject = self.cx.layout.parked(&self.cx.spec.name, position);
            tokio::spawn(async move {
                let loaded = load((log.as_ref(), inputs.as_ref()), clock.as_ref(), &spec, &subject).await;
                // A failed send means that serving has ended.
                let _ = signals.send(Signal::Loaded(position, loaded));
            });
        }
    }

    pub(super) fn on_loaded(&mut self, position: Position, loaded: Loaded) -> Step {
        self.loading = self.loading.saturating_sub(1);
        match loaded {
            Ok(Some(Unparked { input, about })) => {
                let mut active = Active::unparked(input, about);
                active.timer = self.cx.layout.timer_id(&self.cx.spec.name, &active.input.entry.subject);
                let id = self.runs.open_aside(self.known(active));
                self.put_ready(id);
            }
            Ok(None) => {
                let gone = self.parking.remove(position);
                if let Some(key) = gone.and_then(|parked| parked.key) {
                    self.release_lane(&key);
                }
            }
            Err(error) => return Step::Break(error.to_string()),
        }
        self.start_ready()
    }

    /// Acts on what an operator wrote.
    pub(super) fn on_operator(&mut self, entry: &Entry) -> Step {
        if entry.position < self.held.fence {
            // It was there when the place was found.
            return Step::Continue(());
        }
        let (layout, name) = (&self.cx.layout, &self.cx.spec.name);
        let gone = tombstone::is(entry);
        if entry.subject == layout.generations(name) {
            let is_live = matches!(self.cx.role, Role::Live);
            let partitions = self.cx.share.partitions;
            if !(is_live && Generations::says_that_it_is_live(entry, layout.generation(name), partitions)) {
                self.until.cancel();
            }
        } else if layout.handler_of(&entry.subject).is_none() {
            // Of another generation.
        } else if entry.subject == layout.paused(name) {
            if self.paused == gone && matches!(self.cx.role, Role::Live) {
                self.paused = !gone;
                if self.paused {
                    self.free_visits();
                }
                self.tell(if gone { PartitionChange::Resumed } else { PartitionChange::Paused });
            }
        } else if let Some(position) = Layout::position(&entry.subject) {
            let is_letter = !layout.all_parked(Some(name)).matches(entry.subject.as_str());
            if self.is_under_way(position) && !(is_letter && self.parking.has_letter(position)) {
                // It may be told before this host hears that its dead letter is durable.
                self.decided.entry(position).or_default().push(entry.clone());
            } else {
                self.on_decided(position, entry);
            }
        }
        self.start_ready()
    }

    /// True while the event of this position is not closed.
    fn is_under_way(&self, position: Position) -> bool {
        self.runs.iter().any(|active| active.visit.is_none() && active.position() == position)
    }

    /// Somebody has decided about a dead letter.
    fn on_decided(&mut self, position: Position, entry: &Entry) {
        let parked = self.cx.layout.all_parked(Some(&self.cx.spec.name));
        if !parked.matches(entry.subject.as_str()) {
            let key = tombstone::is(entry).then(|| self.parking.let_go(position, entry.position)).flatten();
            return key.into_iter().for_each(|key| self.release_lane(&key));
        }
        // What is not waiting is being read: as it stands in the log by now.
        if tombstone::is(entry) || self.parking.get(position).is_some_and(|p| p.stage != Stage::Waiting) {
            return;
        }
        match parked::About::read(entry) {
            Ok(about) if !self.cx.share.has(about.original.key.as_deref(), position) => {}
            Ok(about) => {
                if let Some(id) = self.cx.layout.timer_id(&self.cx.spec.name, &about.original.subject) {
                    self.timers.has_fired(&id, position);
                }
                self.park(position, parked_of(&about, told(entry)));
            }
            Err(error) => tracing::warn!(handler = %self.cx.spec.name, %error, "an event stays parked"),
        }
    }

    /// An event has become a dead letter by the commit that ends at `last`: it holds its key, and what was
    /// decided about it meanwhile counts.
    pub(super) fn on_dead(&mut self, position: Position, holds: Option<&Key>, last: Position) {
        if let Some(key) = holds {
            self.hold(position, key, last);
        }
        for entry in self.decided.remove(&position).unwrap_or_default() {
            if entry.position > last {
                self.on_decided(position, &entry);
            }
        }
    }

    /// Writes that an outage began, or that it is over.
    pub(super) fn note_outage(&mut self) {
        if self.health.outage().is_some() {
            self.free_visits();
        }
        let subject = self.cx.layout.outage(&self.cx.spec.name, self.cx.share.partition);
        let entry = match self.health.outage() {
            Some(outage) => outage.write(subject),
            None => tombstone::write(subject),
        };
        self.note(entry);
    }

    /// Writes an entry on which nothing here waits.
    pub(super) fn note(&mut self, entry: NewEntry) {
        let signals = self.signals.clone();
        let done = Box::new(move |end| drop(signals.send(Signal::Noted(end))));
        self.cx.committer.submit(Work::under(&self.held, vec![entry], done));
    }
}

/// How parking knows an event.
pub(crate) fn parked_of(about: &parked::About, told: Vec<Position>) -> Parked {
    let key = about.original.key.as_deref().map(Key::from);
    Parked { key, due: about.due, told, stage: Stage::Waiting }
}

/// The inputs of which an entry tells that they are handled.
pub(crate) fn told(entry: &Entry) -> Vec<Position> {
    Mark::of(&entry.headers).map(|mark| mark.told()).unwrap_or_default()
}

async fn load(
    (log, inputs): (&dyn Log, &dyn Read),
    clock: &dyn Clock,
    spec: &HandlerSpec,
    subject: &Subject,
) -> Loaded {
    let Some(entry) = log.last(subject).await?.filter(|entry| !tombstone::is(entry)) else { return Ok(None) };
    let time = entry.time;
    let ParkedEvent { about, payload } = match ParkedEvent::read(entry) {
        Ok(parked) => parked,
        Err(error) => {
            tracing::warn!(handler = %spec.name, %error, "an event stays parked");
            return Ok(None);
        }
    };
    let mut input = source::kept(inputs, clock, spec, &about.original, payload, time).await?;
    // The key under which it waits, also where the manifest names another by now.
    input.key = about.original.key.as_deref().map(Key::from);
    Ok(Some(Unparked { input: Box::new(input), about }))
}
