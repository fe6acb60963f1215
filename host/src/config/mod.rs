//! The manifest `waxwing.toml`: from text to a checked [`AppConfig`], or to every problem that it has.
//!
//! The way of a manifest: [`find`] where it lies, `document` reads the text and keeps the place of each
//! value, `overlay` lays `WAXWING_…` variables over it, `section` hands out values and refuses unknown
//! keys, [`app`] and `handler` make the checked nouns of them, `check` compares those with each other.
//! Nothing here knows NATS or the sandbox.

#[cfg(test)]
mod agreement;
pub mod app;
mod check;
mod document;
mod files;
pub mod find;
mod forms;
mod handler;
mod http;
pub(crate) mod key;
pub(crate) mod keys;
mod load;
mod nearest;
mod outside;
mod overlay;
pub mod problem;
mod quantity;
mod requests;
mod secrets;
mod section;
mod view;

pub use app::{AppConfig, HandlerConfig, HostOptions, Storage};
pub use load::{Manifest, bare, deployed, load, parse};
pub use problem::{Place, Problem, Problems};
pub use quantity::{duration, show_bytes, show_duration};
