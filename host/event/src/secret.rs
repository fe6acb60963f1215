//! Secrets: where a host finds the values that its handlers may read by name.

use std::{fmt, path::PathBuf};

/// Where a host finds a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretPlace {
    /// In an environment variable of this name.
    Variable(String),
    /// In a file.
    File(PathBuf),
}

impl fmt::Display for SecretPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecretPlace::Variable(name) => write!(f, "the variable {name}"),
            SecretPlace::File(path) => write!(f, "the file {}", path.display()),
        }
    }
}
