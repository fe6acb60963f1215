//! Deploying: running hosts go on with another version of a handler, and nothing is lost, doubled or out of order.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::{process::Command, time::timeout};
use waxwing::deploy::written::{self, Fate, Wanted};
use waxwing_engine::{
    entry::{Mark, Partition, deploy::Swap, version::VersionNumber},
    port::{
        Log,
        log::{Entry, Part},
    },
};
use waxwing_event::{HandlerName, Position};
use waxwing_log::{
    JetStreamLog,
    jetstream::{ModuleStore, Storage, modules::digest_of},
};

use crate::{
    app::{self, App, Input, PATIENCE, module},
    variant,
};

pub const MANIFEST: &str = r#"
[app]
name = "moving"
events = ["in.>", "counter.>"]

[host]
lease = "1s"

[handlers.count]
module = "counter.wasm"
on = ["in.>"]
request = ["cmd.count.show"]
key = "data.key"

[handlers.count.grants]
emit = ["counter.counted"]
"#;

pub fn count() -> HandlerName {
    "count".parse().unwrap()
}

/// The counter with another digest.
pub fn variant(app: &App, number: u32) -> PathBuf {
    let bytes = variant::of(fs::read(module("counter")).unwrap(), &format!("variant {number}"));
    let path = app.path().join(format!("variant-{number}.wasm"));
    fs::write(&path, bytes).unwrap();
    path
}

pub fn inputs(from: u64, many: u64) -> Vec<Input> {
    let input =
        |n: u64| Input::new("in.item", format!("in-{n}"), &json!({ "key": format!("k{}", n % 50), "n": n }));
    (from..from + many).map(input).collect()
}

/// What `waxwing deploy` answers.
pub async fn deploy(app: &App, arguments: &[&str]) -> (bool, String, String) {
    let output = app.command(&[&["deploy"], arguments].concat()).output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

pub async fn deployed(app: &App, arguments: &[&str]) -> String {
    let (fine, said, error) = deploy(app, arguments).await;
    assert!(fine, "{said}\n{error}\n{}", app.host_log());
    said
}

/// The same from another folder, with less of the processor, as from a machine of its own: hosts find nothing compiled.
async fn deployed_from_elsewhere(app: &App, folder: &Path, argument: &str) -> String {
    let command = app.command(&["deploy", "--wait", "2m", "-C", folder.to_str().unwrap(), argument]);
    let mut niced = Command::new("nice");
    niced.args(["-n", "5"]).arg(command.as_std().get_program()).args(command.as_std().get_args());
    niced.current_dir(folder).kill_on_drop(true);
    for (name, value) in command.as_std().get_envs() {
        match value {
            Some(value) => niced.env(name, value),
            None => niced.env_remove(name),
        };
    }
    let output = niced.output().await.unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}\n{}", app.host_log());
    String::from_utf8(output.stdout).unwrap()
}

/// Swaps of the handler's partition, oldest first.
pub fn swaps(entries: &[Entry]) -> Vec<Swap> {
    let own = |entry: &&Entry| entry.subject.as_str() == "wx.moving.swap.count.0";
    entries.iter().filter(own).map(|entry| Swap::read(entry).unwrap()).collect()
}

/// Each emitted event's input, with the version on which it ran.
pub fn ran(entries: &[Entry]) -> BTreeMap<Position, Option<VersionNumber>> {
    let emitted = entries.iter().filter(|entry| entry.subject.as_str() == "counter.counted");
    let marks = emitted.map(|entry| Mark::of(&entry.headers).unwrap());
    marks.map(|mark| (mark.input, mark.version)).collect()
}

