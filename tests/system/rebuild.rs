//! A handler's state is built anew beside the live one, and switched to.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{process::Child, task::JoinHandle, time::timeout};
use waxwing_engine::{
    entry::{Checkpoint, Layout, Partition, generation::Generation, state},
    port::{Log, log::Part},
};
use waxwing_event::{HandlerName, Position};

use crate::app::{App, Input, PATIENCE, entries};

fn manifest(mode: &str) -> String {
    format!(
        r#"
[app]
name = "anew"
events = ["in.>", "counter.>"]

[host]
lease = "1s"

[handlers.count]
module = "counter.wasm"
on = ["in.>"]
request = ["cmd.count.show"]
key = "data.key"
publish = "kv"

[handlers.count.grants]
emit = ["counter.counted"]
settings = {{ mode = "{mode}" }}
"#
    )
}

fn count() -> HandlerName {
    "count".parse().unwrap()
}

fn input(n: u64) -> Input {
    Input::new("in.x", format!("i{n}"), &json!({ "key": format!("k{}", n % 100), "n": n }))
}

fn inputs(range: std::ops::Range<u64>) -> Vec<Input> {
    range.map(input).collect()
}

/// What the state is after so many inputs.
fn folded(inputs: u64) -> BTreeMap<String, Value> {
    let mut state: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for n in 0..inputs {
        let (count, last) = state.entry(format!("k{}", n % 100)).or_default();
        (*count, *last) = (*count + 1, n);
    }
    let value = |(count, last)| json!({ "count": count, "last": last });
    state.into_iter().map(|(key, known)| (key, value(known))).collect()
}

async fn layout(app: &App) -> Layout {
    waxwing_engine::generations::all_live(&app.log().await, &app.layout).await.unwrap()
}

/// The state of the generation whose layout it is.
async fn state_of(app: &App, layout: &Layout) -> BTreeMap<String, Value> {
    let entries = app.log().await.last_of_each(&layout.states(&count()), Part::Whole, 10_000).await.unwrap();
    let keys = entries.into_iter().filter_map(|entry| {
        let key = layout.state_key(&count(), &entry.subject).unwrap();
        Some((key, serde_json::from_slice(&state::value(entry)?).unwrap()))
    });
    keys.collect()
}

async fn watermark(log: &dyn Log, layout: &Layout) -> Position {
    let entry = log.last(&layout.checkpoint(&count(), Partition(0))).await.unwrap();
    entry.map_or(Position::NONE, |entry| Checkpoint::read(&entry).unwrap().watermark)
}

/// Waits until the generation has handled everything up to there.
async fn reaches(app: &App, layout: &Layout, position: Position) {
    let log = app.log().await;
    let subject = layout.checkpoint(&count(), Partition(0));
    let mut reader = log.read(Position(1), &[(&subject).into()], Part::Headers).await.unwrap();
    let wait = async {
        while watermark(&log, layout).await < position {
            reader.next(100).await.unwrap();
        }
    };
    timeout(PATIENCE, wait).await.unwrap();
}

