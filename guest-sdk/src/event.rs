//! The event that a run handles: what it says, and what the log knows about it.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::aggregate::from_fact;
use crate::bindings::waxwing::events::types;
use crate::data::{Data, DataError, Raw};

/// The type of a timer's event.
pub(crate) const TIMER: &str = "waxwing.timer";

/// One event, its data already a `T`.
///
/// ```
/// use waxwing_sdk::prelude::*;
/// # use waxwing_sdk::testing;
///
/// #[derive(Deserialize)]
/// struct Ordered {
///     seats: u32,
/// }
///
/// let event: Event<Ordered> = testing::event("orders.placed")
///     .id("o-1")
///     .key("customer-7")
///     .json(&json!({ "seats": 2 }))
///     .build()
///     .unwrap();
/// assert_eq!(event.data.seats, 2);
/// assert_eq!(event.event_type(), "orders.placed");
/// assert_eq!(event.key(), "customer-7");
/// ```
#[derive(Clone, Debug)]
pub struct Event<T> {
    /// What the event says.
    pub data: T,
    /// The rest of the record; its own `data` has moved out.
    record: types::Event,
}

impl<T> Event<T> {
    /// Identifies the event together with [`source`](Self::source).
    pub fn id(&self) -> &str {
        &self.record.id
    }

    /// Where the event comes from: a URI reference.
    pub fn source(&self) -> &str {
        &self.record.source
    }

    /// What kind of event it is, such as `prices.updated`.
    pub fn event_type(&self) -> &str {
        &self.record.type_
    }

    /// The NATS subject on which it was published.
    pub fn subject(&self) -> &str {
        &self.record.subject
    }

    /// What the event is about: the CloudEvents attribute `subject`.
    pub fn about(&self) -> Option<&str> {
        self.record.about.as_deref()
    }

    /// When it happened: RFC 3339.
    pub fn time(&self) -> Option<&str> {
        self.record.time.as_deref()
    }

    /// The media type of the data.
    pub fn content_type(&self) -> Option<&str> {
        self.record.content_type.as_deref()
    }

    /// The URI of the schema that the data follows.
    pub fn data_schema(&self) -> Option<&str> {
        self.record.data_schema.as_deref()
    }

    /// The id shared by everything that one first event has caused.
    pub fn correlation_id(&self) -> &str {
        &self.record.correlation_id
    }

    /// The id of the event that directly caused this one; none for a first event.
    pub fn causation_id(&self) -> Option<&str> {
        self.record.causation_id.as_deref()
    }

    /// The key by which the handler keeps order; the event's id where the manifest defines none.
    pub fn key(&self) -> &str {
        self.record.key.as_deref().unwrap_or(&self.record.id)
    }

    /// The key, where the manifest defines one.
    pub(crate) fn lane_key(&self) -> Option<&str> {
        self.record.key.as_deref()
    }

    /// The event's position in the app's log.
    pub fn position(&self) -> u64 {
        self.record.position
    }

    /// The id of the timer that has fired, where this is its event; see [`Context::timer`](crate::Context::timer).
    pub fn timer(&self) -> Option<&str> {
        let is_own = self.record.type_ == TIMER && self.record.subject.starts_with("wx.");
        self.record.about.as_deref().filter(|_| is_own)
    }

    /// 1 for the first attempt to handle this event.
    pub fn attempt(&self) -> u32 {
        self.record.attempt
    }

    /// An extension attribute, such as `tenant`.
    pub fn extension(&self, name: &str) -> Option<&str> {
        let mut extensions = self.record.extensions.iter();
        extensions.find(|extension| extension.name == name).map(|extension| extension.value.as_str())
    }
}

impl<T: Data> Event<T> {
    pub(crate) fn decode(mut record: types::Event) -> Result<Self, DataError> {
        let bytes = std::mem::take(&mut record.data);
        match T::from_bytes(bytes) {
            Ok(data) => Ok(Self { data, record }),
            Err(error) => Err(DataError::new(&record.type_, &record.id, error)),
        }
    }
}

impl Event<Raw> {
    /// Reads the data as JSON: the way for one module to handle several types of event.
    ///
    /// Empty data reads as `null`. `T` may borrow from the event.
    ///
    /// ```
    /// use waxwing_sdk::prelude::*;
    ///
    /// #[derive(Deserialize)]
    /// struct Opened<'a> {
    ///     name: &'a str,
    /// }
    ///
    /// #[waxwing_sdk::handler]
    /// fn names(event: Event<Raw>, cx: &mut Context) -> Outcome {
    ///     match event.event_type() {
    ///         "agenda.location-opened" => cx.emit("names.heard", event.json::<Opened>()?.name),
    ///         _ => Ok(()),
    ///     }
    /// }
    /// # use waxwing_sdk::testing::{Sandbox, event};
    /// # let run = Sandbox::new().run(names, event("agenda.location-opened").json(&json!({"name": "hall"})));
    /// # assert_eq!(run.emitted()[0].json::<String>(), "hall");
    /// ```
    ///
    /// # Errors
    /// Data that is not a `T`; `?` turns it into a rejection.
    pub fn json<'a, T: Deserialize<'a>>(&'a self) -> Result<T, DataError> {
        self.data.json().map_err(|error| DataError::new(self.event_type(), self.id(), error))
    }

    /// Reads type and data as what has happened to an aggregate: an enum as [`Aggregate`](crate::Aggregate) has it.
    ///
    /// ```
    /// use waxwing_sdk::prelude::*;
    ///
    /// #[derive(Deserialize)]
    /// #[serde(tag = "type", content = "data", rename_all = "kebab-case")]
    /// enum Change {
    ///     Deposited { amount: i64 },
    /// }
    ///
    /// #[waxwing_sdk::handler]
    /// fn total(event: Event<Raw>, cx: &mut Context) -> Outcome {
    ///     let Change::Deposited { amount } = event.fact()?;
    ///     let total: i64 = cx.state().get("total")?.unwrap_or_default();
    ///     Ok(cx.state().set("total", &(total + amount))?)
    /// }
    /// ```
    ///
    /// # Errors
    /// An event that is not an `E`; `?` turns it into a rejection.
    pub fn fact<E: DeserializeOwned>(&self) -> Result<E, DataError> {
        let fact = self.data.json().and_then(|data| from_fact(self.event_type(), data));
        fact.map_err(|error| DataError::new(self.event_type(), self.id(), error))
    }
}
