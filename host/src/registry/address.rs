//! Where a module lies in a registry: `oci://registry/repository:tag` or `…@sha256:…`.

use std::{fmt, str::FromStr};

use waxwing_event::Digest;

/// How an address begins.
pub const PREFIX: &str = "oci://";

/// The longest tag.
const MAX_TAG_BYTES: usize = 128;

/// The address of a module in a registry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    registry: String,
    repository: String,
    which: Which,
}

/// Which of a repository's artefacts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Which {
    /// What a tag stands for at the moment.
    Tag(String),
    /// This one for ever: the digest of its manifest.
    Digest(Digest),
}

/// Text that is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` {why}: write oci://registry.example/repository:tag, or …@sha256:… for one that never changes"
)]
pub struct AddressError {
    text: String,
    why: &'static str,
}

impl Address {
    /// The registry: a host's name, with its port where that is not the usual one.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository within it.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag; none where it is named by its digest.
    pub fn tag(&self) -> Option<&str> {
        match &self.which {
            Which::Tag(tag) => Some(tag),
            Which::Digest(_) => None,
        }
    }

    /// The digest of the manifest; none where it is named by a tag.
    pub fn digest(&self) -> Option<Digest> {
        match &self.which {
            Which::Tag(_) => None,
            Which::Digest(digest) => Some(*digest),
        }
    }

    /// The same place, and of it what has this digest.
    pub fn pinned(&self, digest: Digest) -> Address {
        Address { which: Which::Digest(digest), ..self.clone() }
    }

    /// True where the registry is on this machine.
    pub fn is_local(&self) -> bool {
        let host = match self.registry.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
            _ => self.registry.as_str(),
        };
        host == "localhost" || host.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback())
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Address, AddressError> {
        let refused = |why| AddressError { text: text.to_owned(), why };
        let rest = text.strip_prefix(PREFIX).ok_or_else(|| refused("does not begin with oci://"))?;
        let (registry, rest) = rest.split_once('/').ok_or_else(|| refused("names no repository"))?;
        let is_host = registry == "localhost" || registry.contains(['.', ':']);
        let plain = |c: char| c.is_ascii_alphanumeric() || ".-:".contains(c);
        if !is_host || !registry.chars().all(plain) {
            return Err(refused("does not begin with a registry's host"));
        }
        let (repository, which) = match rest.split_once('@') {
            Some((repository, digest)) => {
                let digest =
                    digest.parse().map_err(|_| refused("has something else than a digest behind `@`"))?;
                (repository, Which::Digest(digest))
            }
            None => {
                let (repository, tag) = rest.rsplit_once(':').ok_or_else(|| refused("names no tag"))?;
                if !is_tag(tag) {
                    return Err(refused("has no tag behind its last `:`"));
                }
                (repository, Which::Tag(tag.to_owned()))
            }
        };
        if !repository.split('/').all(is_part) {
            return Err(refused(
                "names a repository with other characters than a-z, 0-9, `.`, `_`, `-` and `/`",
            ));
        }
        Ok(Address { registry: registry.to_owned(), repository: repository.to_owned(), which })
    }
}

fn is_tag(text: &str) -> bool {
    let of_tags = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    (1..=MAX_TAG_BYTES).contains(&text.len()) && !text.starts_with(['.', '-']) && text.chars().all(of_tags)
}

fn is_part(text: &str) -> bool {
    let outer = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.starts_with(outer) && text.ends_with(outer) && text.chars().all(|c| outer(c) || "._-".contains(c))
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Address { registry, repository, which } = self;
        match which {
            Which::Tag(tag) => write!(f, "{PREFIX}{registry}/{repository}:{tag}"),
            Which::Digest(digest) => write!(f, "{PREFIX}{registry}/{repository}@{digest}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let digest = format!("sha256:{}", "ab".repeat(32));
        for text in [
            "oci://registry.example/team/basket:1.2.0",
            "oci://localhost/basket:latest",
            "oci://127.0.0.1:5000/a/b/c_d:V1",
            &format!("oci://registry.example/basket@{digest}"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        let address: Address = "oci://registry.example/basket:1".parse().unwrap();
        assert_eq!(
            address.pinned(digest.parse().unwrap()).to_string(),
            format!("oci://registry.example/basket@{digest}")
        );
    }

    #[test]
    fn refuses_everything_else() {
        for text in [
            "registry.example/basket:1",
            "oci://basket:1",
            "oci://team/basket:1",
            "oci://registry.example/basket",
            "oci://registry.example/basket:",
            "oci://registry.example/Basket:1",
            "oci://registry.example/../basket:1",
            "oci://registry.example//basket:1",
            "oci://registry.example/basket:1@sha256:00",
            "oci://user:password@registry.example/basket:1",
            "oci://registry.example/basket:.1",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }

    #[test]
    fn knows_what_is_on_this_machine() {
        let is_local = |text: &str| text.parse::<Address>().unwrap().is_local();
        assert!(is_local("oci://localhost:5000/a:1") && is_local("oci://127.0.0.1:5000/a:1"));
        assert!(!is_local("oci://localhost.example:5000/a:1") && !is_local("oci://10.0.0.1:5000/a:1"));
    }
}
