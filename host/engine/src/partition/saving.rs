//! Saving where a partition stands.

use std::time::Duration;

use waxwing_event::Position;

use super::serving::{Serving, Signal, Step};
use crate::{
    committer::Work,
    entry::Checkpoint,
    port::{
        clock::after,
        log::{CommitError, Committed},
    },
};

/// How often entries are removed whose marks are counted.
const TIDY_EVERY: Duration = Duration::from_secs(10);

impl Serving<'_> {
    fn checkpoint(&self) -> Checkpoint {
        let under_way = self.runs.iter().filter_map(|active| active.writing.as_ref());
        Checkpoint {
            watermark: self.runs.window.watermark(),
            handled: self
                .runs
                .window
                .handled_above()
                .into_iter()
                .chain(self.handled_before.iter().copied())
                .collect(),
            marks_after: under_way.map(|writing| writing.after).min().unwrap_or(self.seen),
            origin: self.inputs.origin.clone(),
            former: self.former.clone(),
        }
    }

    /// Saves where the partition stands, unless nothing has changed; a signal tells of the end.
    pub(super) fn hand_over_checkpoint(&mut self) {
        let watermark = self.runs.window.watermark();
        self.told_by_state.retain(|_, told| told.iter().any(|position| *position > watermark));
        self.former.retain(|former| former.reaches() > watermark);
        // What its stream holds no more never arrives.
        self.handled_before = self.handled_before.split_off(&watermark.next());
        if self.checkpoint_under_way || self.checkpointed == (watermark, self.handled) {
            return;
        }
        self.checkpoint_under_way = true;
        self.checkpointed = (watermark, self.handled);
        let (signals, checkpoint) = (self.signals.clone(), self.checkpoint());
        let counted = checkpoint.marks_after;
        let done = Box::new(move |end| drop(signals.send(Signal::Checkpointed(counted, end))));
        self.cx.committer.submit(self.checkpoint_work(&checkpoint, done));
    }

    /// A checkpoint is durable that counts all marks up to a position: what only kept marks goes, now and then.
    pub(super) fn on_checkpointed(&mut self, counted: Position, committed: Committed) {
        self.seen = self.seen.max(committed.last);
        self.checkpoint_under_way = false;
        let now = self.cx.clock.now();
        if self.cx.share.partitions.is_one() || now < after(self.tidied, TIDY_EVERY) {
            return;
        }
        self.tidied = now;
        let (log, handler) = (self.cx.log.clone(), self.cx.spec.name.clone());
        let subject = self.cx.layout.handled(&handler, self.cx.share.partition);
        tokio::spawn(async move {
            // They go by their TTL, too.
            if let Err(error) = log.remove(&(&subject).into(), counted).await {
                tracing::debug!(%handler, %error, "marks that are counted are removed later");
            }
        });
    }

    /// Saves it and waits for the end.
    pub(super) async fn save_checkpoint(&mut self) -> Step {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let done = Box::new(move |end| drop(sender.send(end)));
        self.cx.committer.submit(self.checkpoint_work(&self.checkpoint(), done));
        match receiver.await {
            Ok(Ok(committed)) => self.seen = self.seen.max(committed.last),
            Ok(Err(error)) => return Step::Break(error.to_string()),
            Err(_) => return Step::Break("the log was closed".to_owned()),
        }
        Step::Continue(())
    }

    fn checkpoint_work(
        &self,
        checkpoint: &Checkpoint,
        done: Box<dyn FnOnce(Result<Committed, CommitError>) + Send>,
    ) -> Work {
        let subject = self.cx.layout.checkpoint(&self.cx.spec.name, self.cx.share.partition);
        let entries = vec![checkpoint.write(subject)];
        Work::under(&self.held, entries, done)
    }
}
