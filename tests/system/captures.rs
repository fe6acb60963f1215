//! One event of a running app, captured and run again: the effects are those of the log, byte for byte.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    sync::Arc,
};

use rand::{Rng, rngs::StdRng, seq::SliceRandom};
use serde_json::{Value, json};
use waxwing::{
    assemble,
    capture::{
        again,
        bench::Bench,
        form::{Came, Capture, ValueFrom},
        past::Past,
        recall::Recall,
        record::Data,
    },
    config::{self, Manifest},
};
use waxwing_engine::{
    generations,
    port::{Log, log::Part},
};
use waxwing_event::{Outcome, Pattern, Position};
use waxwing_sandbox::{Options, Sandbox, Scrutiny};

use crate::{
    app::{App, Input, module},
    seed::seeded,
};

/// So many events are captured.
const EVENTS: usize = 1000;

const ORDERS: u32 = 110;

/// The shop's own manifest, with modules that are built, and a window that outlasts the test.
fn shop() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../handlers/waxwing.toml");
    let text = fs::read_to_string(path).unwrap();
    let line = |line: &str| match line.strip_prefix("module = \"").and_then(|rest| rest.strip_suffix('"')) {
        Some(name) => format!("module = \"{name}.wasm\""),
        None => line.replace("window-seconds = \"60\"", "window-seconds = \"86400\""),
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// What happens on a random day.
fn day(random: &mut StdRng) -> Vec<Vec<Input>> {
    let product = |random: &mut StdRng| format!("p{}", random.random_range(0..5));
    let stock = (0..5).map(|n| {
        Input::new(
            "stock.set",
            format!("stock-{n}"),
            &json!({ "productId": format!("p{n}"), "quantity": 60 }),
        )
    });
    let mut batches = vec![stock.collect::<Vec<_>>()];
    for n in 0..ORDERS {
        let (id, cents) = (format!("o{n}"), random.random_range(1..200_000));
        let order = json!({
            "orderId": id, "productId": product(random), "quantity": random.random_range(1..4),
            "amount": f64::from(cents) / 100.0,
        });
        let mut batch = vec![
            Input::new("order.place", format!("place-{n}"), &order),
            Input::new(
                "catalog.change-price",
                format!("price-{n}"),
                // Some are refused.
                &json!({ "productId": product(random), "newPrice": random.random_range(-1..50) }),
            ),
            Input::new(
                "baskets.item-added",
                format!("item-{n}"),
                &json!({ "basketId": format!("b{}", n % 7), "productId": product(random), "quantity": 1 }),
            ),
        ];
        let what = if random.random_bool(0.6) { "account.deposit" } else { "account.withdraw" };
        let account = json!({ "account": format!("a{}", n % 4), "amount": random.random_range(0..90) });
        let twice = Input::new(what, format!("money-{n}"), &account);
        if random.random_bool(0.2) {
            batch.push(twice.clone());
        }
        batch.push(twice);
        if random.random_bool(0.3) {
            let purchase = json!({
                "orderId": format!("c{n}"), "productId": product(random), "quantity": 1, "amount": 5,
            });
            batch.push(Input::new("purchases.placed", format!("purchase-{n}"), &purchase));
        }
        if random.random_bool(0.3) {
            let location = json!({ "locationId": format!("l{n}"), "name": "hall", "capacity": 2 });
            batch.push(Input::new("agenda.open-location", format!("open-{n}"), &location));
            let event =
                json!({ "eventId": format!("e{n}"), "locationId": format!("l{n}"), "title": "Waxwings" });
            batch.push(Input::new("agenda.schedule-event", format!("schedule-{n}"), &event));
        }
        batches.push(batch);
    }
    batches
}

/// The last entry of these subjects.
async fn last(log: &dyn Log, patterns: &[Pattern]) -> Position {
    let mut last = Position::NONE;
    for pattern in patterns {
        let entries = log.last_of_each(pattern, Part::Headers, 1_000_000).await.unwrap();
        last = entries.iter().map(|entry| entry.position).max().unwrap_or_default().max(last);
    }
    last
}

/// Waits until nobody has anything left to do.
async fn rest(app: &App, manifest: &Manifest) {
    let log = app.log().await;
    loop {
        let before = last(&log, &manifest.config.events).await;
        for handler in &manifest.config.handlers {
            let last = last(&log, &handler.spec.on).await;
            if last > Position::NONE {
                app.handled(handler.spec.name.as_str(), last).await;
            }
        }
        if last(&log, &manifest.config.events).await == before {
            return;
        }
    }
}

/// A sandbox as `run-event` has it.
fn counting() -> Arc<Sandbox> {
    Arc::new(Sandbox::new(Options { scrutiny: Scrutiny::Fuel, ..Options::default() }).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_random_events_of_the_shop_have_the_same_effects_again() {
    let mut random = seeded();
    let app = App::new(&shop()).await;
    let manifest = config::load(&app.path().join("waxwing.toml"), Vec::new()).unwrap();
    let host = app.host().await;
    for batch in day(&mut random) {
        app.publish(&batch).await;
    }
    rest(&app, &manifest).await;
    assert!(host.stop().await);

    let log: Arc<dyn Log> = Arc::new(app.log().await);
    let layout = generations::all_live(log.as_ref(), &app.layout).await.unwrap();
    let events = &manifest.config.events;
    let mut pasts = BTreeMap::new();
    for handler in &manifest.config.handlers {
        let past = Past::read(log.as_ref(), &layout, events, &handler.spec).await.unwrap();
        pasts.insert(handler.spec.name.clone(), past);
    }
    let all = pasts
        .iter()
        .flat_map(|(handler, past)| past.inputs.iter().map(|input| (handler.clone(), input.entry.position)));
    let mut all: Vec<_> = all.collect();
    println!("{} handled events", all.len());
    all.shuffle(&mut random);
    assert!(all.len() >= EVENTS + 100, "{} events", all.len());
    let (mut wrong, mut wrong_of) = (Vec::new(), BTreeMap::new());
    let (mut ran, mut compared, mut replayed, mut standing, mut done) = (0, 0, 0, 0, 0);
    let (here, there) = (Arc::new(assemble::sandbox(&manifest.config, None).unwrap()), counting());
    // Those that are duplicates have had no run of their own.
    let wanted: BTreeSet<_> = all.into_iter().take(EVENTS + 100).collect();
    for configured in &manifest.config.handlers {
        let spec = &configured.spec;
        let of = wanted.iter().filter(|(handler, _)| *handler == spec.name);
        let of: BTreeSet<Position> = of.map(|(_, position)| *position).collect();
        let bytes = fs::read(module(spec.name.as_str())).unwrap();
        let bench = Bench::set(here.clone(), spec.clone(), &bytes).unwrap();
        let table = &configured.table;
        let recall = Recall { log: log.clone(), layout: &layout, events, table, bench: &bench };
        let captures = recall.captures(pasts.remove(&spec.name).unwrap(), &of).await.unwrap();
        let mut bench = None;
        for capture in captures {
            let capture = Capture::read(&capture.text().unwrap()).unwrap();
            let bench = bench
                .get_or_insert_with(|| Bench::set(there.clone(), capture.spec().unwrap(), &bytes).unwrap());
            let again = again::run(&capture, bench).await.unwrap();
            if !(again.differences.is_empty() && again.strayed.is_empty()) {
                wrong.push(format!(
                    "{:#?}\n{:?}\n{}",
                    again.differences,
                    again.strayed,
                    capture.text().unwrap()
                ));
                wrong_of.entry(spec.name.clone()).or_insert_with(Vec::new).push(capture.event.position());
            }
            assert!(again.ran.used.fuel.unwrap() > 0 && again.ran.used.memory_bytes > 0);
            if let Came::Done { written } = &capture.came {
                compared += written.len();
                done += usize::from(matches!(again.ran.outcome, Outcome::Done(_)));
            }
            let values = capture.state.values.values();
            let (fixed, made): (Vec<_>, Vec<_>) = values.partition(|value| value.from == ValueFrom::Log);
            (standing, replayed, ran) = (standing + fixed.len(), replayed + made.len(), ran + 1);
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {ran} went another way: {wrong_of:?}\n{}",
        wrong.len(),
        wrong[..wrong.len().min(4)].join("\n")
    );
    println!(
        "{ran} events, {done} done, {compared} entries compared, values: {standing} standing, {replayed} made again"
    );
    assert!(ran >= EVENTS, "{ran} events were captured");
    assert!(compared > EVENTS / 3 && replayed > 0 && standing > 0);
}

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
