//! `waxwing ls`: the handlers of an app, and where each stands.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    process::ExitCode,
};

use anyhow::Result;
use async_nats::jetstream::{self, ErrorCode, context::GetStreamErrorKind};
use clap::Args;
use jiff::Timestamp;
use serde::Serialize;
use waxwing_engine::{
    entry::{
        Checkpoint, DeadLetter, EntryError, Lease, Outage, Partition,
        deploy::{OnCanary, Running, Swap},
        parked, tombstone,
        version::VersionNumber,
    },
    lease,
    port::log::Entry,
};
use waxwing_event::{AppName, HandlerName, HandlerSpec, Position, StreamName, Subject, handler::Start};
use waxwing_log::jetstream::Link;

use super::{
    General, found,
    listed::{Listed, MAX_SEARCHED, say_that_there_may_be_more},
    outbox,
    output::{self, Output, say},
    pause::paused_since,
    place::Place,
    style::{END, WARN},
    watching::Watching,
};
use crate::nats::{self, Target};

/// Lists the app's handlers: who runs each, what it is doing, how far it is
///
/// `handled` is the position up to which everything is handled, `behind` counts the entries that are not; both as of
/// the last checkpoint, which is saved once a second, and of several partitions that which is behind the others. `version` is the deployed one, if any. `outbox` counts events that wait to go out of the log. States:
/// running; waiting (all that is new is handled, parked events wait); paused; outage; stopped (it says why: somebody
/// must help); no stream (that which the manifest names is not there); no host. Without a manifest, handlers that have
/// ever run are listed, and `behind` is not known.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    waxwing ls\n  \
    waxwing ls --watch\n  \
    waxwing ls --app shop --output json\n  \
    waxwing ls --context prod")]
pub(super) struct Ls {
    /// The app, looked at without a manifest [default: that of the manifest]
    #[arg(long, value_name = "NAME")]
    app: Option<AppName>,
    #[command(flatten)]
    watching: Watching,
}

/// Where a handler stands.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row {
    pub(super) handler: HandlerName,
    #[serde(flatten)]
    pub(super) state: State,
    /// The host that runs it; where it is divided, each that runs a partition.
    host: Option<String>,
    /// The deployed version that runs, or ran last; none: the manifest's.
    version: Option<VersionNumber>,
    /// The canary that runs beside it.
    canary: Option<OnCanary>,
    /// Everything up to here is handled.
    watermark: Option<Position>,
    /// Its partitions, where it has several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    partitions: Vec<Part>,
    /// How many entries are not.
    pub(super) lag: Option<u64>,
    pub(super) parked: usize,
    pub(super) dead: usize,
    /// How many events wait to go out of the log.
    pub(super) outbox: usize,
}

/// Where one of several partitions stands.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Part {
    partition: u32,
    host: Option<String>,
    watermark: Option<Position>,
}

/// What the entries of a handler's partitions say, all together.
#[derive(Default)]
struct Parts {
    each: Vec<Part>,
    /// That of the partition that is behind all others.
    checkpoint: Option<Checkpoint>,
    stopped: Option<Outage>,
    outage: Option<Outage>,
    runs: Running,
}

/// What a handler is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub(super) enum State {
    Running,
    Waiting,
    Paused { since: Timestamp },
    Outage { since: Timestamp, reason: String },
    NoStream { stream: StreamName },
    Stopped { since: Timestamp, reason: String },
    NoHost,
}

/// What is known of a handler, from which its state follows.
#[derive(Debug, Clone, Default)]
struct Known {
    is_owned: bool,
    paused: Option<Timestamp>,
    stopped: Option<Outage>,
    outage: Option<Outage>,
    reading: Reading,
    parked: usize,
}

/// How it stands with what a handler reads.
#[derive(Debug, Clone, Default)]
struct Reading {
    /// How many entries are not handled; none where that is not known.
    lag: Option<u64>,
    /// The stream that it is to read and that is not there.
    missing: Option<StreamName>,
}

