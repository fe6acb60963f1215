//! Who runs when: nobody stops the others, and every run is reported once.

use std::{
    sync::mpsc::{Receiver, RecvTimeoutError},
    time::{Duration, Instant},
};

use waxwing_engine::port::invoke::Report;
use waxwing_event::outcome::FailureKind;
use waxwing_sandbox::{Options, Sandbox};

use crate::{
    guest::guest,
    host::{PATIENCE, State, done, event, failed, run, sandbox, spec, submit},
};

const SPIN: &str = "(loop $on (br $on))";
const READ: &str = "(call $get (i32.const 0x310) (i32.const 3) (i32.const 0x200))";

fn end(receiver: &Receiver<Report>) -> Report {
    receiver.recv_timeout(PATIENCE).unwrap()
}

#[test]
fn endless_loops_do_not_stop_others() {
    let sandbox = sandbox(1);
    let mut long = spec();
    long.limits.deadline = Duration::from_secs(2);
    let spinner = sandbox.load(&long, &guest(SPIN)).unwrap();
    let healthy = sandbox.load(&spec(), &guest("(call $emit_one)")).unwrap();
    let spinning: Vec<_> = (0..20).map(|_| submit(&spinner, event(b""), State::Away)).collect();
    for _ in 0..200 {
        done(run(&healthy, b"", State::Away));
    }
    // Four of them share the time that is left to them, so that none can have had all of its two seconds.
    assert!(spinning.iter().all(|end| end.try_recv().is_err()));
}

#[test]
fn an_endless_loop_comes_to_its_end_while_others_are_busy() {
    let sandbox = sandbox(1);
    let mut short = spec();
    short.limits.deadline = Duration::from_millis(100);
    let spinner = sandbox.load(&short, &guest(SPIN)).unwrap();
    let healthy = sandbox.load(&spec(), &guest("(call $emit_one)")).unwrap();
    let spinning = submit(&spinner, event(b""), State::Away);
    let began = Instant::now();
    let report = loop {
        let others: Vec<_> = (0..32).map(|_| submit(&healthy, event(b""), State::Away)).collect();
        others.iter().for_each(|other| drop(done(end(other).outcome)));
        match spinning.recv_timeout(Duration::ZERO) {
            Ok(report) => break report,
            Err(RecvTimeoutError::Timeout) => assert!(began.elapsed() < PATIENCE),
            Err(RecvTimeoutError::Disconnected) => panic!("the run was not reported"),
        }
    };
    assert_eq!(failed(report.outcome).kind, FailureKind::Deadline);
    assert!(report.elapsed >= Duration::from_millis(100));
}

#[test]
fn waits_block_nobody_and_take_turns_in_a_small_pool() {
    let state_wait = Duration::from_millis(50);
    let options = Options { workers: 1.try_into().unwrap(), instances: 2, state_wait, ..Options::default() };
    let sandbox = Sandbox::new(options).unwrap();
    let waiter = sandbox.load(&spec(), &guest(&format!("{READ} unreachable"))).unwrap();
    let waiting: Vec<_> = (0..5).map(|_| submit(&waiter, event(b""), State::Silent)).collect();
    let reader = sandbox.load(&spec(), &guest(READ)).unwrap();
    let last = submit(&reader, event(b""), State::Value("v"));
    for end_of_wait in &waiting {
        assert_eq!(failed(end(end_of_wait).outcome).kind, FailureKind::Unavailable);
    }
    done(end(&last).outcome);
}

#[test]
fn the_end_of_the_sandbox_is_the_end_of_each_run() {
    let sandbox = sandbox(2);
    let spinner = sandbox.load(&spec(), &guest(SPIN)).unwrap();
    let waiter = sandbox.load(&spec(), &guest(READ)).unwrap();
    let mut runs: Vec<_> = (0..100).map(|_| submit(&spinner, event(b""), State::Away)).collect();
    runs.extend((0..100).map(|_| submit(&waiter, event(b""), State::Silent)));
    drop(sandbox);
    runs.push(submit(&waiter, event(b""), State::Silent));
    for run in runs {
        assert_eq!(failed(end(&run).outcome).kind, FailureKind::Unavailable);
        assert_eq!(run.recv_timeout(PATIENCE), Err(RecvTimeoutError::Disconnected));
    }
}

#[test]
fn runs_that_wait_are_run_though_their_handle_is_gone() {
    let sandbox = sandbox(1);
    let handler = sandbox.load(&spec(), &guest("(call $emit_one)")).unwrap();
    let runs: Vec<_> = (0..50).map(|_| submit(&handler, event(b""), State::Away)).collect();
    drop(handler);
    for run in runs {
        assert_eq!(done(end(&run).outcome).len(), 1);
    }
}

#[test]
fn a_worker_goes_on_after_a_reporter_panicked() {
    use std::sync::Arc;
    use waxwing_engine::port::{Invoke, invoke::Run};

    let sandbox = sandbox(1);
    let handler = sandbox.load(&spec(), &guest("(call $emit_one)")).unwrap();
    let reporter = Box::new(|_: Report| panic!("panicked on request"));
    handler.invoke(Run {
        event: Arc::new(event(b"")),
        state: Arc::new(State::Away),
        is_asked: false,
        reporter,
    });
    for _ in 0..40 {
        done(run(&handler, b"", State::Away));
    }
}

#[test]
fn many_workers_run_all_of_many_handlers() {
    let sandbox = sandbox(4);
    let module = guest("(call $emit_one)");
    let handlers: Vec<_> = (0..20).map(|_| sandbox.load(&spec(), &module).unwrap()).collect();
    let runs: Vec<_> =
        (0..4000).map(|i| submit(&handlers[i % handlers.len()], event(b""), State::Away)).collect();
    for run in runs {
        assert_eq!(done(end(&run).outcome).len(), 1);
    }
}
