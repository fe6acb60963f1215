//! What comes with Waxwing to run it: each file is in order, and agrees with the program.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;
use waxwing::{
    config::HostOptions,
    control::probes::{LIVE, READY},
};

use crate::{
    app::{App, module},
    server::binary,
    venv::Package,
};

const SCHEMAS: Package = Package { name: "kubernetes-validate", version: "1.37.0", file: "python" };

fn root() -> PathBuf {
    fs::canonicalize(Path::new(env!("CARGO_MANIFEST_DIR")).join("..")).unwrap()
}

/// What a program prints when it is content.
async fn content(command: &mut Command) -> String {
    let output = command.output().await.unwrap();
    let [said, error] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(output.status.success(), "{command:?}: {said}{error}");
    said + &error
}

/// `[section] key = value`, of a unit's last line of each key.
fn unit(text: &str) -> BTreeMap<&str, &str> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once('=')).collect()
}

fn duration(text: &str) -> Duration {
    waxwing::config::duration(text).unwrap_or_else(|| panic!("`{text}` is no duration"))
}

#[tokio::test]
async fn the_servers_configurations_are_valid() {
    for file in ["permissions.conf", "cluster.conf"] {
        let mut command = Command::new(binary().await);
        command.arg("-t").arg("-c").arg(root().join("packaging/nats").join(file));
        command.env("SERVER_NAME", "nats-0");
        for role in ["OPERATOR", "HOST", "PUBLISHER", "OBSERVER", "DEPLOYER"] {
            command.env(format!("{role}_PASSWORD"), "secret");
        }
        let said = content(&mut command).await;
        assert!(said.contains("is valid"), "{said}");
    }
}

#[tokio::test]
async fn the_unit_waits_for_the_host_and_gives_it_time_to_drain() {
    let text = fs::read_to_string(root().join("packaging/systemd/waxwing.service")).unwrap();
    let unit = unit(&text);
    assert_eq!((unit["Type"], unit["Restart"], unit["KillSignal"]), ("notify", "always", "SIGTERM"));
    assert!(duration(unit["WatchdogSec"]) >= Duration::from_secs(10));
    assert!(duration(unit["TimeoutStopSec"]) > HostOptions::default().grace);
    assert!(!unit.contains_key("MemoryDenyWriteExecute") && !unit.contains_key("LimitAS"));

    // The command line is one that the program understands, and the unit one that systemd does.
    let command = unit["ExecStart"].strip_prefix("/usr/local/bin/waxwing ").unwrap();
    assert_eq!(command, "run -C /var/lib/waxwing");
    let folder = TempDir::new().unwrap();
    let copy = folder.path().join("waxwing.service");
    fs::write(&copy, text.replace("/usr/local/bin/waxwing", env!("CARGO_BIN_EXE_waxwing"))).unwrap();
    let mut verify = Command::new("systemd-analyze");
    match verify.arg("verify").arg(&copy).output().await {
        Ok(output) => {
            let error = String::from_utf8(output.stderr).unwrap();
            assert!(output.status.success() && !error.contains("waxwing.service"), "{error}");
        }
        // There are systems without systemd.
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound),
    }
}

