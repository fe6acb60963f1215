//! Finds everything that is judged, and changes nothing.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result};
use jiff::Timestamp;
use waxwing_engine::{
    entry::{Checkpoint, DeadLetter, Layout, Lease, Outage, Partition, Places, tombstone},
    generations,
    port::log::{Entry, Part},
};
use waxwing_event::{
    AppName, HandlerName, HandlerSpec, Pattern, Position, SecretName, Subject, handler::Start,
};
use waxwing_log::jetstream::{Look, SeenBucket, look::SeenStream};

use super::{
    found::{
        ClockGap, Dead, Found, FoundHandler, FoundLog, HeldUp, Inputs, Open, Outbox, Owner, Saved, Sync,
    },
    sync,
};
use crate::{assemble, config::AppConfig, nats::Target};

/// The most dead letters, parked events, refusals and events on their way out that are looked at, of each.
const MAX_LISTED: usize = 100_000;

/// The most leases, and places of outboxes, that are looked at.
const MAX_LEASES: usize = 10_000;

/// How long to wait at an address that may not be there.
const KNOCK: Duration = Duration::from_secs(1);

/// Where to look.
#[derive(Debug, Clone)]
pub struct Where {
    /// Whose log.
    pub app: AppName,
    /// What the manifest says, where there is one.
    pub manifest: Option<AppConfig>,
    /// How NATS is reached.
    pub target: Target,
    /// Monitoring addresses of servers.
    pub monitors: Vec<String>,
    /// How the system account is reached.
    pub system: Option<Target>,
}

/// Looks at everything.
pub async fn look(place: Where) -> Result<Found> {
    let server = place.target.server();
    let connected = tokio::time::timeout(place.target.timeout, Look::connect(&server, &place.app)).await;
    let look = connected
        .with_context(|| format!("no NATS server answers in time at {}", place.target.shown()))??;
    let asked = place.manifest.as_ref().map(assemble::log_options).transpose()?;
    let account = look.account().await;
    let mut found = Found {
        missing_secrets: place.manifest.as_ref().map(missing_secrets).unwrap_or_default(),
        server: look.server(),
        clock: None,
        sync: sync_of(&place, &look).await?,
        log: None,
        account: account.map_err(|error| error.to_string()),
        app: place.app,
        manifest: place.manifest,
    };
    if found.account.is_err() {
        return Ok(found);
    }
    let before = Timestamp::now();
    let Some(stream) = look.stream(asked.as_ref()).await? else { return Ok(found) };
    found.clock = stream.server_time.map(|server| gap(server, before, Timestamp::now()));
    found.log = Some(log(&look, &found.app, found.manifest.as_ref(), stream).await?);
    Ok(found)
}

fn missing_secrets(manifest: &AppConfig) -> Vec<(HandlerName, String)> {
    let secrets = assemble::secrets(manifest);
    let specs = manifest.handlers.iter().map(|handler| &handler.spec);
    let granted = specs.flat_map(|spec| spec.grants.secrets.iter().map(|name| (&spec.name, name)));
    let missing = |(handler, name): (&HandlerName, &SecretName)| {
        secrets.read(name).err().map(|why| (handler.clone(), why.to_string()))
    };
    granted.filter_map(missing).collect()
}

async fn sync_of(place: &Where, look: &Look) -> Result<Sync> {
    if !place.monitors.is_empty() {
        return sync::of_monitors(&place.monitors, place.target.timeout).await;
    }
    if let Some(system) = &place.system {
        let link = system.connect("doctor").await?;
        return sync::of_system(link.client()).await;
    }
    let url = place.target.servers.first().map(String::as_str).unwrap_or_default();
    Ok(sync::of_usual_monitor(url, &look.server().id, KNOCK).await)
}

/// The server told its time at some moment between these two.
fn gap(server: Timestamp, before: Timestamp, after: Timestamp) -> ClockGap {
    let half = after.duration_since(before) / 2;
    let accuracy = Duration::try_from(half).unwrap_or_default();
    ClockGap { ahead: server.duration_since(before) - half, accuracy }
}

