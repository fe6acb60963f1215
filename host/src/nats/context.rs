//! Contexts of the `nats` tool: `context/<name>.json` in its folder, the selected one in `context.txt`.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use super::{
    credentials::{Credentials, Layer, Tls},
    resolve::Surroundings,
};

/// What a context's file says; keys that do not matter here are passed over.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct File {
    url: String,
    token: String,
    user: String,
    password: String,
    creds: String,
    nkey: String,
    cert: String,
    key: String,
    ca: String,
    nsc: String,
    user_jwt: String,
    inbox_prefix: String,
    tls_first: bool,
}

/// The name of the selected context, if there is one.
pub(super) fn selected(around: &Surroundings) -> Result<Option<String>> {
    let Some(folder) = &around.config else { return Ok(None) };
    let file = folder.join("nats/context.txt");
    match fs::read_to_string(&file) {
        Ok(name) => Ok(Some(name.trim().to_owned()).filter(|name| !name.is_empty())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", file.display())),
    }
}

/// A context as one layer.
pub(super) fn layer(name: &str, around: &Surroundings) -> Result<Layer> {
    if name.contains(['/', '\\']) || name.contains("..") || name.is_empty() {
        bail!("`{name}` is no name of a context");
    }
    let folder = around.config.as_deref().context("there is no home folder in which contexts could lie")?;
    let path = folder.join("nats/context").join(format!("{name}.json"));
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            bail!("there is no context `{name}`: list them with `nats context ls`")
        }
        Err(error) => return Err(error).with_context(|| format!("{} cannot be read", path.display())),
    };
    let file: File =
        serde_json::from_str(&text).with_context(|| format!("{} is malformed", path.display()))?;
    if let Some(key) = file.unsupported() {
        bail!(
            "context `{name}` uses `{key}`, which is not supported yet by this version: use another context"
        );
    }
    Ok(file.layer(around.home.as_deref()))
}

impl File {
    /// A key that says something which cannot be followed.
    fn unsupported(&self) -> Option<&'static str> {
        let texts = [("nsc", &self.nsc), ("user_jwt", &self.user_jwt), ("inbox_prefix", &self.inbox_prefix)];
        let text = texts.into_iter().find(|(_, value)| !value.is_empty()).map(|(key, _)| key);
        text.or(self.tls_first.then_some("tls_first"))
    }

    fn layer(self, home: Option<&Path>) -> Layer {
        let path = |text: String| some(text).map(|text| expanded(&text, home));
        Layer {
            servers: some(self.url),
            credentials: Credentials::choose(
                path(self.creds),
                path(self.nkey),
                some(self.token),
                some(self.user),
                some(self.password),
            ),
            tls: Tls { ca: path(self.ca), cert: path(self.cert), key: path(self.key) },
        }
    }
}

fn some(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

/// The path with a leading `~` replaced by the home folder.
fn expanded(text: &str, home: Option<&Path>) -> PathBuf {
    match (text.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(text),
    }
}
