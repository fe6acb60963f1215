//! HTTP calls of handlers: real modules that call a real server.

mod bed;
mod calls;
mod grants;
pub mod hosts;
mod keys;
mod limits;
mod retries;
pub mod server;
mod tls;
