//! The dice: everything that is left to chance in a run comes from here, so that one seed decides it.

use std::{
    ops::Range,
    sync::{Arc, Mutex},
    time::Duration,
};

use rand::{Rng, SeedableRng, rngs::StdRng};

/// The dice of one run. Clones are the same dice.
#[derive(Clone)]
pub struct Dice(Arc<Mutex<StdRng>>);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(Arc::new(Mutex::new(StdRng::seed_from_u64(seed))))
    }

    pub fn within(&self, range: Range<u64>) -> u64 {
        self.0.lock().unwrap().random_range(range)
    }

    pub fn any(&self) -> u64 {
        self.0.lock().unwrap().random()
    }

    /// True so many times in a hundred.
    pub fn percent(&self, times: u64) -> bool {
        self.within(0..100) < times
    }

    pub fn pick<T: Clone>(&self, of: &[T]) -> T {
        of[usize::try_from(self.within(0..of.len() as u64)).unwrap()].clone()
    }

    /// A time within these milliseconds, to the microsecond.
    pub fn millis(&self, range: Range<u64>) -> Duration {
        Duration::from_micros(self.within(range.start * 1000..range.end * 1000))
    }

    /// A time up to `most`; a thousandth of it is as likely as all of it.
    pub fn spread(&self, most: Duration) -> Duration {
        let most = u64::try_from(most.as_micros()).unwrap();
        let some = most >> self.within(0..11);
        Duration::from_micros(self.within(some / 2..some + 1))
    }
}
