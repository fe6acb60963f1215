//! One instance of a saga, as a run moves it on.

use super::Saga;
use super::plan::Plan;
use super::record::{Record, Status, StepState, Steps};
use super::reply::{Input, Reply, Take};
use super::step::Step;
use super::timer::Timer;
use super::trail::Trail;
use super::waiting::Waiting;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::log::Level;

/// One instance of a saga in one run. What takes `self` ends the run.
pub(super) struct Instance<'a, S> {
    plan: &'a Plan<S>,
    key: &'a str,
    record: Record<S>,
    waiting: Waiting,
    trail: Trail,
    cx: &'a mut Context,
}

impl<'a, S: Saga> Instance<'a, S> {
    fn key(key: &str) -> String {
        format!("saga/{key}")
    }

    /// The instance of a key; none before its start.
    pub(super) fn load(
        plan: &'a Plan<S>,
        key: &'a str,
        cx: &'a mut Context,
    ) -> Result<Option<Self>, Failure> {
        let Some(record) = cx.state().get(&Self::key(key))? else {
            return Ok(None);
        };
        let waiting = Waiting::load(key, cx)?;
        Ok(Some(Self { plan, key, record, waiting, trail: Trail::default(), cx }))
    }

    /// Begins an instance, and handles what has waited for it.
    pub(super) fn start(
        plan: &'a Plan<S>,
        key: &'a str,
        take: Take<S>,
        input: &Input,
        cx: &'a mut Context,
    ) -> Outcome {
        let (mut steps, mut data) = (Steps::default(), S::default());
        for step in &plan.steps {
            steps.set(&step.name, StepState::Waiting);
        }
        take(&mut data);
        let (status, started) = (Status::Running, input.time.clone());
        let record = Record { status, step: None, started, steps, reason: None, data };
        let waiting = Waiting::load(key, cx)?;
        waiting.stop_timers(cx)?;
        let mut instance = Self { plan, key, record, waiting, trail: Trail::default(), cx };
        instance.trail.add(input, "started");
        instance.advance(input)?;
        instance.save()
    }

    /// A reply to a step has come.
    pub(super) fn reply(mut self, step: &'a Step<S>, reply: &Reply<S>, input: &Input) -> Outcome {
        match (self.record.status, self.record.steps.of(&step.name)) {
            (Status::Running, StepState::Begun) => {
                self.take(step, reply, input)?;
                self.advance(input)?;
            }
            (Status::Running, StepState::Waiting) => {
                reply.check(input)?;
                if !self.waiting.keep(input)? {
                    return self.ignore(input);
                }
                self.trail.add(input, format!("{} kept until {} begins", input.event_type, step.name));
            }
            (Status::Cancelled, _) => self.late(step, reply, input)?,
            (Status::Completed | Status::Running, _) => return self.ignore(input),
        }
        self.save()
    }

    /// A step's time is over.
    pub(super) fn timed_out(mut self, step: &str, input: &Input) -> Outcome {
        let step = self.plan.steps.iter().find(|known| known.name == step);
        let Some(step) = step.filter(|step| self.is_waited_for(step)) else {
            return self.ignore(input);
        };
        self.mark(step, StepState::TimedOut, input, "timed out");
        if step.is_undone_on_timeout {
            self.undo(step, input)?;
        }
        let within = step.timeout.map(|timeout| format!(" within {timeout:?}")).unwrap_or_default();
        self.cancel(format!("step `{}` had no reply{within}", step.name), input)?;
        self.save()
    }

    /// What has been handled already, or comes too late to matter, changes nothing.
    pub(super) fn ignore(mut self, input: &Input) -> Outcome {
        self.log_unused(input);
        Ok(())
    }

    fn log_unused(&mut self, input: &Input) {
        let fields = [("id", input.id.as_str()), ("type", &input.event_type), ("key", self.key)];
        self.cx.log(Level::Debug, "the saga has no use for this event any more", &fields);
    }

    /// Removes all that is known of an instance.
    pub(super) fn forget(key: &str, cx: &mut Context) -> Outcome {
        cx.state().delete(&Self::key(key))?;
        cx.state().delete(&Trail::key(key))?;
        Ok(())
    }

    /// Goes on to the next step that has no reply yet, or to the end.
    fn advance(&mut self, cause: &Input) -> Outcome {
        while self.record.status == Status::Running {
            let is_done = |step: &&Step<S>| self.record.steps.of(&step.name) == StepState::Done;
            let Some(step) = self.plan.steps.iter().find(|step| !is_done(step)) else {
                return self.complete(cause);
            };
            let kept = self.waiting.take(|input| step.reply_on(&input.event_type).is_some());
            match kept.as_ref().and_then(|input| Some((step.reply_on(&input.event_type)?, input))) {
                Some((reply, input)) => self.take(step, reply, input)?,
                None => return self.begin(step, cause),
            }
        }
        Ok(())
    }