fn launch(app: &App, arguments: &[&str]) -> Child {
    let arguments = [&["rebuild", "count"][..], arguments, &["-o", "json"]].concat();
    app.command(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

async fn ended(rebuild: Child) -> (Result<Value, String>, String) {
    let output = timeout(PATIENCE, rebuild.wait_with_output()).await.unwrap().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    let report = serde_json::from_slice(&output.stdout);
    let report = if output.status.success() { Ok(report.unwrap()) } else { Err(error.clone()) };
    (report, error)
}

async fn rebuild(app: &App, arguments: &[&str]) -> Value {
    ended(launch(app, arguments)).await.0.unwrap()
}

/// Publishes 200 inputs a second, from this one on, until it is told to end; gives how many there are then, and the
/// last one's position.
fn trickle(app: &Arc<App>, from: u64, ends: &Arc<AtomicBool>) -> JoinHandle<(u64, Position)> {
    let (app, ends) = (app.clone(), ends.clone());
    tokio::spawn(async move {
        let (mut next, mut last) = (from, Position::NONE);
        let mut ticks = tokio::time::interval(Duration::from_millis(100));
        while !ends.load(Relaxed) || last == Position::NONE {
            ticks.tick().await;
            last = app.publish(&inputs(next..next + 20)).await;
            next += 20;
        }
        (next, last)
    })
}

/// Asks for a count again and again until it is told to end: an answer never tells less than one before, and none is
/// missing for long. Gives how many came.
fn ask(app: &Arc<App>, ends: &Arc<AtomicBool>) -> JoinHandle<u64> {
    let (app, ends) = (app.clone(), ends.clone());
    tokio::spawn(async move {
        let client = app.client().await;
        let (mut known, mut answers) = (0, 0);
        while !ends.load(Relaxed) {
            let question = json!({ "key": "k7", "n": 0 }).to_string();
            let asked = timeout(PATIENCE, async {
                loop {
                    let answer = client.request("cmd.count.show", question.clone().into()).await;
                    let Ok(answer) = answer else { continue };
                    if let Ok(counted) = serde_json::from_slice::<Value>(&answer.payload) {
                        break counted["count"].as_u64().unwrap();
                    }
                }
            });
            let count = asked.await.unwrap();
            assert!(count >= known, "{count} after {known}");
            (known, answers) = (count, answers + 1);
        }
        answers
    })
}

/// Every input has had its event once, and no other.
async fn emitted_once(app: &App, inputs: u64) {
    let mut causes: Vec<String> = app_events(app).await;
    causes.sort();
    let mut expected: Vec<String> = (0..inputs).map(|n| format!("i{n}")).collect();
    expected.sort();
    assert_eq!(causes, expected);
}

async fn app_events(app: &App) -> Vec<String> {
    let entries = entries(&app.log().await).await;
    let counted = entries.iter().filter(|entry| entry.subject.as_str() == "counter.counted");
    counted.map(|entry| entry.headers.get("ce-causationid").unwrap_or_default().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_is_built_anew_under_load_and_after_a_kill() {
    const BEFORE: u64 = 100_000;
    let app = Arc::new(App::new(&manifest("both")).await);
    let host = app.host().await;
    let last = app.publish(&inputs(0..BEFORE)).await;
    app.handled("count", last).await;
    let ends = Arc::new(AtomicBool::new(false));
    let (trickle, ask) = (trickle(&app, BEFORE, &ends), ask(&app, &ends));
    let second = app.layout.at(&count(), Generation(2));

    let mut killed = launch(&app, &[]);
    reaches(&app, &second, Position(last.0 * 6 / 10)).await;
    let hosts: Value = serde_json::from_str(&app.run(&["hosts", "-o", "json"]).await).unwrap();
    let runs: BTreeSet<String> =
        hosts.as_array().unwrap().iter().map(|host| host["handlers"].to_string()).collect();
    assert_eq!(runs, BTreeSet::from([r#"["count"]"#.to_owned(), r#"["count~2"]"#.to_owned()]));
    killed.kill().await.unwrap();
    let reached = watermark(&app.log().await, &second).await;
    assert!(reached < last, "it was killed too late");
    let generations = layout(&app).await;
    assert_eq!(generations.generation(&count()), Generation::FIRST);

    let (report, told) = ended(launch(&app, &[])).await;
    let report = report.unwrap();
    assert!(told.contains("going on with generation 2"), "{told}");
    assert_eq!((&report["switched"], &report["runs"]), (&json!(true), &json!(true)));
    ends.store(true, Relaxed);
    let ((inputs, last), answers) = (trickle.await.unwrap(), ask.await.unwrap());
    assert!(answers > 0);
    reaches(&app, &second, last).await;
    // What had been built before the kill was not built again.
    let before = entries(&app.log().await).await;
    let before = before.iter().filter(|entry| entry.subject.as_str() == "in.x" && entry.position <= reached);
    let withheld = report["withheldEvents"].as_u64().unwrap();
    assert!(withheld <= report["events"].as_u64().unwrap() - before.count() as u64, "{report}");

    assert_eq!(layout(&app).await.generation(&count()), Generation(2));
    assert_eq!(state_of(&app, &second).await, folded(inputs));
    emitted_once(&app, inputs).await;
    // The bucket follows the new one.
    let bucket = async_nats::jetstream::new(app.client().await).get_key_value("anew-count").await.unwrap();
    let shown = async || {
        bucket.get("k7").await.unwrap().map(|value| serde_json::from_slice::<Value>(&value).unwrap())
    };
    let expected = folded(inputs).remove("k7");
    let follows = async {
        while shown().await != expected {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, follows).await.unwrap();
    assert!(host.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switch_leads_back_and_the_other_generation_can_be_removed() {
    let app = App::new(&manifest("both")).await;
    let host = app.host().await;
    let last = app.publish(&inputs(0..500)).await;
    app.handled("count", last).await;
    let second = app.layout.at(&count(), Generation(2));

    let report = rebuild(&app, &["--no-switch"]).await;
    assert_eq!(
        (&report["switched"], &report["live"], &report["withheldEvents"]),
        (&json!(false), &json!(1), &json!(500))
    );
    assert_eq!(state_of(&app, &second).await, folded(500));
    let listed = app.run(&["state", "ls", "count"]).await;
    assert!(listed.contains("k99"), "{listed}");
    // What comes meanwhile, the old one handles.
    let last = app.publish(&inputs(500..600)).await;
    app.handled("count", last).await;
    assert_eq!(state_of(&app, &second).await, folded(500));

    let report = rebuild(&app, &[]).await;
    assert_eq!(
        (&report["switched"], &report["events"], &report["withheldEvents"]),
        (&json!(true), &json!(600), &json!(100))
    );
    let last = app.publish(&inputs(600..700)).await;
    reaches(&app, &second, last).await;
    assert_eq!(
        (state_of(&app, &second).await, state_of(&app, &app.layout).await),
        (folded(700), folded(600))
    );
    let value = app.run(&["state", "get", "count", "k7"]).await;
    assert_eq!(serde_json::from_str::<Value>(&value).unwrap(), folded(700)["k7"]);

    let report = rebuild(&app, &["--back"]).await;
    assert_eq!(
        (&report["live"], &report["withheldEvents"], &report["runs"]),
        (&json!(1), &json!(100), &json!(true))
    );
    let last = app.publish(&inputs(700..800)).await;
    app.handled("count", last).await;
    assert_eq!(
        (state_of(&app, &second).await, state_of(&app, &app.layout).await),
        (folded(700), folded(800))
    );
    emitted_once(&app, 800).await;

    app.run(&["rebuild", "count", "--discard"]).await;
    assert!(state_of(&app, &second).await.is_empty());
    let (report, _) = ended(launch(&app, &["--back"])).await;
    assert!(report.unwrap_err().contains("no generation to go back to"));
    // No number is given twice.
    assert_eq!(rebuild(&app, &[]).await["generation"], 3);
    assert!(host.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_host_is_needed_and_the_next_one_goes_on_with_what_is_live() {
    let app = App::new(&manifest("both")).await;
    let host = app.host().await;
    let last = app.publish(&inputs(0..300)).await;
    app.handled("count", last).await;
    assert!(host.stop().await);
    // Nobody has handled these: they are not the new one's to withhold.
    let last = app.publish(&inputs(300..400)).await;
    let report = rebuild(&app, &[]).await;
    assert_eq!(
        (&report["events"], &report["withheldEvents"], &report["switched"]),
        (&json!(300), &json!(300), &json!(true))
    );
    let host = app.host().await;
    let second = app.layout.at(&count(), Generation(2));
    reaches(&app, &second, last).await;
    assert_eq!(state_of(&app, &second).await, folded(400));
    emitted_once(&app, 400).await;
    host.kill().await;
    let host = app.host().await;
    let last = app.publish(&inputs(400..450)).await;
    reaches(&app, &second, last).await;
    assert_eq!(state_of(&app, &second).await, folded(450));
    emitted_once(&app, 450).await;
    assert!(host.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fails_only_now_is_not_switched_to() {
    let app = App::new(&manifest("both")).await;
    let host = app.host().await;
    // One that fails in both is no reason not to.
    app.publish(&[Input::new("in.x", "bad", &json!({ "key": "bad", "n": "none" }))]).await;
    let last = app.publish(&inputs(0..10)).await;
    app.handled("count", last).await;
    std::fs::write(app.path().join("waxwing.toml"), manifest("nonsense")).unwrap();
    let output = app.command(&["rebuild", "count"]).output().await.unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(!output.status.success());
    assert!(
        told.contains("no mode `nonsense`") && told.contains("10 events have failed that had not"),
        "{told}"
    );
    assert_eq!(layout(&app).await.generation(&count()), Generation::FIRST);
    // Those of what is not live are not the handler's.
    let dead = app.run(&["dead", "ls", "-o", "json"]).await;
    assert_eq!(serde_json::from_str::<Value>(&dead).unwrap().as_array().unwrap().len(), 1);

    std::fs::write(app.path().join("waxwing.toml"), manifest("both")).unwrap();
    let report = rebuild(&app, &["--anew"]).await;
    assert_eq!((&report["generation"], &report["switched"]), (&json!(3), &json!(true)));
    assert!(host.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_began_with_another_module_leaves_the_new_state_alone() {
    let app = App::new(&manifest("both")).await;
    let host = app.host().await;
    let last = app.publish(&inputs(0..10)).await;
    app.handled("count", last).await;
    // Other bytes are another module.
    let wasm = app.path().join("counter.wasm");
    let mut bytes = std::fs::read(&wasm).unwrap();
    // A custom section with the name `x`: id, size, length of the name, name.
    bytes.extend([0, 2, 1, b'x']);
    std::fs::write(&wasm, bytes).unwrap();
    let report = rebuild(&app, &[]).await;
    assert_eq!((&report["switched"], &report["runs"]), (&json!(true), &json!(false)));
    let told = async {
        while !app.host_log().contains("this host began with") {
            tokio::task::yield_now().await;
        }
    };
    assert!(timeout(Duration::from_secs(10), told).await.is_ok(), "{}", app.host_log());
    assert!(host.stop().await);
    let host = app.host().await;
    let last = app.publish(&inputs(10..20)).await;
    reaches(&app, &app.layout.at(&count(), Generation(2)), last).await;
    emitted_once(&app, 20).await;
    assert!(host.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_rebuilt_is_said() {
    let app = App::new(&manifest("both")).await;
    let host = app.host().await;
    let refused = async |arguments: &[&str]| {
        let output = app.command(&[&["rebuild"], arguments].concat()).output().await.unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let last = app.publish(&inputs(0..10)).await;
    app.handled("count", last).await;
    let told = refused(&["nobody"]).await;
    assert!(told.contains("the manifest has no handler `nobody`"), "{told}");
    let told = refused(&["count", "--back"]).await;
    assert!(told.contains("no generation to go back to"), "{told}");
    let told = refused(&["count", "--discard"]).await;
    assert!(told.contains("nothing to discard"), "{told}");
    let told = refused(&["count", "--discard", "--back"]).await;
    assert!(told.contains("cannot be used with"), "{told}");
    assert!(host.stop().await);
}
