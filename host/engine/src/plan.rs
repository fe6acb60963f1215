//! From a run's effects to the entries of its commit: stamped, marked and fenced.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::Bytes;
use jiff::Timestamp;
use uuid::Uuid;
use waxwing_event::{
    Digest, Effects, Emit, Event, HandlerName, HandlerSpec, Headers, Position, Subject, encode,
    handler::{Grants, Reach},
};

use crate::{
    entry::{
        DeadLetter, Layout, Mark, ParkedEvent, Partition, aggregate, mark, outbox,
        seen::{self, Seen},
        state, timer, tombstone,
    },
    port::{
        log::{Expect, Keep, NewEntry},
        observe::Wrote,
    },
    trace::{self, Span},
};

/// Names the ids of emitted events (RFC 9562, UUID version 5).
const NAMESPACE: Uuid = Uuid::from_u128(0x3d0c_8f2e_5f0b_4c57_9a53_7761_7877_696e);

/// What all commits of one handler have in common.
#[derive(Debug, Clone)]
pub struct Planner {
    layout: Layout,
    handler: HandlerName,
    grants: Grants,
    source: String,
}

/// What a run was about.
#[derive(Debug, Clone, Copy)]
pub struct Cause<'a> {
    /// The event that it handled.
    pub event: &'a Event,
    /// What the ids of its events are made of, where the event has no position in the log.
    pub seed: Option<&'a str>,
    /// The run, where it is part of a trace.
    pub span: Option<&'a Span>,
}

/// What is written of a timer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimerWrite {
    /// It is set.
    Set {
        /// Its id.
        id: String,
        /// When it fires, and its key.
        about: timer::About,
        /// What its event says.
        data: Bytes,
        /// The media type of that.
        content_type: Option<String>,
    },
    /// It is set no more.
    Gone {
        /// Its id.
        id: String,
    },
    /// Its event, which was parked, is given up.
    GoneParked {
        /// Its id.
        id: String,
        /// Names the event.
        position: Position,
    },
}

impl TimerWrite {
    /// The timer's id.
    pub fn id(&self) -> &str {
        match self {
            TimerWrite::Set { id, .. } | TimerWrite::Gone { id } | TimerWrite::GoneParked { id, .. } => id,
        }
    }
}

/// One state write, and the position of the entry that it replaces where that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateWrite {
    /// The key.
    pub key: String,
    /// The value; none: deleted.
    pub value: Option<Bytes>,
    /// The entry that is there now.
    pub replaces: Option<Position>,
    /// The module, where the value is a snapshot of an aggregate.
    pub snapshot: Option<Digest>,
}

/// All that a run wants written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// Emitted and appended events.
    pub emits: Vec<Emit>,
    /// The last entry of each history to which something is appended.
    pub histories: BTreeMap<String, Position>,
    /// Timers.
    pub timers: Vec<TimerWrite>,
    /// State.
    pub state: Vec<StateWrite>,
}

impl Changes {
    /// True where nothing is to be written.
    pub fn is_empty(&self) -> bool {
        self.emits.is_empty() && self.timers.is_empty() && self.state.is_empty()
    }

    /// As observers are told of it.
    pub fn in_full(&self) -> Wrote {
        let due = |write: &TimerWrite| match write {
            TimerWrite::Set { id, about, .. } => (id.clone(), Some(about.due)),
            TimerWrite::Gone { id } | TimerWrite::GoneParked { id, .. } => (id.clone(), None),
        };
        Wrote {
            emits: self.emits.clone(),
            state: self.state.iter().map(|write| (write.key.clone(), write.value.clone())).collect(),
            timers: self.timers.iter().map(due).collect(),
        }
    }
}

impl Planner {
    /// A planner for this handler.
    pub fn new(layout: Layout, spec: &HandlerSpec) -> Planner {
        let source = layout.source(&spec.name);
        Planner { layout, handler: spec.name.clone(), grants: spec.grants.clone(), source }
    }

