//! The events under way: those of the window, and those beside it.

use std::collections::{BTreeMap, HashMap};

use waxwing_event::Position;

use super::active::Active;
use crate::progress::{Progress, Ticket};

/// Names an event under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum RunId {
    /// An input of the window.
    Window(Ticket),
    /// One that was parked: its place in the window is closed.
    Aside(u64),
    /// A request or a live message, which has no place in the log.
    Visit(u64),
}

/// All events under way.
pub(super) struct Runs {
    /// Inputs that were read from the log.
    pub(super) window: Progress<Active>,
    /// Bytes of the open inputs in the window.
    window_bytes: usize,
    aside: BTreeMap<u64, Active>,
    visits: HashMap<u64, Active>,
    /// The last number that one beside the window was given.
    last: u64,
}

impl Runs {
    /// Nothing read since `watermark`.
    pub(super) fn new(watermark: Position) -> Runs {
        Runs {
            window: Progress::new(watermark),
            window_bytes: 0,
            aside: BTreeMap::new(),
            visits: HashMap::new(),
            last: 0,
        }
    }

    /// Takes up an input.
    pub(super) fn open(&mut self, active: Active) -> RunId {
        self.window_bytes += active.size_bytes();
        RunId::Window(self.window.open(active.position(), active))
    }

    /// Takes up an event beside the window.
    pub(super) fn open_aside(&mut self, active: Active) -> RunId {
        self.last += 1;
        self.aside.insert(self.last, active);
        RunId::Aside(self.last)
    }

    /// An event beside the window.
    pub(super) fn find_aside(&mut self, is_it: impl Fn(&Active) -> bool) -> Option<(RunId, &mut Active)> {
        let mut aside = self.aside.iter_mut();
        aside.find(|(_, active)| is_it(active)).map(|(number, active)| (RunId::Aside(*number), active))
    }

    /// Takes up a request or a live message.
    pub(super) fn open_visit(&mut self, active: Active) -> RunId {
        self.last += 1;
        self.visits.insert(self.last, active);
        RunId::Visit(self.last)
    }

    pub(super) fn get_mut(&mut self, id: RunId) -> Option<&mut Active> {
        match id {
            RunId::Window(ticket) => self.window.get_mut(ticket),
            RunId::Aside(number) => self.aside.get_mut(&number),
            RunId::Visit(number) => self.visits.get_mut(&number),
        }
    }

    /// Closes an event. `recorded`: an entry of the log tells that it is handled.
    pub(super) fn close(&mut self, id: RunId, recorded: bool) -> Option<Active> {
        match id {
            RunId::Window(ticket) => {
                let closed = self.window.handled(ticket, recorded)?;
                self.window_bytes = self.window_bytes.saturating_sub(closed.size_bytes());
                Some(closed)
            }
            RunId::Aside(number) => self.aside.remove(&number),
            RunId::Visit(number) => self.visits.remove(&number),
        }
    }

    /// Everything under way.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Active> {
        self.window.open_inputs().chain(self.aside.values()).chain(self.visits.values())
    }

    /// Bytes of the open inputs in the window.
    pub(super) fn window_bytes(&self) -> usize {
        self.window_bytes
    }

    /// How many parked events are under way.
    pub(super) fn aside(&self) -> usize {
        self.aside.len()
    }
}
