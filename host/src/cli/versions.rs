//! `waxwing versions`: what was deployed, what runs, and since which input.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::ExitCode,
};

use anyhow::Result;
use clap::Args;
use jiff::Timestamp;
use serde::Serialize;
use waxwing_engine::{
    entry::{
        deploy::{Declined, Swap},
        version::{Signature, Version, VersionNumber},
    },
    port::log::Part,
};
use waxwing_event::{AppName, Digest, HandlerName, Position};

use super::{
    General,
    deploy::plan::short,
    output::{self, Output, line, say},
    place::Place,
    style::{BAD, END, GOOD, NAME, WARN},
    trial,
};
use crate::{
    deploy::{
        deployed,
        trials::{self, Trial},
    },
    signature::{Claim, PublicKey},
};

/// The most handlers that are looked at.
const MAX_HANDLERS: usize = 100_000;

/// Lists the versions of handlers that were deployed
///
/// `runs` is what a host runs now, since the input behind a position; `deployed` is what hosts are to run. Of a version that
/// is tried beside the deployed one it shows how its runs end (canary), or what it does otherwise (shadow).
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  waxwing versions\n  waxwing versions basket -o json")]
pub(super) struct Versions {
    /// The app [default: that of the manifest]
    #[arg(long, value_name = "NAME")]
    app: Option<AppName>,
    /// The handler [default: all]
    handler: Option<HandlerName>,
}

/// A version.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    handler: HandlerName,
    version: VersionNumber,
    /// True where hosts are to run it.
    deployed: bool,
    /// Where it runs: the host, and after which input it began to.
    #[serde(skip_serializing_if = "Option::is_none")]
    runs: Option<Runs>,
    /// Hosts that cannot run it, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    declined: Vec<Refused>,
    /// Where it is tried beside the one that is deployed: what came of that.
    #[serde(skip_serializing_if = "Option::is_none")]
    trial: Option<Trial>,
    module: Digest,
    bytes: u64,
    from: String,
    by: String,
    at: Timestamp,
    /// Whose signatures it has.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    signatures: Vec<Signed>,
}

/// A signature, judged.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Signed {
    key: String,
    /// False where it is over something else, or by another.
    good: bool,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Runs {
    host: String,
    after: Position,
    since: Timestamp,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Refused {
    host: String,
    why: String,
}

impl Versions {
    pub(super) async fn execute(&self, general: &General) -> Result<ExitCode> {
        let place = Place::find(self.app.as_ref(), general).await?;
        let rows = self.rows(&place).await?;
        match general.output {
            Output::Json => output::json(&rows)?,
            Output::Text => show(&rows)?,
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn rows(&self, place: &Place) -> Result<Vec<Row>> {
        let (log, layout) = place.at();
        let versions = deployed::versions(log, layout, self.handler.as_ref()).await?;
        let decisions = deployed::decisions(log, layout).await?;
        let mut trials = BTreeMap::new();
        for (handler, standing) in &decisions {
            if self.handler.as_ref().is_none_or(|only| only == handler)
                && let Some((version, trial)) = trials::look(log, layout, handler, standing).await?
            {
                trials.insert((handler.clone(), version), trial);
            }
        }
        let mut running: BTreeMap<HandlerName, Swap> = BTreeMap::new();
        for entry in log.last_of_each(&layout.all_swaps(), Part::Whole, MAX_HANDLERS).await? {
            let name = layout.generation_of(&entry.subject).map(|name| name.handler);
            running.extend(name.zip(Swap::read(&entry).ok()));
        }
        let mut declined = Vec::new();
        let handlers: BTreeSet<&HandlerName> = versions.iter().map(|(handler, _)| handler).collect();
        for handler in handlers {
            for entry in log.last_of_each(&layout.all_declined(handler), Part::Whole, MAX_HANDLERS).await? {
                declined.extend(Declined::read(&entry).ok().map(|declined| (handler.clone(), declined)));
            }
        }
        let mut row = |(handler, version): (HandlerName, Version)| {
            let runs = running.get(&handler).filter(|swap| swap.version == Some(version.number));
            let refused = declined.iter().filter(|(of, by)| *of == handler && by.version == version.number);
            let refused =
                refused.map(|(_, by)| Refused { host: by.host.clone(), why: by.why.clone() }).collect();
            let by = Claim::of(layout.app(), &handler, &version).signed_by(&version.signatures);
            let good = |key: &str| by.iter().map(PublicKey::as_str).any(|by| by == key);
            let signed = |Signature { key, .. }: &Signature| Signed { key: key.clone(), good: good(key) };
            Row {
                signatures: version.signatures.iter().map(signed).collect(),
                deployed: decisions.get(&handler).and_then(|standing| standing.deployment.version)
                    == Some(version.number),
                trial: trials.remove(&(handler.clone(), version.number)),
                runs: runs.map(|swap| Runs { host: swap.host.clone(), after: swap.after, since: swap.at }),
                declined: refused,
                version: version.number,
                module: version.module,
                bytes: version.bytes,
                from: version.from,
                by: version.by,
                at: version.at,
                handler,
            }
        };
        Ok(versions.into_iter().map(&mut row).collect())
    }
}

impl Signed {
    /// As far as people need it.
    fn shown(&self) -> String {
        let key: String = self.key.chars().take(8).collect();
        let key = line(&key);
        if self.good { format!("{key}…") } else { format!("{BAD}{key}…, bad{END}") }
    }
}

fn show(rows: &[Row]) -> Result<()> {
    if rows.is_empty() {
        return Ok(say!("nothing is deployed: `waxwing deploy` does it")?);
    }
    let mut table =
        output::table(&["handler", "version", "", "module", "from", "deployed", "by", "signed by"]);
    for row in rows {
        let tried = row.trial.as_ref().map(trial::word).unwrap_or_default();
        let state = match (row.deployed, &row.runs, row.declined.is_empty()) {
            _ if !tried.is_empty() && !row.deployed => tried,
            (true, Some(runs), _) => format!("{GOOD}runs{END} after {}", runs.after),
            (true, None, _) => format!("{WARN}deployed{END}"),
            (false, Some(runs), _) => format!("{WARN}runs still{END} after {}", runs.after),
            (false, None, false) => format!("{BAD}cannot run{END}"),
            (false, None, true) => String::new(),
        };
        table.add_row([
            format!("{NAME}{}{END}", row.handler),
            row.version.to_string(),
            state,
            short(row.module),
            line(&row.from),
            format!("{:.0}", row.at),
            line(&row.by),
            row.signatures.iter().map(Signed::shown).collect::<Vec<_>>().join(", "),
        ]);
    }
    say!("{table}")?;
    for Row { handler, version, declined, trial, .. } in rows {
        if let Some(trial) = trial {
            trial::show(handler, *version, trial)?;
        }
        for Refused { host, why } in declined {
            let (host, why) = (line(host), line(why));
            say!("{NAME}{handler}{END}: version {version} cannot run on {host}: {why}")?;
        }
    }
    Ok(())
}
