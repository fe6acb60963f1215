//! From how a run ended to what is written for it.

use waxwing_event::{Effects, Failure, Outcome, outcome::FailureKind};

/// What is to be written for a run.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Its effects; nothing where there are none.
    Commit(Effects),
    /// A dead letter with this reason.
    DeadLetter(Failure),
    /// Nothing yet: the run did not fail by itself. It costs no attempt.
    Again(Failure),
}

/// Decides. A failed event becomes a dead letter at its first failure.
pub fn verdict(outcome: Outcome) -> Verdict {
    match outcome {
        Outcome::Done(effects) => Verdict::Commit(effects),
        Outcome::Failed(failure) if failure.kind == FailureKind::Unavailable => Verdict::Again(failure),
        Outcome::Failed(failure) => Verdict::DeadLetter(failure),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_buries_an_event_because_the_log_was_away() {
        let failed = |kind| verdict(Outcome::Failed(Failure::new(kind, "x")));
        assert!(matches!(failed(FailureKind::Unavailable), Verdict::Again(_)));
        assert!(matches!(failed(FailureKind::Trap), Verdict::DeadLetter(_)));
        assert!(matches!(failed(FailureKind::Retry), Verdict::DeadLetter(_)));
        assert_eq!(verdict(Outcome::Done(Effects::default())), Verdict::Commit(Effects::default()));
    }
}
