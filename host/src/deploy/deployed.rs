//! What the log says of a handler's versions.

use std::collections::BTreeMap;

use waxwing_engine::{
    entry::{
        EntryError, Layout,
        deploy::Deployment,
        version::{Version, VersionNumber},
    },
    port::{
        Log,
        log::{Entry, Part, ReadError},
    },
    standing::{self, Standing, StandingError},
};
use waxwing_event::{HandlerName, Position};

/// The most versions of a handler that are looked at.
const MAX_VERSIONS: usize = 100_000;

/// The most handlers that are looked at.
const MAX_HANDLERS: usize = 100_000;

/// Why it is not known what was deployed.
#[derive(Debug, thiserror::Error)]
pub enum DeployedError {
    /// The log could not be read; trying again may help.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// What it says is damaged.
    #[error("{0}: deploy the handler again")]
    Damaged(#[from] EntryError),
    /// There is no such version.
    #[error(
        "handler `{handler}` has no version {number}: list its versions with `waxwing versions {handler}`"
    )]
    Missing {
        /// The handler.
        handler: HandlerName,
        /// The version.
        number: VersionNumber,
    },
}

impl From<StandingError> for DeployedError {
    fn from(error: StandingError) -> DeployedError {
        match error {
            StandingError::Read(error) => DeployedError::Read(error),
            StandingError::Damaged(error) => DeployedError::Damaged(error),
        }
    }
}

/// What holds of the decision about a handler, and where that stands.
pub async fn decision(
    log: &dyn Log,
    layout: &Layout,
    handler: &HandlerName,
) -> Result<Option<(Deployment, Position)>, DeployedError> {
    let standing = standing::look(log, layout, handler).await?;
    Ok(standing.map(|standing| (standing.deployment, standing.position)))
}

/// What was decided about each handler.
pub async fn decisions(
    log: &dyn Log,
    layout: &Layout,
) -> Result<BTreeMap<HandlerName, Standing>, DeployedError> {
    let of = |entry: &Entry| layout.generation_of(&entry.subject).map(|name| name.handler);
    let verdicts = log.last_of_each(&layout.verdicts(), Part::Whole, MAX_HANDLERS).await?;
    let verdicts: BTreeMap<HandlerName, Entry> =
        verdicts.into_iter().filter_map(|entry| Some((of(&entry)?, entry))).collect();
    let mut decisions = BTreeMap::new();
    for entry in log.last_of_each(&layout.deployments(), Part::Whole, MAX_HANDLERS).await? {
        let Some(handler) = of(&entry) else { continue };
        let standing = Standing::of(&entry, verdicts.get(&handler))?;
        decisions.insert(handler, standing);
    }
    Ok(decisions)
}

/// A version.
pub async fn version(
    log: &dyn Log,
    layout: &Layout,
    handler: &HandlerName,
    number: VersionNumber,
) -> Result<Version, DeployedError> {
    match log.last(&layout.version(handler, number)).await? {
        Some(entry) => Ok(Version::read(&entry)?),
        None => Err(DeployedError::Missing { handler: handler.clone(), number }),
    }
}

/// The versions of a handler, or of all, by handler and number; those that cannot be read are left out and told.
pub async fn versions(
    log: &dyn Log,
    layout: &Layout,
    handler: Option<&HandlerName>,
) -> Result<Vec<(HandlerName, Version)>, ReadError> {
    let entries = log.last_of_each(&layout.versions(handler), Part::Whole, MAX_VERSIONS).await?;
    let mut versions: Vec<(HandlerName, Version)> =
        entries.iter().filter_map(|entry| read(layout, entry)).collect();
    versions.sort_by(|(a, v), (b, w)| (a, v.number).cmp(&(b, w.number)));
    Ok(versions)
}

fn read(layout: &Layout, entry: &Entry) -> Option<(HandlerName, Version)> {
    let handler = layout.generation_of(&entry.subject)?.handler;
    match Version::read(entry) {
        Ok(version) => Some((handler, version)),
        Err(error) => {
            tracing::warn!(%error, "a version is left out");
            None
        }
    }
}
