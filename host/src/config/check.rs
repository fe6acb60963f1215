//! Checks that compare parts of the manifest with each other.

use waxwing_event::Pattern;

use super::{app::Draft, forms::Placed, handler, outside, problem::Problems, requests};

/// Adds what does not fit together.
pub(super) fn check(app: &Draft, problems: &mut Problems) {
    let mut own = Vec::new();
    for pattern in &app.events {
        match why_not_ours(&pattern.value) {
            None => own.push(pattern.clone()),
            Some(why) => {
                problems.error(&pattern.place, format!("`events` in [app]: `{}` {why}", pattern.value));
            }
        }
    }
    check_overlaps(&own, "`events` in [app]", problems);
    for handler in &app.handlers {
        check_overlaps(&handler.on, &format!("`on` in {}", handler.title), problems);
        check_within(app, handler, problems);
        check_loop(handler, problems);
        outside::check(app, handler, problems);
        requests::check(app, handler, problems);
    }
    requests::check_one_answer(&app.handlers, problems);
}

/// The log's subjects must leave alone what belongs to the host and to the server.
pub(super) fn why_not_ours(pattern: &Pattern) -> Option<&'static str> {
    match pattern.as_str().split('.').next().unwrap_or_default() {
        ">" | "*" => {
            Some("takes in subjects of the host and of the server: begin with a name, such as `orders.>`")
        }
        "wx" => Some("belongs to the host: choose another first word than `wx`"),
        "wxr" => Some("belongs to the host: choose another first word than `wxr`"),
        "_INBOX" => Some("belongs to requests and their replies: choose another first word than `_INBOX`"),
        first if first.starts_with('$') => Some("belongs to the server: choose a first word without `$`"),
        _ => None,
    }
}

/// The server takes no patterns that overlap, neither in a stream nor in a reader.
pub(super) fn check_overlaps(patterns: &[Placed<Pattern>], what: &str, problems: &mut Problems) {
    for (i, later) in patterns.iter().enumerate() {
        let Some(earlier) = patterns.iter().take(i).find(|earlier| earlier.value.overlaps(&later.value))
        else {
            continue;
        };
        let text = if earlier.value == later.value {
            format!("{what} has `{later}` twice: remove one", later = later.value)
        } else {
            format!(
                "{what}: `{}` overlaps `{}`: keep the wider one, or make them apart",
                later.value, earlier.value
            )
        };
        problems.error(&later.place, text);
    }
}

fn check_within(app: &Draft, handler: &handler::Draft, problems: &mut Problems) {
    if app.events.is_empty() {
        return;
    }
    let kept = |pattern: &Pattern| app.events.iter().any(|event| event.value.covers(pattern));
    // What another stream keeps is its owner's affair.
    let on = handler.on.iter().filter(|_| handler.stream.is_none());
    for on in on.filter(|on| !kept(&on.value)) {
        let what = format!("`on` in {}: `{}` is not kept by the log", handler.title, on.value);
        problems.error(&on.place, format!("{what}: {}", way_in(&on.value)));
    }
    for aggregate in handler.aggregate.iter().filter(|aggregate| !kept(&aggregate.value)) {
        let what = format!("`aggregate` in {}: `{}` is not kept by the log", handler.title, aggregate.value);
        problems.error(&aggregate.place, format!("{what}: {}", way_in(&aggregate.value)));
    }
    for emit in handler.emit.iter().filter(|emit| !kept(&emit.value)) {
        let what = format!("`emit` in {}: `{}` is not kept by the log", grants(handler), emit.value);
        let ways_out =
            "or grant it with `publish` where another stream keeps it, with `live` where none does";
        problems.error(&emit.place, format!("{what}: {}, {ways_out}", way_in(&emit.value)));
    }
}

/// What to do about a subject that the log does not keep.
fn way_in(pattern: &Pattern) -> String {
    match why_not_ours(pattern) {
        None => format!("add `{pattern}` to `events` in [app]"),
        Some(_) => "write subjects that lie within `events` in [app]".to_owned(),
    }
}

/// A handler that hears itself may be meant, but is more often a slip.
fn check_loop(handler: &handler::Draft, problems: &mut Problems) {
    // What a handler reads from a stream, it can only reach by `publish`.
    let written = if handler.stream.is_some() { &handler.publish } else { &handler.emit };
    for emit in written.iter().chain(&handler.aggregate) {
        if let Some(on) = handler.on.iter().find(|on| on.value.overlaps(&emit.value)) {
            let text = format!(
                "handler `{}` may emit `{}` and is called by `{}`: make sure that it comes to an end",
                handler.shown_name(),
                emit.value,
                on.value
            );
            problems.warn(&emit.place, text);
        }
    }
}

pub(super) fn grants(handler: &handler::Draft) -> String {
    format!("{}.grants]", handler.title.trim_end_matches(']'))
}
