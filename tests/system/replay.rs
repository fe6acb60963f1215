//! A handler's history runs again, without effects, and what would be otherwise is shown.

use serde_json::{Value, json};
use waxwing_engine::port::Log;

use crate::app::{App, Input, entries};

fn manifest(mode: &str) -> String {
    format!(
        r#"
[app]
name = "again"
events = ["in.>", "counter.>", "account.>", "accounts.>", "prices.>", "baskets.>"]

[handlers.count]
module = "counter.wasm"
on = ["in.>"]
key = "data.key"

[handlers.count.grants]
emit = ["counter.counted"]
settings = {{ mode = "{mode}" }}

[handlers.account]
module = "account.wasm"
on = ["account.deposit", "account.withdraw"]
request = ["cmd.account.*"]
key = "data.account"
aggregate = "accounts.*"
dedupe = "1h"

[handlers.basket]
module = "basket.wasm"
on = ["baskets.item-added", "prices.updated"]
key = "data.productId"

[handlers.basket.grants]
emit = ["baskets.repriced"]

[handlers.account.grants]
emit = ["account.refused"]
"#
    )
}

async fn replay(app: &App, arguments: &[&str]) -> (bool, Value) {
    let arguments = [&["replay"][..], arguments, &["-o", "json"]].concat();
    let output = app.command(&arguments).output().await.unwrap();
    let report = serde_json::from_slice(&output.stdout);
    (
        output.status.success(),
        report.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr))),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_same_module_did_it_does_again_and_another_differs() {
    let app = App::new(&manifest("both")).await;
    let host = app.host().await;
    let (mut items, mut orders) = (Vec::new(), Vec::new());
    for n in 0..40 {
        items.push(Input::new("in.x", format!("i{n}"), &json!({ "key": format!("k{}", n % 3), "n": n })));
        let account = json!({ "account": format!("a{}", n % 2), "amount": 10 - n % 5 * 5 + 15 });
        let what = if n % 3 == 2 { "account.withdraw" } else { "account.deposit" };
        orders.push(Input::new(what, format!("d{n}"), &account));
    }
    // Of the two kinds one emits nothing.
    let price =
        |n| Input::new("prices.updated", format!("p{n}"), &json!({ "productId": "tea", "newPrice": n + 1 }));
    let item = |n| {
        let data = json!({ "basketId": format!("b{n}"), "productId": "tea", "quantity": 1 });
        Input::new("baskets.item-added", format!("b{n}"), &data)
    };
    let basket: Vec<Input> = (0..40).map(|n| if n % 2 == 0 { price(n) } else { item(n) }).collect();
    let last = app.publish(&basket).await;
    app.handled("basket", last).await;
    let first = r#"{"account":"a0","amount":500}"#;
    app.run(&["request", "cmd.account.deposit", first]).await;
    // It became a dead letter then, and would again.
    items.push(Input::new("in.x", "bad", &json!({ "key": "bad", "n": "none" })));
    let last = app.publish(&items).await;
    app.handled("count", last).await;
    let last = app.publish(&orders[..20]).await;
    app.handled("account", last).await;
    // No event of the log: only the history tells of it.
    app.run(&["request", "cmd.account.deposit", r#"{"account":"a1","amount":1000}"#]).await;
    app.publish(&orders[10..20]).await;
    let last = app.publish(&orders[20..]).await;
    app.handled("account", last).await;
    assert!(host.stop().await);
    // Nobody has handled it yet.
    app.publish(&[Input::new("in.x", "late", &json!({ "key": "k1", "n": 99 }))]).await;
    let (before, end) = (app.result().await, app.log().await.bounds().await.unwrap().last);

    for (handler, events, late) in [("count", 41, 1), ("account", 40, 0), ("basket", 40, 0)] {
        let (same, report) = replay(&app, &[handler]).await;
        assert!(same, "{report}");
        assert_eq!((&report["events"], &report["same"]), (&json!(events), &json!(events)));
        assert_eq!(report["notHandled"], late);
        assert_eq!(report["differingKeys"], json!([]));
    }
    // Only what is asked for is compared, on the state that all before it has made.
    let sixth =
        entries(&app.log().await).await.into_iter().filter(|entry| entry.subject.as_str() == "in.x").nth(5);
    let position = sixth.unwrap().position.to_string();
    let (same, report) =
        replay(&app, &["count", "--from-seq", &position, "--to-seq", &position, "--all"]).await;
    assert!(same, "{report}");
    assert_eq!((&report["events"], &report["compared"][0]["eventId"]), (&json!(1), &json!("i5")));
    let (_, report) = replay(&app, &["count", "--key", "k1"]).await;
    assert_eq!(report["events"], 13);

    std::fs::write(app.path().join("waxwing.toml"), manifest("thrice")).unwrap();
    let (same, report) = replay(&app, &["count", "--limit", "10"]).await;
    assert!(!same);
    assert_eq!((&report["events"], &report["different"]), (&json!(10), &json!(10)));
    let first = &report["compared"][0];
    assert_eq!(first["then"].as_array().unwrap().len(), 1);
    assert!(first["now"].as_array().unwrap().len() > 1, "{first}");

    let turned =
        app.command(&["replay", "count", "--from-seq", "9", "--to-seq", "8"]).output().await.unwrap();
    assert!(String::from_utf8_lossy(&turned.stderr).contains("would end before it begins"));

    // Nothing was written.
    assert_eq!(app.log().await.bounds().await.unwrap().last, end);
    before.assert_same(&app.result().await);

    // Unless somebody wants to look at it: then the state is, beside the live one.
    std::fs::write(app.path().join("waxwing.toml"), manifest("both")).unwrap();
    let live = app.run(&["state", "get", "count", "k1"]).await;
    let (_, report) = replay(&app, &["count", "--to-seq", &position, "--commit"]).await;
    assert_eq!(report["generation"], 2);
    let sixth = app.run(&["state", "get", "count", "k2", "--generation", "2"]).await;
    assert_eq!(serde_json::from_str::<Value>(&sixth).unwrap(), json!({ "count": 2, "last": 5 }));
    assert_eq!(app.run(&["state", "get", "count", "k1"]).await, live);
    assert_eq!(before.emitted.len(), app.result().await.emitted.len());
    let (_, report) = replay(&app, &["count", "--commit"]).await;
    assert_eq!(report["generation"], 3);
    let whole = app.run(&["state", "get", "count", "k1", "--generation", "3"]).await;
    assert_eq!(whole, live);
    let gone = app.command(&["state", "ls", "count", "--generation", "2"]).output().await.unwrap();
    let told = String::from_utf8_lossy(&gone.stderr).into_owned();
    assert!(told.contains("no generation 2: live is 1, and 3 beside it"), "{told}");
    app.run(&["rebuild", "count", "--no-switch"]).await;
    let refused = app.command(&["replay", "count", "--commit"]).output().await.unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("waxwing rebuild count --discard"));
}
