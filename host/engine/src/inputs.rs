//! Where a handler's inputs come from: the app's log, or a stream that the app does not own.

use std::sync::Arc;

use async_trait::async_trait;
use waxwing_event::{HandlerSpec, Pattern, Position};

use crate::{
    entry::Origin,
    port::{
        Log, Outside,
        log::{Bounds, Part, ReadError, Reader},
        outside::{OpenError, Read},
    },
};

/// A handler's inputs, as they were looked at.
#[derive(Clone)]
pub struct Inputs {
    /// Where they begin and end.
    pub bounds: Bounds,
    /// The stream that they come from; none: the app's log.
    pub origin: Option<Origin>,
    /// The entries themselves.
    pub entries: Arc<dyn Read>,
}

/// Why inputs cannot be read now; trying again may help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InputsError {
    /// The app's log cannot be looked at.
    #[error(transparent)]
    Log(#[from] ReadError),
    /// The stream cannot be looked at.
    #[error(transparent)]
    Stream(#[from] OpenError),
}

impl Inputs {
    /// Looks at what a handler reads.
    pub async fn open(
        log: &Arc<dyn Log>,
        outside: &Outside,
        spec: &HandlerSpec,
    ) -> Result<Inputs, InputsError> {
        let Some(stream) = &spec.stream else {
            let entries = Arc::new(OfTheLog(log.clone()));
            return Ok(Inputs { bounds: log.bounds().await?, origin: None, entries });
        };
        let opened = outside.streams.open(stream).await?;
        let origin = Origin { stream: stream.clone(), made: opened.made };
        Ok(Inputs { bounds: opened.bounds, origin: Some(origin), entries: opened.entries })
    }
}

struct OfTheLog(Arc<dyn Log>);

#[async_trait]
impl Read for OfTheLog {
    async fn read(
        &self,
        from: Position,
        subjects: &[Pattern],
        part: Part,
    ) -> Result<Box<dyn Reader>, ReadError> {
        self.0.read(from, subjects, part).await
    }
}
