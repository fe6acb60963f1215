//! The background: one thread of low priority, on which modules are compiled while runs go on.
//!
//! Compiling takes all cores for tens of milliseconds, and runs on them would wait. So what is loaded beside runs is loaded
//! here, wasmtime's parallel parts included, which go by the pool of rayon they are called in.

use std::sync::OnceLock;

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::niceness;

/// By how much the thread gives way: where all cores are busy it still has a third of what a worker has, so that a
/// deployment is late then, and not stuck.
const NICENESS: i32 = 5;

/// The thread, started when it is first needed.
#[derive(Debug, Default)]
pub(crate) struct Background(OnceLock<Option<ThreadPool>>);

impl Background {
    /// Does it in the background, and waits for it. Where the thread cannot be started, it is done here.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        match self.0.get_or_init(start) {
            Some(pool) => pool.install(work),
            None => work(),
        }
    }
}

fn start() -> Option<ThreadPool> {
    let builder = ThreadPoolBuilder::new().num_threads(1).thread_name(|_| "waxwing-compiles".to_owned());
    let started = builder.start_handler(|_| give_way_or_say()).build();
    started
        .inspect_err(|error| tracing::warn!(%error, "modules are compiled without giving way to runs"))
        .ok()
}

fn give_way_or_say() {
    if let Err(error) = niceness::give_way(NICENESS) {
        tracing::warn!(%error, "modules are compiled without giving way to runs");
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rayon::prelude::*;

    use super::*;

    fn niceness() -> i32 {
        rustix::process::getpriority_process(None).unwrap()
    }

    #[test]
    fn what_runs_there_gives_way_with_all_its_parts_and_nothing_else_does() {
        let (background, before) = (Background::default(), niceness());
        let parts: Vec<i32> = background.run(|| (0..64).into_par_iter().map(|_| niceness()).collect());
        assert_eq!(parts, [NICENESS; 64]);
        assert_eq!(niceness(), before);
    }
}
