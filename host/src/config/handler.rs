//! `[handlers.NAME]` and the tables below it.

use std::{num::NonZeroU32, ops::RangeInclusive, time::Duration};

use waxwing_event::{
    HandlerName, HandlerSpec, Label, Pattern, SecretName, StreamName, Subject,
    handler::{Grants, Instance, Limits, OnExhausted, OutagePolicy, Outbox, RetryPolicy, Start},
    key::KeySource,
};

use super::{
    app::HandlerConfig,
    document::Table,
    files,
    forms::{self, Placed},
    http, keys,
    problem::{Place, Problems},
    section::{Keys, Section},
    view,
};
use crate::module::ModuleSource;

const DEADLINE: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(3600);
const BACKOFF: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(24 * 3600);
const PROBE: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(3600);
const PARTITIONS: u32 = waxwing_engine::entry::partitions::MAX_PARTITIONS;
/// An entry's time to live is whole seconds.
const DEDUPE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(30 * 24 * 3600);
const MEMORY_BYTES: RangeInclusive<u64> = 64 << 10..=4 << 30;
const IN_FLIGHT_BYTES: RangeInclusive<u64> = 1 << 10..=64 << 30;
/// WebAssembly counts memory in these.
const PAGE_BYTES: u64 = 64 << 10;
/// No message of NATS is larger.
const MAX_BYTES: u64 = 64 << 20;

/// A handler as far as it could be read, with places.
pub(super) struct Draft {
    pub(super) name: Option<HandlerName>,
    pub(super) title: String,
    /// The stream that it reads; none: the app's log.
    pub(super) stream: Option<Placed<StreamName>>,
    pub(super) on: Vec<Placed<Pattern>>,
    pub(super) request: Vec<Placed<Pattern>>,
    /// The live subjects that it hears.
    pub(super) live_on: Vec<Placed<Pattern>>,
    pub(super) aggregate: Option<Placed<Pattern>>,
    pub(super) emit: Vec<Placed<Pattern>>,
    pub(super) publish: Vec<Placed<Pattern>>,
    pub(super) live: Vec<Placed<Pattern>>,
    /// The subjects that it may ask.
    pub(super) asked: Vec<Placed<Pattern>>,
    /// Where the module lies; the text is still to be looked up. None: it was refused.
    pub(super) module: Option<Placed<String>>,
    /// The handler's table as JSON, but for the module.
    table: serde_json::Value,
    /// Set when the module has been found.
    pub(super) source: Option<ModuleSource>,
    spec: HandlerSpec,
}

/// All handlers, in the order of the manifest.
pub(super) fn read_all(top: &Section<'_>, problems: &mut Problems) -> Vec<Draft> {
    let handlers = top.section("handlers", Keys::Any, problems);
    let table = handlers.table().filter(|table| !table.members.is_empty());
    let Some(table) = table else {
        // A value of another kind has been complained of.
        if handlers.table().is_some() || top.value("handlers").is_none() {
            let text = "there are no handlers: add `[handlers.NAME]` with `on` and `module`";
            problems.error(handlers.place(), text);
        }
        return Vec::new();
    };
    names(table).filter_map(|(name, place)| read(&handlers, name, place, problems)).collect()
}

fn names(table: &Table) -> impl Iterator<Item = (&str, &Place)> {
    table.members.iter().map(|member| (member.key.as_str(), &member.key_place))
}