    /// What names the handler as the source of its events.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The entries of a run: its events in their order, then its timers, then its state.
    pub fn effects(&self, cause: Cause<'_>, changes: Changes, mark: &Mark, now: Timestamp) -> Vec<NewEntry> {
        let Changes { emits, mut histories, timers, state } = changes;
        let time = (!emits.is_empty()).then(|| now.to_string());
        let mut entries = Vec::with_capacity(emits.len() + timers.len() + state.len());
        for emit in emits {
            // Only the first of those appended to a history can expect what came before.
            let last = emit.aggregate.as_ref().and_then(|id| histories.remove(id));
            let mut entry = self.event(cause, emit, entries.len(), time.clone());
            entry.expect = last.map(|last| Expect { subject: None, last });
            entries.push(entry);
        }
        for timer in &timers {
            entries.push(self.timer(cause, timer, entries.len()));
        }
        entries.extend(state.into_iter().map(|write| self.state(write)));
        for (entry, index) in entries.iter_mut().zip(0..) {
            entry.headers.push(mark::HEADER, mark.encode(index));
        }
        entries
    }

    /// The entry of a dead letter, of at most `max_bytes`.
    pub fn dead_letter(&self, letter: DeadLetter, mark: &Mark, max_bytes: usize) -> NewEntry {
        let subject = self.layout.dead(&self.handler, letter.about.original.position);
        marked(mark, 0, max_bytes, |max_bytes| letter.write(subject, max_bytes))
    }

    /// The entry of a parked event, of at most `max_bytes`.
    pub fn parked(&self, parked: ParkedEvent, mark: &Mark, max_bytes: usize) -> NewEntry {
        let subject = self.layout.parked(&self.handler, parked.about.original.position);
        marked(mark, 0, max_bytes, |max_bytes| parked.write(subject, max_bytes))
    }

    /// The entry that ends the parking of an event, as the entry `index` of its run.
    pub fn parked_no_more(&self, position: Position, mark: &Mark, index: u32) -> NewEntry {
        let subject = self.layout.parked(&self.handler, position);
        marked(mark, index, usize::MAX, |_| tombstone::write(subject))
    }

    /// The entry that ends a timer, as the entry `index` of its run.
    pub fn timer_no_more(&self, id: &str, mark: &Mark, index: u32) -> NewEntry {
        let subject = self.layout.timer(&self.handler, id);
        marked(mark, index, usize::MAX, |_| tombstone::write(subject))
    }

    /// The entry that says what a run has handled where its others may be replaced by other partitions, or have no room
    /// for the fence.
    pub fn handled_by(&self, partition: Partition, mark: &Mark, index: u32) -> NewEntry {
        let subject = self.layout.handled(&self.handler, partition);
        marked(mark, index, usize::MAX, |_| {
            let mut entry = NewEntry::new(subject, "");
            entry.keep = Keep::For(tombstone::KEPT_FOR);
            entry
        })
    }

    /// The entry that keeps the answer to a request of this id. It carries no mark: it does not stay, and
    /// there is no input to tell of.
    pub fn seen(&self, id: &str, seen: &Seen, keep: Duration) -> NewEntry {
        seen.write(self.layout.seen(&self.handler, id), keep)
    }

    /// The entry that says that the event of this [`slot`](seen::slot) was handled. It carries no mark: it does not stay.
    pub fn handled(&self, slot: &str, keep: Duration) -> Option<NewEntry> {
        Some(seen::handled(self.layout.seen_event(&self.handler, seen::of_slot(slot)?), keep))
    }

    fn event(&self, cause: Cause<'_>, emit: Emit, index: usize, time: Option<String>) -> NewEntry {
        let subject = emit.subject.clone();
        let is_appended = emit.aggregate.is_some();
        let event = self.stamp(cause, emit, index, time);
        let mut entry = NewEntry::new(subject, event.data.clone());
        entry.headers = encode::headers(&event);
        if is_appended {
            entry.keep = Keep::Forever;
            return entry;
        }
        match self.grants.reach(entry.subject.as_str()) {
            Some(Reach::Outside(audience)) => {
                outbox::write(&self.layout, &self.handler, &event.id, audience, entry)
            }
            _ => entry,
        }
    }

