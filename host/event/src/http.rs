//! HTTP calls of a handler: where they may go, and what they may use up.

use std::{fmt, num::NonZeroU32, str::FromStr, time::Duration};

use crate::origin::Origin;

/// An origin that a handler may call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpGrant {
    /// Which one.
    pub origin: Origin,
    /// With which methods; empty: with all.
    pub methods: Vec<Method>,
    /// Which of its addresses may be connected to.
    pub reach: Addresses,
}

/// Which addresses of an origin may be connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Addresses {
    /// Those of the internet alone, see [`is_public`](crate::address::is_public).
    #[default]
    Public,
    /// All, those of the machine and of its network among them.
    All,
}

impl HttpGrant {
    /// An origin's internet addresses, with all methods.
    pub fn new(origin: Origin) -> HttpGrant {
        HttpGrant { origin, methods: Vec::new(), reach: Addresses::Public }
    }

    /// True where a call with this method is granted.
    pub fn allows(&self, method: Method) -> bool {
        self.methods.is_empty() || self.methods.contains(&method)
    }
}

/// What a call asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Method {
    /// `GET`
    Get,
    /// `HEAD`
    Head,
    /// `OPTIONS`
    Options,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `PATCH`
    Patch,
    /// `DELETE`
    Delete,
}

impl Method {
    /// Every method that can be granted.
    pub const ALL: [Method; 7] = [
        Method::Get,
        Method::Head,
        Method::Options,
        Method::Post,
        Method::Put,
        Method::Patch,
        Method::Delete,
    ];

    /// The method as it is sent.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Options => "OPTIONS",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
        }
    }

    /// True where a call changes nothing (RFC 9110, 9.2.1): it needs no idempotency key.
    pub fn is_safe(self) -> bool {
        matches!(self, Method::Get | Method::Head | Method::Options)
    }

    /// True where a second call changes nothing that the first has not (RFC 9110, 9.2.2).
    pub fn is_idempotent(self) -> bool {
        self.is_safe() || matches!(self, Method::Put | Method::Delete)
    }
}

/// A text that is no method which can be granted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no method that can be granted: GET, HEAD, OPTIONS, POST, PUT, PATCH and DELETE can be")]
pub struct MethodError(String);

impl FromStr for Method {
    type Err = MethodError;

    /// Methods are case-sensitive: `get` is another one than `GET`.
    fn from_str(text: &str) -> Result<Method, MethodError> {
        let found = Method::ALL.into_iter().find(|method| method.as_str() == text);
        found.ok_or_else(|| MethodError(text.to_owned()))
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What HTTP calls may use up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpLimits {
    /// Wall time of one call: all its attempts, until its response is whole. The run's deadline holds too.
    pub timeout: Duration,
    /// Calls of one run, those that are refused included.
    pub max_calls: u32,
    /// Bytes of a request's body.
    pub request_bytes: u64,
    /// Bytes of a response's body.
    pub response_bytes: u64,
    /// How often a call is made in all that fails for a reason that may pass.
    pub attempts: NonZeroU32,
}

impl Default for HttpLimits {
    fn default() -> HttpLimits {
        HttpLimits {
            timeout: Duration::from_secs(5),
            max_calls: 16,
            request_bytes: 1 << 20,
            response_bytes: 1 << 20,
            attempts: NonZeroU32::MIN,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_each_method_and_no_other() {
        for method in Method::ALL {
            assert_eq!(method.to_string().parse(), Ok(method));
        }
        for other in ["", "get", "CONNECT", "TRACE", "BREW"] {
            assert!(other.parse::<Method>().is_err(), "{other}");
        }
    }

    #[test]
    fn a_grant_without_methods_allows_all() {
        let mut grant = HttpGrant::new("https://a".parse().unwrap());
        assert!(Method::ALL.into_iter().all(|method| grant.allows(method)));
        grant.methods = vec![Method::Get];
        assert!(grant.allows(Method::Get) && !grant.allows(Method::Post));
    }
}
