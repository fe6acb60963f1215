//! What is shown of an event: in short, in detail, and as an object.

use serde_json::{Value, json};
use waxwing_engine::port::observe::Wrote;
use waxwing_event::Failure;

use super::{
    super::output::{data, line, lines},
    feed::{End, Happening},
};

/// The most characters of a name on a line.
const NAME_CHARS: usize = 60;

/// The most emitted events and keys on a line.
const ON_A_LINE: usize = 6;

/// The most characters of data that are shown.
const DATA_CHARS: usize = 2_000;

/// What a run has done, on a line.
pub(super) fn effects(wrote: &Wrote) -> String {
    let emitted = wrote.emits.iter().map(|emit| format!("→ {}", emit.subject));
    let state = wrote.state.iter().map(|(key, value)| match value {
        Some(_) => format!("= {}", short(key)),
        None => format!("× {}", short(key)),
    });
    let timers = wrote.timers.iter().map(|(id, due)| match due {
        Some(_) => format!("⏲ {}", short(id)),
        None => format!("⏲ {} off", short(id)),
    });
    let all: Vec<String> = emitted.chain(state).chain(timers).map(|effect| line(&effect)).collect();
    let more = all.len().saturating_sub(ON_A_LINE);
    let first = all.into_iter().take(ON_A_LINE).collect::<Vec<_>>().join(" ");
    if more == 0 { first } else { format!("{first} and {more} more") }
}

/// A name that may be long.
pub(super) fn short(text: &str) -> String {
    cut(text, NAME_CHARS)
}

fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// A failure on a line.
pub(super) fn first_line(failure: &Failure) -> String {
    let reason = failure.reason.lines().next().unwrap_or_default();
    line(&format!("{}: {reason}", failure.kind))
}

/// An event in detail: names and values.
pub(super) fn details(happening: &Happening) -> Vec<(&'static str, String)> {
    let mut details = Vec::new();
    if let Some(position) = happening.position {
        details.push(("position", position.to_string()));
    }
    if let Some(event) = &happening.event {
        details.push(("id", line(&event.id)));
        details.push(("source", line(&event.source)));
        if let Some(cause) = &event.causation_id {
            details.push(("caused by", line(cause)));
        }
        if event.attempt > 1 {
            details.push(("attempt", event.attempt.to_string()));
        }
        details.push(("data", readable(&event.data)));
    }
    for emit in &happening.wrote.emits {
        details.push(("emitted", format!("{} {}", emit.subject, readable(&emit.data))));
    }
    for (key, value) in &happening.wrote.state {
        let value = value.as_ref().map_or_else(|| "deleted".to_owned(), |value| readable(value));
        details.push(("state", format!("{} {value}", line(key))));
    }
    for (id, due) in &happening.wrote.timers {
        let due = due.map_or_else(|| "cancelled".to_owned(), |due| format!("due {due}"));
        details.push(("timer", format!("{} {due}", line(id))));
    }
    if let Some(failure) = failure(&happening.end) {
        details.push(("failure", lines(&failure.reason)));
        details.extend(failure.backtrace.as_ref().map(|trace| ("backtrace", lines(trace))));
    }
    details
}

fn readable(bytes: &[u8]) -> String {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => data(bytes).to_string(),
    };
    line(&cut(&text, DATA_CHARS))
}

fn failure(end: &End) -> Option<&Failure> {
    match end {
        End::Retry { failure, .. } | End::Dead(failure) | End::Failed(failure) => Some(failure),
        End::Done | End::Behind | End::Known | End::Refused(_) => None,
    }
}

/// An event as an object on a line.
pub(super) fn object(happening: &Happening, in_detail: bool) -> Value {
    let Happening { at, handler, kind, subject, event, position, end, elapsed, wrote } = happening;
    let event = event.as_ref();
    let mut object = json!({
        "what": "event",
        "at": at,
        "handler": handler,
        "kind": kind.map_or("event", |kind| kind.as_str()),
        "subject": subject,
        "type": event.map(|event| &event.event_type),
        "id": event.map(|event| &event.id),
        "key": event.and_then(|event| event.key.as_ref()),
        "position": position.map(|position| position.0),
        "outcome": outcome(end),
        "elapsedMs": (elapsed.as_secs_f64() * 1e6).round() / 1e3,
        "emitted": wrote.emits.iter().map(|emit| emit.subject.as_str()).collect::<Vec<_>>(),
        "set": wrote.state.iter().filter(|(_, value)| value.is_some()).map(|(key, _)| key).collect::<Vec<_>>(),
        "deleted": wrote.state.iter().filter(|(_, value)| value.is_none()).map(|(key, _)| key).collect::<Vec<_>>(),
        "timers": wrote.timers.iter().map(|(id, _)| id).collect::<Vec<_>>(),
    });
    let mut add = |name: &str, value: Value| {
        if let Some(object) = object.as_object_mut() {
            object.insert(name.to_owned(), value);
        }
    };
    if let Some(failure) = failure(end) {
        add(
            "failure",
            json!({ "kind": failure.kind, "reason": failure.reason, "backtrace": failure.backtrace }),
        );
    }
    match end {
        End::Retry { attempts, due, .. } => {
            add("attempts", (*attempts).into());
            add("due", json!(due));
        }
        End::Refused(why) => add("reason", why.as_str().into()),
        End::Done | End::Behind | End::Dead(_) | End::Known | End::Failed(_) => {}
    }
    if in_detail {
        add("data", event.map_or(Value::Null, |event| data(&event.data)));
        let emits =
            wrote.emits.iter().map(|emit| json!({ "subject": emit.subject, "data": data(&emit.data) }));
        add("emits", emits.collect());
        let value = |value: &Option<bytes::Bytes>| value.as_ref().map_or(Value::Null, |value| data(value));
        let state = wrote.state.iter().map(|(key, written)| json!({ "key": key, "value": value(written) }));
        add("state", state.collect());
    }
    object
}

fn outcome(end: &End) -> &'static str {
    match end {
        End::Done => "done",
        End::Retry { .. } => "retry",
        End::Behind => "waits",
        End::Dead(_) => "dead",
        End::Known => "known",
        End::Refused(_) => "refused",
        End::Failed(_) => "failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_effects_are_summed_up() {
        let state = (0..9).map(|n| (format!("k{n}"), None)).collect();
        let wrote = Wrote { state, ..Wrote::default() };
        assert_eq!(effects(&wrote), "× k0 × k1 × k2 × k3 × k4 × k5 and 3 more");
        assert_eq!(effects(&Wrote::default()), "");
    }

    #[test]
    fn what_is_long_is_cut_between_characters() {
        assert_eq!(cut("äöü", 2), "äö…");
        assert_eq!(cut("äöü", 3), "äöü");
    }
}
