//! The example of permissions on a real server: each role does its work, and whatever else it tries is refused.

use std::path::Path;

use async_nats::{Client, ConnectOptions, Event, HeaderMap, jetstream};
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use waxwing_engine::port::Log;
use waxwing_event::Position;
use waxwing_log::jetstream::Server;

use crate::{
    app::{App, Backing, Input, PATIENCE},
    configured::Configured,
};

/// One handler counts what publishers put into the inlet, and answers; one puts it into the log, or refuses it; one
/// reads that.
const MANIFEST: &str = r#"
[app]
name = "shop"
events = ["orders.>"]

[host]
lease = "1s"

[handlers.counts]
module = "counter.wasm"
stream = "shop-inlet"
on = ["in.orders.placed"]
request = ["cmd.count.show"]
key = "data.key"

[handlers.counts.grants]
settings = { mode = "state" }

[handlers.confirm]
module = "poison.wasm"
stream = "shop-inlet"
on = ["in.orders.placed"]

[handlers.confirm.grants]
emit = ["orders.confirmed"]
settings = { out = "orders.confirmed", poison = "reject" }

[handlers.confirmed]
module = "counter.wasm"
on = ["orders.confirmed"]
key = "data.key"

[handlers.confirmed.grants]
settings = { mode = "state" }
"#;

/// The families of entries that hosts and deployers write.
const FAMILIES: [&str; 18] = [
    "deploy.counts",
    "version.counts.1",
    "lease.counts.0",
    "checkpoint.counts.0",
    "state.counts.a",
    "parked.counts.1",
    "dead.counts.1",
    "archive.counts.1",
    "timer.counts.a",
    "outbox.counts.a",
    "seen.counts.a",
    "generation.counts",
    "paused.counts",
    "stopped.counts.0",
    "outage.counts.0",
    "host.a",
    "swap.counts.1",
    "declined.counts.1",
];

/// What would change the log, or show what is in it, past its entries' subjects.
const GRIPS: [&str; 12] = [
    "$JS.API.STREAM.DELETE.wx-shop",
    "$JS.API.STREAM.MSG.DELETE.wx-shop",
    "$JS.API.STREAM.RESTORE.wx-shop",
    "$JS.API.STREAM.SNAPSHOT.wx-shop",
    "$JS.API.STREAM.CREATE.another",
    "$JS.API.STREAM.UPDATE.wx-shop",
    "$JS.API.STREAM.PURGE.wx-shop",
    "$JS.API.CONSUMER.CREATE.wx-shop",
    "$JS.API.CONSUMER.CREATE.wx-shop.evil",
    "$JS.API.CONSUMER.DURABLE.CREATE.wx-shop.evil",
    "$JS.API.DIRECT.GET.wx-shop",
    "$JS.API.DIRECT.GET.wx-shop.wx.shop.state.counts.a",
];

/// Everybody's.
const PASSWORD: &str = "a secret";

/// A server with the example's very configuration.
struct Guarded(Configured);

impl Guarded {
    async fn start() -> Guarded {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/nats/permissions.conf");
        let passwords = ["OPERATOR", "HOST", "PUBLISHER", "OBSERVER", "DEPLOYER"];
        let variables = passwords.map(|role| (format!("{role}_PASSWORD"), format!("{PASSWORD:?}")));
        Guarded(Configured::with_file(&file, variables).await)
    }

    /// Where this user finds it.
    fn url(&self, user: &str) -> String {
        self.0.url.replace("nats://", &format!("nats://{user}:{}@", PASSWORD.replace(' ', "%20")))
    }

    async fn user(&self, name: &str) -> User {
        let (sender, errors) = mpsc::unbounded_channel();
        let options = ConnectOptions::new().event_callback(move |event| {
            if let Event::ServerError(error) = event {
                sender.send(error.to_string()).unwrap();
            }
            std::future::ready(())
        });
        let options = options.user_and_password(name.to_owned(), PASSWORD.to_owned());
        let client = options.connect(&self.0.url).await.unwrap();
        User { name: name.to_owned(), client, errors }
    }
}

impl Backing for Guarded {
    fn address(&self) -> Server {
        let user = Some(("operator".to_owned(), PASSWORD.to_owned()));
        Server { user, ..Server::at(self.0.url.clone()) }
    }

    fn url_for_hosts(&self) -> String {
        self.url("host")
    }
}

/// Somebody with a client of his own.
struct User {
    name: String,
    client: Client,
    errors: mpsc::UnboundedReceiver<String>,
}

