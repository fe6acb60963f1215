//! What a manifest says, checked and complete.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroUsize,
    path::PathBuf,
    time::Duration,
};

use waxwing_event::{AppName, HandlerSpec, Label, Pattern, SecretName, secret::SecretPlace};

use super::{
    forms, handler, keys,
    problem::Problems,
    secrets,
    section::{Keys, Section},
};
use crate::{
    config::forms::Placed,
    module::ModuleSource,
    signature::{PublicKey, Required},
};

/// An app: its log, its handlers, and how its host behaves.
#[derive(Debug, Clone, PartialEq)]
pub struct AppConfig {
    /// The manifest's folder, within which the directories lie that its handlers are granted; the working folder
    /// where there is no file.
    pub folder: PathBuf,
    /// The app's name.
    pub app: AppName,
    /// The subjects of events that its log keeps; they do not overlap.
    pub events: Vec<Pattern>,
    /// How long events are kept; none: for ever, or as it is in a log that is there already.
    pub retention: Option<Duration>,
    /// On what the log is stored.
    pub storage: Storage,
    /// How many servers of a cluster keep the log.
    pub replicas: u32,
    /// Who must vouch for what is deployed, on each host with this manifest.
    pub require_signature: Required,
    /// The handlers, by the order of the manifest; at least one.
    pub handlers: Vec<HandlerConfig>,
    /// How the host behaves.
    pub host: HostOptions,
}

impl AppConfig {
    /// An app without handlers of its own, on a log that is there.
    pub(super) fn bare(app: AppName, events: Vec<Pattern>, host: HostOptions) -> AppConfig {
        AppConfig {
            folder: PathBuf::from("."),
            app,
            events,
            retention: None,
            storage: Storage::File,
            replicas: 1,
            require_signature: Required::default(),
            handlers: Vec::new(),
            host,
        }
    }
}

/// A handler and where its module comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct HandlerConfig {
    /// What the manifest says of the handler.
    pub spec: HandlerSpec,
    /// Where its module comes from.
    pub module: ModuleSource,
    /// The handler's table as it stands, variables laid over it, but for the module: what is deployed.
    pub table: serde_json::Value,
}

/// On what a log is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// On disk: it outlives the server.
    File,
    /// In the server's memory.
    Memory,
}

/// How the host behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostOptions {
    /// How long after its last sign of life a host keeps its partitions.
    pub lease: Duration,
    /// How long a stopping host waits for runs under way.
    pub grace: Duration,
    /// Threads that run sandboxes; none: one a core.
    pub workers: Option<NonZeroUsize>,
    /// What is special about it: handlers may require it.
    pub labels: BTreeSet<Label>,
    /// True where it takes up only what no other host can run.
    pub standby: bool,
    /// True where it takes part in making the index of stories.
    pub index: bool,
    /// Who must vouch for what is deployed, on this host.
    pub require_signature: Required,
    /// Where it finds secrets, as far as that is said; a relative path begins in the manifest's folder.
    pub secrets: BTreeMap<SecretName, SecretPlace>,
}

impl Default for HostOptions {
    fn default() -> HostOptions {
        HostOptions {
            lease: Duration::from_secs(5),
            grace: Duration::from_secs(30),
            workers: None,
            labels: BTreeSet::new(),
            standby: false,
            index: true,
            require_signature: Required::default(),
            secrets: BTreeMap::new(),
        }
    }
}

const DAY_SECS: u64 = 24 * 60 * 60;

/// What is in the manifest, as far as it could be read, with places for the checks that follow.
pub(super) struct Draft {
    pub(super) name: Option<AppName>,
    pub(super) events: Vec<Placed<Pattern>>,
    retention: Option<Duration>,
    storage: Option<Storage>,
    replicas: Option<u32>,
    require_signature: Required,
    host: HostOptions,
    pub(super) handlers: Vec<handler::Draft>,
}

