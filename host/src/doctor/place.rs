//! Judges where a handler stands: whether its checkpoint fits what it reads, and how far it lags behind the
//! retention.

use std::time::Duration;

use jiff::Timestamp;
use waxwing_engine::entry::Checkpoint;
use waxwing_event::{HandlerName, Position, StreamName};
use waxwing_log::jetstream::look::SeenElsewhere;

use super::{
    age::shown,
    finding::Finding,
    found::{FoundHandler, FoundLog, Inputs, Open, Owner, Saved},
};

/// Judges where one handler stands.
pub fn judge(log: &FoundLog, handler: &FoundHandler) -> Vec<Finding> {
    let mut findings = vec![checkpoint(log, handler)];
    if handler.is_named {
        findings.push(lag(log, handler));
    }
    if let Inputs::Stream { name, found } = &handler.inputs {
        findings.push(stream(&handler.name, name, found.as_ref()));
    }
    findings
}

/// A stream that the app does not own.
fn stream(handler: &HandlerName, name: &StreamName, found: Option<&SeenElsewhere>) -> Finding {
    match found {
        None => Finding::problem(
            "stream",
            format!("handler `{handler}` reads the stream `{name}`, which is not there"),
        )
        .why("it waits until there is one")
        .way_out(format!("make it with `nats stream add {name}`, or correct `stream` in the manifest")),
        Some(found) if !found.keeps_what_was_read => {
            Finding::problem("stream", format!("the stream `{name}` drops entries once they are read"))
                .why(format!(
                    "handler `{handler}` could not read them again after a crash, so a host refuses it"
                ))
                .way_out("read a stream that sources it instead")
        }
        Some(_) => Finding::ok("stream", format!("handler `{handler}` reads the stream `{name}`")),
    }
}

fn checkpoint(log: &FoundLog, handler: &FoundHandler) -> Finding {
    let name = &handler.name;
    match &handler.saved {
        Saved::Never => {
            Finding::ok("checkpoint", format!("handler `{name}` has not saved where it stands yet"))
        }
        Saved::Unreadable(why) => {
            Finding::problem("checkpoint", format!("the checkpoint of handler `{name}`: {why}"))
                .why("a host stops the handler rather than guess what it has handled")
                .way_out("restore that entry, or delete it to handle the whole log anew")
        }
        Saved::At { checkpoint, position, .. } => match &handler.inputs {
            _ if reads(&handler.inputs) != checkpoint.origin.as_ref().map(|origin| &origin.stream) => {
                elsewhere(name, checkpoint, &handler.inputs)
            }
            Inputs::Log => of_log(log, handler, checkpoint, *position),
            Inputs::Stream { name: stream, found } => of_stream(name, stream, found.as_ref(), checkpoint),
        },
    }
}

fn reads(inputs: &Inputs) -> Option<&StreamName> {
    match inputs {
        Inputs::Log => None,
        Inputs::Stream { name, .. } => Some(name),
    }
}

const ANOTHER_NAME: &str = "give the handler another name, under which it begins anew";

fn elsewhere(name: &HandlerName, saved: &Checkpoint, inputs: &Inputs) -> Finding {
    let shown = |stream: Option<&StreamName>| {
        stream.map_or_else(|| "the app's log".to_owned(), |stream| format!("the stream `{stream}`"))
    };
    let before = shown(saved.origin.as_ref().map(|origin| &origin.stream));
    let now = shown(reads(inputs));
    Finding::problem(
        "checkpoint",
        format!("handler `{name}` has read {before} until now, and is to read {now}"),
    )
    .why("other events have the same positions there: a host stops the handler, which would else skip events")
    .way_out(ANOTHER_NAME)
}