impl User {
    /// Asserts that the server refuses a publish here.
    async fn is_refused(&mut self, subject: &str) {
        self.client.publish_with_reply(subject.to_owned(), "_INBOX.x", "{}".into()).await.unwrap();
        self.hears_of(subject, "publish to").await;
    }

    /// Asserts that the server refuses a subscription.
    async fn is_refused_to_hear(&mut self, subject: &str) {
        let _subscription = self.client.subscribe(subject.to_owned()).await.unwrap();
        self.client.flush().await.unwrap();
        self.hears_of(subject, "subscription to").await;
    }

    async fn hears_of(&mut self, subject: &str, what: &str) {
        // As the observers' and the deployers' questions go on.
        let as_it_goes_on = subject.replace("$JS.API.", "shop.API.");
        let heard = tokio::time::timeout(PATIENCE, self.errors.recv()).await;
        let heard = heard.unwrap_or_else(|_| panic!("{}: nothing is said of {subject}", self.name)).unwrap();
        let is_said =
            |subject: &str| heard.to_lowercase().contains(&format!("{what} \"{subject}\"").to_lowercase());
        assert!(is_said(subject) || is_said(&as_it_goes_on), "{} about {subject}: {heard}", self.name);
    }

    /// Publishes with these headers; the stream's answer.
    async fn publish(&self, subject: &str, headers: &[(&str, &str)], data: &Value) -> Value {
        let mut map = HeaderMap::new();
        headers.iter().for_each(|(name, value)| map.insert(*name, *value));
        let answer = self.client.request_with_headers(subject.to_owned(), map, data.to_string().into()).await;
        let answer = answer.unwrap_or_else(|error| panic!("{} on {subject}: {error}", self.name));
        serde_json::from_slice(&answer.payload).unwrap()
    }

    /// Publishes and has the answer sent elsewhere.
    async fn publish_with_answer_to(&self, subject: &str, answer_to: &str) {
        let sent = self.client.publish_with_reply(subject.to_owned(), answer_to.to_owned(), "{}".into());
        sent.await.unwrap();
        self.client.flush().await.unwrap();
    }
}

fn code(answer: &Value) -> Option<u64> {
    answer["error"]["err_code"].as_u64()
}

fn order(key: &str) -> Value {
    json!({ "key": key, "n": 1 })
}

/// The app on a guarded server, with an inlet. No host has run yet.
async fn app() -> App<Guarded> {
    let server = Guarded::start().await;
    let context = jetstream::new(server.user("operator").await.client);
    let inlet = jetstream::stream::Config {
        name: "shop-inlet".to_owned(),
        subjects: vec!["in.>".to_owned()],
        ..Default::default()
    };
    context.create_stream(inlet).await.unwrap();
    App::on(server, MANIFEST)
}

/// The same, after a host has run.
async fn app_with_log() -> App<Guarded> {
    let app = app().await;
    assert!(app.host().await.stop().await);
    app
}

