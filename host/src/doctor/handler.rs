//! Judges a handler: who runs it, what holds it up, its dead letters.

use std::time::Duration;

use waxwing_event::{HandlerName, Pattern};

use super::{
    bucket,
    finding::Finding,
    found::{Dead, Found, FoundHandler, HeldUp, Outbox, Owner},
};
use crate::config::AppConfig;

/// How long an event may wait to go out before that is told.
const USUALLY_OUT_WITHIN: Duration = Duration::from_secs(60);

/// Judges one handler.
pub fn judge(found: &Found, handler: &FoundHandler) -> Vec<Finding> {
    let first = if is_named(found, handler) { owner(handler) } else { unnamed(found, handler) };
    let mut findings = vec![first];
    findings.extend(waits_to_go_out(found, handler));
    findings.extend(held(handler));
    findings.extend(bucket::judge(found, handler));
    findings.extend(handler.kept.iter().map(|(subject, stream)| kept(handler, subject, stream)));
    findings.extend(dead(handler));
    let missing = found.missing_secrets.iter().filter(|(name, _)| *name == handler.name);
    findings.extend(missing.map(|(name, why)| missing_secret(name, why)));
    findings
}

/// This machine may be none of the handler's hosts.
fn missing_secret(name: &HandlerName, why: &str) -> Finding {
    Finding::note("secrets", format!("handler `{name}`: {why}"))
        .why("a host without it does not start with this manifest, and declines what is deployed of the handler")
        .way_out("see that each host that runs the handler has it; `waxwing check` there tells")
}

/// True where the manifest names it, or there is no manifest.
pub(super) fn is_named(found: &Found, handler: &FoundHandler) -> bool {
    let named = |manifest: &AppConfig| manifest.handlers.iter().any(|named| named.spec.name == handler.name);
    found.manifest.as_ref().is_none_or(named)
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
    let Outbox { waiting, since } = handler.held.outbox;
    if let Some(since) = since {
        let what = format!(
            "the manifest does not name handler `{name}` any more, and its outbox holds events since {since:.0}: {waiting}"
        );
        return Finding::warning("unnamed", what)
            .why("no host brings them out, and those for whom they are do not have them")
            .way_out(format!(
                "name it again, with its grants, until `waxwing outbox ls {name}` shows nothing"
            ));
    }
    Finding::note("unnamed", format!("the manifest does not name handler `{name}` any more"))
        .why("nobody handles its events; its state and its dead letters stay for ever")
        .way_out(format!(
            "name it again, or remove what it left: `nats stream purge wx-{app} --subject 'wx.{app}.*.{name}.>'`, and \
             what stands under `{name}~2` and higher, where it was rebuilt"
        ))
}

