//! One event of an app's log, with all that its run read: taken from the log, and run again anywhere.
//!
//! | module | noun |
//! | --- | --- |
//! | [`form`], [`record`] | the file |
//! | [`past`] | what a handler has heard and written, as the log tells |
//! | [`turns`] | in which order that was |
//! | [`made`], [`recollection`] | what it has made |
//! | [`recall`] | runs it again up to the event, and takes note of what that reads |
//! | [`bench`](mod@bench) | where a module runs, with time and chance fixed |
//! | [`again`] | runs a capture, and compares |
//!
//! Of state, the log keeps the last values alone. What still stands is exact; what was replaced since is made again, by the
//! events that came before, and each value says which of the two it is.

pub mod again;
pub mod bench;
pub mod form;
pub mod made;
pub mod past;
pub mod recall;
pub mod recollection;
pub mod record;
pub mod turns;
