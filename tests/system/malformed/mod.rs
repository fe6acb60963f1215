//! Malformed events among good ones: each is handled by the rules or becomes a dead letter that keeps what
//! was sent; the good ones are handled exactly once, whatever happens to the host meanwhile.

mod cases;
mod marks;

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;
use waxwing_engine::entry::DeadLetter;
use waxwing_event::{HandlerName, Position};

use crate::{
    app::{App, Input, Outcome},
    raw::RawPublisher,
};
use cases::{Case, Fate, MAX_BYTES, Sent};

const MANIFEST: &str = r#"
[app]
name = "bad"
events = ["in.>", "counter.>"]

[host]
lease = "1s"

[handlers.keyed]
module = "counter.wasm"
on = ["in.>"]
key = "data.key"

[handlers.keyed.grants]
emit = ["counter.counted"]

[handlers.plain]
module = "counter.wasm"
on = ["in.>"]

[handlers.plain.grants]
emit = ["counter.counted"]
settings = { mode = "emit" }
"#;

/// What was published, case by case, a good event before each.
struct Published {
    cases: Vec<(Position, Case)>,
    last: Position,
}

async fn publish(raw: &mut RawPublisher, cases: Vec<Case>, to: &mut Published) {
    for case in cases {
        let n = to.cases.len();
        let good = Sent::Pairs(cases::whole(&format!("good-{n}"))).block();
        let data = cases::item(&format!("k{}", n % 3), n).to_string();
        raw.publish("in.good", &good, data.as_bytes()).await;
        let position = raw.publish("in.bad", &case.headers.block(), &case.data).await;
        to.cases.push((position, case));
        to.last = position;
    }
}

async fn handled(app: &App, published: &Published) -> Outcome {
    app.handled("keyed", published.last).await;
    app.handled("plain", published.last).await;
    app.result().await
}

/// Each event has exactly the fate that its case tells, with both handlers.
fn check(published: &Published, outcome: &Outcome) {
    check_handler(published, outcome, "keyed", |case| case.keyed);
    check_handler(published, outcome, "plain", |case| case.plain);
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for (n, (_, case)) in published.cases.iter().enumerate() {
        *counts.entry(format!("k{}", n % 3)).or_default() += 1;
        if case.keyed.is_none() {
            *counts.entry("k0".to_owned()).or_default() += 1;
        }
    }
    let counted = outcome.state.iter().map(|((_, key), value)| {
        let value: Value = serde_json::from_slice(value).unwrap();
        (key.clone(), value["count"].as_u64().unwrap())
    });
    assert_eq!(counted.collect::<BTreeMap<_, _>>(), counts);
}

fn check_handler(published: &Published, outcome: &Outcome, handler: &str, fate: fn(&Case) -> Fate) {
    let source = format!("/bad/{handler}");
    let of_it = outcome.emitted.iter().filter(|event| event.source == source);
    let mut causes: Vec<String> = of_it.map(|event| event.causation_id.clone().unwrap()).collect();
    let done = published.cases.iter().filter(|(_, case)| fate(case).is_none());
    let good = (0..published.cases.len()).map(|n| format!("good-{n}"));
    let mut expected: Vec<String> = done.map(|(_, case)| case.id.clone()).chain(good).collect();
    causes.sort();
    expected.sort();
    let short = |ids: &[String]| ids.iter().map(|id| id.chars().take(20).collect()).collect::<Vec<String>>();
    let (seen, wanted) = (short(&causes), short(&expected));
    assert!(causes == expected, "`{handler}` handles each good event once: {seen:?}, not {wanted:?}");
    let mut letters: BTreeMap<Position, &DeadLetter> = BTreeMap::new();
    for letter in outcome.dead.iter().filter(|letter| letter.about.original.handler.as_str() == handler) {
        assert!(letters.insert(letter.about.original.position, letter).is_none(), "one letter an event");
    }
    for (position, case) in &published.cases {
        let letter = letters.remove(position);
        match fate(case) {
            Some((kind, words)) => {
                let letter = letter.unwrap_or_else(|| panic!("`{handler}`, {}: no dead letter", case.name));
                let reason = &letter.about.reason;
                assert_eq!(letter.about.kind, kind, "`{handler}`, {}: {reason}", case.name);
                assert!(reason.contains(words), "`{handler}`, {}: {reason}", case.name);
                check_original(case, letter);
            }
            None => assert!(letter.is_none(), "`{handler}`, {}: {letter:?}", case.name),
        }
    }
    assert!(letters.is_empty(), "{letters:?}");
}

