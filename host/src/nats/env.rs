//! What NATS_… variables say.

use std::path::PathBuf;

use super::{
    credentials::{Credentials, Layer, Tls},
    resolve::Surroundings,
};

/// The variables as one layer.
pub(super) fn layer(around: &Surroundings) -> Layer {
    let text = |name: &str| around.variable(name);
    let path = |name: &str| around.variable(name).map(PathBuf::from);
    Layer {
        servers: text("NATS_URL"),
        credentials: Credentials::choose(
            path("NATS_CREDS"),
            path("NATS_NKEY"),
            text("NATS_TOKEN"),
            text("NATS_USER"),
            text("NATS_PASSWORD"),
        ),
        tls: Tls { ca: path("NATS_CA"), cert: path("NATS_CERT"), key: path("NATS_KEY") },
    }
}
