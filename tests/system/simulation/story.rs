//! The story of one input: what the entries of a commit say of it, and what may follow on what.

use waxwing_engine::{
    entry::{DeadLetter, Layout, Mark, ParkedEvent, operator, state, tombstone},
    port::log::Entry,
};
use waxwing_event::{Effects, Emit, Event, Position, decode};

use super::{app, handler::Handler};

/// Where an input is. Every input is at exactly one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stage {
    /// It was not handled yet, or it has no effect.
    #[default]
    New,
    /// It waits for another attempt, or behind another of its key.
    Parked,
    /// It is a dead letter.
    Dead,
    /// It was one, and somebody has put it away.
    Archived,
    /// It has had its effects.
    Done,
}

/// What a commit says of an input.
#[derive(Debug, Clone, PartialEq)]
pub enum Told {
    Parked(ParkedEvent),
    /// Effects, and whether it was parked until then.
    Done(Effects, bool),
    /// A dead letter, and whether it was parked until then.
    Dead(Box<DeadLetter>, bool),
    Redriven,
    Archived,
    Edited(Box<DeadLetter>),
}

impl Stage {
    /// The next place; none where this may not follow.
    pub fn after(self, told: &Told) -> Option<Stage> {
        match (self, told) {
            (Stage::New | Stage::Parked, Told::Parked(_)) | (Stage::Dead, Told::Redriven) => {
                Some(Stage::Parked)
            }
            (Stage::New, Told::Done(_, false)) | (Stage::Parked, Told::Done(_, true)) => Some(Stage::Done),
            (Stage::New, Told::Dead(_, false)) | (Stage::Parked, Told::Dead(_, true)) => Some(Stage::Dead),
            (Stage::Dead, Told::Edited(_)) => Some(Stage::Dead),
            (Stage::Dead, Told::Archived) => Some(Stage::Archived),
            _ => None,
        }
    }
}

/// The entries of a commit that belong to one input.
pub struct Page<'a> {
    pub handler: Handler,
    pub input: Position,
    pub entries: Vec<(Mark, &'a Entry)>,
}

impl Page<'_> {
    /// Where it stands in the log.
    pub fn position(&self) -> Position {
        self.entries[0].1.position
    }

    /// What it says. `cause`: the event of the input, where there is one.
    pub fn read(&self, cause: Option<&Event>) -> Result<Told, String> {
        if self.entries.iter().any(|(_, entry)| operator::wrote(entry)) {
            return self.read_operators();
        }
        let indexes = self.entries.iter().map(|(mark, _)| mark.index);
        let count = u32::try_from(self.entries.len()).unwrap();
        let mut sorted: Vec<u32> = indexes.collect();
        sorted.sort_unstable();
        if sorted != (0..count).collect::<Vec<_>>() {
            return Err(format!("its entries have the indexes {sorted:?}"));
        }
        let (mut effects, mut dead, mut parked, mut no_more) = (Effects::default(), None, None, false);
        for (mark, entry) in &self.entries {
            if entry.subject.as_str().starts_with("wx.sim.handled.") {
                continue;
            }
            let index = effects.emits.len() + effects.state.len();
            if entry.subject == self.parked_subject() && tombstone::is(entry) {
                no_more = true;
            } else if entry.subject == self.parked_subject() {
                parked = Some(ParkedEvent::read((*entry).clone()).map_err(|error| error.to_string())?);
            } else if entry.subject == self.dead_subject() {
                dead = Some(DeadLetter::read((*entry).clone()).map_err(|error| error.to_string())?);
            } else if mark.index as usize != index {
                return Err(format!("the entry at {} is not in its order", entry.position));
            } else {
                self.read_effect(entry, cause, &mut effects)?;
            }
        }
        match (effects.is_empty(), dead, parked) {
            (true, Some(letter), None) => Ok(Told::Dead(Box::new(letter), no_more)),
            (true, None, Some(parked)) if !no_more => Ok(Told::Parked(parked)),
            (_, None, None) => Ok(Told::Done(effects, no_more)),
            _ => Err("its entries do not go together".to_owned()),
        }
    }

    fn read_operators(&self) -> Result<Told, String> {
        let entry =
            |subject| self.entries.iter().map(|(_, entry)| *entry).find(|entry| entry.subject == subject);
        let (parked, dead) = (entry(self.parked_subject()), entry(self.dead_subject()));
        match (parked, dead) {
            (Some(parked), Some(dead)) if !tombstone::is(parked) && tombstone::is(dead) => Ok(Told::Redriven),
            (None, Some(dead)) if tombstone::is(dead) => Ok(Told::Archived),
            (None, Some(dead)) => {
                let letter = DeadLetter::read(dead.clone()).map_err(|error| error.to_string())?;
                Ok(Told::Edited(Box::new(letter)))
            }
            _ => Err("what operators wrote does not go together".to_owned()),
        }
    }

    fn read_effect(&self, entry: &Entry, cause: Option<&Event>, effects: &mut Effects) -> Result<(), String> {
        let name = self.handler.name();
        if let Some(key) = Layout::new(app()).state_key(&name, &entry.subject) {
            effects.state.insert(key, state::value(entry.clone()));
            return Ok(());
        }
        let emitted = decode::event(&entry.subject, entry.position, &entry.headers, &entry.payload)
            .map_err(|error| error.to_string())?;
        let cause = cause.ok_or("what is no event has effects")?;
        if emitted.causation_id.as_deref() != Some(&cause.id)
            || emitted.correlation_id != cause.correlation_id
        {
            return Err(format!("the event at {} names another cause", entry.position));
        }
        effects.emits.push(Emit {
            subject: emitted.subject,
            event_type: None,
            about: None,
            content_type: None,
            data_schema: None,
            extensions: Vec::new(),
            data: emitted.data,
            aggregate: None,
        });
        Ok(())
    }

    fn parked_subject(&self) -> waxwing_event::Subject {
        Layout::new(app()).parked(&self.handler.name(), self.input)
    }

    fn dead_subject(&self) -> waxwing_event::Subject {
        Layout::new(app()).dead(&self.handler.name(), self.input)
    }
}
