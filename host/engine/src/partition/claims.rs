//! Claims: one run at a time writes a state key; others that touch it wait, and then run again.

use std::collections::{HashMap, VecDeque};

use super::runs::RunId;

/// The state keys that runs are writing.
#[derive(Debug, Default)]
pub(super) struct Claims {
    by_key: HashMap<String, Claim>,
}

#[derive(Debug)]
struct Claim {
    owner: RunId,
    waiting: VecDeque<RunId>,
}

impl Claims {
    /// The first of these keys that another run has.
    pub(super) fn held_by_another<'k>(
        &self,
        run: RunId,
        mut keys: impl Iterator<Item = &'k String>,
    ) -> Option<&'k String> {
        keys.find(|key| self.by_key.get(*key).is_some_and(|claim| claim.owner != run))
    }

    /// Claims a key that nobody else has; true where the run did not have it yet.
    pub(super) fn take(&mut self, run: RunId, key: &str) -> bool {
        if self.by_key.contains_key(key) {
            return false;
        }
        self.by_key.insert(key.to_owned(), Claim { owner: run, waiting: VecDeque::new() });
        true
    }

    /// Waits for a key; false where it is free by now.
    pub(super) fn wait(&mut self, run: RunId, key: &str) -> bool {
        let claim = self.by_key.get_mut(key);
        claim.map(|claim| claim.waiting.push_back(run)).is_some()
    }

    /// Gives a key up; it goes to the one who has waited longest, which is given.
    pub(super) fn release(&mut self, key: &str) -> Option<RunId> {
        let claim = self.by_key.get_mut(key)?;
        match claim.waiting.pop_front() {
            Some(next) => {
                claim.owner = next;
                Some(next)
            }
            None => {
                self.by_key.remove(key);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_goes_from_one_to_the_next_in_the_order_of_waiting() {
        let [a, b, c] = [1, 2, 3].map(RunId::Aside);
        let (key, keys) = ("k", vec!["j".to_owned(), "k".to_owned()]);
        let mut claims = Claims::default();
        assert!(claims.take(a, key));
        assert!(!claims.take(a, key));
        assert_eq!(claims.held_by_another(a, keys.iter()), None);
        assert_eq!(claims.held_by_another(b, keys.iter()).map(String::as_str), Some("k"));
        assert!(claims.wait(b, key) && claims.wait(c, key));
        assert_eq!(claims.release(key), Some(b));
        assert_eq!(claims.held_by_another(b, keys.iter()), None);
        assert_eq!(claims.release(key), Some(c));
        assert_eq!(claims.release(key), None);
        assert!(!claims.wait(a, key));
    }
}