async fn end(app: &App<Guarded>) -> Position {
    app.log().await.bounds().await.unwrap().last
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_role_does_its_work() {
    let app = app().await;
    let [publisher, observer] = ["publisher", "observer"].map(|user| app.server.url(user));
    let host = app.host().await;

    for (key, poison) in [("a", false), ("b", false), ("a", true)] {
        let data = json!({ "key": key, "n": 1, "poison": poison }).to_string();
        let emitted = app.run(&["emit", "in.orders.placed", &data, "-s", &publisher]).await;
        assert!(emitted.contains("of shop-inlet"), "{emitted}");
    }
    for handler in ["counts", "confirm"] {
        app.handled(handler, Position(3)).await;
    }
    let question = order("a").to_string();
    let answer = app.run(&["request", "cmd.count.show", &question, "-s", &publisher]).await;
    assert_eq!(serde_json::from_str::<Value>(&answer).unwrap()["count"], json!(2));
    assert!(host.stop().await);
    // What it emitted comes back to it, after its restart too.
    let host = app.host().await;
    app.handled("confirmed", app.result().await.emitted.last().unwrap().position).await;

    let state = app.run(&["state", "get", "counts", "a", "-s", &observer]).await;
    assert!(state.contains("\"count\""), "{state}");
    let dead = app.run(&["dead", "ls", "-s", &observer]).await;
    assert!(dead.contains("confirm") && dead.contains("poison"), "{dead}");
    let listed = app.run(&["ls", "-s", &observer]).await;
    assert!(["counts", "confirm", "confirmed"].iter().all(|name| listed.contains(name)), "{listed}");
    let hosts = app.run(&["hosts", "-s", &observer]).await;
    assert!(hosts.contains("counts"), "{hosts}");
    let doctor = app.command(&["doctor", "-s", &observer]).output().await.unwrap();
    let doctor = String::from_utf8(doctor.stdout).unwrap();
    for seen in ["nats-server 2.", "`counts` reads the stream `shop-inlet`", "one copy (R1)", "dead letter"] {
        assert!(doctor.contains(seen), "{doctor}");
    }

    assert!(host.stop().await);
    let log = app.host_log();
    assert!(!log.to_lowercase().contains("violation"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployer_stores_modules_and_says_what_runs() {
    let app = app_with_log().await;
    let deployer = app.server.user("deployer").await;
    let first = [("Nats-Expected-Last-Subject-Sequence", "0")];
    for subject in ["wx.shop.version.counts.1", "wx.shop.deploy.counts"] {
        let done = deployer.publish(subject, &first, &json!({})).await;
        assert_eq!((&done["stream"], code(&done)), (&json!("wx-shop"), None), "{subject}: {done}");
        let again = deployer.publish(subject, &first, &json!({})).await;
        assert_eq!(code(&again), Some(10071), "{subject}: {again}");
    }
    let context = jetstream::new(deployer.client.clone());
    let config =
        jetstream::object_store::Config { bucket: "wx-shop-modules".to_owned(), ..Default::default() };
    let bucket = context.create_object_store(config).await.unwrap();
    let module = Bytes::from(vec![7_u8; 300_000]);
    for _ in 0..2 {
        bucket.put("sha256-7", &mut module.as_ref()).await.unwrap();
    }
    // The host reads it, and cannot change it.
    let mut host = app.server.user("host").await;
    let bucket = jetstream::new(host.client.clone()).get_object_store("wx-shop-modules").await.unwrap();
    let mut read = Vec::new();
    let mut object = bucket.get("sha256-7").await.unwrap();
    tokio::io::AsyncReadExt::read_to_end(&mut object, &mut read).await.unwrap();
    assert_eq!(read, module);
    host.is_refused("$O.wx-shop-modules.M.sha256-7").await;
    host.is_refused("$JS.API.STREAM.PURGE.OBJ_wx-shop-modules").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_role_has_no_right_to_is_refused() {
    let app = app_with_log().await;
    let before = end(&app).await;
    let may = |user: &str, subject: &str| match user {
        "deployer" => subject.starts_with("deploy.") || subject.starts_with("version."),
        "host" => !(subject.starts_with("deploy.") || subject.starts_with("version.")),
        _ => false,
    };
    for name in ["publisher", "observer", "deployer", "host"] {
        let mut user = app.server.user(name).await;
        for family in FAMILIES.iter().filter(|family| !may(name, family)) {
            user.is_refused(&format!("wx.shop.{family}")).await;
        }
        let changes_and_reads_its_log = ["UPDATE.wx-shop", "PURGE.wx-shop", "CONSUMER.CREATE.wx-shop.evil"];
        let is_hosts =
            |grip: &&&str| name == "host" && changes_and_reads_its_log.iter().any(|own| grip.ends_with(own));
        for grip in GRIPS.iter().filter(|grip| !is_hosts(grip)) {
            user.is_refused(grip).await;
        }
        user.is_refused("wx.other.deploy.counts").await;
        user.is_refused_to_hear(">").await;
        user.is_refused_to_hear("wx.shop.>").await;
        user.is_refused_to_hear("orders.>").await;
        if name != "host" {
            user.is_refused("orders.confirmed").await;
            user.is_refused("wxr.shop.counts.0").await;
        }
        if name != "deployer" {
            user.is_refused("$O.wx-shop-modules.M.a").await;
        }
        if name != "publisher" {
            user.is_refused("in.orders.placed").await;
            user.is_refused("cmd.count.show").await;
        }
    }
    let mut publisher = app.server.user("publisher").await;
    for subject in ["$JS.API.STREAM.INFO.wx-shop", "$JS.API.STREAM.MSG.GET.wx-shop", "in.orders.cancelled"] {
        publisher.is_refused(subject).await;
    }
    assert_eq!(end(&app).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_to_go_into_the_log_does_not() {
    let app = app_with_log().await;
    let before = end(&app).await;
    let lease = "wx.shop.lease.counts.0";
    let ways =
        [("publisher", "in.orders.placed"), ("publisher", "cmd.count.show"), ("observer", "$JS.API.INFO")];
    let looks = ["$JS.API.STREAM.INFO.wx-shop", "$JS.API.STREAM.MSG.GET.wx-shop"];
    let looks = ["observer", "deployer"].into_iter().flat_map(|user| looks.map(|look| (user, look)));
    for (user, subject) in ways.into_iter().chain(looks) {
        let user = app.server.user(user).await;
        user.publish_with_answer_to(subject, lease).await;
        // What was answered is answered by now: the server takes a user's messages one by one.
        user.publish_with_answer_to(subject, "_INBOX.x").await;
    }
    let inlet = jetstream::new(app.client().await).get_stream("shop-inlet").await.unwrap();
    assert_eq!(inlet.cached_info().state.messages, 2);
    assert_eq!(end(&app).await, before);
    // In the app's own account, it does: so nobody else is there.
    app.server.user("operator").await.publish_with_answer_to("in.orders.placed", lease).await;
    assert_eq!(end(&app).await, before.next());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_that_change_a_stream_change_neither_the_inlet_nor_the_log() {
    let app = app_with_log().await;
    let before = end(&app).await;
    let publisher = app.server.user("publisher").await;
    let kept = publisher.publish("in.orders.placed", &[], &order("a")).await;
    assert_eq!(kept["seq"], json!(1));
    let due = "@at 2000-01-01T00:00:00Z";
    let to_lease = [("Nats-Schedule", due), ("Nats-Schedule-Target", "wx.shop.lease.counts.0")];
    let to_inlet = [("Nats-Schedule", due), ("Nats-Schedule-Target", "in.other")];
    let tricks: [&[(&str, &str)]; 5] =
        [&[("Nats-Rollup", "all")], &[("Nats-Rollup", "sub")], &[("Nats-TTL", "1s")], &to_lease, &to_inlet];
    for headers in tricks {
        let answer = publisher.publish("in.orders.placed", headers, &order("a")).await;
        assert!(matches!(code(&answer), Some(10111 | 10166 | 10188)), "{headers:?}: {answer}");
    }
    let inlet = jetstream::new(app.client().await).get_stream("shop-inlet").await.unwrap();
    let state = &inlet.cached_info().state;
    assert_eq!((state.messages, state.last_sequence), (1, 1));

    // The log takes no schedules either, which would write where their author may not.
    let deployer = app.server.user("deployer").await;
    let answer = deployer.publish("wx.shop.deploy.counts", &to_lease, &json!({})).await;
    assert_eq!(code(&answer), Some(10188), "{answer}");
    assert_eq!(end(&app).await, before);
    // But rollups it must take: who may write anywhere in it can empty it. So publishers may not.
    let answer = deployer.publish("wx.shop.deploy.counts", &[("Nats-Rollup", "all")], &json!({})).await;
    assert_eq!(code(&answer), None, "{answer}");
    let bounds = app.log().await.bounds().await.unwrap();
    assert_eq!((bounds.first, bounds.last), (before.next(), before.next()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publishers_marks_tell_nothing() {
    let app = app_with_log().await;
    let publisher = app.server.user("publisher").await;
    let publish = async |key: &str, handled: &[(&str, u64)]| {
        let whole = Input::new("in.orders.placed", key, &order(key)).headers();
        let mut headers: Vec<(&str, String)> =
            whole.iter().map(|(name, value)| (name, value.to_owned())).collect();
        for (handler, position) in handled {
            headers.retain(|(name, _)| *name != "ce-source");
            headers.push(("ce-source", format!("/shop/{handler}")));
            headers.push(("wx-mark", format!("{handler} 0 {position} 0 {position}")));
        }
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        publisher.publish("in.orders.placed", &headers, &order(key)).await["seq"].as_u64().unwrap()
    };
    let before = publish("before", &[]).await;
    publish("forged", &[("counts", before)]).await;
    publish("forged too", &[("confirm", before)]).await;
    let last = publish("last", &[]).await;
    let host = app.host().await;
    for handler in ["counts", "confirm"] {
        app.handled(handler, Position(last)).await;
    }
    assert!(host.stop().await);
    let outcome = app.result().await;
    let keys: Vec<_> =
        outcome.state.keys().filter(|(handler, _)| handler == "counts").map(|(_, key)| key).collect();
    assert_eq!(keys, ["before", "forged", "forged too", "last"]);
    let mut confirmed: Vec<_> =
        outcome.emitted.iter().filter_map(|event| event.causation_id.clone()).collect();
    confirmed.sort();
    assert_eq!(confirmed, ["before", "forged", "forged too", "last"]);
}
