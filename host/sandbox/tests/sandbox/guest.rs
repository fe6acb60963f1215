//! Components for tests: a core module in text form, made a component by the contract.

use std::{fs, path::Path};

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// Where a guest's `handle` finds the fields of its event: offsets from the record's address.
pub(crate) const DATA_ADDRESS: u32 = 132;
/// The length of the event's data.
pub(crate) const DATA_BYTES: u32 = 136;

/// A guest whose `handle` does this. Locals: `$event`, the record's address; `$n`, `$m`. It ends with `ok`
/// unless the text returns the address of another result.
pub(crate) fn guest(body: &str) -> Vec<u8> {
    component(&core(body, ""), "0.1.0")
}

/// As [`guest`], with functions, globals or data of its own.
pub(crate) fn guest_with(body: &str, more: &str) -> Vec<u8> {
    component(&core(body, more), "0.1.0")
}

/// A guest that was built for another version of the contract.
pub(crate) fn guest_of(version: &str) -> Vec<u8> {
    component(&core("", "").replace("@0.1.0", &format!("@{version}")), version)
}

/// Makes a core module a component.
fn component(core: &str, version: &str) -> Vec<u8> {
    let mut module = wat::parse_str(core).expect("the text is WebAssembly");
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(contract(version).path()).expect("the contract parses");
    let world = resolve.select_world(&[package], Some("event-handler")).expect("the contract has its world");
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
        .expect("metadata is embedded");
    let encoder = ComponentEncoder::default().module(&module).expect("the module fits the world");
    encoder.validate(true).encode().expect("the component is encoded")
}

/// The contract under another version.
fn contract(version: &str) -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("a temporary folder");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
    for file in
        fs::read_dir(source).expect("wit/ is there").map(|file| file.expect("its files are listed").path())
    {
        let text = fs::read_to_string(&file).expect("a file of the contract");
        let name = file.file_name().expect("a file has a name");
        fs::write(copy.path().join(name), text.replace("@0.1.0", &format!("@{version}")))
            .expect("it is copied");
    }
    copy
}

/// A core module. Results: `0x100` ok; `0x110` reject "no"; `0x140` retry "later" after 5 ms; calls leave what
/// they give at `0x200`. Texts at `0x300`: "out.a" (5 bytes), "key" (3 bytes, at `0x310`).
fn core(body: &str, more: &str) -> String {
    format!(
        r#"(module
  (import "waxwing:events/emit@0.1.0" "emit" (func $emit (param i32 i32)))
  (import "waxwing:events/state@0.1.0" "get" (func $get (param i32 i32 i32)))
  (import "waxwing:events/state@0.1.0" "set" (func $set (param i32 i32 i32 i32 i32)))
  (import "waxwing:events/reply@0.1.0" "respond" (func $respond (param i32 i32 i32 i32 i32 i32 i32 i32)))
  (memory (export "memory") 2)
  (global $heap (mut i32) (i32.const 65536))
  (data (i32.const 0x110) "\01\00\00\00\00\00\00\00\01\00\00\00\00\00\00\00\20\03\00\00\02\00\00\00")
  (data (i32.const 0x140) "\01\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\01\00\00\00\00\00\00\00\05\00\00\00\00\00\00\00\28\03\00\00\05\00\00\00")
  (data (i32.const 0x300) "out.a")
  (data (i32.const 0x310) "key")
  (data (i32.const 0x320) "no")
  (data (i32.const 0x328) "later")
  (data (i32.const 0x400) "\00\03\00\00\05\00\00\00")
  {more}
  (func $emit_one
    (call $emit (i32.const 0x400) (i32.const 0x200)))
  (func $reply (param $bytes i32)
    (call $respond (i32.const 0x1000) (local.get $bytes) (i32.const 1) (i32.const 0x300) (i32.const 5)
      (i32.const 0) (i32.const 0) (i32.const 0x200)))
  (func (export "cabi_realloc") (param $old i32) (param $size i32) (param $align i32) (param $new i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
    (global.set $heap (i32.add (local.get $at) (local.get $new)))
    (local.get $at))
  (func (export "cabi_post_waxwing:events/handler@0.1.0#handle") (param i32)
    (global.set $heap (i32.const 65536)))
  (func (export "waxwing:events/handler@0.1.0#handle") (param $event i32) (result i32)
    (local $n i32) (local $m i32)
    {body}
    (i32.const 0x100)))"#
    )
}
