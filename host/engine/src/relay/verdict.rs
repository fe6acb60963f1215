//! From how a sending ended to what is done about it.

use std::{num::NonZeroU32, time::Duration};

use crate::port::outside::SendError;

/// The pause after the first failure of an event, which doubles with each further one, and the longest pause.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// What is done about an event that is not known to be out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is sent again after this pause.
    Again(Duration),
    /// It is set aside, so that those behind it can go on.
    SetAside(String),
}

/// How often an event has failed, this failure included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Failures {
    /// In all, in a row.
    pub(super) all: u32,
    /// Of these, how often it was refused.
    pub(super) refusals: u32,
}

/// Decides. Nothing is set aside because nobody answered: only an event that is refused itself.
pub(super) fn verdict(error: &SendError, failures: Failures, attempts: NonZeroU32) -> Verdict {
    match error {
        SendError::Refused(why) if failures.refusals >= attempts.get() => Verdict::SetAside(why.clone()),
        _ => Verdict::Again(pause(failures.all)),
    }
}

fn pause(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    (PAUSE.0 * 2_u32.pow(doublings)).min(PAUSE.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(error: &SendError, all: u32, refusals: u32) -> Verdict {
        verdict(error, Failures { all, refusals }, NonZeroU32::new(3).unwrap())
    }

    #[test]
    fn sets_aside_only_what_is_refused_often_enough() {
        let (refused, away) = (SendError::Refused("large".into()), SendError::Away("gone".into()));
        assert_eq!(of(&refused, 2, 2), Verdict::Again(Duration::from_millis(200)));
        assert_eq!(of(&refused, 3, 3), Verdict::SetAside("large".into()));
        assert_eq!(of(&refused, 40, 1), Verdict::Again(PAUSE.1));
        assert_eq!(of(&away, u32::MAX, 0), Verdict::Again(PAUSE.1));
        assert_eq!(of(&away, 1, 0), Verdict::Again(PAUSE.0));
    }
}
