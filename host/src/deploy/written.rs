//! Decisions, as they are written, and what becomes of them on hosts.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use serde_json::Value;
use waxwing_engine::{
    entry::{
        Layout, Partition,
        deploy::{Beside, Declined, Deployment, OnCanary, Reason, Running, Swap, Tried},
        shadow::Shadowed,
        version::{Signature, Version, VersionNumber},
    },
    generations,
    port::{
        Log,
        log::{CommitError, NewEntry, Part, commit},
    },
};
use waxwing_event::{Digest, HandlerName, Position};

use super::deployed;

/// The most handlers that one deployment takes: each needs two entries of a commit.
pub const MAX_HANDLERS: usize = 400;

/// The most hosts that are looked at.
const MAX_HOSTS: usize = 10_000;

/// How often it is looked what became of a decision.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What is to be deployed of a handler.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The handler.
    pub handler: HandlerName,
    /// Its module, which is stored.
    pub module: Digest,
    /// How large that is.
    pub bytes: u64,
    /// What it asks of its host.
    pub imports: BTreeSet<String>,
    /// What the manifest says of the handler.
    pub manifest: Value,
    /// Where the module came from.
    pub from: String,
    /// Who vouches for it.
    pub signatures: Vec<Signature>,
    /// The decision that is replaced, and where it stands.
    pub replaces: Option<(Deployment, Position)>,
}

/// A decision that was written.
#[derive(Debug, Clone)]
pub struct Decision {
    /// The handler.
    pub handler: HandlerName,
    /// What was decided.
    pub deployment: Deployment,
    /// Where that stands.
    pub position: Position,
}

/// The next version of a handler and the decision for it, with the entries that write both.
pub fn next(layout: &Layout, wanted: &Wanted, reason: Reason, by: &str) -> (Deployment, Vec<NewEntry>) {
    let Wanted { handler, replaces, .. } = wanted;
    let at = Timestamp::now();
    let before = replaces.as_ref().map(|(deployment, _)| deployment);
    let number = before.map_or(VersionNumber(0), |deployment| deployment.highest).next();
    let version = Version {
        number,
        module: wanted.module,
        bytes: wanted.bytes,
        imports: wanted.imports.clone(),
        manifest: wanted.manifest.clone(),
        from: wanted.from.clone(),
        by: by.to_owned(),
        at,
        signatures: wanted.signatures.clone(),
    };
    let deployment = Deployment {
        version: Some(number),
        before: before.and_then(|deployment| deployment.version),
        beside: None,
        highest: number,
        reason,
        by: by.to_owned(),
        at,
    };
    let last = replaces.as_ref().map_or(Position::NONE, |(_, position)| *position);
    let entries = vec![
        version.write(layout.version(handler, number)),
        deployment.write(layout.deployment(handler), last),
    ];
    (deployment, entries)
}

/// A decision about a handler, with the entries that write it: the decision is the last of them.
type Writes = (HandlerName, Deployment, Vec<NewEntry>);

/// Writes new versions and the decisions for them, all or none.
pub async fn deploy(log: &dyn Log, layout: &Layout, wanted: &[Wanted], by: &str) -> Result<Vec<Decision>> {
    let each = wanted.iter().map(|wanted| {
        let (deployment, entries) = next(layout, wanted, Reason::Deployed, by);
        (wanted.handler.clone(), deployment, entries)
    });
    write_all(log, each.collect()).await
}

/// A version that is to be tried beside the one that is deployed.
#[derive(Debug, Clone)]
pub struct Tryout {
    /// The version. It replaces a decision.
    pub wanted: Wanted,
    /// Its number, where it is one that was written before.
    pub known: Option<VersionNumber>,
    /// As what it is tried.
    pub tried: Tried,
}