    fn begin(&mut self, step: &Step<S>, cause: &Input) -> Outcome {
        if self.record.steps.of(&step.name) == StepState::Begun {
            return Ok(());
        }
        if let Some(command) = &step.command {
            command(&self.record.data, self.cx)?;
        }
        if let Some(timeout) = step.timeout {
            self.cx.timer(&Timer::Timeout(&step.name).id(self.key)).after(timeout)?;
        }
        self.mark(step, StepState::Begun, cause, "begun");
        Ok(())
    }

    /// Takes the reply to a step that is its turn.
    fn take(&mut self, step: &Step<S>, reply: &Reply<S>, input: &Input) -> Outcome {
        match reply {
            Reply::Done(decode) => {
                decode(input)?(&mut self.record.data);
                self.stop_timer(step)?;
                self.mark(step, StepState::Done, input, "done");
                Ok(())
            }
            Reply::Failed(decode) => {
                let reason = decode(input)?;
                self.stop_timer(step)?;
                self.mark(step, StepState::Failed, input, "failed");
                self.cancel(reason, input)
            }
        }
    }

    /// A reply after the cancelling: what was done after all is undone, once.
    fn late(&mut self, step: &Step<S>, reply: &Reply<S>, input: &Input) -> Outcome {
        use StepState::{Begun, Failed, TimedOut, Waiting};
        let state = self.record.steps.of(&step.name);
        match reply {
            Reply::Done(decode) if matches!(state, Waiting | Begun | Failed | TimedOut) => {
                decode(input)?(&mut self.record.data);
                self.mark(step, StepState::Done, input, "done too late");
                self.undo(step, input)
            }
            _ => {
                self.log_unused(input);
                Ok(())
            }
        }
    }

    fn complete(&mut self, cause: &Input) -> Outcome {
        self.record.status = Status::Completed;
        self.trail.add(cause, "completed");
        while self.waiting.take(|_| true).is_some() {}
        if let Some(tell) = &self.plan.complete {
            tell(&self.record.data, self.cx)?;
        }
        self.end()
    }

    /// Undoes what is done, the last first, and what turns out to be done by a reply that was kept.
    fn cancel(&mut self, reason: String, cause: &Input) -> Outcome {
        self.record.status = Status::Cancelled;
        self.trail.add(cause, format!("cancelled: {reason}"));
        for step in self.plan.steps.iter().rev() {
            if self.record.steps.of(&step.name) == StepState::Done {
                self.undo(step, cause)?;
            }
        }
        while let Some(input) = self.waiting.take(|_| true) {
            if let Some((step, reply)) = self.plan.reply_on(&input.event_type) {
                self.late(step, reply, &input)?;
            }
        }
        if let Some(tell) = &self.plan.cancel {
            tell(&self.record.data, &reason, self.cx)?;
        }
        self.record.reason = Some(reason);
        self.end()
    }

    fn undo(&mut self, step: &Step<S>, cause: &Input) -> Outcome {
        if let Some(undo) = &step.undo {
            undo(&self.record.data, self.cx)?;
            self.mark(step, StepState::Undone, cause, "undone");
        }
        Ok(())
    }

    /// Leaves no timer but the one that ends the remembering.
    fn end(&mut self) -> Outcome {
        for step in &self.plan.steps {
            self.stop_timer(step)?;
        }
        match self.plan.keep {
            Some(keep) => self.cx.timer(&Timer::Keep.id(self.key)).after(keep),
            None => Ok(()),
        }
    }

    fn stop_timer(&mut self, step: &Step<S>) -> Outcome {
        if step.timeout.is_none() || !self.is_begun(step) {
            return Ok(());
        }
        self.cx.timer(&Timer::Timeout(&step.name).id(self.key)).cancel()
    }

    fn is_begun(&self, step: &Step<S>) -> bool {
        self.record.steps.of(&step.name) == StepState::Begun
    }

    fn is_waited_for(&self, step: &Step<S>) -> bool {
        self.record.status == Status::Running && self.is_begun(step)
    }

    fn mark(&mut self, step: &Step<S>, state: StepState, cause: &Input, what: &str) {
        self.record.steps.set(&step.name, state);
        self.trail.add(cause, format!("{} {what}", step.name));
    }

    /// Writes the instance, where anything has happened.
    fn save(mut self) -> Outcome {
        if self.trail.is_empty() {
            return Ok(());
        }
        let is_done = |step: &&Step<S>| self.record.steps.of(&step.name) == StepState::Done;
        let current = self.plan.steps.iter().find(|step| !is_done(step));
        let current = current.filter(|_| self.record.status == Status::Running);
        self.record.step = current.map(|step| step.name.clone());
        self.cx.state().set(&Self::key(self.key), &self.record)?;
        self.waiting.save(self.cx)?;
        self.trail.save(self.key, self.cx)
    }
}
