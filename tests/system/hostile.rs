//! A module that misbehaves: each of its runs ends within its limits, as a dead letter that says why, and
//! neither the host nor the runs beside it are the worse for it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use waxwing_engine::entry::DeadLetter;
use waxwing_engine::port::{
    Log,
    log::{Entry, Part},
};
use waxwing_event::{Pattern, outcome::FailureKind};

use crate::app::{self, App, Input, Outcome};

/// What ends as a dead letter, of which kind, and what its reason says.
const FATAL: [(&str, FailureKind, &str); 12] = [
    ("trap", FailureKind::Trap, "wasm `unreachable` instruction executed"),
    ("panic", FailureKind::Trap, "panicked on request"),
    ("spin", FailureKind::Deadline, "ran longer than its deadline of 2s"),
    ("allocate", FailureKind::Memory, "asked for more memory than its limit of 16 MiB"),
    ("recurse", FailureKind::Stack, "its calls nested deeper than its stack"),
    ("exit", FailureKind::Exit, "ended its process"),
    ("emit-many", FailureKind::Reject, "the run has reached its limit of effects, 50"),
    ("emit-many-ignoring", FailureKind::Effects, "wanted more than its limit of 50 effects"),
    ("reject", FailureKind::Reject, "rejected on request"),
    ("retry", FailureKind::Retry, "retried on request"),
    ("error", FailureKind::Retry, "invalid digit found in string"),
    ("nonsense", FailureKind::Reject, "no such misbehaviour: `nonsense`"),
];

/// Those whose reason names the line of the author's code.
const WITH_LINES: [&str; 6] = ["panic", "emit-many", "reject", "retry", "error", "nonsense"];

/// What ends well: floods of lines, and calls that are refused and survived.
const HARMLESS: [&str; 8] = [
    "log-flood",
    "stderr-flood",
    "env",
    "emit-elsewhere",
    "emit-wrong-subject",
    "emit-oversize",
    "state-oversize",
    "state-wrong-key",
];

const HEALTHY: &str = r#"
[handlers.healthy]
module = "hostile.wasm"
on = ["hostile.healthy"]

[handlers.healthy.grants]
emit = ["hostile.done"]
"#;

/// An app with the handler `hostile`, which may run for `deadline`.
fn manifest(deadline: &str) -> String {
    let fatal = FATAL.iter().map(|(behaviour, ..)| *behaviour);
    let on: Vec<String> = fatal.chain(HARMLESS).map(|behaviour| format!("hostile.{behaviour}")).collect();
    format!(
        r#"
[app]
name = "rough"
events = ["hostile.>", "elsewhere.>"]

[handlers.hostile]
module = "hostile.wasm"
on = {on:?}
deadline = "{deadline}"
memory = "16MiB"
retry = {{ attempts = 1 }}
outage = {{ after = 0 }}

[handlers.hostile.limits]
effects = 50
log-lines = 10

[handlers.hostile.grants]
emit = ["hostile.many", "hostile.big", "hostile.seen"]
"#
    )
}

fn event(behaviour: &str, n: usize) -> Input {
    Input::new(&format!("hostile.{behaviour}"), format!("{behaviour}-{n}"), &json!({ "n": n }))
}

/// Each misbehaviour in each round; those that use up their deadline in every fourth.
fn fatal(rounds: usize) -> Vec<Input> {
    let round = |n: usize| {
        let due =
            FATAL.iter().filter(move |(_, kind, _)| *kind != FailureKind::Deadline || n.is_multiple_of(4));
        due.map(move |(behaviour, ..)| event(behaviour, n))
    };
    (0..rounds).flat_map(round).collect()
}