/// Writes decisions by which versions are tried beside those that are deployed, all or none; and the versions that are new.
pub async fn try_beside(
    log: &dyn Log,
    layout: &Layout,
    tryouts: &[Tryout],
    by: &str,
) -> Result<Vec<Decision>> {
    let mut each = Vec::with_capacity(tryouts.len());
    for Tryout { wanted, known, tried } in tryouts {
        let handler = &wanted.handler;
        let Some((standing, last)) = &wanted.replaces else {
            bail!("nothing of handler `{handler}` is deployed, beside which a version could be tried");
        };
        let (next, mut entries) = next(layout, wanted, Reason::Deployed, by);
        // The decision for it alone is not meant.
        entries.pop();
        if known.is_some() {
            entries.clear();
        }
        let version = known.unwrap_or(next.highest);
        let deployment = Deployment {
            version: standing.version,
            before: standing.before,
            beside: Some(Beside { version, tried: tried.clone() }),
            highest: standing.highest.max(version),
            ..next
        };
        entries.push(deployment.write(layout.deployment(handler), *last));
        each.push((handler.clone(), deployment, entries));
    }
    write_all(log, each).await
}

async fn write_all(log: &dyn Log, each: Vec<Writes>) -> Result<Vec<Decision>> {
    if each.len() > MAX_HANDLERS {
        bail!(
            "{} handlers are more than one deployment takes, {MAX_HANDLERS}: name some of them",
            each.len()
        );
    }
    let (mut decisions, mut entries) = (Vec::new(), Vec::new());
    for (handler, deployment, own) in each {
        entries.extend(own);
        // For now its place among all.
        let position = Position(entries.len() as u64);
        decisions.push(Decision { handler, deployment, position });
    }
    let count = entries.len() as u64;
    let last = write(log, entries).await?;
    for decision in &mut decisions {
        let behind = count.saturating_sub(decision.position.0);
        decision.position = Position(last.0.saturating_sub(behind));
    }
    Ok(decisions)
}

/// Decides for another version of a handler, or for none; the one that was decided is the one before.
pub async fn change(
    log: &dyn Log,
    layout: &Layout,
    (handler, before, position): (&HandlerName, &Deployment, Position),
    (version, reason): (Option<VersionNumber>, Reason),
    by: &str,
) -> Result<Decision> {
    let deployment = Deployment {
        version,
        before: before.version,
        beside: None,
        highest: before.highest,
        reason,
        by: by.to_owned(),
        at: Timestamp::now(),
    };
    decide(log, layout, handler, deployment, position).await
}

/// Ends what is tried beside a version, which goes on alone.
pub async fn end_trial(
    log: &dyn Log,
    layout: &Layout,
    (handler, before, position): (&HandlerName, &Deployment, Position),
    reason: Reason,
    by: &str,
) -> Result<Decision> {
    let (by, at) = (by.to_owned(), Timestamp::now());
    let deployment = Deployment { beside: None, reason, by, at, ..before.clone() };
    decide(log, layout, handler, deployment, position).await
}

/// Writes a decision in the place of the one at `replaces`.
async fn decide(
    log: &dyn Log,
    layout: &Layout,
    handler: &HandlerName,
    deployment: Deployment,
    replaces: Position,
) -> Result<Decision> {
    let position = write(log, vec![deployment.write(layout.deployment(handler), replaces)]).await?;
    Ok(Decision { handler: handler.clone(), deployment, position })
}

async fn write(log: &dyn Log, entries: Vec<NewEntry>) -> Result<Position> {
    match commit(log, entries).await {
        Ok(committed) => Ok(committed.last),
        Err(CommitError::Refused(_)) => {
            bail!(
                "somebody else has deployed at the same moment, and nothing of this was written: look, and try again"
            )
        }
        Err(error) => {
            Err(error).context("it is not known whether it was written: look with `waxwing versions`")
        }
    }
}