fn read(handlers: &Section<'_>, written: &str, place: &Place, problems: &mut Problems) -> Option<Draft> {
    let name = match written.parse::<HandlerName>() {
        Ok(name) => Some(name),
        Err(why) => {
            problems.error(place, format!("a handler's name is refused: {why}"));
            None
        }
    };
    let section = handlers.section(written, Keys::Only(keys::HANDLER), problems);
    // A handler that is no table has been complained of.
    section.table()?;
    let stream = section.read("stream", forms::placed::<StreamName>, problems);
    let Subjects { on, request, live: live_on } = read_subjects(&section, problems);
    let grants = section.section("grants", Keys::Only(keys::GRANTS), problems);
    let mut granted = |key| grants.read(key, forms::list::<Pattern>, problems).unwrap_or_default();
    let (emit, publish, live) = (granted("emit"), granted("publish"), granted("live"));
    let asked = granted("request");
    let module = match section.value("module") {
        Some(_) => section.read("module", forms::placed_text, problems),
        None => Some(Placed { value: format!("handlers/{written}"), place: place.clone() }),
    };
    // With a refused name the rest is still checked, under another one.
    let checked = name.clone().or_else(|| "unnamed".parse().ok())?;
    let mut spec = HandlerSpec::new(checked, values(&on));
    spec.stream = stream.as_ref().map(|stream| stream.value.clone());
    spec.grants = Grants {
        emit: values(&emit),
        publish: values(&publish),
        live: values(&live),
        request: values(&asked),
        http: http::read_grants(&grants, problems),
        files: files::read(&grants, problems),
        secrets: values(&grants.read("secrets", forms::list::<SecretName>, problems).unwrap_or_default()),
    };
    let aggregate = section.read("aggregate", forms::placed::<Pattern>, problems);
    spec.aggregate = aggregate.as_ref().and_then(|placed| read_aggregate(placed, section.title(), problems));
    spec.outbox = read_outbox(&section, problems);
    spec.publish = view::read(&section, problems);
    let requires = section.read("requires", forms::list::<Label>, problems).unwrap_or_default();
    spec.requires = requires.into_iter().map(|label| label.value).collect();
    spec.settings = grants.read("settings", forms::settings, problems).unwrap_or_default();
    (spec.request, spec.live) = (values(&request), values(&live_on));
    read_dedupe(&section, &mut spec, problems);
    read_order(&section, &mut spec, problems);
    spec.limits = read_limits(&section, problems);
    spec.http = http::read_limits(&section, spec.limits.deadline, problems);
    spec.retry = read_retry(&section, problems);
    spec.outage = read_outage(&section, problems);
    read_on_exhausted(&section, &mut spec, problems);
    let title = section.title().to_owned();
    Some(Draft {
        name,
        title,
        stream,
        on,
        request,
        live_on,
        emit,
        publish,
        live,
        asked,
        aggregate,
        module,
        table: as_json(&section),
        source: None,
        spec,
    })
}

fn as_json(section: &Section<'_>) -> serde_json::Value {
    let mut table = section.table().map(Table::to_json).unwrap_or_default();
    table.remove("module");
    table.into()
}

fn values<T: Clone>(placed: &[Placed<T>]) -> Vec<T> {
    placed.iter().map(|item| item.value.clone()).collect()
}

/// Where a handler's events come from.
struct Subjects {
    on: Vec<Placed<Pattern>>,
    request: Vec<Placed<Pattern>>,
    live: Vec<Placed<Pattern>>,
}

fn read_subjects(section: &Section<'_>, problems: &mut Problems) -> Subjects {
    let title = section.title();
    if ["on", "request", "live"].iter().all(|key| section.value(key).is_none()) {
        let text = format!(
            "{title} handles nothing: add `on = [\"orders.placed\"]`, or `request` or `live` for subjects \
             outside the log"
        );
        problems.error(section.place(), text);
    }
    let mut read = |key| {
        let subjects = section.read(key, forms::list::<Pattern>, problems);
        if let (Some([]), Some(written)) = (subjects.as_deref(), section.value(key)) {
            let text = format!("`{key}` in {title} is empty: name the subjects that it handles");
            problems.error(&written.place, text);
        }
        subjects.unwrap_or_default()
    };
    Subjects { on: read("on"), request: read("request"), live: read("live") }
}

