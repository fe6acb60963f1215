//! Probes over HTTP, as Kubernetes and load balancers ask: `/livez` says that the process turns, `/readyz` that it can
//! be relied on. Prometheus asks for `/metrics`.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, OnceLock},
};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use super::{Health, Metrics};

/// Where it is asked whether the process turns.
pub const LIVE: &str = "/livez";
/// Where it is asked whether the host is ready.
pub const READY: &str = "/readyz";

/// Where metrics are.
pub const METRICS: &str = "/metrics";
/// The text format of Prometheus.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Whom questions are about.
#[derive(Clone)]
struct Asked {
    health: Arc<Health>,
    metrics: Arc<OnceLock<Arc<Metrics>>>,
}

/// Answers probes until it is dropped.
pub struct Probes {
    metrics: Arc<OnceLock<Arc<Metrics>>>,
    _task: AbortOnDropHandle<()>,
    address: SocketAddr,
}

/// Why probes cannot be answered.
#[derive(Debug, thiserror::Error)]
#[error("cannot answer probes at {address}: choose another address with `--probes`")]
pub struct ProbesError {
    address: SocketAddr,
    #[source]
    source: io::Error,
}

impl Probes {
    /// Begins to answer at this address.
    pub async fn start(address: SocketAddr, health: Arc<Health>) -> Result<Probes, ProbesError> {
        let failed = |source| ProbesError { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let asked = Asked { health, metrics: Arc::default() };
        let metrics = asked.metrics.clone();
        let router = Router::new()
            .route(LIVE, get(async || "live\n"))
            .route(READY, get(ready))
            .route(METRICS, get(tell_metrics))
            .fallback(async || {
                problem(StatusCode::NOT_FOUND, json!({ "detail": "ask /livez, /readyz or /metrics" }))
            })
            .with_state(asked);
        let task = tokio::spawn(async move {
            // It ends with its handle alone.
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "probes are not answered any more");
            }
        });
        Ok(Probes { metrics, _task: AbortOnDropHandle::new(task), address })
    }

    /// What is told of metrics, from now on; the first counts.
    pub fn tell(&self, metrics: Arc<Metrics>) {
        let _ = self.metrics.set(metrics);
    }

    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn tell_metrics(State(asked): State<Asked>) -> Response {
    let unavailable = |why: String| problem(StatusCode::SERVICE_UNAVAILABLE, json!({ "detail": why }));
    let Some(metrics) = asked.metrics.get() else { return unavailable("the host begins".to_owned()) };
    match metrics.text().await {
        Ok(text) => ([(CONTENT_TYPE, METRICS_TYPE)], text).into_response(),
        Err(error) => unavailable(error.to_string()),
    }
}

async fn ready(State(Asked { health, .. }): State<Asked>) -> Response {
    let missing: Vec<String> = health.lacks().await.iter().map(ToString::to_string).collect();
    if missing.is_empty() {
        return "ready\n".into_response();
    }
    let more = json!({ "detail": missing.join("; "), "missing": missing });
    problem(StatusCode::SERVICE_UNAVAILABLE, more)
}

/// An error as RFC 9457 has them.
fn problem(status: StatusCode, more: Value) -> Response {
    let mut body = json!({
        "type": "about:blank",
        "title": status.canonical_reason(),
        "status": status.as_u16(),
    });
    if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
        body.extend(more);
    }
    (status, [(CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response()
}