/// A dead letter keeps data and headers as they were sent, unless they are too large, and then it says so.
fn check_original(case: &Case, letter: &DeadLetter) {
    let about = &letter.about;
    if about.original.payload_omitted {
        assert!(case.data.len() > MAX_BYTES - 2_000, "{}", case.name);
    } else {
        assert_eq!(letter.payload, case.data, "{}", case.name);
    }
    let block = case.headers.block();
    match &case.headers {
        _ if about.original.headers_omitted => assert!(block.len() > 16_000, "{}", case.name),
        Sent::Broken(block) => {
            assert_eq!(about.original.broken_headers.as_deref(), Some(STANDARD.encode(block).as_str()))
        }
        Sent::Pairs(pairs) => {
            let mut pairs = pairs.clone();
            pairs.sort();
            assert_eq!(about.original.headers, pairs, "{}", case.name);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_events_meet_their_fate_and_good_ones_theirs() {
    let app = App::new(MANIFEST).await;
    let host = app.host().await;
    let mut raw = RawPublisher::connect(app.server.process.port()).await;
    let mut published = Published { cases: Vec::new(), last: Position::NONE };
    publish(&mut raw, cases::all(), &mut published).await;
    let outcome = handled(&app, &published).await;
    assert!(host.stop().await);
    check(&published, &outcome);
    assert!(!app.host_log().contains("interrupted"), "no event stops a handler: {}", app.host_log());
    check_commands(&app, &outcome).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_events_meet_the_same_fate_when_the_host_is_killed_among_them() {
    let app = App::new(MANIFEST).await;
    let mut host = app.host().await;
    let mut raw = RawPublisher::connect(app.server.process.port()).await;
    let mut published = Published { cases: Vec::new(), last: Position::NONE };
    let mut rest = cases::all();
    while !rest.is_empty() {
        let some = rest.drain(..rest.len().min(10)).collect();
        publish(&mut raw, some, &mut published).await;
        host.kill().await;
        host = app.launch();
    }
    let outcome = handled(&app, &published).await;
    assert!(host.stop().await);
    check(&published, &outcome);
}

/// `dead ls` lists every dead letter, and `dead show` shows each.
async fn check_commands(app: &App, outcome: &Outcome) {
    let listed = app.run(&["dead", "ls", "--all", "--output", "json"]).await;
    let listed: Vec<Value> = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed.len(), outcome.dead.len());
    let of_number = app.run(&["dead", "show", "plain", "4711"]).await;
    assert!(of_number.contains("id         4711\n"), "an id that looks like a position: {of_number}");
    let table = app.run(&["dead", "ls", "plain"]).await;
    let of_plain: HandlerName = "plain".parse().unwrap();
    for letter in outcome.dead.iter().filter(|letter| letter.about.original.handler == of_plain) {
        let position = letter.about.original.position.to_string();
        assert!(table.split_whitespace().any(|word| word == position), "{position} is not in {table}");
        check_shown(app, letter, &position).await;
    }
}

async fn check_shown(app: &App, letter: &DeadLetter, position: &str) {
    let about = &letter.about;
    let shown = app.run(&["dead", "show", "plain", position]).await;
    // What others have sent does nothing to the terminal: control characters are shown.
    let reason = about.reason.replace('\r', r"\r").replace('\u{1b}', r"\u{1b}").replace('\0', r"\u{0}");
    assert!(shown.contains(&format!("{}: {reason}\n", about.kind)), "{shown}");
    let expected = match (&about.original.broken_headers, about.original.payload_omitted) {
        (Some(block), _) => format!("unreadable, base64: {block}"),
        (None, true) => format!("too large to be kept here: it stands at position {position}"),
        (None, false) => match std::str::from_utf8(&letter.payload) {
            Ok(text) => format!("data       {text}"),
            Err(_) => "3 bytes that are no text: see --output json".to_owned(),
        },
    };
    assert!(shown.contains(&expected), "{expected} is not in {shown}");
    let shown = app.run(&["dead", "show", "plain", position, "--output", "json"]).await;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["about"], serde_json::to_value(about).unwrap());
    assert_eq!(shown["sizeBytes"], letter.payload.len());
}

/// What others write where dead letters stand, or as keys, hides nothing and does nothing to the terminal.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_show_the_readable_beside_the_unreadable() {
    let app = App::new(MANIFEST).await;
    let host = app.host().await;
    let item = |key: &str| Input::new("in.item", key, &cases::item(key, 1));
    let keyless = Input::new("in.item", "keyless", &serde_json::json!({ "n": 1 }));
    let last = app.publish(&[item("a\u{1b}[2J"), keyless]).await;
    app.handled("keyed", last).await;
    assert!(host.stop().await);
    let state = app.run(&["state", "ls", "keyed"]).await;
    assert!(state.contains(r"a\u{1b}[2J") && !state.contains('\u{1b}'), "{state}");

    let client = app.client().await;
    for handler in ["keyed", "plain"] {
        client.publish(format!("wx.bad.dead.{handler}.999"), "rubbish".into()).await.unwrap();
    }
    client.flush().await.unwrap();
    let output = app.command(&["dead", "ls"]).output().await.unwrap();
    let (table, warned) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success() && table.contains("in.item"), "{table}");
    let named = "the entry `wx.bad.dead.keyed.999` at position";
    assert!(warned.contains(named) && warned.contains("the header `wx-dead` is missing"), "{warned}");
    let listed = app.run(&["dead", "ls", "keyed", "--output", "json"]).await;
    assert_eq!(serde_json::from_str::<Vec<Value>>(&listed).unwrap().len(), 1, "{listed}");
    // A search for an id reads all of them.
    let position = last.to_string();
    let known = app.run(&["dead", "show", "plain", "keyless"]).await;
    assert!(known.contains(&format!("at position {position}")), "{known}");
}
