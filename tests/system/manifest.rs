//! Every manifest of `manifests/`, with the text that `waxwing check` shows for it beside it, in `.err`.
//!
//! Lines `# NAME=value` at the top of a case are its variables. `UPDATE_EXPECT=1` writes the `.err` files anew;
//! read the difference before you keep it.

use std::{
    env, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use waxwing::config::{self, Manifest};
use waxwing_event::{
    files::FileMode,
    handler::{Audience, Instance, OnExhausted, OutagePolicy, Reach, RetryPolicy, Start, View},
    http::{Addresses, Method},
};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/system/manifests")
}

fn variables(text: &str) -> Vec<(String, String)> {
    let lines = text.lines().map_while(|line| line.strip_prefix("# "));
    lines.filter_map(|line| line.split_once('=')).map(|(name, value)| (name.into(), value.into())).collect()
}

/// What a person sees of a manifest.
fn shown(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let lines = match config::load(path, variables(&text)) {
        Ok(manifest) => manifest.warnings.iter().map(|line| format!("warning: {line}\n")).collect(),
        Err(problems) => {
            problems.error_lines().iter().map(|line| format!("error: {line}\n")).collect::<String>()
        }
    };
    lines.replace(&format!("{}/", folder().display()), "")
}

#[test]
fn each_manifest_is_answered_as_the_text_beside_it_says() {
    let mut cases: Vec<PathBuf> =
        fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    cases.sort();
    assert!(cases.len() > 20, "the cases are missing");
    let mut wrong = String::new();
    for case in cases {
        let (expected, found) = (case.with_extension("err"), shown(&case));
        if env::var_os("UPDATE_EXPECT").is_some() {
            fs::write(&expected, &found).unwrap();
        }
        let said = fs::read_to_string(&expected).unwrap_or_default();
        if said != found {
            wrong += &format!("{}\nexpected:\n{said}found:\n{found}\n", case.display());
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

fn load(name: &str, variables: &[(&str, &str)]) -> Manifest {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    config::load(&folder().join(name), variables).unwrap()
}

#[test]
fn reads_every_key() {
    let config = load("good_whole.toml", &[]).config;
    assert_eq!(config.retention, Some(Duration::from_secs(30 * 24 * 3600)));
    assert_eq!((config.storage, config.replicas), (config::Storage::Memory, 3));
    assert_ne!(config.require_signature, config.host.require_signature);
    assert_eq!(config.host.workers.map(|count| count.get()), Some(2));
    let spec = &config.handlers[0].spec;
    assert_eq!(
        spec.key.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
        "data.productId subject.2 ce.partitionkey"
    );
    assert_eq!((spec.concurrency.get(), spec.start, spec.instance), (64, Start::New, Instance::Reuse));
    assert_eq!(spec.partitions.get(), 4);
    assert_eq!((spec.limits.effects, spec.limits.log_bytes, spec.limits.parked), (900, 65_536, 1_000));
    let (first, most) = (Duration::from_millis(200), Duration::from_secs(10));
    assert_eq!(spec.retry, RetryPolicy { attempts: 5, immediate: 3, first, most });
    assert_eq!(spec.outage, OutagePolicy { after: 20, probe: Duration::from_secs(10) });
    assert_eq!(spec.on_exhausted, OnExhausted::DeadLetterEvent);
    assert_eq!((spec.request[0].as_str(), spec.live[0].as_str()), ("cmd.basket.>", "clicks.*"));
    assert_eq!(spec.dedupe, Duration::from_secs(7 * 24 * 3600));
    assert_eq!(spec.publish, Some(View::Kv));
    assert_eq!((spec.limits.waiting, spec.limits.waiting_bytes), (5, 1 << 20));
    let settings: Vec<String> = spec.settings.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(settings.join(" "), "currency=EUR rounds=3 share=0.5 strict=true");
    let grants = &spec.grants;
    assert_eq!(grants.reach("audit.x.y"), Some(Reach::Outside(Audience::Stream)));
    assert_eq!(grants.reach("screens.a"), Some(Reach::Outside(Audience::Live)));
    assert_eq!((spec.outbox.in_flight.get(), spec.outbox.attempts.get()), (1, 7));
    let [api, own] = &grants.http[..] else { panic!("{grants:?}") };
    assert_eq!((api.origin.to_string().as_str(), api.reach), ("https://api.example.com", Addresses::Public));
    assert!(Method::ALL.into_iter().all(|method| api.allows(method)));
    assert_eq!((own.origin.to_string().as_str(), own.reach), ("http://127.0.0.1:8081", Addresses::All));
    assert_eq!(own.methods, [Method::Get, Method::Post]);
    let http = spec.http;
    assert_eq!((http.timeout, http.max_calls, http.attempts.get()), (Duration::from_millis(900), 4, 3));
    assert_eq!((http.request_bytes, http.response_bytes), (64 << 10, 2 << 20));
    let [data, shared] = &grants.files[..] else { panic!("{grants:?}") };
    assert_eq!((data.host.to_str(), data.guest.as_str()), (Some("data/basket"), "/data"));
    assert_eq!((data.mode, shared.mode), (FileMode::ReadWrite, FileMode::Read));
    assert_eq!(config.folder, folder());
    let stock =
        config.handlers.iter().map(|handler| &handler.spec).find(|spec| spec.stream.is_some()).unwrap();
    assert_eq!((stock.name.as_str(), stock.stream.as_ref().unwrap().as_str()), ("stock", "STOCK"));
}

#[test]
fn has_a_default_for_every_other_key() {
    let config = load("good_least.toml", &[]).config;
    assert_eq!((config.retention, config.storage, config.replicas), (None, config::Storage::File, 1));
    assert_eq!((config.host.lease, config.host.grace), (Duration::from_secs(5), Duration::from_secs(30)));
    let spec = &config.handlers[0].spec;
    let plain = waxwing_event::HandlerSpec::new(spec.name.clone(), spec.on.clone());
    assert_eq!(*spec, plain);
}

#[test]
fn variables_override_the_file() {
    let variables = [
        ("WAXWING_APP_RETENTION", "2h"),
        ("WAXWING_APP_EVENTS", "prices.>, orders.*"),
        ("WAXWING_HOST_LEASE", "7s"),
        ("WAXWING_HANDLERS_BASKET_CONCURRENCY", "8"),
        ("WAXWING_HANDLERS_BASKET_REQUEST", "cmd.a, cmd.b"),
        ("WAXWING_HANDLERS_BASKET_KEY", "[\"data.a\", \"data.b\"]"),
        ("WAXWING_HANDLERS_BASKET_LIMITS_LOG_LINES", "5"),
        ("WAXWING_HANDLERS_BASKET_GRANTS_EMIT", "orders.placed"),
        ("WAXWING_HANDLERS_BASKET_GRANTS_PUBLISH", "audit.a, audit.b"),
        ("WAXWING_HANDLERS_BASKET_GRANTS_SETTINGS_CURRENCY", "CHF"),
        ("WAXWING_HANDLERS_BASKET_OUTBOX_IN_FLIGHT", "3"),
        ("WAXWING_HANDLERS_BASKET_HTTP_MAX_CALLS", "7"),
        ("WAXWING_HANDLERS_BASKET_GRANTS_HTTP", "https://a.example, https://b.example"),
        ("WAXWING_UNRELATED", "1"),
    ];
    let config = load("good_least.toml", &variables).config;
    assert_eq!(config.retention, Some(Duration::from_secs(7200)));
    assert_eq!(config.events.iter().map(|e| e.as_str()).collect::<Vec<_>>(), ["prices.>", "orders.*"]);
    assert_eq!(config.host.lease, Duration::from_secs(7));
    let spec = &config.handlers[0].spec;
    assert_eq!((spec.concurrency.get(), spec.key.len(), spec.limits.log_lines), (8, 2, 5));
    assert_eq!(spec.grants.emit[0].as_str(), "orders.placed");
    assert_eq!((spec.grants.publish.len(), spec.outbox.in_flight.get()), (2, 3));
    assert_eq!(spec.request.iter().map(|r| r.as_str()).collect::<Vec<_>>(), ["cmd.a", "cmd.b"]);
    assert_eq!((spec.grants.http.len(), spec.http.max_calls), (2, 7));
    assert_eq!(spec.settings["currency"], "CHF");
}

#[test]
fn rounds_memory_up_to_whole_pages() {
    let config = load("good_least.toml", &[("WAXWING_HANDLERS_BASKET_MEMORY", "65537B")]).config;
    assert_eq!(config.handlers[0].spec.limits.memory_bytes, 2 * 65_536);
}
