//! An origin: scheme, host and port of what HTTP calls go to. Two are the same where all three are.

use std::{fmt, net::Ipv4Addr, net::Ipv6Addr, str::FromStr};

/// The longest name that the domain name system knows.
const HOST_BYTES: usize = 253;

/// Where HTTP calls go to, such as `https://api.example.com`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    scheme: Scheme,
    host: Host,
    port: u16,
}

/// How it is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    /// In clear text.
    Http,
    /// Over TLS.
    Https,
}

/// Who is spoken to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    /// A name, in lower case.
    Name(String),
    /// An address of IPv4.
    V4(Ipv4Addr),
    /// An address of IPv6.
    V6(Ipv6Addr),
}

/// Why a text is no origin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// Neither of the two schemes.
    #[error(
        "`{0}` begins with neither `https://` nor `http://`: write an origin such as `https://api.example.com`"
    )]
    Scheme(String),
    /// More than an origin.
    #[error("`{text}` has more than an origin: write `{origin}`, which takes in all of its paths")]
    Path {
        /// What was written.
        text: String,
        /// What comes before the path.
        origin: String,
    },
    /// A name and a password.
    #[error("a user stands before its host: leave that out, and put credentials into a header of the call")]
    User,
    /// Many hosts at once.
    #[error("`{0}` has a wildcard: name each host")]
    Wildcard(String),
    /// No host that could be found.
    #[error(
        "`{0}` has no host that can be: write a name in ASCII (xn--… for others), or an address, [in brackets] for IPv6"
    )]
    Host(String),
    /// No port.
    #[error("`{0}` has a port that is none: 1 to 65535 are allowed")]
    Port(String),
}

impl Origin {
    /// The origin of a scheme, and of what follows it in an address: host and, perhaps, port.
    pub fn of(scheme: Scheme, authority: &str) -> Result<Origin, OriginError> {
        format!("{}://{authority}", scheme.as_str()).parse()
    }

    /// How it is spoken to.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Who is spoken to.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The port, the scheme's usual one where none was written.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Host and port as they stand in an address and in the header `Host`: without the scheme's usual port.
    pub fn authority(&self) -> String {
        if self.port == self.scheme.usual_port() {
            self.host.to_string()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl Scheme {
    /// The scheme's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }

    fn usual_port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https => 443,
        }
    }
}

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Origin, OriginError> {
        let own = || text.to_owned();
        let (scheme, rest) = text.split_once("://").ok_or_else(|| OriginError::Scheme(own()))?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return Err(OriginError::Scheme(own())),
        };
        if let Some(end) = rest.find(['/', '?', '#', '\\']) {
            let origin = format!("{}://{}", scheme.as_str(), rest.get(..end).unwrap_or_default());
            return Err(OriginError::Path { text: own(), origin });
        }
        if rest.contains('@') {
            return Err(OriginError::User);
        }
        if rest.contains('*') {
            return Err(OriginError::Wildcard(own()));
        }
        // The last colon parts host and port, unless it stands within the brackets of an address.
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, Some(port)),
            _ => (rest, None),
        };
        let port = match port {
            None => scheme.usual_port(),
            Some(port) => read_port(port).ok_or_else(|| OriginError::Port(own()))?,
        };
        let host = read_host(host).ok_or_else(|| OriginError::Host(own()))?;
        Ok(Origin { scheme, host, port })
    }
}

fn read_port(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| plain && *port != 0)
}

fn read_host(text: &str) -> Option<Host> {
    if let Some(address) = text.strip_prefix('[') {
        return address.strip_suffix(']')?.parse().ok().map(Host::V6);
    }
    if let Ok(address) = text.parse() {
        return Some(Host::V4(address));
    }
    let is_name = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let fits = text.len() <= HOST_BYTES && text.split('.').all(is_name);
    // `1.2.3` and `0x7f.1` are addresses to resolvers and names to nobody.
    let last = text.rsplit('.').next().unwrap_or_default();
    let is_address = last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x");
    (fits && !is_address).then(|| Host::Name(text.to_ascii_lowercase()))
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Name(name) => f.write_str(name),
            Host::V4(address) => address.fmt(f),
            Host::V6(address) => write!(f, "[{address}]"),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.as_str(), self.authority())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn is_the_same_however_it_is_written() {
        for (written, shown) in [
            ("https://api.example.com", "https://api.example.com"),
            ("HTTPS://API.Example.com:443", "https://api.example.com"),
            ("http://a:80", "http://a"),
            ("https://a:80", "https://a:80"),
            ("http://127.0.0.1:8081", "http://127.0.0.1:8081"),
            ("http://[::1]:8081", "http://[::1]:8081"),
            ("https://[2001:0DB8::0001]", "https://[2001:db8::1]"),
        ] {
            assert_eq!(written.parse::<Origin>().unwrap().to_string(), shown, "{written}");
        }
    }

    #[test]
    fn refuses_what_is_no_origin() {
        let refused = |text: &str| text.parse::<Origin>().unwrap_err();
        assert!(matches!(refused("api.example.com"), OriginError::Scheme(_)));
        assert!(matches!(refused("ftp://a"), OriginError::Scheme(_)));
        for more in ["https://a/", "https://a/b", "https://a?b", "https://a#b", "https://a\\b"] {
            assert!(
                matches!(refused(more), OriginError::Path { origin, .. } if origin == "https://a"),
                "{more}"
            );
        }
        assert!(matches!(refused("https://u:p@a"), OriginError::User));
        assert!(matches!(refused("https://*.a"), OriginError::Wildcard(_)));
        for port in ["https://a:", "https://a:0", "https://a:65536", "https://a:+1", "https://a:x"] {
            assert!(matches!(refused(port), OriginError::Port(_)), "{port}");
        }
        for host in [
            "https://",
            "https://a..b",
            "https://a.",
            "https://ü",
            "https://a b",
            "https://[::1",
            "https://1.2.3",
            "https://2130706433",
            "https://0x7f.0x1",
            "https://[fe80::1%25eth0]",
        ] {
            assert!(matches!(refused(host), OriginError::Host(_)), "{host}");
        }
    }

    proptest! {
        #[test]
        fn reads_what_it_shows(name in "[a-z]([a-z0-9-]{0,10})(\\.[a-z]{2,5})?", port in 1u16.., tls: bool) {
            let scheme = if tls { Scheme::Https } else { Scheme::Http };
            let origin = Origin::of(scheme, &format!("{name}:{port}")).unwrap();
            prop_assert_eq!(origin.to_string().parse::<Origin>().unwrap(), origin);
        }

        #[test]
        fn panics_on_no_text(text in ".{0,40}") {
            let _ = text.parse::<Origin>();
            let _ = format!("http://{text}").parse::<Origin>();
        }
    }
}
