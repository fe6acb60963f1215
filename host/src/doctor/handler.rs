//! Judges where a handler stands: its checkpoint, its lag against the retention, its owner, its dead letters.

use std::time::Duration;

use jiff::Timestamp;
use waxwing_event::Pattern;

use super::{
    age::shown,
    finding::Finding,
    found::{Dead, Found, FoundHandler, FoundLog, Open, Owner, Saved},
};

/// Judges one handler.
pub fn judge(found: &Found, log: &FoundLog, handler: &FoundHandler) -> Vec<Finding> {
    let is_named = found
        .manifest
        .as_ref()
        .is_none_or(|manifest| manifest.handlers.iter().any(|named| named.spec.name == handler.name));
    let mut findings = if is_named {
        let mut findings = vec![owner(handler)];
        findings.extend(lag(log, handler));
        findings
    } else {
        vec![unnamed(found, handler)]
    };
    findings.extend(handler.kept.iter().map(|(subject, stream)| kept(handler, subject, stream)));
    findings.push(checkpoint(log, handler));
    findings.extend(dead(handler));
    findings
}

fn owner(handler: &FoundHandler) -> Finding {
    let name = &handler.name;
    match &handler.owner {
        Owner::Lives(host) => Finding::ok("owner", format!("handler `{name}` runs on {host}")),
        Owner::Nobody => Finding::note("owner", format!("handler `{name}` runs nowhere"))
            .why("its events wait until a host runs it")
            .way_out("start a host with `waxwing run`"),
        Owner::Silent(host) => Finding::warning(
            "owner",
            format!("handler `{name}` belongs to {host}, which has not told that it lives"),
        )
        .why("its events wait: another host that runs takes it over within the lease time, and none has yet")
        .way_out("start a host with `waxwing run`; where one runs, look at its log"),
        Owner::Unreadable(why) => Finding::warning("owner", format!("the lease of handler `{name}`: {why}"))
            .why("somebody else has written there; the next host that starts takes it over")
            .way_out("find out who writes to the host's own subjects, `wx.>`, and take that right away"),
    }
}

fn unnamed(found: &Found, handler: &FoundHandler) -> Finding {
    let (app, name) = (&found.app, &handler.name);
    if let Owner::Lives(host) = &handler.owner {
        return Finding::warning(
            "unnamed",
            format!("handler `{name}` is not in the manifest, and {host} runs it"),
        )
        .why("that host has another manifest than this one")
        .way_out("give all hosts of the app the same manifest");
    }
    Finding::note("unnamed", format!("the manifest does not name handler `{name}` any more"))
        .why("nobody handles its events; its state and its dead letters stay for ever")
        .way_out(format!(
            "name it again, or remove what it left: `nats stream purge wx-{app} --subject 'wx.{app}.*.{name}.>'`"
        ))
}

fn checkpoint(log: &FoundLog, handler: &FoundHandler) -> Finding {
    let (name, last) = (&handler.name, log.stream.last);
    match &handler.saved {
        Saved::Never => {
            Finding::ok("checkpoint", format!("handler `{name}` has not saved where it stands yet"))
        }
        Saved::Unreadable(why) => {
            Finding::problem("checkpoint", format!("the checkpoint of handler `{name}`: {why}"))
                .why("a host stops the handler rather than guess what it has handled")
                .way_out("restore that entry, or delete it to handle the whole log anew")
        }
        Saved::At { checkpoint, .. } if checkpoint.watermark > last => {
            let watermark = checkpoint.watermark;
            Finding::problem(
                "checkpoint",
                format!("the log ends at {last}, but the checkpoint of handler `{name}` stands at {watermark}"),
            )
            .why("the log was restored from an older copy or replaced: a host stops the handler, which would else skip events")
            .way_out(anew(log, handler))
        }
        Saved::At { checkpoint, position, .. } if checkpoint.reaches() >= *position => {
            let told = checkpoint.reaches();
            Finding::problem(
                "checkpoint",
                format!("the checkpoint of handler `{name}` at {position} tells of {told}, which came after it"),
            )
            .why("the log was replaced by one with other positions: a host stops the handler, which would else skip events")
            .way_out(anew(log, handler))
        }
        Saved::At { checkpoint, .. } => Finding::ok(
            "checkpoint",
            format!("handler `{name}` has handled everything up to {}", checkpoint.watermark),
        ),
    }
}

