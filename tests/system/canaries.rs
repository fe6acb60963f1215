//! Canaries: a second version runs for a share of the keys, and what is worse goes by itself.

use std::{collections::BTreeSet, fs, time::Duration};

use serde_json::{Value, json};
use tokio::time::timeout;
use waxwing::deploy::{
    deployed,
    written::{self, Fate, Tryout, Wanted},
};
use waxwing_engine::{
    canary::{Counts, Percent, Rules, Tally, Worse},
    entry::{
        Lease, Mark, Partition,
        deploy::{Declined, OnCanary, Swap, Tried},
        tally::Tallied,
        tombstone,
        verdict::{Sentence, Verdict},
        version::VersionNumber,
    },
    port::{
        Log,
        log::{Entry, Part},
    },
};
use waxwing_event::{Digest, Position};
use waxwing_log::{JetStreamLog, jetstream::Storage, jetstream::modules::digest_of};

use crate::{
    app::{self, App, HostProcess, Input, PATIENCE, module},
    deploys::{
        MANIFEST, count, deploy, deployed as deployed_by, in_order, inputs, ran, store, swaps, variant,
    },
};

const V1: Option<VersionNumber> = Some(VersionNumber(1));
const V2: Option<VersionNumber> = Some(VersionNumber(2));

/// A handler of the counter that tries what fails again soon.
fn manifest() -> String {
    MANIFEST
        .replace("key = ", "retry = { attempts = 50, backoff = \"100ms..500ms\" }\nkey = ")
        .replace("\"cmd.count.show\"", "\"cmd.count.show\", \"cmd.count.add\"")
}

/// Writes settings into the app's manifest: what is deployed next has them.
fn set(app: &App, settings: &str) {
    fs::write(app.path().join("waxwing.toml"), format!("{}settings = {{ {settings} }}\n", manifest()))
        .unwrap();
}

/// Asks again and again until the answer is there.
pub async fn until<T>(app: &App, what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let wait = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::task::yield_now().await;
        }
    };
    match timeout(PATIENCE, wait).await {
        Ok(answer) => answer,
        Err(_) => panic!("{what}: {}", app.host_log()),
    }
}

async fn verdict(app: &App, log: &JetStreamLog) -> Option<Verdict> {
    let entry = log.last(&app.layout.verdict(&count())).await.unwrap();
    entry.map(|entry| Verdict::read(&entry).unwrap())
}

/// Waits until none of the handler's events is parked.
async fn nothing_waits(app: &App, log: &JetStreamLog) {
    let parked = app.layout.all_parked(Some(&count()));
    until(app, "something is parked", async || {
        let entries = log.last_of_each(&parked, Part::Headers, 100_000).await.unwrap();
        entries.iter().all(tombstone::is).then_some(())
    })
    .await;
}

/// Waits until a partition runs this canary, or none.
async fn canary_runs(app: &App, log: &JetStreamLog, expected: Option<OnCanary>) {
    let subject = app.layout.swaps(&count(), Partition(0));
    until(app, "the canary is another", async || {
        let swap = log.last(&subject).await.unwrap().map(|entry| Swap::read(&entry).unwrap());
        (swap?.canary == expected).then_some(())
    })
    .await;
}

/// The share and the versions that may have run an input, as swaps and hash tell.
fn governing(swaps: &[Swap], input: Position) -> &Swap {
    let began = |swap: &&Swap| input > swap.after && !swap.begun.contains(&input);
    swaps.iter().rev().find(began).unwrap()
}

fn key_of(entries: &[Entry], input: Position) -> (String, u64) {
    let entry = entries.iter().find(|entry| entry.position == input).unwrap();
    let data: Value = serde_json::from_slice(&entry.payload).unwrap();
    (data["key"].as_str().unwrap().to_owned(), data["n"].as_u64().unwrap())
}

/// Keys by the version on which their inputs behind `after` ran, as the marks tell.
async fn keys_by_version(log: &JetStreamLog, after: Position) -> [BTreeSet<String>; 2] {
    let entries = app::entries(log).await;
    let mut keys = [BTreeSet::new(), BTreeSet::new()];
    for (input, version) in ran(&entries).into_iter().filter(|(input, _)| *input > after) {
        let (key, _) = key_of(&entries, input);
        keys[if version == V2 { 1 } else { 0 }].insert(key);
    }
    keys
}

