//! What came of a decision: hosts run it, or it was taken back.

use std::{env, process::ExitCode, time::Duration};

use anyhow::{Result, bail};
use serde::Serialize;
use waxwing_engine::{
    canary::Percent,
    entry::{
        Layout,
        deploy::{Declined, OnCanary, Reason, Swap},
        version::VersionNumber,
    },
    port::Log,
};
use waxwing_event::{HandlerName, Position};

use crate::{
    cli::{
        General,
        output::{self, Output, line, say},
        style::{BAD, END, GOOD, NAME, WARN},
    },
    deploy::{
        deployed,
        written::{self, Decision, Fate},
    },
    identity::machine_name,
};

/// What came of a decision.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli) struct Outcome {
    handler: HandlerName,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<VersionNumber>,
    #[serde(flatten)]
    what: What,
}

#[derive(Debug, Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case", rename_all_fields = "camelCase")]
enum What {
    /// A host runs it, for inputs after that position.
    Runs { host: String, after: Position },
    /// A host runs it as a canary, for inputs after that position.
    RunsAsCanary { host: String, after: Position, share: Percent },
    /// It runs as a shadow.
    Shadows,
    /// No host lives.
    NoHost,
    /// Nobody waited for it, or nothing was heard in time.
    Unheard,
    /// It is not known what came of it.
    Unknown { why: String },
    /// A host cannot run it; the version before goes on.
    Declined { host: String, why: String, goes_on: Option<VersionNumber> },
}

/// Waits for what comes of a decision; where a host cannot run it, it is taken back.
pub(in crate::cli) async fn wait(
    log: &dyn Log,
    layout: &Layout,
    decision: Decision,
    patience: Duration,
) -> Outcome {
    let beside = decision.deployment.beside.as_ref().map(|beside| beside.version);
    let version = beside.or(decision.deployment.version);
    let fate = match written::fate(log, layout, &decision, patience).await {
        Ok(fate) => fate,
        Err(error) => {
            let what = What::Unknown { why: error.to_string() };
            return Outcome { handler: decision.handler, version, what };
        }
    };
    let what = match fate {
        Fate::Runs(Swap { host, after, canary, .. }) => match canary {
            Some(OnCanary { share, .. }) => What::RunsAsCanary { host, after, share },
            None => What::Runs { host, after },
        },
        Fate::Shadows(_) => What::Shadows,
        Fate::NoHost => What::NoHost,
        Fate::Unheard => What::Unheard,
        Fate::Declined(declined) => {
            let back = written::take_back(log, layout, &decision, &declined, &by()).await;
            let Declined { host, why, .. } = declined;
            match back {
                Ok(back) => What::Declined { host, why, goes_on: back.deployment.version },
                Err(error) => What::Unknown { why: format!("`{host}` cannot run it: {why}; {error:#}") },
            }
        }
    };
    Outcome { handler: decision.handler, version, what }
}

/// Takes a handler out of what is deployed.
pub(super) async fn remove(log: &dyn Log, layout: &Layout, handler: &HandlerName) -> Result<HandlerName> {
    let found = deployed::decision(log, layout, handler).await?;
    let Some((deployment, position)) = found.filter(|(deployment, _)| deployment.version.is_some()) else {
        bail!("handler `{handler}` is not deployed: see `waxwing versions`");
    };
    let removed = (None, Reason::Removed);
    written::change(log, layout, (handler, &deployment, position), removed, &by()).await?;
    Ok(handler.clone())
}

/// Says what came of each decision.
pub(in crate::cli) fn show(outcomes: &[Outcome], general: &General) -> Result<ExitCode> {
    let is_fine = outcomes.iter().all(|outcome| {
        matches!(outcome.what, What::Runs { .. } | What::RunsAsCanary { .. } | What::Shadows | What::NoHost)
    });
    let code = if is_fine { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    if general.output == Output::Json {
        output::json(&outcomes)?;
        return Ok(code);
    }
    if outcomes.is_empty() {
        say!("nothing to deploy: hosts are to run the same already")?;
    }
    for Outcome { handler, version, what } in outcomes {
        let version = version.map(|version| version.to_string()).unwrap_or_default();
        let name = format!("{NAME}{handler}{END}");
        match what {
            What::Runs { host, after } => {
                say!(
                    "{GOOD}✓{END} {name}: version {version} runs on {}, after position {after}",
                    line(host)
                )?;
            }
            What::RunsAsCanary { host, after, share } => {
                say!(
                    "{GOOD}✓{END} {name}: version {version} runs as a canary for {share} of the keys on {}, after \
                     position {after}",
                    line(host)
                )?;
            }
            What::Shadows => {
                say!(
                    "{GOOD}✓{END} {name}: version {version} runs as a shadow: see `waxwing versions {handler}`"
                )?;
            }
            What::NoHost => say!(
                "{GOOD}✓{END} {name}: version {version} is deployed; no host lives: the next one that starts runs it"
            )?,
            What::Unheard => say!(
                "{WARN}?{END} {name}: version {version} is deployed, and no host has said yet that it runs: see \
                 `waxwing versions {handler}`"
            )?,
            What::Unknown { why } => say!(
                "{BAD}✗{END} {name}: it is not known what came of version {version}, see `waxwing versions {handler}`: {}",
                line(why)
            )?,
            What::Declined { host, why, goes_on } => {
                let goes_on = match goes_on {
                    Some(before) => format!("version {before} goes on"),
                    None => "nothing is deployed, as before".to_owned(),
                };
                say!("{BAD}✗{END} {name}: version {version} cannot run on {}: {}", line(host), line(why))?;
                say!("    taken back: {goes_on}")?;
            }
        }
    }
    Ok(code)
}

/// Who decides, as people know them.
pub(in crate::cli) fn by() -> String {
    let names = ["USER", "LOGNAME", "USERNAME"];
    let user = names.iter().find_map(|name| env::var(name).ok()).unwrap_or_else(|| "somebody".to_owned());
    match machine_name().trim() {
        "" => user,
        host => format!("{user}@{host}"),
    }
}
