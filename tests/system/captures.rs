//! One event of a running app, captured and run again: the effects are those of the log.

use std::fs;

use serde_json::{Value, json};
use waxwing::capture::{
    form::{Came, Capture, ValueFrom},
    record::Data,
};

use crate::app::{App, Input};

const BASKET: &str = r#"
[app]
name = "corner"
events = ["prices.>", "baskets.>"]

[handlers.basket]
module = "basket.wasm"
on = ["baskets.item-added", "prices.updated"]
key = "data.productId"

[handlers.basket.grants]
emit = ["baskets.repriced"]

[handlers.price-watch]
module = "price-watch.wasm"
on = ["prices.updated"]
key = "data.productId"

[handlers.price-watch.grants]
emit = ["alerts.price-dropped"]
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_is_captured_by_its_id_and_run_without_a_server() {
    let app = App::new(BASKET.replace("\"baskets.>\"]", "\"baskets.>\", \"alerts.>\"]").as_str()).await;
    let host = app.host().await;
    let item = json!({ "basketId": "b1", "productId": "tea", "quantity": 2 });
    let price = |n: u32| {
        Input::new("prices.updated", format!("price-{n}"), &json!({ "productId": "tea", "newPrice": n }))
    };
    let inputs = [Input::new("baskets.item-added", "item", &item), price(3), price(4), price(5)];
    let last = app.publish(&inputs).await;
    app.handled("basket", last).await;
    app.handled("price-watch", last).await;

    // Several hear it; and there is none of another name.
    let told = app.command(&["capture", "price-4"]).output().await.unwrap();
    let told = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(told.contains("choose one with --handler, `basket` or `price-watch`"), "{told}");
    let told = app.command(&["capture", "nothing"]).output().await.unwrap();
    assert!(String::from_utf8_lossy(&told.stderr).contains("the log has no event `nothing`"));

    app.run(&["capture", "price-4", "--handler", "basket", "--file", "price-4.json"]).await;
    assert!(host.stop().await);

    let path = app.path().join("price-4.json");
    let mut capture = Capture::read(&fs::read_to_string(&path).unwrap()).unwrap();
    // The event after it has replaced the state that it read, so that was made again.
    assert_eq!(capture.state.values["tea"].from, ValueFrom::Replay);
    assert!(matches!(&capture.came, Came::Done { written } if written.len() == 1), "the state was replaced");
    let run = |file: String| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_waxwing"));
        command.current_dir(app.path()).args(["run-event", &file, "-o", "json"]).env("NO_COLOR", "1");
        let output = command.output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{told}"));
        (output.status.code(), report)
    };
    let (code, report) = run("price-4.json".to_owned());
    assert_eq!((code, &report["same"]), (Some(0), &json!(true)), "{report}");
    let emitted: Value =
        serde_json::from_str(report["entries"][0]["data"]["text"].as_str().unwrap()).unwrap();
    assert_eq!((&emitted["oldTotal"], &emitted["newTotal"]), (&json!(6.0), &json!(8.0)));
    assert!(report["fuel"].as_u64().unwrap() > 1000 && report["memoryBytes"].as_u64().unwrap() > 0);
    assert_eq!(run("price-4.json".to_owned()).1["fuel"], report["fuel"], "it is the same each time");

    // What read another state does something else, and that is told.
    let value = capture.state.values.get_mut("tea").unwrap();
    value.data = Some(Data::of(br#"{"price":"9","quantities":{},"revision":1}"#));
    fs::write(app.path().join("other.json"), capture.text().unwrap()).unwrap();
    let (code, report) = run("other.json".to_owned());
    assert_eq!((code, &report["same"]), (Some(1), &json!(false)));
    assert_eq!(report["differences"][0]["what"], "baskets.repriced");

    // And a file of another form is refused.
    fs::write(app.path().join("old.json"), capture.text().unwrap().replace("capture/1", "capture/0"))
        .unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_waxwing"));
    let refused = command.current_dir(app.path()).args(["run-event", "old.json"]).output().unwrap();
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(told.contains("its form is `waxwing-capture/0`, and this is `waxwing-capture/1`"), "{told}");
}
