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

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use waxwing_event::{Headers, Subject};

    use super::*;
    use crate::{
        canary::{Percent, Rules, Tally, Worse},
        entry::{
            deploy::{Beside, Reason, Tried},
            verdict::Sentence,
            version::VersionNumber,
        },
        port::log::NewEntry,
    };

    fn stored(entry: NewEntry, position: u64) -> Entry {
        let NewEntry { subject, payload, .. } = entry;
        let (position, time) = (Position(position), Timestamp::UNIX_EPOCH);
        Entry { position, subject, headers: Headers::new(), payload, time }
    }

    #[test]
    fn a_verdict_ends_the_canary_of_its_decision_and_no_other() {
        let [stable, canary] = [1, 2].map(VersionNumber);
        let rules = Rules { margin: Percent::NONE, min_runs: 1, window_ms: 1, auto_promote: false };
        let deployment = Deployment {
            version: Some(stable),
            before: None,
            beside: Some(Beside {
                version: canary,
                tried: Tried::Canary { share: Percent::of_hundred(5), rules },
            }),
            highest: canary,
            reason: Reason::Deployed,
            by: "ada".to_owned(),
            at: Timestamp::UNIX_EPOCH,
        };
        let subject = Subject::from_checked("wx.shop.deploy.basket");
        let decision = stored(deployment.write(subject.clone(), Position::NONE), 7);
        let verdict = |decision| {
            let verdict = Verdict {
                decision: Position(decision),
                version: canary,
                sentence: Sentence::RolledBack(Worse::Failures),
                tally: Tally::default(),
                host: "a".to_owned(),
                at: Timestamp::UNIX_EPOCH,
            };
            stored(verdict.write(subject.clone()), 9)
        };
        let without = Standing::of(&decision, None).unwrap();
        assert_eq!((without.decided(), &without.deployment), (Position(7), &deployment));
        let ended = Standing::of(&decision, Some(&verdict(7))).unwrap();
        assert_eq!((ended.decided(), ended.position), (Position(9), Position(7)));
        assert_eq!((ended.deployment.version, ended.deployment.beside), (Some(stable), None));
        // About a decision of before, or one that cannot be read: it ends nothing.
        for other in [verdict(6), Entry { payload: b"{}".as_slice().into(), ..verdict(7) }] {
            assert_eq!(Standing::of(&decision, Some(&other)).unwrap(), without);
        }
    }
}
