//! Runs that a worker has taken: the burst that it works off, and those that have begun and pause.
//!
//! Both give back what they hold when they are dropped, by a panic too, so that a handler's count of runs
//! under way is always right.

use std::{collections::VecDeque, sync::Arc};

use crate::{
    handler::{Job, Loaded},
    schedule::Schedule,
};

/// Runs of one handler, taken at once. Those that were not started go back to the handler.
pub(crate) struct Burst {
    schedule: Arc<Schedule>,
    handler: Arc<Loaded>,
    jobs: VecDeque<Job>,
    ended: usize,
}

impl Burst {
    /// A burst of runs that are counted already.
    pub(crate) fn new(schedule: Arc<Schedule>, handler: Arc<Loaded>, jobs: VecDeque<Job>) -> Burst {
        Burst { schedule, handler, jobs, ended: 0 }
    }

    /// Whose runs they are.
    pub(crate) fn handler(&self) -> &Arc<Loaded> {
        &self.handler
    }

    /// The next run. It counts as ended with this burst, unless [`Burst::let_pause`] says otherwise.
    pub(crate) fn next(&mut self) -> Option<Job> {
        let job = self.jobs.pop_front()?;
        self.ended += 1;
        Some(job)
    }

    /// The run that was given last has not ended, and is counted by itself from now on.
    pub(crate) fn let_pause(&mut self) {
        self.ended = self.ended.saturating_sub(1);
    }
}

impl Drop for Burst {
    fn drop(&mut self) {
        self.schedule.settle(&self.handler, self.ended, &mut self.jobs);
    }
}

/// Counts one run that pauses, until it is dropped.
pub(crate) struct Counted {
    schedule: Arc<Schedule>,
    handler: Arc<Loaded>,
    slow: bool,
}

impl Counted {
    /// Takes over the count of a run.
    pub(crate) fn new(schedule: Arc<Schedule>, handler: Arc<Loaded>) -> Counted {
        Counted { schedule, handler, slow: false }
    }

    /// Says whether the run pauses because it has been made to give way.
    pub(crate) fn set_slow(&mut self, slow: bool) {
        if slow != self.slow {
            self.slow = slow;
            self.schedule.count_slow(&self.handler, if slow { 1 } else { -1 });
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.set_slow(false);
        self.schedule.settle(&self.handler, 1, &mut VecDeque::new());
    }
}
