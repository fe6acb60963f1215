//! Secrets: real modules read them, hosts find them, and their values stand nowhere.

use std::{fs, path::Path};

use serde_json::{Value, json};
use tokio::process::Command;

use crate::{
    app::{self, App, HostProcess, Input, module},
    deploys::{deploy, deployed},
};

/// What must be seen nowhere.
const VALUE: &str = "sk_live_4eC39HqLyjWDarjtT1zdp7dc";

const MANIFEST: &str = r#"
[app]
name = "sealing"
events = ["seals.>"]

[host]
lease = "1s"

[handlers.seal]
module = "keeper.wasm"
on = ["seals.asked"]
retry = { attempts = 2, backoff = "10ms..20ms" }
outage = { after = 0 }
on-exhausted = "dead-letter-event"

[handlers.seal.grants]
emit = ["seals.made"]
secrets = ["payment-api-key"]
"#;

fn seal_of(secret: &str) -> u64 {
    let step = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    secret.bytes().fold(0xcbf2_9ce4_8422_2325, step)
}

fn asked(id: &str, then: Option<&str>) -> Input {
    Input::new("seals.asked", id, &json!({ "secret": "payment-api-key", "then": then }))
}

/// The folder with the secret, as Kubernetes mounts one.
fn mount(app: &App, value: &str) -> String {
    let folder = app.path().join("mounted");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("next"), format!("{value}\n")).unwrap();
    fs::rename(folder.join("next"), folder.join("payment-api-key")).unwrap();
    folder.display().to_string()
}

async fn host(app: &App, arguments: &[&str], folder: &str) -> HostProcess {
    let mut host = app.launch_with(arguments, &[("WAXWING_SECRETS_DIR", folder)]);
    host.ready().await;
    host
}

async fn made(app: &App) -> Vec<u64> {
    let emitted = app.result().await.emitted;
    emitted.iter().map(|event| serde_json::from_slice(&event.data).unwrap()).collect()
}

