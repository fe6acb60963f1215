//! Traces and metrics over OTLP: a receiver of the real protocol hears what hosts do.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, body::Bytes, extract::State, http::StatusCode, routing::post};
use opentelemetry_proto::tonic::{
    collector::{metrics::v1::ExportMetricsServiceRequest, trace::v1::ExportTraceServiceRequest},
    common::v1::{KeyValue, any_value::Value},
    metrics::v1::{metric::Data, number_data_point},
    resource::v1::Resource,
    trace::v1::{Span, span::SpanKind, status::StatusCode as Ended},
};
use prost::Message;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;
use waxwing_engine::trace::TraceContext;

use crate::{
    app::{App, HostProcess, Input, PATIENCE, entries},
    probes::logged,
};

/// A saga on one host, those whom it asks on another.
const SHOP: &str = r#"
[app]
name = "shop"
events = ["orders.>", "stock.>", "payments.>"]

[host]
lease = "1s"

[handlers.order-saga]
module = "order-saga.wasm"
on = ["orders.placed", "stock.reserved", "stock.refused", "payments.authorized", "payments.declined"]
key = "data.orderId"
requires = ["saga"]

[handlers.order-saga.grants]
emit = ["stock.*", "payments.charge", "payments.refund", "orders.confirmed", "orders.cancelled"]

[handlers.inventory]
module = "inventory.wasm"
on = ["stock.set", "stock.reserve", "stock.release"]
key = "data.productId"
requires = ["asked"]

[handlers.inventory.grants]
emit = ["stock.reserved", "stock.refused", "stock.released"]

[handlers.payment]
module = "payment.wasm"
on = ["payments.charge", "payments.refund"]
key = "data.orderId"
requires = ["asked"]

[handlers.payment.grants]
emit = ["payments.authorized", "payments.declined", "payments.refunded"]
settings = { limit = "100" }
"#;

const FAILS: &str = r#"
[app]
name = "fails"
events = ["work.>", "done.>"]

[handlers.dies]
module = "poison.wasm"
on = ["work.*"]
key = "data.key"
on-exhausted = "dead-letter-event"

[handlers.dies.grants]
emit = ["done.*"]
settings = { poison = "reject", out = "done.dies" }
"#;

/// What has come.
#[derive(Default)]
struct Heard {
    spans: Vec<(Resource, Span)>,
    metrics: Vec<ExportMetricsServiceRequest>,
    refuses: bool,
}

/// A receiver on a port of its own.
struct Receiver {
    url: String,
    heard: Arc<Mutex<Heard>>,
    _task: AbortOnDropHandle<()>,
}

