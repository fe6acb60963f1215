//! Health: whether a handler is taken for down.
//!
//! When so many different events fail one after another and none succeeds between them, it is not the events:
//! then one event at a time probes the handler, and none spends an attempt. The first success ends it.

use jiff::Timestamp;
use waxwing_event::{Position, handler::OutagePolicy};

use crate::{entry::Outage, port::clock::after};

/// The health of a handler's partition.
#[derive(Debug)]
pub struct Health {
    policy: OutagePolicy,
    /// The different events that failed since one succeeded: at most as many as show an outage.
    failing: Vec<Position>,
    out: Option<Out>,
}

#[derive(Debug)]
struct Out {
    outage: Outage,
    /// The event that probes now.
    probe: Option<Position>,
    next_probe: Timestamp,
}

impl Health {
    /// Goes on with the outage that was noted, if there was one: its next probe is due at once.
    pub fn new(policy: OutagePolicy, noted: Option<Outage>, now: Timestamp) -> Health {
        let out = noted.map(|outage| Out { outage, probe: None, next_probe: now });
        Health { policy, failing: Vec::new(), out }
    }

    /// An attempt failed, and not because the event is bad. True where this begins an outage.
    pub fn failed(&mut self, position: Position, reason: &str, now: Timestamp) -> bool {
        if let Some(out) = &mut self.out {
            out.outage.reason = reason.to_owned();
            return false;
        }
        if !self.failing.contains(&position) {
            self.failing.push(position);
        }
        let shown = u32::try_from(self.failing.len()).unwrap_or(u32::MAX);
        if self.policy.after == 0 || shown < self.policy.after {
            self.failing.truncate(self.policy.after as usize);
            return false;
        }
        self.failing.clear();
        let outage = Outage { since: now, reason: reason.to_owned() };
        self.out = Some(Out { outage, probe: None, next_probe: self.after_a_probe(now) });
        true
    }

    /// The handler works. True where this ends an outage.
    pub fn works(&mut self) -> bool {
        self.failing.clear();
        self.out.take().is_some()
    }

    /// The outage, while there is one.
    pub fn outage(&self) -> Option<&Outage> {
        self.out.as_ref().map(|out| &out.outage)
    }

    /// True where an event may start: always, but in an outage only as its next probe.
    pub fn lets_start(&self, now: Timestamp) -> bool {
        self.out.as_ref().is_none_or(|out| out.probe.is_none() && out.next_probe <= now)
    }

    /// In an outage, the next probe may begin at this time.
    pub fn probe_at(&mut self, time: Timestamp) {
        if let Some(out) = &mut self.out {
            out.next_probe = out.next_probe.min(time);
        }
    }

    /// An event starts.
    pub fn started(&mut self, position: Position) {
        if let Some(out) = &mut self.out {
            out.probe = Some(position);
        }
    }

    /// An event has ended; a probe without success.
    pub fn ended(&mut self, position: Position, now: Timestamp) {
        let next_probe = self.after_a_probe(now);
        if let Some(out) = &mut self.out
            && out.probe == Some(position)
        {
            out.probe = None;
            out.next_probe = next_probe;
        }
    }

    /// When the next probe may start; none while one runs or without an outage.
    pub fn next_probe(&self) -> Option<Timestamp> {
        self.out.as_ref().filter(|out| out.probe.is_none()).map(|out| out.next_probe)
    }

    fn after_a_probe(&self, now: Timestamp) -> Timestamp {
        after(now, self.policy.probe)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn health(after: u32) -> Health {
        Health::new(OutagePolicy { after, probe: Duration::from_secs(30) }, None, at(0))
    }

    #[test]
    fn different_events_failing_in_a_row_show_an_outage() {
        let mut health = health(3);
        assert!(!health.failed(Position(1), "x", at(0)));
        assert!(!health.failed(Position(2), "x", at(0)));
        assert!(!health.failed(Position(2), "x", at(0)), "one event shows nothing");
        assert!(!health.works());
        assert!(!health.failed(Position(3), "x", at(0)));
        assert!(!health.failed(Position(4), "x", at(0)));
        assert!(health.failed(Position(5), "x", at(0)));
        assert!(!health.lets_start(at(29)));
        assert!(health.works());
        assert!(health.lets_start(at(0)));
    }

    #[test]
    fn an_outage_is_probed_by_one_event_at_a_time() {
        let mut health = health(1);
        assert!(health.failed(Position(1), "down", at(0)));
        assert_eq!(health.next_probe(), Some(at(30)));
        assert!(health.lets_start(at(30)));
        health.started(Position(2));
        assert!(!health.lets_start(at(99)));
        assert!(!health.failed(Position(2), "still down", at(40)));
        health.ended(Position(1), at(35));
        assert_eq!(health.next_probe(), None, "that was not the probe");
        health.ended(Position(2), at(40));
        assert_eq!(health.next_probe(), Some(at(70)));
        assert_eq!(health.outage().map(|outage| outage.reason.as_str()), Some("still down"));
    }

    #[test]
    fn zero_means_never() {
        let mut health = health(0);
        assert!((0..100).all(|n| !health.failed(Position(n), "x", at(0))));
        assert!(health.failing.is_empty());
    }

    #[test]
    fn a_noted_outage_goes_on_with_a_probe_at_once() {
        let noted = Outage { since: at(0), reason: "x".into() };
        let mut health = Health::new(OutagePolicy::default(), Some(noted), at(50));
        assert!(health.lets_start(at(50)));
        assert!(health.works());
    }
}
