//! Saving where a partition stands.

use super::serving::{Serving, Signal, Step};
use crate::{
    committer::Work,
    entry::Checkpoint,
    port::log::{CommitError, Committed},
};

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
        let signals = self.signals.clone();
        let done = Box::new(move |end| drop(signals.send(Signal::Checkpointed(end))));
        self.cx.committer.submit(self.checkpoint_work(done));
    }

    /// Saves it and waits for the end.
    pub(super) async fn save_checkpoint(&mut self) -> Step {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        self.cx.committer.submit(self.checkpoint_work(Box::new(move |end| drop(sender.send(end)))));
        match receiver.await {
            Ok(Ok(committed)) => self.seen = self.seen.max(committed.last),
            Ok(Err(error)) => return Step::Break(error.to_string()),
            Err(_) => return Step::Break("the log was closed".to_owned()),
        }
        Step::Continue(())
    }

    fn checkpoint_work(&self, done: Box<dyn FnOnce(Result<Committed, CommitError>) + Send>) -> Work {
        let subject = self.cx.layout.checkpoint(&self.cx.spec.name, self.cx.share.partition);
        let entries = vec![self.checkpoint().write(subject)];
        Work::under(&self.held, entries, done)
    }
}
