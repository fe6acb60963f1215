//! Subjects to which the server does not let us publish. It reports that beside the message's own way, with
//! nothing but the subject's name.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use tokio::time::Instant;

/// How the server words it; the subject follows, in quotation marks.
const WORDS: &str = "permissions violation for publish to ";

/// Reports that are remembered.
const REMEMBERED: usize = 64;

/// The last reports.
#[derive(Debug, Default)]
pub(super) struct Denied {
    recent: Mutex<VecDeque<(String, Instant)>>,
}

impl Denied {
    /// Takes note of an error of the server, if it is one of these.
    pub(super) fn note(&self, error: &str) {
        let Some(subject) = subject(error) else { return };
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.retain(|(known, _)| known != subject);
        if recent.len() >= REMEMBERED {
            recent.pop_front();
        }
        recent.push_back((subject.to_owned(), Instant::now()));
    }

    /// True where publishing to the subject was denied at or after `since`.
    pub(super) fn since(&self, subject: &str, since: Instant) -> bool {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.iter().any(|(known, at)| known == subject && *at >= since)
    }
}

fn subject(error: &str) -> Option<&str> {
    let start = error.to_ascii_lowercase().find(WORDS)? + WORDS.len();
    let rest = error.get(start..)?.strip_prefix('"')?;
    rest.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_subject_in_the_servers_words() {
        assert_eq!(subject(r#"Permissions Violation for Publish to "Audit.a""#), Some("Audit.a"));
        assert_eq!(subject(r#"nats: permissions violation for publish to "a" using b"#), Some("a"));
        for other in
            ["", "Permissions Violation for Publish to a", r#"Permissions Violation for Subscription to "a""#]
        {
            assert_eq!(subject(other), None, "{other}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn remembers_the_last_time_of_the_last_subjects() {
        let denied = Denied::default();
        let deny =
            |subject: &str| denied.note(&format!("Permissions Violation for Publish to \"{subject}\""));
        let start = Instant::now();
        deny("a");
        assert!(denied.since("a", start) && !denied.since("b", start));
        tokio::time::advance(std::time::Duration::from_secs(1)).await;
        let later = Instant::now();
        assert!(!denied.since("a", later));
        deny("a");
        assert!(denied.since("a", later));
        (0..REMEMBERED).for_each(|n| deny(&n.to_string()));
        assert!(!denied.since("a", start));
    }
}
