//! Secrets: what handlers may read by name, and where this host finds it.
//!
//! A value is read whenever a run asks for it, so that one that has been replaced is the next run's; only variables stay as
//! they were when the host started. No value is ever shown: [`Secret`] has no text of its own.

use std::{
    collections::BTreeMap,
    env,
    ffi::OsString,
    fmt, fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use waxwing_event::{SecretName, secret::SecretPlace};
use zeroize::Zeroizing;

/// The largest secret, in bytes.
pub const MAX_SECRET_BYTES: u64 = 64 << 10;

/// How variables begin that hold secrets by their names.
const VARIABLE_PREFIX: &str = "WAXWING_SECRET_";

/// A value that is shown to nobody, and overwritten when it is dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// A secret of these bytes.
    pub fn new(value: Vec<u8>) -> Secret {
        Secret(Zeroizing::new(value))
    }

    /// The value.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Where secrets come from.
#[derive(Debug)]
pub struct Secrets(Source);

#[derive(Debug)]
enum Source {
    /// The machine.
    Host { named: BTreeMap<SecretName, SecretPlace>, folder: Option<PathBuf> },
    /// Whoever asks for the run.
    Given(BTreeMap<SecretName, Secret>),
}

/// A secret that is not to be had. Nothing of its value is told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// It is nowhere, or cannot be read.
    #[error(
        "its secret `{name}` is not on this host: looked for {looked}; put it there, or say in [host.secrets] where it is"
    )]
    Missing {
        /// Which.
        name: SecretName,
        /// Where, and what was found there.
        looked: String,
    },
    /// The test does not give it.
    #[error("its secret `{0}` is not given: give it with `Sandbox::secret`")]
    NotGiven(SecretName),
}

impl Secrets {
    /// Those of this machine: in the places that are named, else in a file of its name in `folder`, else in the variable
    /// `WAXWING_SECRET_<NAME>`.
    pub fn of_host(named: BTreeMap<SecretName, SecretPlace>, folder: Option<PathBuf>) -> Secrets {
        Secrets(Source::Host { named, folder })
    }

    /// These, and no others.
    pub fn given(secrets: BTreeMap<SecretName, Secret>) -> Secrets {
        Secrets(Source::Given(secrets))
    }

    /// The value as it is now.
    pub fn read(&self, name: &SecretName) -> Result<Secret, SecretError> {
        let (named, folder) = match &self.0 {
            Source::Given(given) => {
                return given.get(name).cloned().ok_or_else(|| SecretError::NotGiven(name.clone()));
            }
            Source::Host { named, folder } => (named, folder.as_deref()),
        };
        let mut looked = Vec::new();
        for place in places(name, named, folder) {
            match read(&place) {
                Ok(secret) => return Ok(secret),
                Err(why) => looked.push(format!("{place} ({why})")),
            }
        }
        Err(SecretError::Missing { name: name.clone(), looked: looked.join(" and ") })
    }
}

impl Default for Secrets {
    fn default() -> Secrets {
        Secrets::given(BTreeMap::new())
    }
}

/// Where to look, first to last. Where a place is named, nowhere else.
fn places(
    name: &SecretName,
    named: &BTreeMap<SecretName, SecretPlace>,
    folder: Option<&Path>,
) -> Vec<SecretPlace> {
    if let Some(place) = named.get(name) {
        return vec![place.clone()];
    }
    let file = folder.map(|folder| SecretPlace::File(folder.join(name.as_str())));
    let variable = format!("{VARIABLE_PREFIX}{}", name.as_str().to_uppercase().replace('-', "_"));
    file.into_iter().chain([SecretPlace::Variable(variable)]).collect()
}

fn read(place: &SecretPlace) -> Result<Secret, String> {
    let secret = match place {
        SecretPlace::Variable(name) => env::var_os(name).map(bytes_of).ok_or("not set")?,
        SecretPlace::File(path) => read_file(path).map_err(|error| error.to_string())?,
    };
    if secret.expose().is_empty() { Err("empty".to_owned()) } else { Ok(secret) }
}