/// Which of the fifty keys the canary has at this share.
fn canary_keys(share: Percent) -> [BTreeSet<String>; 2] {
    let (of_canary, others) = (0..50).map(|n| format!("k{n}")).partition(|key| share.has(&count(), key));
    [others, of_canary]
}

/// What `waxwing versions` tells of the trial of a version.
pub async fn trial(app: &App, version: u64) -> Value {
    let said: Value = serde_json::from_str(&app.run(&["versions", "count", "-o", "json"]).await).unwrap();
    let row = said.as_array().unwrap().iter().find(|row| row["version"] == version).cloned();
    row.map(|row| row["trial"].clone()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_fails_a_fifth_of_its_events_is_rolled_back_by_itself_and_nothing_is_lost() {
    let app = App::new(&manifest()).await;
    let _hosts = [app.host().await, app.host().await];
    deployed_by(&app, &[]).await;
    set(&app, "fails = \"5\"");
    let log = app.log().await;
    let canary = async {
        let arguments = ["count", "--canary", "20%", "--window", "60s", "--min-runs", "20", "--margin", "5%"];
        let said = deployed_by(&app, &arguments).await;
        assert!(said.contains("version 2 runs as a canary for 20% of the keys on"), "{said}");
        let verdict = until(&app, "no verdict", async || verdict(&app, &log).await).await;
        canary_runs(&app, &log, None).await;
        verdict
    };
    // Events go on until it is over, and for a while behind it.
    let mut all: Vec<Input> = Vec::new();
    let mut canary = std::pin::pin!(canary);
    let mut every = tokio::time::interval(Duration::from_millis(50));
    let mut found = None;
    let mut behind = 20;
    let last = loop {
        tokio::select! {
            verdict = &mut canary, if found.is_none() => found = Some(verdict),
            _ = every.tick() => {
                let chunk = inputs(all.len() as u64, 25);
                let last = app.publish(&chunk).await;
                all.extend(chunk);
                behind -= i32::from(found.is_some());
                if behind == 0 {
                    break last;
                }
            }
        }
    };
    let verdict = found.unwrap();
    app.handled("count", last).await;
    nothing_waits(&app, &log).await;
    app.result().await.assert_same(&app::undisturbed(&manifest(), &["count"], &all).await);
    let entries = app::entries(&log).await;
    in_order(&entries);
    let (swaps, ran) = (swaps(&entries), ran(&entries));
    assert_eq!(ran.len(), all.len());
    let share = Percent::of_hundred(20);
    let on = Some(OnCanary { version: VersionNumber(2), share });
    assert_eq!(
        swaps.iter().map(|swap| (swap.version, swap.canary)).collect::<Vec<_>>(),
        [(V1, None), (V1, on), (V1, None)]
    );
    let (mut well, mut failed) = (0, BTreeSet::new());
    for (input, version) in &ran {
        let (key, n) = key_of(&entries, *input);
        let is_canarys = governing(&swaps, *input).canary.is_some() && share.has(&count(), &key);
        if is_canarys && n % 5 == 0 {
            failed.insert(key.clone());
        }
        match *version {
            V2 => {
                assert!(is_canarys && n % 5 != 0, "{input} of {key}, {n}");
                well += 1;
            }
            // What failed on the canary, and what waited behind it, ran on the old version in the end.
            V1 => assert!(!is_canarys || failed.contains(&key), "{input} of {key}, {n}"),
            other => panic!("{input} ran on {other:?}"),
        }
    }
    assert!(well > 0 && !failed.is_empty());
    let Verdict { version, sentence, tally: Tally { stable, canary }, .. } = verdict;
    assert!(version == VersionNumber(2) && matches!(sentence, Sentence::RolledBack(_)), "{sentence:?}");
    assert!(canary.failed > 0 && canary.runs >= 20 && stable.failed == 0 && stable.runs > canary.runs);
    let told = trial(&app, 2).await;
    assert_eq!(told["judged"]["tally"]["canary"]["failed"], canary.failed);
    let said = app.run(&["versions"]).await;
    assert!(said.contains("rolled back") && said.contains("runs failed"), "{said}");
    let error =
        String::from_utf8(app.command(&["deploy", "count", "--promote"]).output().await.unwrap().stderr);
    assert!(error.unwrap().contains("was rolled back, as it was worse"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_stays_with_its_version_on_every_host_and_at_each_larger_share() {
    let app = App::new(&manifest()).await;
    let host = app.host().await;
    deployed_by(&app, &[]).await;
    let path = format!("count={}", variant(&app, 1).display());
    deployed_by(&app, &[&path, "--canary", "20%", "--min-runs", "5", "--window", "1h"]).await;
    let log = app.log().await;
    let run = async |from| {
        let last = app.publish(&inputs(from, 200)).await;
        app.handled("count", last).await;
        last
    };
    let mut last = run(0).await;
    let share = canary_keys(Percent::of_hundred(20));
    assert_eq!(keys_by_version(&log, Position::NONE).await, share);
    assert!(host.stop().await);
    let _host = app.host().await;
    let after = std::mem::replace(&mut last, run(200).await);
    assert_eq!(keys_by_version(&log, after).await, share);
    // A request chooses by its key, too.
    let [others, of_canary] = &share;
    for (key, version) in [(others.first().unwrap(), V1), (of_canary.first().unwrap(), V2)] {
        app.run(&["request", "cmd.count.add", &json!({ "key": key, "n": 1 }).to_string()]).await;
        let entry = app::entries(&log).await.into_iter().rfind(|e| e.subject.as_str() == "counter.counted");
        assert_eq!(Mark::of(&entry.unwrap().headers).unwrap().version, version, "{key}");
    }
    // More keys come in addition, and the version is the same.
    let after = log.bounds().await.unwrap().last;
    let said = deployed_by(&app, &[&path, "--canary", "60%", "--min-runs", "5", "--window", "1h"]).await;
    assert!(said.contains("version 2 runs as a canary for 60%"), "{said}");
    run(400).await;
    let more = canary_keys(Percent::of_hundred(60));
    assert_eq!(keys_by_version(&log, after).await, more);
    assert!(share[1].is_subset(&more[1]) && share[1].len() < more[1].len());
    // As good as the other, it goes on until somebody decides.
    let told = until(&app, "it has not run", async || {
        let told = trial(&app, 2).await;
        (told["canary"]["tally"]["canary"]["runs"].as_u64() > Some(100)).then_some(told)
    })
    .await;
    assert_eq!(told["canary"]["tally"]["canary"]["failed"], 0);
    assert_eq!((told["canary"]["share"].as_str(), verdict(&app, &log).await), (Some("60%"), None));
    let said = app.run(&["ls"]).await;
    assert!(said.contains("1, 2 (60%)"), "{said}");
    let said = deployed_by(&app, &["count", "--promote"]).await;
    assert!(said.contains("version 2 runs on"), "{said}");
    let after = log.bounds().await.unwrap().last;
    run(600).await;
    assert_eq!(keys_by_version(&log, after).await, canary_keys(Percent::ALL));
    assert!(app.run(&["rollback", "count"]).await.contains("version 1 runs on"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_has_passed_is_promoted_where_its_rules_say_so() {
    let app = App::new(&manifest()).await;
    let _host = app.host().await;
    deployed_by(&app, &[]).await;
    let path = format!("count={}", variant(&app, 1).display());
    let arguments =
        [&path, "--canary", "50%", "--min-runs", "10", "--window", "2s", "--auto-promote", "--margin", "0%"];
    deployed_by(&app, &arguments).await;
    let log = app.log().await;
    let last = app.publish(&inputs(0, 100)).await;
    app.handled("count", last).await;
    let verdict = until(&app, "no verdict", async || verdict(&app, &log).await).await;
    assert_eq!(verdict.sentence, Sentence::Promoted);
    assert!(verdict.tally.canary.runs >= 10 && verdict.tally.canary.failed == 0);
    crate::deploys::runs(&app, &log, Some(2)).await;
    let further = app.publish(&inputs(100, 100)).await;
    app.handled("count", further).await;
    assert_eq!(keys_by_version(&log, last).await, canary_keys(Percent::ALL));
    // It is what a rollback leaves.
    assert!(app.run(&["rollback", "count"]).await.contains("version 1 runs on"));
}

/// Ends the host that has the handler's partition.
async fn kill_owner(app: &App, log: &JetStreamLog, hosts: &mut Vec<HostProcess>) {
    let told: Value = serde_json::from_str(&app.run(&["hosts", "-o", "json"]).await).unwrap();
    assert_eq!(told.as_array().unwrap().len(), hosts.len());
    let lease = log.last(&app.layout.lease(&count(), Partition(0))).await.unwrap().unwrap();
    let owner = Lease::read(&lease).unwrap().host.unwrap();
    // Which process that is, is told by who still lives.
    for _ in 0..hosts.len() {
        let host = hosts.remove(0);
        host.signal("STOP").await;
        let is_owner = until(app, "nobody is gone", async || {
            let told: Value = serde_json::from_str(&app.run(&["hosts", "-o", "json"]).await).unwrap();
            let told = told.as_array().unwrap();
            (told.len() <= hosts.len()).then(|| told.iter().all(|host| host["host"] != owner.as_str()))
        })
        .await;
        if is_owner {
            return host.kill().await;
        }
        host.signal("CONT").await;
        hosts.push(host);
        until(app, "it is not back", async || {
            let told: Value = serde_json::from_str(&app.run(&["hosts", "-o", "json"]).await).unwrap();
            (told.as_array().unwrap().len() == hosts.len()).then_some(())
        })
        .await;
    }
    panic!("no host is the owner");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_counted_is_known_to_the_next_owner() {
    let app = App::new(&manifest()).await;
    let mut hosts = vec![app.host().await, app.host().await];
    deployed_by(&app, &[]).await;
    let path = format!("count={}", variant(&app, 1).display());
    deployed_by(&app, &[&path, "--canary", "50%", "--window", "1h"]).await;
    let log = app.log().await;
    let last = app.publish(&inputs(0, 200)).await;
    app.handled("count", last).await;
    let tally = async || {
        let entry = log.last(&app.layout.tally(&count(), Partition(0))).await.unwrap();
        entry.map(|entry| Tallied::read(&entry).unwrap().tally).unwrap_or_default()
    };
    let all = |tally: Tally| tally.canary.runs + tally.stable.runs;
    let counted = async |number| {
        until(&app, "not all is counted", async || (all(tally().await) == number).then_some(())).await;
    };
    counted(200).await;
    let lease = log.last(&app.layout.lease(&count(), Partition(0))).await.unwrap().unwrap().position;
    kill_owner(&app, &log, &mut hosts).await;
    let last = app.publish(&inputs(200, 200)).await;
    app.handled("count", last).await;
    assert!(log.last(&app.layout.lease(&count(), Partition(0))).await.unwrap().unwrap().position > lease);
    counted(400).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_all_partitions_have_counted_is_summed_up() {
    let app = App::new(&manifest()).await;
    let _host = app.host().await;
    deployed_by(&app, &[]).await;
    let path = format!("count={}", variant(&app, 1).display());
    deployed_by(&app, &[&path, "--canary", "50%", "--window", "1h", "--min-runs", "100"]).await;
    let log = app.log().await;
    let (_, decision) = deployed::decision(&log, &app.layout, &count()).await.unwrap().unwrap();
    // As owners of other partitions would have saved it; one by a decision of before.
    let counts = |runs, failed| Counts { runs, failed, ..Counts::default() };
    let save = async |partition, decision, failed| {
        let tally = Tally { stable: counts(1000, 0), canary: counts(60, failed) };
        let since = jiff::Timestamp::now();
        let entry =
            Tallied { decision, since, tally }.write(app.layout.tally(&count(), Partition(partition)));
        waxwing_engine::port::log::commit(&log, vec![entry]).await.unwrap();
    };
    save(1, decision.previous(), 60).await;
    save(2, decision, 5).await;
    save(3, decision, 5).await;
    let verdict = until(&app, "no verdict", async || verdict(&app, &log).await).await;
    assert_eq!(verdict.tally, Tally { stable: counts(2000, 0), canary: counts(120, 10) });
    assert_eq!(verdict.sentence, Sentence::RolledBack(Worse::Failures));
    canary_runs(&app, &log, None).await;
}

/// Has this tried beside version 1, whatever the command line would say.
async fn force(app: &App, log: &JetStreamLog, module: Digest, manifest: Value) -> Declined {
    let replaces = deployed::decision(log, &app.layout, &count()).await.unwrap();
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
    let rules = Rules { margin: Percent::NONE, min_runs: 1, window_ms: 1, auto_promote: false };
    let tried = Tried::Canary { share: Percent::of_hundred(50), rules };
    let tryout = Tryout { wanted, known: None, tried };
    let decision = written::try_beside(log, &app.layout, &[tryout], "test").await.unwrap().remove(0);
    let fate = written::fate(log, &app.layout, &decision, PATIENCE).await.unwrap();
    let Fate::Declined(declined) = fate else { panic!("{fate:?}") };
    declined
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_host_cannot_run_as_a_canary_leaves_the_version_that_runs() {
    let app = App::new(&manifest()).await;
    let host = app.host().await;
    deployed_by(&app, &[]).await;
    let (log, store) = (app.log().await, store(&app));
    let broken = b"\0asm\x0d\0\x01\0junk";
    store.put(digest_of(broken), broken, (Storage::File, 1)).await.unwrap();
    let good = digest_of(&fs::read(module("counter")).unwrap());
    let cases = [
        (digest_of(broken), json!({ "on": ["in.>"] }), "not a whole WebAssembly component"),
        (good, json!({ "on": ["in.>"], "concurrency": 3 }), "more than its module, settings and limits"),
    ];
    let mut last = Position::NONE;
    for (n, (module, manifest, expected)) in cases.into_iter().enumerate() {
        let declined = force(&app, &log, module, manifest).await;
        assert!(declined.why.contains(expected), "{expected}: {}", declined.why);
        assert_eq!(declined.instead, V1);
        // Nobody takes it back, and the version goes on alone.
        last = app.publish(&inputs(n as u64 * 100, 100)).await;
        app.handled("count", last).await;
    }
    assert!(host.stop().await);
    let _host = app.host().await;
    let further = app.publish(&inputs(200, 100)).await;
    app.handled("count", further).await;
    assert!(further > last);
    let ran = ran(&app::entries(&log).await);
    assert!(ran.len() == 300 && ran.values().all(|version| *version == V1), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_refuses_what_cannot_be_tried() {
    let app = App::new(&manifest()).await;
    let refused = async |arguments: &[&str], expected: &str| {
        let (fine, said, error) = deploy(&app, arguments).await;
        assert!(!fine && error.contains(expected), "{arguments:?}: {said}{error}");
    };
    refused(&["count", "--canary", "5%"], "nothing of handler `count` is deployed").await;
    deployed_by(&app, &[]).await;
    refused(&["count", "--canary", "100%"], "more than none of the keys and less than all").await;
    refused(&["count", "--canary", "5"], "write a percentage").await;
    refused(&["count", "--canary", "5%", "--shadow"], "cannot be used with").await;
    refused(&["count", "--min-runs", "5"], "--canary").await;
    refused(&["count", "--promote"], "no version of `count` is tried").await;
    let said = deployed_by(&app, &["count", "--canary", "5%"]).await;
    assert!(said.contains("nothing to deploy"), "{said}");
    let text = fs::read_to_string(app.path().join("waxwing.toml")).unwrap();
    fs::write(app.path().join("waxwing.toml"), text.replace("key = ", "concurrency = 7\nkey = ")).unwrap();
    for how in [&["count", "--canary", "5%"][..], &["count", "--shadow"]] {
        refused(how, "more than its module, settings and limits of runs differs from version 1").await;
    }
    let decisions = deployed::decisions(&app.log().await, &app.layout).await.unwrap();
    assert_eq!(decisions[&count()].deployment.highest, VersionNumber(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_ends_it_and_what_a_host_has_found_about_it_counts_no_more() {
    let app = App::new(&manifest()).await;
    let _host = app.host().await;
    deployed_by(&app, &[]).await;
    let path = format!("count={}", variant(&app, 1).display());
    deployed_by(&app, &[&path, "--canary", "50%", "--window", "1h"]).await;
    let log = app.log().await;
    let (_, decision) = deployed::decision(&log, &app.layout, &count()).await.unwrap().unwrap();
    assert!(app.run(&["rollback", "count"]).await.contains("version 1 runs on"));
    canary_runs(&app, &log, None).await;
    // A verdict that comes late is about a decision of before.
    let verdict = Verdict {
        decision,
        version: VersionNumber(2),
        sentence: Sentence::Promoted,
        tally: Tally::default(),
        host: "late".to_owned(),
        at: jiff::Timestamp::now(),
    };
    let entry = verdict.write(app.layout.verdict(&count()));
    waxwing_engine::port::log::commit(&log, vec![entry]).await.unwrap();
    let (standing, _) = deployed::decision(&log, &app.layout, &count()).await.unwrap().unwrap();
    assert_eq!((standing.version, standing.beside), (V1, None));
    let last = app.publish(&inputs(0, 100)).await;
    app.handled("count", last).await;
    assert!(ran(&app::entries(&log).await).values().all(|version| *version == V1));
}
