//! HTTP calls of handlers: real modules that call a real server.

mod bed;
mod calls;
mod grants;
mod hosts;
mod keys;
mod limits;
mod retries;
mod server;
mod tls;
