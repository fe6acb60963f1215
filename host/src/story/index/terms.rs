//! To which story an entry belongs, as its headers tell.

use std::collections::{HashMap, VecDeque};

use waxwing_engine::{
    entry::{DeadLetter, Layout, Mark, Original, parked, tombstone},
    port::log::Entry,
};
use waxwing_event::{Position, decode};

use super::segment::hash;

/// Of so many events it is known to which story they belong, for what is written about them later.
const REMEMBERED: usize = 1 << 18;

/// Tells to which stories entries belong, taken in the order of the log.
pub struct Terms {
    layout: Layout,
    /// Hashes by the positions of events.
    known: HashMap<Position, u32>,
    order: VecDeque<Position>,
}

/// What is found of an entry.
pub enum Term {
    /// It is of the story with this hash.
    Of(u32),
    /// It is of none.
    None,
    /// Its payload tells, which was not read.
    InPayload,
    /// It is of that of the event at this position, which is not remembered.
    AsThatAt(Position),
}

impl Terms {
    /// Of an app's log.
    pub fn new(layout: Layout) -> Terms {
        Terms { layout, known: HashMap::new(), order: VecDeque::new() }
    }

    /// To which story this entry belongs, whose payload may be missing where `is_whole` is false.
    pub fn of(&mut self, entry: &Entry, is_whole: bool) -> Term {
        let family = self.layout.family(&entry.subject).map(|(family, _)| family);
        match family {
            None if entry.subject.as_str().starts_with("wx.") => Term::None,
            None => self.of_event(entry, is_whole),
            Some(_) if tombstone::is(entry) => self.of_mark(entry),
            Some(family) => match family {
                "outbox" | "refused" | "timer" => self.of_event(entry, is_whole),
                "dead" | "archive" => {
                    let about = DeadLetter::read(entry.clone()).map(|letter| letter.about.original);
                    about.map_or(Term::None, |original| self.of_original(&original))
                }
                "parked" => {
                    let about = parked::About::read(entry).map(|about| about.original);
                    about.map_or(Term::None, |original| self.of_original(&original))
                }
                "state" | "handled" => self.of_mark(entry),
                _ => Term::None,
            },
        }
    }

    fn of_event(&mut self, entry: &Entry, is_whole: bool) -> Term {
        let is_binary = entry.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("ce-id"));
        if !is_whole && !is_binary {
            return Term::InPayload;
        }
        let event = decode::event(&entry.subject, entry.position, &entry.headers, &entry.payload);
        let Ok(event) = event else { return Term::None };
        let hash = hash(&event.correlation_id);
        self.remember(entry.position, hash);
        Term::Of(hash)
    }

    fn remember(&mut self, position: Position, hash: u32) {
        if self.known.insert(position, hash).is_none() {
            self.order.push_back(position);
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    fn of_mark(&self, entry: &Entry) -> Term {
        let input = Mark::of(&entry.headers).map(|mark| mark.input).filter(|input| *input != Position::NONE);
        match input.map(|input| (input, self.known.get(&input))) {
            Some((_, Some(hash))) => Term::Of(*hash),
            Some((input, None)) if input < entry.position => Term::AsThatAt(input),
            _ => Term::None,
        }
    }

    fn of_original(&self, original: &Original) -> Term {
        if original.stream.is_none()
            && let Some(hash) = self.known.get(&original.position)
        {
            return Term::Of(*hash);
        }
        let named = |wanted: &str| {
            let mut pairs = original.headers.iter();
            pairs.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.as_str())
        };
        let own = named("ce-correlationid").or(named("ce-id")).or(original.event_id.as_deref());
        own.map_or(Term::None, |id| Term::Of(hash(id)))
    }
}
