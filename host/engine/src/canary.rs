//! The canary: a second version that runs for a share of a handler's keys, and is judged by how its runs end beside those
//! of the other. Pure: which keys it has, and whether it is worse.

use std::{fmt, ops::Add, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};
use waxwing_event::HandlerName;

use crate::stable_hash;

/// How many parts make a whole.
const WHOLE: u32 = 10_000;

/// A part of a whole, in steps of a hundredth of a percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Percent(u32);

/// Text that is no percentage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write a percentage from 0% to 100% such as 5% or 0.25%")]
pub struct PercentError;

impl Percent {
    /// Nothing.
    pub const NONE: Percent = Percent(0);
    /// All.
    pub const ALL: Percent = Percent(WHOLE);

    /// So many of a hundred; at most all.
    pub fn of_hundred(count: u32) -> Percent {
        Percent(count.saturating_mul(WHOLE / 100).min(WHOLE))
    }

    /// True where the canary of a handler has this key at this share. A key that it has at one share it has at each larger
    /// one, on every host.
    pub fn has(self, handler: &HandlerName, key: &str) -> bool {
        // Of other bytes than those by which keys go to partitions: so each partition has its part of the canary's keys.
        let bytes = "canary".bytes().chain([0]).chain(handler.as_str().bytes()).chain([0]).chain(key.bytes());
        let hash = stable_hash::of(bytes);
        // Scaled down to parts of the whole: always below it.
        let place = (u128::from(hash) * u128::from(WHOLE)) >> u64::BITS;
        place < u128::from(self.0)
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / 100, self.0 % 100);
        match rest {
            0 => write!(f, "{whole}%"),
            _ if rest.is_multiple_of(10) => write!(f, "{whole}.{}%", rest / 10),
            _ => write!(f, "{whole}.{rest:02}%"),
        }
    }
}

impl FromStr for Percent {
    type Err = PercentError;

    fn from_str(text: &str) -> Result<Percent, PercentError> {
        let number = text.strip_suffix('%').ok_or(PercentError)?;
        let (whole, rest) = number.split_once('.').unwrap_or((number, "0"));
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(whole) || !is_number(rest) || rest.len() > 2 {
            return Err(PercentError);
        }
        let hundredths: u32 = format!("{rest:0<2}").parse().map_err(|_| PercentError)?;
        let whole: u32 = whole.parse().map_err(|_| PercentError)?;
        let parts = whole.checked_mul(100).and_then(|parts| parts.checked_add(hundredths));
        parts.filter(|parts| *parts <= WHOLE).map(Percent).ok_or(PercentError)
    }
}

impl TryFrom<String> for Percent {
    type Error = PercentError;

    fn try_from(text: String) -> Result<Percent, PercentError> {
        text.parse()
    }
}

impl From<Percent> for String {
    fn from(percent: Percent) -> String {
        percent.to_string()
    }
}

/// When a canary counts as worse, and what becomes of one that does not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rules {
    /// By how much a rate of the canary's may be above that of the other version.
    pub margin: Percent,
    /// So many runs of the canary are awaited before it is judged.
    pub min_runs: u64,
    /// How long it must not be worse to have passed.
    pub window_ms: u64,
    /// True where it is promoted then; else it stays beside the other until somebody decides.
    pub auto_promote: bool,
}

impl Rules {
    /// How long the canary must not be worse to have passed.
    pub fn window(&self) -> Duration {
        Duration::from_millis(self.window_ms)
    }
}

/// How the runs of a version ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Counts {
    /// Runs that came to an end. Attempts count one by one; a run that begins again because the state has changed does not.
    pub runs: u64,
    /// Those that failed.
    pub failed: u64,
    /// Those that failed by their deadline.
    pub deadlines: u64,
    /// Events that became dead letters.
    pub dead: u64,
}

/// The counts of both versions since the canary began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tally {
    /// Of the version that runs.
    pub stable: Counts,
    /// Of the canary.
    pub canary: Counts,
}

/// In what a canary is worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Worse {
    /// Its runs fail.
    Failures,
    /// They take longer than their deadline.
    Deadlines,
    /// Its events become dead letters.
    DeadLetters,
}

