//! Events to give to a handler.

use std::time::Duration;

use serde::Serialize;

use super::SetTimer;
use crate::bindings::waxwing::events::types;
use crate::event::TIMER;
use crate::{Data, DataError, Event};

/// Starts an event of this type, on the subject of the same name, with empty data.
///
/// ```
/// use waxwing_sdk::prelude::*;
/// use waxwing_sdk::testing::event;
///
/// let event: Event<Value> = event("orders.placed").json(&json!({ "n": 1 })).build().unwrap();
/// assert_eq!(event.subject(), "orders.placed");
/// assert_eq!(event.attempt(), 1);
/// ```
pub fn event(event_type: &str) -> TestEvent {
    TestEvent {
        record: types::Event {
            id: "test-1".to_owned(),
            source: "/test".to_owned(),
            type_: event_type.to_owned(),
            subject: event_type.to_owned(),
            about: None,
            time: None,
            content_type: None,
            data_schema: None,
            correlation_id: "test-1".to_owned(),
            causation_id: None,
            key: None,
            position: 1,
            attempt: 1,
            extensions: Vec::new(),
            data: Vec::new(),
        },
    }
}

/// The event that arrives when a timer fires.
pub(super) fn fired(id: &str, timer: SetTimer) -> TestEvent {
    let mut fired = event(TIMER).about(id).subject(&format!("wx.test.timer.test.{id}"));
    fired.record.content_type = Some(timer.content_type);
    fired.record.data = timer.data;
    fired.record.key = timer.key;
    fired.record.time = Some(rfc3339(timer.due));
    fired
}

/// A time so long after 1970, to the second. Days become a date as in Howard Hinnant's `civil_from_days`.
fn rfc3339(since_1970: Duration) -> String {
    let (days, seconds) = (since_1970.as_secs() / 86_400 + 719_468, since_1970.as_secs() % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let (day, month) = (day_of_year - (153 * shifted + 2) / 5 + 1, (shifted + 2) % 12 + 1);
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// An event for a test, from [`event`].
#[derive(Clone, Debug)]
#[must_use = "an event does nothing until a handler gets it"]
pub struct TestEvent {
    pub(crate) record: types::Event,
}

impl TestEvent {
    /// The event's id; `test-1` unless set.
    pub fn id(mut self, id: &str) -> Self {
        self.record.id = id.to_owned();
        self
    }

    /// Where it comes from; `/test` unless set.
    pub fn source(mut self, source: &str) -> Self {
        self.record.source = source.to_owned();
        self
    }

    /// The NATS subject; the type unless set.
    pub fn subject(mut self, subject: &str) -> Self {
        self.record.subject = subject.to_owned();
        self
    }

    /// The CloudEvents attribute `subject`.
    pub fn about(mut self, about: &str) -> Self {
        self.record.about = Some(about.to_owned());
        self
    }

    /// When it happened: RFC 3339.
    pub fn time(mut self, time: &str) -> Self {
        self.record.time = Some(time.to_owned());
        self
    }

    /// The media type of the data.
    pub fn content_type(mut self, content_type: &str) -> Self {
        self.record.content_type = Some(content_type.to_owned());
        self
    }

    /// The URI of the data's schema.
    pub fn data_schema(mut self, data_schema: &str) -> Self {
        self.record.data_schema = Some(data_schema.to_owned());
        self
    }

    /// The id shared by all that one first event has caused.
    pub fn correlation_id(mut self, id: &str) -> Self {
        self.record.correlation_id = id.to_owned();
        self
    }

    /// The id of the event that caused this one.
    pub fn causation_id(mut self, id: &str) -> Self {
        self.record.causation_id = Some(id.to_owned());
        self
    }

    /// The key, as the manifest would find it.
    pub fn key(mut self, key: &str) -> Self {
        self.record.key = Some(key.to_owned());
        self
    }

    /// The position in the log.
    pub fn position(mut self, position: u64) -> Self {
        self.record.position = position;
        self
    }

    /// Which attempt this is.
    pub fn attempt(mut self, attempt: u32) -> Self {
        self.record.attempt = attempt;
        self
    }

    /// A further attribute.
    pub fn extension(mut self, name: &str, value: &str) -> Self {
        self.record
            .extensions
            .push(types::AttributeResult { name: name.to_owned(), value: value.to_owned() });
        self
    }

    /// The data, as JSON.
    ///
    /// # Panics
    /// When JSON cannot say it.
    pub fn json(mut self, data: &(impl Serialize + ?Sized)) -> Self {
        self.record.data = serde_json::to_vec(data).expect("the event's data as JSON");
        self
    }

    /// The data, as it is.
    pub fn bytes(mut self, data: impl Into<Vec<u8>>) -> Self {
        self.record.data = data.into();
        self
    }

    /// The event as a handler takes it.
    ///
    /// # Errors
    /// Data that is not a `T`.
    pub fn build<T: Data>(self) -> Result<Event<T>, DataError> {
        Event::decode(self.record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_times_as_dates() {
        for (seconds, date) in [
            (0, "1970-01-01T00:00:00Z"),
            (68_169_599, "1972-02-28T23:59:59Z"),
            (68_169_600, "1972-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_798_761_599, "2026-12-31T23:59:59Z"),
        ] {
            assert_eq!(rfc3339(Duration::from_secs(seconds)), date);
        }
    }
}
