//! The words of a Rust panic, found at the end of standard error.

/// Finds the last panic in what a guest wrote: `panicked at src/lib.rs:10:5: message`.
///
/// The standard library writes `thread '<unnamed>' (1) panicked at src/lib.rs:10:5:`, the message on the lines
/// after it, and a note about backtraces.
pub(crate) fn find(text: &str) -> Option<String> {
    let at = text.rfind("panicked at ")?;
    let (place, rest) = text.get(at..)?.split_once('\n')?;
    let message = rest.split("\nnote: ").next().unwrap_or(rest);
    let message = message.strip_prefix("note: ").map_or(message, |_| "").trim();
    let place = place.trim_end().trim_end_matches(':');
    Some(if message.is_empty() { place.to_owned() } else { format!("{place}: {message}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_place_and_message() {
        let text = "hello\n\nthread '<unnamed>' (1) panicked at src/lib.rs:10:5:\nno such basket\n\
                    note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n";
        assert_eq!(find(text).as_deref(), Some("panicked at src/lib.rs:10:5: no such basket"));
    }

    #[test]
    fn keeps_messages_of_several_lines_and_takes_the_last_panic() {
        let text =
            "thread 'a' panicked at a.rs:1:1:\nfirst\nthread 'a' panicked at b.rs:2:2:\nleft: 1\nright: 2\n";
        assert_eq!(find(text).as_deref(), Some("panicked at b.rs:2:2: left: 1\nright: 2"));
    }

    #[test]
    fn says_nothing_of_other_text() {
        assert_eq!(find("memory allocation of 10 bytes failed\n"), None);
        assert_eq!(find("panicked at"), None);
    }
}
