//! Where runs and what they emit stand in a trace (W3C Trace Context, level 1).
//!
//! Ids are made of what a run is about: a second run of the same attempt, on this host or another, has the same. An event
//! without a trace begins one; its id is made of the correlation id, so all that one first event has caused is one trace.

use std::{fmt, str::FromStr};

use waxwing_event::Event;

use crate::stable_hash;

/// The attribute of an event that says where it stands in a trace.
pub const ATTRIBUTE: &str = "traceparent";

/// The flag of what is kept.
const SAMPLED: u8 = 1;

/// A place in a trace: `00-<trace id>-<span id>-<flags>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    /// Names the trace; never zero.
    pub trace: u128,
    /// Names the span in it; never zero.
    pub span: u64,
    /// The last bit is set where the trace is kept.
    pub flags: u8,
}

/// It is no `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no `traceparent` of W3C Trace Context")]
pub struct NoContext;

/// Which traces that begin here are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sampling {
    /// Traces whose id is below are: the lower 63 bits of it.
    below: u64,
}

/// A run, or what it has emitted, as a part of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Where it stands.
    pub context: TraceContext,
    /// The span that it is part of; none where the trace begins with it.
    pub parent: Option<u64>,
}

impl TraceContext {
    /// Where an event stands; none where it does not say so, or not in a way that can be read.
    pub fn of(event: &Event) -> Option<TraceContext> {
        event.extension(ATTRIBUTE)?.parse().ok()
    }

    /// True where whoever published it keeps the trace.
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }
}

impl FromStr for TraceContext {
    type Err = NoContext;

    fn from_str(text: &str) -> Result<TraceContext, NoContext> {
        let mut parts = text.splitn(5, '-');
        let mut next = |digits: usize| {
            let is_hex = |part: &&str| part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
            parts.next().filter(|part| part.len() == digits).filter(is_hex).ok_or(NoContext)
        };
        let (version, trace, span, flags) = (next(2)?, next(32)?, next(16)?, next(2)?);
        // Later versions may have more behind it.
        let has_more = parts.next().is_some();
        if version == "ff" || (version == "00" && has_more) {
            return Err(NoContext);
        }
        let trace = u128::from_str_radix(trace, 16).map_err(|_| NoContext)?;
        let span = u64::from_str_radix(span, 16).map_err(|_| NoContext)?;
        let flags = u8::from_str_radix(flags, 16).map_err(|_| NoContext)?;
        if trace == 0 || span == 0 { Err(NoContext) } else { Ok(TraceContext { trace, span, flags }) }
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, self.flags)
    }
}

impl Sampling {
    /// Of all traces this part, from 0 to 1, chosen by their ids as OpenTelemetry's `traceidratio` does.
    pub fn ratio(ratio: f64) -> Sampling {
        const ALL: u64 = 1 << 63;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let below = if ratio >= 1.0 { ALL } else { (ratio.max(0.0) * ALL as f64) as u64 };
        Sampling { below }
    }

    fn keeps(self, trace: u128) -> bool {
        u64::try_from(trace & LOW).is_ok_and(|low| low >> 1 < self.below)
    }
}

impl Span {
    /// The run of an event's present attempt. `source` names the handler, `came` is where the event stood when it came.
    pub fn of_run(source: &str, event: &Event, came: Option<TraceContext>, sampling: Sampling) -> Span {
        let numbers = [event.position.0, u64::from(event.attempt)];
        let span = hash("run", &numbers, &[source, &event.source, &event.id]);
        match came {
            Some(TraceContext { trace, span: parent, flags }) => {
                Span { context: TraceContext { trace, span, flags }, parent: Some(parent) }
            }
            None => {
                let half = |which| hash("trace", &[which], &[&event.correlation_id]);
                let trace = u128::from(half(0)) << 64 | u128::from(half(1));
                let flags = if sampling.keeps(trace) { SAMPLED } else { 0 };
                Span { context: TraceContext { trace, span, flags }, parent: None }
            }
        }
    }

    /// What the run has emitted as the entry `index` of its commit. Where the trace is not kept, that is no span of its own.
    pub fn of_emitted(&self, index: usize) -> Span {
        let TraceContext { trace, span, .. } = self.context;
        if !self.context.is_sampled() {
            return *self;
        }
        let (index, low) =
            (u64::try_from(index).unwrap_or(u64::MAX), u64::try_from(trace & LOW).unwrap_or_default());
        let id = hash("emitted", &[index, low, span], &[]);
        Span { context: TraceContext { span: id, ..self.context }, parent: Some(span) }
    }
}

