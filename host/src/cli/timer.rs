//! `waxwing timer`: looks at timers that are set.

use std::{process::ExitCode, slice};

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;
use waxwing_engine::{
    entry::{EntryError, Layout, timer, tombstone},
    port::log::Entry,
};
use waxwing_event::{AppName, HandlerName, Position};

use super::{
    General,
    listed::{Listed, MAX_SEARCHED},
    output::{self, Output, say},
    place::Place,
    style::{END, NAME, TITLE},
};

/// Looks at timers that are set
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    waxwing timer ls\n  \
    waxwing timer ls order --output json\n  \
    waxwing timer show order 'payment of 42'")]
pub(super) struct Timers {
    /// The app [default: that of the manifest]
    #[arg(long, global = true, value_name = "NAME")]
    app: Option<AppName>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Lists timers by the time when they are due
    #[command(after_help = "Examples:\n  waxwing timer ls\n  waxwing timer ls order")]
    Ls {
        /// Only those of this handler
        handler: Option<HandlerName>,
        /// The most timers to read
        #[arg(long, value_name = "NUMBER", default_value_t = MAX_SEARCHED)]
        limit: usize,
    },
    /// Shows one timer with the headers and the data of its event
    #[command(after_help = "Examples:\n  waxwing timer show order 'payment of 42'")]
    Show {
        /// The handler
        handler: HandlerName,
        /// The timer's id
        id: String,
    },
}

/// A timer that is set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Timer {
    pub(super) handler: HandlerName,
    pub(super) id: String,
    pub(super) due: Timestamp,
    /// The key under which its event arrives.
    pub(super) key: Option<String>,
    /// When it was set.
    pub(super) set: Timestamp,
    position: Position,
}

impl Timer {
    /// Reads what an entry tells, of which the headers are enough.
    fn read(layout: &Layout, entry: &Entry) -> Result<Timer, EntryError> {
        let timer::About { due, key } = timer::About::read(entry)?;
        let handler = layout.handler_of(&entry.subject);
        let named = handler.and_then(|handler| {
            let id = layout.timer_id(&handler, &entry.subject)?;
            Some((handler, id))
        });
        let (handler, id) = named.ok_or_else(|| EntryError::new(entry, "its subject names no timer"))?;
        Ok(Timer { handler, id, due, key, set: entry.time, position: entry.position })
    }

    /// The timers of a handler, or of all, by the time when they are due.
    pub(super) async fn all(
        place: &Place,
        handler: Option<&HandlerName>,
        limit: usize,
    ) -> Result<Listed<Timer>> {
        let layout = &place.layout;
        let read = |entry| Timer::read(layout, &entry);
        let mut timers =
            Listed::read((place.log.as_ref(), layout), &layout.timers(handler), limit, read).await?;
        timers.items.sort_by_key(|item| (item.what.due, item.entry));
        Ok(timers)
    }

    /// When it is due, and how far off that is.
    pub(super) fn when(&self, now: Timestamp) -> String {
        format!("{:.0}, {}", self.due, until(now, self.due))
    }
}

