//! Reading histories.

use serde_json::Value;

use super::fact::from_fact;
use super::{Aggregate, AggregateError};
use crate::bindings::waxwing::events::types;
use crate::data::or_null;
use crate::host::Host;
#[cfg(target_family = "wasm")]
use crate::{Context, Outcome};

#[cfg(target_family = "wasm")]
/// The type of the event by which a host asks what an aggregate was.
const ASKED: &str = "waxwing.aggregate";

/// An event of a history, before it is what the aggregate's code knows.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Past {
    /// Its CloudEvents type.
    pub event_type: String,
    /// Its data; null where there is none.
    pub data: Value,
    /// When it happened: RFC 3339.
    pub time: Option<String>,
    /// Its position in the app's log.
    pub position: u64,
}

/// Folds all events of a history behind a position.
pub(crate) fn fold<A: Aggregate>(
    host: &Host,
    id: &str,
    aggregate: &mut A,
    mut after: u64,
) -> Result<bool, AggregateError> {
    let mut is_new = true;
    loop {
        let events = host.history_read(id, after)?;
        let Some(last) = events.last() else { return Ok(is_new) };
        after = last.position;
        is_new = false;
        for event in events {
            aggregate.evolve(read::<A>(event)?);
        }
    }
}

fn read<A: Aggregate>(event: types::Event) -> Result<A::Event, AggregateError> {
    let place = (event.position, event.type_.clone());
    let wrong = |source| AggregateError::Event { position: place.0, event_type: place.1.clone(), source };
    let data = serde_json::from_slice(or_null(&event.data)).map_err(wrong)?;
    let past = Past { event_type: event.type_, data, time: event.time, position: event.position };
    let past = A::upcast(past);
    from_fact(&past.event_type, past.data).map_err(wrong)
}

/// Whether a host asks by this event what an aggregate was.
#[cfg(target_family = "wasm")]
pub(crate) fn is_asked(event: &types::Event) -> bool {
    event.type_ == ASKED && event.subject.starts_with("wx.")
}

/// Tells what an aggregate has been made by the events that the host shows.
#[cfg(target_family = "wasm")]
pub(crate) fn tell<A: Aggregate>(event: &types::Event, cx: &mut Context) -> Outcome {
    let id = event.about.as_deref().unwrap_or_default();
    let mut aggregate = A::default();
    let is_new = fold(&cx.host, id, &mut aggregate, 0)?;
    if is_new { Ok(()) } else { cx.reply(&aggregate) }
}
