//! Whether a call is made again: decided here, done in `call`.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode, header::RETRY_AFTER};

/// The longest pause before the second attempt, where the response asks for none; it doubles from attempt to attempt.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The bound of these pauses.
const MOST_PAUSE: Duration = Duration::from_secs(10);

/// How an attempt ended, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// With a response, or with an error that no further attempt can cure.
    Settled,
    /// For a reason that may pass.
    MayPass,
    /// The same, and the response says how long that takes.
    PassesAfter(Duration),
}

/// What follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The guest gets what there is.
    Done,
    /// Another attempt after this pause.
    Again(Duration),
}

/// Which attempt it was, of how many, and how much time is left.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stand {
    /// Counted from 1.
    pub(crate) attempt: u32,
    /// All of them.
    pub(crate) attempts: u32,
    /// Until the call or the run has to end.
    pub(crate) left: Duration,
}

/// What follows from an attempt; `share` is random, from 0 to 1.
pub(crate) fn verdict(stand: Stand, ended: Ended, share: f64) -> Verdict {
    let pause = match ended {
        Ended::Settled => return Verdict::Done,
        Ended::PassesAfter(pause) => pause,
        Ended::MayPass => {
            let doubled = 2_u32.saturating_pow(stand.attempt.saturating_sub(1));
            FIRST_PAUSE.saturating_mul(doubled).min(MOST_PAUSE).mul_f64(share.clamp(0.0, 1.0))
        }
    };
    // An attempt that could only be cut off is not made: the guest has more of what is there already.
    if stand.attempt >= stand.attempts || pause >= stand.left { Verdict::Done } else { Verdict::Again(pause) }
}

/// How a response ends its attempt.
pub(crate) fn of_response(status: StatusCode, headers: &HeaderMap, now: SystemTime) -> Ended {
    let may_pass = matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    );
    if !may_pass {
        return Ended::Settled;
    }
    let after = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    after.and_then(|text| pause_of(text.trim(), now)).map_or(Ended::MayPass, Ended::PassesAfter)
}

/// Seconds, or a date.
fn pause_of(text: &str, now: SystemTime) -> Option<Duration> {
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    Some(httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn stand(attempt: u32) -> Stand {
        Stand { attempt, attempts: 3, left: LONG }
    }

    #[test]
    fn makes_as_many_attempts_as_are_allowed() {
        assert_eq!(verdict(stand(1), Ended::MayPass, 1.0), Verdict::Again(FIRST_PAUSE));
        assert_eq!(verdict(stand(2), Ended::MayPass, 0.5), Verdict::Again(FIRST_PAUSE));
        assert_eq!(verdict(stand(3), Ended::MayPass, 1.0), Verdict::Done);
        assert_eq!(verdict(stand(1), Ended::Settled, 1.0), Verdict::Done);
        let tenth = Stand { attempt: 10, attempts: 11, left: LONG };
        assert_eq!(verdict(tenth, Ended::MayPass, 1.0), Verdict::Again(MOST_PAUSE));
    }

    #[test]
    fn waits_as_long_as_it_is_asked_to_and_not_beyond_the_end() {
        let second = Duration::from_secs(1);
        assert_eq!(verdict(stand(1), Ended::PassesAfter(second), 0.0), Verdict::Again(second));
        let short = Stand { left: second, ..stand(1) };
        assert_eq!(verdict(short, Ended::PassesAfter(second), 0.0), Verdict::Done);
        assert_eq!(verdict(Stand { left: Duration::ZERO, ..stand(1) }, Ended::MayPass, 0.0), Verdict::Done);
    }

    #[test]
    fn reads_what_a_response_says() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        let ended = |status: u16, after: Option<&str>| {
            let mut headers = HeaderMap::new();
            after.map(|after| headers.insert(RETRY_AFTER, after.parse().unwrap()));
            of_response(StatusCode::from_u16(status).unwrap(), &headers, now)
        };
        let seconds = |seconds| Ended::PassesAfter(Duration::from_secs(seconds));
        for status in [200, 301, 404, 408, 500, 501] {
            assert_eq!(ended(status, Some("1")), Ended::Settled, "{status}");
        }
        for status in [429, 502, 503, 504] {
            assert_eq!(ended(status, None), Ended::MayPass, "{status}");
            assert_eq!(ended(status, Some("7")), seconds(7));
        }
        assert_eq!(ended(503, Some("Sun, 06 Nov 1994 08:49:39 GMT")), seconds(2));
        assert_eq!(ended(503, Some("Sun, 06 Nov 1994 08:49:30 GMT")), seconds(0));
        assert_eq!(ended(503, Some("soon")), Ended::MayPass);
    }
}
