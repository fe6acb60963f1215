//! The screen: shows what is told and what handlers do, for people or for programs.

use std::time::Duration;

use anyhow::Result;
use jiff::{Timestamp, Zoned, tz::TimeZone};

use super::{
    super::{
        General,
        output::{self, Output, grouped, line, say},
        style::{BAD, DIM, END, GOOD, NAME, TITLE, WARN},
    },
    feed::{End, Happening},
    shown,
    told::{How, Step, Swapped, Told},
};

/// Clears a terminal, and begins at its top.
const CLEAR: &str = "\u{1b}[2J\u{1b}[H";

/// What is shown, and how.
pub(super) struct Screen {
    output: Output,
    /// True where each event is shown with its data and all that came of it.
    details: bool,
    /// The last event that was shown.
    last: Option<Happening>,
}

impl Screen {
    pub(super) fn new(general: &General) -> Screen {
        Screen { output: general.output, details: general.verbose, last: None }
    }

    /// Shows what is told.
    pub(super) fn tell(&self, told: &Told) -> Result<()> {
        if self.output == Output::Json {
            let at = Timestamp::now().to_string();
            let mut value = serde_json::to_value(told)?;
            if let Some(object) = value.as_object_mut() {
                object.insert("at".to_owned(), at.into());
                // The compiler colours what it says for a terminal on standard error.
                if let Some(serde_json::Value::String(text)) = object.get_mut("text") {
                    *text = anstream::adapter::strip_str(text).to_string();
                }
            }
            say!("{value}")?;
            return Ok(());
        }
        let now = time(Timestamp::now());
        match told {
            Told::Log { text, .. } => say!("{text}")?,
            Told::Ready { handlers, missing, .. } => {
                say!("{now} {GOOD}ready{END}: {}", names(handlers))?;
                if !missing.is_empty() {
                    say!("{now} {WARN}not yet{END}: {}", names(missing))?;
                }
            }
            // The first build shows itself.
            Told::Building { files } if files.is_empty() => {}
            Told::Building { files } => say!("{now} {DIM}{} changed: building{END}", listed(files))?,
            Told::Built { time, changed, .. } if changed.is_empty() => {
                say!("{now} {DIM}built in {}: nothing is another{END}", seconds(*time))?;
            }
            // What is another is told when it is live.
            Told::Built { .. } => {}
            Told::Failed { step: Step::Wish, text, .. } => say!("{now} {BAD}failed{END} {}", line(text))?,
            Told::Failed { handler, files, text, .. } => {
                let whose =
                    handler.as_ref().map(|handler| format!("{NAME}{handler}{END}: ")).unwrap_or_default();
                let what = if files.is_empty() { String::new() } else { format!("{}: ", listed(files)) };
                say!("{now} {BAD}failed{END} {what}{whose}{DIM}what ran before goes on{END}")?;
                say!("{}", text.trim_end())?;
            }
            Told::Swapped(swapped) => self.swapped(&now, swapped)?,
            Told::Removed { handler } => {
                say!("{now} {NAME}{handler}{END} is not in the manifest any more: it ends")?
            }
            Told::Restarted => say!("{now} more has changed than handlers: all begin anew")?,
            Told::More { handler, events, failed, mean } => {
                let failed = if *failed == 0 {
                    String::new()
                } else {
                    format!(", {BAD}{} failed{END}", grouped(*failed))
                };
                say!(
                    "{now} {NAME}{handler:<14}{END} {} more{failed}, {DIM}{} each{END}",
                    grouped(*events),
                    millis(*mean)
                )?;
            }
            Told::Handler { handler, text } => say!("{now} {NAME}{handler}{END}: {}", line(text))?,
            Told::Paused { handlers } => {
                say!("{now} {WARN}paused{END}: {}; `p` lets them go on", names(handlers))?
            }
            Told::Resumed { handlers } => say!("{now} {GOOD}resumed{END}: {}", names(handlers))?,
            Told::Published { id, subject, position } => {
                say!("{now} {DIM}published{END} {subject} {DIM}{id} at {position}{END}")?;
            }
            Told::Stopping { why } => say!("{now} {why}: stopping")?,
        }
        Ok(())
    }

    fn swapped(&self, now: &str, swapped: &Swapped) -> Result<()> {
        let Swapped { handler, how, files, build, swap, .. } = swapped;
        let how = match how {
            How::Begun => "begun",
            How::Swapped => "swapped",
            How::BegunAnew => "begun anew",
        };
        let from = if files.is_empty() { String::new() } else { format!(" {}:", listed(files)) };
        let (build, swap) = (seconds(*build), millis(*swap));
        say!(
            "{now} {GOOD}{how}{END} {NAME}{handler}{END}{from} {DIM}built in {build}, live {swap} later{END}"
        )?;
        Ok(())
    }

