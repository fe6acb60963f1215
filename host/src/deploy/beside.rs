//! What may be tried beside a version: only what a partition goes on with without a pause.

use waxwing_engine::entry::version::VersionNumber;
use waxwing_event::HandlerSpec;

/// Why a version cannot be tried beside another.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "more than its module, settings and limits of runs differs from version {0}, beside which it would run: deploy it \
     without --canary and --shadow"
)]
pub struct Unlike(pub VersionNumber);

/// Whether a handler that is as `other` says may be tried beside the one of `stable`, which is that version.
pub fn check(stable: &HandlerSpec, version: VersionNumber, other: &HandlerSpec) -> Result<(), Unlike> {
    match stable.differs_in_its_runs_alone(other) {
        true => Ok(()),
        false => Err(Unlike(version)),
    }
}
