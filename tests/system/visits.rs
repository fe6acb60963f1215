//! Requests and live messages on the memory log, with handlers in plain Rust: answered once they are durable,
//! run once for an id, brought to the owner, bounded, and never left without an answer.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::{Notify, Semaphore};
use waxwing_engine::entry::Partition;
use waxwing_engine::{
    Engine, Ports,
    entry::{Layout, operator},
    gauges::Gauges,
    port::{
        Observe,
        clock::SystemClock,
        log::{NewEntry, commit},
        observe::{Handled, PartitionChange},
        requests::Answer,
    },
};
use waxwing_event::{Failure, HandlerName, HandlerSpec, Headers, Position, Subject, outcome::FailureKind};
use waxwing_log::memory::MemoryLog;
use waxwing_request::MemoryRequests;

use crate::{
    app::{PATIENCE, handled},
    engine::{all, app, start_on},
    scripted::{Script, Scripted},
};

/// A log and requests that hosts share, and what happened there.
#[derive(Clone)]
struct Bed {
    log: MemoryLog,
    requests: MemoryRequests,
    watch: Arc<Watch>,
    /// How many runs there were.
    runs: Arc<AtomicU64>,
    /// A run ends when it gets a permit.
    gate: Arc<Semaphore>,
}

#[derive(Default)]
struct Watch {
    shed: AtomicU64,
    /// Each telling of shed messages.
    tellings: AtomicU64,
    changes: Mutex<Vec<PartitionChange>>,
    news: Notify,
}

