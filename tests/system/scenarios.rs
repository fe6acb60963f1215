//! `waxwing test`: the scenarios of handler crates, on the modules that hosts would run.

use std::path::Path;

use serde_json::Value;
use tokio::process::Command;

/// The handlers of the repository: an aggregate, a saga with timers, a view that is asked, one without scenarios.
const TESTED: [&str; 4] = ["order", "order-saga", "order-view", "catalog"];

fn waxwing(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_waxwing"));
    command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../handlers")).arg("test");
    command.args(arguments).env("NO_COLOR", "1");
    command
}

#[tokio::test]
async fn what_is_said_of_the_function_holds_for_the_module() {
    let output = waxwing(&[&TESTED[..], &["--output", "json"]].concat()).output().await.unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let tested = report["crates"].as_array().unwrap();
    assert_eq!(tested.len(), TESTED.len());
    for tested in tested {
        let (handler, runs) = (tested["handler"].as_str().unwrap(), tested["runs"].as_u64().unwrap());
        assert!(TESTED.contains(&handler) && tested["passed"] == true, "{tested}");
        // It has tests, and says nothing as a scenario.
        assert_eq!(runs > 0, handler != "catalog", "{tested}");
    }
}

#[tokio::test]
async fn a_handler_that_is_not_there_is_said_to_be_so() {
    let output = waxwing(&["nobody"]).output().await.unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && told.contains("the manifest has no handler `nobody`"), "{told}");
}

#[tokio::test]
async fn a_test_that_fails_fails_the_whole() {
    // Nothing of this name: cargo itself refuses it.
    let output = waxwing(&["catalog", "--", "--no-such-flag"]).output().await.unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("catalog: failed"));
}
