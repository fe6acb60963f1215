//! What is refused when a handler is loaded, and what is said.

use waxwing_sandbox::{CheckError, LoadError, Options, Sandbox, check};

use crate::{
    guest::{guest, guest_of},
    host::{State, done, once, sandbox, spec},
};

fn text(wat: &str) -> Vec<u8> {
    wat::parse_str(wat).unwrap()
}

fn refused(module: &[u8]) -> String {
    check(module).unwrap_err().to_string()
}

#[test]
fn knows_what_a_handler_imports() {
    let contract = check(&guest("")).unwrap();
    assert_eq!(contract.version.to_string(), "0.1.0");
    assert!(contract.imports.contains(&"waxwing:events/emit@0.1.0".to_owned()));
    assert_eq!(contract.memory_bytes, 2 << 16);
}

#[test]
fn says_what_is_wrong_with_other_files() {
    assert_eq!(check(b"\x7fELF"), Err(CheckError::NotWasm));
    assert_eq!(refused(&text("(module)")), "it is a core module: build it with --target wasm32-wasip2");
    let whole = guest("");
    assert!(matches!(check(&whole[..whole.len() / 2]), Err(CheckError::Malformed(_))));
    assert!(refused(&text("(component)")).starts_with("it does not export `waxwing:events/handler@0.1.0`"));
}

#[test]
fn names_both_versions_of_the_contract() {
    assert_eq!(
        refused(&guest_of("0.2.0")),
        "it was built for version 0.2.0 of the contract waxwing:events, and this host serves 0.1.0: \
         upgrade the host, or build the module with SDK 0.1"
    );
    assert!(matches!(check(&guest_of("0.0.9")), Err(CheckError::OlderContract { .. })));
    let added = text(r#"(component (import "waxwing:events/unheard-of@0.1.4" (instance)))"#);
    assert!(refused(&added).contains("version 0.1.4"));
}

#[test]
fn serves_modules_of_a_later_patch() {
    done(once(&spec(), &guest_of("0.1.7"), State::Away));
}

#[test]
fn names_the_import_that_is_not_offered() {
    for name in [
        "wasi:http/incoming-handler@0.2.3",
        "wasi:http/outgoing-handler@0.3.0",
        "wasi:cli/environment@0.3.0",
        "waxwing:events/unheard-of@0.1.0",
        "x",
    ] {
        let module = text(&format!(r#"(component (import "{name}" (instance)))"#));
        assert_eq!(check(&module), Err(CheckError::NotOffered(name.to_owned())));
    }
    for name in ["wasi:cli/environment@0.2.3", "wasi:http/outgoing-handler@0.2.3", "wasi:http/types@0.2.12"] {
        let offered = text(&format!(r#"(component (import "{name}" (instance)))"#));
        assert_eq!(check(&offered), Err(CheckError::NoHandler));
    }
}

#[test]
fn refuses_memory_above_the_limits() {
    let (sandbox, module) = (sandbox(1), guest(""));
    let mut spec = spec();
    spec.limits.memory_bytes = 2 << 16;
    sandbox.load(&spec, &module).unwrap();
    spec.limits.memory_bytes = (2 << 16) - 1;
    assert!(matches!(
        sandbox.load(&spec, &module),
        Err(LoadError::Memory { asked: 131_072, limit: 131_071 })
    ));
    spec.limits.memory_bytes = (256 << 20) + 1;
    assert!(matches!(sandbox.load(&spec, &module), Err(LoadError::MemoryLimit { .. })));
}

#[test]
fn refuses_a_handler_of_another_shape() {
    let module = text(
        r#"(component
             (core module $m (func (export "handle")))
             (core instance $i (instantiate $m))
             (func $handle (canon lift (core func $i "handle")))
             (instance $handler (export "handle" (func $handle)))
             (export "waxwing:events/handler@0.1.0" (instance $handler)))"#,
    );
    check(&module).unwrap();
    assert!(matches!(sandbox(1).load(&spec(), &module), Err(LoadError::Mismatch(_))));
}

#[test]
fn refuses_broken_code() {
    let mut module = guest("(local.set $n (i32.const 1234567))");
    let at = module.windows(4).position(|bytes| bytes == [0x41, 0x87, 0xad, 0xcb]).unwrap();
    module[at] = 0xff;
    assert!(matches!(
        Sandbox::new(Options::default()).unwrap().load(&spec(), &module),
        Err(LoadError::Compile(_))
    ));
}