/// The subjects of aggregates: words, then one `*` for the aggregate.
fn read_aggregate(written: &Placed<Pattern>, title: &str, problems: &mut Problems) -> Option<Subject> {
    let subjects = written.value.as_str().strip_suffix(".*").and_then(|subjects| subjects.parse().ok());
    if subjects.is_none() {
        let text = format!(
            "`aggregate` in {title}: `{}` must end with `.*`, which stands for the aggregate, and have no other \
             wildcard: write `accounts.*`",
            written.value
        );
        problems.error(&written.place, text);
    }
    subjects
}

fn read_dedupe(section: &Section<'_>, spec: &mut HandlerSpec, problems: &mut Problems) {
    let read = section.read("dedupe", |v| forms::whole_seconds(v, DEDUPE), problems);
    spec.dedupe = read.unwrap_or(spec.dedupe);
    let Some(written) = section.value("dedupe") else { return };
    spec.dedupe_events = section.value("on").is_some();
    if !spec.dedupe_events && section.value("request").is_none() {
        let title = section.title();
        let text = format!("`dedupe` in {title} is of no use without `on` or `request`: remove it");
        problems.error(&written.place, text);
    }
}

fn read_order(section: &Section<'_>, spec: &mut HandlerSpec, problems: &mut Problems) {
    spec.key =
        section.read("key", forms::list::<KeySource>, problems).map(|k| values(&k)).unwrap_or_default();
    read_partitions(section, spec, problems);
    let concurrency = section.read("concurrency", |v| forms::count(v, 1..=2_048), problems);
    spec.concurrency = concurrency.and_then(NonZeroU32::new).unwrap_or(spec.concurrency);
    let starts = [("first", Start::First), ("new", Start::New)];
    spec.start = section.read("start", |v| forms::choice(v, &starts), problems).unwrap_or_default();
    let instances = [("fresh", Instance::Fresh), ("reuse", Instance::Reuse)];
    spec.instance = section.read("instance", |v| forms::choice(v, &instances), problems).unwrap_or_default();
}

fn read_partitions(section: &Section<'_>, spec: &mut HandlerSpec, problems: &mut Problems) {
    let read = section.read("partitions", |v| forms::count(v, 1..=PARTITIONS), problems);
    spec.partitions = read.and_then(NonZeroU32::new).unwrap_or(spec.partitions);
    if spec.partitions.get() > 1
        && section.value("key").is_none()
        && let Some(written) = section.value("partitions")
    {
        let title = section.title();
        let text = format!(
            "`partitions` in {title} divides its keys, but the handler has no `key`: add one; where no order matters, \
             `key = \"ce.id\"` gives each event its own"
        );
        problems.error(&written.place, text);
    }
}

fn read_outbox(section: &Section<'_>, problems: &mut Problems) -> Outbox {
    let outbox = section.section("outbox", Keys::Only(keys::OUTBOX), problems);
    let usual = Outbox::default();
    let mut count = |key, most| {
        let read = outbox.read(key, |v| forms::count(v, 1..=most), problems);
        read.and_then(NonZeroU32::new)
    };
    Outbox {
        in_flight: count("in-flight", 1024).unwrap_or(usual.in_flight),
        attempts: count("attempts", 100).unwrap_or(usual.attempts),
    }
}

