//! Trying: what is known of the version that is tried beside the one that runs.
//!
//! Each partition counts how the runs of both end, and saves that now and then. The owner of the first partition sums up
//! what all have saved, and judges a canary. Its verdict is an entry that hosts follow as they follow decisions.

use std::time::Duration;

use jiff::Timestamp;
use waxwing_event::{Failure, Position, outcome::FailureKind};

use super::{
    active::Ending,
    runs::RunId,
    serving::{Serving, Signal, Step},
};
use crate::{
    canary::{self, ByDeadline, Counts, Finding, Rules, Tally},
    entry::{
        Partition,
        deploy::{Beside, Tried},
        shadow::Shadowed,
        tally::Tallied,
        verdict::{Sentence, Verdict},
        version::VersionNumber,
    },
    generations::Role,
    port::{
        log::{Entry, NewEntry, Part, ReadError},
        observe::PartitionChange,
    },
    shadow::Compared,
};

/// The partition whose owner judges.
const JUDGE: Partition = Partition(0);

/// The most partitions of a handler.
const MAX_PARTITIONS: usize = 100_000;

/// What all partitions have saved of a canary.
pub(super) type Tallies = Result<Vec<Entry>, ReadError>;

/// A version that is tried beside another in this partition.
pub(super) enum Trying {
    /// For a share of the keys.
    Canary(OnTrial),
    /// Without effects.
    Shadow(Box<Shadowing>),
}

/// A canary, and how the runs of both versions have ended.
pub(super) struct OnTrial {
    canary: VersionNumber,
    rules: Rules,
    counted: Tallied,
    /// As far as the log tells of it.
    saved: Option<Tally>,
    /// True while what others have counted is being read.
    looks: bool,
    /// True once a verdict was handed over.
    is_judged: bool,
}

/// A shadow, and what it does otherwise.
pub(super) struct Shadowing {
    pub(super) shadowed: Shadowed,
    /// As far as the log tells of it.
    saved: Option<Compared>,
    /// Runs of the shadow that have not ended.
    pub(super) under_way: usize,
    /// None begins before.
    pub(super) rests_until: Timestamp,
}

