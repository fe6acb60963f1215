//! A stream with three replicas, which takes only one message at a time about the same fence.

use std::sync::Arc;

use waxwing_engine::port::{
    Log,
    log::{CommitError, Committed, NewEntry, commit},
};
use waxwing_event::Position;
use waxwing_log::{JetStreamLog, jetstream::Options};

use super::bed::{entry, expecting, in_time, options};
use crate::{
    app::Backing,
    cluster::{Cluster, Sync},
};

const LEASE: &str = "wx.test.lease.h.0";
const MORE: &str = "wx.test.lease.h.1";

async fn log_on(cluster: &Cluster) -> Arc<JetStreamLog> {
    let options = Options { replicas: 3, ..options() };
    Arc::new(in_time(JetStreamLog::open(&cluster.address(), &options)).await.unwrap())
}

/// Hands all commits over at once and waits for their ends, in the order of the calls.
async fn pipelined(
    log: &Arc<JetStreamLog>,
    commits: Vec<Vec<NewEntry>>,
) -> Vec<Result<Committed, CommitError>> {
    let mut ends = Vec::new();
    for entries in commits {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        log.commit(entries, Box::new(move |end| drop(sender.send(end))));
        ends.push(receiver);
    }
    let mut told = Vec::new();
    for end in ends {
        told.push(in_time(end).await.unwrap());
    }
    told
}

fn fenced(payload: i32, lease: Position) -> Vec<NewEntry> {
    vec![expecting("a.b", &payload.to_string(), Some(LEASE), lease)]
}

#[tokio::test]
async fn a_replicated_stream_takes_pipelined_commits_under_one_fence() {
    let cluster = Cluster::three(Sync::Lazy).await;
    let log = log_on(&cluster).await;
    let lease = in_time(commit(log.as_ref(), vec![entry(LEASE, "me")])).await.unwrap().last;

    let ends = pipelined(&log, (0..1000).map(|n| fenced(n, lease)).collect()).await;
    let positions: Vec<u64> = ends.into_iter().map(|end| end.unwrap().last.0).collect();
    assert_eq!(positions, (2..=1001).collect::<Vec<_>>());

    // Commits under several fences wait for each of them.
    let more = in_time(commit(log.as_ref(), vec![entry(MORE, "me")])).await.unwrap().last;
    let both = || vec![expecting("a.b", "x", Some(LEASE), lease), expecting("a.b", "y", Some(MORE), more)];
    let mixed = (0..300).map(|n| match n % 3 {
        0 => both(),
        1 => fenced(n, lease),
        _ => vec![expecting("a.b", "z", Some(MORE), more)],
    });
    let ends = pipelined(&log, mixed.collect()).await;
    assert!(ends.iter().all(Result::is_ok), "{ends:?}");

    // One that must be refused takes none of its neighbours with it.
    let state = |last| [vec![expecting("wx.test.state.h.k", "1", None, last)], fenced(0, lease)].concat();
    let commits =
        vec![fenced(1, lease), fenced(2, lease), state(Position(5)), fenced(3, lease), state(Position(0))];
    let before = in_time(log.bounds()).await.unwrap().last.0;
    let ends = pipelined(&log, commits).await;
    let taken: Vec<Option<u64>> = ends.iter().map(|end| Some(end.as_ref().ok()?.last.0 - before)).collect();
    assert_eq!(taken, [Some(1), Some(2), None, Some(3), Some(5)], "{ends:?}");
    assert!(matches!(ends[2], Err(CommitError::Refused(_))), "{ends:?}");

    // A takeover refuses all that wait.
    let theirs =
        in_time(commit(log.as_ref(), vec![expecting(LEASE, "they", None, lease)])).await.unwrap().last;
    let ends = pipelined(&log, (0..20).map(|n| fenced(n, lease)).collect()).await;
    assert!(ends.iter().all(|end| matches!(end, Err(CommitError::Refused(_)))), "{ends:?}");
    in_time(commit(log.as_ref(), fenced(4, theirs))).await.unwrap();
}
