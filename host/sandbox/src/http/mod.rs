//! Calls to the outside over HTTP/1.1: the client that all handlers share.
//!
//! A call comes in checked against its handler's grants (`imports/http.rs`), and goes through: `call` (body, attempts,
//! time), `places` (how many at once), `connect` (which address, TLS) and `idle` (connections that can be used again).
//! It runs on the runtime of tokio that WASI has, never on a worker's thread. Both bodies are held whole: so their
//! sizes are known, a call can be made again, and a response is there or is not.

mod call;
mod connect;
mod error;
mod idle;
mod key;
mod places;
mod retry;
mod tls;

pub(crate) use call::Call;
pub(crate) use error::CallError;
pub(crate) use idle::Target;
pub(crate) use key::{Caller, HEADER as KEY_HEADER, Keys, header_value as key_value};

use idle::Idle;
use places::Places;
use tls::Tls;

/// The client. Making it costs nothing: certificates are read for the first call that needs them.
#[derive(Debug, Default)]
pub(crate) struct Client {
    places: Places,
    idle: Idle,
    tls: Tls,
}
