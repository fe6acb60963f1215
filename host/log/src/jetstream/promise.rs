//! The one end that each commit must come to.

use waxwing_engine::port::log::{CommitError, Committed, Done};

/// A commit's `done`, which hears of an end even where nobody tells it: dropped, it ends by itself.
pub(super) struct Promise {
    done: Option<Done>,
    sent: bool,
}

impl Promise {
    pub(super) fn new(done: Done) -> Promise {
        Promise { done: Some(done), sent: false }
    }

    /// From here on the commit may have been written.
    pub(super) fn sent(&mut self) {
        self.sent = true;
    }

    /// Tells the end.
    pub(super) fn end(mut self, end: Result<Committed, CommitError>) {
        if let Some(done) = self.done.take() {
            done(end);
        }
    }

    /// Ends it without an answer: written it may be only where it was sent.
    pub(super) fn lost(self, why: &str) {
        let error = self.loss(why);
        self.end(Err(error));
    }

    fn loss(&self, why: &str) -> CommitError {
        match self.sent {
            true => CommitError::Unknown(why.to_owned()),
            false => CommitError::Unavailable(why.to_owned()),
        }
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        let error = self.loss("the log was closed");
        if let Some(done) = self.done.take() {
            done(Err(error));
        }
    }
}
