//! Edits of a crate in a workspace of its own, on a real server, while events flow.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::task::JoinHandle;
use waxwing_event::Position;

use super::bed::Dev;
use crate::app::{App, Input};

const MANIFEST: &str = r#"
[app]
name = "loop"
events = ["ticks.>", "tocks.>"]

[handlers.one]
module = "one"
on = ["ticks.made"]
key = "data.key"

[handlers.one.grants]
emit = ["tocks.>"]
"#;

const WORKSPACE: &str = "[workspace]\nmembers = [\"one\", \"said\"]\nresolver = \"3\"\n";

/// The other crate. Packages are named after their test: in one target folder cargo tells those of two workspaces by their
/// names alone.
fn said_toml(test: &str) -> String {
    format!("[package]\nname = \"said-{test}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n")
}

/// The most time from the end of a build until it is live, beside that in which the module is compiled: the program that
/// tests run compiles many times slower than one that is released, and the more so the busier the machine is.
const LIVE_WITHIN_MS: f64 = 300.0;

fn cargo_toml(test: &str) -> String {
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-sdk");
    let sdk = fs::canonicalize(sdk).unwrap();
    format!(
        "[package]\nname = \"one-{test}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[lib]\ncrate-type = [\"cdylib\"]\n\n\
         [dependencies]\nsaid = {{ path = \"../said\", package = \"said-{test}\" }}\nserde = {{ version = \"1\", features = [\"derive\"] }}\n\
         waxwing-sdk = {{ path = {sdk:?} }}\n"
    )
}

/// The handler, with something of its own and something of the other crate in each event.
fn handler(version: &str) -> String {
    format!(
        r#"use waxwing_sdk::prelude::*;

#[derive(Serialize, Deserialize)]
struct Tick {{
    n: u64,
}}

#[derive(Serialize, Deserialize)]
struct Tock {{
    n: u64,
    count: u64,
    by: String,
}}

#[waxwing_sdk::handler]
fn one(event: Event<Tick>, cx: &mut Context) -> Outcome {{
    let count = cx.state().get::<u64>("count")?.unwrap_or_default() + 1;
    cx.state().set("count", &count)?;
    let by = format!("{version}{{}}", said::SUFFIX);
    cx.emit("tocks.made", &Tock {{ n: event.data.n, count, by }})
}}
"#
    )
}

fn said(suffix: &str) -> String {
    format!("pub const SUFFIX: &str = \"{suffix}\";\n")
}

/// A folder with a workspace, and `waxwing dev` in it.
struct Bench {
    app: App,
}

impl Bench {
    async fn new(test: &str) -> Bench {
        let app = App::new(MANIFEST).await;
        let write = |path: &str, text: &str| {
            let path = app.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("Cargo.toml", WORKSPACE);
        write("one/Cargo.toml", &cargo_toml(test));
        write("one/src/lib.rs", &handler("v1"));
        write("said/Cargo.toml", &said_toml(test));
        write("said/src/lib.rs", &said(""));
        // The versions that are here already.
        let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock");
        fs::copy(lock, app.path().join("Cargo.lock")).unwrap();
        Bench { app }
    }

    fn dev(&self) -> Dev {
        let mut command = self.app.command(&["dev"]);
        // What the handlers depend on is built once for all tests.
        command.env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join("dev"));
        Dev::start(command, self.app.path().join("dev.log"))
    }

    fn write(&self, path: &str, text: &str) {
        fs::write(self.path(path), text).unwrap();
    }

    fn path(&self, path: &str) -> PathBuf {
        self.app.path().join(path)
    }