/// Reads the whole manifest.
pub(super) fn read(top: &Section<'_>, problems: &mut Problems) -> Draft {
    let app = top.section("app", Keys::Only(keys::APP), problems);
    if app.table().is_none() {
        problems.error(top.place(), "there is no `[app]`: add it with `name` and `events`");
    }
    let required = app.table().is_some();
    let (name, events) = if required { required_keys(&app, problems) } else { (None, Vec::new()) };
    let retention = Duration::from_secs(1)..=Duration::from_secs(36_500 * DAY_SECS);
    Draft {
        name,
        events,
        retention: app.read("retention", |v| forms::duration(v, retention), problems),
        storage: app.read(
            "storage",
            |v| forms::choice(v, &[("file", Storage::File), ("memory", Storage::Memory)]),
            problems,
        ),
        replicas: app.read("replicas", |v| forms::count(v, 1..=5), problems),
        require_signature: read_required(&app, problems),
        host: read_host(top, problems),
        handlers: handler::read_all(top, problems),
    }
}

fn required_keys(app: &Section<'_>, problems: &mut Problems) -> (Option<AppName>, Vec<Placed<Pattern>>) {
    let name = app.require("name", "\"shop\"", forms::parsed, problems);
    let events = app.require("events", "[\"orders.>\"]", forms::list, problems);
    if let (Some([]), Some(written)) = (events.as_deref(), app.value("events")) {
        problems.error(&written.place, "`events` in [app] is empty: name the subjects that the log keeps");
    }
    (name, events.unwrap_or_default())
}

/// The keys of which one must have signed. A list without a key would be one that nothing meets.
fn read_required(section: &Section<'_>, problems: &mut Problems) -> Required {
    let Some(written) = section.value("require-signature") else { return Required::default() };
    let keys = section.read("require-signature", forms::list::<PublicKey>, problems);
    let Some(keys) = keys else { return Required::default() };
    if keys.is_empty() {
        let title = section.title();
        let text = format!(
            "`require-signature` in {title} is empty: name the public nkeys of those who may sign, or remove it"
        );
        problems.error(&written.place, text);
    }
    Required::one_of(keys.into_iter().map(|key| key.value).collect())
}

pub(super) fn read_host(top: &Section<'_>, problems: &mut Problems) -> HostOptions {
    let host = top.section("host", Keys::Only(keys::HOST), problems);
    let secs = Duration::from_secs;
    let usual = HostOptions::default();
    let labels = host.read("labels", forms::list::<Label>, problems).unwrap_or_default();
    let workers = host.read("workers", |v| forms::count(v, 1..=1024), problems);
    HostOptions {
        lease: host
            .read("lease", |v| forms::duration(v, secs(1)..=secs(300)), problems)
            .unwrap_or(usual.lease),
        grace: host
            .read("grace", |v| forms::duration(v, secs(0)..=secs(3600)), problems)
            .unwrap_or(usual.grace),
        workers: workers.and_then(|count| usize::try_from(count).ok()).and_then(NonZeroUsize::new),
        standby: host.read("standby", forms::flag, problems).unwrap_or_default(),
        index: host.read("index", forms::flag, problems).unwrap_or(true),
        require_signature: read_required(&host, problems),
        secrets: secrets::read(&host, problems),
        labels: labels.into_iter().map(|label| label.value).collect(),
    }
}

impl Draft {
    /// The checked app; none where a problem was found.
    pub(super) fn finish(self) -> Option<AppConfig> {
        Some(AppConfig {
            folder: PathBuf::from("."),
            app: self.name?,
            events: self.events.into_iter().map(|pattern| pattern.value).collect(),
            retention: self.retention,
            storage: self.storage.unwrap_or(Storage::File),
            replicas: self.replicas.unwrap_or(1),
            require_signature: self.require_signature,
            handlers: self.handlers.into_iter().map(handler::Draft::finish).collect::<Option<_>>()?,
            host: self.host,
        })
    }
}