impl Timers {
    pub(super) async fn execute(&self, general: &General) -> Result<ExitCode> {
        let place = Place::find(self.app.as_ref(), general).await?;
        match &self.command {
            Command::Ls { handler, limit } => list(&place, handler.as_ref(), *limit, general).await?,
            Command::Show { handler, id } => show(&place, handler, id, general).await?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

async fn list(place: &Place, handler: Option<&HandlerName>, limit: usize, general: &General) -> Result<()> {
    let timers = Timer::all(place, handler, limit).await?;
    timers.say_what_is_missing();
    if timers.is_empty() {
        place.expect(handler.map(slice::from_ref).unwrap_or_default()).await?;
    }
    let timers: Vec<Timer> = timers.items.into_iter().map(|item| item.what).collect();
    match general.output {
        Output::Json => output::json(&timers)?,
        Output::Text if timers.is_empty() => say!("no timer is set")?,
        Output::Text => {
            let now = Timestamp::now();
            let mut table = output::table(&["handler", "id", "due", "key", "set", "position"]);
            for timer in &timers {
                table.add_row([
                    timer.handler.to_string(),
                    output::line(&timer.id),
                    timer.when(now),
                    output::line(timer.key.as_deref().unwrap_or_default()),
                    format!("{:.0}", timer.set),
                    timer.position.to_string(),
                ]);
            }
            say!("{table}")?;
        }
    }
    Ok(())
}

async fn show(place: &Place, handler: &HandlerName, id: &str, general: &General) -> Result<()> {
    let entry = place.log.last(&place.layout.timer(handler, id)).await?;
    let Some(entry) = entry.filter(|entry| !tombstone::is(entry)) else {
        place.expect(slice::from_ref(handler)).await?;
        bail!("handler `{handler}` has no timer `{id}`: list its timers with `waxwing timer ls {handler}`");
    };
    let timer = Timer::read(&place.layout, &entry)?;
    let headers: Vec<(&str, &str)> = entry.headers.iter().filter(|(name, _)| is_of_event(name)).collect();
    if general.output == Output::Json {
        let (data, size_bytes) = (output::data(&entry.payload), entry.payload.len());
        return output::json(
            &json!({ "about": timer, "headers": headers, "data": data, "sizeBytes": size_bytes }),
        );
    }
    say!("{TITLE}{}{END} at position {}, {NAME}{handler}{END}", output::line(id), timer.position)?;
    output::field("due", &timer.when(Timestamp::now()))?;
    output::field("key", &output::line(timer.key.as_deref().unwrap_or("none")))?;
    output::field("set", &timer.set.to_string())?;
    for (name, value) in headers {
        output::field("header", &output::line(&format!("{name}: {value}")))?;
    }
    match std::str::from_utf8(&entry.payload) {
        Ok(text) => output::field("data", &output::lines(text)),
        Err(_) => {
            let bytes = entry.payload.len();
            output::field("data", &format!("{bytes} bytes that are no text: see --output json"))
        }
    }
}

/// True for a header that arrives with the event; the others are the host's and the server's.
fn is_of_event(name: &str) -> bool {
    !["wx-", "nats-"]
        .iter()
        .any(|prefix| name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix)))
}

/// How far off a moment is, in words.
fn until(now: Timestamp, due: Timestamp) -> String {
    const UNITS: [(i64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let seconds = due.duration_since(now).as_secs();
    let apart = seconds.saturating_abs();
    if apart == 0 {
        return "now".to_owned();
    }
    let largest = UNITS.iter().position(|(size, _)| apart >= *size).unwrap_or_default();
    let mut left = apart;
    let mut parts = Vec::new();
    for (size, unit) in UNITS.iter().skip(largest).take(2) {
        if left >= *size {
            parts.push(format!("{} {unit}", left / size));
        }
        left %= size;
    }
    let apart = parts.join(" ");
    if seconds > 0 { format!("in {apart}") } else { format!("{apart} ago") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_how_far_off_a_moment_is() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let cases = [
            (0, "now"),
            (1, "in 1 s"),
            (-59, "59 s ago"),
            (61, "in 1 min 1 s"),
            (7_200, "in 2 h"),
            (7_201, "in 2 h"),
            (90_000, "in 1 d 1 h"),
            (-864_000, "10 d ago"),
        ];
        for (apart, said) in cases {
            assert_eq!(until(at(1_000_000), at(1_000_000 + apart)), said);
        }
    }

    #[test]
    fn the_hosts_own_headers_are_no_event_s() {
        let names = ["ce-id", "wx-timer", "WX-Mark", "Nats-Rollup", "nats", "content-type"];
        let of_event: Vec<&str> = names.into_iter().filter(|name| is_of_event(name)).collect();
        assert_eq!(of_event, ["ce-id", "nats", "content-type"]);
    }
}
