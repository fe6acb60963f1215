//! The flags that say how NATS is reached.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use super::credentials::{Credentials, Layer, Tls};

/// How to reach NATS; what is not given comes from NATS_… variables and from the `nats` tool's contexts.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "NATS")]
pub struct Flags {
    /// Servers, commas between them [env: NATS_URL]
    #[arg(long, short = 's', global = true, value_name = "URL")]
    pub server: Option<String>,
    /// A context of the nats tool [env: NATS_CONTEXT]
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// A credentials file [env: NATS_CREDS]
    #[arg(long, global = true, value_name = "FILE")]
    pub creds: Option<PathBuf>,
    /// A file with an NKey seed [env: NATS_NKEY]
    #[arg(long, global = true, value_name = "FILE")]
    pub nkey: Option<PathBuf>,
    /// A user's name [env: NATS_USER]
    #[arg(long, global = true, value_name = "NAME")]
    pub user: Option<String>,
    /// A user's password [env: NATS_PASSWORD]
    #[arg(long, global = true, value_name = "TEXT")]
    pub password: Option<String>,
    /// A token [env: NATS_TOKEN]
    #[arg(long, global = true, value_name = "TEXT")]
    pub token: Option<String>,
    /// A TLS client certificate [env: NATS_CERT]
    #[arg(long, global = true, value_name = "FILE")]
    pub tlscert: Option<PathBuf>,
    /// The certificate's private key [env: NATS_KEY]
    #[arg(long, global = true, value_name = "FILE")]
    pub tlskey: Option<PathBuf>,
    /// Certificates of authorities to trust [env: NATS_CA]
    #[arg(long, global = true, value_name = "FILE")]
    pub tlsca: Option<PathBuf>,
    /// How long to wait for the server, such as 5s
    #[arg(long, global = true, value_name = "DURATION", value_parser = duration)]
    pub timeout: Option<Duration>,
}

fn duration(text: &str) -> Result<Duration, String> {
    crate::config::duration(text).ok_or_else(|| "write a duration such as 500ms, 5s or 1m".to_owned())
}

impl Flags {
    /// What the flags say, as one layer.
    pub(super) fn layer(&self) -> Layer {
        Layer {
            servers: self.server.clone(),
            credentials: Credentials::choose(
                self.creds.clone(),
                self.nkey.clone(),
                self.token.clone(),
                self.user.clone(),
                self.password.clone(),
            ),
            tls: Tls { ca: self.tlsca.clone(), cert: self.tlscert.clone(), key: self.tlskey.clone() },
        }
    }
}
