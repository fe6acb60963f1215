//! How many entries of a stream lie ahead of a reader: the server knows, without anything being read.

use std::time::Duration;

use anyhow::Result;
use async_nats::jetstream::{
    consumer::{AckPolicy, DeliverPolicy, pull},
    stream::Stream,
};
use waxwing_event::{Pattern, Position};

/// How long the server keeps the consumer that it is asked of, should it not be deleted.
const INACTIVE: Duration = Duration::from_secs(5);

/// How many entries from `from` on stand on these subjects, which must not overlap.
pub async fn pending(stream: &Stream, from: Position, subjects: &[Pattern]) -> Result<u64> {
    let last = stream.cached_info().state.last_sequence;
    if from.0 > last {
        return Ok(0);
    }
    let mut pending = 0;
    for subject in subjects {
        let consumer = stream.create_consumer(pull::Config {
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: from.0.max(1) },
            ack_policy: AckPolicy::None,
            filter_subject: subject.to_string(),
            inactive_threshold: INACTIVE,
            memory_storage: true,
            num_replicas: 1,
            ..pull::Config::default()
        });
        let consumer = consumer.await?;
        let info = consumer.cached_info();
        pending += info.num_pending;
        // Where it cannot be deleted, it goes by itself.
        let _ = stream.delete_consumer(&info.name).await;
    }
    Ok(pending)
}