/// What is found about a canary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// It is worse than the other version.
    Worse(Worse),
    /// It was not for as long as the rules ask.
    Passed,
}

/// Judges a canary that has run for this long; nothing where it is too early to say.
pub fn judge(rules: &Rules, tally: &Tally, elapsed: Duration) -> Option<Finding> {
    let Tally { stable, canary } = tally;
    if canary.runs == 0 || canary.runs < rules.min_runs {
        return None;
    }
    let rates = [
        (Worse::DeadLetters, canary.dead, stable.dead),
        (Worse::Deadlines, canary.deadlines, stable.deadlines),
        (Worse::Failures, canary.failed, stable.failed),
    ];
    let is_worse = |bad: u64, bad_of_stable: u64| {
        is_above((bad, canary.runs), (bad_of_stable, stable.runs), rules.margin)
    };
    let worse = rates.into_iter().find(|(_, bad, of_stable)| is_worse(*bad, *of_stable));
    match worse {
        Some((worse, ..)) => Some(Finding::Worse(worse)),
        None => (elapsed >= rules.window()).then_some(Finding::Passed),
    }
}

/// Whether a rate is above another by more than the margin; none of none is a rate of nothing.
fn is_above((bad, runs): (u64, u64), (other_bad, other_runs): (u64, u64), margin: Percent) -> bool {
    let [bad, runs, other_bad, other_runs] = [bad, runs, other_bad, other_runs.max(1)].map(u128::from);
    // bad / runs > other_bad / other_runs + margin / WHOLE, without fractions.
    let whole = u128::from(WHOLE);
    let mine = bad.saturating_mul(other_runs).saturating_mul(whole);
    let others = other_bad.saturating_mul(runs).saturating_mul(whole);
    let margin = u128::from(margin.0).saturating_mul(runs).saturating_mul(other_runs);
    mine > others.saturating_add(margin)
}

impl Counts {
    /// A run has done what it was to do.
    pub fn did_well(&mut self) {
        self.runs += 1;
    }

    /// A run has failed.
    pub fn failed(&mut self, by_deadline: ByDeadline) {
        self.runs += 1;
        self.failed += 1;
        self.deadlines += u64::from(by_deadline == ByDeadline::Yes);
    }
}

/// Whether a run failed by its deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByDeadline {
    /// It did.
    Yes,
    /// It failed otherwise.
    No,
}

impl Add for Counts {
    type Output = Counts;

    fn add(self, other: Counts) -> Counts {
        Counts {
            runs: self.runs.saturating_add(other.runs),
            failed: self.failed.saturating_add(other.failed),
            deadlines: self.deadlines.saturating_add(other.deadlines),
            dead: self.dead.saturating_add(other.dead),
        }
    }
}

impl Add for Tally {
    type Output = Tally;

    fn add(self, other: Tally) -> Tally {
        Tally { stable: self.stable + other.stable, canary: self.canary + other.canary }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { runs, failed, deadlines, dead } = self;
        write!(f, "{failed} of {runs} runs failed, {deadlines} by their deadline; {dead} dead letters")
    }
}