    fn timer(&self, cause: Cause<'_>, write: &TimerWrite, index: usize) -> NewEntry {
        match write {
            TimerWrite::Gone { id } => tombstone::write(self.layout.timer(&self.handler, id)),
            TimerWrite::GoneParked { position, .. } => {
                tombstone::write(self.layout.parked(&self.handler, *position))
            }
            TimerWrite::Set { id, about, data, content_type } => {
                let subject = self.layout.timer(&self.handler, id);
                let emit = Emit {
                    subject: subject.clone(),
                    event_type: Some(timer::EVENT_TYPE.to_owned()),
                    about: Some(id.clone()),
                    content_type: content_type.clone(),
                    data_schema: None,
                    extensions: Vec::new(),
                    data: data.clone(),
                    aggregate: None,
                };
                timer::write(subject, about, &self.stamp(cause, emit, index, Some(about.due.to_string())))
            }
        }
    }

    fn stamp(&self, cause: Cause<'_>, emit: Emit, index: usize, time: Option<String>) -> Event {
        let input = cause.event;
        let mut extensions = emit.extensions;
        let came = || input.extension(trace::ATTRIBUTE).map(str::to_owned);
        let stands = cause.span.map(|span| span.of_emitted(index).context.to_string()).or_else(came);
        let state = input.extension("tracestate").map(str::to_owned);
        for (name, value) in [(trace::ATTRIBUTE, stands), ("tracestate", state)] {
            extensions.extend(value.map(|value| (name.to_owned(), value)));
        }
        Event {
            id: self.event_id(cause, index),
            source: self.source.clone(),
            event_type: emit.event_type.unwrap_or_else(|| emit.subject.as_str().to_owned()),
            subject: emit.subject,
            about: emit.about,
            time,
            content_type: emit.content_type,
            data_schema: emit.data_schema,
            correlation_id: input.correlation_id.clone(),
            causation_id: Some(input.id.clone()),
            extensions,
            key: None,
            position: Position::NONE,
            attempt: 1,
            data: emit.data,
        }
    }

    /// The same for the same input, whenever and wherever it runs.
    fn event_id(&self, cause: Cause<'_>, index: usize) -> String {
        let Cause { event, seed, .. } = cause;
        let name = match seed {
            Some(seed) => format!("{}\nrequest\n{index}\n{seed}", self.source),
            None => return id_of(&self.source, event.position, &event.id, index),
        };
        Uuid::new_v5(&NAMESPACE, name.as_bytes()).to_string()
    }

    fn state(&self, write: StateWrite) -> NewEntry {
        let subject = self.layout.state(&self.handler, &write.key);
        let mut entry = state::write(subject, write.value, write.snapshot);
        entry.expect = write.replaces.map(|last| Expect { subject: None, last });
        entry
    }
}

/// The id of what the handler that is called `source` emits, as the entry `index` of its commit, for an event of the log.
pub fn id_of(source: &str, input: Position, input_id: &str, index: usize) -> String {
    Uuid::new_v5(&NAMESPACE, format!("{source}\n{input}\n{index}\n{input_id}").as_bytes()).to_string()
}

/// The entry that `write` makes of the bytes that its mark leaves.
fn marked(mark: &Mark, index: u32, max_bytes: usize, write: impl FnOnce(usize) -> NewEntry) -> NewEntry {
    let headers: Headers = [(mark::HEADER, mark.encode(index))].into_iter().collect();
    let mut entry = write(max_bytes.saturating_sub(headers.size_bytes()));
    headers.into_pairs().into_iter().for_each(|(name, value)| entry.headers.push(name, value));
    entry
}

/// Makes a commit depend on a lease: its last entry must still be the one at `position`.
///
/// An entry has room for one expectation. The fence goes to the first entry that has none, else to the last of the
/// host's own, else to the last of all: while the lease holds, nobody else writes what the expectation of one of the
/// host's own would guard. Histories are guarded by theirs, as on an app's subjects others publish too.
pub fn fence(entries: &mut [NewEntry], lease: &Subject, position: Position) {
    let free = entries.iter().position(|entry| entry.expect.is_none());
    let own = || entries.iter().rposition(|entry| entry.subject.as_str().starts_with("wx."));
    let free = free.or_else(own).unwrap_or(entries.len().saturating_sub(1));
    if let Some(entry) = entries.get_mut(free) {
        entry.expect = Some(Expect { subject: Some(lease.clone()), last: position });
    }
}

