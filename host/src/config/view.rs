//! `publish` in `[handlers.NAME]`: as what a handler's state is shown to others.

use waxwing_event::handler::View;

use super::{
    document::{Kind, Value},
    forms,
    problem::Problems,
    section::Section,
};

/// As what the state is shown; none: not at all. Subjects here were meant for the grants.
pub(super) fn read(section: &Section<'_>, problems: &mut Problems) -> Option<View> {
    let written = section.value("publish")?;
    if names_subjects(written) {
        let title = section.title();
        let grants = title.trim_end_matches(']');
        let text = format!(
            "`publish` in {title} names subjects: write them as `publish` in {grants}.grants]; here \"kv\" shows the \
             handler's state in a bucket"
        );
        problems.error(&written.place, text);
        return None;
    }
    section.read("publish", |value| forms::choice(value, &[("kv", View::Kv)]), problems)
}

fn names_subjects(value: &Value) -> bool {
    match &value.kind {
        Kind::List(_) => true,
        Kind::Text(text) => text.contains(['.', '*', '>']),
        _ => false,
    }
}
