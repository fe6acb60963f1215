//! Keys: what a person asks for while it runs. Where standard input is no terminal, its lines are events to publish.

use std::{
    io::{self, BufRead, IsTerminal, Read, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread::{self, JoinHandle},
};

use anyhow::{Context, Result};
use tokio::sync::mpsc;

/// Wishes that may wait; who types faster waits.
const MAX_WAITING: usize = 64;

/// The byte with which a key begins that is no character.
#[cfg(any(unix, test))]
const ESCAPE: u8 = 0x1b;

/// The most bytes of a line.
const MAX_LINE_BYTES: u64 = 1 << 20;

/// What a person asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wish {
    /// Pauses handlers, or lets them go on.
    Pause,
    /// Publishes the last event again.
    Again,
    /// Publishes the event of a line, `SUBJECT DATA`.
    Publish(String),
    /// Shows more of each event, or less.
    Details,
    /// Clears the screen.
    Clear,
    /// Shows the keys.
    Help,
    /// Ends.
    Quit,
}

/// The keyboard, or what takes its place. It ends when this value goes.
pub(super) struct Keys {
    wishes: mpsc::Receiver<Wish>,
    has_keys: bool,
    ends: Arc<Ends>,
    thread: Option<JoinHandle<()>>,
}

/// How the thread that reads keys comes to its end.
#[derive(Default)]
struct Ends {
    /// True where it is to end.
    stop: AtomicBool,
    /// True where it waits for a line: the terminal is as it was, and nothing interrupts the wait.
    waits_for_line: AtomicBool,
}

impl Keys {
    /// Begins to listen.
    pub(super) fn listen() -> Result<Keys> {
        let (sender, wishes) = mpsc::channel(MAX_WAITING);
        let ends = Arc::new(Ends::default());
        let mut keys = Keys { wishes, has_keys: false, ends: ends.clone(), thread: None };
        let reading = thread::Builder::new().name("keys".to_owned());
        if !io::stdin().is_terminal() {
            // It ends with its input, or with the process.
            reading.spawn(move || read_lines(&sender)).context("standard input cannot be read")?;
            return Ok(keys);
        }
        #[cfg(unix)]
        if let Some(terminal) = super::terminal::Terminal::take() {
            let thread = reading.spawn(move || read_keys(&terminal, &sender, &ends));
            keys.thread = Some(thread.context("keys cannot be read")?);
            keys.has_keys = true;
        }
        Ok(keys)
    }

    /// True where keys are read.
    pub(super) fn has_keys(&self) -> bool {
        self.has_keys
    }

    /// The next wish; never, where nobody can have one.
    pub(super) async fn next(&mut self) -> Wish {
        match self.wishes.recv().await {
            Some(wish) => wish,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.ends.stop.store(true, SeqCst);
        // Full, it would wait for a place.
        self.wishes.close();
        if let Some(thread) = self.thread.take().filter(|_| !self.ends.waits_for_line.load(SeqCst)) {
            // With it the terminal is as it was.
            let _ = thread.join();
        }
    }
}

fn read_lines(sender: &mpsc::Sender<Wish>) {
    let mut input = io::stdin().lock();
    loop {
        let mut line = String::new();
        match Read::take(&mut input, MAX_LINE_BYTES).read_line(&mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) if line.trim().is_empty() => {}
            Ok(_) if sender.blocking_send(Wish::Publish(line.trim().to_owned())).is_err() => return,
            Ok(_) => {}
        }
    }
}

#[cfg(unix)]
fn read_keys(terminal: &super::terminal::Terminal, sender: &mpsc::Sender<Wish>, ends: &Ends) {
    use std::time::Duration;

    let mut input = io::stdin();
    while !ends.stop.load(SeqCst) {
        let mut bytes = [0; 16];
        // A buffered reader would give at most this much too, as the terminal has no more.
        let count = match input.read(&mut bytes) {
            Ok(0) => {
                // The terminal has waited already, unless it is gone.
                thread::sleep(Duration::from_millis(10));
                continue;
            }
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return,
        };
        let keys = bytes.get(..count).unwrap_or_default();
        for key in characters(keys) {
            let wish = match key {
                b'e' => read_event(terminal, ends).map(Wish::Publish),
                key => wish(key),
            };
            if wish.is_some_and(|wish| sender.blocking_send(wish).is_err()) {
                return;
            }
        }
    }
}

/// What was typed, without arrows and their like: those come as several bytes, the first of which is [`ESCAPE`].
#[cfg(any(unix, test))]
fn characters(bytes: &[u8]) -> Vec<u8> {
    let mut characters = Vec::with_capacity(bytes.len());
    let mut bytes = bytes.iter().copied();
    while let Some(byte) = bytes.next() {
        if byte != ESCAPE {
            characters.push(byte);
            continue;
        }
        match bytes.next() {
            // Numbers, then one that ends it.
            Some(b'[') => drop(bytes.find(|byte| (0x40..=0x7e).contains(byte))),
            Some(b'O') => drop(bytes.next()),
            _ => {}
        }
    }
    characters
}

#[cfg(any(unix, test))]
fn wish(key: u8) -> Option<Wish> {
    Some(match key.to_ascii_lowercase() {
        b'p' => Wish::Pause,
        b'r' => Wish::Again,
        b'd' => Wish::Details,
        b'c' => Wish::Clear,
        b'q' => Wish::Quit,
        b'?' | b'h' => Wish::Help,
        _ => return None,
    })
}

/// Asks for an event; none where nothing was written.
#[cfg(unix)]
fn read_event(terminal: &super::terminal::Terminal, ends: &Ends) -> Option<String> {
    terminal.line_by_line().ok()?;
    ends.waits_for_line.store(true, SeqCst);
    let mut output = anstream::stdout();
    let asked = write!(output, "SUBJECT DATA: ").and_then(|()| output.flush());
    let mut line = String::new();
    let read = asked.and_then(|()| io::stdin().lock().take(MAX_LINE_BYTES).read_line(&mut line));
    ends.waits_for_line.store(false, SeqCst);
    if !ends.stop.load(SeqCst) {
        terminal.key_by_key().ok()?;
    }
    read.ok()?;
    Some(line.trim().to_owned()).filter(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrows_and_their_like_are_no_characters() {
        let typed = |text: &str| String::from_utf8(characters(text.as_bytes())).unwrap();
        assert_eq!(typed("xyz\x1b[Aq"), "xyzq");
        assert_eq!(typed("\x1b[1;5Cp\x1bOPr\x1b[3~\x1bxd\x1b"), "prd");
    }

    #[test]
    fn each_key_has_its_wish() {
        let wishes: Vec<_> = "prdcq?xP".bytes().map(wish).collect();
        use Wish::{Again, Clear, Details, Help, Pause, Quit};
        let meant = [Pause, Again, Details, Clear, Quit, Help].map(Some);
        assert_eq!(wishes, meant.into_iter().chain([None, Some(Pause)]).collect::<Vec<_>>());
    }
}
