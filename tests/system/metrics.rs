//! What a host counts and measures, asked by a test and by a real Prometheus.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::{Child, Command},
};
use waxwing::control::probes::METRICS;

use crate::{
    app::{App, HostProcess, Input, PATIENCE},
    debian::Package,
    probes::{ANY_PORT, logged},
    proxy::Proxied,
};

const PROMETHEUS: Package = Package { name: "prometheus", file: "usr/bin/prometheus" };

/// A handler for each thing that an alert tells of.
const MANIFEST: &str = r#"
[app]
name = "seen"
events = ["work.>", "done.>", "counter.>"]

[host]
lease = "1s"

[handlers.dies]
module = "poison.wasm"
on = ["work.dies"]
key = "data.key"
on-exhausted = "dead-letter-event"

[handlers.dies.grants]
emit = ["done.dies"]
settings = { poison = "reject", out = "done.dies" }

[handlers.crowded]
module = "poison.wasm"
on = ["work.crowded"]
key = "data.key"
retry = { attempts = 5, backoff = "1h..1h" }

[handlers.crowded.limits]
parked = 1

[handlers.crowded.grants]
emit = ["done.crowded"]
settings = { poison = "error", out = "done.crowded" }

[handlers.down]
module = "poison.wasm"
on = ["work.down"]
key = "data.key"
retry = { attempts = 5, backoff = "1h..1h" }
outage = { after = 2, probe = "1h" }

[handlers.down.grants]
emit = ["done.down"]
settings = { poison = "error", out = "done.down" }

[handlers.paused]
module = "counter.wasm"
on = ["work.paused"]
key = "data.key"

[handlers.paused.grants]
emit = ["counter.counted"]

[handlers.clicks]
module = "counter.wasm"
live = ["clicks.>"]
concurrency = 1

[handlers.clicks.limits]
waiting = 1

[handlers.clicks.grants]
emit = ["done.clicks"]
settings = { mode = "state" }

[handlers.leaves]
module = "poison.wasm"
on = ["work.leaves"]

[handlers.leaves.grants]
publish = ["audit.>"]
settings = { out = "audit.left" }

[handlers.reads]
module = "poison.wasm"
stream = "ORDERS"
on = ["orders.>"]

[handlers.reads.grants]
emit = ["done.reads"]
settings = { out = "done.reads" }
"#;

fn packaging(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging").join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The body of an answer.
async fn get(address: &str, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    // Of version 1.0, so that the answer comes in one piece.
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.split(' ').nth(1).filter(|status| *status == "200")?;
    Some(body.to_owned())
}

/// What a host tells: values by names with labels, which are in the order of the alphabet.
async fn told(address: &str) -> BTreeMap<String, f64> {
    let text = get(address, METRICS).await.unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(name, value)| (sorted(name), value.parse().unwrap()))
        .collect()
}

fn sorted(series: &str) -> String {
    let Some((name, labels)) = series.strip_suffix('}').and_then(|series| series.split_once('{')) else {
        return series.to_owned();
    };
    let labels: BTreeSet<&str> = labels.split(',').collect();
    format!("{name}{{{}}}", labels.into_iter().collect::<Vec<_>>().join(","))
}

async fn until<T>(what: &str, look: impl AsyncFn() -> Option<T>) -> T {
    let looked = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, looked).await.unwrap_or_else(|_| panic!("never: {what}"))
}

async fn started(app: &App<Proxied>) -> (HostProcess, String) {
    let client = app.client().await;
    let orders = async_nats::jetstream::stream::Config {
        name: "ORDERS".to_owned(),
        subjects: vec!["orders.>".to_owned()],
        ..Default::default()
    };
    async_nats::jetstream::new(client).create_stream(orders).await.unwrap();
    let url = app.server.proxy.url();
    let mut host = app.launch_with(&ANY_PORT, &[("NATS_URL", &url)]);
    host.ready().await;
    let address = logged(app, "answering probes address=").await;
    (host, address)
}

