//! One run: an instance, a call, and what came of it.

use std::sync::Arc;

use wasmtime::Store;
use waxwing_event::{Event, Failure, Outcome, outcome::FailureKind};

use crate::{
    contract::waxwing::events::types,
    effects::Overflow,
    failure,
    guest::{Guest, Task},
    handler::Loaded,
    instance::{self, Instance},
    slice,
    study::Used,
};

/// The end of a run.
pub(crate) struct Ended {
    /// How it ended.
    pub(crate) outcome: Outcome,
    /// Its instance, to be kept or dropped once the end is told; none where it could not be made.
    pub(crate) instance: Option<Instance>,
}

/// Runs an event in an instance that was kept, or in a new one.
pub(crate) async fn run(handler: Arc<Loaded>, kept: Option<Instance>, task: Task) -> Ended {
    let event = task.event.clone();
    let made = match kept {
        Some(mut instance) => {
            begin(&mut instance.store, task);
            Ok(instance)
        }
        None => make(handler, task).await,
    };
    let mut instance = match made {
        Ok(instance) => instance,
        Err(failure) => return Ended { outcome: Outcome::Failed(failure), instance: None },
    };
    let result = instance.exports.handle(&mut instance.store, &event).await;
    tell_used(&mut instance.store);
    let outcome = conclude(instance.store.data_mut(), result);
    Ended { outcome, instance: Some(instance) }
}

async fn make(handler: Arc<Loaded>, task: Task) -> Result<Instance, Failure> {
    let module = handler.module.clone();
    let mut store = instance::store(handler);
    begin(&mut store, task);
    match module.instantiate(&mut store).await {
        Ok(exports) => Ok(Instance { store, exports, runs: 0 }),
        Err(error) => Err(failure::of_error(&error, store.data())),
    }
}

fn begin(store: &mut Store<Guest>, task: Task) {
    store.data_mut().begin(task);
    slice::refill(store);
}

/// Tells a study what the run has used, and fills up its fuel.
fn tell_used(store: &mut Store<Guest>) {
    let Some(ear) = store.data().handler.surroundings.study.as_ref().and_then(|study| study.ear.clone())
    else {
        return;
    };
    let fuel = store.get_fuel().ok().map(|left| u64::MAX - left);
    ear.used(Used { memory_bytes: store.data().memory.used() as u64, fuel });
    let _ = store.set_fuel(u64::MAX);
}

fn conclude(guest: &mut Guest, result: wasmtime::Result<Result<(), types::Failure>>) -> Outcome {
    let outcome = match result {
        Ok(Ok(())) => match guest.effects.overflow() {
            None => Outcome::Done(guest.effects.take()),
            Some(overflow) => Outcome::Failed(too_many(overflow)),
        },
        Ok(Err(failure)) => Outcome::Failed(failure::of_guest(failure, guest)),
        Err(error) => Outcome::Failed(failure::of_error(&error, guest)),
    };
    guest.end();
    outcome
}

fn too_many(overflow: Overflow) -> Failure {
    let limit = match overflow {
        Overflow::Entries(limit) => format!("{limit} effects"),
        Overflow::Bytes(limit) => format!("{limit} bytes of effects"),
    };
    Failure::new(
        FailureKind::Effects,
        format!("wanted more than its limit of {limit}: none of them was written"),
    )
}

/// The attributes of an event other than its own, as the contract has them.
pub(crate) fn attributes(event: &Event) -> Vec<types::AttributeParam<'_>> {
    event.extensions.iter().map(|(name, value)| types::AttributeParam { name, value }).collect()
}

/// The event as the contract has it, borrowed: its text is copied once, into the guest's memory.
pub(crate) fn record<'a>(
    event: &'a Event,
    extensions: &'a [types::AttributeParam<'a>],
) -> types::EventParam<'a> {
    types::EventParam {
        id: &event.id,
        source: &event.source,
        type_: &event.event_type,
        subject: event.subject.as_str(),
        about: event.about.as_deref(),
        time: event.time.as_deref(),
        content_type: event.content_type.as_deref(),
        data_schema: event.data_schema.as_deref(),
        correlation_id: &event.correlation_id,
        causation_id: event.causation_id.as_deref(),
        key: event.key.as_deref(),
        position: event.position.0,
        attempt: event.attempt,
        extensions,
        data: &event.data,
    }
}
