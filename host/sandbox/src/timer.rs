//! Timers of a worker's thread, for guests that sleep.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Instant,
};

thread_local! {
    static TIMERS: RefCell<BTreeMap<(Instant, u64), Waker>> = const { RefCell::new(BTreeMap::new()) };
    static NEXT: Cell<u64> = const { Cell::new(0) };
}

/// The next instant at which [`fire`] has something to do.
pub(crate) fn next() -> Option<Instant> {
    TIMERS.with_borrow(|timers| timers.first_key_value().map(|((until, _), _)| *until))
}

/// Wakes everything whose time has come.
pub(crate) fn fire(now: Instant) {
    while let Some(waker) = TIMERS.with_borrow_mut(|timers| {
        let due = timers.first_entry().filter(|first| first.key().0 <= now);
        due.map(|first| first.remove())
    }) {
        waker.wake();
    }
}

/// Waits for an instant, on the thread of a worker.
#[derive(Debug)]
pub(crate) struct Sleep {
    until: Instant,
    number: Option<u64>,
}

impl Sleep {
    /// Ends at `until`.
    pub(crate) fn until(until: Instant) -> Sleep {
        Sleep { until, number: None }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if Instant::now() >= self.until {
            return Poll::Ready(());
        }
        let number = self.number.unwrap_or_else(|| NEXT.replace(NEXT.get().wrapping_add(1)));
        self.number = Some(number);
        TIMERS.with_borrow_mut(|timers| timers.insert((self.until, number), context.waker().clone()));
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            TIMERS.with_borrow_mut(|timers| timers.remove(&(self.until, number)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn fires_in_time_and_forgets_what_was_dropped() {
        let now = Instant::now();
        let mut context = Context::from_waker(Waker::noop());
        let mut late = Sleep::until(now + Duration::from_secs(60));
        let mut later = Sleep::until(now + Duration::from_secs(90));
        assert!(Pin::new(&mut later).poll(&mut context).is_pending());
        assert!(Pin::new(&mut late).poll(&mut context).is_pending());
        assert_eq!(next(), Some(now + Duration::from_secs(60)));
        fire(now + Duration::from_secs(60));
        assert_eq!(next(), Some(now + Duration::from_secs(90)));
        drop(later);
        assert_eq!(next(), None);
        assert!(Pin::new(&mut Sleep::until(now)).poll(&mut context).is_ready());
    }
}
