//! Timers: checked one by one, kept until the run commits.

use std::time::Duration;

use bytes::Bytes;
use waxwing_engine::entry::timer::MAX_DATA_BYTES;
use waxwing_event::{Due, NewTimer, TimerChange};

use super::state::check_name;
use crate::{
    contract::waxwing::events::timers::{self, Host, TimerError},
    guest::Guest,
};

/// Milliseconds from 1970 to the end of the year 9999.
const MAX_MS: u64 = 253_402_300_799_999;

impl Host for Guest {
    fn set(
        &mut self,
        id: String,
        due: timers::Due,
        data: Vec<u8>,
        content_type: Option<String>,
    ) -> Result<(), TimerError> {
        self.check_timer(&id)?;
        check_content_type(content_type.as_deref())?;
        let due = match due {
            timers::Due::AfterMs(ms) => Due::After(millis(ms)?),
            timers::Due::AtMs(ms) => Due::At(millis(ms)?),
        };
        let limits = &self.handler.limits;
        let most = limits.entry_bytes.min(MAX_DATA_BYTES as u64);
        if data.len() as u64 > most {
            return Err(TimerError::TooLarge(most));
        }
        let timer = NewTimer { due, data: Bytes::from(data), content_type };
        let set = self.effects.change_timer(id, TimerChange::Set(timer), limits);
        set.map_err(|overflow| TimerError::TooMany(overflow.limit()))
    }

    fn cancel(&mut self, id: String) -> Result<(), TimerError> {
        self.check_timer(&id)?;
        let cancelled = self.effects.change_timer(id, TimerChange::Cancel, &self.handler.limits);
        cancelled.map_err(|overflow| TimerError::TooMany(overflow.limit()))
    }
}

impl Guest {
    fn check_timer(&self, id: &str) -> Result<(), TimerError> {
        if self.handler.reads_elsewhere {
            return Err(TimerError::NotHere);
        }
        check_name(("an", "id"), id).map_err(TimerError::InvalidId)
    }
}

fn check_content_type(content_type: Option<&str>) -> Result<(), TimerError> {
    match content_type {
        Some("") => Err(TimerError::InvalidContentType("it is empty: leave it out".to_owned())),
        Some(text) if text.chars().any(char::is_control) => {
            Err(TimerError::InvalidContentType("it contains a control character".to_owned()))
        }
        _ => Ok(()),
    }
}

fn millis(ms: u64) -> Result<Duration, TimerError> {
    if ms > MAX_MS { Err(TimerError::TooFar(MAX_MS)) } else { Ok(Duration::from_millis(ms)) }
}