fn of_log(log: &FoundLog, handler: &FoundHandler, saved: &Checkpoint, position: Position) -> Finding {
    let (name, last) = (&handler.name, log.stream.last);
    let (watermark, told) = (saved.watermark, saved.reaches());
    let anew = || {
        format!(
            "restore the newer copy; or give up what this one lacks and delete the checkpoint, to handle the log from \
             its beginning: `nats stream purge {} --subject '{}'`",
            log.name, handler.checkpoint
        )
    };
    if watermark > last {
        let what =
            format!("the log ends at {last}, but the checkpoint of handler `{name}` stands at {watermark}");
        Finding::problem("checkpoint", what)
            .why("the log was restored from an older copy or replaced: a host stops the handler, which would else skip events")
            .way_out(anew())
    } else if told >= position {
        let what =
            format!("the checkpoint of handler `{name}` at {position} tells of {told}, which came after it");
        Finding::problem("checkpoint", what)
            .why("the log was replaced by one with other positions: a host stops the handler, which would else skip events")
            .way_out(anew())
    } else {
        Finding::ok("checkpoint", format!("handler `{name}` has handled everything up to {watermark}"))
    }
}

fn of_stream(
    name: &HandlerName,
    stream: &StreamName,
    found: Option<&SeenElsewhere>,
    saved: &Checkpoint,
) -> Finding {
    let watermark = saved.watermark;
    let well = || {
        Finding::ok(
            "checkpoint",
            format!("handler `{name}` has handled everything up to {watermark} of `{stream}`"),
        )
    };
    let Some(found) = found else { return well() };
    if saved.origin.as_ref().is_some_and(|origin| origin.made != found.made) {
        let what = format!(
            "the stream `{stream}` that handler `{name}` read up to {watermark} was made anew at {:.0}",
            found.made
        );
        Finding::problem("checkpoint", what)
            .why("other events have the same positions in it: a host stops the handler, which would else skip events")
            .way_out(format!("restore the former stream, or {ANOTHER_NAME}"))
    } else if watermark > found.last {
        let what = format!(
            "the stream `{stream}` ends at {}, but handler `{name}` has read up to {watermark}",
            found.last
        );
        Finding::problem("checkpoint", what)
            .why("it was restored from an older copy: a host stops the handler, which would else skip events")
            .way_out(format!("restore a newer copy, or {ANOTHER_NAME}"))
    } else {
        well()
    }
}

