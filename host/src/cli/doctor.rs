//! `waxwing doctor`: looks for what weakens a promise.

use std::process::ExitCode;

use anyhow::{Result, ensure};
use clap::Args;
use waxwing_event::AppName;

use super::{
    General, found,
    output::{self, Output, say},
    style::{BAD, DIM, END, GOOD, WARN},
};
use crate::{
    config::{self, Manifest},
    doctor::{self, Finding, Level, look::Where},
    nats,
};

/// Looks for what weakens a promise: settings, clocks, lag, dead letters
///
/// Looks at the server, at the app's log and at where its handlers stand, and changes nothing. Each finding says
/// why it matters and what to do. Exits with 1 where there is a problem: a promise is broken, or the app cannot run.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    waxwing doctor\n  \
    waxwing doctor --context prod --monitor http://nats-1:8222,http://nats-2:8222,http://nats-3:8222\n  \
    waxwing doctor --app shop --output json\n\n\
    Exit codes: 0 no problem, though there may be warnings; 1 a problem, or nothing could be looked at.")]
pub(super) struct Doctor {
    /// The app, looked at without a manifest [default: that of the manifest]
    #[arg(long, value_name = "NAME")]
    app: Option<AppName>,
    /// Monitoring addresses of the servers, commas between them: they tell how soon data is on disk
    #[arg(long, value_name = "URL", value_delimiter = ',')]
    monitor: Vec<String>,
    /// A context of the nats tool that signs in to the system account: it tells that too
    #[arg(long, value_name = "NAME", conflicts_with = "monitor")]
    system_context: Option<String>,
}

impl Doctor {
    pub(super) async fn execute(&self, general: &General) -> Result<ExitCode> {
        let manifest = self.manifest(general)?;
        let app = match (&self.app, &manifest) {
            (Some(app), _) => app.clone(),
            (None, Some(manifest)) => manifest.config.app.clone(),
            (None, None) => found::app(None, general)?,
        };
        let found = doctor::look::look(Where {
            app,
            manifest: manifest.map(|manifest| manifest.config),
            target: found::target(general)?,
            monitors: self.monitor.clone(),
            system: self.system_context.as_deref().map(system).transpose()?,
        });
        let findings = doctor::judge(&found.await?);
        match general.output {
            Output::Json => output::json(&findings)?,
            Output::Text => show(&findings)?,
        }
        let is_fine = findings.iter().all(|finding| finding.level < Level::Problem);
        Ok(if is_fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// The manifest, unless an app is named without one.
    fn manifest(&self, general: &General) -> Result<Option<Manifest>> {
        if self.app.is_some() && general.manifest.is_none() {
            return Ok(None);
        }
        let manifest = found::manifest(&config::find::manifest(general.manifest.as_deref())?)?;
        if let Some(app) = &self.app {
            let named = &manifest.config.app;
            ensure!(named == app, "the manifest is that of app `{named}`: leave out --app or --manifest");
        }
        Ok(Some(manifest))
    }
}

fn system(context: &str) -> Result<nats::Target> {
    let flags = nats::Flags { context: Some(context.to_owned()), ..nats::Flags::default() };
    nats::resolve(&flags, &nats::Surroundings::here())
}

fn show(findings: &[Finding]) -> Result<()> {
    for finding in findings {
        let (sign, style) = match finding.level {
            Level::Ok => ('✓', GOOD),
            Level::Note => ('·', DIM),
            Level::Warning => ('!', WARN),
            Level::Problem => ('✗', BAD),
        };
        say!("{style}{sign}{END} {}", output::line(&finding.what))?;
        if let Some(why) = &finding.why {
            say!("    {DIM}why{END}      {}", output::line(why))?;
        }
        if let Some(way_out) = &finding.way_out {
            say!("    {DIM}way out{END}  {}", output::line(way_out))?;
        }
    }
    let count = |level| findings.iter().filter(|finding| finding.level == level).count();
    let (problems, warnings) = (count(Level::Problem), count(Level::Warning));
    let plural = |number: usize| if number == 1 { "" } else { "s" };
    say!("{problems} problem{}, {warnings} warning{}", plural(problems), plural(warnings))?;
    Ok(())
}
