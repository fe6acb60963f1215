//! Subjects, patterns and places of keys.

use waxwing_event::{AppName, HandlerName, Pattern, Subject, key::KeySource};

/// Input: two patterns and a subject, a line each.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.split('\n');
    let mut line = || lines.next().unwrap_or_default();
    let (first, second, third) = (line(), line(), line());
    check_names(first);
    let (a, b) = (first.parse::<Pattern>(), second.parse::<Pattern>());
    let subject = third.parse::<Subject>();
    if let Ok(subject) = &subject {
        assert_eq!(subject.as_str(), third);
        assert!(subject.tokens().all(|token| !token.is_empty()));
        let pattern = Pattern::from(subject);
        assert!(pattern.matches(third) && third.parse().as_ref() == Ok(&pattern));
    }
    if let (Ok(a), Ok(b)) = (a, b) {
        check_pair(&a, &b, subject.as_ref().ok());
        check_pair(&b, &a, subject.as_ref().ok());
    }
}

fn check_names(text: &str) {
    if let Ok(name) = text.parse::<HandlerName>() {
        assert_eq!(name.as_str(), text);
        assert!(text.parse::<AppName>().is_ok());
        assert!(format!("wx.{text}.state").parse::<Subject>().is_ok(), "a name is a token");
    }
    if let Ok(source) = text.parse::<KeySource>() {
        assert_eq!(source.to_string().parse(), Ok(source));
    }
}

fn check_pair(a: &Pattern, b: &Pattern, subject: Option<&Subject>) {
    assert!(a.covers(a) && a.overlaps(a));
    assert_eq!(a.overlaps(b), b.overlaps(a));
    assert!(!a.covers(b) || a.overlaps(b), "{a} covers {b}");
    assert!(!(a.covers(b) && b.covers(a)) || a == b, "{a} and {b} cover each other");
    let Some(subject) = subject.map(Subject::as_str) else { return };
    if a.matches(subject) && b.matches(subject) {
        assert!(a.overlaps(b), "{a} and {b} match {subject}");
    }
    if a.covers(b) && b.matches(subject) {
        assert!(a.matches(subject), "{a} covers {b}, which matches {subject}");
    }
}