async fn log(
    look: &Look,
    app: &AppName,
    manifest: Option<&AppConfig>,
    stream: SeenStream,
) -> Result<FoundLog> {
    let layout = Layout::new(app.clone());
    let live = look.last_of_each(&layout.all_generations(), Part::Whole, MAX_LEASES).await?;
    let layout = generations::with_live(&layout, &live)?;
    let leases = look.last_of_each(&layout.leases(), Part::Whole, MAX_LEASES).await?;
    let mut dead = dead(look, &layout).await?;
    let named =
        manifest.into_iter().flat_map(|manifest| manifest.handlers.iter().map(|handler| &handler.spec));
    let mut specs: BTreeMap<HandlerName, Option<&HandlerSpec>> =
        named.map(|spec| (spec.name.clone(), Some(spec))).collect();
    let outboxes = outboxes(look, &layout).await?;
    let ran = leases.iter().filter_map(|entry| layout.handler_of(&entry.subject));
    let others = ran.chain(dead.keys().cloned()).chain(outboxes.keys().cloned());
    for name in others.collect::<Vec<_>>() {
        specs.entry(name).or_default();
    }
    let parked = counts(look, &layout, &layout.all_parked(None)).await?;
    let refused = counts(look, &layout, &layout.refusals(None)).await?;
    let of = |counts: &BTreeMap<HandlerName, usize>, name: &HandlerName| {
        counts.get(name).copied().unwrap_or_default()
    };
    let mut handlers = Vec::with_capacity(specs.len());
    for (name, spec) in specs {
        let Parts { owner, saved, outage } = Parts::of(look, &layout, &name).await?;
        let held = HeldUp {
            paused: standing(look, &layout.paused(&name)).await?.map(|entry| entry.time),
            outage,
            parked: of(&parked, &name),
            refused: of(&refused, &name),
            outbox: outboxes.get(&name).copied().unwrap_or_default(),
        };
        handlers.push(FoundHandler {
            owner,
            is_named: spec.is_some(),
            oldest_open: match spec {
                Some(spec) => oldest_open(look, spec, &saved).await?,
                None => None,
            },
            kept: match spec {
                Some(spec) => kept(look, spec).await?,
                None => Vec::new(),
            },
            inputs: inputs(look, spec, &saved).await?,
            bucket: bucket(look, manifest, &name).await?,
            dead: dead.remove(&name).unwrap_or_default(),
            held,
            checkpoint: layout.checkpoint(&name, Partition(0)),
            saved,
            name,
        });
    }
    let now = stream.server_time.unwrap_or_else(Timestamp::now);
    Ok(FoundLog { name: layout.stream(), stream, now, handlers })
}

/// Dead letters by handler.
async fn dead(look: &Look, layout: &Layout) -> Result<BTreeMap<HandlerName, Dead>> {
    let entries = look.last_of_each(&layout.dead_letters(None), Part::Headers, MAX_LISTED).await?;
    let is_cut = entries.len() >= MAX_LISTED;
    let mut all: BTreeMap<HandlerName, Dead> = BTreeMap::new();
    for entry in entries.into_iter().filter(|entry| !tombstone::is(entry)) {
        let Some(handler) = layout.handler_of(&entry.subject) else { continue };
        let dead = all.entry(handler).or_insert_with(|| Dead { is_cut, ..Dead::default() });
        match DeadLetter::read(entry) {
            Ok(_) => dead.waiting += 1,
            Err(error) => dead.unreadable.push(error.to_string()),
        }
    }
    Ok(all)
}

/// Entries by handler.
async fn counts(look: &Look, layout: &Layout, subjects: &Pattern) -> Result<BTreeMap<HandlerName, usize>> {
    let entries = look.last_of_each(subjects, Part::Headers, MAX_LISTED).await?;
    let mut counts = BTreeMap::new();
    let standing = entries.iter().filter(|entry| !tombstone::is(entry));
    for handler in standing.filter_map(|entry| layout.handler_of(&entry.subject)) {
        *counts.entry(handler).or_default() += 1;
    }
    Ok(counts)
}

/// What waits to go out, by handler.
async fn outboxes(look: &Look, layout: &Layout) -> Result<BTreeMap<HandlerName, Outbox>> {
    let entries = look.last_of_each(&layout.outboxes(None), Part::Headers, MAX_LISTED).await?;
    // After the entries: what goes out meanwhile does not count.
    let places = look.last_of_each(&layout.all_relayed(), Part::Whole, MAX_LEASES).await?;
    let places = Places::read(layout, &places);
    let mut outboxes: BTreeMap<HandlerName, Outbox> = BTreeMap::new();
    for entry in entries {
        let handler = layout.handler_of(&entry.subject);
        let Some(handler) = handler.filter(|handler| !places.is_out(handler, &entry)) else { continue };
        let outbox = outboxes.entry(handler).or_default();
        outbox.waiting += 1;
        outbox.since = Some(outbox.since.map_or(entry.time, |since| since.min(entry.time)));
    }
    Ok(outboxes)
}

/// The last entry of a subject, unless it is a tombstone.
async fn standing(look: &Look, subject: &Subject) -> Result<Option<Entry>> {
    Ok(look.last(subject).await?.filter(|entry| !tombstone::is(entry)))
}