/// What the effects change, their timers apart, without writes that change nothing. A snapshot is written beside what
/// is appended alone: only that makes sure that nothing else was appended which it does not know of.
pub fn changes(
    effects: Effects,
    module: Digest,
    known: impl Fn(&str) -> Option<(Position, bool)>,
    last_of_slot: impl Fn(&str) -> Option<Position>,
) -> Changes {
    let appended: BTreeSet<&String> =
        effects.emits.iter().filter_map(|emit| emit.aggregate.as_ref()).collect();
    let mut state = Vec::with_capacity(effects.state.len());
    for (key, value) in effects.state {
        let snapshot = effects.snapshots.contains(&key).then_some(module);
        if snapshot.is_some() && !appended.contains(&key) {
            continue;
        }
        let known = known(&key);
        let absent = known.is_some_and(|(_, exists)| !exists);
        if value.is_some() || !absent {
            // The entry of a deleted key goes by its TTL.
            let replaces = known.filter(|(_, exists)| *exists).map(|(position, _)| position);
            state.push(StateWrite { key, value, replaces, snapshot });
        }
    }
    let last = |id: &&String| Some(((*id).clone(), last_of_slot(&aggregate::slot(id))?));
    let histories = appended.iter().filter_map(last).collect();
    Changes { emits: effects.emits, histories, timers: Vec::new(), state }
}

#[cfg(test)]
mod tests {
    use waxwing_event::decode;

    use super::*;

    fn planner() -> Planner {
        let mut spec = HandlerSpec::new("basket".parse().unwrap(), vec!["prices.>".parse().unwrap()]);
        spec.grants.emit = vec!["a.b".parse().unwrap()];
        spec.grants.publish = vec!["audit.>".parse().unwrap()];
        Planner::new(Layout::new("shop".parse().unwrap()), &spec)
    }

    fn input(position: u64) -> Event {
        let headers = [
            ("ce-specversion", "1.0"),
            ("ce-id", "in-1"),
            ("ce-source", "/web"),
            ("ce-type", "t"),
            ("ce-correlationid", "c-1"),
            ("ce-traceparent", "00-1-2-01"),
        ];
        let headers = headers.into_iter().collect();
        decode::event(&Subject::from_checked("prices.updated"), Position(position), &headers, &Bytes::new())
            .unwrap()
    }

    fn emit(subject: &str) -> Emit {
        Emit {
            subject: Subject::from_checked(subject),
            event_type: None,
            about: None,
            content_type: None,
            data_schema: None,
            extensions: vec![("region".into(), "north".into())],
            data: Bytes::from_static(b"{}"),
            aggregate: None,
        }
    }

    fn a_mark() -> Mark {
        Mark {
            whose: "basket".parse().unwrap(),
            share: "0".parse().unwrap(),
            input: Position(7),
            index: 0,
            watermark: Position(5),
            also: vec![Position(6)],
            version: None,
        }
    }

    fn plan(position: u64) -> Vec<NewEntry> {
        let write = StateWrite {
            key: "k".into(),
            value: Some(Bytes::from_static(b"1")),
            replaces: Some(Position(3)),
            snapshot: None,
        };
        let changes =
            Changes { emits: vec![emit("a.b"), emit("a.b")], state: vec![write], ..Changes::default() };
        effects(Cause { event: &input(position), seed: None, span: None }, changes)
    }