/// The version on which an input ran, as the swaps tell.
fn by_swaps(swaps: &[Swap], input: Position) -> Option<VersionNumber> {
    let ran_on = |swap: &&Swap| input > swap.after && !swap.begun.contains(&input);
    swaps.iter().rev().find(ran_on).and_then(|swap| swap.version)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_deploys_under_load_on_three_hosts_lose_and_double_nothing() {
    let app = App::new(MANIFEST).await;
    let mut hosts = Vec::new();
    for _ in 0..3 {
        hosts.push(app.host().await);
    }
    let elsewhere = tempfile::TempDir::new().unwrap();
    for file in ["waxwing.toml", "counter.wasm"] {
        fs::copy(app.path().join(file), elsewhere.path().join(file)).unwrap();
    }
    let begun = tokio::sync::Notify::new();
    let over = tokio_util::sync::CancellationToken::new();
    let load = async {
        let mut all = Vec::new();
        let mut last = Position::NONE;
        let mut every = tokio::time::interval(Duration::from_millis(50));
        while !over.is_cancelled() {
            every.tick().await;
            if all.len() >= 30_000 {
                // Deployments take long here: the load goes on with less.
                every.reset_after(Duration::from_millis(500));
                every.tick().await;
            }
            let chunk = inputs(all.len() as u64, 100);
            last = app.publish(&chunk).await;
            all.extend(chunk);
            if all.len() == 4_000 {
                begun.notify_one();
            }
        }
        (all, last)
    };
    let deploys = async {
        begun.notified().await;
        for number in 0..20 {
            let path = variant(&app, number);
            let argument = format!("count={}", path.display());
            let said = deployed_from_elsewhere(&app, elsewhere.path(), &argument).await;
            assert!(said.contains(&format!("version {} runs on", number + 1)), "{said}");
            if number == 9 {
                hosts.remove(0).kill().await;
            }
        }
        over.cancel();
    };
    let ((all, last), ()) = tokio::join!(load, deploys);
    app.handled("count", last).await;
    let undisturbed = app::undisturbed(MANIFEST, &["count"], &all).await;
    app.result().await.assert_same(&undisturbed);
    let log = app.log().await;
    let entries = app::entries(&log).await;
    let (swaps, ran) = (swaps(&entries), ran(&entries));
    assert_eq!(ran.len(), all.len());
    let versions: std::collections::BTreeSet<_> = ran.values().collect();
    assert!(versions.len() > 10, "the load runs on many versions: {versions:?}");
    for (input, version) in &ran {
        assert_eq!(*version, by_swaps(&swaps, *input), "{input}: {swaps:?}");
    }
    in_order(&entries);
    // Soon after the ninth a host is killed: then a lease's time passes until what it had is taken over.
    let (before, after) = latencies(&entries, &swaps[..8]);
    println!(
        "p99 from an input to its output: {before:#} before the first deployment, {after:#} within 250 ms after a swap"
    );
}

/// The 99th percentile of the times from inputs to their outputs: before the first deployment, and just after swaps.
fn latencies(entries: &[Entry], swaps: &[Swap]) -> (SignedDuration, SignedDuration) {
    let times: BTreeMap<Position, Timestamp> =
        entries.iter().map(|entry| (entry.position, entry.time)).collect();
    let (mut before, mut after) = (Vec::new(), Vec::new());
    for entry in entries.iter().filter(|entry| entry.subject.as_str() == "counter.counted") {
        let begun = times[&Mark::of(&entry.headers).unwrap().input];
        let took = entry.time.duration_since(begun);
        let is_just_after = |swap: &Swap| {
            begun >= swap.at && begun.duration_since(swap.at) < SignedDuration::from_millis(250)
        };
        if begun < swaps[0].at {
            before.push(took);
        } else if swaps.iter().any(is_just_after) {
            after.push(took);
        }
    }
    let p99 = |mut times: Vec<SignedDuration>| {
        times.sort();
        times[times.len() * 99 / 100]
    };
    (p99(before), p99(after))
}

/// The numbers of each key's events grow.
pub fn in_order(entries: &[Entry]) {
    let mut last: BTreeMap<String, u64> = BTreeMap::new();
    for entry in entries.iter().filter(|entry| entry.subject.as_str() == "counter.counted") {
        let data: Value = serde_json::from_slice(&entry.payload).unwrap();
        let (key, n) = (data["key"].as_str().unwrap().to_owned(), data["n"].as_u64().unwrap());
        assert!(last.insert(key, n).is_none_or(|before| before < n), "{data}");
    }
}

/// Waits until the handler's partition runs this version.
pub async fn runs(app: &App, log: &JetStreamLog, version: Option<u32>) {
    let subject = app.layout.swaps(&count(), Partition(0));
    let wait = async {
        loop {
            let swap = log.last(&subject).await.unwrap().map(|entry| Swap::read(&entry).unwrap());
            if swap.is_some_and(|swap| swap.version == version.map(VersionNumber)) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    assert!(timeout(PATIENCE, wait).await.is_ok(), "{version:?} does not run: {}", app.host_log());
}

pub fn store(app: &App) -> ModuleStore {
    ModuleStore::new(app.server.address(), app.layout.modules())
}

/// Deploys what the command line would refuse, and waits for what comes of it.
async fn force(app: &App, log: &JetStreamLog, module: waxwing_event::Digest, manifest: Value) -> Fate {
    let replaces = waxwing::deploy::deployed::decision(log, &app.layout, &count()).await.unwrap();
    let wanted = Wanted {
        handler: count(),
        module,
        bytes: 1,
        imports: Default::default(),
        manifest,
        from: "test".into(),
        signatures: Vec::new(),
        replaces,
    };
    let mut decisions = written::deploy(log, &app.layout, &[wanted], "test").await.unwrap();
    let decision = decisions.remove(0);
    let fate = written::fate(log, &app.layout, &decision, PATIENCE).await.unwrap();
    if let Fate::Declined(declined) = &fate {
        let back = written::take_back(log, &app.layout, &decision, declined, "test").await.unwrap();
        assert_eq!(back.deployment.version, Some(VersionNumber(1)));
    }
    fate
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_host_cannot_run_never_replaces_what_runs() {
    let app = App::new(MANIFEST).await;
    let host = app.host().await;
    deployed(&app, &[]).await;
    let (log, store) = (app.log().await, store(&app));
    let table = json!({ "on": ["in.>"], "key": "data.key", "grants": { "emit": ["counter.counted"] } });
    let put = async |bytes: &[u8]| {
        store.put(digest_of(bytes), bytes, (Storage::File, 1)).await.unwrap();
        digest_of(bytes)
    };
    let good = digest_of(&fs::read(module("counter")).unwrap());
    let broken = put(b"\0asm\x0d\0\x01\0junk").await;
    let newer = put(&fs::read(module("newer")).unwrap()).await;
    let never = digest_of(b"never stored");
    let forged = digest_of(b"what it should be");
    let objects = async_nats::jetstream::new(app.client().await);
    let objects = objects.get_object_store(store.bucket()).await.unwrap();
    objects.put(forged.to_string().as_str(), &mut b"something else".as_slice()).await.unwrap();
    let huge = digest_of(b"huge");
    let bytes = vec![0_u8; 130 << 20];
    objects.put(huge.to_string().as_str(), &mut bytes.as_slice()).await.unwrap();
    let cases = [
        (broken, table.clone(), "not a whole WebAssembly component"),
        (newer, table.clone(), "upgrade the host"),
        (never, table.clone(), "has no module"),
        (forged, table.clone(), "other bytes under"),
        (huge, table.clone(), "at most"),
        (good, json!({ "on": ["elsewhere.>"] }), "elsewhere.>"),
        (good, json!({ "on": ["in.>"], "later": 1 }), "later"),
        (good, json!("no table"), "handlers"),
    ];
    let mut last = Position::NONE;
    for (n, (module, manifest, expected)) in cases.into_iter().enumerate() {
        let fate = force(&app, &log, module, manifest).await;
        let Fate::Declined(declined) = fate else { panic!("{expected}: {fate:?}") };
        assert!(declined.why.contains(expected), "{expected}: {}", declined.why);
        assert_eq!(declined.instead, Some(VersionNumber(1)));
        last = app.publish(&inputs(n as u64, 1)).await;
        app.handled("count", last).await;
    }
    let ran = ran(&app::entries(&log).await);
    assert!(ran.len() == 8 && ran.values().all(|version| *version == Some(VersionNumber(1))), "{ran:?}");
    // A host that starts anew runs the same.
    assert!(host.stop().await);
    let _host = app.host().await;
    let further = app.publish(&inputs(100, 1)).await;
    assert!(further > last);
    app.handled("count", further).await;
    let said = app.run(&["versions", "count", "-o", "json"]).await;
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&said[0]["version"], &said[0]["deployed"]), (&json!(1), &json!(true)));
    assert!(said[5]["declined"].as_array().is_none(), "only the last refusal of a host is kept");
    assert!(said[8]["declined"][0]["why"].as_str().unwrap().contains("handlers"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_refuses_what_no_host_could_run() {
    let app = App::new(MANIFEST).await;
    let file = |name: &str, bytes: &[u8]| {
        fs::write(app.path().join(name), bytes).unwrap();
        format!("count={}", app.path().join(name).display())
    };
    let huge = file("huge.wasm", b"");
    fs::File::options().write(true).open(app.path().join("huge.wasm")).unwrap().set_len(200 << 20).unwrap();
    let cases = [
        (file("broken.wasm", b"junk"), "it is not WebAssembly"),
        (format!("count={}", module("newer").display()), "upgrade the host"),
        (format!("count={}", module("no-handler").display()), "does not export"),
        (huge, "at most 134217728 are taken"),
        ("count=nowhere.wasm".to_owned(), "there is no module at nowhere.wasm"),
        ("count=sha256:12".to_owned(), "is no digest"),
        ("nobody".to_owned(), "has no handler `nobody`"),
    ];
    for (argument, expected) in cases {
        let (fine, _, error) = deploy(&app, &[&argument]).await;
        assert!(!fine && error.contains(expected), "{argument}: {error}");
    }
    // Nothing was written, not even a log.
    let (fine, _, error) = deploy(&app, &["count", "count"]).await;
    assert!(!fine && error.contains("named twice"), "{error}");
    let context = async_nats::jetstream::new(app.client().await);
    assert!(context.get_stream(app.layout.stream()).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_is_shown_rolled_back_and_taken_out() {
    let app = App::new(MANIFEST).await;
    let said = deployed(&app, &["--dry-run"]).await;
    assert!(said.contains("first version") && said.contains("may emit  counter.counted"), "{said}");
    let said = deployed(&app, &[]).await;
    assert!(said.contains("no host lives"), "{said}");
    assert!(deployed(&app, &[]).await.contains("nothing to deploy"));
    // A host needs no manifest.
    let mut host = app.launch_with(&["--app", "moving"], &[]);
    host.ready().await;
    let log = app.log().await;
    runs(&app, &log, Some(1)).await;
    // More than the module is another: the partition begins anew, and answers.
    let manifest = fs::read_to_string(app.path().join("waxwing.toml")).unwrap();
    let wider = manifest
        .replace("\"cmd.count.show\"", "\"cmd.count.show\", \"cmd.count.more.show\"")
        .replace("key = ", "concurrency = 7\nkey = ");
    fs::write(app.path().join("waxwing.toml"), wider).unwrap();
    let said = deployed(&app, &["--dry-run", "-o", "json"]).await;
    let changes: Value = serde_json::from_str(&said).unwrap();
    let keys: Vec<_> = changes[0]["changes"].as_array().unwrap().iter().map(|c| c["key"].clone()).collect();
    assert_eq!(keys, ["concurrency", "request"]);
    let said = deployed(&app, &[]).await;
    assert!(
        said.contains("answers requests on  cmd.count.more.show") && said.contains("version 2 runs"),
        "{said}"
    );
    let last = app.publish(&inputs(0, 50)).await;
    app.handled("count", last).await;
    let asked = app.run(&["request", "cmd.count.more.show", r#"{"key":"k1","n":0}"#]).await;
    assert!(asked.contains(r#""count":1"#), "{asked}");
    let said = app.run(&["rollback", "count"]).await;
    assert!(said.contains("version 1 runs"), "{said}");
    let last = app.publish(&inputs(50, 50)).await;
    app.handled("count", last).await;
    let ran = ran(&app::entries(&log).await);
    let of = |version| ran.values().filter(|ran| **ran == Some(VersionNumber(version))).count();
    assert_eq!((of(1), of(2)), (50, 50));
    let said = app.run(&["versions"]).await;
    assert!(said.contains("runs after") && said.contains("count"), "{said}");
    app.run(&["deploy", "--remove", "count"]).await;
    let wait = async {
        while !app.host_log().contains("runs here no more") {
            tokio::task::yield_now().await;
        }
    };
    assert!(timeout(PATIENCE, wait).await.is_ok(), "{}", app.host_log());
    // And again: the same number runs once more.
    let said = app.run(&["rollback", "count", "--to", "2"]).await;
    assert!(said.contains("version 2 runs"), "{said}");
    assert!(host.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_deploys_at_the_same_moment_is_refused() {
    let app = App::new(MANIFEST).await;
    deployed(&app, &[]).await;
    let log = app.log().await;
    let replaces = waxwing::deploy::deployed::decision(&log, &app.layout, &count()).await.unwrap();
    let module = digest_of(b"any");
    let wanted = Wanted {
        handler: count(),
        module,
        bytes: 1,
        imports: Default::default(),
        manifest: json!({}),
        from: String::new(),
        signatures: Vec::new(),
        replaces,
    };
    written::deploy(&log, &app.layout, std::slice::from_ref(&wanted), "a").await.unwrap();
    let error = written::deploy(&log, &app.layout, &[wanted], "b").await.unwrap_err().to_string();
    assert!(error.contains("somebody else has deployed"), "{error}");
    let versions = log.last_of_each(&app.layout.versions(None), Part::Headers, 100).await.unwrap();
    assert_eq!(versions.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_needs_is_pruned_and_what_a_dead_letter_names_stays() {
    let app = App::new(MANIFEST).await;
    let _host = app.host().await;
    for number in 1..=5 {
        let path = variant(&app, number);
        deployed(&app, &[&format!("count={}", path.display())]).await;
        if number == 2 {
            // No item: rejected for good.
            let letter = app.publish(&[Input::new("in.item", "bad", &json!({ "no": "item" }))]).await;
            app.handled("count", letter).await;
        }
    }
    assert_eq!(store(&app).list().await.unwrap().len(), 5);
    let prune = async |arguments: &[&str]| {
        let said = app.run(&[&["prune", "--keep", "1", "-o", "json"], arguments].concat()).await;
        let said: Value = serde_json::from_str(&said).unwrap();
        let gone: Vec<u64> = said["versions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|gone| gone["version"].as_u64().unwrap())
            .collect();
        (gone, said["modules"].as_array().unwrap().len())
    };
    // 5 runs, 4 is what a rollback goes to, 2 has a dead letter.
    assert_eq!(prune(&["--dry-run"]).await, (vec![1, 3], 2));
    assert_eq!(prune(&[]).await, (vec![1, 3], 2));
    assert_eq!(prune(&[]).await, (vec![], 0));
    assert_eq!(store(&app).list().await.unwrap().len(), 3);
    let error = app.command(&["rollback", "count", "--to", "1"]).output().await.unwrap();
    assert!(!error.status.success());
    assert!(String::from_utf8(error.stderr).unwrap().contains("has no version 1"));
    assert!(app.run(&["rollback", "count", "--to", "2"]).await.contains("version 2 runs"));
}
