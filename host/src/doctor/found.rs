//! What was found of a server, a log and its handlers; nothing is judged here.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use waxwing_engine::entry::{Checkpoint, Outage};
use waxwing_event::{AppName, HandlerName, Pattern, Position, StreamName, Subject};
use waxwing_log::jetstream::{
    SeenBucket,
    look::{SeenAccount, SeenElsewhere, SeenServer, SeenStream},
};

use crate::config::AppConfig;

/// Everything that was found.
#[derive(Debug, Clone)]
pub struct Found {
    /// Whose log it is.
    pub app: AppName,
    /// What the manifest says, where there is one.
    pub manifest: Option<AppConfig>,
    /// Handlers of the manifest with a granted secret that is not on this machine, and what is said of it.
    pub missing_secrets: Vec<(HandlerName, String)>,
    /// The server that was reached.
    pub server: SeenServer,
    /// The account's storage, or why JetStream does not tell it.
    pub account: Result<SeenAccount, String>,
    /// How the server's clock and this machine's differ, where it could be told.
    pub clock: Option<ClockGap>,
    /// How soon servers put what they acknowledge on disk.
    pub sync: Sync,
    /// The app's log; none where there is none yet.
    pub log: Option<FoundLog>,
}

/// The difference of two clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockGap {
    /// By how much the server's clock is ahead of this machine's.
    pub ahead: SignedDuration,
    /// It may be off by so much: half the time of the request that told it.
    pub accuracy: Duration,
}

/// How soon servers put what they acknowledge on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sync {
    /// Seen, server by server.
    Seen(Vec<ServerSync>),
    /// Not seen.
    Unseen,
}

/// How soon one server puts what it acknowledges on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSync {
    /// The server's name.
    pub name: String,
    /// How long it may wait; none: it acknowledges only what is on disk.
    pub interval: Option<Duration>,
}

/// An app's log.
#[derive(Debug, Clone)]
pub struct FoundLog {
    /// The stream's name.
    pub name: String,
    /// Its stream.
    pub stream: SeenStream,
    /// The time at the server when it was looked at.
    pub now: Timestamp,
    /// The handlers of the manifest, and others that have left something in the log.
    pub handlers: Vec<FoundHandler>,
}

/// Where a handler stands.
#[derive(Debug, Clone)]
pub struct FoundHandler {
    /// Its name.
    pub name: HandlerName,
    /// What it has handled.
    pub saved: Saved,
    /// Who runs it.
    pub owner: Owner,
    /// True where the manifest names it: only that tells what it hears.
    pub is_named: bool,
    /// The oldest entry of its subjects that its checkpoint does not tell of; where the manifest names it.
    pub oldest_open: Option<Open>,
    /// Subjects of its requests and live messages that streams keep, with the names of these.
    pub kept: Vec<(Pattern, String)>,
    /// Where its events come from.
    pub inputs: Inputs,
    /// The bucket that is to show its state; none: none is.
    pub bucket: Option<SeenBucket>,
    /// Its dead letters.
    pub dead: Dead,
    /// What holds it up.
    pub held: HeldUp,
    /// The subject of its checkpoint.
    pub checkpoint: Subject,
}

/// What a handler's checkpoint says: of several partitions, that which is behind the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Saved {
    /// There is none.
    Never,
    /// It cannot be read; says why.
    Unreadable(String),
    /// It was saved.
    At {
        /// What it says.
        checkpoint: Checkpoint,
        /// Where it stands.
        position: Position,
        /// When it was saved.
        time: Timestamp,
    },
}

impl Saved {
    /// That which cannot be read, or is behind the other.
    pub fn or_behind(self, other: Saved) -> Saved {
        match (&self, &other) {
            (Saved::Unreadable(_), _) | (Saved::Never, Saved::Never | Saved::At { .. }) => self,
            (_, Saved::Unreadable(_) | Saved::Never) => other,
            (Saved::At { checkpoint: one, .. }, Saved::At { checkpoint, .. }) => {
                if checkpoint.watermark < one.watermark { other } else { self }
            }
        }
    }
}

