//! Replies of requests: kept when a run ends well, one a run, within its limits.

use waxwing_event::{HandlerSpec, Reply, outcome::FailureKind};

use crate::{
    guest::guest,
    host::{State, ask, done, failed, once, sandbox, spec},
};

/// Replies with so many bytes of zeros, and traps unless the host answers with this: `ok`, or the number of the
/// error.
fn replier(bytes: u32, answer: Result<(), u8>) -> String {
    let wrong = match answer {
        Ok(()) => "(i32.load8_u (i32.const 0x200))".to_owned(),
        Err(case) => format!("(i32.ne (i32.load8_u (i32.const 0x208)) (i32.const {case}))"),
    };
    format!("(call $reply (i32.const {bytes})) (if {wrong} (then unreachable))")
}

#[test]
fn hands_over_the_reply_of_a_request() {
    let sandbox = sandbox(1);
    let handler = sandbox.load(&spec(), &guest(&replier(3, Ok(())))).unwrap();
    let effects = done(ask(&handler, b""));
    assert!(effects.is_empty());
    let expected =
        Reply { data: vec![0; 3].into(), content_type: Some("out.a".into()), attributes: Vec::new() };
    assert_eq!(effects.reply, Some(expected));
}

#[test]
fn takes_no_reply_where_nobody_waits() {
    assert_eq!(done(once(&spec(), &guest(&replier(3, Err(0))), State::Away)).reply, None);
}

#[test]
fn takes_the_first_reply_and_no_second() {
    let sandbox = sandbox(1);
    let twice = guest(&[replier(1, Ok(())), replier(2, Err(1))].concat());
    let handler = sandbox.load(&spec(), &twice).unwrap();
    assert_eq!(done(ask(&handler, b"")).reply.unwrap().data.len(), 1);
}

#[test]
fn bounds_a_reply_as_an_entry_and_as_an_effect() {
    let sandbox = sandbox(1);
    let mut spec = spec();
    let replied = |spec: &HandlerSpec, bytes, answer| {
        let handler = sandbox.load(spec, &guest(&replier(bytes, answer))).unwrap();
        ask(&handler, b"")
    };
    spec.limits.entry_bytes = 105;
    assert_eq!(done(replied(&spec, 100, Ok(()))).reply.unwrap().data.len(), 100);
    assert_eq!(done(replied(&spec, 101, Err(3))).reply, None);
    spec.limits.effect_bytes = 50;
    assert!(done(replied(&spec, 45, Ok(()))).reply.is_some());
    assert_eq!(failed(replied(&spec, 46, Err(4))).kind, FailureKind::Effects);
}