/// Events that should have gone out by now. Of one that nobody runs any more, [`unnamed`] tells.
fn waits_to_go_out(found: &Found, handler: &FoundHandler) -> Option<Finding> {
    let (name, Outbox { waiting, since }) = (&handler.name, handler.held.outbox);
    if !is_named(found, handler) && !matches!(handler.owner, Owner::Lives(_)) {
        return None;
    }
    let (since, now) = (since?, found.log.as_ref()?.now);
    if Duration::try_from(now.duration_since(since)).unwrap_or_default() <= USUALLY_OUT_WITHIN {
        return None;
    }
    let what = format!("events of handler `{name}` wait to go out of the log since {since:.0}: {waiting}");
    let finding = Finding::warning("outbox", what)
        .why("no stream takes them, or no host relays them")
        .way_out(format!(
            "a host's log says what stands in their way; see which they are: `waxwing outbox ls {name}`"
        ));
    Some(finding)
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

/// What holds it up.
fn held(handler: &FoundHandler) -> Vec<Finding> {
    let (name, HeldUp { paused, outage, parked, refused, .. }) = (&handler.name, &handler.held);
    let mut findings = Vec::new();
    if let Some(since) = paused {
        findings.push(
            Finding::note("paused", format!("handler `{name}` is paused since {since:.0}"))
                .why("its events wait until somebody resumes it")
                .way_out(format!("`waxwing resume {name}`")),
        );
    }
    if let Some(outage) = outage {
        let (since, reason) = (outage.since, outage.reason.lines().next().unwrap_or_default());
        findings.push(
            Finding::warning("outage", format!("handler `{name}` is in outage since {since:.0}: {reason}"))
                .why("many events failed one after another, so one at a time probes whether it is up again; the others wait")
                .way_out("see to what it depends on; the first success ends the outage"),
        );
    }
    if *parked > 0 {
        findings.push(
            Finding::note(
                "parked",
                format!("events of handler `{name}` that wait for another attempt or behind one: {parked}"),
            )
            .way_out(format!("see which: `waxwing parked ls {name}`")),
        );
    }
    if *refused > 0 {
        findings.push(
            Finding::warning(
                "refused",
                format!("events of handler `{name}` that were refused outside the log: {refused}"),
            )
            .why("those for whom they are do not have them")
            .way_out(format!(
                "see why: `waxwing outbox ls {name}`; send them again: `waxwing outbox redrive {name} --all`"
            )),
        );
    }
    findings
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
    use waxwing_engine::entry::Outage;

    use super::*;
    use crate::doctor::{
        Level,
        found::tests::{found, now},
    };

    /// The level of one check after a change to where all is well.
    fn level(check: &str, change: impl FnOnce(&mut FoundHandler)) -> Option<Level> {
        let mut found = found();
        let mut handler = found.log.as_mut().unwrap().handlers.remove(0);
        change(&mut handler);
        let findings = judge(&found, &handler);
        findings.iter().filter(|finding| finding.check == check).map(|finding| finding.level).max()
    }

    #[test]
    fn all_is_well_where_a_host_runs_it() {
        let found = found();
        let findings = judge(&found, &found.log.as_ref().unwrap().handlers[0]);
        assert!(findings.iter().all(|finding| finding.level == Level::Ok), "{findings:?}");
    }

    #[test]
    fn who_runs_it_matters() {
        let judged = |owner: Owner| level("owner", |handler| handler.owner = owner);
        assert_eq!(judged(Owner::Lives("host-1".into())), Some(Level::Ok));
        assert_eq!(judged(Owner::Nobody), Some(Level::Note));
        assert_eq!(judged(Owner::Silent("host-1".into())), Some(Level::Warning));
        assert_eq!(judged(Owner::Unreadable("no JSON".into())), Some(Level::Warning));
    }

    #[test]
    fn a_handler_that_the_manifest_does_not_name_is_told_of() {
        let other = |owner: Owner| {
            level("unnamed", |handler| {
                (handler.name, handler.owner) = ("other".parse().unwrap(), owner);
            })
        };
        assert_eq!(other(Owner::Nobody), Some(Level::Note));
        assert_eq!(other(Owner::Lives("host-1".into())), Some(Level::Warning));
        assert_eq!(level("unnamed", |_| {}), None);
    }

    #[test]
    fn what_a_handler_that_is_not_named_has_in_its_outbox_is_not_to_be_purged() {
        let mut found = found();
        let mut handler = found.log.as_mut().unwrap().handlers.remove(0);
        (handler.name, handler.owner) = ("other".parse().unwrap(), Owner::Nobody);
        let way_out = |handler: &FoundHandler| {
            let findings = judge(&found, handler);
            assert_eq!(findings.len(), 1, "{findings:?}");
            (findings[0].level, findings[0].way_out.clone().unwrap())
        };
        let (level, without) = way_out(&handler);
        assert!(level == Level::Note && without.contains("nats stream purge"), "{without}");
        handler.held.outbox = Outbox { waiting: 3, since: Some(now()) };
        let (level, with) = way_out(&handler);
        assert!(level == Level::Warning && with.contains("`waxwing outbox ls other`"), "{with}");
        assert!(!with.contains("purge"), "{with}");
    }

    #[test]
    fn events_that_wait_to_go_out_for_longer_than_a_minute_are_told_of() {
        let waits = |seconds: u64, owner: Owner| {
            level("outbox", |handler| {
                let since = now().checked_sub(Duration::from_secs(seconds)).unwrap();
                (handler.held.outbox, handler.owner) = (Outbox { waiting: 1, since: Some(since) }, owner);
            })
        };
        assert_eq!(waits(60, Owner::Nobody), None);
        assert_eq!(waits(61, Owner::Nobody), Some(Level::Warning));
        assert_eq!(waits(61, Owner::Lives("host-1".into())), Some(Level::Warning));
    }

    #[test]
    fn what_holds_it_up_is_told() {
        let outage = Outage { since: now(), reason: "no database".to_owned() };
        assert_eq!(level("paused", |handler| handler.held.paused = Some(now())), Some(Level::Note));
        assert_eq!(level("outage", |handler| handler.held.outage = Some(outage)), Some(Level::Warning));
        assert_eq!(level("parked", |handler| handler.held.parked = 1), Some(Level::Note));
        assert_eq!(level("refused", |handler| handler.held.refused = 1), Some(Level::Warning));
    }

    #[test]
    fn a_secret_that_is_not_on_this_machine_is_told_of_its_handler_alone() {
        let mut found = found();
        let handler = found.log.as_mut().unwrap().handlers.remove(0);
        let told =
            |found: &Found| judge(found, &handler).into_iter().any(|finding| finding.check == "secrets");
        found.missing_secrets = vec![("other".parse().unwrap(), "its secret `a` is not here".to_owned())];
        assert!(!told(&found));
        found.missing_secrets.push((handler.name.clone(), "its secret `a` is not here".to_owned()));
        assert!(told(&found));
    }

    #[test]
    fn dead_letters_are_warnings_readable_or_not() {
        assert_eq!(level("dead-letters", |handler| handler.dead.waiting = 1), Some(Level::Warning));
        let unreadable = vec!["the entry cannot be read".to_owned()];
        assert_eq!(
            level("dead-letters", |handler| handler.dead.unreadable = unreadable),
            Some(Level::Warning)
        );
        assert_eq!(level("dead-letters", |_| {}), None);
    }
}
