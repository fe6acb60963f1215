//! What a delivered message's reply subject says of it.
//!
//! Two forms (ADR-15): `$JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>`
//! and `$JS.ACK.<domain>.<account>.<stream>.<consumer>.…`, the latter with more tokens at its end.

use jiff::Timestamp;
use waxwing_event::Position;

/// Where a message lies in its stream, and where in its consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Delivery {
    pub(super) position: Position,
    pub(super) consumer_sequence: u64,
    pub(super) time: Timestamp,
}

impl Delivery {
    /// None where `reply` is no such subject.
    pub(super) fn parse(reply: &str) -> Option<Delivery> {
        let rest = reply.strip_prefix("$JS.ACK.")?;
        let before = if rest.split('.').count() < 9 { 3 } else { 5 };
        let mut tokens = rest.split('.').skip(before);
        let position = tokens.next()?.parse().ok()?;
        let consumer_sequence = tokens.next()?.parse().ok()?;
        let time = Timestamp::from_nanosecond(tokens.next()?.parse().ok()?).ok()?;
        Some(Delivery { position: Position(position), consumer_sequence, time })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_forms() {
        let want = Delivery {
            position: Position(7),
            consumer_sequence: 3,
            time: "2026-11-01T00:00:00.000000005Z".parse().unwrap(),
        };
        let nanos = want.time.as_nanosecond();
        for reply in [
            format!("$JS.ACK.wx-a.c1.1.7.3.{nanos}.12"),
            format!("$JS.ACK._.ACCT.wx-a.c1.1.7.3.{nanos}.12"),
            format!("$JS.ACK.hub.ACCT.wx-a.c1.1.7.3.{nanos}.12.random"),
        ] {
            assert_eq!(Delivery::parse(&reply), Some(want), "{reply}");
        }
    }

    #[test]
    fn refuses_other_subjects() {
        for reply in ["_INBOX.a.b", "$JS.ACK.a.b.1", "$JS.ACK.a.b.1.x.3.4.5"] {
            assert_eq!(Delivery::parse(reply), None, "{reply}");
        }
    }
}
