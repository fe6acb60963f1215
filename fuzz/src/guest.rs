//! What a running guest asks for: refused or taken, within all limits, whatever it asks.

use std::{
    sync::{Arc, OnceLock, mpsc::channel},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use waxwing_engine::{
    entry::state,
    port::{
        Invoke,
        invoke::{Run, StateUnavailable, StateView},
        log::NewEntry,
    },
};
use waxwing_event::{
    Effects, Emit, Event, HandlerSpec, Outcome, Position, Subject, decode, encode,
    handler::{Instance, Limits},
    outcome::FailureKind,
};
use waxwing_log::form::Form;
use waxwing_sandbox::{Handler, Options, Sandbox, Secret, Secrets};

use crate::{puppet, seeds};

/// Far longer than any run may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// The longest state key in a subject.
const MAX_ENCODED_KEY_BYTES: usize = 250;

struct Bed {
    fresh: Arc<Handler>,
    reused: Arc<Handler>,
    // Outlives the handlers' runs.
    _sandbox: Sandbox,
}

/// Input: a byte that says how long the instance lives and whether somebody waits for a reply, then the puppet's
/// orders.
pub fn check(data: &[u8]) {
    let Some((kind, orders)) = data.split_first() else { return };
    let bed = bed();
    let handler = if kind % 2 == 0 { &bed.fresh } else { &bed.reused };
    check_outcome(run(handler, orders, kind & 2 == 0));
    if kind % 2 == 1 {
        // The guest may have written nonsense to its own memory; the instance that fails by it is replaced.
        let empty = Outcome::Done(Effects::default());
        let next = run(handler, b"", false);
        assert!(next == empty || matches!(next, Outcome::Failed(_)), "{next:?} after {orders:?}");
        assert!(next == empty || run(handler, b"", false) == empty, "after {orders:?}");
    }
}

fn bed() -> &'static Bed {
    static BED: OnceLock<Bed> = OnceLock::new();
    BED.get_or_init(|| {
        let workers = std::num::NonZeroUsize::MIN;
        let hush = ("hush".parse().expect("a name"), Secret::new(b"a secret".to_vec()));
        let secrets = Secrets::given([hush].into());
        let options = Options { workers, instances: 8, secrets, ..Options::default() };
        let sandbox = Sandbox::new(options).expect("a sandbox");
        let module = puppet::component();
        let load = |instance| sandbox.load(&spec(instance), &module).expect("the puppet is a handler");
        let bed = Bed { fresh: load(Instance::Fresh), reused: load(Instance::Reuse), _sandbox: sandbox };
        rehearse(&bed.fresh);
        bed
    })
}

/// The puppet does as it is told, or nothing here would be tested.
fn rehearse(handler: &Handler) {
    let done: Vec<Effects> = seeds::guest()
        .iter()
        .filter_map(|seed| match run(handler, seed.get(1..)?, true) {
            Outcome::Done(effects) => Some(effects),
            Outcome::Failed(_) => None,
        })
        .collect();
    assert!(done.iter().any(|effects| effects.emits.iter().any(|emit| emit.data == "out.a")), "{done:?}");
    assert!(done.iter().any(|effects| effects.state.get("k1") == Some(&Some("out.a".into()))), "{done:?}");
    assert!(done.iter().any(|effects| effects.state.get("k1") == Some(&None)), "{done:?}");
    assert!(done.iter().any(|effects| effects.reply.is_some()), "{done:?}");
}

fn limits() -> Limits {
    Limits {
        deadline: Duration::from_secs(5),
        memory_bytes: 1 << 20,
        effects: 8,
        effect_bytes: 8 << 10,
        entry_bytes: 4 << 10,
        log_lines: 4,
        log_bytes: 1 << 10,
        ..Limits::default()
    }
}

fn spec(instance: Instance) -> HandlerSpec {
    let mut spec =
        HandlerSpec::new("puppet".parse().expect("a name"), vec!["in.>".parse().expect("a pattern")]);
    spec.grants.emit = ["out.>", "*.b"].iter().filter_map(|pattern| pattern.parse().ok()).collect();
    spec.grants.secrets = vec!["hush".parse().expect("a name")];
    spec.settings = [("currency".to_owned(), "EUR".to_owned())].into();
    (spec.limits, spec.instance) = (limits(), instance);
    spec
}