fn read_file(path: &Path) -> io::Result<Secret> {
    // To open something else, such as a pipe, could take for ever.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("no file"));
    }
    let mut value = Secret::new(Vec::with_capacity(4096));
    fs::File::open(path)?.take(MAX_SECRET_BYTES + 1).read_to_end(&mut value.0)?;
    if value.0.len() as u64 > MAX_SECRET_BYTES {
        return Err(io::Error::other(format!("larger than {MAX_SECRET_BYTES} bytes")));
    }
    Ok(value)
}

#[cfg(unix)]
fn bytes_of(value: OsString) -> Secret {
    use std::os::unix::ffi::OsStringExt;
    Secret::new(value.into_vec())
}

#[cfg(not(unix))]
fn bytes_of(value: OsString) -> Secret {
    Secret::new(value.to_string_lossy().into_owned().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> SecretName {
        text.parse().unwrap()
    }

    #[test]
    fn looks_where_it_is_named_else_in_the_folder_else_in_a_variable() {
        let folder = tempfile::tempdir().unwrap();
        let elsewhere = folder.path().join("elsewhere");
        fs::write(&elsewhere, "one").unwrap();
        fs::write(folder.path().join("b-c"), "two\n").unwrap();
        let named = [(name("a"), SecretPlace::File(elsewhere.clone()))].into();
        let secrets = Secrets::of_host(named, Some(folder.path().to_owned()));
        assert_eq!(secrets.read(&name("a")).unwrap().expose(), b"one");
        assert_eq!(secrets.read(&name("b-c")).unwrap().expose(), b"two\n");
        // Replaced, it is the next one's; and where it is named, nowhere else is looked.
        fs::write(&elsewhere, "three").unwrap();
        assert_eq!(secrets.read(&name("a")).unwrap().expose(), b"three");
        fs::remove_file(&elsewhere).unwrap();
        fs::write(folder.path().join("a"), "four").unwrap();
        assert!(secrets.read(&name("a")).is_err());
        let missing = secrets.read(&name("b-d")).unwrap_err().to_string();
        let file = folder.path().join("b-d");
        assert!(missing.contains("its secret `b-d` is not on this host: looked for the file"), "{missing}");
        assert!(missing.contains(file.to_str().unwrap()), "{missing}");
        assert!(missing.contains("the variable WAXWING_SECRET_B_D (not set)"), "{missing}");
    }

    #[test]
    fn takes_no_file_that_is_empty_or_too_large_or_none() {
        let folder = tempfile::tempdir().unwrap();
        let secrets = Secrets::of_host(BTreeMap::new(), Some(folder.path().to_owned()));
        let most = usize::try_from(MAX_SECRET_BYTES).unwrap();
        let file = folder.path().join("a");
        let found = |bytes: Vec<u8>| {
            fs::write(&file, bytes).unwrap();
            secrets.read(&name("a")).map(|secret| secret.expose().len())
        };
        assert_eq!(found(vec![1; most]), Ok(most));
        assert!(found(vec![1; most + 1]).unwrap_err().to_string().contains("larger than 65536 bytes"));
        assert!(found(Vec::new()).unwrap_err().to_string().contains("(empty)"));
        fs::remove_file(&file).unwrap();
        fs::create_dir(&file).unwrap();
        assert!(secrets.read(&name("a")).unwrap_err().to_string().contains("(no file)"));
    }

    #[test]
    fn what_it_is_is_never_shown() {
        let given = Secrets::given([(name("a"), Secret::new(b"hush".to_vec()))].into());
        let shown = format!("{given:?} {:?}", given.read(&name("a")));
        assert!(!shown.contains("hush") && !shown.contains("104"), "{shown}");
        assert_eq!(given.read(&name("b")).unwrap_err(), SecretError::NotGiven(name("b")));
    }
}