/// Every event of [`fatal`] is a dead letter that tells why, and nothing else was written.
fn check_fatal(outcome: &Outcome, inputs: &[Input]) {
    assert_eq!((outcome.emitted.len(), outcome.state.len()), (0, 0));
    let mut dead: Vec<_> =
        outcome.dead.iter().map(|letter| letter.about.original.event_id.as_deref()).collect();
    let mut sent: Vec<_> = inputs.iter().map(|input| Some(input.id.as_str())).collect();
    dead.sort_unstable();
    sent.sort_unstable();
    assert_eq!(dead, sent, "each event has one dead letter");
    for letter in &outcome.dead {
        let about = &letter.about;
        let behaviour = about.original.subject.tokens().nth(1).unwrap();
        let (_, kind, words) = FATAL.iter().find(|(fatal, ..)| *fatal == behaviour).unwrap();
        assert_eq!(about.kind, *kind, "{behaviour}: {}", about.reason);
        assert!(about.reason.contains(words), "{behaviour}: {}", about.reason);
        let line = about.reason.split("src/").nth(1).and_then(|rest| rest.split(".rs:").nth(1));
        let has_line = line.is_some_and(|line| line.starts_with(|c: char| c.is_ascii_digit()));
        assert_eq!(has_line, WITH_LINES.contains(&behaviour), "{behaviour}: {}", about.reason);
        assert_eq!((about.attempts, about.original.key.as_deref()), (1, None));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_misbehaviour_ends_as_a_dead_letter_that_says_why_on_a_bounded_host() {
    const MOST_BYTES: u64 = 600_000_000;
    let app = App::new(&(manifest("2s") + HEALTHY)).await;
    let host = app.host().await;
    let inputs = fatal(18);
    assert!(inputs.len() > 200);
    let last = app.publish(&inputs).await;
    app.handled("hostile", last).await;
    let (resident, peak) = (host.resident_bytes(), host.peak_bytes());
    println!("{resident} bytes resident, {peak} at the most");
    assert!(peak < MOST_BYTES, "{} hostile events took {peak} bytes", inputs.len());
    check_fatal(&app.result().await, &inputs);
    // The host that went through all of it still works, and ends as it should.
    let last = app.publish(&[event("healthy", 1)]).await;
    app.handled("healthy", last).await;
    assert!(host.stop().await, "{}", app.host_log());
    assert_eq!(app.result().await.emitted.len(), 1);
    assert!(!app.host_log().contains("interrupted"), "{}", app.host_log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_misbehaviour_ends_as_a_dead_letter_that_says_why_in_memory() {
    let inputs = fatal(2);
    check_fatal(&app::undisturbed(&manifest("2s"), &["hostile"], &inputs).await, &inputs);
}

/// The innermost function of the author's where each of these ends.
const STACKS: [(&str, &str); 4] = [
    ("panic", "guest_hostile::resources::panic_with_a_message\n"),
    ("trap", "guest_hostile::resources::trap\n"),
    ("spin", "guest_hostile::resources::spin\n"),
    ("recurse", "guest_hostile::resources::descend (32 times)\n…"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trap_names_the_functions_of_its_author_in_the_dead_letter_and_in_the_log() {
    let app = App::new(&manifest("2s")).await;
    let host = app.host().await;
    let inputs: Vec<Input> = STACKS.iter().map(|(behaviour, _)| event(behaviour, 0)).collect();
    let last = app.publish(&inputs).await;
    app.handled("hostile", last).await;
    assert!(host.stop().await);
    let (outcome, log) = (app.result().await, app.host_log());
    assert_eq!(outcome.dead.len(), STACKS.len());
    for (behaviour, stack) in STACKS {
        let is_it = |letter: &&DeadLetter| letter.about.original.subject.as_str().ends_with(behaviour);
        let about = &outcome.dead.iter().find(is_it).unwrap().about;
        let told = about.backtrace.as_deref().unwrap_or_default();
        assert!(format!("{told}\n").starts_with(stack), "{behaviour}: {told}");
        for noise in ["panicking", "rust_", "_export_", "#handle", "abort"] {
            assert!(!told.contains(noise), "{behaviour}: {told}");
        }
        assert!(log.contains(&format!("backtrace=\"{}", told.replace('\n', " < "))), "{behaviour}: {log}");
    }
    let of_panic = outcome.dead.iter().find(|letter| letter.about.reason.contains("panicked")).unwrap();
    assert!(of_panic.about.reason.starts_with("panicked at tests/guests/hostile/src/resources.rs:"));
}

/// The last entry of each subject that matches, without payloads.
async fn entries(app: &App, subjects: &Pattern) -> Vec<Entry> {
    app.log().await.last_of_each(subjects, Part::Headers, 1_000).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_healthy_events_pass_while_every_worker_spins() {
    const SPINNING: usize = 6;
    let app = App::new(&(manifest("3s") + HEALTHY + "\n[host]\nworkers = 2\n")).await;
    let host = app.host().await;
    let spins: Vec<Input> = (0..SPINNING).map(|n| event("spin", n)).collect();
    let spinning = app.publish(&spins).await;
    let events: Vec<Input> = (0..1_000).map(|n| event("healthy", n)).collect();
    let last = app.publish(&events).await;
    app.handled("healthy", last).await;
    app.handled("hostile", spinning).await;
    assert!(host.stop().await);
    let outcome = app.result().await;
    let letters = entries(&app, &app.layout.dead_letters(None)).await;
    assert_eq!(letters.len(), SPINNING);
    let done: BTreeSet<_> = outcome.emitted.iter().map(|event| event.causation_id.clone()).collect();
    assert_eq!((outcome.emitted.len(), done.len()), (1_000, 1_000));
    let last_done = outcome.emitted.iter().map(|event| event.position).max();
    assert!(last_done < letters.iter().map(|entry| entry.position).max(), "healthy events had to wait");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_lines_is_cut_and_counted() {
    let app = App::new(&manifest("100s")).await;
    let host = app.host().await;
    let last = app.publish(&[event("log-flood", 0), event("stderr-flood", 0)]).await;
    app.handled("hostile", last).await;
    assert!(host.stop().await);
    assert_eq!(app.result().await.dead, []);
    let log = app.host_log();
    for flood in ["log-flood-0", "stderr-flood-0"] {
        let lines: Vec<&str> = log.lines().filter(|line| line.contains(flood)).collect();
        let dropped = "102390 more lines of this run were dropped: it reached its limit";
        assert_eq!(lines.len(), 11, "ten lines and one that tells of the rest: {lines:?}");
        assert!(lines[10].contains(dropped), "{}", lines[10]);
        assert!(lines.iter().all(|line| line.contains("hostile")), "lines name their handler: {lines:?}");
    }
}

/// What each refused call is told, by behaviour.
fn refusals() -> BTreeMap<String, Value> {
    let kinds = |kinds: &[&str]| json!({ "kinds": kinds });
    BTreeMap::from([
        ("emit-elsewhere-0".to_owned(), kinds(&["not-granted"])),
        ("emit-wrong-subject-0".to_owned(), kinds(&["invalid-subject"; 5])),
        ("emit-oversize-0".to_owned(), kinds(&["too-large"])),
        ("state-oversize-0".to_owned(), kinds(&["too-large"])),
        ("state-wrong-key-0".to_owned(), kinds(&["invalid-key", "invalid-key", "none", "none"])),
    ])
}

fn refused_calls() -> Vec<Input> {
    HARMLESS.iter().filter(|name| !name.ends_with("flood")).map(|name| event(name, 0)).collect()
}

fn check_refusals(outcome: &Outcome) {
    assert_eq!(outcome.dead, []);
    let told = outcome.emitted.iter().map(|event| {
        assert_eq!(event.subject.as_str(), "hostile.seen", "nothing leaks");
        (event.causation_id.clone().unwrap(), serde_json::from_slice(&event.data).unwrap())
    });
    let mut told: BTreeMap<String, Value> = told.collect();
    let reach = told.remove("env-0").unwrap();
    assert_eq!((&reach["variables"], &reach["arguments"]), (&json!(0), &json!(0)));
    assert!(reach["root"] != "reached" && reach["tcp"] != "reached", "{reach}");
    assert_eq!(told, refusals());
    // The keys that the guest was allowed, as the contract takes any text as a key.
    let longest = "x".repeat(200);
    let keys: Vec<&str> = outcome.state.keys().map(|(_, key)| key.as_str()).collect();
    assert_eq!(keys, ["a..b *>ü", &longest]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_is_a_typed_error_in_the_guest_and_nothing_leaks() {
    let app = App::new(&manifest("10s")).await;
    let host = app.host().await;
    let last = app.publish(&refused_calls()).await;
    app.handled("hostile", last).await;
    assert!(host.stop().await);
    check_refusals(&app.result().await);
    assert_eq!(entries(&app, &"elsewhere.>".parse().unwrap()).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_is_a_typed_error_in_the_guest_in_memory() {
    check_refusals(&app::undisturbed(&manifest("10s"), &["hostile"], &refused_calls()).await);
}
