//! How much a log line matters.

/// How much a log line matters.
///
/// ```
/// use waxwing_sdk::Level;
///
/// assert!(Level::Warn > Level::Info);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Every step, for a close look.
    Trace,
    /// For the author.
    Debug,
    /// For whoever runs the app.
    Info,
    /// Something is not as it should be, and the run goes on.
    Warn,
    /// Something is wrong.
    Error,
}
