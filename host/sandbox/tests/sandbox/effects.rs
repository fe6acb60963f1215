//! Effects of runs: kept when a run ends well, within their limits.

use waxwing_event::{Effects, HandlerSpec, outcome::FailureKind};

use crate::{
    guest::{DATA_ADDRESS, DATA_BYTES, guest, guest_with},
    host::{State, done, failed, once, run, sandbox, spec},
};

/// Emits so many events.
fn emitter(count: u32) -> Vec<u8> {
    guest(&format!(
        "(loop $next (call $emit_one) (local.set $n (i32.add (local.get $n) (i32.const 1)))
           (br_if $next (i32.lt_u (local.get $n) (i32.const {count}))))"
    ))
}

/// Emits one event with so many bytes of zeros, and traps unless the host answers with this: `ok`, or the
/// number of the error.
fn emitter_of(bytes: u32, answer: Result<(), u8>) -> Vec<u8> {
    let wrong = match answer {
        Ok(()) => "(i32.load8_u (i32.const 0x200))".to_owned(),
        Err(case) => format!("(i32.ne (i32.load8_u (i32.const 0x208)) (i32.const {case}))"),
    };
    guest(&format!(
        "(i32.store (i32.const 0x440) (i32.const 0x1000)) (i32.store (i32.const 0x444) (i32.const {bytes}))
         (call $emit_one)
         (if {wrong} (then unreachable))"
    ))
}

fn effects_of(spec: &HandlerSpec, module: &[u8]) -> Effects {
    done(once(spec, module, State::Value("v")))
}

#[test]
fn hands_over_what_was_emitted() {
    let effects = effects_of(&spec(), &emitter(2));
    assert_eq!(effects.emits.len(), 2);
    assert_eq!(effects.emits[0].subject.as_str(), "out.a");
    assert_eq!(effects.emits[0].event_type, None);
}

#[test]
fn drops_everything_where_one_effect_was_too_many() {
    let mut spec = spec();
    spec.limits.effects = 3;
    assert_eq!(effects_of(&spec, &emitter(3)).len(), 3);
    let failure = failed(once(&spec, &emitter(4), State::Away));
    assert_eq!(failure.kind, FailureKind::Effects);
    assert_eq!(failure.reason, "wanted more than its limit of 3 effects: none of them was written");
}

#[test]
fn counts_all_bytes_of_a_run() {
    let mut spec = spec();
    spec.limits.effect_bytes = 10;
    effects_of(&spec, &emitter(2));
    spec.limits.effect_bytes = 9;
    assert_eq!(failed(once(&spec, &emitter(2), State::Away)).kind, FailureKind::Effects);
}

#[test]
fn bounds_one_event_and_lets_the_run_go_on() {
    let mut spec = spec();
    spec.limits.entry_bytes = 105;
    assert_eq!(effects_of(&spec, &emitter_of(100, Ok(()))).emits[0].data.len(), 100);
    assert!(effects_of(&spec, &emitter_of(101, Err(3))).is_empty());
}

#[test]
fn takes_only_what_is_granted() {
    let mut spec = spec();
    spec.grants.emit = vec!["elsewhere.>".parse().unwrap()];
    assert!(effects_of(&spec, &emitter_of(1, Err(1))).is_empty());
}

#[test]
fn lets_no_grant_reach_the_hosts_own_subjects() {
    let mut spec = spec();
    spec.grants.emit = vec![">".parse().unwrap()];
    for own in ["wx.a.", "wxr.a", "$JS.a"] {
        let write = own
            .bytes()
            .enumerate()
            .map(|(i, byte)| format!("(i32.store8 (i32.const {}) (i32.const {byte}))", 0x300 + i));
        let subject: String = write.collect();
        let module = guest(&format!(
            "{subject} (call $emit_one)
             (if (i32.gt_u (i32.load8_u (i32.const 0x208)) (i32.const 1)) (then unreachable))
             (if (i32.eqz (i32.load8_u (i32.const 0x200))) (then unreachable))"
        ));
        assert!(effects_of(&spec, &module).is_empty(), "{own}");
    }
}

/// Emits one event with the extension attribute that the event's data spells, `name` to a space, `value`.
#[test]
fn refuses_attributes_that_the_host_sets() {
    let module = guest_with(
        &format!(
            "(local.set $n (i32.load offset={DATA_ADDRESS} (local.get $event)))
             (local.set $m (i32.load offset={DATA_BYTES} (local.get $event)))
             (i32.store (i32.const 0x500) (local.get $n)) (i32.store (i32.const 0x504) (local.get $m))
             (i32.store (i32.const 0x508) (local.get $n)) (i32.store (i32.const 0x50c) (local.get $m))
             (i32.store (i32.const 0x438) (i32.const 0x500)) (i32.store (i32.const 0x43c) (i32.const 1))
             (call $emit_one)
             (if (i32.load8_u (i32.const 0x200)) (then
               (if (i32.eq (i32.load8_u (i32.const 0x208)) (i32.const 2)) (then (return (i32.const 0x110))))
               unreachable))"
        ),
        "",
    );
    let sandbox = sandbox(1);
    let handler = sandbox.load(&spec(), &module).unwrap();
    for good in ["region", "a1", "abcdefghijklmnopqrst"] {
        assert_eq!(done(run(&handler, good.as_bytes(), State::Away)).emits[0].extensions[0].0, good);
    }
    for bad in
        ["id", "type", "correlationid", "traceparent", "", "Region", "a_b", "abcdefghijklmnopqrstu", "ä"]
    {
        assert_eq!(failed(run(&handler, bad.as_bytes(), State::Away)).kind, FailureKind::Reject, "{bad}");
    }
}

#[test]
fn reads_its_own_writes_over_committed_state() {
    // Reads "key", sets it to what it read and one byte more, reads it again; emits the lengths as data.
    let module = guest(
        "(call $get (i32.const 0x310) (i32.const 3) (i32.const 0x200))
         (i32.store8 (i32.const 0x600) (i32.load (i32.const 0x210)))
         (call $set (i32.const 0x310) (i32.const 3) (i32.const 0x300) (i32.const 4) (i32.const 0x200))
         (call $get (i32.const 0x310) (i32.const 3) (i32.const 0x200))
         (i32.store8 (i32.const 0x601) (i32.load (i32.const 0x210)))
         (i32.store (i32.const 0x440) (i32.const 0x600)) (i32.store (i32.const 0x444) (i32.const 2))
         (call $emit_one)",
    );
    let effects = done(once(&spec(), &module, State::Value("abc")));
    assert_eq!(effects.emits[0].data.as_ref(), [3, 4]);
    assert_eq!(effects.state["key"].as_deref(), Some(b"out.".as_slice()));
}
