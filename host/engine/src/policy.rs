//! What follows from a failed attempt: pure decisions.

use std::time::Duration;

use uuid::Uuid;
use waxwing_event::{
    Failure, HandlerName, Position,
    handler::{OnExhausted, RetryPolicy},
    outcome::FailureKind,
};

/// What follows from a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Another attempt at once.
    AtOnce,
    /// Another attempt after this time; the event waits for it in the log.
    After(Duration),
    /// No further attempt.
    DeadLetter,
    /// Another attempt that costs none: the run did not fail by itself.
    Unspent,
}

/// Decides about the event at `position`, of which `attempt` (1 for the first) has failed.
pub fn verdict(
    policy: &RetryPolicy,
    handler: &HandlerName,
    position: Position,
    attempt: u32,
    failure: &Failure,
) -> Verdict {
    match failure.kind {
        FailureKind::Unavailable => Verdict::Unspent,
        FailureKind::Reject | FailureKind::Decode | FailureKind::Parked => Verdict::DeadLetter,
        _ if attempt >= policy.attempts => Verdict::DeadLetter,
        _ => match failure.after {
            Some(delay) if delay.is_zero() => Verdict::AtOnce,
            Some(delay) => Verdict::After(delay),
            None if attempt < policy.immediate => Verdict::AtOnce,
            None => Verdict::After(delay(policy, attempt, fraction(handler, position, attempt))),
        },
    }
}

/// Whether a request of which `attempt` has failed is tried again, at once: nobody waits for a later one.
pub fn tries_request_again(policy: &RetryPolicy, attempt: u32, failure: &Failure) -> bool {
    let may_pass = !matches!(failure.kind, FailureKind::Reject | FailureKind::Decode | FailureKind::Parked);
    may_pass && attempt < policy.immediate.min(policy.attempts)
}

/// The delay after `attempt`: `fraction` (0 to 1) of its bound.
fn delay(policy: &RetryPolicy, attempt: u32, fraction: f64) -> Duration {
    let doublings = attempt.saturating_sub(policy.immediate).min(30);
    let bound = policy.first.saturating_mul(1 << doublings).min(policy.most);
    bound.mul_f64(fraction)
}

/// A number from 0 to 1 that looks random, and is the same whenever it is asked for.
fn fraction(handler: &HandlerName, position: Position, attempt: u32) -> f64 {
    let name = format!("{handler} {position} {attempt}");
    let (number, ..) = Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()).as_fields();
    f64::from(number) / f64::from(u32::MAX)
}

/// Whether the end of an attempt says that the handler works: it succeeded, or it answered that the event
/// itself is bad.
pub fn is_alive(failure: Option<&Failure>) -> bool {
    failure.is_none_or(|failure| matches!(failure.kind, FailureKind::Reject | FailureKind::Decode))
}

/// Whether the key of a dead letter waits for somebody to decide about it.
pub fn holds_key(on_exhausted: OnExhausted, has_key: bool) -> bool {
    has_key && on_exhausted == OnExhausted::DeadLetterKey
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn verdict_of(policy: &RetryPolicy, attempt: u32, failure: &Failure) -> Verdict {
        verdict(policy, &"basket".parse().unwrap(), Position(7), attempt, failure)
    }

    fn of_kind(kind: FailureKind) -> Failure {
        Failure::new(kind, "x")
    }

    #[test]
    fn never_spends_an_attempt_because_the_log_was_away() {
        let policy = RetryPolicy { attempts: 1, ..RetryPolicy::default() };
        assert_eq!(verdict_of(&policy, 99, &of_kind(FailureKind::Unavailable)), Verdict::Unspent);
    }

    #[test]
    fn what_cannot_get_better_is_not_tried_again() {
        for kind in [FailureKind::Reject, FailureKind::Decode, FailureKind::Parked] {
            assert_eq!(verdict_of(&RetryPolicy::default(), 1, &of_kind(kind)), Verdict::DeadLetter);
        }
    }

    #[test]
    fn tries_twice_at_once_then_with_delays_and_gives_up_after_ten() {
        let policy = RetryPolicy::default();
        let verdicts: Vec<_> =
            (1..=10).map(|n| verdict_of(&policy, n, &of_kind(FailureKind::Trap))).collect();
        assert_eq!(verdicts[0], Verdict::AtOnce);
        assert!(verdicts[1..9].iter().all(|v| matches!(v, Verdict::After(_))), "{verdicts:?}");
        assert_eq!(verdicts[9], Verdict::DeadLetter);
    }

    #[test]
    fn a_request_is_tried_at_once_or_not_at_all() {
        let policy = RetryPolicy { immediate: 3, ..RetryPolicy::default() };
        let again = |kind, attempt| tries_request_again(&policy, attempt, &of_kind(kind));
        assert!(again(FailureKind::Trap, 1) && again(FailureKind::Retry, 2));
        assert!(!again(FailureKind::Trap, 3) && !again(FailureKind::Reject, 1));
    }

    #[test]
    fn the_bound_doubles_up_to_the_most() {
        let policy = RetryPolicy { attempts: 50, ..RetryPolicy::default() };
        let bounds: Vec<_> = (2..13).map(|attempt| delay(&policy, attempt, 1.0).as_secs()).collect();
        assert_eq!(bounds, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(delay(&policy, u32::MAX, 1.0), policy.most);
    }

    #[test]
    fn a_delay_that_the_handler_asks_for_holds() {
        let mut failure = of_kind(FailureKind::Retry);
        failure.after = Some(Duration::from_secs(7));
        assert_eq!(verdict_of(&RetryPolicy::default(), 1, &failure), Verdict::After(Duration::from_secs(7)));
        assert_eq!(verdict_of(&RetryPolicy::default(), 10, &failure), Verdict::DeadLetter);
        failure.after = Some(Duration::ZERO);
        assert_eq!(verdict_of(&RetryPolicy::default(), 5, &failure), Verdict::AtOnce);
    }

    proptest! {
        #[test]
        fn delays_stay_within_their_bounds(attempt in 2..9_u32, position: u64) {
            let policy = RetryPolicy::default();
            let failure = of_kind(FailureKind::Trap);
            let first = verdict(&policy, &"a".parse().unwrap(), Position(position), attempt, &failure);
            prop_assert_eq!(verdict(&policy, &"a".parse().unwrap(), Position(position), attempt, &failure), first);
            let Verdict::After(chosen) = first else { panic!("{first:?}") };
            prop_assert!(chosen <= Duration::from_secs(1 << (attempt - 2)));
        }
    }
}
