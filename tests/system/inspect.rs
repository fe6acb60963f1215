//! `waxwing inspect`: what it tells of modules, good and bad.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::{Value, json};
use tempfile::TempDir;

fn inspect(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_waxwing"));
    command.current_dir(folder).arg("inspect").args(arguments).env("NO_COLOR", "1").output().unwrap()
}

fn told(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A module of the repository, built.
fn module(folder: &str) -> Vec<u8> {
    let folder = repository().join(folder);
    let built = waxwing::module::build(std::slice::from_ref(&folder)).unwrap();
    fs::read(&built[&folder]).unwrap()
}

#[test]
fn a_handler_of_the_manifest_is_told_of_with_what_it_is_granted() {
    let output = inspect(&repository().join("handlers"), &["catalog", "-o", "json"]);
    assert!(output.status.success(), "{output:?}");
    let told = told(&output);
    assert_eq!((&told["kind"], &told["contract"]), (&json!("handler"), &json!("0.1.0")));
    assert_eq!(told["exports"], json!(["waxwing:events/handler@0.1.0"]));
    let imports: Vec<&str> = told["imports"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(imports.contains(&"waxwing:events/emit@0.1.0"), "{imports:?}");
    let needs = told["needs"].as_array().unwrap();
    let emit = needs.iter().find(|need| need["key"] == "grants.emit").unwrap();
    assert_eq!(emit["granted"], true);
    assert!(needs.iter().all(|need| need["key"] != "grants.http"), "{needs:?}");
    assert!(told["producers"]["processed-by"]["rustc"].is_string(), "{}", told["producers"]);
    let parts: u64 =
        told["parts"].as_array().unwrap().iter().map(|part| part["bytes"].as_u64().unwrap()).sum();
    assert_eq!(told["sizeBytes"].as_u64().unwrap(), parts);
    assert!(told["memory"][0]["initialBytes"].as_u64().unwrap() >= told["staticDataBytes"].as_u64().unwrap());
    for time in ["compileMs", "loadMs", "coldRunMs", "warmRunMs"] {
        assert!(told["times"][time].as_f64().unwrap() > 0.0, "{told}");
    }
    // It was given `{}`, which is no change of a price.
    assert!(told["times"]["ended"].as_str().unwrap().contains("reject"), "{told}");
}

#[test]
fn a_file_is_told_of_in_words() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("one.wasm"), module("handlers/catalog")).unwrap();
    let output = inspect(folder.path(), &["one.wasm"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    for line in [
        "module     one.wasm",
        "digest     sha256:",
        "kind       handler of the contract 0.1.0",
        "compile",
        "warm run",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert!(text.ends_with("✓ this host runs it\n"), "{text}");
}

#[test]
fn what_is_no_handler_is_told_of_as_far_as_it_goes() {
    let folder = TempDir::new().unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    write("text.wasm", b"no module");
    write("core.wasm", b"\0asm\x01\0\0\0");
    write("newer.wasm", &module("tests/guests/newer"));
    write("program.wasm", &module("tests/guests/no-handler"));
    let handler = module("handlers/catalog");
    write("cut.wasm", &handler[..handler.len() / 2]);

    for (name, why) in
        [("text.wasm", "it is not WebAssembly"), ("cut.wasm", "it is not a whole WebAssembly component")]
    {
        let output = inspect(folder.path(), &[name]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1));
        assert!(said.contains(&format!("error: {name}: {why}")), "{said}");
    }
    for (name, kind, why) in [
        ("core.wasm", "core module", "it is a core module"),
        ("newer.wasm", "component", "it was built for version"),
        ("program.wasm", "component", "it does not export `waxwing:events/handler@0.1.0`"),
    ] {
        let output = inspect(folder.path(), &[name, "-o", "json"]);
        let told = told(&output);
        assert_eq!((output.status.code(), &told["kind"]), (Some(1), &json!(kind)), "{told}");
        assert!(told["error"].as_str().unwrap().contains(why), "{told}");
        assert!(told["times"].is_null() && told["contract"].is_null(), "{told}");
    }
    let nowhere = inspect(folder.path(), &["nothing"]);
    let said = String::from_utf8_lossy(&nowhere.stderr);
    assert!(said.contains("there is no module at nothing: name a crate's folder or a .wasm file"), "{said}");
}