fn kept(handler: &FoundHandler, subject: &Pattern, stream: &str) -> Finding {
    let name = &handler.name;
    Finding::warning(
        "requests",
        format!("the stream `{stream}` keeps `{subject}`, on which handler `{name}` is asked or hears live messages"),
    )
    .why("its acknowledgement comes before the handler's answer, and a requester takes the first one for the answer")
    .way_out(format!("take `{subject}` out of `{stream}`, or ask on other subjects"))
}

fn anew(log: &FoundLog, handler: &FoundHandler) -> String {
    format!(
        "restore the newer copy; or give up what this one lacks and delete the checkpoint, to handle the log from its \
         beginning: `nats stream purge {} --subject '{}'`",
        log.name, handler.checkpoint
    )
}

/// How far behind it is, against how long the log keeps what it has not handled.
fn lag(log: &FoundLog, handler: &FoundHandler) -> Option<Finding> {
    let name = &handler.name;
    let Some(Open { position, time }) = handler.oldest_open else {
        return Some(Finding::ok("lag", format!("handler `{name}` has handled everything")));
    };
    let age = since(log.now, time);
    let what = format!("handler `{name}` has not handled the entry at {position}, {} old", shown(age));
    let Some(kept) = log.stream.retention else {
        return Some(Finding::ok("lag", what));
    };
    if let Some(still) = stood_still(log, handler).filter(|still| *still > kept) {
        return Some(
            Finding::problem(
                "lag",
                format!(
                    "handler `{name}` has stood still for {}, and events are kept for {}",
                    shown(still),
                    shown(kept)
                ),
            )
            .why("events that came meanwhile and are older than that are gone, and it has not handled them")
            .way_out(
                "start a host at once, set a longer `retention` in [app], and publish anew what is gone",
            ),
        );
    }
    let finding = if age * 10 >= kept * 9 {
        Finding::problem("lag", format!("{what}; events are kept for {}", shown(kept)))
    } else if age * 2 >= kept {
        Finding::warning("lag", format!("{what}; events are kept for {}", shown(kept)))
    } else {
        return Some(Finding::ok("lag", what));
    };
    Some(
        finding.why("what reaches that age is removed, handled or not").way_out(
            "set a longer `retention` in [app] first of all; then see why it lags: `waxwing run` tells",
        ),
    )
}

/// For how long nobody has run it since it last saved where it stands.
fn stood_still(log: &FoundLog, handler: &FoundHandler) -> Option<Duration> {
    match (&handler.saved, &handler.owner) {
        (Saved::At { .. }, Owner::Lives(_)) => None,
        (Saved::At { time, .. }, _) => Some(since(log.now, *time)),
        _ => None,
    }
}

fn since(now: Timestamp, then: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(then)).unwrap_or_default()
}

fn dead(handler: &FoundHandler) -> Vec<Finding> {
    let (name, Dead { waiting, is_cut, unreadable }) = (&handler.name, &handler.dead);
    let mut findings = Vec::new();
    if *waiting > 0 {
        let or_more = if *is_cut { " or more" } else { "" };
        let letters = if *waiting == 1 && !is_cut { "letter" } else { "letters" };
        let what = format!("handler `{name}` has {waiting}{or_more} dead {letters}");
        findings.push(
            Finding::warning("dead-letters", what)
                .why("these events had no effect, and will have none before somebody sees to them")
                .way_out(format!("see why: `waxwing dead ls {name}`")),
        );
    }
    for why in unreadable {
        findings.push(
            Finding::warning("dead-letters", format!("handler `{name}`: {why}"))
                .why("an event may have gone with it; somebody else has written there")
                .way_out("find out who writes to the host's own subjects, `wx.>`, and remove that entry"),
        );
    }
    findings
}

#[cfg(test)]
mod tests {
    use waxwing_engine::entry::Checkpoint;
    use waxwing_event::Position;

    use super::*;
    use crate::doctor::{
        Level,
        found::tests::{found, now},
    };

    /// The level of one check after a change to where all is well.
    fn level(check: &str, change: impl FnOnce(&mut FoundLog, &mut FoundHandler)) -> Option<Level> {
        let mut found = found();
        let mut log = found.log.take().unwrap();
        let mut handler = log.handlers.remove(0);
        change(&mut log, &mut handler);
        let findings = judge(&found, &log, &handler);
        findings.iter().filter(|finding| finding.check == check).map(|finding| finding.level).max()
    }

