//! Signatures: who vouches for what is deployed. Ed25519 with nkeys, the keys that NATS users have.
//!
//! A [`Claim`] is what is signed: a module, with the app, the handler and the manifest's table that it is meant for. A
//! [`Signer`] signs it where somebody deploys; what is [`Required`] is checked on each host, by its own configuration.

use std::{collections::BTreeSet, fmt, fs, io, path::Path, str::FromStr};

use base64::{Engine, engine::general_purpose::STANDARD};
use nkeys::KeyPair;
use serde_json::Value;
use waxwing_engine::entry::version::{Signature, Version};
use waxwing_event::{AppName, Digest, HandlerName};
use waxwing_log::jetstream::modules::digest_of;

/// The public nkey of somebody who may sign, as it is written: `UD…`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublicKey(String);

/// Text that is no public key for signatures. What was written is not told: it may be a seed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A seed.
    #[error(
        "it is a seed, which must stay secret: write the public key, which `nk -inkey FILE -pubout` shows, and change \
         the seed if others can read this"
    )]
    Seed,
    /// A key for encryption.
    #[error(
        "it is a curve key (X…), with which nothing is signed: write an nkey such as one of `nk -gen user`"
    )]
    Curve,
    /// Something else.
    #[error(
        "it is no public nkey: these have 56 characters and begin with a letter for their kind, such as U, A or O"
    )]
    Other,
}

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<PublicKey, KeyError> {
        if nkeys::decode_seed(text).is_ok() {
            return Err(KeyError::Seed);
        }
        // These are no points of the curve for signatures, or are so by chance.
        if nkeys::from_public_key(text).is_ok() && text.starts_with('X') {
            return Err(KeyError::Curve);
        }
        match KeyPair::from_public_key(text) {
            Ok(_) => Ok(PublicKey(text.to_owned())),
            Err(_) => Err(KeyError::Other),
        }
    }
}

impl PublicKey {
    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whoever signs what is deployed: a key with its seed.
pub struct Signer {
    pair: KeyPair,
    public: PublicKey,
}

/// Why nobody can sign. Nothing of a seed is told.
#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    /// The file cannot be read.
    #[error("the seed in {file} cannot be read")]
    Unreadable {
        /// The file.
        file: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// No seed.
    #[error(
        "there is no nkey seed in {0}: it is a line of 58 characters that begins with S, as `nk -gen user` writes it"
    )]
    NoSeed(String),
    /// A seed of another kind.
    #[error("the seed in {place} signs nothing: {why}")]
    Kind {
        /// Where it was found.
        place: String,
        /// Why not.
        #[source]
        why: KeyError,
    },
    /// It did not sign.
    #[error("the key {0} does not sign")]
    Unsigned(PublicKey),
}

impl Signer {
    /// The one whose seed is in a file, in a line of its own: as `nk -gen user` writes it, or in a credentials file.
    pub fn of_file(path: &Path) -> Result<Signer, SignerError> {
        let file = path.display().to_string();
        let text = fs::read_to_string(path)
            .map_err(|source| SignerError::Unreadable { file: file.clone(), source })?;
        Signer::of_text(&text, &file)
    }

    /// The one whose seed is in a text, which was found at `place`.
    pub fn of_text(text: &str, place: &str) -> Result<Signer, SignerError> {
        let pair = text.lines().find_map(|line| KeyPair::from_seed(line.trim()).ok());
        let pair = pair.ok_or_else(|| SignerError::NoSeed(place.to_owned()))?;
        let public = pair.public_key().parse();
        let public = public.map_err(|why| SignerError::Kind { place: place.to_owned(), why })?;
        Ok(Signer { pair, public })
    }

    /// Its public key.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs.
    pub fn sign(&self, claim: &Claim<'_>) -> Result<Signature, SignerError> {
        let signed = self.pair.sign(claim.text().as_bytes());
        let signed = signed.map_err(|_| SignerError::Unsigned(self.public.clone()))?;
        Ok(Signature { key: self.public.to_string(), signature: STANDARD.encode(signed) })
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Signer").field(&self.public).finish()
    }
}

