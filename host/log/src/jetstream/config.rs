//! The settings of a stream that matter to a log, by the names of JetStream's API.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::options::{Options, Storage};

/// A stream's settings. Numbers below one mean: no limit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Config {
    pub(super) name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) description: String,
    #[serde(default)]
    pub(super) subjects: Vec<String>,
    pub(super) retention: Retention,
    pub(super) storage: Storage,
    pub(super) discard: Discard,
    pub(super) num_replicas: usize,
    /// Nanoseconds.
    #[serde(default)]
    pub(super) max_age: u64,
    #[serde(default)]
    pub(super) max_bytes: i64,
    #[serde(default)]
    pub(super) max_msgs: i64,
    #[serde(default)]
    pub(super) max_msgs_per_subject: i64,
    #[serde(default, skip_serializing_if = "is_unset")]
    pub(super) max_msg_size: i64,
    #[serde(default)]
    pub(super) allow_rollup_hdrs: bool,
    #[serde(default)]
    pub(super) allow_msg_ttl: bool,
    #[serde(default)]
    pub(super) allow_atomic: bool,
    #[serde(flatten)]
    pub(super) never: NeverSet,
}

/// Settings that a log's stream has not.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct NeverSet {
    #[serde(skip_serializing_if = "is_unset")]
    pub(super) sealed: bool,
    #[serde(skip_serializing_if = "is_unset")]
    pub(super) no_ack: bool,
    #[serde(skip_serializing_if = "is_unset")]
    pub(super) deny_purge: bool,
    #[serde(skip_serializing_if = "is_unset")]
    pub(super) allow_msg_counter: bool,
    /// Nanoseconds.
    #[serde(skip_serializing_if = "is_unset")]
    pub(super) subject_delete_marker_ttl: u64,
    #[serde(skip_serializing_if = "is_unset")]
    pub(super) persist_mode: String,
    #[serde(skip_serializing_if = "is_unset")]
    pub(super) mirror: Option<Value>,
    #[serde(skip_serializing_if = "is_unset")]
    pub(super) subject_transform: Option<Value>,
}

fn is_unset<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// What becomes of entries that have been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Retention {
    Limits,
    Interest,
    Workqueue,
}

/// Which entries go when a stream is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Discard {
    Old,
    New,
}

impl Config {
    /// The settings of a new stream. It takes no schedules: one on any of its subjects writes to any other, past the
    /// permissions of who sets it.
    pub(super) fn asked(options: &Options) -> Config {
        Config {
            name: options.stream(),
            description: format!("the log of the Waxwing app `{}`", options.app),
            subjects: options.subjects(),
            retention: Retention::Limits,
            storage: options.storage,
            discard: Discard::Old,
            num_replicas: options.replicas.max(1),
            max_age: options.retention.map_or(0, nanos),
            max_bytes: options.max_bytes.and_then(|bytes| i64::try_from(bytes).ok()).unwrap_or(-1),
            max_msgs: -1,
            max_msgs_per_subject: -1,
            max_msg_size: 0,
            allow_rollup_hdrs: true,
            allow_msg_ttl: true,
            allow_atomic: true,
            never: NeverSet::default(),
        }
    }
}

/// A duration as JetStream's API has it.
pub(super) fn nanos(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