impl fmt::Display for Worse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Worse::Failures => "more of its runs fail",
            Worse::Deadlines => "more of its runs miss their deadline",
            Worse::DeadLetters => "more of its events become dead letters",
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rules() -> Rules {
        let margin = Percent::of_hundred(5);
        Rules { margin, min_runs: 20, window_ms: 60_000, auto_promote: false }
    }

    fn failing(failed: u64, runs: u64) -> Counts {
        Counts { runs, failed, ..Counts::default() }
    }

    fn judged(canary: Counts, stable: Counts, seconds: u64) -> Option<Finding> {
        judge(&rules(), &Tally { stable, canary }, Duration::from_secs(seconds))
    }

    #[test]
    fn a_percentage_is_read_and_shown_in_one_way() {
        for text in ["0%", "5%", "0.25%", "12.5%", "99.99%", "100%", "0.05%"] {
            assert_eq!(text.parse::<Percent>().map(|percent| percent.to_string()), Ok(text.to_owned()));
        }
        for text in
            ["", "5", "%", "-1%", "100.01%", "101%", "1.234%", "1.%", ".5%", "+5%", "5 %", "99999999999%"]
        {
            assert_eq!(text.parse::<Percent>(), Err(PercentError), "{text}");
        }
    }

    #[test]
    fn is_worse_just_above_the_margin_and_not_at_it() {
        let worse = Some(Finding::Worse(Worse::Failures));
        assert_eq!(judged(failing(5, 100), failing(0, 1000), 1), None);
        assert_eq!(judged(failing(6, 100), failing(0, 1000), 1), worse);
        assert_eq!(judged(failing(6, 100), failing(10, 1000), 1), None);
        assert_eq!(judged(failing(7, 100), failing(10, 1000), 1), worse);
        // Nothing to compare with: a rate of nothing.
        assert_eq!(judged(failing(6, 100), failing(0, 0), 1), worse);
        let dead = Counts { runs: 100, failed: 6, dead: 6, ..Counts::default() };
        assert_eq!(judged(dead, failing(10, 1000), 1), Some(Finding::Worse(Worse::DeadLetters)));
        let late = Counts { runs: 100, failed: 6, deadlines: 6, ..Counts::default() };
        assert_eq!(judged(late, failing(10, 1000), 1), Some(Finding::Worse(Worse::Deadlines)));
    }

    #[test]
    fn is_not_judged_before_it_has_run_often_enough() {
        assert_eq!(judged(failing(19, 19), failing(0, 100), 3600), None);
        assert_eq!(judged(failing(20, 20), failing(0, 100), 0), Some(Finding::Worse(Worse::Failures)));
        assert_eq!(judged(failing(0, 19), failing(0, 100), 3600), None);
    }

    #[test]
    fn has_passed_at_the_end_of_the_window_and_may_be_worse_behind_it() {
        assert_eq!(judged(failing(0, 20), failing(0, 100), 59), None);
        assert_eq!(judged(failing(0, 20), failing(0, 100), 60), Some(Finding::Passed));
        assert_eq!(judged(failing(9, 20), failing(0, 100), 90), Some(Finding::Worse(Worse::Failures)));
    }

    #[test]
    fn has_the_same_keys_whatever_the_host_was_built_with() {
        let (handler, share): (HandlerName, _) = ("basket".parse().unwrap(), Percent::of_hundred(30));
        let keys = (0..20).map(|n| format!("k{n}")).filter(|key| share.has(&handler, key));
        assert_eq!(keys.collect::<Vec<_>>(), ["k1", "k3", "k7", "k16"]);
    }

    #[test]
    fn has_about_its_share_of_the_keys() {
        let handler: HandlerName = "basket".parse().unwrap();
        for hundredths in [1, 5, 20, 50, 99] {
            let share = Percent::of_hundred(hundredths);
            let has = (0..10_000).filter(|n| share.has(&handler, &format!("key-{n}"))).count();
            let expected = hundredths as usize * 100;
            assert!(has.abs_diff(expected) < 150, "{share}: {has}");
        }
    }

    proptest! {
        #[test]
        fn a_key_stays_at_each_larger_share(key in ".*", less in 0_u32..=100, more in 0_u32..=100) {
            let handler: HandlerName = "basket".parse().unwrap();
            let (less, more) = (less.min(more), less.max(more));
            let has = |share| Percent::of_hundred(share).has(&handler, &key);
            prop_assert!(!has(less) || has(more));
            prop_assert!(Percent::ALL.has(&handler, &key) && !Percent::NONE.has(&handler, &key));
        }

        #[test]
        fn one_that_is_not_worse_in_anything_is_never_found_so(
            runs in 1_u64..1_000_000, failed in 0_u64..1000, margin in 0_u32..=100, times in 1_u64..100,
        ) {
            // The same rates, at however many runs.
            let failed = failed.min(runs);
            let stable = Counts { runs, failed, deadlines: failed, dead: failed };
            let canary = Counts {
                runs: runs * times, failed: failed * times, deadlines: failed * times, dead: failed * times,
            };
            let rules = Rules { margin: Percent::of_hundred(margin), ..rules() };
            let found = judge(&rules, &Tally { stable, canary }, Duration::ZERO);
            prop_assert!(!matches!(found, Some(Finding::Worse(_))));
        }
    }
}
