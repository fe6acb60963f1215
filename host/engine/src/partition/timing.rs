//! Timing: timers that are set, that fire, and that are cancelled.
//!
//! A timer that fires is an event beside the window, as a parked one is; its end takes the timer out of the log. Who
//! writes a timer claims its id as it would a state key, and so does the run of its event: of an event and a run
//! that cancels it, the one that commits first has its effects, and the other has none.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use waxwing_event::{Failure, Position, TimerChange, outcome::FailureKind};

use super::{
    active::Active,
    runs::RunId,
    serving::{Serving, Signal, Step},
};
use crate::{
    entry::{timer, tombstone},
    gauges::Gauges,
    plan::TimerWrite,
    port::log::{Entry, ReadError},
    source,
    timers::slot,
};

/// A timer's entry as it was read.
pub(super) type Fired = Result<Option<Entry>, ReadError>;

impl Serving<'_> {
    /// Takes over timers that were set before serving began, and those that have fired and whose events are parked.
    pub(super) fn remember_timers(
        &mut self,
        set: Vec<(String, Position, Timestamp)>,
        fired: Vec<(String, Position)>,
    ) {
        for (id, position, due) in set {
            self.timers.set(&id, position, due);
        }
        for (id, position) in fired {
            self.timers.has_fired(&id, position);
        }
    }

    /// Reads timers whose time has come.
    pub(super) fn load_timers(&mut self) {
        let now = self.cx.clock.now();
        while self.can_load()
            && let Some((id, position)) = self.timers.take_due(now)
        {
            self.loading += 1;
            let (log, signals) = (self.cx.log.clone(), self.signals.clone());
            let subject = self.cx.layout.timer(&self.cx.spec.name, &id);
            tokio::spawn(async move {
                let fired = log.last(&subject).await;
                // A failed send means that serving has ended.
                let _ = signals.send(Signal::Fired(id, position, fired));
            });
        }
    }

    pub(super) fn on_fired(&mut self, id: &Arc<str>, position: Position, fired: Fired) -> Step {
        self.loading = self.loading.saturating_sub(1);
        let entry = match fired {
            Ok(entry) => entry,
            Err(error) => return Step::Break(error.to_string()),
        };
        let is_set = self.timers.get(id).is_some_and(|timer| timer.position == position);
        match entry.filter(|entry| entry.position == position && !tombstone::is(entry)) {
            Some(entry) if is_set => self.open_timer(id, entry),
            // What has taken its place is known here, or will be in a moment.
            _ => Gauges::count(&self.cx.gauges.timers_too_late),
        }
        self.start_ready()
    }

    fn open_timer(&mut self, id: &str, entry: Entry) {
        Gauges::count(&self.cx.gauges.timers_fired);
        let input = source::input(entry, &self.cx.spec);
        let key = input.key.clone();
        let run = self.runs.open_aside(Active::fired(Box::new(input), id.to_owned()));
        match key {
            Some(key) => self.enter(run, &key),
            None => self.put_ready(run),
        }
    }

    /// What a run's changes to timers write; an error where there is no room for another.
    pub(super) fn timer_writes(
        &mut self,
        id: RunId,
        changes: BTreeMap<String, TimerChange>,
        now: Timestamp,
    ) -> Result<Vec<TimerWrite>, Failure> {
        let Some(active) = self.runs.get_mut(id) else { return Ok(Vec::new()) };
        let key = active.key().map(|key| key.to_string());
        // A parked timer's event is taken out of the log as parked events are.
        let (own, own_is_parked) = (active.timer.clone(), active.parked.is_some());
        let mut writes = Vec::with_capacity(changes.len() + 1);
        let mut ends_own = own.clone().filter(|_| !own_is_parked);
        for (id, change) in changes {
            let is_own = own.as_ref() == Some(&id);
            let standing = self.timers.get(&id).filter(|_| !is_own);
            let parked = standing.map(|timer| timer.position).filter(|p| self.parking.get(*p).is_some());
            if let Some(position) = parked {
                writes.push(TimerWrite::GoneParked { id: id.clone(), position });
            }
            match change {
                TimerChange::Set(new) => {
                    if is_own {
                        ends_own = None;
                    }
                    let about = timer::About { due: timer::when(new.due, now), key: key.clone() };
                    let (data, content_type) = (new.data, new.content_type);
                    writes.push(TimerWrite::Set { id, about, data, content_type });
                }
                TimerChange::Cancel if standing.is_some() && parked.is_none() => {
                    writes.push(TimerWrite::Gone { id });
                }
                TimerChange::Cancel => {}
            }
        }
        writes.extend(ends_own.map(|id| TimerWrite::Gone { id }));
        self.check_room_for(&writes)?;
        Ok(writes)
    }

    fn check_room_for(&self, writes: &[TimerWrite]) -> Result<(), Failure> {
        let is_new = |write: &&TimerWrite| matches!(write, TimerWrite::Set { id, .. } if self.timers.get(id).is_none());
        let (more, most) = (writes.iter().filter(is_new).count(), self.cx.spec.limits.timers);
        if more > 0 && self.timers.len() + more > most as usize {
            let why = format!("{} timers are set, and {most} may be", self.timers.len());
            return Err(Failure::new(FailureKind::Effects, why));
        }
        Ok(())
    }

    /// Takes over what a durable commit did to timers; their entries begin at `first`.
    pub(super) fn on_timers_written(
        &mut self,
        run: RunId,
        writes: Vec<TimerWrite>,
        first: Position,
        told: &[Position],
    ) {
        for (write, position) in writes.into_iter().zip(first.0..) {
            let (id, standing) = match write {
                TimerWrite::Set { id, about, .. } => {
                    let before = self.timers.set(&id, Position(position), about.due);
                    self.told_by_state.insert(slot(&id), told.to_vec());
                    (id, before)
                }
                TimerWrite::Gone { id } => {
                    let before = self.timers.remove(&id);
                    self.told_by_state.insert(slot(&id), told.to_vec());
                    (id, before)
                }
                TimerWrite::GoneParked { id, position } => {
                    let gone = self.parking.remove(position);
                    if let Some(key) = gone.and_then(|parked| parked.key) {
                        self.release_lane(&key);
                    }
                    let before = self.timers.get(&id).filter(|timer| timer.position == position);
                    self.timers.end(&id, position);
                    (id, before)
                }
            };
            if let Some(standing) = standing {
                self.cancel(run, &id, standing.position);
            }
        }
    }

    /// An event of a timer that has been cancelled has no effects any more, if it is not through.
    fn cancel(&mut self, by: RunId, id: &str, position: Position) {
        let of_timer = |active: &Active| active.timer.as_deref() == Some(id) && active.position() == position;
        if let Some((run, active)) = self.runs.find_aside(of_timer)
            && run != by
        {
            active.is_cancelled = true;
        }
    }

    /// Drops an event whose timer was cancelled; true where it was.
    pub(super) fn drop_cancelled(&mut self, id: RunId) -> bool {
        if !self.runs.get_mut(id).is_some_and(|active| active.is_cancelled) {
            return false;
        }
        self.release_claims(id);
        if let Some(active) = self.runs.close(id, false) {
            self.under_way = self.under_way.saturating_sub(1);
            self.health.ended(active.position(), self.cx.clock.now());
            Gauges::count(&self.cx.gauges.timers_too_late);
            self.leave(&active);
        }
        true
    }
}
