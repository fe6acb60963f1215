//! `waxwing deploy --canary`, `--shadow`, `--promote`: versions that are tried beside those that run.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use waxwing_engine::{
    canary::{Percent, Rules},
    entry::{
        Layout,
        deploy::{Deployment, Reason, Tried},
        version::VersionNumber,
    },
    port::Log,
};
use waxwing_event::{AppName, HandlerName, Pattern};

use super::{
    outcome::by,
    plan::{Planned, Step},
};
use crate::{
    cli::time,
    config,
    deploy::{
        beside, deployed,
        written::{self, Decision, Tryout},
    },
};

/// How a version is tried before it runs alone.
#[derive(Debug, Args)]
pub(in crate::cli) struct Trial {
    /// Run it as a canary: for this share of the keys, such as 5%, beside the version that is deployed
    #[arg(long, value_name = "SHARE", value_parser = share, conflicts_with = "remove")]
    canary: Option<Percent>,
    /// Run it as a shadow: on what the deployed version runs on, without any effect
    #[arg(long, conflicts_with_all = ["canary", "remove"])]
    shadow: bool,
    /// What is tried beside the deployed version runs alone from now on
    #[arg(long, requires = "handlers", conflicts_with_all = ["canary", "shadow", "dry_run", "remove"])]
    pub(super) promote: bool,
    /// By how much the canary's rate of failures, of missed deadlines or of dead letters may be above the other's
    #[arg(long, value_name = "PERCENT", default_value = "5%", requires = "canary")]
    margin: Percent,
    /// How long the canary must not be worse to have passed
    #[arg(long, value_name = "TIME", default_value = "10m", requires = "canary", value_parser = time::length)]
    window: Duration,
    /// How many runs of the canary are awaited before it is judged
    #[arg(long, value_name = "COUNT", default_value_t = 20, requires = "canary")]
    min_runs: u64,
    /// Let the canary run alone once it has passed; else it stays until somebody decides
    #[arg(long, requires = "canary")]
    auto_promote: bool,
}

/// The share of a canary.
fn share(text: &str) -> Result<Percent, String> {
    let share: Percent = text.parse().map_err(|why| format!("{why}"))?;
    if share == Percent::NONE || share == Percent::ALL {
        return Err(
            "a canary has more than none of the keys and less than all: leave --canary out, or use --promote"
                .to_owned(),
        );
    }
    Ok(share)
}

impl Trial {
    /// As what versions are tried; none: they are deployed.
    pub(super) fn tried(&self) -> Option<Tried> {
        match (self.canary, self.shadow) {
            (Some(share), _) => {
                let window_ms = u64::try_from(self.window.as_millis()).unwrap_or(u64::MAX);
                let Trial { margin, min_runs, auto_promote, .. } = *self;
                Some(Tried::Canary { share, rules: Rules { margin, min_runs, window_ms, auto_promote } })
            }
            (None, true) => Some(Tried::Shadow),
            (None, false) => None,
        }
    }
}

/// What is to be written so that this is tried; an error where it cannot be.
pub(super) async fn tryout(
    log: &dyn Log,
    layout: &Layout,
    (app, events): (&AppName, &[Pattern]),
    planned: &Planned,
    tried: &Tried,
) -> Result<Tryout> {
    let Planned { step, spec, wanted, .. } = planned;
    let handler = &wanted.handler;
    let Step::Next { before } = *step else {
        bail!(
            "nothing of handler `{handler}` is deployed, beside which a version could be tried: run `waxwing deploy \
             {handler}` first"
        );
    };
    let stable = deployed::version(log, layout, handler, before).await?;
    let file = format!("version {before} of `{handler}`");
    let stable = config::deployed(&file, (app, events), handler, &stable.manifest, stable.module);
    let stable = stable.map_err(|problems| anyhow!(problems.error_lines().join("; ")))?;
    beside::check(&stable.spec, before, spec).with_context(|| format!("handler `{handler}`"))?;
    let deployment = wanted.replaces.as_ref().map(|(deployment, _)| deployment);
    let known = known(log, layout, planned, deployment).await?;
    Ok(Tryout { wanted: wanted.clone(), known, tried: tried.clone() })
}

/// The number of the version that is tried already, where it is this one.
async fn known(
    log: &dyn Log,
    layout: &Layout,
    Planned { wanted, .. }: &Planned,
    deployment: Option<&Deployment>,
) -> Result<Option<VersionNumber>> {
    let Some(beside) = deployment.and_then(|deployment| deployment.beside.as_ref()) else { return Ok(None) };
    let tried = deployed::version(log, layout, &wanted.handler, beside.version).await?;
    let is_same = tried.module == wanted.module && tried.manifest == wanted.manifest;
    Ok(is_same.then_some(beside.version))
}

/// Lets what is tried beside the deployed version run alone.
pub(super) async fn promote(log: &dyn Log, layout: &Layout, handler: &HandlerName) -> Result<Decision> {
    let Some((deployment, position)) = deployed::decision(log, layout, handler).await? else {
        bail!("handler `{handler}` was never deployed: see `waxwing versions`");
    };
    let Some(beside) = &deployment.beside else {
        match &deployment.reason {
            Reason::Worse { version } => bail!(
                "version {version} of `{handler}` was rolled back, as it was worse: see `waxwing versions {handler}`"
            ),
            _ => bail!(
                "no version of `{handler}` is tried beside the one that is deployed: see `waxwing versions {handler}`"
            ),
        }
    };
    let decision = (Some(beside.version), Reason::Promoted);
    written::change(log, layout, (handler, &deployment, position), decision, &by()).await
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn a_canary_has_some_of_the_keys_and_not_all() {
        assert!(share("0.01%").is_ok() && share("99.99%").is_ok());
        assert!(share("0%").is_err() && share("100%").unwrap_err().contains("--promote"));
        assert!(share("5").unwrap_err().contains("such as 5%"));
    }
}
