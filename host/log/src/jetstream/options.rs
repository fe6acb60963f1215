//! What an app asks of its log.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use waxwing_event::{AppName, HandlerName, Pattern};

/// Where a stream keeps its entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Storage {
    /// On disk.
    #[default]
    File,
    /// In the server's memory: gone with the server.
    Memory,
}

/// An app's log.
#[derive(Debug, Clone)]
pub struct Options {
    /// Whose log it is; its stream is `wx-<app>`.
    pub app: AppName,
    /// The app's own subjects. What the host remembers, `wx.<app>.>`, comes beside them.
    pub events: Vec<Pattern>,
    /// Where a new stream keeps its entries; an existing one must keep them there already.
    pub storage: Storage,
    /// How long entries stay that do not say otherwise. None: for ever in a new stream, as it is in an
    /// existing one.
    pub retention: Option<Duration>,
    /// Copies of a new stream in a cluster; an existing one gets more, never fewer.
    pub replicas: usize,
    /// A limit for the stream's size, for accounts that demand one. When it is reached the oldest entries
    /// go, state included.
    pub max_bytes: Option<u64>,
    /// Handlers whose state is shown in a KV bucket, `<app>-<handler>`.
    pub buckets: Vec<HandlerName>,
}

impl Options {
    /// One copy on disk, kept for ever.
    pub fn new(app: AppName, events: Vec<Pattern>) -> Options {
        Options {
            app,
            events,
            storage: Storage::File,
            retention: None,
            replicas: 1,
            max_bytes: None,
            buckets: Vec::new(),
        }
    }

    /// The stream's name.
    pub fn stream(&self) -> String {
        format!("wx-{}", self.app)
    }

    /// All subjects of the stream.
    pub fn subjects(&self) -> Vec<String> {
        let mut subjects: Vec<String> = self.events.iter().map(ToString::to_string).collect();
        subjects.push(format!("wx.{}.>", self.app));
        subjects
    }
}
