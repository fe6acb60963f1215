//! What lies outside an app's log on NATS: subjects to publish to, and streams to read.
//!
//! Two connections of its own: one to publish, one to read, so that nothing that happens there disturbs the
//! log's. The one to publish has a thread of its own: `sender` says why.
//!
//! | module | noun |
//! | --- | --- |
//! | `sender`, `answer` | the way of a message that goes out |
//! | `foreign` | a stream that the app does not own |

mod answer;
mod foreign;
mod sender;

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::mpsc;
use waxwing_engine::port::outside::{
    Done, Message, OpenError, OpenStream, Outside, Publish, SendError, Streams,
};
use waxwing_event::StreamName;

use self::sender::Parcel;
use super::{
    api::Api,
    connect::{ConnectError, Server},
    line::Line,
};

/// What lies outside an app's log on NATS.
#[derive(Debug)]
pub struct JetStreamOutside {
    queue: mpsc::UnboundedSender<Parcel>,
    api: Api,
    reads: Arc<Line>,
}

impl JetStreamOutside {
    /// Connects.
    pub async fn connect(server: &Server) -> Result<JetStreamOutside, ConnectError> {
        let queue = sender::start(server).await?;
        let reads = Arc::new(Line::connect(server, "streams").await?);
        Ok(JetStreamOutside { queue, api: Api::new(reads.clone()), reads })
    }

    /// As the engine takes it.
    pub fn into_port(self) -> Outside {
        let shared = Arc::new(self);
        Outside { publish: shared.clone(), streams: shared }
    }
}

impl Publish for JetStreamOutside {
    fn publish(&self, message: Message, done: Done) {
        if let Err(mpsc::error::SendError(parcel)) = self.queue.send(Parcel { message, done }) {
            (parcel.done)(Err(SendError::Away("the connection was closed".to_owned())));
        }
    }
}

#[async_trait]
impl Streams for JetStreamOutside {
    async fn open(&self, name: &StreamName) -> Result<OpenStream, OpenError> {
        foreign::open(&self.api, &self.reads, name).await
    }
}
