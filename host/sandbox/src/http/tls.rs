//! TLS, with the root certificates of the system, as the connections to NATS have it: an operator's own authority
//! counts, and `SSL_CERT_FILE` names others.

use std::sync::Arc;

use tokio::{net::TcpStream, sync::OnceCell, task::spawn_blocking};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{self, ClientConfig, RootCertStore, pki_types::ServerName},
};
use waxwing_event::origin::{Host, Origin};

use super::CallError;

/// What every connection over TLS needs; read when the first one does.
#[derive(Default)]
pub(crate) struct Tls(OnceCell<TlsConnector>);

impl Tls {
    /// Speaks TLS on a connection.
    pub(crate) async fn connect(
        &self,
        origin: &Origin,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, CallError> {
        let ready =
            self.0.get_or_try_init(|| async { spawn_blocking(connector).await.ok().flatten().ok_or(()) });
        let connector = ready.await.map_err(|()| CallError::NoRoots(origin.clone()))?;
        let failed = |error| failure(origin, error);
        let name = server_name(origin.host()).map_err(std::io::Error::other).map_err(failed)?;
        connector.connect(name, stream).await.map_err(failed)
    }
}

/// None where the system has no certificates.
fn connector() -> Option<TlsConnector> {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "a root certificate cannot be read");
    }
    let mut roots = RootCertStore::empty();
    let (taken, _) = roots.add_parsable_certificates(found.certs);
    if taken == 0 {
        return None;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().ok()?;
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Some(TlsConnector::from(Arc::new(config)))
}

fn server_name(host: &Host) -> Result<ServerName<'static>, rustls::pki_types::InvalidDnsNameError> {
    match host {
        Host::Name(name) => ServerName::try_from(name.clone()),
        Host::V4(address) => Ok(ServerName::from(*address)),
        Host::V6(address) => Ok(ServerName::from(*address)),
    }
}

fn failure(origin: &Origin, error: std::io::Error) -> CallError {
    let refused = error.get_ref().and_then(|inner| inner.downcast_ref());
    match refused {
        Some(rustls::Error::InvalidCertificate(why)) => CallError::Certificate(origin.clone(), why.clone()),
        _ => CallError::Tls(origin.clone(), error),
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("ready", &self.0.initialized()).finish()
    }
}
