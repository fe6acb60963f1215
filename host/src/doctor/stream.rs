//! Judges the stream: whether a host can use it, and how much of what it took it may lose.

use std::time::Duration;

use waxwing_log::jetstream::{Storage, look::SeenStream};

use super::{
    age::shown,
    finding::Finding,
    found::{Found, FoundLog, ServerSync, Sync},
};
use crate::config::{AppConfig, show_bytes};

/// The shortest retention that is not worth a word: an outage is seen to within a day.
const SHORT_RETENTION: Duration = Duration::from_secs(24 * 60 * 60);

/// The window that servers keep unless they are told otherwise.
const USUAL_WINDOW: Duration = Duration::from_secs(120);

/// Judges the stream.
pub fn judge(found: &Found, log: &FoundLog) -> Vec<Finding> {
    let stream = &log.stream;
    let mut findings = settings(stream);
    findings.push(replicas(stream));
    findings.extend(copies(stream));
    findings.push(storage(stream));
    if stream.storage == Storage::File {
        findings.push(sync(&found.sync, stream.replicas));
    }
    findings.push(retention(stream));
    findings.push(duplicate_window(log));
    if let Some(manifest) = &found.manifest {
        findings.extend(differences(manifest, stream));
        findings.push(message_size(manifest, stream));
    }
    findings
}

fn settings(stream: &SeenStream) -> Vec<Finding> {
    let breaches = stream.breaches.iter().map(|breach| {
        Finding::problem("settings", format!("the stream cannot be a log: {}", breach.what))
            .why("`waxwing run` refuses it, as a promise could not be kept")
            .way_out(breach.way_out)
    });
    let mut findings: Vec<Finding> = breaches.collect();
    if !stream.lacking.is_empty() {
        let what = format!("the stream has these settings switched off: {}", stream.lacking.join(", "));
        findings.push(
            Finding::note("settings", what)
                .why("commits need them")
                .way_out("start the app with `waxwing run`, which switches them on"),
        );
    }
    if findings.is_empty() {
        findings.push(Finding::ok("settings", "the stream's settings are those of a log"));
    }
    findings
}

fn replicas(stream: &SeenStream) -> Finding {
    match stream.replicas {
        0 | 1 => Finding::warning("replicas", "the log has one copy (R1)")
            .why("a disk or a server that is lost takes all events and state with it; while it is away, nothing runs")
            .way_out("run three servers as a cluster and set `replicas = 3` in [app]"),
        2 => Finding::warning("replicas", "the log has two copies (R2)")
            .why("while one of them is away, nothing can be written: it takes more than half to agree")
            .way_out("set `replicas = 3` in [app]"),
        more => Finding::ok("replicas", format!("the log has {more} copies")),
    }
}

fn copies(stream: &SeenStream) -> Vec<Finding> {
    let bad = stream.copies.iter().filter(|copy| copy.is_offline || !copy.is_current);
    let bad = bad.map(|copy| {
        let how = if copy.is_offline { "is away" } else { "is behind" };
        Finding::warning("copies", format!("the copy of the log on `{}` {how}", copy.name))
            .why("if the others are lost now, so is what this one lacks; without more than half, nothing can be written")
            .way_out(format!("look after `{}`: `nats server report jetstream` shows how it is doing", copy.name))
    });
    bad.collect()
}

fn storage(stream: &SeenStream) -> Finding {
    match stream.storage {
        Storage::File => Finding::ok("storage", "the log is on disk"),
        Storage::Memory => Finding::warning("storage", "the log is in the servers' memory")
            .why("when the servers that have it are restarted, all events and state are gone")
            .way_out(
                "set `storage = \"file\"` in [app] and move the stream away: storage cannot be changed in place",
            ),
    }
}