/// Who runs a handler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// Nobody: it never ran, or was given up in good order.
    Nobody,
    /// A host that lives.
    Lives(String),
    /// A host that has not told of itself within the lease time.
    Silent(String),
    /// The lease cannot be read; says why.
    Unreadable(String),
}

/// An entry that waits to be handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Open {
    /// Where it stands.
    pub position: Position,
    /// When it was stored.
    pub time: Timestamp,
}

/// Where a handler's events come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inputs {
    /// The app's log.
    Log,
    /// A stream that the app does not own.
    Stream {
        /// Its name.
        name: StreamName,
        /// What it is like; none where there is none.
        found: Option<SeenElsewhere>,
    },
}

/// What holds a handler up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeldUp {
    /// Since when it is paused.
    pub paused: Option<Timestamp>,
    /// That it is taken for down.
    pub outage: Option<Outage>,
    /// How many events are parked.
    pub parked: usize,
    /// How many events for subjects outside the log are refused there.
    pub refused: usize,
    /// Those that wait to go out.
    pub outbox: Outbox,
}

/// The events of a handler that wait to go out of the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outbox {
    /// How many there are.
    pub waiting: usize,
    /// When the oldest was written.
    pub since: Option<Timestamp>,
}

/// The dead letters of a handler.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dead {
    /// How many wait.
    pub waiting: usize,
    /// True where there may be more.
    pub is_cut: bool,
    /// Those that cannot be read; says why.
    pub unreadable: Vec<String>,
}

#[cfg(test)]
pub(super) mod tests {
    use waxwing_log::jetstream::Storage;

    use super::*;

    /// The time at which tests look.
    pub(in super::super) fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }

    /// Where all is well: three copies, one handler that has handled everything.
    pub(in super::super) fn found() -> Found {
        let server = SeenServer {
            id: "N".into(),
            name: "n".into(),
            version: "2.15.1".into(),
            is_new_enough: true,
            max_payload_bytes: 1 << 20,
        };
        Found {
            missing_secrets: Vec::new(),
            app: "shop".parse().unwrap(),
            manifest: Some(manifest()),
            server,
            account: Ok(SeenAccount { used_bytes: 0, limit_bytes: None }),
            clock: None,
            sync: Sync::Unseen,
            log: Some(FoundLog {
                name: "wx-shop".into(),
                stream: stream(),
                now: now(),
                handlers: vec![handler()],
            }),
        }
    }

    fn manifest() -> AppConfig {
        let text = "[app]\nname = \"shop\"\nevents = [\"a.>\"]\n[handlers.one]\nmodule = \"one.wasm\"\non = [\"a.b\"]\n";
        let locate = |name: &str| Ok(crate::module::ModuleSource::File(name.into()));
        crate::config::parse("waxwing.toml", text, [], locate).unwrap().0
    }

    fn stream() -> SeenStream {
        SeenStream {
            subjects: vec!["a.>".into(), "wx.shop.>".into()],
            storage: Storage::File,
            replicas: 3,
            copies: Vec::new(),
            retention: None,
            duplicate_window: Duration::from_secs(120),
            max_entry_bytes: 1 << 20,
            breaches: Vec::new(),
            lacking: Vec::new(),
            last: Position(100),
            server_time: Some(now()),
        }
    }

    fn handler() -> FoundHandler {
        let checkpoint = Checkpoint { watermark: Position(90), ..Checkpoint::default() };
        FoundHandler {
            name: "one".parse().unwrap(),
            saved: Saved::At { checkpoint, position: Position(95), time: now() },
            owner: Owner::Lives("host-1".into()),
            is_named: true,
            oldest_open: None,
            kept: Vec::new(),
            inputs: Inputs::Log,
            bucket: None,
            dead: Dead::default(),
            held: HeldUp::default(),
            checkpoint: Subject::from_checked("wx.shop.checkpoint.one.0"),
        }
    }
}