/// What is signed: that this module, as this handler of this app, may do what this table says.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// The app.
    pub app: &'a AppName,
    /// The handler.
    pub handler: &'a HandlerName,
    /// Its module.
    pub module: Digest,
    /// What the manifest says of it, without the module.
    pub manifest: &'a Value,
}

impl<'a> Claim<'a> {
    /// What a version's signatures must be over.
    pub fn of(app: &'a AppName, handler: &'a HandlerName, version: &'a Version) -> Claim<'a> {
        Claim { app, handler, module: version.module, manifest: &version.manifest }
    }

    /// The bytes that are signed. No part can hold a line's end, so no two claims have the same.
    fn text(&self) -> String {
        let Claim { app, handler, module, manifest } = self;
        let manifest = digest_of(canonical(manifest).as_bytes());
        format!(
            "waxwing version signature 1\napp {app}\nhandler {handler}\nmodule {module}\nmanifest {manifest}\n"
        )
    }

    /// The keys that have signed this.
    pub fn signed_by(&self, signatures: &[Signature]) -> BTreeSet<PublicKey> {
        signatures.iter().filter_map(|signature| self.verified(signature)).collect()
    }

    fn verified(&self, Signature { key, signature }: &Signature) -> Option<PublicKey> {
        let public: PublicKey = key.parse().ok()?;
        let signature = STANDARD.decode(signature).ok()?;
        KeyPair::from_public_key(key).ok()?.verify(self.text().as_bytes(), &signature).ok()?;
        Some(public)
    }
}

/// JSON without blanks, the members of each object in the order of their names' bytes.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_by(|(a, _), (b, _)| a.as_bytes().cmp(b.as_bytes()));
            let member = |(name, value): (&String, &Value)| {
                format!("{}:{}", Value::String(name.clone()), canonical(value))
            };
            format!("{{{}}}", sorted.into_iter().map(member).collect::<Vec<_>>().join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        other => other.to_string(),
    }
}

/// Who must have signed what is deployed: of each of these lists, one. None: nobody must.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Required(Vec<Vec<PublicKey>>);

/// A version without a signature that a host requires.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unsigned {
    /// There is none.
    #[error("it is not signed, and this host requires it (`require-signature`): deploy it with --sign")]
    Nobody,
    /// None of them is good.
    #[error(
        "its signature is not good: it is not over this module as this handler of this app, with what its manifest says"
    )]
    Bad,
    /// Others have signed it.
    #[error("it is signed by {0}, of whom this host requires none (`require-signature`)")]
    Others(String),
}

impl Required {
    /// One of these keys.
    pub fn one_of(keys: Vec<PublicKey>) -> Required {
        Required(vec![keys])
    }

    /// What both require.
    pub fn and(&self, other: &Required) -> Required {
        Required(self.0.iter().chain(&other.0).cloned().collect())
    }