fn work(subject: &str, n: u64, poison: bool) -> Input {
    let data = json!({ "key": format!("k{n}"), "n": n, "poison": poison });
    Input::new(subject, format!("{subject}-{n}"), &data)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_are_those_of_a_counted_run() {
    let app = App::on(Proxied::start().await, MANIFEST);
    let (host, address) = started(&app).await;
    let inputs: Vec<Input> = (0..200).map(|n| work("work.dies", n, n % 20 == 7)).collect();
    let last = app.publish(&inputs).await;
    app.handled("dies", last).await;
    let all = until("each event is counted", async || {
        let told = told(&address).await;
        let dead =
            told.get(r#"waxwing_events_total{app="seen",handler="dies",outcome="dead",version="manifest"}"#);
        let done =
            told.get(r#"waxwing_events_total{app="seen",handler="dies",outcome="done",version="manifest"}"#);
        (dead == Some(&10.0) && done == Some(&190.0)).then_some(told)
    })
    .await;
    let of = |name: &str| all.get(&format!(r#"waxwing_{name}{{app="seen",handler="dies"}}"#)).copied();
    assert_eq!(of("emitted_events_total"), Some(190.0));
    assert_eq!(of("dead_letters_total"), Some(10.0));
    assert_eq!(of("attempts_failed_total"), Some(10.0));
    for time in ["run", "queue", "commit"] {
        assert_eq!(of(&format!("{time}_duration_seconds_count")), Some(200.0), "{time}");
        assert!(of(&format!("{time}_duration_seconds_sum")).unwrap() > 0.0, "{time}");
    }
    assert_eq!(
        (of("partitions"), of("events_under_way"), of("lag_seconds")),
        (Some(1.0), Some(0.0), Some(0.0))
    );
    let runs = all[r#"waxwing_batch_runs_sum{app="seen"}"#];
    assert!(runs >= 200.0, "each has written something, and each partition its place: {runs}");
    assert!(all[r#"waxwing_module_loads_total{app="seen"}"#] >= 2.0);
    assert!(all[r#"waxwing_sandbox_idle_bytes{app="seen"}"#] > 0.0);

    // What is not handled is counted by the server.
    app.run(&["pause", "paused"]).await;
    let inputs: Vec<Input> = (0..7).map(|n| work("work.paused", n, false)).collect();
    app.publish(&inputs).await;
    until("seven are behind", async || {
        let told = told(&address).await;
        let of = |name: &str| told.get(&format!(r#"waxwing_{name}{{app="seen",handler="paused"}}"#)).copied();
        (of("lag_events") == Some(7.0) && of("paused") == Some(1.0) && of("lag_seconds")? > 0.0).then_some(())
    })
    .await;

    // Each is written down.
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md")).unwrap();
    let text = get(&address, METRICS).await.unwrap();
    let names = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let names: BTreeSet<&str> = names.collect();
    let missing: Vec<_> = names.iter().filter(|name| !page.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "docs/metrics.md does not tell of {missing:?}");
    let written = page.split('`').filter(|word| {
        word.len() > "waxwing_".len() && word.starts_with("waxwing_") && !word.contains(['{', '*', '(', ' '])
    });
    let gone: Vec<_> = written.filter(|word| !names.contains(word) && !seldom(word)).collect();
    assert!(gone.is_empty(), "docs/metrics.md tells of {gone:?}, which are not told");
    assert!(host.stop().await);
}

/// What is told only once it has happened.
fn seldom(name: &str) -> bool {
    ["waxwing_requests_total", "waxwing_module_swaps_total", "waxwing_interruptions_total"].contains(&name)
}

/// A Prometheus that scrapes a host and looks at its rules all the time.
struct Prometheus {
    address: String,
    _child: Child,
    _folder: TempDir,
}

impl Prometheus {
    async fn start(host: &str) -> Prometheus {
        let binary: PathBuf = tokio::task::spawn_blocking(|| PROMETHEUS.installed()).await.unwrap();
        let folder = TempDir::new().unwrap();
        let config = packaging("prometheus/prometheus.yml")
            .replace("scrape_interval: 15s", "scrape_interval: 200ms\n  evaluation_interval: 200ms")
            .replace("127.0.0.1:8080", host);
        assert!(config.contains(host) && config.contains("200ms"), "{config}");
        fs::write(folder.path().join("prometheus.yml"), config).unwrap();
        // At once, and after less: what a rule waits for is not what is tested.
        let rules = packaging("prometheus/alerts.yml");
        let rules = rules.lines().filter(|line| !line.trim_start().starts_with("for: "));
        let rules = rules.collect::<Vec<_>>().join("\n").replace("> 60", "> 0.2").replace("> 3\n", "> 0\n");
        fs::write(folder.path().join("alerts.yml"), rules).unwrap();
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap().to_string();
        drop(free);
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let child = Command::new(binary)
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"])
            .arg(format!("--web.listen-address={address}"))
            .current_dir(folder.path())
            .stderr(log)
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        until("Prometheus is ready", async || get(&address, "/-/ready").await).await;
        Prometheus { address, _child: child, _folder: folder }
    }

    async fn api(&self, path: &str) -> Value {
        let answer = get(&self.address, &format!("/api/v1/{path}")).await;
        let answer: Value =
            serde_json::from_str(&answer.unwrap_or_else(|| panic!("{path} is refused"))).unwrap();
        assert_eq!(answer["status"], "success", "{answer}");
        answer["data"].clone()
    }

    /// The series of an expression, with their values.
    async fn query(&self, expression: &str) -> Vec<(Value, f64)> {
        let found =
            self.api(&format!("query?query={}", utf8_percent_encode(expression, NON_ALPHANUMERIC))).await;
        let series = found["result"].as_array().unwrap().iter();
        series
            .map(|one| (one["metric"].clone(), one["value"][1].as_str().unwrap().parse().unwrap()))
            .collect()
    }

    async fn value(&self, expression: &str) -> Option<f64> {
        self.query(expression).await.first().map(|(_, value)| *value)
    }

    async fn alerts(&self) -> BTreeSet<String> {
        let alerts = self.api("alerts").await;
        let firing = alerts["alerts"].as_array().unwrap().iter().filter(|alert| alert["state"] == "firing");
        firing.map(|alert| alert["labels"]["alertname"].as_str().unwrap().to_owned()).collect()
    }

    async fn fires(&self, alert: &str) {
        until(alert, async || self.alerts().await.contains(alert).then_some(())).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_has_the_numbers_and_each_alert_fires_when_it_should() {
    let app = App::on(Proxied::start().await, MANIFEST);
    let (host, address) = started(&app).await;
    let prometheus = Prometheus::start(&address).await;
    until("the host is scraped", async || {
        let seen = prometheus.value(r#"waxwing_dead_letters_total{handler="dies"}"#).await;
        (prometheus.value("up").await == Some(1.0) && seen == Some(0.0)).then_some(())
    })
    .await;
    assert_eq!(prometheus.alerts().await, BTreeSet::new(), "all is well");
    let rules = prometheus.api("rules").await;
    let rules = rules["groups"][0]["rules"].as_array().unwrap().iter();
    let mut left: BTreeSet<String> = rules.map(|rule| rule["name"].as_str().unwrap().to_owned()).collect();
    let mut fires = async |alert: &str| {
        prometheus.fires(alert).await;
        assert!(left.remove(alert), "{alert}");
    };

    let inputs: Vec<Input> = (0..200).map(|n| work("work.dies", n, n % 20 == 7)).collect();
    let last = app.publish(&inputs).await;
    app.handled("dies", last).await;
    fires("WaxwingDeadLetters").await;
    let counted = r#"sum by (outcome) (waxwing_events_total{handler="dies"})"#;
    until("Prometheus has the numbers", async || {
        let counts = prometheus.query(counted).await.into_iter();
        let counts: BTreeMap<_, _> =
            counts.map(|(labels, value)| (labels["outcome"].to_string(), value)).collect();
        (counts == BTreeMap::from([(r#""dead""#.into(), 10.0), (r#""done""#.into(), 190.0)])).then_some(())
    })
    .await;

    app.publish(&(0..3).map(|n| work("work.crowded", n, true)).collect::<Vec<_>>()).await;
    fires("WaxwingNoRoomToPark").await;
    app.publish(&(0..3).map(|n| work("work.down", n, true)).collect::<Vec<_>>()).await;
    fires("WaxwingOutage").await;
    app.run(&["pause", "paused"]).await;
    app.publish(&[work("work.paused", 1, false)]).await;
    fires("WaxwingPaused").await;
    fires("WaxwingLagging").await;
    let client = app.client().await;
    for n in 0..2_000 {
        client.publish("clicks.home", json!({ "key": "k", "n": n }).to_string().into()).await.unwrap();
    }
    fires("WaxwingLiveMessagesShed").await;
    app.publish(&[work("work.leaves", 1, false)]).await;
    fires("WaxwingOutboxStuck").await;

    dashboard(&prometheus).await;

    // A stream of others is made anew: its handler stops, and nobody serves it.
    let context = async_nats::jetstream::new(client);
    context
        .publish("orders.one", json!({ "key": "k", "n": 1 }).to_string().into())
        .await
        .unwrap()
        .await
        .unwrap();
    until("the order is handled", async || {
        let done = prometheus.value(r#"waxwing_events_total{handler="reads",outcome="done"}"#).await;
        (done == Some(1.0)).then_some(())
    })
    .await;
    context.delete_stream("ORDERS").await.unwrap();
    let orders = async_nats::jetstream::stream::Config {
        name: "ORDERS".to_owned(),
        subjects: vec!["orders.>".to_owned()],
        ..Default::default()
    };
    context.create_stream(orders).await.unwrap();
    fires("WaxwingHandlerStopped").await;
    fires("WaxwingNobodyServes").await;

    app.server.proxy.cut();
    app.server.proxy.restore();
    fires("WaxwingConnectionsLost").await;
    host.kill().await;
    fires("WaxwingHostDown").await;
    assert_eq!(left, BTreeSet::new(), "these were not made to fire");
}

/// Each expression of the dashboard can be asked, and asks for metrics that there are.
async fn dashboard(prometheus: &Prometheus) {
    let names = prometheus.api("label/__name__/values").await;
    let names: BTreeSet<&str> = names.as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    let dashboard: Value = serde_json::from_str(&packaging("grafana/waxwing.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    for target in panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap()) {
        let expression = target["expr"].as_str().unwrap();
        let asked =
            expression.replace("$app", "seen").replace("$handler", ".*").replace("$__rate_interval", "1m");
        prometheus.query(&asked).await;
        let words = expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let unknown: Vec<_> =
            words.filter(|word| word.starts_with("waxwing_") && !names.contains(word)).collect();
        assert!(unknown.is_empty(), "{}: {unknown:?}", target["expr"]);
    }
}