    /// Shows what became of an event.
    pub(super) fn show(&mut self, happening: Happening) -> Result<()> {
        if self.output == Output::Json {
            say!("{}", shown::object(&happening, self.details))?;
        } else {
            self.show_line(&happening)?;
            if self.details {
                details(&happening)?;
            }
        }
        self.last = Some(happening);
        Ok(())
    }

    fn show_line(&self, happening: &Happening) -> Result<()> {
        let Happening { at, handler, kind, subject, event, end, elapsed, .. } = happening;
        let what = match (subject, event) {
            (Some(subject), Some(event)) if event.event_type != subject.as_str() => {
                format!("{subject} {DIM}{}{END}", line(&event.event_type))
            }
            (Some(subject), _) => subject.to_string(),
            (None, _) => "an entry that is no event".to_owned(),
        };
        let kind = kind.map(|kind| format!("{DIM}{}{END} ", kind.as_str())).unwrap_or_default();
        let key = event.as_ref().and_then(|event| event.key.as_deref());
        let key = key.map(|key| format!(" {TITLE}{}{END}", line(&shown::short(key)))).unwrap_or_default();
        let effects = shown::effects(&happening.wrote);
        let end = match end {
            End::Done if effects.is_empty() => format!("{GOOD}done{END}"),
            End::Done => format!("{GOOD}done{END} {effects}"),
            End::Retry { failure, attempts, due } => {
                let due = due.to_zoned(TimeZone::system()).strftime("%H:%M:%S");
                format!("{WARN}attempt {attempts} failed{END}, next at {due}: {}", shown::first_line(failure))
            }
            End::Behind => format!("{DIM}waits behind another of its key{END}"),
            End::Dead(failure) => format!("{BAD}dead letter{END}: {}", shown::first_line(failure)),
            End::Known => format!("{DIM}answered from the log{END}"),
            End::Refused(why) => format!("{WARN}refused{END}: {}", line(why)),
            End::Failed(failure) => format!("{BAD}failed{END}: {}", shown::first_line(failure)),
        };
        let (at, elapsed) = (time(*at), millis(*elapsed));
        say!("{at} {NAME}{handler:<14}{END} {kind}{what}{key} {DIM}{elapsed}{END} {end}")?;
        Ok(())
    }

    /// Shows more of each event from now on, beginning with the last; or less.
    pub(super) fn toggle_details(&mut self) -> Result<()> {
        self.details = !self.details;
        say!("{DIM}details {}{END}", if self.details { "on" } else { "off" })?;
        match &self.last {
            Some(last) if self.details => {
                self.show_line(last)?;
                details(last)
            }
            _ => Ok(()),
        }
    }

    /// Clears the screen.
    pub(super) fn clear(&self) -> Result<()> {
        Ok(output::write_bytes(CLEAR.as_bytes())?)
    }

    /// Shows the keys.
    pub(super) fn help(&self) -> Result<()> {
        let keys = [
            ("p", "pause, go on"),
            ("r", "publish the last event again"),
            ("e", "publish an event"),
            ("d", "details"),
            ("c", "clear"),
            ("q", "quit"),
            ("?", "help"),
        ];
        let keys: Vec<String> =
            keys.iter().map(|(key, what)| format!("{TITLE}{key}{END} {DIM}{what}{END}")).collect();
        say!("{}", keys.join("  "))?;
        Ok(())
    }
}

fn details(happening: &Happening) -> Result<()> {
    for (name, value) in shown::details(happening) {
        say!("    {DIM}{name:<12}{END} {value}")?;
    }
    Ok(())
}

fn names(handlers: &[waxwing_event::HandlerName]) -> String {
    let names: Vec<String> = handlers.iter().map(|handler| format!("{NAME}{handler}{END}")).collect();
    if names.is_empty() { "no handler".to_owned() } else { names.join(", ") }
}

/// Files in one line: the first of them where they are many.
fn listed(files: &[String]) -> String {
    const MOST: usize = 3;
    let first = files.iter().take(MOST).map(|file| line(file)).collect::<Vec<_>>().join(", ");
    match files.len().saturating_sub(MOST) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

fn time(at: Timestamp) -> String {
    let at: Zoned = at.to_zoned(TimeZone::system());
    format!("{DIM}{}{END}", at.strftime("%H:%M:%S%.3f"))
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

fn millis(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1_000.0)
}
