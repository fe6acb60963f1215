//! A new handler in an app: a crate, and its section of the manifest.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use super::{
    Files, Name, Sdk, Template,
    manifest::Manifest,
    template::{Words, render},
    workspace::Workspace,
};

const CRATE: &str = include_str!("../../templates/crate.toml");

/// Where crates of handlers lie, where the app has none yet.
const FOLDER: &str = "handlers";

/// What is to be made.
#[derive(Debug)]
pub struct Made {
    /// The app's name.
    pub app: String,
    /// The handler's name.
    pub handler: String,
    /// What it began as.
    pub template: Template,
    /// The app's folder.
    pub folder: PathBuf,
    /// The files.
    pub files: Files,
    /// Commands that show what the handler does, while it runs.
    pub next: Vec<String>,
}

/// What makes a handler of this name in the app whose manifest lies at `path`. `sdk` is needed only where the app's workspace does
/// not say where the SDK is.
pub fn handler(path: &Path, name: &Name, template: Template, sdk: Option<&Sdk>) -> Result<Made> {
    let text = fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    // Workspaces are looked for above, too.
    let folder = fs::canonicalize(folder).with_context(|| format!("{} cannot be found", folder.display()))?;
    let manifest = Manifest::read(path, &text)?;
    if manifest.handlers().iter().any(|(known, _)| *known == name.as_str()) {
        bail!("the app has a handler `{name}` already: choose another name");
    }
    let app = manifest.app()?.to_owned();
    let module = place(&manifest, &folder, name);
    if folder.join(&module).symlink_metadata().is_ok() {
        bail!("{} is there already: choose another name, or move it away", folder.join(&module).display());
    }
    let package = format!("{app}-{name}");
    let words = Words { app: &app, name: name.as_str(), package: &package, module: &module };
    let section = render(template.texts().section, &words)?;
    let changed = manifest.with(name.as_str(), &section, &template.events(name.as_str()))?;
    let next = render(template.texts().next, &words)?;

    let mut files = Files::default();
    let mut workspace = Workspace::of(&folder)?;
    workspace.join(&folder.join(&module))?;
    workspace.provide(sdk, &mut files)?;
    add_crate(&mut files, &folder.join(&module), template, &words)?;
    workspace.write(&mut files);
    files.change(folder.join(path.file_name().unwrap_or_default()), changed);
    Ok(Made {
        handler: name.to_string(),
        template,
        next: next.lines().map(str::to_owned).collect(),
        app,
        folder,
        files,
    })
}

/// Where the crate is to lie, from the manifest's folder: beside those that are there.
fn place(manifest: &Manifest, folder: &Path, name: &Name) -> String {
    let crates = manifest.handlers().into_iter().filter_map(|(_, module)| module);
    let beside = crates.filter(|module| folder.join(module).join("Cargo.toml").is_file());
    let mut beside = beside.filter_map(|module| Some(Path::new(module).parent()?.to_str()?.to_owned()));
    match beside.next_back().as_deref() {
        Some("") => name.to_string(),
        Some(beside) => format!("{beside}/{name}"),
        None => format!("{FOLDER}/{name}"),
    }
}

/// The files of a handler's crate.
pub(super) fn add_crate(
    files: &mut Files,
    folder: &Path,
    template: Template,
    words: &Words<'_>,
) -> Result<()> {
    files.add(folder.join("Cargo.toml"), render(CRATE, words)?);
    files.add(folder.join("src/lib.rs"), render(template.texts().source, words)?);
    Ok(())
}
