//! Each way in which a run fails, and what is said of it.

use std::time::Duration;

use waxwing_event::outcome::FailureKind;
use waxwing_sandbox::{Options, Sandbox};

use crate::{
    guest::{guest, guest_with},
    host::{PATIENCE, State, done, event, failed, once, run, sandbox, spec, submit},
};

const READ: &str = "(call $get (i32.const 0x310) (i32.const 3) (i32.const 0x200))";

#[test]
fn passes_on_what_the_guest_says() {
    let failure = failed(once(&spec(), &guest("(return (i32.const 0x110))"), State::Away));
    assert_eq!((failure.kind, failure.reason.as_str()), (FailureKind::Reject, "no"));
    let failure = failed(once(&spec(), &guest("(return (i32.const 0x140))"), State::Away));
    assert_eq!((failure.kind, failure.reason.as_str()), (FailureKind::Retry, "later"));
    assert_eq!(failure.after, Some(Duration::from_millis(5)));
}

#[test]
fn keeps_the_functions_of_a_trap() {
    let failure =
        failed(once(&spec(), &guest_with("(call $inner)", "(func $inner unreachable)"), State::Away));
    assert_eq!(failure.kind, FailureKind::Trap);
    assert_eq!(failure.reason, "wasm trap: wasm `unreachable` instruction executed");
    assert!(failure.backtrace.unwrap().starts_with("inner"));
}

#[test]
fn tells_a_stack_that_is_used_up() {
    let failure =
        failed(once(&spec(), &guest_with("(call $deep)", "(func $deep (call $deep))"), State::Away));
    assert_eq!(failure.kind, FailureKind::Stack);
    assert_eq!(failure.backtrace.unwrap(), "deep (32 times)\n…");
    // As compilers keep it: growing downwards from an address in the guest's own memory.
    let own = "(global $sp (mut i32) (i32.const 1024))
               (func $deep
                 (global.set $sp (i32.sub (global.get $sp) (i32.const 16)))
                 (i32.store (global.get $sp) (i32.const 1))
                 (call $deep))";
    let failure = failed(once(&spec(), &guest_with("(call $deep)", own), State::Away));
    assert_eq!(failure.kind, FailureKind::Stack);
    assert!(failure.reason.starts_with("its calls nested deeper than its stack"));
}

#[test]
fn tells_a_bad_access_from_a_deep_stack() {
    let failure = failed(once(&spec(), &guest("(i32.store (i32.const -4) (i32.const 1))"), State::Away));
    assert_eq!(failure.kind, FailureKind::Trap);
}

#[test]
fn tells_memory_above_the_limit() {
    let mut spec = spec();
    spec.limits.memory_bytes = 4 << 16;
    let grow = |pages: u32| {
        guest(&format!("(if (i32.eq (memory.grow (i32.const {pages})) (i32.const -1)) (then unreachable))"))
    };
    done(once(&spec, &grow(2), State::Away));
    let failure = failed(once(&spec, &grow(3), State::Away));
    assert_eq!(failure.kind, FailureKind::Memory);
    assert_eq!(failure.reason, "asked for more memory than its limit of 256 KiB");
}

#[test]
fn a_guest_may_do_without_the_memory() {
    done(once(&spec(), &guest("(drop (memory.grow (i32.const 60000)))"), State::Away));
}

#[test]
fn ends_an_endless_loop_at_its_deadline() {
    let mut spec = spec();
    spec.limits.deadline = Duration::from_millis(50);
    let failure = failed(once(&spec, &guest("(loop $on (br $on))"), State::Away));
    assert_eq!(failure.kind, FailureKind::Deadline);
    assert_eq!(failure.reason, "ran longer than its deadline of 50ms");
    assert!(failure.backtrace.is_some());
}

#[test]
fn ends_an_endless_start_at_its_deadline() {
    let mut spec = spec();
    spec.limits.deadline = Duration::from_millis(50);
    let module = guest_with("", "(func $start (loop $on (br $on))) (start $start)");
    assert_eq!(failed(once(&spec, &module, State::Away)).kind, FailureKind::Deadline);
}

#[test]
fn counts_no_wait_for_state_against_the_deadline() {
    const DEADLINE: Duration = Duration::from_millis(200);
    let mut spec = spec();
    spec.limits.deadline = DEADLINE;
    let sandbox = sandbox(1);
    let handler = sandbox.load(&spec, &guest(READ)).unwrap();
    let run = submit(&handler, event(b""), State::Late("v", 2 * DEADLINE));
    let report = run.recv_timeout(PATIENCE).unwrap();
    assert!(report.elapsed >= 2 * DEADLINE);
    done(report.outcome);
    // What comes after the wait has the deadline that was left.
    let handler = sandbox.load(&spec, &guest(&format!("{READ} (loop $on (br $on))"))).unwrap();
    let run = submit(&handler, event(b""), State::Late("v", 2 * DEADLINE));
    let report = run.recv_timeout(PATIENCE).unwrap();
    assert!(report.elapsed >= 3 * DEADLINE);
    assert_eq!(failed(report.outcome).kind, FailureKind::Deadline);
}

#[test]
fn waits_for_state_no_longer_than_it_may() {
    let state_wait = Duration::from_millis(50);
    let sandbox = Sandbox::new(Options { instances: 4, state_wait, ..Options::default() }).unwrap();
    let handler = sandbox.load(&spec(), &guest(&format!("{READ} unreachable"))).unwrap();
    let failure = failed(run(&handler, b"", State::Silent));
    assert_eq!(failure.kind, FailureKind::Unavailable);
    assert_eq!(failure.reason, "state is not available: the log did not answer within 50ms");
}

#[test]
fn blames_state_that_was_away_for_what_follows() {
    for end in ["unreachable", "(return (i32.const 0x110))", "(return (i32.const 0x140))"] {
        let failure = failed(once(&spec(), &guest(&format!("{READ} {end}")), State::Away));
        assert_eq!(failure.kind, FailureKind::Unavailable, "{end}");
        assert_eq!(failure.reason, "state is not available: no server");
    }
    done(once(&spec(), &guest(READ), State::Away));
}

#[test]
fn survives_a_panic_of_the_host() {
    let failure = failed(once(&spec(), &guest(READ), State::Broken));
    assert_eq!(failure.kind, FailureKind::Unavailable);
    assert_eq!(failure.reason, "the sandbox panicked: broken on request");
}