    /// Publishes events until it is told to stop; gives the last one's position and how many there were.
    fn publishes(&self) -> (Arc<AtomicBool>, JoinHandle<(Position, u64)>) {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, url) = (stop.clone(), self.app.server.process.url());
        let publishing = tokio::spawn(async move {
            let client = async_nats::connect(url).await.unwrap();
            let context = async_nats::jetstream::new(client);
            let mut n = 0;
            loop {
                n += 1;
                let input = Input::new("ticks.made", n.to_string(), &json!({ "key": "k", "n": n }));
                let ack = context.publish(input.subject, input.data).await.unwrap().await.unwrap();
                if stopped.load(Relaxed) {
                    return (Position(ack.sequence), n);
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        (stop, publishing)
    }
}

/// From the end of the build until it was live, without compiling.
fn swap_ms(swapped: &Value) -> f64 {
    let (swap, load) = (swapped["swapMs"].as_f64().unwrap(), swapped["loadMs"].as_f64().unwrap());
    assert!(swap >= load, "{swapped}");
    swap - load
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_is_live_within_its_build_and_a_moment_and_nothing_is_lost_or_doubled() {
    let bench = Bench::new("edits").await;
    let mut dev = bench.dev();
    let begun = dev.tells("swapped").await;
    assert_eq!((&begun["handler"], &begun["how"]), (&json!("one"), &json!("begun")));
    dev.tells("ready").await;
    let (stop, publishing) = bench.publishes();
    dev.tells("event").await;

    let mut versions = vec!["v1".to_owned()];
    let mut fastest = f64::INFINITY;
    for number in 2..=5 {
        let version = format!("v{number}");
        bench.write("one/src/lib.rs", &handler(&version));
        versions.push(version);
        let swapped = dev.tells("swapped").await;
        assert_eq!((&swapped["how"], &swapped["files"]), (&json!("swapped"), &json!(["one/src/lib.rs"])));
        assert!(swapped["buildMs"].as_f64().unwrap() > 0.0, "{swapped}");
        fastest = fastest.min(swap_ms(&swapped));
        dev.tells("event").await;
    }

    // A crate that the handler depends on.
    bench.write("said/src/lib.rs", &said("+"));
    versions.push("v5+".to_owned());
    let swapped = dev.tells("swapped").await;
    assert_eq!(swapped["files"], json!(["said/src/lib.rs"]));
    fastest = fastest.min(swap_ms(&swapped));
    dev.tells("event").await;
    // Others may have the machine for a while, but hardly each time.
    assert!(fastest <= LIVE_WITHIN_MS, "{fastest} ms: {:#?}", dev.told());

    stop.store(true, Relaxed);
    let (last, published) = publishing.await.unwrap();
    bench.app.handled("one", last).await;
    assert!(dev.stop().await);
    let result = bench.app.result().await;
    assert_eq!(result.dead, []);
    let tocks: Vec<Value> =
        result.emitted.iter().map(|event| serde_json::from_slice(&event.data).unwrap()).collect();
    let mut by: Vec<&str> = Vec::new();
    for (tock, n) in tocks.iter().zip(1..) {
        assert_eq!((tock["n"].as_u64(), tock["count"].as_u64()), (Some(n), Some(n)));
        by.push(tock["by"].as_str().unwrap());
    }
    assert_eq!(u64::try_from(tocks.len()).unwrap(), published);
    by.dedup();
    assert_eq!(by, versions);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_build_is_shown_and_what_ran_goes_on() {
    let bench = Bench::new("errors").await;
    bench.write("one/src/lib.rs", "fn broken( {");
    let mut dev = bench.dev();
    let failed = dev.tells("failed").await;
    assert_eq!(failed["step"], "build");
    assert!(failed["text"].as_str().unwrap().contains("one/src/lib.rs:1"), "{failed}");
    // It waits for the fix.
    bench.write("one/src/lib.rs", &handler("v1"));
    dev.tells("ready").await;

    bench.write("one/src/lib.rs", &handler("v2").replace("u64", "u46"));
    let failed = dev.tells_where("failed", |failed| failed["step"] == "build").await;
    let text = failed["text"].as_str().unwrap();
    assert!(text.contains("u46") && text.contains("src/lib.rs") && !text.contains('\u{1b}'), "{text}");
    dev.publish(r#"ticks.made {"key":"k","n":1}"#).await;
    let event = dev.tells("event").await;
    assert_eq!((&event["outcome"], &event["set"]), (&json!("done"), &json!(["count"])));
    assert_eq!((&event["emitted"], &event["key"]), (&json!(["tocks.made"]), &json!("k")));

    // Edits during a build are not lost, in whichever order they come.
    bench.write("one/src/lib.rs", &handler("v3"));
    dev.tells("building").await;
    bench.write("one/src/lib.rs", &handler("v4"));
    bench.write("said/src/lib.rs", &said("!"));
    let mut n = 1;
    loop {
        n += 1;
        dev.tells("swapped").await;
        dev.publish(&format!(r#"ticks.made {{"key":"k","n":{n}}}"#)).await;
        dev.tells("event").await;
        let result = bench.app.result().await;
        let last: Value = serde_json::from_slice(&result.emitted.last().unwrap().data).unwrap();
        assert_eq!(last["count"], n);
        if last["by"] == "v4!" {
            break;
        }
    }
    // What cargo itself refuses is shown, too.
    bench.write("one/Cargo.toml", "[package");
    let failed = dev.tells_where("failed", |failed| failed["step"] == "build").await;
    assert!(failed["text"].as_str().unwrap().contains("Cargo.toml"), "{failed}");
    bench.write("one/Cargo.toml", &cargo_toml("errors"));
    dev.tells("built").await;
    assert!(dev.stop().await);
}
