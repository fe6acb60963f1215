//! What crosses the border of an app's log: events for subjects outside, and streams that the app does not own.

mod foreign;
mod inputs;
mod outbox;
mod permission;
mod relay;
mod replicated;
mod stage;
mod target;