    /// Whether these signatures are enough.
    pub fn check(&self, claim: &Claim<'_>, signatures: &[Signature]) -> Result<(), Unsigned> {
        let by = claim.signed_by(signatures);
        if self.0.iter().all(|keys| keys.iter().any(|key| by.contains(key))) {
            return Ok(());
        }
        if signatures.is_empty() {
            return Err(Unsigned::Nobody);
        }
        if by.is_empty() {
            return Err(Unsigned::Bad);
        }
        let by: Vec<String> = by.iter().map(ToString::to_string).collect();
        Err(Unsigned::Others(by.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use nkeys::KeyPairType;
    use serde_json::json;

    use super::*;

    const SEED: [u8; 32] = [7; 32];

    fn signer(kind: KeyPairType, seed: u8) -> Signer {
        let pair = KeyPair::new_from_raw(kind, [seed; 32]).unwrap();
        Signer::of_text(&format!("about it\n{}\n", pair.seed().unwrap()), "here").unwrap()
    }

    /// Whoever changes this makes every signature that was ever made a bad one: then the first line must change, too.
    #[test]
    fn the_bytes_that_are_signed_are_these() {
        let (app, handler) = ("shop".parse().unwrap(), "basket".parse().unwrap());
        let manifest = json!({ "on": ["a.>"], "key": "data.ä\n", "grants": { "n": 1, "emit": true } });
        assert_eq!(canonical(&manifest), r#"{"grants":{"emit":true,"n":1},"key":"data.ä\n","on":["a.>"]}"#);
        let claim =
            Claim { app: &app, handler: &handler, module: Digest([0xab; 32]), manifest: &json!({"on": "a"}) };
        let text = claim.text();
        let lines: Vec<&str> = text.split('\n').collect();
        assert_eq!(lines[..3], ["waxwing version signature 1", "app shop", "handler basket"]);
        assert_eq!(lines[3], format!("module sha256:{}", "ab".repeat(32)));
        assert_eq!(lines[4], format!("manifest {}", digest_of(br#"{"on":"a"}"#)));
        assert_eq!(lines[5..], [""]);
    }

    #[test]
    fn a_signature_holds_for_what_was_signed_alone() {
        let names: (AppName, AppName) = ("shop".parse().unwrap(), "other".parse().unwrap());
        let handlers: (HandlerName, HandlerName) = ("basket".parse().unwrap(), "order".parse().unwrap());
        let (manifest, wider) = (json!({ "on": "a" }), json!({ "on": "a", "grants": { "emit": ["b"] } }));
        let claim =
            Claim { app: &names.0, handler: &handlers.0, module: Digest([1; 32]), manifest: &manifest };
        let (ours, theirs) = (signer(KeyPairType::User, 1), signer(KeyPairType::Account, 2));
        let good = ours.sign(&claim).unwrap();
        let required = Required::one_of(vec![ours.public().clone()]);
        let check = |claim: &Claim<'_>, signatures: &[Signature]| required.check(claim, signatures);
        assert_eq!(check(&claim, &[theirs.sign(&claim).unwrap(), good.clone()]), Ok(()));
        assert_eq!(check(&claim, &[]), Err(Unsigned::Nobody));
        let others = check(&claim, &[theirs.sign(&claim).unwrap()]);
        assert_eq!(others, Err(Unsigned::Others(theirs.public().to_string())));
        let elsewhere = [
            Claim { app: &names.1, ..claim },
            Claim { handler: &handlers.1, ..claim },
            Claim { module: Digest([2; 32]), ..claim },
            Claim { manifest: &wider, ..claim },
        ];
        for other in elsewhere {
            assert_eq!(check(&other, std::slice::from_ref(&good)), Err(Unsigned::Bad), "{other:?}");
        }
        // One key's signature under another's name, and what is no signature.
        let stolen = Signature { key: theirs.public().to_string(), ..good.clone() };
        let cut = Signature { signature: good.signature[..20].to_owned(), ..good.clone() };
        for bad in [stolen, cut, Signature { signature: "?".to_owned(), ..good.clone() }] {
            assert_eq!(check(&claim, &[bad]), Err(Unsigned::Bad));
        }
        let both = required.and(&Required::one_of(vec![theirs.public().clone()]));
        assert!(both.check(&claim, std::slice::from_ref(&good)).is_err());
        assert_eq!(both.check(&claim, &[good, theirs.sign(&claim).unwrap()]), Ok(()));
        assert_eq!(Required::default().check(&claim, &[]), Ok(()));
    }

    #[test]
    fn what_is_no_public_key_is_refused_and_a_seed_is_not_told() {
        let seed = KeyPair::new_from_raw(KeyPairType::User, SEED).unwrap().seed().unwrap();
        let curve = KeyPair::new_from_raw(KeyPairType::Curve, SEED).unwrap().public_key();
        let refusal = |text: &str| text.parse::<PublicKey>().unwrap_err();
        assert_eq!(refusal(&seed), KeyError::Seed);
        assert_eq!(refusal(&curve), KeyError::Curve);
        assert_eq!(refusal(""), KeyError::Other);
        let mut mistyped = signer(KeyPairType::User, 1).public().to_string();
        mistyped.replace_range(10..11, if &mistyped[10..11] == "A" { "B" } else { "A" });
        assert_eq!(refusal(&mistyped), KeyError::Other);
        assert!(!refusal(&seed).to_string().contains(&seed));
        let public = signer(KeyPairType::User, 1).public().to_string();
        let error = Signer::of_text(&public, "the file").unwrap_err().to_string();
        assert!(error.contains("no nkey seed in the file") && !error.contains(&public), "{error}");
    }
}
