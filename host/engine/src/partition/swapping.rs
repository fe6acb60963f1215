//! Swapping: the partition goes on with another version of its module, without a pause.
//!
//! What has begun ends on the version on which it began; what begins from now on runs on the new one. An entry of the
//! log tells where the line is. So it is where a canary begins to run beside the version, or ends.

use waxwing_event::Digest;

use super::serving::{Serving, Signal, Step};
use crate::{
    committer::Work,
    entry::deploy::Swap,
    generations::Role,
    partition::runs::RunId,
    port::{log::CommitError, observe::PartitionChange},
    program::Program,
};

impl Serving<'_> {
    /// Chooses what runs an event that has not begun.
    pub(super) fn choose(&mut self, id: RunId) -> Option<&Program> {
        let active = self.runs.get_mut(id)?;
        if active.program.is_none() {
            let key =
                active.key().map(AsRef::as_ref).or_else(|| active.event().map(|event| event.id.as_str()));
            active.program = Some(self.program.for_key(&self.cx.spec.name, key.unwrap_or_default()));
        }
        active.program.as_ref()
    }

    /// The module that runs an event, or would.
    pub(super) fn module_of(&mut self, id: RunId) -> Digest {
        let own = self.runs.get_mut(id).and_then(|active| active.program.as_ref().map(Program::digest));
        own.unwrap_or_else(|| self.program.digest())
    }

    /// Takes up the program that is to run now.
    pub(super) fn swap(&mut self) -> Step {
        let program = self.programs.borrow_and_update().clone();
        let (before, after) = (self.program.runs(), program.runs());
        let is_same = before == after && program.digest() == self.program.digest();
        let is_decided_anew = program.decided != self.program.decided;
        self.program = program;
        if is_decided_anew {
            self.save_trial();
            self.try_beside();
        }
        if is_same {
            return Step::Continue(());
        }
        // What was wrong may be mended.
        self.health.probe_at(self.cx.clock.now());
        self.note_swap();
        let Program { version, .. } = self.program;
        self.tell(PartitionChange::Swapped { version, module: self.program.digest() });
        self.start_ready()
    }

    /// Writes from where on the version runs, unless the log says so already.
    pub(super) fn note_swap(&mut self) {
        let runs = self.program.runs();
        let is_live = matches!(self.cx.role, Role::Live);
        if !is_live || self.swapped == runs {
            return;
        }
        self.swapped = runs;
        let window = &self.runs.window;
        let begun =
            window.open_inputs().filter(|active| active.program.is_some()).map(|active| active.position());
        let mut begun: Vec<_> =
            begun.chain(window.handled_above()).chain(self.handled_before.iter().copied()).collect();
        begun.sort_unstable();
        begun.dedup();
        let swap = Swap {
            version: runs.version,
            canary: runs.canary,
            module: self.program.digest(),
            host: self.cx.host.clone(),
            after: window.watermark(),
            begun,
            at: self.cx.clock.now(),
        };
        let entry = swap.write(self.cx.layout.swaps(&self.cx.spec.name, self.cx.share.partition));
        let signals = self.signals.clone();
        let done = Box::new(move |end: Result<_, CommitError>| drop(signals.send(Signal::Noted(end))));
        self.cx.committer.submit(Work::under(&self.held, vec![entry], done));
    }
}
