//! A sandbox and its surroundings for tests.

use std::{
    future::pending,
    sync::{
        Arc,
        mpsc::{Receiver, channel},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use waxwing_engine::port::{
    Invoke,
    invoke::{Report, Run, StateUnavailable, StateView},
};
use waxwing_event::{Effects, Event, Failure, HandlerSpec, Outcome, Position, Subject};
use waxwing_sandbox::{Handler, Options, Sandbox};

/// Longer than anything here takes, however busy the machine is.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A sandbox with so many workers.
pub(crate) fn sandbox(workers: usize) -> Sandbox {
    let workers = workers.try_into().unwrap();
    Sandbox::new(Options { workers, instances: 40, ..Options::default() }).unwrap()
}

/// A handler that may emit to `out.>`.
pub(crate) fn spec() -> HandlerSpec {
    let mut spec = HandlerSpec::new("tested".parse().unwrap(), vec!["in.>".parse().unwrap()]);
    spec.grants.emit = vec!["out.>".parse().unwrap()];
    spec.limits.deadline = Duration::from_secs(20);
    spec
}

/// An event with this data.
pub(crate) fn event(data: &[u8]) -> Event {
    Event {
        id: "e1".into(),
        source: "/tests".into(),
        event_type: "in.a".into(),
        subject: Subject::from_checked("in.a"),
        about: None,
        time: None,
        content_type: None,
        data_schema: None,
        correlation_id: "e1".into(),
        causation_id: None,
        extensions: vec![("region".into(), "north".into())],
        key: Some("k".into()),
        position: Position(7),
        attempt: 1,
        data: Bytes::copy_from_slice(data),
    }
}

/// State for tests.
pub(crate) enum State {
    /// Every key has this value.
    Value(&'static str),
    /// It cannot be read.
    Away,
    /// Every key has this value, after a while.
    Late(&'static str, Duration),
    /// It never answers.
    Silent,
    /// Reading it panics.
    Broken,
}

#[async_trait]
impl StateView for State {
    async fn get(&self, _: &str) -> Result<Option<Bytes>, StateUnavailable> {
        match self {
            State::Value(value) => Ok(Some(Bytes::from_static(value.as_bytes()))),
            State::Away => Err(StateUnavailable("no server".into())),
            State::Late(value, after) => {
                let (sender, receiver) = tokio::sync::oneshot::channel();
                let after = *after;
                std::thread::spawn(move || {
                    std::thread::sleep(after);
                    sender.send(()).unwrap();
                });
                receiver.await.unwrap();
                Ok(Some(Bytes::from_static(value.as_bytes())))
            }
            State::Silent => pending().await,
            State::Broken => panic!("broken on request"),
        }
    }

    async fn keys(&self, _: &str) -> Result<Vec<String>, StateUnavailable> {
        Ok(Vec::new())
    }
}

/// Queues a run; its reports come out of the receiver.
pub(crate) fn submit(handler: &Handler, event: Event, state: State) -> Receiver<Report> {
    submit_run(handler, event, state, false)
}

/// Queues the run of a request.
pub(crate) fn ask(handler: &Handler, data: &[u8]) -> Outcome {
    submit_run(handler, event(data), State::Away, true).recv_timeout(PATIENCE).unwrap().outcome
}

fn submit_run(handler: &Handler, event: Event, state: State, is_asked: bool) -> Receiver<Report> {
    let (sender, receiver) = channel();
    handler.invoke(Run {
        event: Arc::new(event),
        state: Arc::new(state),
        is_asked,
        reporter: Box::new(move |report| drop(sender.send(report))),
    });
    receiver
}

/// Runs an event and waits for its end.
pub(crate) fn run(handler: &Handler, data: &[u8], state: State) -> Outcome {
    submit(handler, event(data), state).recv_timeout(PATIENCE).unwrap().outcome
}

/// Runs an event in a handler of its own.
pub(crate) fn once(spec: &HandlerSpec, module: &[u8], state: State) -> Outcome {
    let sandbox = sandbox(1);
    let handler = sandbox.load(spec, module).unwrap();
    run(&handler, b"", state)
}

/// The effects of a run that ended well.
#[track_caller]
pub(crate) fn done(outcome: Outcome) -> Effects {
    match outcome {
        Outcome::Done(effects) => effects,
        Outcome::Failed(failure) => panic!("{failure}"),
    }
}

/// The failure of a run that did not.
#[track_caller]
pub(crate) fn failed(outcome: Outcome) -> Failure {
    match outcome {
        Outcome::Done(effects) => panic!("{effects:?}"),
        Outcome::Failed(failure) => failure,
    }
}
