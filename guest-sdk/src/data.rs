//! From an event's bytes to a handler's type.

use std::error::Error;
use std::fmt;
use std::ops::Deref;

use serde::Deserialize;
use serde::de::DeserializeOwned;

/// What an event's data can become.
///
/// Every type with serde's `Deserialize` reads from JSON, where empty data reads as `null`; [`Raw`]
/// keeps the bytes. Implement it for a type without `Deserialize` to read another format.
///
/// ```
/// use waxwing_sdk::Data;
///
/// struct Csv(Vec<String>);
///
/// impl Data for Csv {
///     type Error = std::string::FromUtf8Error;
///
///     fn from_bytes(bytes: Vec<u8>) -> Result<Self, Self::Error> {
///         let line = String::from_utf8(bytes)?;
///         Ok(Csv(line.split(',').map(str::to_owned).collect()))
///     }
/// }
/// assert_eq!(Csv::from_bytes(b"a,b".to_vec()).unwrap().0, ["a", "b"]);
/// ```
pub trait Data: Sized {
    /// Why bytes are not such data.
    type Error: Into<Box<dyn Error>>;

    /// Reads the data of one event.
    ///
    /// # Errors
    /// Bytes that are not such data. The event is rejected.
    fn from_bytes(bytes: Vec<u8>) -> Result<Self, Self::Error>;
}

impl<T: DeserializeOwned> Data for T {
    type Error = serde_json::Error;

    fn from_bytes(bytes: Vec<u8>) -> Result<Self, Self::Error> {
        serde_json::from_slice(or_null(&bytes))
    }
}

/// An event's data as it came: for several types in one handler, or for formats other than JSON.
///
/// ```
/// use waxwing_sdk::prelude::*;
///
/// #[waxwing_sdk::handler]
/// fn measure(event: Event<Raw>, cx: &mut Context) -> Outcome {
///     cx.emit("sizes.measured", &json!({ "bytes": event.data.len() }))
/// }
/// ```
// It must never implement `Deserialize`: `Data` would then be implemented twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Raw(pub Vec<u8>);

impl Raw {
    pub(crate) fn json<'a, T: Deserialize<'a>>(&'a self) -> serde_json::Result<T> {
        serde_json::from_slice(or_null(&self.0))
    }
}

impl Data for Raw {
    type Error = std::convert::Infallible;

    fn from_bytes(bytes: Vec<u8>) -> Result<Self, Self::Error> {
        Ok(Self(bytes))
    }
}

impl Deref for Raw {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

pub(crate) fn or_null(bytes: &[u8]) -> &[u8] {
    if bytes.is_empty() { b"null" } else { bytes }
}

/// An event's data is not what the handler expects.
///
/// ```
/// use waxwing_sdk::prelude::*;
/// # use waxwing_sdk::testing::event;
///
/// let event: Event<Raw> = event("prices.updated").id("e1").bytes("{").build().unwrap();
/// let error = event.json::<Value>().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "data of event `e1` of type `prices.updated` is not what the handler expects: \
///      EOF while parsing an object at line 1 column 1",
/// );
/// ```
#[derive(Debug)]
pub struct DataError {
    event_type: String,
    id: String,
    cause: Box<dyn Error>,
}

impl DataError {
    #[cold]
    pub(crate) fn new(event_type: &str, id: &str, cause: impl Into<Box<dyn Error>>) -> Self {
        Self { event_type: event_type.to_owned(), id: id.to_owned(), cause: cause.into() }
    }
}

impl fmt::Display for DataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { event_type, id, cause } = self;
        write!(f, "data of event `{id}` of type `{event_type}` is not what the handler expects: {cause}")
    }
}

// The cause is part of the message, so it is no `source`: whoever prints the chain would say it twice.
impl Error for DataError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_empty_data_as_null() {
        assert_eq!(<Option<u32> as Data>::from_bytes(Vec::new()).unwrap(), None);
        assert_eq!(Raw(Vec::new()).json::<()>().unwrap(), ());
    }

    #[test]
    fn names_the_missing_field_with_line_and_column() {
        #[derive(Debug, Deserialize)]
        struct Price {
            #[expect(dead_code, reason = "read by serde only")]
            amount: u32,
        }
        let error = Price::from_bytes(b"{\n \"a\": 1\n}".to_vec()).unwrap_err();
        let error = DataError::new("prices.updated", "e1", error).to_string();
        assert!(error.ends_with("missing field `amount` at line 3 column 1"), "{error}");
    }

    #[test]
    fn keeps_raw_bytes_as_they_are() {
        assert_eq!(Raw::from_bytes(vec![0xff, 0]).unwrap(), Raw(vec![0xff, 0]));
    }
}
