//! How long an instance lives.

use waxwing_event::{HandlerSpec, handler::Instance, outcome::FailureKind};
use waxwing_sandbox::Handler;

use crate::{
    guest::{DATA_BYTES, guest_with},
    host::{State, done, failed, run, sandbox, spec},
};

/// Emits so many events as it has handled, and traps for an event with data.
fn counter() -> Vec<u8> {
    guest_with(
        &format!(
            "(global.set $count (i32.add (global.get $count) (i32.const 1)))
             (loop $next (call $emit_one) (local.set $n (i32.add (local.get $n) (i32.const 1)))
               (br_if $next (i32.lt_u (local.get $n) (global.get $count))))
             (if (i32.load offset={DATA_BYTES} (local.get $event)) (then unreachable))"
        ),
        "(global $count (mut i32) (i32.const 0))",
    )
}

fn spec_of(instance: Instance) -> HandlerSpec {
    HandlerSpec { instance, ..spec() }
}

fn count(handler: &Handler) -> usize {
    done(run(handler, b"", State::Away)).emits.len()
}

#[test]
fn a_fresh_instance_knows_nothing_of_earlier_events() {
    let sandbox = sandbox(1);
    let handler = sandbox.load(&spec_of(Instance::Fresh), &counter()).unwrap();
    assert_eq!([count(&handler), count(&handler), count(&handler)], [1, 1, 1]);
}

#[test]
fn a_kept_instance_goes_on_until_a_failure() {
    let sandbox = sandbox(1);
    let handler = sandbox.load(&spec_of(Instance::Reuse), &counter()).unwrap();
    assert_eq!([count(&handler), count(&handler)], [1, 2]);
    assert_eq!(failed(run(&handler, b"x", State::Away)).kind, FailureKind::Trap);
    assert_eq!([count(&handler), count(&handler)], [1, 2]);
}

#[test]
fn a_kept_instance_is_replaced_in_time() {
    let mut spec = spec_of(Instance::Reuse);
    spec.limits.effects = 900;
    let sandbox = sandbox(1);
    let module = guest_with(
        "(global.set $count (i32.add (global.get $count) (i32.const 1)))
         (if (i32.gt_u (global.get $count) (i32.const 10000)) (then unreachable))",
        "(global $count (mut i32) (i32.const 0))",
    );
    let handler = sandbox.load(&spec, &module).unwrap();
    for _ in 0..10_001 {
        done(run(&handler, b"", State::Away));
    }
}

#[test]
fn makes_room_for_others_than_those_it_keeps() {
    let sandbox = sandbox(1);
    let module = counter();
    let handlers: Vec<_> =
        (0..60).map(|_| sandbox.load(&spec_of(Instance::Reuse), &module).unwrap()).collect();
    for handler in &handlers {
        assert_eq!(count(handler), 1);
    }
    assert_eq!(count(&handlers[59]), 2);
    assert_eq!(count(&handlers[0]), 1);
}
