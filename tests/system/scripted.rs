//! A sandbox without a sandbox: handlers as plain functions, to test the engine fast and at every step.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use waxwing_engine::port::{
    Invoke,
    invoke::{Report, Run, StateView},
};
use waxwing_event::{Digest, Effects, Emit, Event, Failure, Outcome, Reply, Subject, outcome::FailureKind};

/// A handler in plain Rust.
pub struct Scripted<F>(pub F);

/// What a scripted handler writes to.
pub struct Script {
    pub event: Arc<Event>,
    pub is_asked: bool,
    state: Arc<dyn StateView>,
    pub effects: Effects,
}

impl Script {
    pub async fn get(&self, key: &str) -> Option<Bytes> {
        self.state.get(key).await.unwrap()
    }

    pub fn set(&mut self, key: &str, value: impl Into<Bytes>) {
        self.effects.state.insert(key.to_owned(), Some(value.into()));
    }

    pub fn reply(&mut self, data: impl Into<Bytes>) {
        self.effects.reply = Some(Reply { data: data.into(), ..Reply::default() });
    }

    pub fn emit(&mut self, subject: &str, data: impl Into<Bytes>) {
        self.effects.emits.push(Emit {
            subject: subject.parse::<Subject>().unwrap(),
            event_type: None,
            about: None,
            content_type: None,
            data_schema: None,
            extensions: Vec::new(),
            data: data.into(),
            aggregate: None,
        });
    }
}

impl<F, R> Invoke for Scripted<F>
where
    F: Fn(Script) -> R + Send + Sync,
    R: Future<Output = Result<Script, Failure>> + Send + 'static,
{
    fn invoke(&self, run: Run) {
        let script = Script {
            event: run.event,
            is_asked: run.is_asked,
            state: run.state,
            effects: Effects::default(),
        };
        let ran = (self.0)(script);
        tokio::spawn(async move {
            let outcome = match ran.await {
                Ok(script) => Outcome::Done(script.effects),
                Err(failure) => Outcome::Failed(failure),
            };
            (run.reporter)(Report { outcome, elapsed: Duration::ZERO });
        });
    }

    fn digest(&self) -> Digest {
        Digest([1; 32])
    }
}

/// Counts each key in state and tells each count, as far as the data's `mode` says: `both`, `state`, `emit`,
/// `none`, `even` (as `both`, but nothing where the count is odd) or `fail`. Gives way to others in between,
/// so that runs mix.
pub async fn count(mut script: Script) -> Result<Script, Failure> {
    let data: BTreeMap<String, serde_json::Value> = serde_json::from_slice(&script.event.data).unwrap();
    let key = data["key"].as_str().unwrap().to_owned();
    let n = data["n"].as_u64().unwrap();
    let mode = data["mode"].as_str().unwrap();
    for _ in 0..n % 4 {
        tokio::task::yield_now().await;
    }
    let count = script.get(&key).await.map_or(0, |v| String::from_utf8_lossy(&v).parse::<u64>().unwrap());
    tokio::task::yield_now().await;
    match mode {
        "none" => return Ok(script),
        "even" if count % 2 == 1 => return Ok(script),
        "fail" => return Err(Failure::new(FailureKind::Reject, "as asked")),
        _ => {}
    }
    if mode != "emit" {
        script.set(&key, (count + 1).to_string());
    }
    if mode != "state" {
        script.emit("out.counted", format!(r#"{{"key":"{key}","n":{n},"count":{count}}}"#));
    }
    Ok(script)
}