/// Where its events come from: as the manifest says, else as its checkpoint does.
async fn inputs(look: &Look, spec: Option<&HandlerSpec>, saved: &Saved) -> Result<Inputs> {
    let stream = match (spec, saved) {
        (Some(spec), _) => spec.stream.clone(),
        (None, Saved::At { checkpoint, .. }) => {
            checkpoint.origin.as_ref().map(|origin| origin.stream.clone())
        }
        (None, _) => None,
    };
    let Some(name) = stream else { return Ok(Inputs::Log) };
    let found = look.elsewhere(&name).await?;
    Ok(Inputs::Stream { name, found })
}

/// The bucket that is to show its state.
async fn bucket(
    look: &Look,
    manifest: Option<&AppConfig>,
    handler: &HandlerName,
) -> Result<Option<SeenBucket>> {
    let Some(asked) = manifest.map(assemble::log_options).transpose()? else { return Ok(None) };
    if !asked.buckets.contains(handler) {
        return Ok(None);
    }
    Ok(Some(look.bucket(&asked, handler).await?))
}

fn saved(entry: Option<Entry>) -> Saved {
    let Some(entry) = entry else { return Saved::Never };
    match Checkpoint::read(&entry) {
        Ok(checkpoint) => Saved::At { checkpoint, position: entry.position, time: entry.time },
        Err(error) => Saved::Unreadable(error.to_string()),
    }
}

/// What is found of a handler's partitions: of each thing what is worst.
struct Parts {
    owner: Owner,
    saved: Saved,
    outage: Option<Outage>,
}

impl Parts {
    async fn of(look: &Look, layout: &Layout, name: &HandlerName) -> Result<Parts> {
        let mut parts: Option<Parts> = None;
        for partition in layout.partitions(name) {
            let owner = owner(look, layout, name, partition).await?;
            let saved = saved(standing(look, &layout.checkpoint(name, partition)).await?);
            let outage = standing(look, &layout.outage(name, partition)).await?;
            let outage = outage.and_then(|entry| Outage::read(&entry).ok());
            parts = Some(match parts {
                None => Parts { owner, saved, outage },
                Some(worst) => Parts {
                    owner: if matches!(worst.owner, Owner::Lives(_)) { owner } else { worst.owner },
                    saved: worst.saved.or_behind(saved),
                    outage: worst.outage.or(outage),
                },
            });
        }
        Ok(parts.unwrap_or(Parts { owner: Owner::Nobody, saved: Saved::Never, outage: None }))
    }
}

async fn owner(look: &Look, layout: &Layout, name: &HandlerName, partition: Partition) -> Result<Owner> {
    let Some(entry) = look.last(&layout.lease(name, partition)).await? else { return Ok(Owner::Nobody) };
    let host = match Lease::read(&entry) {
        Ok(lease) => lease.host,
        Err(error) => return Ok(Owner::Unreadable(error.to_string())),
    };
    let Some(host) = host else { return Ok(Owner::Nobody) };
    let lives = look.last(&layout.host(&host)).await?.is_some();
    Ok(if lives { Owner::Lives(host) } else { Owner::Silent(host) })
}

/// Subjects of requests and live messages that some stream keeps.
async fn kept(look: &Look, spec: &HandlerSpec) -> Result<Vec<(Pattern, String)>> {
    let mut kept = Vec::new();
    for subject in spec.request.iter().chain(&spec.live) {
        let streams = look.streams_that_keep(subject).await?;
        kept.extend(streams.into_iter().map(|stream| (subject.clone(), stream)));
    }
    Ok(kept)
}

/// The oldest entry of a handler's subjects of which its checkpoint does not tell.
async fn oldest_open(look: &Look, spec: &HandlerSpec, saved: &Saved) -> Result<Option<Open>> {
    let stream = spec.stream.as_ref();
    let (mut from, handled) = match saved {
        Saved::At { checkpoint, .. } if checkpoint.origin.as_ref().map(|origin| &origin.stream) == stream => {
            (checkpoint.watermark.next(), checkpoint.handled.as_slice())
        }
        Saved::Never if spec.start == Start::First => (Position::NONE.next(), [].as_slice()),
        _ => return Ok(None),
    };
    if let Some(stream) = stream
        && look.elsewhere(stream).await?.is_none()
    {
        return Ok(None);
    }
    // Bounded: a checkpoint holds no more positions than a handler has events under way.
    while let Some(entry) = look.next(stream, from, &spec.on).await? {
        if !handled.contains(&entry.position) {
            return Ok(Some(Open { position: entry.position, time: entry.time }));
        }
        from = entry.position.next();
    }
    Ok(None)
}
