//! A guest that does as its event's data says: calls of the contract with whatever arguments, right or wrong.
//!
//! The data is a list of orders: a byte that says which, then its arguments. An argument is a byte and a number of
//! two bytes, little-endian; the byte says how the number is meant: as it is, as an offset into the data, as an
//! offset into memory that is free, or as the upper half of a word.

use std::path::Path;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// What the puppet can be told to do, and how many arguments it takes. Their order is that of the text below.
pub const ORDERS: [(&str, usize); 17] = [
    ("emit", 18),
    ("get", 3),
    ("set", 5),
    ("delete", 3),
    ("keys", 3),
    ("setting", 3),
    ("settings", 1),
    ("log", 5),
    ("poke", 2),
    ("grow", 1),
    ("return", 1),
    ("trap", 0),
    ("emit-raw", 2),
    ("answer", 1),
    ("is-asked", 0),
    ("respond", 8),
    ("secret", 3),
];

/// Where the fields of the event's record lie that hold the data's address and length.
const DATA: (u32, u32) = (132, 136);

/// The most orders of one run.
const MAX_ORDERS: u32 = 64;

/// The puppet as a component of the contract.
pub fn component() -> Vec<u8> {
    let mut module = wat::parse_str(core()).expect("the text is WebAssembly");
    let mut resolve = Resolve::default();
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit");
    let (package, _) = resolve.push_dir(wit).expect("the contract parses");
    let world = resolve.select_world(&[package], Some("event-handler")).expect("the contract has its world");
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
        .expect("metadata is embedded");
    let encoder = ComponentEncoder::default().module(&module).expect("the module fits the world");
    encoder.validate(true).encode().expect("the component is encoded")
}

/// One order as the puppet reads it: words are given as `(meaning, number)`.
pub fn order(name: &str, arguments: &[(u8, u16)]) -> Vec<u8> {
    let code = ORDERS.iter().position(|(known, _)| *known == name).unwrap_or_default();
    let mut bytes = vec![u8::try_from(code).unwrap_or_default()];
    for (meaning, number) in arguments {
        bytes.push(*meaning);
        bytes.extend(number.to_le_bytes());
    }
    bytes
}

fn core() -> String {
    let call =
        |function: &str, count: usize| format!("(call ${function} {})", "(call $argument) ".repeat(count));
    let emit: String = (0..18)
        .map(|word| format!("(i32.store (i32.const {}) (call $argument))", 0x800 + 4 * word))
        .collect();
    let bodies = [
        format!("{emit} (call $emit (i32.const 0x800) (i32.const 0x200))"),
        call("get", 3),
        call("set", 5),
        call("delete", 3),
        call("keys", 3),
        call("setting", 3),
        call("settings", 1),
        call("log", 5),
        "(i32.store (call $argument) (call $argument))".to_owned(),
        "(drop (memory.grow (call $argument)))".to_owned(),
        "(return (call $argument))".to_owned(),
        "unreachable".to_owned(),
        call("emit", 2),
        "(global.set $answer (call $argument))".to_owned(),
        "(drop (call $is_asked))".to_owned(),
        call("respond", 8),
        call("secret", 3),
    ];
    let orders: String = bodies
        .iter()
        .enumerate()
        .map(|(code, body)| format!("(if (i32.eq (local.get $code) (i32.const {code})) (then {body}))\n"))
        .collect();
    let count = ORDERS.len();
    let (data, bytes) = DATA;
    format!(
        r#"(module
  (import "waxwing:events/emit@0.1.0" "emit" (func $emit (param i32 i32)))
  (import "waxwing:events/state@0.1.0" "get" (func $get (param i32 i32 i32)))
  (import "waxwing:events/state@0.1.0" "set" (func $set (param i32 i32 i32 i32 i32)))
  (import "waxwing:events/state@0.1.0" "delete" (func $delete (param i32 i32 i32)))
  (import "waxwing:events/state@0.1.0" "keys" (func $keys (param i32 i32 i32)))
  (import "waxwing:events/settings@0.1.0" "get" (func $setting (param i32 i32 i32)))
  (import "waxwing:events/settings@0.1.0" "all" (func $settings (param i32)))
  (import "waxwing:events/secrets@0.1.0" "get" (func $secret (param i32 i32 i32)))
  (import "waxwing:events/log@0.1.0" "write" (func $log (param i32 i32 i32 i32 i32)))
  (import "waxwing:events/reply@0.1.0" "is-asked" (func $is_asked (result i32)))
  (import "waxwing:events/reply@0.1.0" "respond" (func $respond (param i32 i32 i32 i32 i32 i32 i32 i32)))
  (memory (export "memory") 2)
  (global $heap (mut i32) (i32.const 65536))
  (global $at (mut i32) (i32.const 0))
  (global $end (mut i32) (i32.const 0))
  (global $data (mut i32) (i32.const 0))
  (global $answer (mut i32) (i32.const 0))
  (func $byte (result i32)
    (if (i32.ge_u (global.get $at) (global.get $end)) (then (return (i32.const 0))))
    (global.set $at (i32.add (global.get $at) (i32.const 1)))
    (i32.load8_u (i32.sub (global.get $at) (i32.const 1))))
  (func $argument (result i32) (local $meaning i32) (local $number i32)
    (local.set $meaning (i32.and (call $byte) (i32.const 3)))
    (local.set $number (call $byte))
    (local.set $number (i32.or (local.get $number) (i32.shl (call $byte) (i32.const 8))))
    (if (i32.eq (local.get $meaning) (i32.const 1))
      (then (return (i32.add (global.get $data) (local.get $number)))))
    (if (i32.eq (local.get $meaning) (i32.const 2))
      (then (return (i32.add (i32.const 0x1000) (i32.and (local.get $number) (i32.const 0x0fff))))))
    (if (i32.eq (local.get $meaning) (i32.const 3))
      (then (return (i32.shl (local.get $number) (i32.const 16)))))
    (local.get $number))
  (func (export "cabi_realloc") (param $old i32) (param $size i32) (param $align i32) (param $new i32) (result i32)
    (local $at i32)
    (if (global.get $answer) (then (return (global.get $answer))))
    (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
    (global.set $heap (i32.add (local.get $at) (local.get $new)))
    (local.get $at))
  (func (export "cabi_post_waxwing:events/handler@0.1.0#handle") (param i32)
    (global.set $answer (i32.const 0))
    (global.set $heap (i32.const 65536)))
  (func (export "waxwing:events/handler@0.1.0#handle") (param $event i32) (result i32)
    (local $code i32) (local $left i32)
    (global.set $data (i32.load (i32.add (local.get $event) (i32.const {data}))))
    (global.set $at (global.get $data))
    (global.set $end (i32.add (global.get $data) (i32.load (i32.add (local.get $event) (i32.const {bytes})))))
    (local.set $left (i32.const {MAX_ORDERS}))
    (loop $next
      (if (i32.and (i32.lt_u (global.get $at) (global.get $end)) (i32.ne (local.get $left) (i32.const 0)))
        (then
          (local.set $left (i32.sub (local.get $left) (i32.const 1)))
          (local.set $code (i32.rem_u (call $byte) (i32.const {count})))
          {orders}
          (br $next))))
    (i32.const 0x100)))"#
    )
}
