//! Calls over TLS: who is trusted.
//!
//! `certificates/` has two authorities whose keys are gone, and the certificate of `localhost` by the first of them, with
//! its key. They hold until 2126.

use std::{path::PathBuf, sync::Arc};

use serde_json::json;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self, ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};

use super::{
    hosts::{ask, made, manifest},
    server::Server,
};
use crate::app::{App, HostProcess};

fn certificates() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/system/http/certificates")
}

async fn server() -> Server {
    let certificate = CertificateDer::from_pem_file(certificates().join("server.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(certificates().join("server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    Server::with(move |stream| {
        let accept = acceptor.accept(stream);
        async move { accept.await.ok() }
    })
    .await
}

async fn host_that_trusts(app: &App, authority: &str) -> HostProcess {
    let mut command = app.command(&["run"]);
    command.env("SSL_CERT_FILE", certificates().join(authority));
    let mut host = app.launch_by(command);
    host.ready().await;
    host
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_spoken_to_that_an_authority_of_the_system_vouches_for() {
    let server = server().await;
    let origins = ["localhost", "127.0.0.1"].map(|host| format!("https://{host}:{}", server.port()));
    let grants = origins.iter().map(|origin| format!("{{ origin = \"{origin}\", private = true }}"));
    let app = App::new(&manifest(&format!("[{}]", grants.collect::<Vec<_>>().join(", ")), "")).await;
    let calls = json!([
        { "method": "POST", "url": format!("{}/ok", origins[0]), "bytes": 10_000 },
        // The certificate is another host's.
        { "method": "GET", "url": format!("{}/ok", origins[1]) },
    ]);
    let host = host_that_trusts(&app, "authority.pem").await;
    ask(&app, "a", calls.clone()).await;
    let came = &made(&app).await[0];
    assert_eq!(came[0], json!({ "status": 200, "body": "ok" }), "{}", app.host_log());
    assert!(came[1]["error"].as_str().unwrap().contains("TlsCertificateError"), "{came}");
    assert!(host.stop().await);
    // Another system knows nothing of that authority.
    let host = host_that_trusts(&app, "stranger.pem").await;
    ask(&app, "b", calls).await;
    let came = &made(&app).await[1];
    assert!(came[1]["error"].as_str().unwrap().contains("TlsCertificateError"), "{came}");
    assert!(app.host_log().contains("has a certificate that is not to be trusted"), "{}", app.host_log());
    assert_eq!(server.seen().len(), 1);
    assert!(host.stop().await);
}
