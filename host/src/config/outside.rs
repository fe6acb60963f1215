//! Checks what crosses the border of the app's log: streams that are read, subjects that are published to.

use waxwing_event::Pattern;

use super::{
    app::Draft,
    check::{check_overlaps, grants, why_not_ours},
    forms::Placed,
    handler,
    problem::Problems,
};

/// Adds what does not fit together.
pub(super) fn check(app: &Draft, handler: &handler::Draft, problems: &mut Problems) {
    check_stream(app, handler, problems);
    let kept = "grant with `emit` what the log keeps";
    // The log would keep a question as an event, past every fence, and its server answer in place of a responder.
    let asked = "nobody answers there";
    for (key, patterns, instead) in [
        ("publish", &handler.publish, kept),
        ("live", &handler.live, kept),
        ("request", &handler.asked, asked),
    ] {
        let what = format!("`{key}` in {}", grants(handler));
        check_overlaps(patterns, &what, problems);
        for pattern in patterns {
            check_outside(app, pattern, &what, instead, problems);
        }
    }
    for live in &handler.live {
        if let Some(publish) = handler.publish.iter().find(|publish| publish.value.overlaps(&live.value)) {
            let what = format!("`live` in {}: `{}` overlaps", grants(handler), live.value);
            let text = format!("{what} `{}` in `publish`: a stream keeps it, or none does", publish.value);
            problems.error(&live.place, text);
        }
    }
}

fn check_stream(app: &Draft, handler: &handler::Draft, problems: &mut Problems) {
    let Some(stream) = &handler.stream else { return };
    let name = stream.value.as_str();
    if app.name.as_ref().is_some_and(|app| name.strip_prefix("wx-") == Some(app.as_str())) {
        let text =
            format!("`stream` in {}: `{name}` is the app's own log: leave `stream` out", handler.title);
        problems.error(&stream.place, text);
    }
    for on in handler.on.iter().filter(|on| takes_in_the_hosts_own(name, &on.value)) {
        let what = format!("`on` in {}: `{}`", handler.title, on.value);
        let text =
            format!("{what} takes in what a host remembers: name subjects of events, such as `orders.>`");
        problems.error(&on.place, text);
    }
}

/// The log of another app keeps, beside its events, what its host remembers.
fn takes_in_the_hosts_own(stream: &str, on: &Pattern) -> bool {
    match on.as_str().split('.').next().unwrap_or_default() {
        "wx" => true,
        ">" | "*" => stream.starts_with("wx-"),
        _ => false,
    }
}

/// Refuses what lies within the log; `instead` says why, or what to do.
fn check_outside(app: &Draft, pattern: &Placed<Pattern>, what: &str, instead: &str, problems: &mut Problems) {
    let value = &pattern.value;
    if let Some(why) = why_not_ours(value) {
        problems.error(&pattern.place, format!("{what}: `{value}` {why}"));
    } else if let Some(event) = app.events.iter().find(|event| event.value.overlaps(value)) {
        let kept = format!("{what}: `{value}` lies within the log (`{}` in `events` in [app])", event.value);
        problems.error(&pattern.place, format!("{kept}: {instead}"));
    }
}
