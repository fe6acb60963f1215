//! The SDK's sources as this program has them, and where a new app finds the SDK.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use toml_edit::{DocumentMut, Item, TableLike, value};

/// Each file's path in the repository, and its text.
pub const SOURCES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/sdk.rs"));

/// The workspace's manifest, of which the SDK's part is kept.
const MANIFEST: &str = "Cargo.toml";

/// The crates that are written.
const CRATES: [&str; 2] = ["guest-sdk", "guest-sdk/macros"];

/// Where an app keeps the SDK, from its workspace.
pub(super) const VENDORED: &str = "vendor/waxwing-sdk";

/// Where an app finds the SDK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sdk {
    /// In a folder of its own, to which the sources in this program are written.
    Vendored,
    /// In this crate, which is there.
    At(PathBuf),
}

impl Sdk {
    /// The SDK of a checkout of the repository, or the crate itself.
    pub fn of_checkout(path: &Path) -> Result<Sdk> {
        let is_sdk = |folder: &Path| {
            let manifest = fs::read_to_string(folder.join(MANIFEST)).unwrap_or_default();
            let manifest = manifest.parse::<DocumentMut>().unwrap_or_default();
            manifest.get("package").and_then(|package| package.get("name")).and_then(Item::as_str)
                == Some("waxwing-sdk")
        };
        let Some(found) = [path.join("guest-sdk"), path.to_owned()].into_iter().find(|folder| is_sdk(folder))
        else {
            bail!(
                "there is no waxwing-sdk at {}: name a checkout of Waxwing, or its guest-sdk",
                path.display()
            );
        };
        let found =
            fs::canonicalize(&found).with_context(|| format!("{} cannot be found", found.display()))?;
        Ok(Sdk::At(found))
    }
}

/// The files of an SDK that an app keeps, by their paths within its folder.
pub(super) fn vendored() -> Result<Vec<(String, String)>> {
    let sources = SOURCES.iter().filter(|(path, _)| *path != MANIFEST);
    let mut files: Vec<(String, String)> =
        sources.map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
    files.push((MANIFEST.to_owned(), workspace(text(MANIFEST)?)?));
    Ok(files)
}

fn text(path: &str) -> Result<&'static str> {
    let found = SOURCES.iter().find(|(found, _)| *found == path);
    found.map(|(_, text)| *text).with_context(|| format!("the program has no {path} of the SDK"))
}

/// The workspace of the SDK alone: what its two crates inherit.
fn workspace(manifest: &str) -> Result<String> {
    let mut manifest: DocumentMut = manifest.parse().context("the SDK's workspace cannot be read")?;
    let mut inherited = BTreeSet::new();
    for folder in CRATES {
        let text = text(&format!("{folder}/{MANIFEST}"))?;
        inherit(
            text.parse::<DocumentMut>().context("the SDK's manifest cannot be read")?.as_table(),
            &mut inherited,
        );
    }
    manifest.retain(|name, _| name == "workspace");
    let workspace =
        manifest.get_mut("workspace").and_then(Item::as_table_mut).context("the SDK has no workspace")?;
    workspace.retain(|name, _| ["resolver", "members", "package", "dependencies", "lints"].contains(&name));
    workspace.insert("members", value(CRATES.into_iter().collect::<toml_edit::Array>()));
    if let Some(dependencies) = workspace.get_mut("dependencies").and_then(Item::as_table_mut) {
        dependencies.retain(|name, _| inherited.contains(name));
        for (mut key, _) in dependencies.iter_mut() {
            key.leaf_decor_mut().clear();
        }
    }
    let version = env!("CARGO_PKG_VERSION");
    Ok(format!(
        "# The SDK of waxwing {version}, as `waxwing new` has written it. Not to be changed here.\n\n{manifest}"
    ))
}

/// The names of dependencies that a crate takes from its workspace.
fn inherit(table: &dyn TableLike, inherited: &mut BTreeSet<String>) {
    for (name, item) in table.iter() {
        let Some(table) = item.as_table_like() else { continue };
        if table.get("workspace").and_then(Item::as_bool) == Some(true) {
            inherited.insert(name.to_owned());
        }
        inherit(table, inherited);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// All files below a folder of the repository.
    fn below(root: &Path, folder: &str, found: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(root.join(folder)).unwrap() {
            let name = format!("{folder}/{}", entry.unwrap().file_name().to_str().unwrap());
            match fs::read_to_string(root.join(&name)) {
                Ok(text) => drop(found.insert(name, text)),
                Err(_) => below(root, &name, found),
            }
        }
    }

    #[test]
    fn the_program_has_the_repositorys_sdk_and_nothing_else() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut repository = BTreeMap::new();
        ["guest-sdk", "wit"].into_iter().for_each(|folder| below(&root, folder, &mut repository));
        for file in ["Cargo.toml", "LICENSE", "rustfmt.toml"] {
            repository.insert(file.to_owned(), fs::read_to_string(root.join(file)).unwrap());
        }
        let embedded: BTreeMap<_, _> =
            SOURCES.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        assert!(embedded.keys().eq(repository.keys()), "{:?} {:?}", embedded.keys(), repository.keys());
        assert!(embedded == repository, "a file of the SDK is not as it is in the repository");
        let bytes: usize = embedded.values().map(String::len).sum();
        assert!(bytes < 512 << 10, "{bytes} bytes of SDK are a lot for a program to carry");
    }

    #[test]
    fn the_vendored_workspace_has_what_its_crates_inherit_and_no_more() {
        let workspace: toml::Table = workspace(text(MANIFEST).unwrap()).unwrap().parse().unwrap();
        let workspace = workspace["workspace"].as_table().unwrap();
        let dependencies: Vec<_> =
            workspace["dependencies"].as_table().unwrap().keys().map(String::as_str).collect();
        let expected =
            ["proc-macro2", "quote", "serde", "serde_json", "syn", "waxwing-sdk-macros", "wit-bindgen"];
        assert_eq!(dependencies, expected);
        assert!(workspace.contains_key("lints") && workspace.contains_key("package"));
        assert!(!workspace.contains_key("exclude"));
    }
}
