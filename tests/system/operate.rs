//! What operators do with an app on a real server: dead letters are looked at, tried, run again, edited and put
//! away; handlers are paused; lists tell where everything stands.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use waxwing_engine::port::{
    Log,
    log::{NewEntry, commit},
};
use waxwing_event::{Event, Position};

use crate::{
    app::{App, Input},
    failing::until,
};

/// A handler that fails at poison until it is fixed, and one that counts.
fn manifest(fixed: &str) -> String {
    format!(
        r#"
[app]
name = "operated"
events = ["work.>", "done.>", "in.>", "counter.>"]

[handlers.work]
module = "poison.wasm"
on = ["work.item"]
key = "data.key"
retry = {{ attempts = 1 }}
outage = {{ after = 0 }}

[handlers.work.grants]
emit = ["done.work"]
settings = {{ poison = "reject", out = "done.work", fixed = "{fixed}" }}

[handlers.count]
module = "counter.wasm"
on = ["in.item"]
key = "data.key"

[handlers.count.grants]
emit = ["counter.counted"]
"#
    )
}

fn fix(app: &App) {
    std::fs::write(app.path().join("waxwing.toml"), manifest("yes")).unwrap();
}

/// The events 1 to `count` of each key, one of each in turn; those in `poison` are so.
fn work(keys: &str, count: u64, poison: &[&str]) -> Vec<Input> {
    let rounds = (1..=count).flat_map(|n| keys.chars().map(move |key| (n, key)));
    let input = |(n, key): (u64, char)| {
        let id = format!("{key}{n}");
        let data = json!({ "key": key.to_string(), "n": n, "poison": poison.contains(&id.as_str()) });
        Input::new("work.item", id, &data)
    };
    rounds.map(input).collect()
}

/// Ids of the events that a handler has emitted something for, in order.
fn causes(emitted: &[Event], subject: &str, key: char) -> Vec<String> {
    let of_subject = emitted.iter().filter(|event| event.subject.as_str() == subject);
    of_subject.filter_map(|event| event.causation_id.clone()).filter(|id| id.starts_with(key)).collect()
}

fn ids(key: char, numbers: impl IntoIterator<Item = u64>) -> Vec<String> {
    numbers.into_iter().map(|n| format!("{key}{n}")).collect()
}

/// What a command answers as JSON, and whether it succeeded.
async fn ask(app: &App, arguments: &[&str]) -> (Value, bool) {
    let output = app.command(arguments).args(["--output", "json"]).output().await.unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    let answer = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{arguments:?}: {error}"));
    (answer, output.status.success())
}

async fn json_of(app: &App, arguments: &[&str]) -> Value {
    let (answer, is_fine) = ask(app, arguments).await;
    assert!(is_fine, "{arguments:?}: {answer}");
    answer
}

/// What a command that is refused says; its exit code is 1.
async fn refused(app: &App, arguments: &[&str]) -> String {
    let output = app.command(arguments).output().await.unwrap();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {output:?}");
    String::from_utf8(output.stderr).unwrap()
}

async fn count(app: &App, list: &[&str]) -> usize {
    json_of(app, list).await.as_array().unwrap().len()
}

async fn last(app: &App) -> Position {
    app.log().await.bounds().await.unwrap().last
}

/// Waits until so many events were emitted to the subject.
async fn until_emitted(app: &App, subject: &str, count: usize) -> Vec<Event> {
    let of_subject = async || {
        let emitted = app.result().await.emitted;
        emitted.into_iter().filter(|event| event.subject.as_str() == subject).collect::<Vec<_>>()
    };
    until(app, async || of_subject().await.len() >= count).await;
    let emitted = of_subject().await;
    assert_eq!(emitted.len(), count);
    emitted
}