impl Ls {
    pub(super) async fn execute(&self, general: &General) -> Result<ExitCode> {
        let place = Place::find(self.app.as_ref(), general).await?;
        let target = found::target(general)?;
        let shown = self.watching.show(async || {
            let rows = rows(&place, &target).await?;
            match general.output {
                Output::Json => output::json(&rows),
                Output::Text => show(&rows),
            }
        });
        shown.await?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Where each handler stands.
pub(super) async fn rows(place: &Place, target: &Target) -> Result<Vec<Row>> {
    let (log, layout) = (place.log.as_ref(), &place.layout);
    let read = |entry| parked::About::read(&entry).map(|about| about.original.handler);
    let parked = Listed::read((log, layout), &layout.all_parked(None), MAX_SEARCHED, read).await?;
    let read = |entry| DeadLetter::read(entry).map(|letter| letter.about.original.handler);
    let dead = Listed::read((log, layout), &layout.dead_letters(None), MAX_SEARCHED, read).await?;
    let read = |entry: Entry| {
        let handler = layout.handler_of(&entry.subject);
        handler.ok_or_else(|| EntryError::new(&entry, "its subject names no handler"))
    };
    let outbox = outbox::waiting(log, layout, None, MAX_SEARCHED, read).await?;
    if parked.is_cut || dead.is_cut || outbox.is_cut {
        say_that_there_may_be_more(MAX_SEARCHED);
    }
    let (parked, dead, outbox) = (counts(parked), counts(dead), counts(outbox));
    let mut streams = Streams::connect(target).await?;
    let of = |counts: &BTreeMap<HandlerName, usize>, handler: &HandlerName| {
        counts.get(handler).copied().unwrap_or_default()
    };
    let mut rows = Vec::new();
    for handler in place.handlers().await? {
        let Parts { each, checkpoint, stopped, outage, runs } = Parts::of(place, &handler).await?;
        let reading = match place.spec(&handler) {
            Some(spec) => streams.reading(place, spec, checkpoint.as_ref()).await?,
            None => Reading::default(),
        };
        let lag = reading.lag;
        let known = Known {
            is_owned: each.iter().all(|part| part.host.is_some()),
            paused: paused_since(place, &handler).await?,
            stopped,
            outage,
            reading,
            parked: of(&parked, &handler),
        };
        rows.push(Row {
            dead: of(&dead, &handler),
            outbox: of(&outbox, &handler),
            parked: known.parked,
            state: state(known),
            host: hosts(&each),
            version: runs.version,
            canary: runs.canary,
            watermark: checkpoint.map(|checkpoint| checkpoint.watermark),
            partitions: if each.len() > 1 { each } else { Vec::new() },
            lag,
            handler,
        });
    }
    Ok(rows)
}

impl Parts {
    async fn of(place: &Place, handler: &HandlerName) -> Result<Parts> {
        let layout = &place.layout;
        let mut parts = Parts::default();
        for partition in layout.partitions(handler) {
            let checkpoint = last(place, &layout.checkpoint(handler, partition), Checkpoint::read).await?;
            parts.each.push(Part {
                partition: partition.0,
                host: owner(place, handler, partition).await?,
                watermark: checkpoint.as_ref().map(|checkpoint| checkpoint.watermark),
            });
            let is_behind =
                |other: &Checkpoint| checkpoint.as_ref().is_none_or(|c| c.watermark < other.watermark);
            if partition == Partition(0) || parts.checkpoint.as_ref().is_some_and(is_behind) {
                parts.checkpoint = checkpoint;
            }
            let stopped = last(place, &layout.stopped(handler, partition), Outage::read).await?;
            parts.stopped = parts.stopped.or(stopped);
            let outage = last(place, &layout.outage(handler, partition), Outage::read).await?;
            parts.outage = parts.outage.or(outage);
            let swap = last(place, &layout.swaps(handler, partition), Swap::read).await?;
            let runs = swap.map(|swap| swap.runs()).unwrap_or_default();
            if parts.runs.version.is_none() {
                parts.runs = runs;
            }
        }
        Ok(parts)
    }
}

/// Each host that runs a partition, once.
fn hosts(parts: &[Part]) -> Option<String> {
    let hosts: BTreeSet<&str> = parts.iter().filter_map(|part| part.host.as_deref()).collect();
    (!hosts.is_empty()).then(|| hosts.into_iter().collect::<Vec<_>>().join(" "))
}

/// What a handler is doing, the most telling first.
fn state(known: Known) -> State {
    let Known { is_owned, paused, stopped, outage, reading: Reading { lag, missing }, parked } = known;
    if let Some(Outage { since, reason }) = stopped.filter(|_| paused.is_none() && is_owned) {
        return State::Stopped { since, reason };
    }
    match (paused, missing, outage) {
        (Some(since), ..) => State::Paused { since },
        // Without it no host starts.
        (None, Some(stream), _) => State::NoStream { stream },
        _ if !is_owned => State::NoHost,
        (None, None, Some(Outage { since, reason })) => State::Outage { since, reason },
        (None, None, None) if lag == Some(0) && parked > 0 => State::Waiting,
        (None, None, None) => State::Running,
    }
}

fn counts(listed: Listed<HandlerName>) -> BTreeMap<HandlerName, usize> {
    listed.say_what_is_unreadable();
    let mut counts = BTreeMap::new();
    for item in listed.items {
        *counts.entry(item.what).or_default() += 1;
    }
    counts
}

/// What the last entry of a subject says; none where there is none, or it cannot be read.
async fn last<T>(
    place: &Place,
    subject: &Subject,
    read: impl Fn(&Entry) -> Result<T, EntryError>,
) -> Result<Option<T>> {
    let entry = place.log.last(subject).await?.filter(|entry| !tombstone::is(entry));
    Ok(entry.and_then(|entry| {
        let read = read(&entry);
        read.inspect_err(|error| {
            anstream::eprintln!("{WARN}warning:{END} {}", output::line(&error.to_string()))
        })
        .ok()
    }))
}

/// The host that has the lease of a handler's partition, and lives.
async fn owner(place: &Place, handler: &HandlerName, partition: Partition) -> Result<Option<String>> {
    let lease = last(place, &place.layout.lease(handler, partition), Lease::read).await?;
    let Some(host) = lease.and_then(|lease| lease.host) else { return Ok(None) };
    let lives = lease::lives(place.log.as_ref(), &place.layout, &host).await?;
    Ok(lives.then_some(host))
}

/// Looks at the streams that handlers read.
struct Streams {
    context: jetstream::Context,
    /// False once the server has not counted what lies ahead: it does so for those who may make a consumer.
    counts: bool,
    // Ends the connection when it goes.
    _link: Link,
}

impl Streams {
    async fn connect(target: &Target) -> Result<Streams> {
        let link = target.connect("looking").await?;
        Ok(Streams { context: jetstream::new(link.client().clone()), counts: true, _link: link })
    }

    async fn reading(
        &mut self,
        place: &Place,
        spec: &HandlerSpec,
        checkpoint: Option<&Checkpoint>,
    ) -> Result<Reading> {
        let stream = match self.context.get_stream(place.layout.read_by(spec)).await {
            Ok(stream) => stream,
            Err(error) => {
                let is_missing = is_missing(&error.kind());
                return Ok(Reading { lag: None, missing: spec.stream.clone().filter(|_| is_missing) });
            }
        };
        let Some((from, handled)) = begins(spec, checkpoint) else { return Ok(Reading::default()) };
        if !self.counts {
            return Ok(Reading::default());
        }
        let ahead = match nats::pending(&stream, from, &spec.on).await {
            Ok(ahead) => ahead,
            Err(error) => {
                self.counts = false;
                anstream::eprintln!(
                    "{WARN}warning:{END} how far handlers are behind is not known: the server does not count for this \
                     user: {error}"
                );
                return Ok(Reading::default());
            }
        };
        Ok(Reading { lag: Some(ahead.saturating_sub(u64::try_from(handled)?)), missing: None })
    }
}

fn is_missing(kind: &GetStreamErrorKind) -> bool {
    matches!(kind, GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND)
}

/// From where on a handler reads, and how many entries from there on it has handled; none where that is not known.
fn begins(spec: &HandlerSpec, checkpoint: Option<&Checkpoint>) -> Option<(Position, usize)> {
    match checkpoint {
        Some(saved) if saved.origin.as_ref().map(|origin| &origin.stream) != spec.stream.as_ref() => None,
        Some(saved) => Some((saved.watermark.next(), saved.handled.len())),
        None if spec.start == Start::First => Some((Position::NONE.next(), 0)),
        None => None,
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            State::Running => f.write_str("running"),
            State::Waiting => f.write_str("waiting"),
            State::Paused { since } => write!(f, "paused since {since:.0}"),
            State::Outage { since, reason } => {
                let reason = reason.lines().next().unwrap_or_default();
                write!(f, "outage since {since:.0}: {}", output::line(reason))
            }
            State::NoStream { stream } => write!(f, "no stream {stream}"),
            State::Stopped { since, reason } => {
                write!(f, "stopped since {since:.0}: {}", output::line(reason))
            }
            State::NoHost => f.write_str("no host"),
        }
    }
}

/// The version that runs, and its canary with its share of the keys.
fn version(row: &Row) -> String {
    let version = row.version.map(|version| version.to_string()).unwrap_or_default();
    match row.canary {
        Some(OnCanary { version: canary, share }) => format!("{version}, {canary} ({share})"),
        None => version,
    }
}

fn show(rows: &[Row]) -> Result<()> {
    if rows.is_empty() {
        return Ok(say!("no handlers")?);
    }
    let mut table = output::table(&[
        "handler", "state", "host", "version", "handled", "behind", "parked", "dead", "outbox",
    ]);
    for row in rows {
        table.add_row([
            row.handler.to_string(),
            row.state.to_string(),
            output::line(row.host.as_deref().unwrap_or_default()),
            version(row),
            row.watermark.map(|position| position.to_string()).unwrap_or_default(),
            row.lag.map_or_else(|| "?".to_owned(), output::grouped),
            row.parked.to_string(),
            row.dead.to_string(),
            row.outbox.to_string(),
        ]);
    }
    say!("{table}")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_follows_from_what_is_known() {
        let since = Timestamp::UNIX_EPOCH;
        let outage = Outage { since, reason: "retry: closed\nmore".to_owned() };
        let behind = |lag| Reading { lag: Some(lag), missing: None };
        let well = Known { is_owned: true, reading: behind(0), ..Known::default() };
        let waiting = Known { parked: 3, ..well.clone() };
        let down = Known { outage: Some(outage), ..waiting.clone() };
        let paused = Known { paused: Some(since), ..down.clone() };
        let shown = |known: &Known| state(known.clone()).to_string();
        assert_eq!(shown(&well), "running");
        assert_eq!(shown(&waiting), "waiting");
        assert_eq!(shown(&Known { reading: behind(1), ..waiting.clone() }), "running");
        assert_eq!(shown(&down), "outage since 1970-01-01T00:00:00Z: retry: closed");
        assert_eq!(shown(&paused), "paused since 1970-01-01T00:00:00Z");
        assert_eq!(shown(&Known { is_owned: false, ..down.clone() }), "no host");
        let stopped = Some(Outage { since, reason: "restored".to_owned() });
        assert_eq!(
            shown(&Known { stopped: stopped.clone(), ..down.clone() }),
            "stopped since 1970-01-01T00:00:00Z: restored"
        );
        assert_eq!(shown(&Known { is_owned: false, stopped, ..down.clone() }), "no host");
        let missing = Reading { lag: None, missing: Some("ORDERS".parse().unwrap()) };
        let (of_gone, of_paused) = (missing.clone(), missing);
        assert_eq!(shown(&Known { is_owned: false, reading: of_gone, ..down }), "no stream ORDERS");
        let paused = Known { is_owned: false, reading: of_paused, ..paused };
        assert_eq!(shown(&paused), "paused since 1970-01-01T00:00:00Z");
    }
}
