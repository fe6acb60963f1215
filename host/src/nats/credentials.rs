//! Who we are to the server, and what of it one layer of settings says.

use std::{fmt, path::PathBuf};

/// Who we are to the server.
#[derive(Clone, PartialEq, Eq, Default)]
pub enum Credentials {
    /// Nobody in particular, or who the server's address names.
    #[default]
    Anonymous,
    /// A credentials file.
    File(PathBuf),
    /// A file with an NKey seed.
    NkeyFile(PathBuf),
    /// A token.
    Token(String),
    /// A user and a password.
    User(String, String),
}

impl Credentials {
    /// The first of these that is given. A user without a password is a token, as the `nats` tool has it.
    pub(super) fn choose(
        creds: Option<PathBuf>,
        nkey: Option<PathBuf>,
        token: Option<String>,
        user: Option<String>,
        password: Option<String>,
    ) -> Option<Credentials> {
        match (creds, nkey, token, user) {
            (Some(file), ..) => Some(Credentials::File(file)),
            (_, Some(file), ..) => Some(Credentials::NkeyFile(file)),
            (_, _, Some(token), _) => Some(Credentials::Token(token)),
            (.., Some(user)) => Some(match password {
                Some(password) => Credentials::User(user, password),
                None => Credentials::Token(user),
            }),
            _ => None,
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Credentials::Anonymous => f.write_str("Anonymous"),
            Credentials::File(path) => f.debug_tuple("File").field(path).finish(),
            Credentials::NkeyFile(path) => f.debug_tuple("NkeyFile").field(path).finish(),
            Credentials::Token(_) => f.write_str("Token(…)"),
            Credentials::User(user, _) => write!(f, "User({user}, …)"),
        }
    }
}

/// How the connection is encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tls {
    /// Certificates of authorities to trust.
    pub ca: Option<PathBuf>,
    /// A client certificate.
    pub cert: Option<PathBuf>,
    /// Its private key.
    pub key: Option<PathBuf>,
}

/// What one source of settings says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Layer {
    pub(super) servers: Option<String>,
    pub(super) credentials: Option<Credentials>,
    pub(super) tls: Tls,
}

impl Layer {
    /// This layer over another one. Credentials are taken whole from one layer, never mixed of two.
    pub(super) fn over(self, below: Layer) -> Layer {
        Layer {
            servers: self.servers.or(below.servers),
            credentials: self.credentials.or(below.credentials),
            tls: Tls {
                ca: self.tls.ca.or(below.tls.ca),
                cert: self.tls.cert.or(below.tls.cert),
                key: self.tls.key.or(below.tls.key),
            },
        }
    }
}