impl Serving<'_> {
    /// Begins to count anew, for what the program tries now.
    pub(super) fn try_beside(&mut self) {
        let decision = self.program.decided;
        let beside = self.program.beside.as_ref().map(|beside| beside.what.clone());
        let is_live = matches!(self.cx.role, Role::Live);
        let since = self.cx.clock.now();
        self.trying = beside.filter(|_| is_live).map(|Beside { version, tried }| match tried {
            Tried::Canary { rules, .. } => Trying::Canary(OnTrial {
                canary: version,
                rules,
                counted: Tallied { decision, since, tally: Tally::default() },
                saved: None,
                looks: false,
                is_judged: false,
            }),
            Tried::Shadow => Trying::Shadow(Box::new(Shadowing {
                shadowed: Shadowed {
                    decision,
                    version,
                    since,
                    compared: Compared::default(),
                    first: Vec::new(),
                },
                saved: None,
                under_way: 0,
                rests_until: since,
            })),
        });
    }

    /// Goes on with what was counted before this host had the partition.
    pub(super) async fn recall_trial(&mut self) -> Step {
        self.try_beside();
        let (name, partition, layout) = (&self.cx.spec.name, self.cx.share.partition, &self.cx.layout);
        let subject = match &self.trying {
            Some(Trying::Canary(_)) => layout.tally(name, partition),
            Some(Trying::Shadow(_)) => layout.shadow(name, partition),
            None => return Step::Continue(()),
        };
        let entry = match self.cx.log.last(&subject).await {
            Ok(Some(entry)) => entry,
            Ok(None) => return Step::Continue(()),
            Err(error) => return Step::Break(error.to_string()),
        };
        let decision = self.program.decided;
        match &mut self.trying {
            Some(Trying::Canary(trial)) => {
                if let Some(before) = Tallied::read(&entry).ok().filter(|t| t.decision == decision) {
                    trial.saved = Some(before.tally);
                    trial.counted = before;
                }
            }
            Some(Trying::Shadow(shadowing)) => {
                if let Some(before) = Shadowed::read(&entry).ok().filter(|s| s.decision == decision) {
                    shadowing.saved = Some(before.compared.clone());
                    shadowing.shadowed = before;
                }
            }
            None => {}
        }
        Step::Continue(())
    }

    /// A run has failed: counted for the version on which it ran.
    pub(super) fn count_failed(&mut self, id: RunId, failure: &Failure) {
        let by_deadline =
            if failure.kind == FailureKind::Deadline { ByDeadline::Yes } else { ByDeadline::No };
        if let Some(counts) = self.counts_of(id) {
            counts.failed(by_deadline);
        }
    }

    /// A run has come to this end, durably.
    pub(super) fn count_ended(&mut self, id: RunId, end: Option<&Ending>) {
        if self.trying.is_none() || self.runs.get_mut(id).is_none_or(|active| active.is_duplicate) {
            return;
        }
        let Some(counts) = self.counts_of(id) else { return };
        match end {
            None | Some(Ending::Done(_)) => counts.did_well(),
            Some(Ending::Dead { .. }) => counts.dead += 1,
            Some(Ending::Parked { .. }) => {}
        }
    }

    fn counts_of(&mut self, id: RunId) -> Option<&mut Counts> {
        let stable = self.program.version;
        let ran = self.runs.get_mut(id)?.program.as_ref()?.version;
        let Some(Trying::Canary(OnTrial { canary, counted, .. })) = &mut self.trying else { return None };
        match ran {
            ran if ran == Some(*canary) => Some(&mut counted.tally.canary),
            ran if ran == stable => Some(&mut counted.tally.stable),
            // It began on a version of before.
            _ => None,
        }
    }

    /// True where a run is the canary's: how it ends says nothing of the handler's health.
    pub(super) fn is_on_canary(&mut self, id: RunId) -> bool {
        let ran = self.runs.get_mut(id).and_then(|active| active.program.as_ref()?.version);
        matches!(&self.trying, Some(Trying::Canary(trial)) if ran == Some(trial.canary))
    }

    /// Saves what was counted since it was saved last, and at first that the trial has begun.
    pub(super) fn save_trial(&mut self) {
        let (name, partition, layout) = (&self.cx.spec.name, self.cx.share.partition, &self.cx.layout);
        let entry: Option<NewEntry> = match &mut self.trying {
            Some(Trying::Canary(OnTrial { counted, saved, .. })) if *saved != Some(counted.tally) => {
                *saved = Some(counted.tally);
                Some(counted.write(layout.tally(name, partition)))
            }
            Some(Trying::Shadow(shadowing))
                if shadowing.saved.as_ref() != Some(&shadowing.shadowed.compared) =>
            {
                shadowing.saved = Some(shadowing.shadowed.compared.clone());
                Some(shadowing.shadowed.write(layout.shadow(name, partition)))
            }
            _ => None,
        };
        if let Some(entry) = entry {
            self.note(entry);
        }
    }

    /// Asks what all partitions have counted, where this host is to judge; a signal tells.
    pub(super) fn look_at_trial(&mut self) {
        let Some(Trying::Canary(trial)) = &mut self.trying else { return };
        if self.cx.share.partition != JUDGE || trial.looks || trial.is_judged {
            return;
        }
        trial.looks = true;
        let (log, signals) = (self.cx.log.clone(), self.signals.clone());
        let tallies = self.cx.layout.tallies(&self.cx.spec.name);
        tokio::spawn(async move {
            let found = log.last_of_each(&tallies, Part::Whole, MAX_PARTITIONS).await;
            // A failed send means that serving has ended.
            let _ = signals.send(Signal::Tallied(found));
        });
    }

    pub(super) fn on_tallied(&mut self, tallies: Tallies) -> Step {
        let own = self.cx.layout.tally(&self.cx.spec.name, self.cx.share.partition);
        let now = self.cx.clock.now();
        let Some(Trying::Canary(trial)) = &mut self.trying else { return Step::Continue(()) };
        trial.looks = false;
        // It is looked again soon.
        let Ok(entries) = tallies else { return Step::Continue(()) };
        let others = entries.iter().filter(|entry| entry.subject != own);
        let others = others.filter_map(|entry| Tallied::read(entry).ok());
        let others = others.filter(|other| other.decision == trial.counted.decision);
        let tally = others.fold(trial.counted.tally, |sum, other| sum + other.tally);
        let elapsed = now.duration_since(trial.counted.since);
        let elapsed = Duration::try_from(elapsed).unwrap_or_default();
        let sentence = match canary::judge(&trial.rules, &tally, elapsed) {
            Some(Finding::Worse(worse)) => Sentence::RolledBack(worse),
            Some(Finding::Passed) if trial.rules.auto_promote => Sentence::Promoted,
            Some(Finding::Passed) | None => return Step::Continue(()),
        };
        if trial.is_judged {
            return Step::Continue(());
        }
        trial.is_judged = true;
        let (decision, version) = (trial.counted.decision, trial.canary);
        self.pronounce(decision, version, sentence, tally);
        Step::Continue(())
    }

    /// Writes a verdict. It names the decision by which the canary runs, so it is void where somebody has decided since.
    fn pronounce(&mut self, decision: Position, version: VersionNumber, sentence: Sentence, tally: Tally) {
        let (host, at) = (self.cx.host.clone(), self.cx.clock.now());
        let verdict = Verdict { decision, version, sentence, tally, host, at };
        let entry = verdict.write(self.cx.layout.verdict(&self.cx.spec.name));
        self.tell(PartitionChange::Judged(Box::new(verdict)));
        self.note(entry);
    }
}
