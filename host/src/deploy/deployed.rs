//! What the log says of a handler's versions.

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
};
use waxwing_event::{HandlerName, Position};

/// The most versions of a handler that are looked at.
const MAX_VERSIONS: usize = 100_000;

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

/// The decision about a handler, and where it stands.
pub async fn decision(
    log: &dyn Log,
    layout: &Layout,
    handler: &HandlerName,
) -> Result<Option<(Deployment, Position)>, DeployedError> {
    match log.last(&layout.deployment(handler)).await? {
        Some(entry) => Ok(Some((Deployment::read(&entry)?, entry.position))),
        None => Ok(None),
    }
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