/// The lower half of a trace's id.
const LOW: u128 = u64::MAX as u128;

/// A hash of all of them, and never zero.
fn hash(what: &str, numbers: &[u64], texts: &[&str]) -> u64 {
    let numbers = numbers.iter().flat_map(|number| number.to_be_bytes());
    // With its length behind it no text can pass for two.
    let texts = texts.iter().flat_map(|text| text.bytes().chain((text.len() as u64).to_be_bytes()));
    stable_hash::of(what.bytes().chain(numbers).chain(texts)).max(1)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;
    use waxwing_event::Position;

    use super::*;

    /// The example of the recommendation, section 3.2.
    const EXAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn event(id: &str, correlation_id: &str) -> Event {
        Event {
            id: id.to_owned(),
            source: "/shop".to_owned(),
            event_type: "t".to_owned(),
            subject: "a.b".parse().unwrap(),
            about: None,
            time: None,
            content_type: None,
            data_schema: None,
            correlation_id: correlation_id.to_owned(),
            causation_id: None,
            extensions: Vec::new(),
            key: None,
            position: Position(7),
            attempt: 1,
            data: Bytes::new(),
        }
    }

    #[test]
    fn reads_what_the_recommendation_allows() {
        let context: TraceContext = EXAMPLE.parse().unwrap();
        assert_eq!((context.to_string().as_str(), context.is_sampled()), (EXAMPLE, true));
        let later = EXAMPLE.replacen("00", "01", 1);
        assert_eq!(later.parse(), Ok(context));
        assert_eq!(format!("{later}-more").parse(), Ok(context));
        for bad in [
            "",
            "00",
            &EXAMPLE.replacen("00", "ff", 1),
            &EXAMPLE.to_uppercase(),
            &format!("{EXAMPLE}-more"),
            &format!("{EXAMPLE} "),
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(bad.parse::<TraceContext>(), Err(NoContext), "{bad}");
        }
    }

    #[test]
    fn a_run_is_part_of_what_its_event_came_in() {
        let came: TraceContext = EXAMPLE.parse().unwrap();
        let all = Sampling::ratio(1.0);
        let run = Span::of_run("/shop/a", &event("1", "1"), Some(came), all);
        assert_eq!((run.context.trace, run.context.flags, run.parent), (came.trace, 1, Some(came.span)));
        // The same again, another for all that differs.
        assert_eq!(run, Span::of_run("/shop/a", &event("1", "1"), Some(came), all));
        let second = Event { attempt: 2, ..event("1", "1") };
        for other in [
            Span::of_run("/shop/b", &event("1", "1"), Some(came), all),
            Span::of_run("/shop/a", &event("2", "1"), Some(came), all),
            Span::of_run("/shop/a", &second, Some(came), all),
        ] {
            assert_ne!(run.context.span, other.context.span);
        }
        let emitted = run.of_emitted(0);
        assert_eq!((emitted.context.trace, emitted.parent), (came.trace, Some(run.context.span)));
        assert_ne!(emitted.context.span, run.of_emitted(1).context.span);
    }

    #[test]
    fn what_one_first_event_has_caused_is_one_trace() {
        let none = Sampling::ratio(0.0);
        let first = Span::of_run("/shop/a", &event("1", "1"), None, none);
        let other = Span::of_run("/shop/b", &event("2", "1"), None, none);
        assert_eq!((first.context.trace, first.parent), (other.context.trace, None));
        assert!(!first.context.is_sampled());
        // What is not kept needs no spans between runs.
        assert_eq!(first.of_emitted(0), first);
        assert_ne!(first.context.trace, Span::of_run("/shop/a", &event("3", "3"), None, none).context.trace);
    }

    proptest! {
        #[test]
        fn reads_what_it_has_written(trace in 1_u128.., span in 1_u64.., flags: u8) {
            let context = TraceContext { trace, span, flags };
            prop_assert_eq!(context.to_string().parse(), Ok(context));
        }

        #[test]
        fn keeps_about_the_part_that_is_asked_for(ratio in 0.0..=1.0) {
            let kept = (0..2000).filter(|n| {
                let id = n.to_string();
                Span::of_run("/a", &event(&id, &id), None, Sampling::ratio(ratio)).context.is_sampled()
            });
            let part = kept.count() as f64 / 2000.0;
            prop_assert!((part - ratio).abs() < 0.08, "{part} of {ratio}");
        }
    }
}
