//! A log in a JetStream stream.
//!
//! Two connections: one for commits and single reads, one for readers. A stored entry whose headers are
//! broken ends the connection that it is delivered on, so readers have theirs to themselves, and take such
//! an entry through the API, in base64.
//!
//! | module | noun |
//! | --- | --- |
//! | [`mod@connect`], `line`, `denied` | connections, their renewal, and what they may not do |
//! | `api` | requests to JetStream |
//! | [`options`], `config`, `settings`, `found`, [`stream`] | what is asked of the stream, and whether it holds |
//! | `bucket` | handlers' state as clients of a KV bucket read it |
//! | `pipeline`, `writer`, `gate`, `group`, `flights`, `promise`, `message`, `ack` | the way of a commit |
//! | `reader`, `consumer`, `delivery`, `filters` | the way of a read entry |
//! | `stored`, `each` | single entries, the last of each subject |
//! | `headers` | headers on their way |
//! | [`look`] | server and stream as they are, for those who only look |
//! | [`modules`] | the app's modules, in an object store |
//! | `outside` | what lies outside the log: subjects to publish to, streams to read |

mod ack;
mod api;
mod bucket;
mod config;
pub mod connect;
mod consumer;
mod delivery;
mod denied;
mod each;
mod filters;
mod flights;
mod found;
mod gate;
mod group;
pub mod headers;
mod line;
pub mod look;
mod message;
pub mod modules;
pub mod options;
mod outside;
mod pipeline;
mod promise;
mod reader;
mod settings;
mod stored;
pub mod stream;
mod writer;

use std::sync::Arc;

use async_trait::async_trait;
use waxwing_engine::port::{
    Log,
    log::{Bounds, Done, Entry, NewEntry, Part, ReadError, Reader},
};
use waxwing_event::{Pattern, Position, Subject};

use self::{api::Api, line::Line, pipeline::Pipeline, reader::JetStreamReader, stored::Stored};
pub use self::{
    api::{ApiError, ServerError},
    bucket::SeenBucket,
    connect::{ConnectError, Link, Server, connect},
    look::Look,
    modules::ModuleStore,
    options::{Options, Storage},
    outside::JetStreamOutside,
    settings::Breach,
    stream::OpenError,
};
use crate::form::{ADDED_HEADER_BYTES, Form};

/// A log in a JetStream stream.
#[derive(Debug)]
pub struct JetStreamLog {
    stream: String,
    form: Form,
    api: Api,
    stored: Stored,
    pipeline: Pipeline,
    reads: Arc<Line>,
}

impl JetStreamLog {
    /// Connects, and makes the stream or makes sure that it keeps a log's promises.
    pub async fn open(server: &Server, options: &Options) -> Result<JetStreamLog, OpenError> {
        let commits = Arc::new(Line::connect(server, "commits").await?);
        let reads = Arc::new(Line::connect(server, "reads").await?);
        let link = commits.current();
        stream::check_version(link.client())?;
        let api = Api::new(commits.clone());
        let config = stream::ensure(&api, link.client(), options).await?;
        bucket::ensure_all(&api, options).await?;
        let kept = config.subjects.iter().filter_map(|subject| subject.parse().ok()).collect();
        let form =
            Form { kept, max_entry_bytes: max_entry_bytes(link.client().max_payload(), config.max_msg_size) };
        let stored = Stored::new(api.clone(), &config.name);
        let pipeline = Pipeline::start(commits, config.num_replicas);
        Ok(JetStreamLog { stream: config.name, form, api, stored, pipeline, reads })
    }

    /// The stream's name.
    pub fn stream(&self) -> &str {
        &self.stream
    }
}

/// What is left of the server's and the stream's limit for headers and payload together, when the headers
/// are added that a log needs.
fn max_entry_bytes(max_payload: usize, max_msg_size: i64) -> usize {
    let of_stream = usize::try_from(max_msg_size).ok().filter(|size| *size > 0).unwrap_or(usize::MAX);
    max_payload.min(of_stream).saturating_sub(ADDED_HEADER_BYTES)
}

#[async_trait]
impl Log for JetStreamLog {
    async fn bounds(&self) -> Result<Bounds, ReadError> {
        Ok(stream::state(&self.api, &self.stream).await?.bounds())
    }

    async fn read(
        &self,
        from: Position,
        subjects: &[Pattern],
        part: Part,
    ) -> Result<Box<dyn Reader>, ReadError> {
        let source = reader::Source {
            api: self.api.clone(),
            stored: self.stored.clone(),
            line: self.reads.clone(),
            stream: self.stream.clone(),
            made: None,
        };
        Ok(Box::new(JetStreamReader::new(source, from, subjects, part)))
    }

    fn commit(&self, entries: Vec<NewEntry>, done: Done) {
        match self.form.check(&entries) {
            Ok(()) => self.pipeline.write(entries, done),
            Err(error) => done(Err(error)),
        }
    }

    async fn last(&self, subject: &Subject) -> Result<Option<Entry>, ReadError> {
        Ok(self.stored.last(subject.as_str(), Part::Whole).await?)
    }

    async fn at(&self, position: Position, part: Part) -> Result<Option<Entry>, ReadError> {
        Ok(self.stored.at(position, part).await?)
    }

    async fn last_of_each(
        &self,
        subjects: &Pattern,
        part: Part,
        limit: usize,
    ) -> Result<Vec<Entry>, ReadError> {
        Ok(each::last_of_each(&self.api, &self.stored, &self.stream, (subjects, part, limit)).await?)
    }

    async fn remove(&self, subjects: &Pattern, last: Position) -> Result<(), ReadError> {
        let which = serde_json::json!({ "filter": subjects.as_str(), "seq": last.next().0 });
        let request = format!("STREAM.PURGE.{}", self.stream);
        self.api.call::<serde_json::Value>(&request, &which).await?;
        Ok(())
    }

    fn max_entry_bytes(&self) -> usize {
        self.form.max_entry_bytes
    }

    fn losses(&self) -> u64 {
        self.reads.current().watch().borrow().losses
    }
}
