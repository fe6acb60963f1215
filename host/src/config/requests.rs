//! Checks of the subjects from which requests and live messages come: no log keeps them.

use waxwing_event::Pattern;

use super::{
    app::Draft,
    check::{check_overlaps, why_not_ours},
    forms::Placed,
    handler,
    problem::Problems,
};

/// Adds what does not fit together in one handler.
pub(super) fn check(app: &Draft, handler: &handler::Draft, problems: &mut Problems) {
    let title = &handler.title;
    for (key, patterns) in [("request", &handler.request), ("live", &handler.live_on)] {
        let key = format!("`{key}` in {title}");
        check_overlaps(patterns, &key, problems);
        patterns.iter().for_each(|pattern| check_outside(app, &key, pattern, problems));
    }
    for live in &handler.live_on {
        if let Some(request) = handler.request.iter().find(|request| request.value.overlaps(&live.value)) {
            let (live_pattern, request) = (&live.value, &request.value);
            let text = format!(
                "`live` in {title}: `{live_pattern}` overlaps its own `request`, `{request}`: make them apart"
            );
            problems.error(&live.place, text);
        }
        if let Some(written) = handler.live.iter().find(|written| written.value.overlaps(&live.value)) {
            let text = format!(
                "handler `{}` may publish to `{}` and hears `{}`: make sure that it comes to an end",
                handler.shown_name(),
                written.value,
                live.value
            );
            problems.warn(&written.place, text);
        }
    }
    if let (Some(stream), true) = (&handler.stream, handler.on.is_empty()) {
        let text =
            format!("`stream` in {title} is of no use without `on`: name what is read of `{}`", stream.value);
        problems.error(&stream.place, text);
    }
}

/// A log that keeps such a subject would have its messages handled as events, too, and would answer requests
/// with its acknowledgement.
fn check_outside(app: &Draft, key: &str, pattern: &Placed<Pattern>, problems: &mut Problems) {
    let subject = &pattern.value;
    if let Some(why) = why_not_ours(subject) {
        problems.error(&pattern.place, format!("{key}: `{subject}` {why}"));
    } else if let Some(kept) = app.events.iter().find(|event| event.value.overlaps(subject)) {
        let text = format!(
            "{key}: `{subject}` overlaps `{}` of `events` in [app], which the log keeps and answers itself: name \
             subjects outside the log, such as `cmd.>`",
            kept.value
        );
        problems.error(&pattern.place, text);
    }
}

/// A request has one answer.
pub(super) fn check_one_answer(handlers: &[handler::Draft], problems: &mut Problems) {
    for (i, later) in handlers.iter().enumerate() {
        for pattern in &later.request {
            let other = handlers.iter().take(i).find_map(|earlier| {
                let found = earlier.request.iter().find(|other| other.value.overlaps(&pattern.value));
                found.map(|found| (earlier, found))
            });
            let Some((earlier, found)) = other else { continue };
            let text = format!(
                "`request` in {}: `{}` overlaps `{}` of handler `{}`, and both would answer: make them apart",
                later.title,
                pattern.value,
                found.value,
                earlier.shown_name()
            );
            problems.error(&pattern.place, text);
        }
    }
}