/// Waits until so many letters are dead and so many events are parked.
async fn until_stuck(app: &App, dead: usize, parked: usize) {
    let living = async |family: &str| {
        let pattern = format!("wx.operated.{family}.*.*").parse().unwrap();
        let part = waxwing_engine::port::log::Part::Headers;
        let entries = app.log().await.last_of_each(&pattern, part, 1_000).await.unwrap();
        entries.iter().filter(|entry| !waxwing_engine::entry::tombstone::is(entry)).count()
    };
    until(app, async || living("dead").await == dead && living("parked").await == parked).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_found_tried_and_redriven_in_its_order() {
    let app = App::new(&manifest("no")).await;
    let host = app.host().await;
    let end = app.publish(&work("ab", 10, &["a3"])).await;
    until_stuck(&app, 1, 7).await;
    until_emitted(&app, "done.work", 12).await;
    app.handled("work", end).await;

    let groups = json_of(&app, &["dead", "ls"]).await;
    assert_eq!((&groups[0]["handler"], &groups[0]["kind"]), (&json!("work"), &json!("reject")));
    assert_eq!((&groups[0]["count"], groups[0]["first"] == groups[0]["last"]), (&json!(1), true));
    let letters = json_of(&app, &["dead", "ls", "work"]).await;
    assert_eq!((&letters[0]["eventId"], &letters[0]["holdsKey"]), (&json!("a3"), &json!(true)));
    assert_eq!(groups[0]["position"], letters[0]["position"]);
    for filter in [["--key", "b"], ["--kind", "trap"], ["--reason", "another"]] {
        assert_eq!(json_of(&app, &[&["dead", "ls", "work"], &filter[..]].concat()).await, json!([]));
    }
    let shown = app.run(&["dead", "show", "work", "a3"]).await;
    assert!(shown.contains("7 later events of the key wait until this one is redriven"), "{shown}");
    let queues = json_of(&app, &["parked", "ls"]).await;
    let queue = &queues[0];
    assert_eq!((&queue["key"], &queue["waiting"], &queue["attempts"]), (&json!("a"), &json!(7), &json!(0)));
    assert_eq!((&queue["heldBy"], &queue["due"]), (&letters[0]["position"], &Value::Null));
    let first = queue["position"].to_string();
    assert_eq!(json_of(&app, &["parked", "show", "work", &first]).await["about"]["eventId"], "a4");
    assert_eq!(
        json_of(&app, &["parked", "show", "work", "a4"]).await["about"]["position"],
        queue["position"]
    );
    let none = refused(&app, &["parked", "show", "work", "b4"]).await;
    assert!(none.contains("no event `b4` of handler `work` waits"), "{none}");
    assert!(app.run(&["parked", "ls", "work"]).await.contains("held by the dead letter"));
    let rows = json_of(&app, &["ls"]).await;
    assert_eq!((&rows[1]["handler"], &rows[1]["state"]), (&json!("work"), &json!("waiting")));
    assert_eq!((&rows[1]["lag"], &rows[1]["parked"], &rows[1]["dead"]), (&json!(0), &json!(7), &json!(1)));
    assert_eq!(rows[1]["watermark"], end.0);
    assert!(rows[1]["host"].is_string());
    assert!(host.stop().await);
    assert_eq!(json_of(&app, &["ls"]).await[1]["state"], "no-host");

    // A dry run tells what the module of the manifest would do, and leaves the log as it is.
    let before = last(&app).await;
    let (rehearsed, is_fine) = ask(&app, &["dead", "redrive", "work", "a3", "--dry-run"]).await;
    assert_eq!((&rehearsed[0]["result"], &rehearsed[0]["kind"]), (&json!("failed"), &json!("reject")));
    assert!(!is_fine, "it would fail again");
    fix(&app);
    let rehearsed = json_of(&app, &["dead", "redrive", "work", "--key", "a", "--dry-run"]).await;
    let emits = json!([{ "subject": "done.work", "data": { "key": "a", "n": 3, "poison": true } }]);
    assert_eq!((&rehearsed[0]["result"], &rehearsed[0]["emits"]), (&json!("done"), &emits));
    assert_eq!(last(&app).await, before, "a dry run writes nothing");

    // Redriven while no host runs: it is data.
    let redriven = json_of(&app, &["dead", "redrive", "work", "--key", "a"]).await;
    assert_eq!((&redriven[0]["eventId"], &redriven[0]["result"]), (&json!("a3"), &json!("redriven")));
    let queues = json_of(&app, &["parked", "ls"]).await;
    assert_eq!((&queues[0]["waiting"], &queues[0]["heldBy"]), (&json!(8), &Value::Null));
    let again = refused(&app, &["dead", "redrive", "work", "a3"]).await;
    assert!(again.contains("handler `work` has no dead letter `a3`: list them with"), "{again}");
    let host = app.host().await;
    let emitted = until_emitted(&app, "done.work", 20).await;
    for key in ['a', 'b'] {
        assert_eq!(causes(&emitted, "done.work", key), ids(key, 1..=10));
    }
    until_stuck(&app, 0, 0).await;
    assert!(host.stop().await);
    assert_eq!(app.run(&["dead", "ls"]).await, "no dead letters\n");
    assert_eq!(app.run(&["parked", "ls"]).await, "no event waits\n");
    assert_eq!(app.run(&["dead", "ls", "count"]).await, "no dead letters\n");
    for list in [
        ["dead", "ls", "cuont"].as_slice(),
        &["parked", "ls", "cuont"],
        &["outbox", "ls", "cuont"],
        &["outbox", "redrive", "cuont", "--all"],
        &["state", "ls", "cuont"],
        &["pause", "cuont"],
    ] {
        let said = refused(&app, list).await;
        assert!(said.contains("app `operated` has no handler `cuont`: list its handlers with"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_two_operators_redrive_at_once_is_redriven_once() {
    let app = App::new(&manifest("no")).await;
    let keys = "abcdefghijklmnop";
    let poison: Vec<String> = keys.chars().map(|key| format!("{key}1")).collect();
    let poison: Vec<&str> = poison.iter().map(String::as_str).collect();
    let host = app.host().await;
    app.publish(&work(keys, 2, &poison)).await;
    until_stuck(&app, 16, 16).await;
    assert!(host.stop().await);
    fix(&app);
    let redrive = ["dead", "redrive", "work", "--all"];
    let host = app.host().await;
    let answers = tokio::join!(app.command(&redrive).output(), app.command(&redrive).output());
    let said = [answers.0.unwrap(), answers.1.unwrap()].map(|output| {
        let text = String::from_utf8(output.stdout).unwrap();
        (text.lines().filter(|line| line.ends_with(": redriven")).count(), output.status.success())
    });
    println!("{said:?}");
    assert_eq!(said[0].0 + said[1].0, 16);
    assert!(said.iter().all(|(redriven, is_fine)| (*redriven > 0) == *is_fine), "{said:?}");
    let emitted = until_emitted(&app, "done.work", 32).await;
    until_stuck(&app, 0, 0).await;
    assert!(host.stop().await);
    for key in keys.chars() {
        assert_eq!(causes(&emitted, "done.work", key), ids(key, 1..=2));
    }
    assert_eq!(app.result().await.emitted.len(), 32);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archived_letter_lets_its_key_go_on_without_it() {
    let app = App::new(&manifest("no")).await;
    let host = app.host().await;
    app.publish(&work("ab", 4, &["a2", "b2"])).await;
    until_stuck(&app, 2, 4).await;
    let position = json_of(&app, &["dead", "show", "work", "a2"]).await["about"]["position"].to_string();
    let none = refused(&app, &["dead", "archive", "work", "a2", "c7"]).await;
    assert!(none.contains("has no dead letter `c7`"), "{none}");
    assert_eq!(count(&app, &["dead", "ls", "work"]).await, 2, "one that is not there: none is touched");
    let none = refused(&app, &["dead", "archive", "work", "--key", "c"]).await;
    assert!(none.contains("handler `work` has no such dead letter"), "{none}");
    let archived = app.run(&["dead", "archive", "work", &position]).await;
    assert_eq!(archived, format!("work {position} a2 key a: archived\n"));
    let emitted = until_emitted(&app, "done.work", 4).await;
    assert_eq!(causes(&emitted, "done.work", 'a'), ids('a', [1, 3, 4]));
    assert_eq!(causes(&emitted, "done.work", 'b'), ids('b', [1]));
    app.run(&["dead", "archive", "work", "--reason", "poison", "--kind", "reject"]).await;
    until_emitted(&app, "done.work", 6).await;
    assert!(host.stop().await);
    assert_eq!(count(&app, &["dead", "ls", "--all"]).await, 0);
    assert_eq!(json_of(&app, &["dead", "ls", "--archived"]).await[0]["count"], 2);
    for decide in [["dead", "redrive", "work", "a2"], ["dead", "show", "work", "a2"]] {
        let said = refused(&app, &decide).await;
        assert!(said.contains("`a2` of handler `work` was archived"), "{said}");
        assert!(said.contains("see it with `waxwing dead show --archived work a2`"), "{said}");
    }
    let text = app.run(&["dead", "show", "--archived", "work", "a2"]).await;
    assert!(!text.contains("holds"), "what was put away holds nothing up: {text}");
    let shown = json_of(&app, &["dead", "show", "--archived", "work", "a2"]).await;
    assert_eq!(shown["about"]["holdsKey"], Value::Null);
    assert_eq!((&shown["about"]["eventId"], &shown["data"]["n"]), (&json!("a2"), &json!(2)));
}

/// Events of the key `a` for the handler `count`: the second has no number.
fn counted() -> Vec<Input> {
    let data = [json!({ "key": "a", "n": 1 }), json!({ "key": "a" }), json!({ "key": "a", "n": 3 })];
    (1..).zip(data).map(|(n, data)| Input::new("in.item", format!("a{n}"), &data)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edited_letter_runs_with_its_new_data_in_its_old_place() {
    let app = App::new(&manifest("no")).await;
    let host = app.host().await;
    app.publish(&counted()).await;
    until_stuck(&app, 1, 1).await;
    let edit = ["dead", "edit", "count", "a2"];
    let data = |data| [&edit[..], &["--data", data]].concat();
    let said = refused(&app, &data(r#"{"key":"a","n":"#)).await;
    assert!(said.contains("the data was JSON and is none any more"), "{said}");
    let said = refused(&app, &data(r#"{"key":"a"}"#)).await;
    assert!(said.contains("is the same as before"), "{said}");
    let no_editor = app.command(&edit).env_remove("VISUAL").env_remove("EDITOR").output().await.unwrap();
    let said = String::from_utf8(no_editor.stderr).unwrap();
    assert!(said.contains("no editor is set: set $VISUAL or $EDITOR"), "{said}");

    // As by a pipe from `dead show`, through a tool that writes JSON in its own way.
    let mut shown = json_of(&app, &["dead", "show", "count", "a2"]).await["data"].clone();
    shown["n"] = json!(30);
    let mut piped = app.command(&data("-")).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let text = format!("{shown:#}\n");
    piped.stdin.take().unwrap().write_all(text.as_bytes()).await.unwrap();
    assert!(piped.wait().await.unwrap().success());
    assert_eq!(json_of(&app, &["dead", "show", "count", "a2"]).await["data"], shown);
    app.run(&data(r#"{"key":"a","n":20}"#)).await;

    // By an editor that ends the line, as they do.
    let editor = app.path().join("editor.sh");
    std::fs::write(&editor, "sed -i 's/20/2/' \"$2\" && echo >> \"$2\"\n").unwrap();
    let mut command = app.command(&edit);
    let editor = format!("sh {} --wait", editor.display());
    let edited = command.env_remove("VISUAL").env("EDITOR", editor).output().await.unwrap();
    assert!(edited.status.success(), "{edited:?}");
    let shown = json_of(&app, &["dead", "show", "count", "a2"]).await;
    assert_eq!((&shown["data"], &shown["sizeBytes"]), (&json!({ "key": "a", "n": 2 }), &json!(17)));

    let before = json_of(&app, &["state", "get", "count", "a"]).await["value"].clone();
    let rehearsed = json_of(&app, &["dead", "redrive", "count", "a2", "--dry-run"]).await;
    let state = json!([{ "key": "a", "before": before, "after": { "count": 2, "last": 2 } }]);
    assert_eq!(rehearsed[0]["state"], state);
    let rehearsed = app.run(&["dead", "redrive", "count", "a2", "--dry-run"]).await;
    let said = r#"would set a to {"count":2,"last":2} (was {"count":1,"last":1})"#;
    assert!(rehearsed.contains(said), "{rehearsed}");
    assert_eq!(app.result().await.emitted.len(), 1);

    app.run(&["dead", "redrive", "count", "a2"]).await;
    let emitted = until_emitted(&app, "counter.counted", 3).await;
    assert!(host.stop().await);
    let told = emitted.iter().map(|event| serde_json::from_slice::<Value>(&event.data).unwrap());
    let told: Vec<(Value, Value)> = told.map(|data| (data["n"].clone(), data["count"].clone())).collect();
    assert_eq!(told, [1, 2, 3].map(|n| (json!(n), json!(n))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_letter_too_large_to_be_kept_runs_as_it_stands_in_the_log_or_with_data_that_are_given() {
    let app = App::new(&manifest("no")).await;
    let host = app.host().await;
    let large = |key: &str| {
        let data = json!({ "key": key, "n": 1, "poison": true, "pad": "x".repeat(1_048_000) });
        Input::new("work.item", format!("{key}1"), &data)
    };
    app.publish(&[large("a"), large("b")]).await;
    until_stuck(&app, 2, 0).await;
    assert!(host.stop().await);
    fix(&app);
    let shown = json_of(&app, &["dead", "show", "work", "a1"]).await;
    assert_eq!((&shown["about"]["payloadOmitted"], &shown["sizeBytes"]), (&json!(true), &json!(0)));
    let said = refused(&app, &["dead", "edit", "work", "b1"]).await;
    assert!(said.contains("too large to be kept here: give the new data with --data"), "{said}");
    app.run(&["dead", "edit", "work", "b1", "--data", r#"{"key":"b","n":7}"#]).await;
    let rehearsed = json_of(&app, &["dead", "redrive", "work", "--all", "--dry-run"]).await;
    let n = |at: usize| rehearsed[at]["emits"][0]["data"]["n"].clone();
    assert_eq!((n(0), n(1)), (json!(1), json!(7)));
    app.run(&["dead", "redrive", "work", "--all"]).await;
    let host = app.host().await;
    let emitted = until_emitted(&app, "done.work", 2).await;
    assert!(host.stop().await);
    let mut told: Vec<Value> = emitted.iter().map(|e| serde_json::from_slice(&e.data).unwrap()).collect();
    told.sort_by_key(|data| data["key"].to_string());
    assert_eq!((&told[0]["n"], &told[1]["n"]), (&json!(1), &json!(7)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_handler_waits_on_every_host_until_it_is_resumed() {
    let app = App::new(&manifest("yes")).await;
    assert!(app.host().await.stop().await);
    let said = refused(&app, &["pause", "wrok"]).await;
    assert!(
        said.contains("app `operated` has no handler `wrok`: list its handlers with `waxwing ls`"),
        "{said}"
    );
    assert_eq!(app.run(&["pause", "work"]).await, "work: paused\n");
    assert!(app.run(&["pause", "work"]).await.starts_with("work: was paused already, since 2"));
    let host = app.host().await;
    app.publish(&work("a", 3, &[])).await;
    let end = app.publish(&counted()[..1]).await;
    app.handled("count", end).await;
    let rows = json_of(&app, &["ls"]).await;
    assert_eq!((&rows[1]["state"], &rows[1]["lag"]), (&json!("paused"), &json!(3)));
    assert!(rows[1]["host"].is_string() && rows[1]["since"].is_string());
    assert_eq!(rows[0]["state"], "running");
    let unnamed = json_of(&app, &["ls", "--app", "operated"]).await;
    assert_eq!((&unnamed[1]["handler"], &unnamed[1]["lag"]), (&json!("work"), &Value::Null));
    assert_eq!(app.result().await.emitted.len(), 1, "that of the other handler");

    let resumed = json_of(&app, &["resume", "--all"]).await;
    assert_eq!(resumed.as_array().unwrap().len(), 1);
    assert_eq!((&resumed[0]["handler"], &resumed[0]["changed"]), (&json!("work"), &json!(true)));
    assert_eq!(app.run(&["resume", "work"]).await, "work: was not paused\n");
    until_emitted(&app, "done.work", 3).await;
    let paused = json_of(&app, &["pause", "--all"]).await;
    assert_eq!((paused.as_array().unwrap().len(), &paused[1]["paused"]), (2, &json!(true)));
    assert!(host.stop().await, "a host whose handlers are paused stops as ever");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_is_named_and_hides_nothing() {
    let app = App::new(&manifest("no")).await;
    let host = app.host().await;
    app.publish(&work("a", 3, &["a1"])).await;
    until_stuck(&app, 1, 2).await;
    assert!(host.stop().await);
    for family in ["dead", "parked"] {
        let subject = format!("wx.operated.{family}.work.999").parse().unwrap();
        commit(&app.log().await, vec![NewEntry::new(subject, "rubbish")]).await.unwrap();
    }
    for (list, header) in
        [(["dead", "ls"], "wx-dead"), (["parked", "ls"], "wx-parked"), (["ls", "-v"], "wx-dead")]
    {
        let output = app.command(&list).output().await.unwrap();
        let (table, warned) =
            (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert!(output.status.success() && table.contains("work"), "{list:?}: {table}");
        let named = format!("the header `{header}` is missing: it is left out");
        assert!(warned.contains(".work.999` at position") && warned.contains(&named), "{list:?}: {warned}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn monitors_are_told_whether_handlers_do_their_work() {
    let app = App::new(&manifest("no")).await;
    let told = async |arguments: &[&str]| {
        let output = app.command(&[&["check-health"], arguments].concat()).output().await.unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap().trim_end().to_owned())
    };
    // Nobody has made the log.
    let (code, line) = told(&[]).await;
    assert!(code == Some(3) && line.starts_with("UNKNOWN - "), "{code:?} {line}");
    let host = app.host().await;
    assert_eq!(told(&[]).await, (Some(0), "OK - 2 handlers run".to_owned()));

    app.publish(&work("a", 3, &["a1"])).await;
    until_stuck(&app, 1, 2).await;
    assert_eq!(told(&[]).await, (Some(1), "WARNING - work: 1 dead letter".to_owned()));
    assert_eq!(told(&["--max-dead", "1"]).await.0, Some(0));
    let (code, line) = told(&["--max-dead", "1", "--max-parked", "1"]).await;
    assert_eq!((code, line.as_str()), (Some(1), "WARNING - work: 2 parked"));
    app.run(&["pause", "count"]).await;
    let (code, line) = told(&["--max-dead", "1"]).await;
    assert!(code == Some(1) && line.starts_with("WARNING - count: paused since "), "{code:?} {line}");

    assert!(host.stop().await);
    let (code, line) = told(&[]).await;
    assert!(code == Some(2) && line.starts_with("CRITICAL - work: no host; "), "{code:?} {line}");
    let (code, json) = told(&["--output", "json"]).await;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((code, &json["health"], &json["handlers"]), (Some(2), &json!("critical"), &json!(2)));
    assert_eq!(json["complaints"][0]["health"], "warning", "{json:#}");
}
