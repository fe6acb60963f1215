//! How NATS is reached: flags, variables and contexts as the `nats` tool takes them.
//!
//! [`Flags`] come from the command line, [`env`] reads variables, [`context`] reads the tool's contexts;
//! [`resolve`] puts them in order and gives one [`Target`]. [`pending`] asks a server how much lies ahead.

pub mod context;
mod credentials;
mod env;
mod flags;
mod pending;
mod resolve;
mod target;

pub use credentials::{Credentials, Tls};
pub use flags::Flags;
pub use pending::pending;
pub use resolve::{Surroundings, resolve};
pub use target::{DEFAULT_URL, Target};
