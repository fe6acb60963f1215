//! What came of a rebuild, and how it is told.

use std::process::ExitCode;

use anyhow::Result;
use serde::Serialize;
use waxwing_engine::entry::generation::Generation;
use waxwing_event::{HandlerName, Position};

use crate::cli::{
    General,
    output::{self, Output, grouped, say},
    style::{BAD, DIM, END, GOOD, NAME, WARN},
};

/// So many failed events are named.
const NAMED: usize = 10;

/// What came of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    pub(super) handler: HandlerName,
    /// The one that was built.
    pub(super) generation: Generation,
    /// How many events it has handled, before and now.
    pub(super) events: u64,
    /// How many keys its state has.
    pub(super) keys: usize,
    /// Emitted events that were withheld this time.
    pub(super) withheld_events: u64,
    /// Timers that were withheld this time.
    pub(super) withheld_timers: u64,
    /// Events that failed, and had not before.
    pub(super) failed: Vec<Failed>,
    /// True where it is live now.
    pub(super) switched: bool,
    /// The generation that is live now.
    pub(super) live: Generation,
    /// False where a host had run the handler, and none does since the switch.
    pub(super) runs: bool,
    /// True where it was to go back.
    #[serde(skip)]
    pub(super) is_way_back: bool,
}

/// An event that failed.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Failed {
    pub(super) position: Position,
    pub(super) reason: String,
}

impl Report {
    pub(super) fn show(&self, general: &General) -> Result<ExitCode> {
        match general.output {
            Output::Json => output::json(self)?,
            Output::Text => self.tell()?,
        }
        let is_well = self.failed.is_empty() || self.switched;
        Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn tell(&self) -> Result<()> {
        let Report { handler, generation, .. } = self;
        let (events, keys) = (grouped(self.events), grouped(self.keys.try_into()?));
        say!(
            "{NAME}{handler}{END}: generation {generation} has handled {events} events, its state has {keys} keys"
        )?;
        let (events, timers) = (grouped(self.withheld_events), grouped(self.withheld_timers));
        say!("{DIM}withheld:{END} {events} emitted events, {timers} timers")?;
        if self.withheld_timers > 0 {
            say!(
                "what the events of timers did to the old state is not in the new one: they are not in the log"
            )?;
        }
        for Failed { position, reason } in self.failed.iter().take(NAMED) {
            say!("{BAD}failed{END} {position} {}", output::line(reason))?;
        }
        if self.failed.len() > NAMED {
            say!("{DIM}and {} more{END}", grouped((self.failed.len() - NAMED).try_into()?))?;
        }
        if self.switched {
            say!(
                "{GOOD}switched:{END} generation {generation} is live; `waxwing rebuild {handler} --back` switches back"
            )?;
        } else if self.failed.is_empty() {
            let back = if self.is_way_back { " --back" } else { "" };
            say!("not switched: run `waxwing rebuild {handler}{back}` again to switch")?;
        } else {
            say!(
                "{BAD}not switched:{END} {} events have failed that had not; mend the module and run it again, or \
                 switch all the same with --force",
                grouped(self.failed.len().try_into()?)
            )?;
        }
        if !self.runs {
            say!(
                "{WARN}no host runs it yet:{END} those that began with another module than has built it must be \
                 restarted"
            )?;
        }
        Ok(())
    }
}