fn sync(sync: &Sync, replicas: usize) -> Finding {
    let servers = match sync {
        Sync::Unseen => {
            return Finding::note(
                "sync",
                "it cannot be seen how soon the servers put on disk what they acknowledge",
            )
            .why("by default that is every two minutes: a power cut loses what was acknowledged since")
            .way_out(
                "look for `sync_interval` in the servers' configuration; or name a monitoring address with \
                     --monitor, or a context of the system account with --system-context",
            );
        }
        Sync::Seen(servers) => servers,
    };
    let lazy = |server: &ServerSync| Some(format!("`{}` every {}", server.name, shown(server.interval?)));
    let lazy: Vec<String> = servers.iter().filter_map(lazy).collect();
    if lazy.is_empty() {
        return Finding::ok("sync", "the servers acknowledge what is on disk");
    }
    let what =
        format!("the servers put on disk what they acknowledged only now and then: {}", lazy.join(", "));
    if replicas > 2 {
        return Finding::note("sync", what)
            .why("a power cut that takes most of the copies at once loses what was acknowledged since")
            .way_out(
                "keep the copies on machines that do not lose power together, or set `sync_interval: always`",
            );
    }
    Finding::warning("sync", what)
        .why("a power cut loses what was acknowledged since: events, effects and marks; a killed server loses nothing")
        .way_out("set `sync_interval: always` in the server's jetstream { } block, or `replicas = 3` in a cluster")
}

fn retention(stream: &SeenStream) -> Finding {
    match stream.retention {
        None => Finding::ok("retention", "events are kept for ever"),
        Some(kept) if kept < SHORT_RETENTION => Finding::warning(
            "retention",
            format!("events are kept for {} only", shown(kept)),
        )
        .why("events that no host has handled by then are gone unhandled: after a night without one, say")
        .way_out("set a longer `retention` in [app]"),
        Some(kept) => Finding::ok("retention", format!("events are kept for {}", shown(kept))),
    }
}

fn duplicate_window(log: &FoundLog) -> Finding {
    let window = shown(log.stream.duplicate_window);
    if log.stream.duplicate_window >= USUAL_WINDOW {
        return Finding::ok("duplicate-window", format!("ids of events are known for {window}"));
    }
    Finding::warning("duplicate-window", format!("ids of events are known for {window} only"))
        .why("a publisher that sends an event again later than that gets it into the log, and handled, twice")
        .way_out(format!("set it to two minutes: `nats stream edit {} --dupe-window 2m`", log.name))
}

/// What the manifest says otherwise than the stream is.
fn differences(manifest: &AppConfig, stream: &SeenStream) -> Vec<Finding> {
    let mut findings = Vec::new();
    let missing: Vec<&str> = manifest
        .events
        .iter()
        .map(waxwing_event::Pattern::as_str)
        .filter(|event| !stream.subjects.iter().any(|subject| subject == event))
        .collect();
    if !missing.is_empty() {
        let what = format!("the log does not keep yet what the manifest names: {}", missing.join(", "));
        findings.push(
            Finding::note("subjects", what)
                .why("what is published there now is lost")
                .way_out("start the app with `waxwing run`, which adds them"),
        );
    }
    let raised = usize::try_from(manifest.replicas).is_ok_and(|asked| asked > stream.replicas);
    if raised || manifest.retention.is_some_and(|asked| Some(asked) != stream.retention) {
        findings.push(
            Finding::note(
                "manifest",
                "the manifest asks for other copies or another retention than the log has",
            )
            .way_out("start the app with `waxwing run`, which sets them"),
        );
    }
    findings
}