impl Receiver {
    async fn start() -> Receiver {
        type Shared = State<Arc<Mutex<Heard>>>;
        let heard = Arc::<Mutex<Heard>>::default();
        let traces = async |State(heard): Shared, body: Bytes| {
            let request = ExportTraceServiceRequest::decode(body).unwrap();
            let mut heard = heard.lock().unwrap();
            if heard.refuses {
                return StatusCode::BAD_REQUEST;
            }
            for part in request.resource_spans {
                let spans = part.scope_spans.into_iter().flat_map(|scope| scope.spans);
                let resource = part.resource.unwrap();
                heard.spans.extend(spans.map(|span| (resource.clone(), span)));
            }
            StatusCode::OK
        };
        let metrics = async |State(heard): Shared, body: Bytes| {
            heard.lock().unwrap().metrics.push(ExportMetricsServiceRequest::decode(body).unwrap());
        };
        let router = Router::new()
            .route("/v1/traces", post(traces))
            .route("/v1/metrics", post(metrics))
            .with_state(heard.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Receiver { url, heard, _task: AbortOnDropHandle::new(task) }
    }

    /// A host that sends here, with these labels.
    async fn host(&self, app: &App, labels: &str, arguments: &[&str]) -> HostProcess {
        let variables = [("WAXWING_HOST_LABELS", labels), ("OTEL_METRIC_EXPORT_INTERVAL", "200")];
        let mut host = app.launch_with(&[&["--otlp", &self.url], arguments].concat(), &variables);
        host.ready().await;
        host
    }

    /// Waits until this can be found in what has come.
    async fn until<T>(&self, what: &str, look: impl Fn(&Heard) -> Option<T>) -> T {
        let looked = async {
            loop {
                if let Some(found) = look(&self.heard.lock().unwrap()) {
                    return found;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, looked).await.unwrap_or_else(|_| panic!("never came: {what}"))
    }
}

fn text(attributes: &[KeyValue], key: &str) -> String {
    let value = attributes.iter().find(|attribute| attribute.key == key);
    match value.and_then(|attribute| attribute.value.as_ref()?.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(other) => format!("{other:?}"),
        None => String::new(),
    }
}

fn input(subject: &str, id: &str, data: serde_json::Value) -> Input {
    Input::new(subject, id, &data)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_saga_is_one_trace_across_two_hosts() {
    let receiver = Receiver::start().await;
    let app = App::new(SHOP).await;
    let hosts = [receiver.host(&app, "saga", &[]).await, receiver.host(&app, "asked", &[]).await];
    app.publish(&[input("stock.set", "stock", json!({ "productId": "p1", "quantity": 10 }))]).await;
    let order = json!({ "orderId": "o1", "productId": "p1", "quantity": 2, "amount": 200 });
    app.publish(&[input("orders.placed", "placed", order)]).await;

    // The payment is declined, the stock is released, and that is known by the saga's host and by the other.
    let is_last = |(_, span): &&(Resource, Span)| span.name == "process stock.release";
    receiver.until("the last run of the saga", |heard| heard.spans.iter().find(is_last).map(|_| ())).await;
    for host in hosts {
        assert!(host.stop().await);
    }
    let spans = std::mem::take(&mut receiver.heard.lock().unwrap().spans);
    let of_order = |(_, span): &&(Resource, Span)| {
        text(&span.attributes, "messaging.message.conversation_id") == "placed"
    };
    let story: Vec<_> = spans.iter().filter(of_order).collect();
    let traces: BTreeSet<_> = story.iter().map(|(_, span)| span.trace_id.clone()).collect();
    assert_eq!(traces.len(), 1, "{story:#?}");
    let on = |resource: &Resource| text(&resource.attributes, "service.instance.id");
    assert_eq!(story.iter().map(|(resource, _)| on(resource)).collect::<BTreeSet<_>>().len(), 2);

    // One root, and each other's parent is there: what is handled is part of what was emitted.
    let by_id: BTreeMap<_, _> = story.iter().map(|(_, span)| (span.span_id.clone(), span)).collect();
    assert_eq!(by_id.len(), story.len());
    let (roots, others): (Vec<_>, Vec<_>) =
        story.iter().map(|(_, span)| span).partition(|span| span.parent_span_id.is_empty());
    let roots: Vec<_> = roots.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(roots, ["process orders.placed"]);
    for span in others {
        let parent = by_id.get(&span.parent_span_id).unwrap_or_else(|| panic!("{span:#?}"));
        let kinds = (span.kind(), parent.kind());
        let expected = [(SpanKind::Consumer, SpanKind::Producer), (SpanKind::Producer, SpanKind::Consumer)];
        assert!(expected.contains(&kinds), "{kinds:?}");
        if kinds.0 == SpanKind::Consumer {
            let subject = |span: &Span| text(&span.attributes, "messaging.destination.name");
            assert_eq!(subject(span), subject(parent));
        }
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano);
    }
    // As many as there are events of the order in the log.
    let log = entries(&app.log().await).await;
    let emitted = log.iter().filter(|entry| {
        !entry.subject.as_str().starts_with("wx.") && entry.headers.get("ce-correlationid") == Some("placed")
    });
    let contexts: BTreeSet<Vec<u8>> = emitted
        .map(|entry| entry.headers.get("ce-traceparent").unwrap().parse::<TraceContext>().unwrap())
        .map(|context| context.span.to_be_bytes().to_vec())
        .collect();
    let producers: BTreeSet<Vec<u8>> = story
        .iter()
        .filter(|(_, span)| span.kind() == SpanKind::Producer)
        .map(|(_, span)| span.span_id.clone())
        .collect();
    assert_eq!(contexts, producers);
    let (resource, run) = story.iter().find(|(_, span)| span.name == "process payments.charge").unwrap();
    let told = |key| text(&run.attributes, key);
    assert_eq!(text(&resource.attributes, "service.name"), "shop");
    assert_eq!(told("messaging.system"), "nats");
    assert_eq!(told("messaging.consumer.group.name"), "payment");
    assert_eq!(told("cloudevents.event_type"), "payments.charge");
    assert_eq!(told("waxwing.outcome"), "done");
    assert!(!told("messaging.message.id").is_empty());
    assert!(story.iter().any(|(_, span)| span.name == "send stock.*"
        && text(&span.attributes, "messaging.destination.template") == "stock.*"));

    // The same instruments as Prometheus reads.
    let metrics = std::mem::take(&mut receiver.heard.lock().unwrap().metrics);
    let all = metrics.iter().flat_map(|request| &request.resource_metrics);
    let all = all.flat_map(|part| &part.scope_metrics).flat_map(|scope| &scope.metrics);
    let mut handled = all.filter(|metric| metric.name == "waxwing.events").filter_map(|metric| {
        let Some(Data::Sum(sum)) = &metric.data else { panic!("{metric:?}") };
        let of_payment = |point: &&opentelemetry_proto::tonic::metrics::v1::NumberDataPoint| {
            text(&point.attributes, "handler") == "payment"
        };
        sum.data_points.iter().find(of_payment).and_then(|point| point.value)
    });
    assert_eq!(handled.next_back(), Some(number_data_point::Value::AsInt(1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_traces_that_are_not_kept_failures_are_and_what_came_goes_on() {
    let receiver = Receiver::start().await;
    let app = App::new(FAILS).await;
    let host = receiver.host(&app, "any", &["--trace-ratio", "0"]).await;
    let mut good = input("work.a", "good", json!({ "key": "a", "n": 1 }));
    let client = app.client().await;
    let traced = |id: &str, flags: &str| {
        let mut headers = async_nats::HeaderMap::new();
        for (name, value) in
            [("ce-specversion", "1.0"), ("ce-type", "work"), ("ce-source", "/test"), ("ce-id", id)]
        {
            headers.insert(name, value);
        }
        let parent = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{flags}");
        headers.insert("ce-traceparent", parent.as_str());
        headers
    };
    app.publish(&[good.clone()]).await;
    good.id = "kept".to_owned();
    let jetstream = async_nats::jetstream::new(client);
    for (id, flags, data) in [
        ("kept", "01", json!({ "key": "b", "n": 1 })),
        ("not kept", "00", json!({ "key": "c", "n": 1 })),
        ("bad", "00", json!({ "key": "d", "n": 1, "poison": true })),
    ] {
        let sent = jetstream.publish_with_headers("work.b", traced(id, flags), data.to_string().into()).await;
        sent.unwrap().await.unwrap();
    }
    let is_of = |id: &'static str| {
        move |(_, span): &&(Resource, Span)| text(&span.attributes, "cloudevents.event_id") == id
    };
    receiver.until("the failure", |heard| heard.spans.iter().find(is_of("bad")).map(|_| ())).await;
    assert!(host.stop().await);
    let spans = std::mem::take(&mut receiver.heard.lock().unwrap().spans);
    let ids: BTreeSet<_> =
        spans.iter().map(|(_, span)| text(&span.attributes, "cloudevents.event_id")).collect();
    // The empty one is of what `kept` has emitted.
    assert_eq!(ids, ["", "bad", "kept"].map(str::to_owned).into());
    let (_, bad) = spans.iter().find(is_of("bad")).unwrap();
    assert_eq!(bad.parent_span_id, 0x00f0_67aa_0ba9_02b7_u64.to_be_bytes());
    assert_eq!(bad.trace_id, 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736_u128.to_be_bytes());
    let status = bad.status.as_ref().unwrap();
    assert_eq!(status.code(), Ended::Error);
    assert!(!status.message.is_empty());
    // What was decided at the head goes on with what is emitted.
    let log = entries(&app.log().await).await;
    let decided = |id: &str| -> bool {
        let caused = log.iter().find(|entry| entry.headers.get("ce-causationid") == Some(id)).unwrap();
        caused.headers.get("ce-traceparent").unwrap().parse::<TraceContext>().unwrap().is_sampled()
    };
    assert_eq!([decided("kept"), decided("good")], [true, false]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_is_away_or_refuses_is_in_nobodys_way() {
    let receiver = Receiver::start().await;
    receiver.heard.lock().unwrap().refuses = true;
    for url in ["http://127.0.0.1:9", &receiver.url] {
        let app = App::new(FAILS).await;
        let mut host = app.launch_with(&["--otlp", url], &[]);
        host.ready().await;
        let inputs: Vec<Input> = (0..500)
            .map(|n| input("work.a", &n.to_string(), json!({ "key": n.to_string(), "n": n })))
            .collect();
        let last = app.publish(&inputs).await;
        app.handled("dies", last).await;
        assert_eq!(app.result().await.emitted.len(), inputs.len());
        logged(&app, "traces are not taken").await;
        assert!(host.stop().await);
    }
    let app = App::new(FAILS).await;
    let refused = app.command(&["run", "--otlp", "127.0.0.1:4318"]).output().await.unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && said.contains("--otlp http://127.0.0.1:4318"), "{said}");
}
