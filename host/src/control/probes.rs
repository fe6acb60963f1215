//! Probes over HTTP, as Kubernetes and load balancers ask: `/livez` says that the process turns, `/readyz` that it can
//! be relied on.

use std::{io, net::SocketAddr, sync::Arc};

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

use super::Health;

/// Where it is asked whether the process turns.
pub const LIVE: &str = "/livez";
/// Where it is asked whether the host is ready.
pub const READY: &str = "/readyz";

/// Answers probes until it is dropped.
pub struct Probes {
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
        let router = Router::new()
            .route(LIVE, get(async || "live\n"))
            .route(READY, get(ready))
            .fallback(async || problem(StatusCode::NOT_FOUND, json!({ "detail": "ask /livez or /readyz" })))
            .with_state(health);
        let task = tokio::spawn(async move {
            // It ends with its handle alone.
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "probes are not answered any more");
            }
        });
        Ok(Probes { _task: AbortOnDropHandle::new(task), address })
    }

    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn ready(State(health): State<Arc<Health>>) -> Response {
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
