//! The host's log, on standard error: for people or as JSON.

use std::{fmt, io};

use clap::ValueEnum;
use tracing_subscriber::{
    EnvFilter,
    fmt::{format::Writer, time::FormatTime},
};

use super::General;

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum LogFormat {
    /// Lines for people
    #[default]
    Text,
    /// A JSON object a line
    Json,
}

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// What a long-running host tells.
    Usual,
    /// Only what went wrong.
    Quiet,
    /// That, and what handlers themselves log.
    Handlers,
}

/// Begins to log. `RUST_LOG` has the last word.
pub(super) fn begin(general: &General, level: Level) {
    let directives = match (level, general.verbose) {
        (_, true) => "warn,waxwing=debug,guest=debug",
        (Level::Usual, false) => "warn,waxwing=info,guest=info",
        (Level::Quiet, false) => "warn",
        (Level::Handlers, false) => "warn,guest=info",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(directives));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_target(false);
    // A second subscriber can only be set in a test of this process; the first one stays.
    let _ = match general.log_format {
        LogFormat::Json => builder.json().flatten_event(true).with_writer(io::stderr).try_init(),
        LogFormat::Text => {
            let colour = anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never;
            builder.compact().with_ansi(colour).with_timer(LocalTime).with_writer(io::stderr).try_init()
        }
    };
}

/// The time of the day where the host stands.
struct LocalTime;

impl FormatTime for LocalTime {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        write!(writer, "{}", jiff::Zoned::now().strftime("%H:%M:%S%.3f"))
    }
}
