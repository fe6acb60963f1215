//! Modules that are no handlers for this host: `check` and `run` say which, why, and what to do.

use std::fs;

use crate::app::{App, module};

const GOOD: &str = r#"
[app]
name = "modules"
events = ["in.>"]

[handlers.good]
module = "counter.wasm"
on = ["in.>"]
"#;

/// An app whose handler `good` has a good module.
async fn app() -> App {
    App::new(GOOD).await
}

/// Adds the handler `bad` with this module; none: there is no such file.
fn put(app: &App, bytes: Option<&[u8]>, limits: &str) {
    let bad = format!("[handlers.bad]\nmodule = \"bad.wasm\"\non = [\"in.>\"]\n{limits}");
    fs::write(app.path().join("waxwing.toml"), format!("{GOOD}\n{bad}")).unwrap();
    let file = app.path().join("bad.wasm");
    match bytes {
        Some(bytes) => fs::write(file, bytes).unwrap(),
        None if file.exists() => fs::remove_file(file).unwrap(),
        None => {}
    }
}

/// What is said of the bad module, by `check` beside the good one, and by `run`.
async fn said(app: &App) -> String {
    let checked = app.command(&["check"]).output().await.unwrap();
    assert_eq!(checked.status.code(), Some(1));
    let found = String::from_utf8(checked.stdout).unwrap();
    let (good, bad): (Vec<&str>, Vec<&str>) = found.lines().partition(|line| line.starts_with('✓'));
    assert!(matches!(good[..], [line] if line.starts_with("✓ good  counter.wasm, ")), "{found}");
    let text = bad.join("\n").strip_prefix("✗ bad  bad.wasm: ").unwrap().to_owned();
    let refused = refusal(app).await;
    assert_eq!(refused, format!("error: handler `bad` cannot run the module of bad.wasm: {text}"));
    text
}

/// Why `run` gives up.
async fn refusal(app: &App) -> String {
    let run = app.command(&["run"]).output().await.unwrap();
    assert_eq!((run.status.code(), run.stdout.len()), (Some(1), 0), "it never was ready");
    let error = String::from_utf8(run.stderr).unwrap();
    error.lines().filter(|line| line.starts_with("error: ")).collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_component_is_refused() {
    let app = app().await;
    put(&app, Some(b"no module"), "");
    insta::assert_snapshot!(said(&app).await, @"it is not WebAssembly: name the .wasm file that the build has made");
    put(&app, Some(b""), "");
    insta::assert_snapshot!(said(&app).await, @"it is not WebAssembly: name the .wasm file that the build has made");
    put(&app, Some(b"\0asm\x01\0\0\0"), "");
    insta::assert_snapshot!(said(&app).await, @"it is a core module: build it with --target wasm32-wasip2");
    // A component that is cut off in its first section.
    put(&app, Some(b"\0asm\x0d\0\x01\0\x01\x7f"), "");
    insta::assert_snapshot!(said(&app).await, @"it is not a whole WebAssembly component (unexpected end-of-file (at offset 0xa)): build or copy it again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn components_of_another_contract_are_refused() {
    let app = app().await;
    put(&app, Some(&fs::read(module("no-handler")).unwrap()), "");
    insta::assert_snapshot!(said(&app).await, @"it does not export `waxwing:events/handler@0.1.0`: mark a function with #[handler] of the SDK, and build the crate as a cdylib");
    put(&app, Some(&fs::read(module("newer")).unwrap()), "");
    insta::assert_snapshot!(said(&app).await, @"it was built for version 0.2.0 of the contract waxwing:events, and this host serves 0.1.0: upgrade the host, or build the module with SDK 0.1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_that_starts_with_more_memory_than_it_may_have_is_refused() {
    let app = app().await;
    put(&app, Some(&fs::read(module("counter")).unwrap()), "memory = \"64KiB\"");
    let said = said(&app).await;
    let words = said.strip_prefix("it starts with ").and_then(|rest| rest.split_once(' ')).unwrap().1;
    insta::assert_snapshot!(words, @"bytes of memory and may have 65536: raise `memory`, or keep less static data in it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_that_is_not_there_is_refused_with_its_line_in_the_manifest() {
    let app = app().await;
    put(&app, None, "");
    let checked = app.command(&["check"]).output().await.unwrap();
    assert_eq!(checked.status.code(), Some(1));
    let said = String::from_utf8(checked.stderr).unwrap();
    insta::assert_snapshot!(said, @r"
    error: waxwing.toml:11:10: handler `bad` has no module at bad.wasm: build it, or set `module` in waxwing.toml
    error: the manifest has 1 error
    ");
    assert_eq!(refusal(&app).await, said.trim_end());
}
