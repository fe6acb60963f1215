//! `waxwing deploy`: hosts come to run what the manifest says, or another module.

mod beside;
pub(super) mod outcome;
pub(super) mod plan;
mod report;
pub(super) mod signing;

use std::{process::ExitCode, str::FromStr, time::Duration};

use anyhow::{Context, Result, bail};
use clap::Args;
use tokio::time::Instant;
use waxwing_engine::{entry::Layout, port::Log};
use waxwing_event::HandlerName;
use waxwing_log::jetstream::ModuleStore;

use self::{
    beside::Trial,
    outcome::{Outcome, by},
    plan::{Planned, Step},
    signing::Signing,
};
use super::{
    General, found,
    output::{self, Output, say},
    style::{END, GOOD},
    time,
};
use crate::{
    assemble,
    config::{self, Manifest},
    deploy::written::{self, Decision, Tryout, Wanted},
};

/// Deploys handlers: running hosts go on with them, without a pause
///
/// Checks and loads each module as a host does, stores it once by its digest in the app's object store, and writes the
/// version and the decision for it to the log. Running hosts fetch it, check it, and run it from the next event on; what
/// has begun ends on the version before. Where a host cannot run it, the version before goes on, and the deployment is
/// taken back. What a version newly may do is shown before anything is written.
///
/// With --canary the version runs for a share of the keys beside the one that is deployed; each key stays with its version,
/// and a larger share takes keys in addition. Once it has run --min-runs times, it is rolled back by itself as soon as it
/// fails, misses deadlines or leaves dead letters at a rate that is more than --margin above the other's. With --shadow it
/// runs without effects, and what it would do otherwise is shown by `waxwing versions`. `--promote` lets it run alone,
/// `waxwing rollback` ends it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    waxwing deploy --dry-run\n  \
    waxwing deploy\n  \
    waxwing deploy basket\n  \
    waxwing deploy basket=target/basket.wasm\n  \
    waxwing deploy --sign ~/.config/nats/deployer.nk\n  \
    waxwing deploy basket=sha256:5f2c…\n  \
    waxwing deploy basket=oci://registry.example/shop/basket:1.2.0\n  \
    waxwing deploy basket --canary 5% --window 30m\n  \
    waxwing deploy basket --promote")]
pub(super) struct Deploy {
    /// The handlers, each with its module where that is not the manifest's: a crate's folder, a .wasm file, sha256:… or
    /// oci://…
    /// [default: all of the manifest]
    #[arg(value_name = "HANDLER[=MODULE]")]
    handlers: Vec<Choice>,
    /// Show what would be different, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// How long hosts may take to run it; 0s: do not wait
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = time::length)]
    wait: Duration,
    /// Take the handlers out: hosts run what their manifests say, or nothing of them
    #[arg(long, requires = "handlers", conflicts_with = "dry_run")]
    remove: bool,
    #[command(flatten)]
    trial: Trial,
    #[command(flatten)]
    signing: Signing,
}

/// A handler, and its module where somebody names one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Choice {
    handler: HandlerName,
    module: Option<String>,
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Choice, String> {
        let (handler, module) = match text.split_once('=') {
            Some((_, "")) => return Err("name the module behind `=`, or leave `=` out".to_owned()),
            Some((handler, module)) => (handler, Some(module.to_owned())),
            None => (text, None),
        };
        let handler = handler.parse().map_err(|why| format!("it is no handler's name: {why}"))?;
        Ok(Choice { handler, module })
    }
}

