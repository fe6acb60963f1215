//! State: the run's own writes, laid over what is committed.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use bytes::Bytes;
use waxwing_engine::{
    entry::state::encoded_bytes,
    port::invoke::{StateUnavailable, StateView},
};

use crate::{
    contract::waxwing::events::state::{Host, StateError},
    effects::Overflow,
    guest::Guest,
    slice,
    timer::Sleep,
};

/// The longest key.
const KEY_BYTES: usize = 200;

/// The longest key as it stands in a subject.
const ENCODED_KEY_BYTES: usize = 250;

impl Host for Guest {
    async fn get(&mut self, key: String) -> Result<Option<Vec<u8>>, StateError> {
        check_key(&key)?;
        if let Some(own) = self.effects.written(&key) {
            return Ok(own.map(|value| value.to_vec()));
        }
        let read = awaited(self.handler.state_wait, async { committed(&self.state)?.get(&key).await }).await;
        self.noted(read).map(|value| value.map(Vec::from))
    }

    fn set(&mut self, key: String, value: Vec<u8>) -> Result<(), StateError> {
        check_key(&key)?;
        let limits = &self.handler.limits;
        if value.len() as u64 > limits.entry_bytes {
            return Err(StateError::TooLarge(limits.entry_bytes));
        }
        self.effects.write(key, Some(Bytes::from(value)), limits).map_err(too_many)
    }

    fn delete(&mut self, key: String) -> Result<(), StateError> {
        check_key(&key)?;
        self.effects.write(key, None, &self.handler.limits).map_err(too_many)
    }

    async fn keys(&mut self, prefix: String) -> Result<Vec<String>, StateError> {
        check_prefix(&prefix)?;
        let read =
            awaited(self.handler.state_wait, async { committed(&self.state)?.keys(&prefix).await }).await;
        let committed = self.noted(read)?;
        Ok(self.effects.lay_over(committed, &prefix))
    }
}

impl Guest {
    /// Remembers that state could not be read: it may be why the run fails.
    fn noted<T>(&mut self, read: Result<T, StateUnavailable>) -> Result<T, StateError> {
        read.map_err(|error| {
            let text = error.to_string();
            self.state_unavailable = Some(error);
            StateError::Unavailable(text)
        })
    }
}

/// State and histories without the run's own writes.
pub(super) fn committed(state: &Option<Arc<dyn StateView>>) -> Result<&dyn StateView, StateUnavailable> {
    state.as_deref().ok_or_else(|| StateUnavailable("no run is under way".to_owned()))
}

/// Waits for the log, which is no fault of the guest's: its deadline does not count for that time.
pub(super) async fn awaited<T, E: From<StateUnavailable>>(
    most: Duration,
    read: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let mut read = pin!(read);
    let mut end = None;
    poll_fn(|context| {
        if let Poll::Ready(read) = read.as_mut().poll(context) {
            return Poll::Ready(read);
        }
        // Most values are in memory: only a wait needs an end.
        let end = end.get_or_insert_with(|| Sleep::until(Instant::now() + most));
        if Pin::new(end).poll(context).is_ready() {
            let why = format!("the log did not answer within {most:?}");
            return Poll::Ready(Err(StateUnavailable(why).into()));
        }
        slice::wait_for_state();
        Poll::Pending
    })
    .await
}

fn too_many(overflow: Overflow) -> StateError {
    StateError::TooMany(overflow.limit())
}

fn check_key(key: &str) -> Result<(), StateError> {
    check_name(("a", "key"), key).map_err(StateError::InvalidKey)
}

fn check_prefix(prefix: &str) -> Result<(), StateError> {
    check_length("key", prefix).map_err(StateError::InvalidKey)
}

/// Checks what becomes the end of a subject; article and noun say what it is.
pub(super) fn check_name((article, noun): (&str, &str), name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err(format!("{article} {noun} must not be empty"));
    }
    check_length(noun, name)
}

fn check_length(noun: &str, name: &str) -> Result<(), String> {
    if name.len() > KEY_BYTES {
        return Err(format!("the {noun} has {} bytes: at most {KEY_BYTES} are allowed", name.len()));
    }
    let encoded = encoded_bytes(name);
    if encoded > ENCODED_KEY_BYTES {
        return Err(format!(
            "`{name}` takes {encoded} bytes in a subject: at most {ENCODED_KEY_BYTES} are allowed, \
             and only A-Z a-z 0-9 - _ / and single dots take one"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_keys() {
        assert!(check_key("").is_err());
        assert!(check_key("k").is_ok());
        assert!(check_key(&"k".repeat(KEY_BYTES)).is_ok());
        assert!(check_key(&"k".repeat(KEY_BYTES + 1)).is_err());
        assert!(check_key(&"@".repeat(83)).is_ok());
        assert!(check_key(&"@".repeat(84)).is_err());
        // Dots without anything between them take as much as other signs.
        assert!(check_key(&".".repeat(83)).is_ok());
        assert!(check_key(&".".repeat(84)).is_err());
        assert!(check_key("ä b").is_ok());
        assert!(check_prefix("").is_ok());
    }
}
