//! What operators see of sagas: instances as the SDK keeps them in a handler's state.

use jiff::Timestamp;
use serde_json::{Value, json};
use waxwing_engine::{
    entry::{state, timer, tombstone},
    port::log::{Log, NewEntry, commit},
};
use waxwing_event::HandlerName;
use waxwing_log::{JetStreamLog, jetstream::Options};

use crate::app::App;

const MANIFEST: &str = r#"
[app]
name = "bought"
events = ["in.>"]

[handlers.purchase]
module = "counter.wasm"
on = ["in.>"]
key = "data.key"

[handlers.other]
module = "counter.wasm"
on = ["in.>"]
"#;

/// A log in which sagas stand as their handler leaves them.
async fn with_sagas() -> App {
    let app = App::new(MANIFEST).await;
    let options = Options::new(app.layout.app().clone(), vec!["in.>".parse().unwrap()]);
    let log = JetStreamLog::open(&app.server.address(), &options).await.unwrap();
    let handler: HandlerName = "purchase".parse().unwrap();
    // Written by hand: the steps are in the plan's order.
    let running = r#"{"status":"running","step":"payment","started":"2026-05-01T10:00:00Z",
        "steps":{"stock":"done","payment":"begun","address":"waiting"},"reason":null,"data":{"sum":7}}"#;
    let line = |time: &str, id: &str, what: &str| json!({ "time": time, "event": { "id": id, "type": "t" }, "what": what });
    let waits =
        json!({ "id": "e9", "source": "/x", "type": "paid", "subject": "in.paid", "time": null, "data": 1 });
    let trail = json!([
        line("2026-05-01T10:00:00Z", "e1", "started"),
        line("2026-05-01T10:00:01Z", "e2", "stock done")
    ]);
    let cancelled = json!({ "status": "cancelled", "step": null, "reason": "no money\n" });
    let states = [
        ("saga/o 1", running.to_owned()),
        ("trail/o 1", trail.to_string()),
        ("saga/o-2", cancelled.to_string()),
        ("waiting/o-3", json!([waits]).to_string()),
        ("saga/bad", "\"no saga\"".to_owned()),
        ("count", "1".to_owned()),
    ];
    for (key, value) in states {
        let entry = state::write(app.layout.state(&handler, key), Some(value.into()), None);
        commit(&log, vec![entry]).await.unwrap();
    }
    commit(&log, vec![state::write(app.layout.state(&handler, "saga/gone"), None, None)]).await.unwrap();
    for (id, key) in [("timeout/payment/o 1", "o 1"), ("timeout/payment/o-2", "o-2")] {
        let about = timer::About {
            due: Timestamp::now() + jiff::SignedDuration::from_hours(2),
            key: Some(key.into()),
        };
        let mut entry = NewEntry::new(app.layout.timer(&handler, id), "");
        entry.headers.push(timer::HEADER, serde_json::to_string(&about).unwrap());
        commit(&log, vec![entry]).await.unwrap();
    }
    let gone = app.layout.timer(&handler, "timeout/payment/o-2");
    commit(&log, vec![tombstone::write(gone)]).await.unwrap();
    assert!(log.bounds().await.unwrap().last.0 > 9);
    app
}

async fn asked(app: &App, arguments: &[&str]) -> Value {
    serde_json::from_str(&app.run(&[arguments, &["--output", "json"]].concat()).await).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_see_how_far_each_is_and_what_it_waits_for() {
    let app = with_sagas().await;
    let listed = async |arguments: &[&str]| -> Vec<String> {
        let listed = asked(&app, &[&["saga", "ls"], arguments].concat()).await;
        let row = |saga: &Value| {
            let word = |of: &str| saga[of].as_str().unwrap_or("-").to_owned();
            [word("handler"), word("key"), word("status"), word("step")].join(" ")
        };
        listed.as_array().unwrap().iter().map(row).collect()
    };
    let all = ["purchase o 1 running payment", "purchase o-2 cancelled -", "purchase o-3 waiting -"];
    assert_eq!(listed(&[]).await, all);
    assert_eq!(listed(&["purchase"]).await, all);
    assert_eq!(listed(&["purchase", "--limit", "1"]).await, all[..1]);
    assert_eq!(listed(&["--status", "cancelled"]).await, all[1..2]);
    assert_eq!(listed(&["--status", "waiting"]).await, all[2..]);
    assert_eq!(listed(&["other"]).await, [""; 0]);
    let text = app.run(&["saga", "ls"]).await;
    assert!(
        text.contains("2026-05-01T10:00:00Z") && !text.contains("gone") && !text.contains("bad"),
        "{text}"
    );

    let shown = asked(&app, &["saga", "show", "purchase", "o 1"]).await;
    assert_eq!((&shown["steps"]["payment"], &shown["data"]["sum"]), (&json!("begun"), &json!(7)));
    assert_eq!(
        (&shown["trail"][1]["what"], &shown["trail"][1]["event"]["id"]),
        (&json!("stock done"), &json!("e2"))
    );
    assert_eq!(shown["timers"].as_array().unwrap().len(), 1);
    let text = app.run(&["saga", "show", "purchase", "o 1"]).await;
    let parts = [
        "o 1 is running, purchase",
        "stock: done",
        "stock done, by t e2",
        "timeout/payment/o 1: ",
        "{\"sum\":7}",
    ];
    assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    assert!(text.find("stock: done") < text.find("address: waiting"), "{text}");
    let text = app.run(&["saga", "show", "purchase", "o-3"]).await;
    assert!(text.contains("o-3 is waiting") && text.contains("paid e9"), "{text}");
    assert!(asked(&app, &["saga", "show", "purchase", "o-2"]).await["timers"].as_array().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_there_is_said_with_the_way_on() {
    let app = with_sagas().await;
    for (arguments, said) in [
        (
            ["saga", "show", "purchase", "gone"],
            "has no saga `gone`: list its sagas with `waxwing saga ls purchase`",
        ),
        (["saga", "show", "clerk", "o-2"], "has no handler `clerk`"),
        (["saga", "ls", "clerk", "--limit=1"], "has no handler `clerk`"),
    ] {
        let output = app.command(&arguments).output().await.unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && error.contains(said), "{arguments:?}: {error}");
    }
    let output = app.command(&["saga", "show", "purchase", "bad"]).output().await.unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("the state `saga/bad` of handler `purchase` is none of a saga"), "{error}");
    assert_eq!(
        app.command(&["saga", "ls", "--status", "gone"]).output().await.unwrap().status.code(),
        Some(2)
    );
}