fn read_limits(section: &Section<'_>, problems: &mut Problems) -> Limits {
    let limits = section.section("limits", Keys::Only(keys::LIMITS), problems);
    let usual = Limits::default();
    let memory = section.read("memory", |v| forms::size(v, MEMORY_BYTES), problems);
    let in_flight = limits.read("in-flight-bytes", |v| forms::size(v, IN_FLIGHT_BYTES), problems);
    let in_flight_bytes = in_flight.unwrap_or(usual.in_flight_bytes);
    let mut size = |key, lowest, usual| {
        limits.read(key, |v| forms::size(v, lowest..=MAX_BYTES), problems).unwrap_or(usual)
    };
    let (effect_bytes, entry_bytes, log_bytes) = (
        size("effect-bytes", 1, usual.effect_bytes),
        size("entry-bytes", 1, usual.entry_bytes),
        size("log-bytes", 0, usual.log_bytes),
    );
    let waiting_bytes = limits.read("waiting-bytes", |v| forms::size(v, 1..=1 << 30), problems);
    Limits {
        deadline: section
            .read("deadline", |v| forms::duration(v, DEADLINE), problems)
            .unwrap_or(usual.deadline),
        memory_bytes: memory.map_or(usual.memory_bytes, |bytes| bytes.next_multiple_of(PAGE_BYTES)),
        effects: limits.read("effects", |v| forms::count(v, 1..=900), problems).unwrap_or(usual.effects),
        effect_bytes,
        entry_bytes,
        log_lines: limits
            .read("log-lines", |v| forms::count(v, 0..=100_000), problems)
            .unwrap_or(usual.log_lines),
        log_bytes,
        in_flight_bytes,
        parked: limits.read("parked", |v| forms::count(v, 0..=1_000_000), problems).unwrap_or(usual.parked),
        timers: limits.read("timers", |v| forms::count(v, 0..=1_000_000), problems).unwrap_or(usual.timers),
        waiting: limits.read("waiting", |v| forms::count(v, 1..=2_048), problems).unwrap_or(usual.waiting),
        waiting_bytes: waiting_bytes.unwrap_or(usual.waiting_bytes),
    }
}

fn read_retry(section: &Section<'_>, problems: &mut Problems) -> RetryPolicy {
    let retry = section.section("retry", Keys::Only(keys::RETRY), problems);
    let usual = RetryPolicy::default();
    let attempts = retry.read("attempts", |v| forms::count(v, 1..=1_000), problems).unwrap_or(usual.attempts);
    // Where only few attempts are made, all of them may be made at once.
    let most = usual.immediate.min(attempts);
    let immediate = retry.read("immediate", |v| forms::count(v, 1..=attempts), problems).unwrap_or(most);
    let backoff = retry.read("backoff", |v| forms::durations(v, BACKOFF), problems);
    let (first, most) = backoff.unwrap_or((usual.first, usual.most));
    RetryPolicy { attempts, immediate, first, most }
}

fn read_outage(section: &Section<'_>, problems: &mut Problems) -> OutagePolicy {
    let outage = section.section("outage", Keys::Only(keys::OUTAGE), problems);
    let usual = OutagePolicy::default();
    OutagePolicy {
        after: outage.read("after", |v| forms::count(v, 0..=10_000), problems).unwrap_or(usual.after),
        probe: outage.read("probe", |v| forms::duration(v, PROBE), problems).unwrap_or(usual.probe),
    }
}

fn read_on_exhausted(section: &Section<'_>, spec: &mut HandlerSpec, problems: &mut Problems) {
    let choices = [
        ("dead-letter-key", OnExhausted::DeadLetterKey),
        ("dead-letter-event", OnExhausted::DeadLetterEvent),
    ];
    let chosen = section.read("on-exhausted", |v| forms::choice(v, &choices), problems);
    if chosen == Some(OnExhausted::DeadLetterKey)
        && section.value("key").is_none()
        && let Some(written) = section.value("on-exhausted")
    {
        let title = section.title();
        let text = format!(
            "`on-exhausted` in {title} is \"dead-letter-key\", but the handler has no `key`: add one, or write \
             \"dead-letter-event\""
        );
        problems.error(&written.place, text);
    }
    spec.on_exhausted = chosen.unwrap_or_default();
}

impl Draft {
    /// The handler's name as it is shown.
    pub(super) fn shown_name(&self) -> &str {
        self.name.as_ref().map_or("?", HandlerName::as_str)
    }

    /// The checked handler; none where its name or its module was refused.
    pub(super) fn finish(self) -> Option<HandlerConfig> {
        self.name?;
        Some(HandlerConfig { spec: self.spec, module: self.source?, table: self.table })
    }
}
