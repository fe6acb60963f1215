//! The whole shop, used by a plain NATS client of another language.

use std::path::Path;

use serde_json::{Value, json};
use tokio::process::Command;

use crate::{app::App, venv::Package};

const CLIENT: Package = Package { name: "nats-py", version: "2.16.0", file: "python" };

/// The shop's manifest, with modules as the tests build them.
fn shop() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../handlers/waxwing.toml");
    let manifest = std::fs::read_to_string(path).unwrap();
    let lines = manifest.lines().map(|line| match line.strip_prefix("module = \"") {
        Some(rest) => format!("module = \"{}.wasm\"\n", rest.trim_end_matches('"')),
        None => format!("{line}\n"),
    });
    lines.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_in_python_publishes_reads_the_view_and_asks() {
    let python = tokio::task::spawn_blocking(|| CLIENT.installed()).await.unwrap();
    let app = App::new(&shop()).await;
    let host = app.host().await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/system/another_language.py");
    let mut command = Command::new(python);
    let output = command.arg(script).arg(app.server.process.url()).output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{}", app.host_log());
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["seen"].as_array().unwrap().last(), Some(&json!("shipped")), "{told}");
    assert_eq!(told["value"], told["answer"]);
    assert_eq!((&told["value"]["productId"], &told["value"]["amount"]), (&json!("tea"), &json!(12.5)));
    assert!(told["keys"].as_array().unwrap().contains(&json!("order/o1")), "{told}");
    assert_eq!(app.result().await.dead, []);
    assert!(host.stop().await);
}
