//! `waxwing check-health`: whether an app does its work now, for monitors.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use waxwing_event::{AppName, HandlerName};

use super::{
    General, found,
    ls::{self, Row, State},
    output::{self, Output, say},
    place::Place,
};

/// Tells monitors whether the app does its work now: one line, and an exit code
///
/// Critical is a handler that nobody runs, that has stopped until somebody helps, or whose stream is not there. A warning is one
/// in outage or paused, and one that is above a limit below. Exit codes are those that monitors share: 0 it is well, 1 a
/// warning, 2 critical, 3 it is not known. `waxwing doctor` looks at settings; this looks at what happens.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    waxwing check-health\n  \
    waxwing check-health --max-behind 100000 --max-dead 10\n  \
    waxwing check-health --app shop --context prod --output json\n\n\
    Exit codes: 0 it is well, 1 a warning, 2 critical, 3 it is not known.")]
pub(super) struct CheckHealth {
    /// The app, looked at without a manifest [default: that of the manifest]
    #[arg(long, value_name = "NAME")]
    app: Option<AppName>,
    /// So many entries a handler may be behind; without a manifest that is not known
    #[arg(long, value_name = "COUNT", default_value_t = 10_000)]
    max_behind: u64,
    /// So many dead letters a handler may have
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    max_dead: usize,
    /// So many parked events a handler may have
    #[arg(long, value_name = "COUNT", default_value_t = 1_000)]
    max_parked: usize,
    /// So many events of a handler may wait to go out of the log
    #[arg(long, value_name = "COUNT", default_value_t = 1_000)]
    max_outbox: usize,
}

/// How well something is; the worst is last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Health {
    Ok,
    Warning,
    Critical,
    Unknown,
}

/// What is wrong with a handler.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Complaint {
    handler: HandlerName,
    health: Health,
    what: String,
}

/// What is told.
#[derive(Debug, Serialize)]
struct Told {
    health: Health,
    handlers: usize,
    complaints: Vec<Complaint>,
    /// Why nothing is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl CheckHealth {
    pub(super) async fn execute(&self, general: &General) -> Result<ExitCode> {
        let told = match self.rows(general).await {
            Ok(rows) => {
                let complaints: Vec<Complaint> = rows.iter().flat_map(|row| self.judge(row)).collect();
                let worst = complaints.iter().map(|complaint| complaint.health).max();
                let health = if rows.is_empty() { Health::Unknown } else { worst.unwrap_or(Health::Ok) };
                let error = rows.is_empty().then(|| "the app has no handlers".to_owned());
                Told { health, handlers: rows.len(), complaints, error }
            }
            Err(error) => {
                let error = Some(output::line(&format!("{error:#}")));
                Told { health: Health::Unknown, handlers: 0, complaints: Vec::new(), error }
            }
        };
        match general.output {
            Output::Json => output::json(&told)?,
            Output::Text => say!("{}", told.line())?,
        }
        Ok(ExitCode::from(told.health.code()))
    }

    async fn rows(&self, general: &General) -> Result<Vec<Row>> {
        let place = Place::find(self.app.as_ref(), general).await?;
        ls::rows(&place, &found::target(general)?).await
    }

    /// What is wrong with a handler, the worst first.
    fn judge(&self, row: &Row) -> Vec<Complaint> {
        let of_state = match row.state {
            State::Running | State::Waiting => None,
            State::Paused { .. } | State::Outage { .. } => Some(Health::Warning),
            State::NoStream { .. } | State::Stopped { .. } | State::NoHost => Some(Health::Critical),
        };
        let complaint = |health, what| Complaint { handler: row.handler.clone(), health, what };
        let mut complaints: Vec<_> =
            of_state.into_iter().map(|health| complaint(health, row.state.to_string())).collect();
        let behind = row.lag.filter(|lag| *lag > self.max_behind);
        complaints.extend(behind.map(|lag| complaint(Health::Warning, format!("{lag} behind"))));
        for (count, most, what) in [
            (row.dead, self.max_dead, if row.dead == 1 { "dead letter" } else { "dead letters" }),
            (row.parked, self.max_parked, "parked"),
            (row.outbox, self.max_outbox, "waiting to go out"),
        ] {
            if count > most {
                complaints.push(complaint(Health::Warning, format!("{count} {what}")));
            }
        }
        complaints
    }
}

impl Health {
    /// As monitors read it.
    fn code(self) -> u8 {
        match self {
            Health::Ok => 0,
            Health::Warning => 1,
            Health::Critical => 2,
            Health::Unknown => 3,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Health::Ok => "OK",
            Health::Warning => "WARNING",
            Health::Critical => "CRITICAL",
            Health::Unknown => "UNKNOWN",
        }
    }
}

impl Told {
    fn line(&self) -> String {
        let word = self.health.word();
        if let Some(error) = &self.error {
            return format!("{word} - {error}");
        }
        let mut complaints: Vec<&Complaint> = self.complaints.iter().collect();
        complaints.sort_by_key(|complaint| std::cmp::Reverse(complaint.health));
        let complaints: Vec<String> =
            complaints.iter().map(|complaint| format!("{}: {}", complaint.handler, complaint.what)).collect();
        match complaints.is_empty() {
            true => format!("{word} - {} handlers run", self.handlers),
            false => format!("{word} - {}", complaints.join("; ")),
        }
    }
}