/// What became of a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It runs; what is tried as a canary, too.
    Runs(Swap),
    /// What is tried as a shadow does.
    Shadows(Shadowed),
    /// A host cannot run it.
    Declined(Declined),
    /// No host lives that could run it.
    NoHost,
    /// Hosts live, and nothing was heard of it in time.
    Unheard,
}

/// Waits until a host runs what was decided, or says that it cannot; at most for `patience`.
pub async fn fate(log: &dyn Log, layout: &Layout, decision: &Decision, patience: Duration) -> Result<Fate> {
    let waited_for = tokio::time::sleep(patience);
    tokio::pin!(waited_for);
    loop {
        if let Some(fate) = look(log, layout, decision).await? {
            return Ok(fate);
        }
        tokio::select! {
            () = &mut waited_for => return Ok(Fate::Unheard),
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

async fn look(log: &dyn Log, layout: &Layout, decision: &Decision) -> Result<Option<Fate>> {
    let Decision { handler, deployment, position } = decision;
    let is_later = |at: Position| at > *position;
    let declined = log.last_of_each(&layout.all_declined(handler), Part::Whole, MAX_HOSTS).await?;
    let mut declined = declined.iter().filter(|entry| is_later(entry.position));
    let beside = deployment.beside.as_ref();
    let named = [deployment.version, beside.map(|beside| beside.version)];
    let of_this = |declined: &Declined| named.contains(&Some(declined.version));
    if let Some(declined) = declined.find_map(|entry| Declined::read(entry).ok().filter(of_this)) {
        return Ok(Some(Fate::Declined(declined)));
    }
    let hosts = log.last_of_each(&layout.hosts(), Part::Headers, MAX_HOSTS).await?;
    if hosts.is_empty() {
        return Ok(Some(Fate::NoHost));
    }
    if beside.is_some_and(|beside| beside.tried == Tried::Shadow) {
        let shadowed = log.last(&layout.shadow(handler, Partition(0))).await?;
        let shadowed = shadowed.and_then(|entry| Shadowed::read(&entry).ok());
        return Ok(shadowed.filter(|shadowed| shadowed.decision == *position).map(Fate::Shadows));
    }
    // Where a version before it could not run, hosts have never left the one that is decided for now.
    let canary = beside.map(|beside| OnCanary { version: beside.version, share: beside.share() });
    let expected = Running { version: deployment.version, canary };
    let mut swap = None;
    for partition in generations::live(log, layout, handler).await?.partitions(handler) {
        let entry = log.last(&layout.swaps(handler, partition)).await?;
        swap = entry.and_then(|entry| Swap::read(&entry).ok());
        if swap.as_ref().is_none_or(|swap| swap.runs() != expected) {
            return Ok(None);
        }
    }
    Ok(swap.map(Fate::Runs))
}

/// Goes back to the version before where a host cannot run the one that was decided, and tries a version no more that it
/// cannot run, unless somebody has decided meanwhile.
pub async fn take_back(
    log: &dyn Log,
    layout: &Layout,
    decision: &Decision,
    declined: &Declined,
    by: &str,
) -> Result<Decision> {
    let Decision { handler, deployment, position } = decision;
    if deployment.version.is_none() {
        bail!("handler `{handler}` was taken out: nothing is taken back")
    }
    let reason = Reason::Declined { version: declined.version, why: declined.why.clone() };
    let now = deployed::decision(log, layout, handler).await?;
    if now.is_none_or(|(_, now)| now != *position) {
        bail!("somebody else has decided about handler `{handler}` meanwhile: nothing is taken back");
    }
    if deployment.version != Some(declined.version) {
        return end_trial(log, layout, (handler, deployment, *position), reason, by).await;
    }
    // Nobody wants to go back to what could not run.
    let back = Deployment {
        version: deployment.before,
        before: None,
        beside: None,
        reason,
        by: by.to_owned(),
        at: Timestamp::now(),
        highest: deployment.highest,
    };
    decide(log, layout, handler, back, *position).await
}