    fn ago(seconds: u64) -> Timestamp {
        now().checked_sub(Duration::from_secs(seconds)).unwrap()
    }

    fn at(watermark: u64, seconds_ago: u64) -> Saved {
        let checkpoint = Checkpoint { watermark: Position(watermark), ..Checkpoint::default() };
        Saved::At { checkpoint, position: Position(95), time: ago(seconds_ago) }
    }

    #[test]
    fn all_is_well_where_everything_is_handled() {
        let found = found();
        let log = found.log.as_ref().unwrap();
        let findings = judge(&found, log, &log.handlers[0]);
        assert!(findings.iter().all(|finding| finding.level == Level::Ok), "{findings:?}");
    }

    #[test]
    fn a_checkpoint_tells_of_what_was_before_it() {
        for (watermark, expected) in [(94, Level::Ok), (95, Level::Problem), (101, Level::Problem)] {
            assert_eq!(level("checkpoint", |_, handler| handler.saved = at(watermark, 0)), Some(expected));
        }
        let unreadable = Saved::Unreadable("it cannot be read".to_owned());
        assert_eq!(level("checkpoint", |_, handler| handler.saved = unreadable), Some(Level::Problem));
    }

    #[test]
    fn lag_is_judged_by_the_retention() {
        let kept = Some(Duration::from_secs(1_000));
        let judged = |age, retention| {
            level("lag", |log, handler| {
                log.stream.retention = retention;
                handler.oldest_open = Some(Open { position: Position(99), time: ago(age) });
            })
        };
        assert_eq!(judged(499, kept), Some(Level::Ok));
        assert_eq!(judged(500, kept), Some(Level::Warning));
        assert_eq!(judged(899, kept), Some(Level::Warning));
        assert_eq!(judged(900, kept), Some(Level::Problem));
        assert_eq!(judged(900_000, None), Some(Level::Ok));
        assert_eq!(level("lag", |_, _| {}), Some(Level::Ok));
    }

    #[test]
    fn standing_still_for_longer_than_the_retention_is_a_problem() {
        let judged = |still, owner: Owner| {
            level("lag", |log, handler| {
                log.stream.retention = Some(Duration::from_secs(1_000));
                handler.oldest_open = Some(Open { position: Position(99), time: ago(1) });
                (handler.saved, handler.owner) = (at(90, still), owner);
            })
        };
        assert_eq!(judged(1_001, Owner::Nobody), Some(Level::Problem));
        assert_eq!(judged(1_000, Owner::Nobody), Some(Level::Ok));
        assert_eq!(judged(1_001, Owner::Lives("host-1".into())), Some(Level::Ok));
    }

    #[test]
    fn who_runs_it_matters() {
        let judged = |owner: Owner| level("owner", |_, handler| handler.owner = owner);
        assert_eq!(judged(Owner::Lives("host-1".into())), Some(Level::Ok));
        assert_eq!(judged(Owner::Nobody), Some(Level::Note));
        assert_eq!(judged(Owner::Silent("host-1".into())), Some(Level::Warning));
        assert_eq!(judged(Owner::Unreadable("no JSON".into())), Some(Level::Warning));
    }

    #[test]
    fn a_handler_that_the_manifest_does_not_name_is_told_of() {
        let other = |owner: Owner| {
            level("unnamed", |_, handler| {
                (handler.name, handler.owner) = ("other".parse().unwrap(), owner);
            })
        };
        assert_eq!(other(Owner::Nobody), Some(Level::Note));
        assert_eq!(other(Owner::Lives("host-1".into())), Some(Level::Warning));
        assert_eq!(level("unnamed", |_, _| {}), None);
    }

    #[test]
    fn dead_letters_are_warnings_readable_or_not() {
        assert_eq!(level("dead-letters", |_, handler| handler.dead.waiting = 1), Some(Level::Warning));
        let unreadable = vec!["the entry cannot be read".to_owned()];
        assert_eq!(
            level("dead-letters", |_, handler| handler.dead.unreadable = unreadable),
            Some(Level::Warning)
        );
        assert_eq!(level("dead-letters", |_, _| {}), None);
    }
}