/// Committed state: some keys, one with a large value, one that cannot be read.
struct State;

#[async_trait]
impl StateView for State {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, StateUnavailable> {
        match key {
            "away" => Err(StateUnavailable("no server".to_owned())),
            "large" => Ok(Some(vec![b'x'; 100_000].into())),
            key => Ok(key.starts_with('k').then(|| Bytes::from_static(b"value"))),
        }
    }

    async fn keys(&self, prefix: &str) -> Result<Vec<String>, StateUnavailable> {
        let keys = ["away", "k1", "k2", "large"].iter().filter(|key| key.starts_with(prefix));
        Ok(keys.map(|key| (*key).to_owned()).collect())
    }
}

fn event(data: &[u8]) -> Event {
    Event {
        id: "e1".into(),
        source: "/fuzz".into(),
        event_type: "in.a".into(),
        subject: Subject::from_checked("in.a"),
        about: None,
        time: None,
        content_type: None,
        data_schema: None,
        correlation_id: "e1".into(),
        causation_id: None,
        extensions: Vec::new(),
        key: None,
        position: Position(7),
        attempt: 1,
        data: Bytes::copy_from_slice(data),
    }
}

fn run(handler: &Handler, orders: &[u8], is_asked: bool) -> Outcome {
    let (sender, receiver) = channel();
    handler.invoke(Run {
        event: Arc::new(event(orders)),
        state: Arc::new(State),
        is_asked,
        reporter: Box::new(move |report| drop(sender.send(report))),
    });
    receiver.recv_timeout(PATIENCE).expect("a run ends").outcome
}

fn check_outcome(outcome: Outcome) {
    match outcome {
        Outcome::Done(effects) => check_effects(&effects),
        Outcome::Failed(failure) => {
            assert_ne!(failure.kind, FailureKind::Deadline, "the puppet does not wait: {failure}");
        }
    }
}

fn check_effects(effects: &Effects) {
    let limits = limits();
    assert!(effects.len() <= limits.effects as usize);
    let emitted: usize = effects.emits.iter().map(|emit| emit.data.len()).sum();
    let written: usize =
        effects.state.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, Bytes::len)).sum();
    assert!((emitted + written) as u64 <= limits.effect_bytes);
    for (key, value) in &effects.state {
        assert!(!key.is_empty() && state::encode_key(key).len() <= MAX_ENCODED_KEY_BYTES, "{key:?}");
        assert!(value.as_ref().map_or(0, Bytes::len) as u64 <= limits.entry_bytes);
    }
    effects.emits.iter().for_each(check_emit);
    if let Some(reply) = &effects.reply {
        assert!(reply.data.len() as u64 <= limits.entry_bytes);
        for (name, value) in encode::reply_headers(reply).iter() {
            assert!(
                !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':'),
                "{name:?}"
            );
            assert!(!value.contains(char::is_control) && value.trim() == value, "{value:?}");
        }
    }
}

/// What was emitted lies within the grants, and becomes an entry that a log takes and that reads as it was meant.
fn check_emit(emit: &Emit) {
    let subject = emit.subject.as_str();
    assert!(subject.starts_with("out.") || subject.ends_with(".b"), "{subject}");
    assert!(!subject.starts_with("wx.") && !subject.starts_with('$'), "{subject}");
    assert!(subject.parse::<Subject>().is_ok(), "{subject}");
    assert!(emit.data.len() as u64 <= limits().entry_bytes);
    let mut event = event(&emit.data);
    event.subject = emit.subject.clone();
    event.event_type = emit.event_type.clone().unwrap_or_else(|| "t".to_owned());
    (event.about, event.content_type) = (emit.about.clone(), emit.content_type.clone());
    (event.data_schema, event.extensions) = (emit.data_schema.clone(), emit.extensions.clone());
    let mut entry = NewEntry::new(event.subject.clone(), event.data.clone());
    entry.headers = encode::headers(&event);
    let form = Form { kept: vec![">".parse().expect("a pattern")], max_entry_bytes: usize::MAX };
    assert_eq!(form.check(std::slice::from_ref(&entry)), Ok(()), "{emit:?}");
    let read = decode::event(&event.subject, event.position, &entry.headers, &entry.payload);
    assert_eq!(read, Ok(event));
}
