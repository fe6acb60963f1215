//! What is told: each a line for people, and an object on a line for programs.

use std::time::Duration;

use serde::{Serialize, Serializer};
use waxwing_event::{AppName, Digest, HandlerName};

/// What is told beside events.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "what", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub(super) enum Told {
    /// Where the log is.
    Log {
        on: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        server: Option<String>,
        text: String,
    },
    /// All handlers that can be had are live.
    Ready {
        app: AppName,
        handlers: Vec<HandlerName>,
        /// Those that are not, yet.
        missing: Vec<HandlerName>,
    },
    /// A build begins.
    Building { files: Vec<String> },
    /// It has ended well.
    Built {
        files: Vec<String>,
        #[serde(rename = "buildMs", serialize_with = "millis")]
        time: Duration,
        /// The handlers of which something is another.
        changed: Vec<HandlerName>,
    },
    /// Something did not work; what ran before goes on.
    Failed {
        step: Step,
        #[serde(skip_serializing_if = "Option::is_none")]
        handler: Option<HandlerName>,
        files: Vec<String>,
        text: String,
    },
    /// A handler runs what is on the disk now.
    Swapped(Swapped),
    /// A handler runs no more: the manifest does not name it.
    Removed { handler: HandlerName },
    /// All handlers begin anew: more has changed than they.
    Restarted,
    /// Events that were only counted.
    More {
        handler: HandlerName,
        events: u64,
        failed: u64,
        #[serde(rename = "meanMs", serialize_with = "millis")]
        mean: Duration,
    },
    /// Something about a handler that a person should know.
    Handler { handler: HandlerName, text: String },
    /// Handlers are paused.
    Paused { handlers: Vec<HandlerName> },
    /// They go on.
    Resumed { handlers: Vec<HandlerName> },
    /// An event was published as a person wished.
    Published { id: String, subject: String, position: u64 },
    /// It ends.
    Stopping { why: &'static str },
}

/// Where something did not work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Step {
    /// The manifest.
    Manifest,
    /// What is watched.
    Watch,
    /// The build.
    Build,
    /// A module.
    Load,
    /// What a person wished.
    Wish,
}

/// A handler that runs what is on the disk now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Swapped {
    pub(super) handler: HandlerName,
    pub(super) how: How,
    pub(super) files: Vec<String>,
    pub(super) module: Digest,
    /// From the first change to the end of the build, as far as that is known.
    #[serde(rename = "buildMs", serialize_with = "millis")]
    pub(super) build: Duration,
    /// Of what follows: checking and compiling the module.
    #[serde(rename = "loadMs", serialize_with = "millis")]
    pub(super) load: Duration,
    /// From the end of the build until it is live.
    #[serde(rename = "swapMs", serialize_with = "millis")]
    pub(super) swap: Duration,
}

/// How a handler came to run it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum How {
    /// It begins.
    Begun,
    /// It goes on without a pause.
    Swapped,
    /// It has begun anew, as more than its runs is another.
    BegunAnew,
}

/// Milliseconds with three places.
pub(super) fn millis<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    let micros = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
    serializer.serialize_f64(f64::from(micros) / 1_000.0)
}
