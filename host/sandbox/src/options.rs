//! What the sandbox may use.

use std::{num::NonZeroUsize, path::PathBuf, thread, time::Duration};

use cap_std::fs::Dir;

use crate::secrets::Secrets;

/// The most instances unless [`Options::instances`] says otherwise.
pub const DEFAULT_INSTANCES: u32 = 1000;

/// The largest linear memory unless [`Options::memory_bytes_max`] says otherwise.
pub const DEFAULT_MEMORY_BYTES_MAX: u64 = 256 << 20;

/// How long a run waits for its state unless [`Options::state_wait`] says otherwise.
pub const DEFAULT_STATE_WAIT: Duration = Duration::from_secs(30);

/// How a [`Sandbox`](crate::Sandbox) is set up.
#[derive(Debug)]
pub struct Options {
    /// Where compiled code is kept; none: it is compiled at each start.
    ///
    /// Only the host itself may be able to write there (mode 0700): what lies there is run as it is.
    pub cache: Option<Dir>,
    /// Threads that run guests.
    pub workers: NonZeroUsize,
    /// Whether they give way to other threads.
    pub priority: Priority,
    /// Instances that live at once, waiting ones included; each worker has its share of them, and at least one.
    pub instances: u32,
    /// The largest linear memory that any handler may ask for.
    pub memory_bytes_max: u64,
    /// What runs may reach outside of the log.
    pub outside: Outside,
    /// The app whose handlers run: keys of HTTP calls are made of it.
    pub app: String,
    /// The folder within which the directories lie that handlers are granted; none: they cannot be granted any.
    pub folder: Option<PathBuf>,
    /// Where the secrets are that handlers are granted.
    pub secrets: Secrets,
    /// How long a run waits for its state, apart from its deadline, until that counts as not available.
    pub state_wait: Duration,
    /// How close runs are looked at.
    pub scrutiny: Scrutiny,
}

/// How close runs are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scrutiny {
    /// As close as costs nothing.
    #[default]
    Usual,
    /// Their fuel is counted, which makes them slower.
    Fuel,
    /// Code is compiled as it is written, and a debugger finds functions, files and lines of the modules that hold debug
    /// information. Slow.
    Debug,
}

/// Whether the threads that run guests give way to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Priority {
    /// They are threads as any other.
    #[default]
    Usual,
    /// They get what others leave, as far as the system can tell (Linux): for runs for which nobody waits.
    Least,
}

/// What runs may reach outside of the log, beyond what their imports of the contract do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Outside {
    /// What their handlers are granted.
    #[default]
    Granted,
    /// Nothing is called, granted directories can only be read, and granted secrets may be missing: for runs that nobody is to notice.
    Rehearsed,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            cache: None,
            workers: thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            priority: Priority::default(),
            instances: DEFAULT_INSTANCES,
            memory_bytes_max: DEFAULT_MEMORY_BYTES_MAX,
            outside: Outside::default(),
            app: String::new(),
            folder: None,
            secrets: Secrets::default(),
            state_wait: DEFAULT_STATE_WAIT,
            scrutiny: Scrutiny::default(),
        }
    }
}
