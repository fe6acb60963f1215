//! The origin: which stream a handler's inputs come from, where that is not the app's log.
//!
//! Positions of one stream mean nothing in another, nor in one that was made anew under the same name. So a
//! checkpoint names the stream and tells when it was made.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use waxwing_event::StreamName;

/// A stream that the app does not own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Its name.
    pub stream: StreamName,
    /// When it was made.
    pub made: Timestamp,
}