/// The manifests of Kubernetes by their kind, each valid by its schema.
async fn manifests() -> BTreeMap<String, Value> {
    let python = tokio::task::spawn_blocking(|| SCHEMAS.installed()).await.unwrap();
    let files = fs::read_dir(root().join("packaging/kubernetes")).unwrap();
    let mut command = Command::new(python);
    command.arg(root().join("tests/system/kubernetes.py")).args(files.map(|file| file.unwrap().path()));
    let documents: Vec<Value> = serde_json::from_str(&content(&mut command).await).unwrap();
    documents.into_iter().map(|document| (document["kind"].as_str().unwrap().to_owned(), document)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_manifests_of_kubernetes_agree_with_the_program_and_with_each_other() {
    let manifests = manifests().await;
    let kinds: Vec<&str> = manifests.keys().map(String::as_str).collect();
    assert_eq!(kinds, ["ConfigMap", "Deployment", "PodDisruptionBudget", "Secret"]);
    let name = &manifests["Deployment"]["metadata"]["name"];
    assert!(manifests.values().all(|manifest| manifest["metadata"]["name"] == *name));
    let spec = &manifests["Deployment"]["spec"];
    let labels = &spec["selector"]["matchLabels"];
    assert_eq!(spec["template"]["metadata"]["labels"], *labels);
    assert_eq!(manifests["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"], *labels);
    assert!(spec["replicas"].as_u64() > manifests["PodDisruptionBudget"]["spec"]["minAvailable"].as_u64());

    let pod = &spec["template"]["spec"];
    let host = &pod["containers"][0];
    for (probe, path) in [("startupProbe", LIVE), ("livenessProbe", LIVE), ("readinessProbe", READY)] {
        assert_eq!(
            host[probe]["httpGet"],
            json!({ "path": path, "port": host["ports"][0]["name"] }),
            "{probe}"
        );
    }
    let arguments: Vec<&str> = host["args"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let probes = arguments.iter().position(|argument| *argument == "--probes").unwrap();
    let port = host["ports"][0]["containerPort"].as_u64().unwrap();
    assert_eq!(arguments[probes + 1], format!("0.0.0.0:{port}"));
    let names = ["envFrom"].map(|from| &host[from][0]["secretRef"]["name"]);
    assert!(names.iter().all(|found| *found == name));
    assert_eq!(pod["volumes"][1]["configMap"]["name"], *name);
    assert!(manifests["Secret"]["stringData"]["NATS_USER"].is_string());

    // The manifest of the app is one that the program takes, with the modules that it names, and leaves time to drain.
    let manifest = manifests["ConfigMap"]["data"]["waxwing.toml"].as_str().unwrap();
    let app = App::new(manifest).await;
    app.run(&["check"]).await;
    let config = waxwing::config::load(&app.path().join("waxwing.toml"), []).ok().unwrap().config;
    let seconds = pod["terminationGracePeriodSeconds"].as_u64().unwrap();
    assert!(Duration::from_secs(seconds) > config.host.grace);
    assert_eq!(config.app.as_str(), "shop");
}

/// The instructions of a Dockerfile.
fn instructions(text: &str) -> Vec<(&str, Vec<&str>)> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let words = lines.map(|line| line.split_whitespace().collect::<Vec<_>>());
    words.map(|words| (words[0], words[1..].to_vec())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_image_is_made_of_what_is_there() {
    let text = fs::read_to_string(root().join("packaging/docker/Dockerfile")).unwrap();
    let instructions = instructions(&text);
    let all = |name: &'static str| {
        instructions.iter().filter(move |(found, _)| *found == name).map(|(_, words)| words)
    };
    // What it copies, the first stage has made.
    let made = ["/src/target/release/waxwing", "/modules"];
    let from_build: Vec<&str> =
        all("COPY").filter(|words| words[0] == "--from=build").map(|words| words[1]).collect();
    assert_eq!(from_build, made);
    let runs: Vec<String> = all("RUN").map(|words| words.join(" ")).collect();
    for (run, path) in [
        ("cargo build --release --locked --package waxwing --bin waxwing", "host/Cargo.toml"),
        ("target/release/waxwing check --manifest handlers/waxwing.toml", "handlers/waxwing.toml"),
    ] {
        assert!(runs.iter().any(|found| found == run), "{run}");
        assert!(root().join(path).exists(), "{path}");
    }
    let modules = "target/wasm32-wasip2/handler";
    assert!(runs.iter().any(|run| run.contains(&format!("cp {modules}/*.wasm /modules/"))), "{runs:?}");
    let catalog = tokio::task::spawn_blocking(|| module("catalog")).await.unwrap();
    assert!(catalog.parent().unwrap().ends_with("wasm32-wasip2/handler"), "{catalog:?}");
    // As it starts, the program understands, and the version of Rust is the one that it needs.
    let start = all("CMD").next().unwrap().join(" ");
    let arguments: Vec<String> = serde_json::from_str(&start).unwrap();
    let port = all("EXPOSE").next().unwrap()[0];
    assert!(arguments.contains(&format!("0.0.0.0:{port}")), "{arguments:?}");
    let toolchain = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let rust =
        toolchain.lines().find_map(|line| line.strip_prefix("rust-version = ")).unwrap().trim_matches('"');
    assert_eq!(all("FROM").next().unwrap()[0], format!("rust:{rust}-bookworm"));
}
