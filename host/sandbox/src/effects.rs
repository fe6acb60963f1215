//! What a run wants written, within the run's limits.

use std::ops::Bound;

use bytes::Bytes;
use waxwing_event::{Effects, Emit, Reply, TimerChange, handler::Limits};

/// The effects of a run so far.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    effects: Effects,
    bytes: u64,
    overflow: Option<Overflow>,
}

/// The limit that an effect would have broken. Nothing of the effect was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Overflow {
    /// So many entries.
    Entries(u32),
    /// So many bytes of them.
    Bytes(u64),
}

impl Overflow {
    /// The limit as a number, for the guest.
    pub(crate) fn limit(self) -> u64 {
        match self {
            Overflow::Entries(limit) => u64::from(limit),
            Overflow::Bytes(limit) => limit,
        }
    }
}

impl Buffer {
    /// Adds an event of this size.
    pub(crate) fn emit(&mut self, emit: Emit, bytes: u64, limits: &Limits) -> Result<(), Overflow> {
        self.admit(1, bytes, 0, limits)?;
        self.effects.emits.push(emit);
        Ok(())
    }

    /// Takes the reply, of this size. It is no entry, but its bytes count.
    pub(crate) fn reply(&mut self, reply: Reply, bytes: u64, limits: &Limits) -> Result<(), Overflow> {
        self.admit(0, bytes, 0, limits)?;
        self.effects.reply = Some(reply);
        Ok(())
    }

    /// True where the run has replied.
    pub(crate) fn has_reply(&self) -> bool {
        self.effects.reply.is_some()
    }

    /// Sets a key, or deletes it.
    pub(crate) fn write(
        &mut self,
        key: String,
        value: Option<Bytes>,
        limits: &Limits,
    ) -> Result<(), Overflow> {
        let replaced = self.effects.state.get(&key).map(|old| write_bytes(&key, old.as_ref()));
        let entries = usize::from(replaced.is_none());
        self.admit(entries, write_bytes(&key, value.as_ref()), replaced.unwrap_or(0), limits)?;
        self.effects.snapshots.remove(&key);
        self.effects.state.insert(key, value);
        Ok(())
    }

    /// Sets a key to what an aggregate's history has become.
    pub(crate) fn save(&mut self, id: String, snapshot: Bytes, limits: &Limits) -> Result<(), Overflow> {
        self.write(id.clone(), Some(snapshot), limits)?;
        self.effects.snapshots.insert(id);
        Ok(())
    }

    /// What the run itself has saved of an aggregate.
    pub(crate) fn saved(&self, id: &str) -> Option<&Bytes> {
        self.effects.state.get(id)?.as_ref().filter(|_| self.effects.snapshots.contains(id))
    }

    /// Sets a timer, or cancels it.
    pub(crate) fn change_timer(
        &mut self,
        id: String,
        change: TimerChange,
        limits: &Limits,
    ) -> Result<(), Overflow> {
        let replaced = self.effects.timers.get(&id).map(|old| timer_bytes(&id, old));
        let entries = usize::from(replaced.is_none());
        self.admit(entries, timer_bytes(&id, &change), replaced.unwrap_or(0), limits)?;
        self.effects.timers.insert(id, change);
        Ok(())
    }

    fn admit(&mut self, entries: usize, bytes: u64, freed: u64, limits: &Limits) -> Result<(), Overflow> {
        let total = self.bytes.saturating_sub(freed).saturating_add(bytes);
        let overflow = if self.effects.len() + entries > limits.effects as usize {
            Overflow::Entries(limits.effects)
        } else if total > limits.effect_bytes {
            Overflow::Bytes(limits.effect_bytes)
        } else {
            self.bytes = total;
            return Ok(());
        };
        self.overflow = Some(overflow);
        Err(overflow)
    }

    /// What the run itself has written to a key: some value, or none where it was deleted.
    pub(crate) fn written(&self, key: &str) -> Option<Option<&Bytes>> {
        self.effects.state.get(key).map(Option::as_ref)
    }

    /// Lays the run's own writes over sorted keys that start with `prefix`.
    pub(crate) fn lay_over(&self, mut keys: Vec<String>, prefix: &str) -> Vec<String> {
        let from = (Bound::Included(prefix), Bound::Unbounded);
        let mine = self.effects.state.range::<str, _>(from).take_while(|(key, _)| key.starts_with(prefix));
        for (key, value) in mine {
            match (keys.binary_search(key), value) {
                (Ok(place), None) => drop(keys.remove(place)),
                (Err(place), Some(_)) => keys.insert(place, key.clone()),
                _ => {}
            }
        }
        keys
    }

    /// The last limit that was reached, where one was: these effects are not all that the guest wanted.
    pub(crate) fn overflow(&self) -> Option<Overflow> {
        self.overflow
    }

    /// Everything that was kept.
    pub(crate) fn take(&mut self) -> Effects {
        std::mem::take(self).effects
    }
}

fn timer_bytes(id: &str, change: &TimerChange) -> u64 {
    let data = match change {
        TimerChange::Set(timer) => timer.data.len() + timer.content_type.as_ref().map_or(0, String::len),
        TimerChange::Cancel => 0,
    };
    (id.len() + data) as u64
}

fn write_bytes(key: &str, value: Option<&Bytes>) -> u64 {
    (key.len() + value.map_or(0, Bytes::len)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(effects: u32, effect_bytes: u64) -> Limits {
        Limits { effects, effect_bytes, ..Limits::default() }
    }

    fn value(bytes: usize) -> Option<Bytes> {
        Some(Bytes::from(vec![0; bytes]))
    }

    #[test]
    fn counts_each_key_once_and_its_last_value() {
        let limits = limits(2, 10);
        let mut buffer = Buffer::default();
        buffer.write("a".into(), value(9), &limits).unwrap();
        buffer.write("a".into(), value(3), &limits).unwrap();
        buffer.write("b".into(), value(5), &limits).unwrap();
        assert_eq!(buffer.write("b".into(), value(6), &limits), Err(Overflow::Bytes(10)));
        assert_eq!(buffer.write("c".into(), None, &limits), Err(Overflow::Entries(2)));
        assert_eq!(buffer.overflow(), Some(Overflow::Entries(2)));
        assert_eq!(buffer.written("b").unwrap().unwrap().len(), 5);
        assert_eq!(buffer.take().len(), 2);
        assert!(buffer.take().is_empty());
    }

    #[test]
    fn lays_its_writes_over_committed_keys() {
        let limits = Limits::default();
        let mut buffer = Buffer::default();
        for key in ["a", "p/2", "p/4", "q"] {
            buffer.write(key.into(), value(1), &limits).unwrap();
        }
        buffer.write("p/1".into(), None, &limits).unwrap();
        buffer.write("p/9".into(), None, &limits).unwrap();
        let committed = ["p/1", "p/2", "p/3"].map(String::from).to_vec();
        assert_eq!(buffer.lay_over(committed, "p/"), ["p/2", "p/3", "p/4"]);
    }
}