    fn effects(cause: Cause<'_>, changes: Changes) -> Vec<NewEntry> {
        planner().effects(cause, changes, &a_mark(), Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn stamps_what_a_guest_cannot_forge() {
        let entries = plan(7);
        let first = &entries[0];
        let event = decode::event(&first.subject, Position(9), &first.headers, &first.payload).unwrap();
        assert_eq!(event.correlation_id, "c-1");
        assert_eq!(event.causation_id.as_deref(), Some("in-1"));
        assert_eq!((event.source.as_str(), event.event_type.as_str()), ("/shop/basket", "a.b"));
        assert_eq!(event.extension("traceparent"), Some("00-1-2-01"));
        assert_eq!(event.time.as_deref(), Some("1970-01-01T00:00:00Z"));
    }

    #[test]
    fn gives_the_same_ids_again_and_other_ids_elsewhere() {
        let ids = |position| {
            plan(position)
                .iter()
                .filter_map(|e| e.headers.get("ce-id").map(str::to_owned))
                .collect::<Vec<_>>()
        };
        assert_eq!(ids(7), ids(7));
        assert_eq!(ids(7).len(), 2);
        assert_ne!(ids(7)[0], ids(7)[1]);
        assert_ne!(ids(7)[0], ids(8)[0]);
    }

    #[test]
    fn ids_of_a_requests_events_come_from_the_requests_id() {
        let ids = |event: &str, seed: &str| {
            let input = Event { id: event.into(), position: Position::NONE, ..input(7) };
            let cause = Cause { event: &input, seed: Some(seed), span: None };
            let entries =
                effects(cause, Changes { emits: vec![emit("a.b"), emit("a.b")], ..Changes::default() });
            entries.iter().filter_map(|e| e.headers.get("ce-id").map(str::to_owned)).collect::<Vec<_>>()
        };
        assert_eq!(ids("e1", "r1"), ids("e2", "r1"));
        assert_ne!(ids("e1", "r1"), ids("e1", "r2"));
        assert_ne!(ids("e1", "r1")[0], ids("e1", "r1")[1]);
    }

    #[test]
    fn marks_every_entry_and_fences_one() {
        let mut entries = plan(7);
        let lease = Subject::from_checked("wx.shop.lease.basket.0");
        fence(&mut entries, &lease, Position(2));
        let marks: Vec<Mark> = entries.iter().filter_map(|e| Mark::of(&e.headers)).collect();
        assert_eq!(marks.iter().map(|m| m.index).collect::<Vec<_>>(), [0, 1, 2]);
        assert!(marks.iter().all(|m| m.input == Position(7) && m.also == [Position(6)]));
        assert_eq!(entries[0].expect, Some(Expect { subject: Some(lease.clone()), last: Position(2) }));
        assert_eq!(entries[2].expect, Some(Expect { subject: None, last: Position(3) }));
        let mut alone = vec![entries.remove(2)];
        fence(&mut alone, &lease, Position(2));
        assert_eq!(alone[0].expect, Some(Expect { subject: Some(lease), last: Position(2) }));
    }

    #[test]
    fn what_leaves_the_log_goes_to_the_outbox_with_all_stamps() {
        let emits = vec![emit("a.b"), emit("audit.basket")];
        let changes = Changes { emits, ..Changes::default() };
        let entries = effects(Cause { event: &input(7), seed: None, span: None }, changes);
        let [kept, leaving] = &entries[..] else { panic!("{entries:?}") };
        assert_eq!(kept.subject.as_str(), "a.b");
        let id = leaving.headers.get("ce-id").unwrap();
        assert_eq!(leaving.subject.as_str(), format!("wx.shop.outbox.basket.{id}"));
        assert_eq!(leaving.headers.get("wx-to"), Some("stream audit.basket"));
        assert_eq!(leaving.headers.get("ce-type"), Some("audit.basket"));
        assert!(Mark::of(&leaving.headers).is_some_and(|mark| mark.index == 1));
    }

    #[test]
    fn a_timer_keeps_the_event_that_arrives_when_it_fires() {
        let due = Timestamp::from_second(60).unwrap();
        let about = timer::About { due, key: Some("order-1".into()) };
        let data = Bytes::from_static(b"{}");
        let set = TimerWrite::Set { id: "pay 1".into(), about: about.clone(), data, content_type: None };
        let gone = TimerWrite::Gone { id: "pay 2".into() };
        let cause = Cause { event: &input(7), seed: None, span: None };
        let entries = effects(cause, Changes { timers: vec![set, gone], ..Changes::default() });
        let [set, gone] = &entries[..] else { panic!("{entries:?}") };
        let event = decode::event(&set.subject, Position(9), &set.headers, &set.payload).unwrap();
        assert_eq!(set.subject.as_str(), "wx.shop.timer.basket.pay=201");
        assert_eq!((event.event_type.as_str(), event.about.as_deref()), (timer::EVENT_TYPE, Some("pay 1")));
        assert_eq!(event.time.as_deref(), Some("1970-01-01T00:01:00Z"));
        assert_eq!((event.correlation_id.as_str(), event.causation_id.as_deref()), ("c-1", Some("in-1")));
        assert!(set.rollup && gone.headers.get(tombstone::HEADER).is_some());
        assert!(Mark::of(&gone.headers).is_some_and(|mark| mark.index == 1));
    }

    #[test]
    fn an_append_expects_the_end_of_its_history_and_is_kept_for_ever() {
        let append = |id: &str| Emit { aggregate: Some(id.into()), ..emit("accounts.x") };
        let write = StateWrite {
            key: "7".into(),
            value: Some(Bytes::from_static(b"1")),
            replaces: Some(Position(3)),
            snapshot: Some(Digest([7; 32])),
        };
        let changes = Changes {
            emits: vec![append("7"), append("7"), append("8")],
            histories: [("7".to_owned(), Position(5)), ("8".to_owned(), Position::NONE)].into(),
            state: vec![write],
            ..Changes::default()
        };
        let mut entries = effects(Cause { event: &input(7), seed: None, span: None }, changes);
        let lease = Subject::from_checked("wx.shop.lease.basket.0");
        fence(&mut entries, &lease, Position(2));
        let fenced = Some(Expect { subject: Some(lease.clone()), last: Position(2) });
        let own = |last| Some(Expect { subject: None, last });
        let expected: Vec<_> = entries.iter().map(|entry| entry.expect.clone()).collect();
        assert_eq!(expected, [own(Position(5)), fenced.clone(), own(Position::NONE), own(Position(3))]);
        assert!(entries.iter().all(|entry| entry.keep == Keep::Forever));
        assert!(entries[3].headers.get(state::SNAPSHOT_HEADER).is_some());
        // Where no entry is free, the state's gives way.
        entries.remove(1);
        fence(&mut entries, &lease, Position(2));
        let expected: Vec<_> = entries.iter().map(|entry| entry.expect.clone()).collect();
        assert_eq!(expected, [own(Position(5)), own(Position::NONE), fenced]);
    }

    fn letter(payload: usize) -> DeadLetter {
        let about = serde_json::json!({
            "handler": "basket", "position": 7, "subject": "prices.updated", "kind": "trap", "reason": "x",
            "attempts": 1, "module": waxwing_event::Digest([7; 32]), "time": "1970-01-01T00:00:00Z",
        });
        DeadLetter { about: serde_json::from_value(about).unwrap(), payload: vec![b'x'; payload].into() }
    }

    #[test]
    fn a_dead_letter_fits_with_its_mark_whatever_its_size() {
        const MOST: usize = 10_000;
        let mut kept = 0;
        for payload in 9_000..MOST {
            let entry = planner().dead_letter(letter(payload), &a_mark(), MOST);
            assert!(entry.headers.size_bytes() + entry.payload.len() <= MOST, "{payload}");
            kept = kept.max(entry.payload.len());
        }
        let headers = planner().dead_letter(letter(0), &a_mark(), MOST).headers.size_bytes();
        assert_eq!(kept, MOST - headers);
    }

    #[test]
    fn deletes_only_what_is_there() {
        let mut effects = Effects::default();
        for key in ["absent", "deleted", "present", "unknown"] {
            effects.state.insert(key.into(), None);
        }
        let known = |key: &str| match key {
            "absent" => Some((Position::NONE, false)),
            "deleted" => Some((Position(4), false)),
            "present" => Some((Position(5), true)),
            _ => None,
        };
        let changes = changes(effects, Digest([7; 32]), known, |_| None);
        let written: Vec<_> = changes.state.iter().map(|w| (w.key.as_str(), w.replaces)).collect();
        assert_eq!(written, [("present", Some(Position(5))), ("unknown", None)]);
    }
}