/// How far behind it is, against how long what it has not handled is kept.
fn lag(log: &FoundLog, handler: &FoundHandler) -> Finding {
    let name = &handler.name;
    let Some(Open { position, time }) = handler.oldest_open else {
        return Finding::ok("lag", format!("handler `{name}` has handled everything"));
    };
    let age = since(log.now, time);
    let what = format!("handler `{name}` has not handled the entry at {position}, {} old", shown(age));
    let (retention, longer) = match &handler.inputs {
        Inputs::Log => (log.stream.retention, "set a longer `retention` in [app]".to_owned()),
        Inputs::Stream { name, found } => (
            found.as_ref().and_then(|found| found.retention),
            format!("set a longer `max-age` of the stream `{name}`"),
        ),
    };
    let Some(kept) = retention else { return Finding::ok("lag", what) };
    if let Some(still) = stood_still(log, handler).filter(|still| *still > kept) {
        let (still, kept) = (shown(still), shown(kept));
        let what = format!("handler `{name}` has stood still for {still}, and events are kept for {kept}");
        return Finding::problem("lag", what)
            .why("events that came meanwhile and are older than that are gone, and it has not handled them")
            .way_out(format!("start a host at once, {longer}, and publish anew what is gone"));
    }
    let (what_and_kept, well) =
        (format!("{what}; events are kept for {}", shown(kept)), Finding::ok("lag", what));
    let finding = if age * 10 >= kept * 9 {
        Finding::problem("lag", what_and_kept)
    } else if age * 2 >= kept {
        Finding::warning("lag", what_and_kept)
    } else {
        return well;
    };
    finding
        .why("what reaches that age is removed, handled or not")
        .way_out(format!("{longer} first of all; then see why it lags: `waxwing ls`, and what its host logs"))
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

#[cfg(test)]
mod tests {
    use waxwing_engine::entry::Origin;

    use super::*;
    use crate::doctor::{
        Level,
        found::tests::{found, now},
    };

    /// The level of one check after a change to where all is well.
    fn level(check: &str, change: impl FnOnce(&mut FoundLog, &mut FoundHandler)) -> Option<Level> {
        let mut log = found().log.unwrap();
        let mut handler = log.handlers.remove(0);
        change(&mut log, &mut handler);
        let findings = judge(&log, &handler);
        findings.iter().filter(|finding| finding.check == check).map(|finding| finding.level).max()
    }

    fn ago(seconds: u64) -> Timestamp {
        now().checked_sub(Duration::from_secs(seconds)).unwrap()
    }

    fn at(watermark: u64, seconds_ago: u64, origin: Option<Origin>) -> Saved {
        let checkpoint = Checkpoint { watermark: Position(watermark), origin, ..Checkpoint::default() };
        Saved::At { checkpoint, position: Position(95), time: ago(seconds_ago) }
    }

    fn stream(last: u64) -> Inputs {
        let found =
            SeenElsewhere { made: ago(9), last: Position(last), retention: None, keeps_what_was_read: true };
        Inputs::Stream { name: "ORDERS".parse().unwrap(), found: Some(found) }
    }

    fn origin(made_seconds_ago: u64) -> Option<Origin> {
        Some(Origin { stream: "ORDERS".parse().unwrap(), made: ago(made_seconds_ago) })
    }

    #[test]
    fn all_is_well_where_everything_is_handled() {
        let log = found().log.unwrap();
        let findings = judge(&log, &log.handlers[0]);
        assert!(findings.iter().all(|finding| finding.level == Level::Ok), "{findings:?}");
    }

    #[test]
    fn a_checkpoint_tells_of_what_was_before_it() {
        for (watermark, expected) in [(94, Level::Ok), (95, Level::Problem), (101, Level::Problem)] {
            assert_eq!(
                level("checkpoint", |_, handler| handler.saved = at(watermark, 0, None)),
                Some(expected)
            );
        }
        let unreadable = Saved::Unreadable("it cannot be read".to_owned());
        assert_eq!(level("checkpoint", |_, handler| handler.saved = unreadable), Some(Level::Problem));
    }

    #[test]
    fn a_checkpoint_of_another_stream_speaks_of_that_streams_positions() {
        let judged = |watermark, origin: Option<Origin>, last| {
            level("checkpoint", |_, handler| {
                (handler.saved, handler.inputs) = (at(watermark, 0, origin), stream(last));
            })
        };
        assert_eq!(judged(900, origin(9), 900), Some(Level::Ok));
        assert_eq!(judged(901, origin(9), 900), Some(Level::Problem));
        assert_eq!(judged(7, origin(8), 900), Some(Level::Problem));
        assert_eq!(judged(7, None, 900), Some(Level::Problem));
        assert_eq!(
            level("checkpoint", |_, handler| handler.saved = at(7, 0, origin(9))),
            Some(Level::Problem)
        );
    }

    #[test]
    fn another_stream_must_be_there_and_keep_what_was_read() {
        let judged = |change: fn(&mut Option<SeenElsewhere>)| {
            level("stream", |_, handler| {
                handler.inputs = stream(900);
                if let Inputs::Stream { found, .. } = &mut handler.inputs {
                    change(found);
                }
            })
        };
        assert_eq!(judged(|_| {}), Some(Level::Ok));
        assert_eq!(judged(|found| *found = None), Some(Level::Problem));
        assert_eq!(judged(|found| found.as_mut().unwrap().keeps_what_was_read = false), Some(Level::Problem));
        assert_eq!(level("stream", |_, _| {}), None);
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
        assert_eq!(level("lag", |_, handler| handler.is_named = false), None);
    }

    #[test]
    fn standing_still_for_longer_than_the_retention_is_a_problem() {
        let judged = |still, owner: Owner| {
            level("lag", |log, handler| {
                log.stream.retention = Some(Duration::from_secs(1_000));
                handler.oldest_open = Some(Open { position: Position(99), time: ago(1) });
                (handler.saved, handler.owner) = (at(90, still, None), owner);
            })
        };
        assert_eq!(judged(1_001, Owner::Nobody), Some(Level::Problem));
        assert_eq!(judged(1_000, Owner::Nobody), Some(Level::Ok));
        assert_eq!(judged(1_001, Owner::Lives("host-1".into())), Some(Level::Ok));
    }
}
