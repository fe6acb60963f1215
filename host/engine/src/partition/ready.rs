//! Ready: events that may start, the oldest first.

use std::collections::{BTreeSet, VecDeque};

use waxwing_event::Position;

use super::runs::RunId;

/// Events that are free to start.
#[derive(Debug, Default)]
pub(super) struct Ready {
    fresh: BTreeSet<(Position, RunId)>,
    /// Those that have probed an outage in vain: the next probe is another.
    tried: VecDeque<(Position, RunId)>,
}

impl Ready {
    /// It may start.
    pub(super) fn put(&mut self, position: Position, id: RunId) {
        self.fresh.insert((position, id));
    }

    /// It may start, behind all others for now.
    pub(super) fn put_back(&mut self, position: Position, id: RunId) {
        self.tried.push_back((position, id));
    }

    /// Nothing is behind the others any more.
    pub(super) fn forgive(&mut self) {
        self.fresh.extend(self.tried.drain(..));
    }

    /// The next to start.
    pub(super) fn take(&mut self) -> Option<RunId> {
        let (_, id) = self.fresh.pop_first().or_else(|| self.tried.pop_front())?;
        Some(id)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.fresh.is_empty() && self.tried.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(ready: &mut Ready) -> Vec<RunId> {
        std::iter::from_fn(|| ready.take()).collect()
    }

    #[test]
    fn the_oldest_goes_first_whenever_it_became_free() {
        let mut ready = Ready::default();
        let [a, b, c] = [1, 2, 3].map(RunId::Aside);
        ready.put(Position(3), c);
        ready.put(Position(1), a);
        assert_eq!(ready.take(), Some(a));
        ready.put(Position(2), b);
        assert_eq!(taken(&mut ready), [b, c]);
        assert!(ready.is_empty());
    }

    #[test]
    fn who_has_probed_in_vain_goes_last_until_the_outage_is_over() {
        let mut ready = Ready::default();
        let [a, b, c] = [1, 2, 3].map(RunId::Aside);
        ready.put_back(Position(1), a);
        ready.put_back(Position(3), c);
        ready.put(Position(2), b);
        assert_eq!(ready.take(), Some(b));
        ready.put_back(Position(2), b);
        assert_eq!(ready.take(), Some(a));
        ready.put_back(Position(1), a);
        ready.forgive();
        assert_eq!(taken(&mut ready), [a, b, c]);
    }
}
