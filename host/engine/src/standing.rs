//! What was decided about a handler, as it stands: the decision, and the verdict that may have ended its canary.

use waxwing_event::{HandlerName, Position};

use crate::{
    entry::{EntryError, Layout, deploy::Deployment, verdict::Verdict},
    port::{
        Log,
        log::{Entry, ReadError},
    },
};

/// What was decided about a handler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// What holds now.
    pub deployment: Deployment,
    /// Where the decision stands: the next one replaces it.
    pub position: Position,
    /// What was found about its canary, and where that stands.
    pub verdict: Option<(Verdict, Position)>,
}

/// Why it is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StandingError {
    /// The log could not be read; trying again may help.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The decision is damaged.
    #[error(transparent)]
    Damaged(#[from] EntryError),
}

impl Standing {
    /// What a decision comes to, with the last verdict that there is about the handler.
    pub fn of(decision: &Entry, verdict: Option<&Entry>) -> Result<Standing, EntryError> {
        let deployment = Deployment::read(decision)?;
        let position = decision.position;
        let verdict = verdict.and_then(|entry| about(entry, position).map(|found| (found, entry.position)));
        let deployment = match &verdict {
            Some((verdict, _)) => deployment.after(verdict),
            None => deployment,
        };
        Ok(Standing { deployment, position, verdict })
    }

    /// Where that stands by which hosts run what they run.
    pub fn decided(&self) -> Position {
        self.verdict.as_ref().map_or(self.position, |(_, position)| *position)
    }
}

/// The verdict of an entry, if it is about the decision at this position. One that cannot be read ends nothing.
fn about(entry: &Entry, decision: Position) -> Option<Verdict> {
    Verdict::read(entry).ok().filter(|verdict| verdict.decision == decision)
}

/// What was decided about a handler; nothing where nobody ever has.
pub async fn look(
    log: &dyn Log,
    layout: &Layout,
    handler: &HandlerName,
) -> Result<Option<Standing>, StandingError> {
    let Some(decision) = log.last(&layout.deployment(handler)).await? else { return Ok(None) };
    let verdict = log.last(&layout.verdict(handler)).await?;
    Ok(Some(Standing::of(&decision, verdict.as_ref())?))
}

/// Where that stands by which hosts run what they run ([`Position::NONE`]: nobody has ever decided).
pub async fn decided(log: &dyn Log, layout: &Layout, handler: &HandlerName) -> Result<Position, ReadError> {
    let Some(decision) = log.last(&layout.deployment(handler)).await? else { return Ok(Position::NONE) };
    let verdict = log.last(&layout.verdict(handler)).await?;
    let ended = verdict.filter(|entry| about(entry, decision.position).is_some());
    Ok(ended.map_or(decision.position, |entry| entry.position))
}
