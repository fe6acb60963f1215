//! The guest `caller` in a sandbox, without NATS.

use std::{num::NonZeroUsize, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::Value;
use tokio::sync::oneshot;
use waxwing_engine::port::{
    Invoke,
    invoke::{Report, Run, StateUnavailable, StateView},
};
use waxwing_event::{
    Event, Failure, HandlerSpec, Headers, Outcome, Position, decode,
    http::{Addresses, HttpGrant},
};
use waxwing_sandbox::{Handler, Options, Outside, Sandbox};

use crate::app::module;

struct NoState;

#[async_trait]
impl StateView for NoState {
    async fn get(&self, _: &str) -> Result<Option<Bytes>, StateUnavailable> {
        Ok(None)
    }

    async fn keys(&self, _: &str) -> Result<Vec<String>, StateUnavailable> {
        Ok(Vec::new())
    }
}

/// A sandbox with one worker, so that a guest which held it would hold all.
pub struct Bed {
    sandbox: Sandbox,
}

impl Bed {
    pub fn new(outside: Outside) -> Bed {
        let options = Options {
            workers: NonZeroUsize::MIN,
            instances: 32,
            outside,
            app: "shop".to_owned(),
            ..Options::default()
        };
        Bed { sandbox: Sandbox::new(options).unwrap() }
    }

    pub fn load(&self, spec: &HandlerSpec) -> Arc<Handler> {
        let bytes = std::fs::read(module("caller")).unwrap();
        self.sandbox.load(spec, &bytes).unwrap()
    }
}

/// The handler, with these origins granted, private ones too.
pub fn spec(origins: &[&str]) -> HandlerSpec {
    let mut spec = HandlerSpec::new("caller".parse().unwrap(), vec!["calls.asked".parse().unwrap()]);
    spec.grants.emit = vec!["calls.made".parse().unwrap()];
    spec.limits.deadline = std::time::Duration::from_secs(30);
    spec.grants.http = origins.iter().map(|origin| private(origin)).collect();
    spec
}

pub fn private(origin: &str) -> HttpGrant {
    HttpGrant { reach: Addresses::All, ..HttpGrant::new(origin.parse().unwrap()) }
}

/// An event that asks for these calls.
pub fn asked(id: &str, calls: &Value, more: &[(&'static str, &str)]) -> Event {
    let own: [(&'static str, &str); 5] = [
        ("ce-specversion", "1.0"),
        ("ce-id", id),
        ("ce-source", "/test"),
        ("ce-type", "calls.asked"),
        ("ce-datacontenttype", "application/json"),
    ];
    let own = own.into_iter().chain(more.iter().copied());
    let headers: Headers = own.collect();
    let data = Bytes::from(calls.to_string());
    decode::event(&"calls.asked".parse().unwrap(), Position(1), &headers, &data).unwrap()
}

pub async fn run(handler: &Handler, event: Event) -> Outcome {
    let (sender, receiver) = oneshot::channel();
    let reporter = Box::new(move |report: Report| drop(sender.send(report)));
    handler.invoke(Run { event: Arc::new(event), state: Arc::new(NoState), is_asked: false, reporter });
    receiver.await.unwrap().outcome
}

/// What came of the calls of an event.
pub async fn call(handler: &Handler, calls: Value) -> Value {
    match run(handler, asked("1", &calls, &[])).await {
        Outcome::Done(effects) => serde_json::from_slice(&effects.emits[0].data).unwrap(),
        Outcome::Failed(failure) => panic!("{failure:?}"),
    }
}

pub async fn failure(handler: &Handler, calls: Value) -> Failure {
    match run(handler, asked("1", &calls, &[])).await {
        Outcome::Failed(failure) => failure,
        Outcome::Done(effects) => panic!("{effects:?}"),
    }
}
