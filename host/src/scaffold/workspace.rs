//! The cargo workspace of an app: where a new crate becomes a member, and where it finds the SDK.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use toml_edit::{Array, DocumentMut, InlineTable, Item, Table, TableLike, table, value};

use super::{
    Files, Sdk,
    list::append,
    sdk::{self, VENDORED},
};

/// What a new workspace begins as.
const NEW: &str = include_str!("../../templates/app/Cargo.toml");

/// A workspace, and what is to change in it.
pub(super) struct Workspace {
    folder: PathBuf,
    /// None: there is none yet.
    written: Option<String>,
    document: DocumentMut,
}

impl Workspace {
    /// One that is to be made in this folder.
    pub(super) fn new(folder: PathBuf) -> Result<Workspace> {
        Ok(Workspace { folder, written: None, document: NEW.parse()? })
    }

    /// The workspace of crates in `folder`, which has no `..` in it: there, above, or one that is to be made.
    pub(super) fn of(folder: &Path) -> Result<Workspace> {
        for above in folder.ancestors() {
            let path = above.join("Cargo.toml");
            let Ok(written) = fs::read_to_string(&path) else { continue };
            let document: DocumentMut = written
                .parse()
                .with_context(|| format!("{} is not TOML: correct it first", path.display()))?;
            if document.get("workspace").is_some_and(Item::is_table_like) {
                return Ok(Workspace { folder: above.to_owned(), written: Some(written), document });
            }
            if above == folder {
                bail!(
                    "{} is a crate and no workspace: add `[workspace]` to it, so that others can join",
                    path.display()
                );
            }
        }
        Workspace::new(folder.to_owned())
    }

    /// Takes in a crate in this folder below it.
    pub(super) fn join(&mut self, folder: &Path) -> Result<()> {
        let path = folder.strip_prefix(&self.folder).context("the crate does not lie in its workspace")?;
        let path = path.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/");
        let members = self.workspace()?.entry("members").or_insert_with(|| value(Array::new()));
        let members =
            members.as_array_mut().context("`members` of the workspace is no list: correct it first")?;
        if !members.iter().filter_map(|member| member.as_str()).any(|member| covers(member, &path)) {
            append(members, &path);
        }
        Ok(())
    }

    /// Makes sure that members find the SDK and serde; the SDK's files go to `files` where they are to be written.
    pub(super) fn provide(&mut self, sdk: Option<&Sdk>, files: &mut Files) -> Result<()> {
        let vendored = self.folder.join(VENDORED);
        let dependencies = self.workspace()?.entry("dependencies").or_insert_with(table);
        let dependencies =
            dependencies.as_table_like_mut().context("`dependencies` of the workspace is no table")?;
        if dependencies.get("serde").is_none() {
            let features: Array = ["derive"].into_iter().collect();
            dependencies.insert("serde", inline([("version", "1".into()), ("features", features.into())]));
        }
        match (dependencies.get("waxwing-sdk").is_some(), sdk) {
            (true, None) => return Ok(()),
            (true, Some(_)) => bail!("the workspace says already where waxwing-sdk is: leave out --sdk"),
            (false, Some(Sdk::At(path))) => {
                let path = path.to_str().context("the path of the SDK is no UTF-8")?;
                dependencies.insert("waxwing-sdk", inline([("path", path.into())]));
                return Ok(());
            }
            (false, None | Some(Sdk::Vendored)) => {
                let path = format!("{VENDORED}/guest-sdk");
                dependencies.insert("waxwing-sdk", inline([("path", path.into())]));
            }
        }
        let excluded = self.workspace()?.entry("exclude").or_insert_with(|| value(Array::new()));
        let excluded =
            excluded.as_array_mut().context("`exclude` of the workspace is no list: correct it first")?;
        if !excluded.iter().any(|folder| folder.as_str() == Some("vendor")) {
            append(excluded, "vendor");
        }
        for (path, text) in sdk::vendored()? {
            files.add(vendored.join(path), text);
        }
        Ok(())
    }

    /// Adds its manifest to what is to be written, where it has changed.
    pub(super) fn write(&self, files: &mut Files) {
        let (path, text) = (self.folder.join("Cargo.toml"), self.document.to_string());
        match &self.written {
            None => files.add(path, text),
            Some(written) if *written != text => files.change(path, text),
            Some(_) => {}
        }
    }

    fn workspace(&mut self) -> Result<&mut dyn TableLike> {
        let workspace = self.document.entry("workspace").or_insert_with(|| Item::Table(Table::new()));
        workspace.as_table_like_mut().context("`workspace` is no table")
    }
}

fn inline<const N: usize>(members: [(&str, toml_edit::Value); N]) -> Item {
    value(members.into_iter().collect::<InlineTable>())
}

/// True where a member's pattern stands for this path. `*` stands for one part of a path here: what is meant by another
/// pattern is named once more, which does no harm.
fn covers(member: &str, path: &str) -> bool {
    let (member, path): (Vec<&str>, Vec<&str>) = (member.split('/').collect(), path.split('/').collect());
    member.len() == path.len()
        && member.iter().zip(path).all(|(member, part)| *member == "*" || *member == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace(text: &str) -> Workspace {
        Workspace { folder: "/app".into(), written: Some(text.to_owned()), document: text.parse().unwrap() }
    }

    #[test]
    fn a_crate_that_a_pattern_takes_in_is_not_named() {
        for (member, path, is_covered) in [
            ("handlers/*", "handlers/a", true),
            ("handlers/a", "handlers/a", true),
            ("*", "handlers/a", false),
        ] {
            assert_eq!(covers(member, path), is_covered, "{member} {path}");
        }
        let text = "[workspace]\nmembers = [\"handlers/*\"] # all\n";
        let mut workspace = workspace(text);
        workspace.join(Path::new("/app/handlers/a")).unwrap();
        assert_eq!(workspace.document.to_string(), text);
        workspace.join(Path::new("/app/more/a")).unwrap();
        assert_eq!(workspace.document.to_string(), text.replace("\"]", "\", \"more/a\"]"));
    }

    #[test]
    fn what_is_there_is_not_provided_again() {
        let text = "[workspace]\nmembers = []\n\n[workspace.dependencies]\nserde = \"1\"\nwaxwing-sdk = { path = \"x\" }\n";
        let mut files = Files::default();
        workspace(text).provide(None, &mut files).unwrap();
        assert_eq!(files.new_paths().count(), 0);
        let refused = workspace(text).provide(Some(&Sdk::Vendored), &mut files).unwrap_err();
        assert!(refused.to_string().contains("leave out --sdk"));
    }

    #[test]
    fn the_sdk_is_written_where_it_is_missing() {
        let mut files = Files::default();
        let mut workspace = workspace("[workspace]\n");
        workspace.provide(None, &mut files).unwrap();
        assert!(
            files.new_paths().any(|path| path == Path::new("/app/vendor/waxwing-sdk/guest-sdk/src/lib.rs"))
        );
        assert!(files.new_paths().any(|path| path == Path::new("/app/vendor/waxwing-sdk/Cargo.toml")));
        let text = workspace.document.to_string();
        assert!(text.contains("waxwing-sdk = { path = \"vendor/waxwing-sdk/guest-sdk\" }"), "{text}");
        assert!(text.contains("exclude = [\"vendor\"]"), "{text}");
    }
}
