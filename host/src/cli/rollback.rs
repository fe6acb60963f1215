//! `waxwing rollback`: the next event runs on another version that was deployed before.

use std::{process::ExitCode, time::Duration};

use anyhow::{Result, bail};
use clap::Args;
use waxwing_engine::entry::{deploy::Reason, version::VersionNumber};
use waxwing_event::{AppName, HandlerName};

use super::{
    General,
    deploy::outcome::{self, by},
    place::Place,
    time,
};
use crate::deploy::{deployed, written};

/// Goes back to the version of a handler that was deployed before, or to another
///
/// Running hosts go on with it from the next event on, without a pause. What the version that is left has written stays.
/// Where a version is tried beside the one that is deployed, as a canary or a shadow, that ends, and nothing else changes.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  waxwing rollback basket\n  waxwing rollback basket --to 3")]
pub(super) struct Rollback {
    /// The app [default: that of the manifest]
    #[arg(long, value_name = "NAME")]
    app: Option<AppName>,
    /// The handler
    handler: HandlerName,
    /// The version [default: the one that was deployed before]
    #[arg(long, value_name = "VERSION")]
    to: Option<VersionNumber>,
    /// How long hosts may take to run it; 0s: do not wait
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = time::length)]
    wait: Duration,
}

impl Rollback {
    pub(super) async fn execute(&self, general: &General) -> Result<ExitCode> {
        let place = Place::find(self.app.as_ref(), general).await?;
        let ((log, layout), handler) = (place.at(), &self.handler);
        let Some((deployment, position)) = deployed::decision(log, layout, handler).await? else {
            bail!("handler `{handler}` was never deployed: see `waxwing versions`");
        };
        let ends_trial = deployment.beside.is_some() && [None, deployment.version].contains(&self.to);
        if ends_trial {
            let ended = (handler, &deployment, position);
            let decision = written::end_trial(log, layout, ended, Reason::RolledBack, &by()).await?;
            let outcome = outcome::wait(log, layout, decision, self.wait).await;
            return outcome::show(&[outcome], general);
        }
        let Some(to) = self.to.or(deployment.before) else {
            bail!(
                "handler `{handler}` has no version before: name one with --to, see `waxwing versions {handler}`"
            );
        };
        if deployment.version == Some(to) {
            bail!("version {to} of `{handler}` is deployed already");
        }
        // One that is gone cannot be run.
        deployed::version(log, layout, handler, to).await?;
        let decision = (Some(to), Reason::RolledBack);
        let decision =
            written::change(log, layout, (handler, &deployment, position), decision, &by()).await?;
        let outcome = outcome::wait(log, layout, decision, self.wait).await;
        outcome::show(&[outcome], general)
    }
}