impl Deploy {
    pub(super) async fn execute(&self, general: &General) -> Result<ExitCode> {
        let manifest = found::manifest(&config::find::manifest(general.manifest.as_deref())?)?;
        let target = found::target(general)?;
        let store = assemble::modules(&manifest.config.app, &target);
        let layout = Layout::new(manifest.config.app.clone());
        if self.remove {
            let log = assemble::existing_log(&manifest.config.app, &target).await?;
            return self.take_out(log.as_ref(), &layout, general).await;
        }
        if self.trial.promote {
            let log = assemble::existing_log(&manifest.config.app, &target).await?;
            return self.promote(log.as_ref(), &layout, general).await;
        }
        let signers = self.signing.signers()?;
        let planning =
            plan::Planning { manifest: &manifest, layout: &layout, store: &store, signers: &signers };
        let candidates = planning.load(&self.handlers, general).await?;
        // It is made only where something is written to it.
        let log = match self.dry_run {
            true => assemble::existing_log(&manifest.config.app, &target).await.ok(),
            false => Some(assemble::open_log(&manifest.config, &target).await?),
        };
        let planned = planning.compare(candidates, log.as_deref()).await?;
        if general.output == Output::Text {
            report::show_planned(&planned)?;
        }
        if self.dry_run {
            if general.output == Output::Json {
                output::json(&report::rows(&planned))?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        let log = log.context("the app's log was not opened")?;
        let new: Vec<Planned> =
            planned.into_iter().filter(|planned| planned.step != Step::Unchanged).collect();
        let tryouts = self.tryouts(log.as_ref(), &layout, &manifest, &new).await?;
        self.store(&manifest, &store, &new).await?;
        let outcomes = self.deploy(log.as_ref(), &layout, &new, tryouts).await?;
        // A version whose module was removed at that very moment gets it back.
        self.store(&manifest, &store, &new).await?;
        outcome::show(&outcomes, general)
    }

    /// Stores the modules that are not there.
    async fn store(&self, manifest: &Manifest, store: &ModuleStore, new: &[Planned]) -> Result<()> {
        let kept_on = assemble::kept_on(&manifest.config)?;
        for Planned { wanted, module, .. } in new {
            store.put(wanted.module, module, kept_on).await?;
        }
        Ok(())
    }

    /// What is to be written so that the versions are tried; none: they are to be deployed.
    async fn tryouts(
        &self,
        log: &dyn Log,
        layout: &Layout,
        manifest: &Manifest,
        new: &[Planned],
    ) -> Result<Option<Vec<Tryout>>> {
        let Some(tried) = self.trial.tried() else { return Ok(None) };
        let app = (&manifest.config.app, manifest.config.events.as_slice());
        let mut tryouts = Vec::with_capacity(new.len());
        for planned in new {
            tryouts.push(beside::tryout(log, layout, app, planned, &tried).await?);
        }
        Ok(Some(tryouts))
    }

    async fn deploy(
        &self,
        log: &dyn Log,
        layout: &Layout,
        new: &[Planned],
        tryouts: Option<Vec<Tryout>>,
    ) -> Result<Vec<Outcome>> {
        if new.is_empty() {
            return Ok(Vec::new());
        }
        let decisions = match tryouts {
            Some(tryouts) => written::try_beside(log, layout, &tryouts, &by()).await?,
            None => {
                let wanted: Vec<Wanted> = new.iter().map(|new| new.wanted.clone()).collect();
                written::deploy(log, layout, &wanted, &by()).await?
            }
        };
        self.wait_for(log, layout, decisions).await
    }

    async fn promote(&self, log: &dyn Log, layout: &Layout, general: &General) -> Result<ExitCode> {
        let mut decisions = Vec::new();
        for handler in self.named()? {
            decisions.push(beside::promote(log, layout, handler).await?);
        }
        let outcomes = self.wait_for(log, layout, decisions).await?;
        outcome::show(&outcomes, general)
    }

    /// The handlers that are named, where no modules may be.
    fn named(&self) -> Result<Vec<&HandlerName>> {
        let mut named = Vec::with_capacity(self.handlers.len());
        for Choice { handler, module } in &self.handlers {
            if module.is_some() {
                bail!("`--remove` and `--promote` take names of handlers alone: write `{handler}`");
            }
            named.push(handler);
        }
        Ok(named)
    }

    async fn wait_for(
        &self,
        log: &dyn Log,
        layout: &Layout,
        decisions: Vec<Decision>,
    ) -> Result<Vec<Outcome>> {
        let until = Instant::now() + self.wait;
        let mut outcomes = Vec::with_capacity(decisions.len());
        for decision in decisions {
            let patience = until.saturating_duration_since(Instant::now());
            outcomes.push(outcome::wait(log, layout, decision, patience).await);
        }
        Ok(outcomes)
    }

    async fn take_out(&self, log: &dyn Log, layout: &Layout, general: &General) -> Result<ExitCode> {
        let mut removed = Vec::new();
        for handler in self.named()? {
            removed.push(outcome::remove(log, layout, handler).await?);
        }
        if general.output == Output::Json {
            output::json(&serde_json::json!({ "removed": removed }))?;
            return Ok(ExitCode::SUCCESS);
        }
        for handler in removed {
            say!("{GOOD}✓{END} {handler}: is deployed no more; hosts run what their manifests say")?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

#[cfg(test)]
mod tests {
    use super::Choice;

    #[test]
    fn reads_handlers_with_and_without_a_module() {
        let choice =
            |text: &str| text.parse::<Choice>().map(|choice| (choice.handler.to_string(), choice.module));
        assert_eq!(choice("basket"), Ok(("basket".to_owned(), None)));
        assert_eq!(choice("basket=a=b.wasm"), Ok(("basket".to_owned(), Some("a=b.wasm".to_owned()))));
        assert!(choice("basket=").is_err() && choice("=a.wasm").is_err() && choice("Basket").is_err());
    }
}
