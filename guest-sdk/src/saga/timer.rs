//! The timers of a saga, by their ids.

/// A timer of the instance of one key. Every id ends with the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer<'a> {
    /// A step has taken too long.
    Timeout(&'a str),
    /// An event has waited for the start long enough; by its [print](super::reply::Input::print).
    Waiting(&'a str),
    /// Such an event, which waits no longer: the timer's data.
    Unmatched(&'a str),
    /// The instance has been remembered long enough.
    Keep,
}

impl<'a> Timer<'a> {
    pub(super) fn id(self, key: &str) -> String {
        match self {
            Self::Timeout(step) => format!("timeout/{step}/{key}"),
            Self::Waiting(print) => format!("waiting/{print}/{key}"),
            Self::Unmatched(print) => format!("unmatched/{print}/{key}"),
            Self::Keep => format!("keep/{key}"),
        }
    }

    pub(super) fn read(id: &'a str, key: &str) -> Option<Self> {
        let id = id.strip_suffix(key)?.strip_suffix('/')?;
        match id.split_once('/') {
            Some(("timeout", step)) => Some(Self::Timeout(step)),
            Some(("waiting", print)) => Some(Self::Waiting(print)),
            Some(("unmatched", print)) => Some(Self::Unmatched(print)),
            None if id == "keep" => Some(Self::Keep),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_ids_that_it_writes() {
        for key in ["o-1", "a/b", "/"] {
            for timer in [
                Timer::Timeout("payment"),
                Timer::Timeout("a/b"),
                Timer::Waiting("0af"),
                Timer::Unmatched("0af"),
                Timer::Keep,
            ] {
                assert_eq!(Timer::read(&timer.id(key), key), Some(timer), "{key}");
            }
        }
        for other in ["", "keep", "keep/o-2", "tick/o-1", "timeout/o-1"] {
            assert_eq!(Timer::read(other, "o-1"), None, "{other}");
        }
    }
}
