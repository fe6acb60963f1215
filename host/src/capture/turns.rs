//! In which order events run again, and which of them do not.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use waxwing_engine::{entry::seen, lane::Key, source::Input};
use waxwing_event::{HandlerSpec, Position};

/// An input, and its turn among all that was written: behind which position of the app's log it ran, as far as that is
/// known.
pub struct Turn {
    /// Behind what it ran.
    pub position: Position,
    /// What ran.
    pub input: Input,
}

/// Puts inputs, which come in the order of their stream, into the order in which they ran then. `first` knows the first
/// entry that each of them has written.
///
/// One that has written none ran behind those before it of its key, and where one of all runs at a time behind the one before
/// it; of two streams no positions are compared.
pub fn turns(inputs: Vec<Input>, spec: &HandlerSpec, first: &BTreeMap<Position, Position>) -> Vec<Turn> {
    let is_elsewhere = spec.stream.is_some();
    let is_one_by_one = spec.concurrency.get() == 1 && spec.partitions.get() == 1;
    let mut last_of_key: HashMap<Option<Key>, Position> = HashMap::new();
    let mut last = Position::NONE;
    let turn = |input: Input| {
        let of_key = last_of_key.get(&input.key).copied().unwrap_or(Position::NONE);
        let before = if is_one_by_one { last } else { of_key };
        let silent = if is_elsewhere { last } else { input.entry.position.max(before) };
        let position = first.get(&input.entry.position).copied().unwrap_or(silent);
        if input.key.is_some() {
            last_of_key.insert(input.key.clone(), position.max(of_key));
        }
        last = position;
        Turn { position, input }
    };
    let mut turns: Vec<Turn> = inputs.into_iter().map(turn).collect();
    turns.sort_by_key(|turn| turn.position);
    turns
}

/// Leaves out events that had been handled at another position, as the handler's `dedupe` does.
pub fn without_duplicates(
    turns: Vec<Turn>,
    spec: &HandlerSpec,
    first: &BTreeMap<Position, Position>,
) -> Vec<Turn> {
    if !spec.dedupe_events {
        return turns;
    }
    let slot = |turn: &Turn| turn.input.event.as_ref().ok().map(|event| seen::slot(event));
    let has_written = |turn: &Turn| first.contains_key(&turn.input.entry.position);
    // Of several copies, that which has written something is the one that was handled.
    let written: HashMap<String, Timestamp> = turns
        .iter()
        .filter(|turn| has_written(turn))
        .filter_map(|turn| Some((slot(turn)?, turn.input.entry.time)))
        .collect();
    let mut handled: HashMap<String, Timestamp> = HashMap::new();
    let is_near = |one: Timestamp, other: Timestamp| one.duration_since(other).unsigned_abs() <= spec.dedupe;
    let mut turns = turns;
    turns.retain(|turn| {
        let Some(slot) = slot(turn) else { return true };
        let time = turn.input.entry.time;
        let is_known = handled.get(&slot).is_some_and(|before| is_near(time, *before));
        let is_other = written.get(&slot).is_some_and(|other| is_near(time, *other));
        let runs = has_written(turn) || !(is_known || is_other);
        if runs {
            handled.insert(slot, time);
        }
        runs
    });
    turns
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use waxwing_engine::{port::log::Entry, source};
    use waxwing_event::Subject;

    use super::*;

    fn input(position: u64, key: &str, id: &str, spec: &HandlerSpec) -> Input {
        let headers = [("Nats-Msg-Id", id)].into_iter().collect();
        let payload = format!(r#"{{"key":"{key}"}}"#).into();
        let (subject, time) = (Subject::from_checked("in.x"), Timestamp::UNIX_EPOCH);
        source::input(Entry { position: Position(position), subject, headers, payload, time }, spec)
    }

    fn spec() -> HandlerSpec {
        let mut spec = HandlerSpec::new("count".parse().unwrap(), vec!["in.>".parse().unwrap()]);
        spec.key = vec!["data.key".parse().unwrap()];
        spec.dedupe_events = true;
        spec
    }

    fn order(turns: &[Turn]) -> Vec<u64> {
        turns.iter().map(|turn| turn.input.entry.position.0).collect()
    }

    #[test]
    fn who_wrote_nothing_runs_behind_those_before_it_of_its_key() {
        let spec = spec();
        let inputs =
            || ["a", "a", "b", "a"].iter().zip(1..).map(|(key, n)| input(n, key, "", &spec)).collect();
        let first = [(Position(1), Position(7)), (Position(4), Position(9))].into();
        assert_eq!(order(&turns(inputs(), &spec, &first)), [3, 1, 2, 4]);
        let one_by_one = HandlerSpec { concurrency: NonZeroU32::MIN, ..spec.clone() };
        assert_eq!(order(&turns(inputs(), &one_by_one, &first)), [1, 2, 3, 4]);
        let elsewhere = HandlerSpec { stream: Some("ORDERS".parse().unwrap()), ..spec.clone() };
        assert_eq!(order(&turns(inputs(), &elsewhere, &first)), [1, 2, 3, 4]);
    }

    #[test]
    fn of_copies_that_runs_which_wrote_something() {
        let spec = spec();
        let inputs = ["x", "x", "y", "y"].iter().zip(1..).map(|(id, n)| input(n, "a", id, &spec)).collect();
        let first = [(Position(2), Position(8))].into();
        let turns = turns(inputs, &spec, &first);
        assert_eq!(order(&without_duplicates(turns, &spec, &first)), [2, 3]);
    }
}
