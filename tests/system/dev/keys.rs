//! Keys, on a terminal that a script in Python makes.

use std::{fs, path::Path};

use tempfile::TempDir;
use tokio::process::Command;

use crate::app::{self, module};

const MANIFEST: &str = r#"
[app]
name = "keys"
events = ["counter.>"]

[handlers.count]
module = "counter.wasm"
on = ["counter.add"]
key = "data.key"

[handlers.count.grants]
emit = ["counter.counted"]
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_do_what_help_says_and_the_terminal_is_as_it_was_however_it_ends() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("waxwing.toml"), MANIFEST).unwrap();
    fs::copy(module("counter"), folder.path().join("counter.wasm")).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/system/dev/keys.py");
    let mut command = Command::new("python3");
    command.arg(script).arg(env!("CARGO_BIN_EXE_waxwing")).current_dir(folder.path()).kill_on_drop(true);
    app::without_settings(command.as_std_mut());
    let output = command.env("XDG_CONFIG_HOME", folder.path()).env("TERM", "xterm").output();
    let output = tokio::time::timeout(app::PATIENCE.saturating_mul(4), output).await.unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