impl Observe for Watch {
    fn handled(&self, _: &Handled<'_>) {}

    fn shed(&self, _: &HandlerName, count: u64) {
        self.shed.fetch_add(count, SeqCst);
        self.tellings.fetch_add(1, SeqCst);
        self.news.notify_waiters();
    }

    fn partition(&self, _: &HandlerName, _: Partition, change: &PartitionChange) {
        self.changes.lock().unwrap().push(change.clone());
        self.news.notify_waiters();
    }
}

impl Watch {
    async fn until(&self, what: impl Fn(&Watch) -> bool) {
        let wait = async {
            loop {
                let news = self.news.notified();
                if what(self) {
                    return;
                }
                news.await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("it comes to pass");
    }

    async fn changed(&self, to: &PartitionChange, times: usize) {
        let same = |change: &&PartitionChange| std::mem::discriminant(*change) == std::mem::discriminant(to);
        self.until(|watch| watch.changes.lock().unwrap().iter().filter(same).count() >= times).await;
    }
}

const STARTED: PartitionChange = PartitionChange::Started { from: Position::NONE };

fn spec() -> HandlerSpec {
    let mut spec = HandlerSpec::new("count".parse().unwrap(), vec!["in.>".parse().unwrap()]);
    spec.request = vec!["cmd.>".parse().unwrap()];
    spec.live = vec!["live.>".parse().unwrap()];
    spec
}

impl Bed {
    fn new() -> Bed {
        Bed {
            log: MemoryLog::new(Arc::new(SystemClock)),
            requests: MemoryRequests::default(),
            watch: Arc::default(),
            runs: Arc::default(),
            gate: Arc::new(Semaphore::new(1_000_000)),
        }
    }

    /// A host that counts. The last word of the subject says what a run does: `add` counts and tells, `show`
    /// replies with the count, `fail`, `trap` and `retry` fail, `silent` does nothing.
    async fn host(&self, name: &str, spec: HandlerSpec) -> Engine {
        let (runs, gate) = (self.runs.clone(), self.gate.clone());
        let module = Scripted(move |mut script: Script| {
            let (runs, gate) = (runs.clone(), gate.clone());
            async move {
                runs.fetch_add(1, SeqCst);
                gate.acquire().await.unwrap().forget();
                let failure = |kind, reason: &str| Err(Failure::new(kind, reason));
                let count =
                    script.get("count").await.map_or(0, |v| String::from_utf8_lossy(&v).parse().unwrap());
                let attempt = script.event.attempt;
                match script.event.subject.as_str().rsplit('.').next().unwrap() {
                    "add" => {
                        let count: u64 = count + 1;
                        script.set("count", count.to_string());
                        script.emit("out.counted", count.to_string());
                        script.reply(count.to_string());
                    }
                    "show" => script.reply(count.to_string()),
                    "asked" => script.reply(script.is_asked.to_string()),
                    "large" => script.reply(vec![b'x'; 2 << 20]),
                    "fail" => return failure(FailureKind::Reject, "as asked"),
                    "trap" => return failure(FailureKind::Trap, "secret"),
                    "second" if attempt < 2 => return failure(FailureKind::Retry, "not yet"),
                    "second" => script.reply(attempt.to_string()),
                    _ => {}
                }
                Ok(script)
            }
        });
        let (clock, observe) = (Arc::new(SystemClock), self.watch.clone());
        let mut ports = Ports::new(Arc::new(self.log.clone()), clock, observe);
        ports.requests = Some(Arc::new(self.requests.clone()));
        start_on(ports, name, spec, Arc::new(module)).await
    }

    /// A host that has begun to serve.
    async fn serving(&self, name: &str, spec: HandlerSpec) -> Engine {
        let before = self
            .watch
            .changes
            .lock()
            .unwrap()
            .iter()
            .filter(|c| matches!(c, PartitionChange::Started { .. }))
            .count();
        let engine = self.host(name, spec).await;
        self.watch.changed(&STARTED, before + 1).await;
        engine
    }

    /// Asks until a host serves: none may right after a start, and one that stops may still get the message.
    async fn ask(&self, subject: &str, id: Option<&str>) -> Answer {
        let ask = async {
            loop {
                match self.ask_once(subject, id).await {
                    Answer::Refused { code: 503, reason } if is_passing(&reason) => {
                        tokio::task::yield_now().await;
                    }
                    answer => return answer,
                }
            }
        };
        tokio::time::timeout(PATIENCE, ask).await.expect("an answer comes")
    }

    async fn ask_once(&self, subject: &str, id: Option<&str>) -> Answer {
        self.try_ask(subject, id).await.expect("nobody is left without an answer")
    }

    /// Asks as one does who gets no answer from a host that has crashed, and asks again.
    async fn ask_on(&self, subject: &str, id: &str) -> Answer {
        let ask = async {
            loop {
                match self.try_ask(subject, Some(id)).await {
                    None | Some(Answer::Refused { code: 503, .. }) => tokio::task::yield_now().await,
                    Some(answer) => return answer,
                }
            }
        };
        tokio::time::timeout(PATIENCE, ask).await.expect("an answer comes")
    }

    async fn try_ask(&self, subject: &str, id: Option<&str>) -> Option<Answer> {
        let headers: Headers = id.map(|id| ("Nats-Msg-Id", id)).into_iter().collect();
        self.requests.request(&Subject::from_checked(subject), headers, Bytes::new()).await
    }

    /// How many entries stand on subjects that begin so.
    async fn entries(&self, start: &str) -> usize {
        all(&self.log).await.iter().filter(|entry| entry.subject.as_str().starts_with(start)).count()
    }
}

/// True where a request was not handled because its host comes or goes.
fn is_passing(reason: &str) -> bool {
    reason.starts_with("no host has") || reason.starts_with("the host stopped")
}

fn text(answer: Answer) -> String {
    match answer {
        Answer::Reply { payload, .. } => String::from_utf8_lossy(&payload).into_owned(),
        Answer::Refused { code, reason } => format!("{code} {reason}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_request_did_is_there_when_its_answer_comes() {
    let bed = Bed::new();
    let _host = bed.host("a", spec()).await;
    for n in 1..=20 {
        assert_eq!(text(bed.ask("cmd.add", None).await), n.to_string());
        assert_eq!(bed.entries("out.counted").await, n);
    }
    assert_eq!(text(bed.ask("cmd.show", None).await), "20");
    assert_eq!(text(bed.ask("cmd.asked", None).await), "true");
    assert_eq!(text(bed.ask("cmd.silent", None).await), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_writes_nothing() {
    let bed = Bed::new();
    let host = bed.host("a", spec()).await;
    bed.ask("cmd.add", None).await;
    let written = |entries: Vec<_>| -> usize { entries.len() };
    let own = |entry: &waxwing_engine::port::log::Entry| {
        ["wx.test.host", "wx.test.checkpoint"].iter().all(|start| !entry.subject.as_str().starts_with(start))
    };
    let before = written(all(&bed.log).await.into_iter().filter(own).collect());
    for _ in 0..100 {
        assert_eq!(text(bed.ask("cmd.show", None).await), "1");
    }
    assert_eq!(written(all(&bed.log).await.into_iter().filter(own).collect()), before);
    drop(host);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_comes_a_hundred_times_at_once_runs_once() {
    let bed = Bed::new();
    let _host = bed.serving("a", spec()).await;
    for (subject, id) in [("cmd.add", "one"), ("cmd.show", "two"), ("cmd.silent", "three")] {
        let before = bed.runs.load(SeqCst);
        let asked = (0..100).map(|_| {
            let bed = bed.clone();
            tokio::spawn(async move { bed.ask(subject, Some(id)).await })
        });
        let asked: Vec<_> = asked.collect();
        let mut answers = Vec::new();
        for answer in asked {
            answers.push(answer.await.unwrap());
        }
        assert!(answers.iter().all(|answer| *answer == answers[0] && matches!(answer, Answer::Reply { .. })));
        assert_eq!(bed.runs.load(SeqCst) - before, 1, "{subject}");
        assert_eq!(bed.ask(subject, Some(id)).await, answers[0], "later, too");
        assert_eq!(bed.runs.load(SeqCst) - before, 1, "{subject}");
    }
    assert_eq!(bed.entries("out.counted").await, 1);
    assert_eq!(bed.entries("wx.test.seen.count.").await, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_without_an_id_all_run_and_so_do_those_of_different_ids() {
    let bed = Bed::new();
    let _host = bed.host("a", spec()).await;
    for id in [None, None, Some("a"), Some("b")] {
        bed.ask("cmd.add", id).await;
    }
    assert_eq!(text(bed.ask("cmd.show", None).await), "4");
    let ids: std::collections::BTreeSet<_> = all(&bed.log)
        .await
        .iter()
        .filter(|entry| entry.subject.as_str() == "out.counted")
        .map(|entry| entry.headers.get("ce-id").unwrap().to_owned())
        .collect();
    assert_eq!(ids.len(), 4, "their events are different ones");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_is_known_to_the_next_owner() {
    let bed = Bed::new();
    let first = bed.serving("a", spec()).await;
    let answer = bed.ask("cmd.add", Some("x")).await;
    drop(first);
    let _second = bed.serving("b", spec()).await;
    assert_eq!(bed.ask("cmd.add", Some("x")).await, answer);
    assert_eq!(bed.runs.load(SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_is_known_for_its_time_only() {
    let bed = Bed::new();
    let mut short = spec();
    short.dedupe = Duration::from_secs(1);
    let _host = bed.serving("a", short).await;
    assert_eq!(text(bed.ask("cmd.add", Some("x")).await), "1");
    let again = async { while text(bed.ask("cmd.add", Some("x")).await) == "1" {} };
    tokio::time::timeout(PATIENCE, again).await.expect("it is a new request then");
    assert_eq!(bed.runs.load(SeqCst), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_request_is_answered_with_an_error_and_leaves_nothing() {
    let bed = Bed::new();
    let _host = bed.host("a", spec()).await;
    assert_eq!(text(bed.ask("cmd.fail", Some("1")).await), "400 as asked");
    assert_eq!(text(bed.ask("cmd.trap", Some("2")).await), "500 the handler failed");
    assert_eq!(bed.runs.load(SeqCst), 1 + 2, "a rejection is final, a trap is tried once more at once");
    assert_eq!(text(bed.ask("cmd.second", None).await), "2");
    assert!(text(bed.ask("cmd.large", None).await).starts_with("500 "));
    let long = "x".repeat(201);
    assert!(text(bed.ask("cmd.add", Some(&long)).await).starts_with("400 the Nats-Msg-Id has 201 bytes"));
    for family in ["seen", "dead", "parked", "state"] {
        assert_eq!(bed.entries(&format!("wx.test.{family}.")).await, 0, "{family}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_without_the_handlers_key_is_refused() {
    let bed = Bed::new();
    let mut keyed = spec();
    keyed.key = vec!["data.key".parse().unwrap()];
    let _host = bed.host("a", keyed).await;
    assert_eq!(text(bed.ask("cmd.add", None).await), "400 the event has no key: the data is not JSON");
}

/// The host of the two, this one and `a`, to which the hash gives the handler.
const HAS_THE_TURN: &str = "b";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_host_brings_a_request_to_the_owner() {
    let bed = Bed::new();
    let _owner = bed.serving(HAS_THE_TURN, spec()).await;
    let _other = bed.host("a", spec()).await;
    bed.watch.changed(&PartitionChange::Waiting { owner: String::new() }, 1).await;
    for n in 1..=20 {
        assert_eq!(text(bed.ask("cmd.add", Some(&n.to_string())).await), n.to_string());
    }
    assert_eq!(bed.runs.load(SeqCst), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_no_host_owns_the_handler_that_is_said_at_once() {
    let bed = Bed::new();
    let crashed = bed.serving(HAS_THE_TURN, spec()).await;
    let _next = bed.host("a", spec()).await;
    bed.watch.changed(&PartitionChange::Waiting { owner: String::new() }, 1).await;
    drop(crashed);
    let refused = async {
        // The one that crashed may still be asked, and answer or not.
        while !bed.try_ask("cmd.show", None).await.is_some_and(|a| text(a).starts_with("503 no host has")) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, refused).await.expect("the lease of the crashed host lasts a while");
    assert_eq!(text(bed.ask_on("cmd.show", "x").await), "0", "the next owner answers");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_handler_refuses_requests_and_sheds_live_messages() {
    let bed = Bed::new();
    let _host = bed.serving("a", spec()).await;
    assert_eq!(text(bed.ask("cmd.show", None).await), "0");
    let subject = Layout::new(app()).paused(&"count".parse().unwrap());
    commit(&bed.log, vec![operator::pause(subject, Timestamp::now())]).await.unwrap();
    bed.watch.changed(&PartitionChange::Paused, 1).await;
    assert!(text(bed.ask("cmd.show", None).await).starts_with("503 the handler is paused"));
    bed.requests.publish(&Subject::from_checked("live.add"), Headers::new(), Bytes::new());
    bed.watch.until(|watch| watch.shed.load(SeqCst) == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_messages_run_once_and_are_not_tried_again() {
    let bed = Bed::new();
    let host = bed.serving("a", spec()).await;
    assert_eq!(text(bed.ask("cmd.show", None).await), "0");
    let gauges = host.gauges()[0].1.first().clone();
    let (visited, runs) = (Gauges::read(&gauges.visited), bed.runs.load(SeqCst));
    let words = ["add", "trap", "fail", "asked"];
    for (nth, word) in (1..).zip(words) {
        bed.requests.publish(&Subject::from_checked(&format!("live.{word}")), Headers::new(), Bytes::new());
        // One after the other: a run that reads what another writes is run again.
        let ended = async {
            while Gauges::read(&gauges.visited) < visited + nth {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, ended).await.unwrap();
    }
    assert_eq!(bed.runs.load(SeqCst) - runs, words.len() as u64);
    assert_eq!(text(bed.ask("cmd.show", None).await), "1");
    assert_eq!((bed.watch.shed.load(SeqCst), bed.entries("wx.test.seen").await), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_may_wait_is_refused_or_shed_and_counted() {
    let bed = Bed::new();
    let mut narrow = spec();
    narrow.concurrency = 1.try_into().unwrap();
    narrow.limits.waiting = 2;
    let host = bed.serving("a", narrow).await;
    assert_eq!(text(bed.ask("cmd.show", None).await), "0");
    bed.gate.forget_permits(usize::MAX >> 4);
    let before = bed.runs.load(SeqCst);
    let ask = || {
        let bed = bed.clone();
        tokio::spawn(async move { bed.ask_once("cmd.show", None).await })
    };
    let running = ask();
    while bed.runs.load(SeqCst) == before {
        tokio::task::yield_now().await;
    }
    let live = Subject::from_checked("live.silent");
    for _ in 0..7 {
        bed.requests.publish(&live, Headers::new(), Bytes::new());
    }
    bed.watch.until(|watch| watch.shed.load(SeqCst) == 5).await;
    assert!(bed.watch.tellings.load(SeqCst) <= 2, "told at once and then once a second");
    let asked: Vec<_> = (0..5).map(|_| ask()).collect();
    let gauges = host.gauges()[0].1.first().clone();
    while Gauges::read(&gauges.turned_away) < 3 {
        tokio::task::yield_now().await;
    }
    assert_eq!((Gauges::read(&gauges.requests_waiting), Gauges::read(&gauges.live_waiting)), (2, 2));
    bed.gate.add_permits(1_000_000);
    assert_eq!(text(running.await.unwrap()), "0");
    let mut answers = Vec::new();
    for answer in asked {
        answers.push(text(answer.await.unwrap()));
    }
    answers.sort();
    assert_eq!(&answers[..2], ["0", "0"]);
    assert!(
        answers[2..].iter().all(|answer| answer.starts_with("429 too many requests wait")),
        "{answers:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_answers_what_has_come_and_then_leaves() {
    let bed = Bed::new();
    let host = bed.serving("a", spec()).await;
    assert_eq!(text(bed.ask("cmd.show", None).await), "0");
    bed.gate.forget_permits(usize::MAX >> 4);
    let before = bed.runs.load(SeqCst);
    let asked: Vec<_> = (0..50)
        .map(|n| {
            let bed = bed.clone();
            tokio::spawn(async move { bed.ask_once("cmd.add", Some(&n.to_string())).await })
        })
        .collect();
    while bed.runs.load(SeqCst) < before + 50 {
        tokio::task::yield_now().await;
    }
    let drained = tokio::spawn(host.drain(PATIENCE));
    // Until nobody listens any more.
    let live = Subject::from_checked("live.silent");
    while bed.requests.publish(&live, Headers::new(), Bytes::new()) > 0 {
        tokio::task::yield_now().await;
    }
    assert!(!drained.is_finished(), "it waits for what is under way");
    bed.gate.add_permits(1_000_000);
    for asked in asked {
        assert!(matches!(asked.await.unwrap(), Answer::Reply { .. }));
    }
    assert_eq!(drained.await.unwrap(), waxwing_engine::engine::Drained::Whole);
    assert_eq!(bed.entries("out.counted").await, 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_hears_of_a_host_that_stops_in_the_midst_of_things() {
    let bed = Bed::new();
    let host = bed.serving("a", spec()).await;
    assert_eq!(text(bed.ask("cmd.show", None).await), "0");
    bed.gate.forget_permits(usize::MAX >> 4);
    let before = bed.runs.load(SeqCst);
    let asked = tokio::spawn({
        let bed = bed.clone();
        async move { bed.ask_once("cmd.add", Some("x")).await }
    });
    while bed.runs.load(SeqCst) == before {
        tokio::task::yield_now().await;
    }
    drop(host);
    let answer = text(tokio::time::timeout(PATIENCE, asked).await.unwrap().unwrap());
    assert!(answer.starts_with("503 ") && answer.contains("is not known"), "{answer}");
}

/// A handler of requests alone reads nothing of the log, and goes on after a crash where it stood.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_of_requests_alone_reads_no_events() {
    let bed = Bed::new();
    let mut alone = spec();
    alone.on = Vec::new();
    let entry = NewEntry::new(Subject::from_checked("in.add"), "");
    commit(&bed.log, vec![entry]).await.unwrap();
    let host = bed.host("a", alone.clone()).await;
    assert_eq!(text(bed.ask("cmd.add", None).await), "1");
    drop(host);
    let _next = bed.serving("b", alone).await;
    assert_eq!(text(bed.ask("cmd.add", None).await), "2");
    assert_eq!(bed.runs.load(SeqCst), 2);
}

/// A state entry of a request replaces one of an event, whose mark must not be lost with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_takes_no_mark_out_of_the_log() {
    let bed = Bed::new();
    let mut slow = spec();
    slow.concurrency = 8.try_into().unwrap();
    let mut events = 0;
    for round in 0..6_u32 {
        let host = bed.host(&format!("h{round}"), slow.clone()).await;
        let mut last = Position::NONE;
        for n in 0..30 {
            let word = if n % 3 == 0 { "in.silent" } else { "in.add" };
            events += u64::from(n % 3 != 0);
            last = commit(&bed.log, vec![NewEntry::new(Subject::from_checked(word), "")]).await.unwrap().last;
            if n % 5 == 0 {
                let id = format!("{round}-{n}");
                events += 1;
                let answer = bed.ask_on("cmd.add", &id).await;
                assert!(matches!(answer, Answer::Reply { .. }), "{answer:?}");
            }
        }
        if round % 2 == 0 {
            handled(&bed.log, &Layout::new(app()), "count", last).await;
        }
        // As a crash would.
        drop(host);
    }
    let host = bed.serving("last", slow).await;
    let last =
        commit(&bed.log, vec![NewEntry::new(Subject::from_checked("in.silent"), "")]).await.unwrap().last;
    handled(&bed.log, &Layout::new(app()), "count", last).await;
    assert_eq!(text(bed.ask("cmd.show", None).await), events.to_string());
    host.drain(PATIENCE).await;
    assert_eq!(bed.entries("out.counted").await as u64, events);
}
