//! Who we are to a registry: as `docker login` has written it to `config.json`.

use std::{collections::BTreeMap, env, fs, io, path::PathBuf};

use base64::{Engine, engine::general_purpose::STANDARD};
use oci_client::secrets::RegistryAuth;
use serde::Deserialize;

use super::{Address, RegistryError};

/// The folder of `config.json`, where it is not `.docker` in the user's.
const FOLDER: &str = "DOCKER_CONFIG";

/// What is read of the file.
#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
}

#[derive(Default, Deserialize)]
struct Entry {
    /// `user:password` in base64.
    #[serde(default)]
    auth: String,
}

/// The credentials for the address's registry; anonymous where there are none.
pub(super) fn find(address: &Address) -> Result<RegistryAuth, RegistryError> {
    let home = || env::home_dir().map(|home| home.join(".docker"));
    let Some(folder) = env::var_os(FOLDER).map(PathBuf::from).or_else(home) else {
        return Ok(RegistryAuth::Anonymous);
    };
    let file = folder.join("config.json");
    let refused = |why: String| RegistryError::Credentials { file: file.display().to_string(), why };
    let text = match fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(RegistryAuth::Anonymous),
        Err(error) => return Err(refused(error.to_string())),
    };
    read(&text, address.registry()).map_err(refused)
}

/// Errors tell nothing of what stands there.
fn read(text: &str, registry: &str) -> Result<RegistryAuth, String> {
    let config: Config =
        serde_json::from_str(text).map_err(|_| "it is not as docker writes it".to_owned())?;
    let of_this = |key: &str| {
        let host = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
        host.split('/').next() == Some(registry)
    };
    let entry = config.auths.into_iter().find(|(key, _)| of_this(key)).map(|(_, entry)| entry);
    let Some(Entry { auth }) = entry.filter(|entry| !entry.auth.is_empty()) else {
        return Ok(RegistryAuth::Anonymous);
    };
    let decoded = STANDARD.decode(auth).ok().and_then(|decoded| String::from_utf8(decoded).ok());
    let pair = decoded.as_deref().and_then(|decoded| decoded.split_once(':'));
    let (user, password) =
        pair.ok_or_else(|| format!("`auth` of {registry} is not user:password in base64"))?;
    Ok(RegistryAuth::Basic(user.to_owned(), password.trim_end_matches('\0').to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_docker_login_writes() {
        let auth = STANDARD.encode("ada:pass:word");
        let text =
            format!(r#"{{"auths":{{"https://a.example/v1/":{{"auth":"{auth}"}},"b.example:5000":{{}}}}}}"#);
        let found = |registry| read(&text, registry).unwrap();
        assert_eq!(found("a.example"), RegistryAuth::Basic("ada".into(), "pass:word".into()));
        assert_eq!(found("b.example:5000"), RegistryAuth::Anonymous);
        assert_eq!(found("example"), RegistryAuth::Anonymous);
        assert!(read("{", "a").is_err());
        let error = read(r#"{"auths":{"a.example":{"auth":"secret"}}}"#, "a.example").unwrap_err();
        assert!(!error.contains("secret"), "{error}");
    }
}
