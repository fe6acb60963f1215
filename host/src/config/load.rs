//! From a manifest's path to a checked [`Manifest`].

use std::{
    fs,
    path::{Path, PathBuf},
};

use cap_std::{ambient_authority, fs::Dir};

use waxwing_event::{AppName, Digest, HandlerName, Pattern};

use super::{
    app::{self, AppConfig, HandlerConfig},
    check,
    document::{self, Kind},
    handler, keys, overlay,
    problem::{Place, Problems},
    section::{Keys, Section},
};
use crate::module::{self, ModuleSource};

/// A manifest that is fine.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// Where it lies.
    pub path: PathBuf,
    /// Its folder: everything that it names lies within.
    pub folder: PathBuf,
    /// What it says.
    pub config: AppConfig,
    /// What it should perhaps not say, one a line.
    pub warnings: Vec<String>,
}

/// Reads the manifest at `path` under these environment variables, and looks up the modules that it names.
pub fn load(
    path: &Path,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<Manifest, Problems> {
    let file = path.display().to_string();
    let whole_file = |text: String| {
        let mut problems = Problems::new(file.clone());
        problems.error(&Place::File, text);
        problems
    };
    let text = fs::read_to_string(path).map_err(|error| whole_file(format!("cannot be read: {error}")))?;
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    let opened = Dir::open_ambient_dir(&folder, ambient_authority());
    let dir = opened.map_err(|error| whole_file(format!("its folder cannot be opened: {error}")))?;
    let (mut config, warnings) = parse(&file, &text, variables, |name| module::locate(&dir, name))?;
    config.folder.clone_from(&folder);
    Ok(Manifest { path: path.to_owned(), folder, config, warnings })
}

/// Checks the text of a manifest; `locate` says where a module lies, or why it cannot be used.
pub fn parse(
    file: &str,
    text: &str,
    variables: impl IntoIterator<Item = (String, String)>,
    locate: impl Fn(&str) -> Result<ModuleSource, module::LocateError>,
) -> Result<(AppConfig, Vec<String>), Problems> {
    let mut problems = Problems::new(file);
    let mut manifest = document::read(text, &mut problems);
    if !problems.is_fine() {
        return Err(problems);
    }
    overlay::lay(&mut manifest, variables, &mut problems);
    check_all(&manifest, locate, problems)
}

/// Checks a handler of an app as it was deployed: its table without the module. What is wrong is told of `file`.
pub fn deployed(
    file: &str,
    (app, events): (&AppName, &[Pattern]),
    handler: &HandlerName,
    table: &serde_json::Value,
    module: Digest,
) -> Result<HandlerConfig, Problems> {
    let whole = serde_json::json!({
        "app": { "name": app, "events": events.iter().map(Pattern::as_str).collect::<Vec<_>>() },
        "handlers": { handler.as_str(): table },
    });
    let document::Value { kind: Kind::Table(whole), .. } = document::Value::from_json(&whole, &Place::File)
    else {
        return Err(Problems::new(file));
    };
    let stored = ModuleSource::Stored(module);
    let (config, _) = check_all(&whole, |_| Ok(stored.clone()), Problems::new(file))?;
    config.handlers.into_iter().next().ok_or_else(|| Problems::new(file))
}

/// An app of which only the log is known: it has no handlers of its own, and its host behaves as the variables say.
pub fn bare(
    app: AppName,
    events: Vec<Pattern>,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<AppConfig, Problems> {
    let mut problems = Problems::new("the environment");
    let mut manifest = document::Table::default();
    let of_hosts = variables.into_iter().filter(|(name, _)| name.starts_with("WAXWING_HOST_"));
    overlay::lay(&mut manifest, of_hosts, &mut problems);
    let top = Section::new(String::new(), &manifest, Place::File, Keys::Only(keys::TOP), &mut problems);
    let host = app::read_host(&top, &mut problems);
    if problems.is_fine() { Ok(AppConfig::bare(app, events, host)) } else { Err(problems) }
}

fn check_all(
    manifest: &document::Table,
    locate: impl Fn(&str) -> Result<ModuleSource, module::LocateError>,
    mut problems: Problems,
) -> Result<(AppConfig, Vec<String>), Problems> {
    let top = Section::new(String::new(), manifest, Place::File, Keys::Only(keys::TOP), &mut problems);
    let mut draft = app::read(&top, &mut problems);
    check::check(&draft, &mut problems);
    for handler in &mut draft.handlers {
        find_module(handler, &locate, &mut problems);
    }
    match draft.finish() {
        Some(config) if problems.is_fine() => Ok((config, problems.warning_lines())),
        _ => Err(problems),
    }
}

fn find_module(
    handler: &mut handler::Draft,
    locate: &impl Fn(&str) -> Result<ModuleSource, module::LocateError>,
    problems: &mut Problems,
) {
    let (Some(_), Some(module)) = (&handler.name, &handler.module) else {
        return;
    };
    match locate(&module.value) {
        Ok(source) => handler.source = Some(source),
        Err(module::LocateError::Missing) => {
            let (name, path) = (handler.shown_name(), &module.value);
            let way_out = format!("has no module at {path}: build it, or set `module` in waxwing.toml");
            problems.error(&module.place, format!("handler `{name}` {way_out}"));
        }
        Err(why) => {
            problems.error(&module.place, format!("`module` in {} is refused: {why}", handler.title));
        }
    }
}