fn message_size(manifest: &AppConfig, stream: &SeenStream) -> Finding {
    let most = u64::try_from(stream.max_entry_bytes).unwrap_or(u64::MAX);
    let above = manifest.handlers.iter().filter(|handler| handler.spec.limits.entry_bytes > most);
    let above: Vec<String> = above.map(|handler| format!("`{}`", handler.spec.name)).collect();
    let what = format!("the log takes entries of up to {}", show_bytes(most));
    if above.is_empty() {
        return Finding::ok("message-size", what);
    }
    Finding::warning("message-size", format!("{what}, and `entry-bytes` of {} is more", above.join(", ")))
        .why("what a handler may write according to the manifest is refused by the server, and the event becomes a dead letter")
        .way_out("raise the server's `max_payload` (and the stream's `max_msg_size`), or lower `entry-bytes`")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::{Level, found::tests::found};
    use waxwing_log::jetstream::{Breach, look::SeenCopy};

    /// The level of one check after a change to where all is well.
    fn level(check: &str, change: impl FnOnce(&mut Found, &mut SeenStream)) -> Option<Level> {
        let mut found = found();
        let mut log = found.log.take().unwrap();
        change(&mut found, &mut log.stream);
        let findings = judge(&found, &log);
        findings.iter().filter(|finding| finding.check == check).map(|finding| finding.level).max()
    }

    #[test]
    fn all_is_well_with_three_copies_on_disk() {
        let found = found();
        let findings = judge(&found, found.log.as_ref().unwrap());
        let worst =
            findings.iter().filter(|finding| finding.check != "sync").map(|finding| finding.level).max();
        assert_eq!(worst, Some(Level::Ok), "{findings:?}");
    }

    #[test]
    fn settings_that_a_host_refuses_are_problems_and_those_that_it_sets_are_notes() {
        let breach = Breach { what: "it is sealed".to_owned(), way_out: "make it anew" };
        assert_eq!(level("settings", |_, stream| stream.breaches.push(breach)), Some(Level::Problem));
        assert_eq!(level("settings", |_, stream| stream.lacking.push("allow_atomic")), Some(Level::Note));
        assert_eq!(level("subjects", |_, stream| stream.subjects.clear()), Some(Level::Note));
        assert_eq!(
            level("manifest", |found, _| found.manifest.as_mut().unwrap().replicas = 5),
            Some(Level::Note)
        );
        let asked = Some(Duration::from_secs(86_400));
        assert_eq!(
            level("manifest", |found, _| found.manifest.as_mut().unwrap().retention = asked),
            Some(Level::Note)
        );
        assert_eq!(level("manifest", |_, stream| stream.replicas = 5), None);
    }

    #[test]
    fn fewer_than_three_copies_are_a_warning() {
        for (copies, expected) in [(1, Level::Warning), (2, Level::Warning), (3, Level::Ok), (5, Level::Ok)] {
            assert_eq!(level("replicas", |_, stream| stream.replicas = copies), Some(expected));
        }
        let copy = |is_current, is_offline| SeenCopy { name: "n2".to_owned(), is_current, is_offline };
        for (copy, expected) in [
            (copy(true, false), None),
            (copy(false, false), Some(Level::Warning)),
            (copy(true, true), Some(Level::Warning)),
        ] {
            assert_eq!(level("copies", |_, stream| stream.copies.push(copy)), expected);
        }
    }

    #[test]
    fn memory_is_a_warning_and_asks_for_no_sync() {
        let in_memory = |_: &mut Found, stream: &mut SeenStream| stream.storage = Storage::Memory;
        assert_eq!(level("storage", in_memory), Some(Level::Warning));
        assert_eq!(level("sync", in_memory), None);
    }

    #[test]
    fn lazy_sync_is_a_warning_where_there_is_one_copy() {
        let server = |interval| ServerSync { name: "n".to_owned(), interval };
        let seen = |servers: Vec<ServerSync>, copies| {
            level("sync", |found, stream| {
                (found.sync, stream.replicas) = (Sync::Seen(servers), copies);
            })
        };
        let (lazy, always) = (server(Some(Duration::from_secs(120))), server(None));
        assert_eq!(seen(vec![lazy.clone()], 1), Some(Level::Warning));
        assert_eq!(seen(vec![always.clone()], 1), Some(Level::Ok));
        assert_eq!(seen(vec![always.clone(), lazy], 3), Some(Level::Note));
        assert_eq!(level("sync", |_, _| {}), Some(Level::Note));
    }

    #[test]
    fn less_than_a_day_and_less_than_two_minutes_are_warnings() {
        for (hours, expected) in [(23, Level::Warning), (24, Level::Ok)] {
            let kept = Some(Duration::from_secs(hours * 3600));
            assert_eq!(level("retention", |_, stream| stream.retention = kept), Some(expected));
        }
        for (seconds, expected) in [(119, Level::Warning), (120, Level::Ok)] {
            let window = Duration::from_secs(seconds);
            assert_eq!(
                level("duplicate-window", |_, stream| stream.duplicate_window = window),
                Some(expected)
            );
        }
    }

    #[test]
    fn a_handler_may_not_write_more_than_the_server_takes() {
        for (bytes, expected) in [(1_000_000, Level::Ok), (999_999, Level::Warning)] {
            assert_eq!(level("message-size", |_, stream| stream.max_entry_bytes = bytes), Some(expected));
        }
    }
}