/// What a refused command says.
async fn refused(command: &mut Command) -> String {
    let output = command.output().await.unwrap();
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Every file below, but for where the secret itself is.
fn files(folder: &Path, found: &mut Vec<Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.ends_with("mounted") {
            continue;
        }
        if path.is_dir() {
            files(&path, found);
        } else if path.is_file() {
            found.push(fs::read(path).unwrap());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_is_used_and_replaced_and_stands_nowhere() {
    let app = App::new(MANIFEST).await;
    let folder = mount(&app, VALUE);
    let mut said = vec![app.run(&["check"]).await];
    said.push(deploy(&app, &["--dry-run", "-o", "json"]).await.1);
    // Whoever deploys has no secrets.
    said.push(deployed(&app, &[]).await);
    assert!(said[2].contains("may read the secret  payment-api-key  ← new"), "{}", said[2]);
    let running = host(&app, &["--app", "sealing", "--verbose"], &folder).await;
    let ends = [None, Some("trap"), Some("reject"), Some("retry"), None];
    let inputs: Vec<Input> = ends.iter().enumerate().map(|(n, end)| asked(&format!("a{n}"), *end)).collect();
    let last = app.publish(&inputs).await;
    app.handled("seal", last).await;
    assert_eq!(made(&app).await, [seal_of(VALUE); 2]);
    assert_eq!(app.result().await.dead.len(), 3);
    // A file that was replaced is the next run's, without a restart; so is one that is missing and comes back.
    let next = "sk_live_rotated";
    mount(&app, next);
    let last = app.publish(&[asked("b", None)]).await;
    app.handled("seal", last).await;
    assert_eq!(made(&app).await.last(), Some(&seal_of(next)));
    mount(&app, VALUE);
    for arguments in [
        &["dead", "ls"][..],
        &["dead", "show", "seal", "a1"],
        &["versions"],
        &["deploy", "--dry-run", "-o", "json"],
        &["replay", "seal"],
        &["doctor"],
    ] {
        let output = app.command(arguments).env("WAXWING_SECRETS_DIR", &folder).output().await.unwrap();
        said.push(String::from_utf8([output.stdout, output.stderr].concat()).unwrap());
    }
    assert!(running.stop().await);
    let entries = app::entries(&app.log().await).await;
    assert!(entries.len() > 10 && app.host_log().contains("sealed with Secret"), "{}", app.host_log());
    let mut bytes: Vec<Vec<u8>> = said.into_iter().map(String::into_bytes).collect();
    for entry in entries {
        bytes.push(entry.payload.to_vec());
        bytes.push(format!("{:?}", entry.headers).into_bytes());
    }
    // The host's log and its compiled code are among these; and what the server keeps, as it keeps it.
    files(app.path(), &mut bytes);
    files(app.server.store(), &mut bytes);
    assert!(bytes.len() > 40);
    for value in [VALUE, next] {
        let holds = |bytes: &Vec<u8>| bytes.windows(value.len()).any(|window| window == value.as_bytes());
        let found = bytes.iter().find(|bytes| holds(bytes));
        assert!(found.is_none(), "{}", String::from_utf8_lossy(found.unwrap()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_without_a_granted_secret_says_where_it_has_looked() {
    let app = App::new(MANIFEST).await;
    let folder = app.path().join("mounted").display().to_string();
    let said = refused(app.command(&["run"]).env("WAXWING_SECRETS_DIR", &folder)).await;
    for part in [
        "handler `seal`",
        "its secret `payment-api-key` is not on this host",
        "mounted/payment-api-key (",
        "the variable WAXWING_SECRET_PAYMENT_API_KEY (not set)",
        "[host.secrets]",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let checked: Value = serde_json::from_str(&app.run(&["check", "-o", "json"]).await).unwrap();
    assert_eq!(checked[0]["secrets"][0]["name"], "payment-api-key");
    assert!(checked[0]["secrets"][0]["missing"].as_str().unwrap().contains("is not on this host"));

    // A host that runs does not go over to what needs one that it lacks.
    let bare = MANIFEST.replace("secrets = [\"payment-api-key\"]", "");
    fs::write(app.path().join("waxwing.toml"), &bare).unwrap();
    let running = app.host().await;
    deployed(&app, &[]).await;
    fs::write(app.path().join("waxwing.toml"), MANIFEST).unwrap();
    let (fine, said, _) = deploy(&app, &[]).await;
    assert!(!fine && said.contains("its secret `payment-api-key` is not on this host"), "{said}");
    assert!(said.contains("version 1 goes on"), "{said}");
    // What is not granted is not read, though it is there.
    let last = app.publish(&[asked("a", None)]).await;
    app.handled("seal", last).await;
    let dead = app.result().await.dead;
    assert!(dead.len() == 1 && made(&app).await.is_empty(), "{}", app.host_log());
    assert!(dead[0].about.reason.contains("secret `payment-api-key` is not granted"), "{:?}", dead[0].about);
    assert!(running.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_find_secrets_where_their_manifest_or_a_variable_says() {
    let app = App::new(MANIFEST).await;
    let variable = ("WAXWING_SECRET_PAYMENT_API_KEY", VALUE);
    let elsewhere = app.path().join("elsewhere");
    fs::write(&elsewhere, "in a file").unwrap();
    let named = |place: &str| {
        fs::write(
            app.path().join("waxwing.toml"),
            format!("{MANIFEST}\n[host.secrets]\npayment-api-key = {place}\n"),
        )
        .unwrap();
    };
    let mut expected = Vec::new();
    let mut sealed = async |n: usize, variables: &[(&str, &str)], value: &str| {
        let mut host = app.launch_with(&[], variables);
        host.ready().await;
        let last = app.publish(&[asked(&format!("c{n}"), None)]).await;
        app.handled("seal", last).await;
        assert!(host.stop().await);
        expected.push(seal_of(value));
        assert_eq!(made(&app).await, expected);
    };
    sealed(0, &[variable], VALUE).await;
    named("{ file = \"elsewhere\" }");
    sealed(1, &[variable], "in a file").await;
    named("{ env = \"OTHER_KEY\" }");
    sealed(2, &[variable, ("OTHER_KEY", "in a variable")], "in a variable").await;
    let by_variable = "{ payment-api-key = { file = \"elsewhere\" } }";
    sealed(3, &[variable, ("WAXWING_HOST_SECRETS", by_variable)], "in a file").await;
    assert!(module("keeper").exists());
}
