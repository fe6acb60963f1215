//! The cryptography of connections that are made by libraries which bring none of their own.

use std::sync::Once;

/// Sets it, for the whole program: the same as for NATS and for handlers' calls. Another one that is there already is
/// fine as well.
pub(crate) fn begin() {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
}
