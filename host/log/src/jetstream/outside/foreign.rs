//! A stream that the app does not own: it is read as the log is, and never written.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use waxwing_engine::port::{
    log::{Part, ReadError, Reader},
    outside::{OpenError, OpenStream, Read},
};
use waxwing_event::{Pattern, Position, StreamName};

use crate::jetstream::{
    api::{Api, code},
    line::Line,
    reader::{JetStreamReader, Source},
    stored::Stored,
    stream,
};

/// Looks at a stream as it is now.
pub(super) async fn open(api: &Api, reads: &Arc<Line>, name: &StreamName) -> Result<OpenStream, OpenError> {
    let looked = stream::look(api, name.as_str()).await.map_err(|error| match error {
        error if error.is(code::NO_STREAM) => OpenError(format!(
            "there is no stream `{name}`: make it with `nats stream add {name}`, or correct `stream` in waxwing.toml"
        )),
        error => OpenError(format!("the stream `{name}` cannot be looked at: {error}")),
    })?;
    if !looked.keeps_what_was_read() {
        return Err(OpenError(format!(
            "the stream `{name}` drops entries once they are read (its retention is not `limits`): read a stream \
             that sources it instead"
        )));
    }
    let bounds = looked.state.bounds();
    let source =
        Incarnation { api: api.clone(), reads: reads.clone(), name: name.clone(), made: looked.made };
    Ok(OpenStream { bounds, made: looked.made, entries: Arc::new(source) })
}

/// A stream as it was looked at: another of the same name is not it.
struct Incarnation {
    api: Api,
    reads: Arc<Line>,
    name: StreamName,
    made: Timestamp,
}

#[async_trait]
impl Read for Incarnation {
    async fn read(
        &self,
        from: Position,
        subjects: &[Pattern],
        part: Part,
    ) -> Result<Box<dyn Reader>, ReadError> {
        let source = Source {
            api: self.api.clone(),
            stored: Stored::new(self.api.clone(), self.name.as_str()),
            line: self.reads.clone(),
            stream: self.name.as_str().to_owned(),
            made: Some(self.made),
        };
        Ok(Box::new(JetStreamReader::new(source, from, subjects, part)))
    }
}
