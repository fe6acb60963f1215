//! A look at the disk: what the manifest says now, and the modules of its handlers, built where they are crates.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{
    super::{General, found, output::Output, progress::Building},
    told::{Step, Told},
    watched::Watched,
    watcher::Watcher,
};
use crate::{
    config::{self, HandlerConfig, Manifest},
    module::{self, Module, ModuleSource, Progress, Silent},
};

/// What is looked at.
pub(super) struct Look {
    pub(super) general: General,
    /// What the manifest said when it was right last.
    pub(super) manifest: Manifest,
    pub(super) why: Why,
    pub(super) watcher: Arc<Mutex<Watcher>>,
    pub(super) watched: Watched,
    /// Modules that are not on this machine, as far as they were fetched.
    pub(super) fetched: BTreeMap<ModuleSource, Module>,
}

/// Why it is looked.
#[derive(Debug, Clone)]
pub(super) enum Why {
    /// It was not before.
    First,
    /// These files have changed.
    Changed(BTreeSet<PathBuf>),
    /// The same, and the manifest was wrong before.
    ManifestWasWrong(BTreeSet<PathBuf>),
}

/// What was found.
pub(super) struct Found {
    /// The changed files, as they are shown.
    pub(super) files: Vec<String>,
    /// What the manifest says, or said when it was right last.
    pub(super) manifest: Manifest,
    pub(super) manifest_is_right: bool,
    /// The handlers that were looked at, with their modules; none: it does not build, or cannot be read.
    pub(super) handlers: Vec<(HandlerConfig, Option<Module>)>,
    /// What is wrong.
    pub(super) failed: Vec<Told>,
    /// What the compiler says that is not wrong.
    pub(super) said: Vec<String>,
    pub(super) time: Duration,
    pub(super) ended: Instant,
    pub(super) watched: Watched,
    pub(super) fetched: BTreeMap<ModuleSource, Module>,
}

impl Why {
    fn files(&self) -> Option<&BTreeSet<PathBuf>> {
        match self {
            Why::First => None,
            Why::Changed(files) | Why::ManifestWasWrong(files) => Some(files),
        }
    }
}

impl Look {
    /// The changed files, as they are shown.
    pub(super) fn files(&self) -> Vec<String> {
        let folder = std::fs::canonicalize(&self.manifest.folder).unwrap_or_default();
        let files = self.why.files().into_iter().flatten();
        files.map(|file| shown(file, &folder)).collect()
    }

    /// Looks, and builds. Takes its time.
    pub(super) fn run(self) -> Found {
        let began = Instant::now();
        let files = self.files();
        let failed = |step, text: String| Told::Failed { step, handler: None, files: files.clone(), text };
        let mut wrong = Vec::new();
        let (manifest, manifest_is_right) = match self.read_manifest() {
            None => (self.manifest.clone(), true),
            Some(Ok(manifest)) => (manifest, true),
            Some(Err(problems)) => {
                wrong.push(failed(Step::Manifest, problems.error_lines().join("\n")));
                (self.manifest.clone(), false)
            }
        };
        // Watched before it is built, so that no change is missed.
        let watched = self.watch(&manifest, |text| wrong.push(failed(Step::Watch, text)));
        let handlers = self.handlers(&manifest);
        let sources: Vec<ModuleSource> = handlers.iter().map(|handler| handler.module.clone()).collect();
        let mut fetched = self.fetched.clone();
        let unknown: Vec<_> =
            sources.iter().filter(|source| !fetched.contains_key(*source)).cloned().collect();
        match found::fetched(&manifest.config.app, &unknown, &self.general) {
            Ok(more) => fetched.extend(more),
            Err(error) => wrong.push(failed(Step::Load, format!("{error:#}"))),
        }
        let said = Said::default();
        let building = self.building(&sources);
        let progress: &dyn Progress = building.as_ref().map_or(&said, |building| building);
        let gathered = module::gather_what_builds(&manifest.folder, &sources, &fetched, progress);
        if let Some(building) = building {
            building.end();
        }
        let modules = match gathered {
            Ok(gathered) => {
                wrong.extend(gathered.failed.map(|text| failed(Step::Build, text)));
                wrong.extend(
                    gathered.unread.iter().map(|(_, error)| failed(Step::Load, format!("{error:#}"))),
                );
                gathered.modules
            }
            Err(error) => {
                wrong.push(failed(Step::Build, format!("{error:#}")));
                sources.iter().map(|_| None).collect()
            }
        };
        let handlers = handlers.into_iter().zip(modules).collect();
        let (said, ended) = (said.into_lines(), Instant::now());
        let time = ended.duration_since(began);
        Found {
            files,
            manifest,
            manifest_is_right,
            handlers,
            failed: wrong,
            said,
            time,
            ended,
            watched,
            fetched,
        }
    }

    /// Reads the manifest, where that may say something else than before.
    fn read_manifest(&self) -> Option<Result<Manifest, config::Problems>> {
        let path = &self.manifest.path;
        let name = path.file_name();
        let is_changed = |file: &PathBuf| is_missed(file) || file.file_name() == name;
        let reads = match &self.why {
            Why::First => false,
            Why::Changed(files) => files.iter().any(is_changed),
            Why::ManifestWasWrong(_) => true,
        };
        reads.then(|| config::load(path, env::vars()))
    }

    /// Watches what the manifest's handlers are made of.
    fn watch(&self, manifest: &Manifest, mut wrong: impl FnMut(String)) -> Watched {
        let may_be_another = |file: &PathBuf| {
            let name = file.file_name().unwrap_or_default();
            is_missed(file) || name == "Cargo.toml" || name == "Cargo.lock" || file.is_dir()
        };
        let modules = |manifest: &Manifest| {
            manifest.config.handlers.iter().map(|handler| handler.module.clone()).collect::<Vec<_>>()
        };
        let is_same = modules(manifest) == modules(&self.manifest)
            && self.why.files().is_some_and(|files| !files.iter().any(may_be_another));
        if is_same {
            return self.watched.clone();
        }
        let watched = match Watched::of(manifest) {
            (watched, None) => watched,
            // The build says why. What was watched before may still be meant.
            (watched, Some(_)) => watched.and(self.watched.clone()),
        };
        let mut watcher = self.watcher.lock().unwrap_or_else(PoisonError::into_inner);
        for error in watcher.watch(watched.clone()) {
            wrong(format!("{error:#}"));
        }
        watched
    }

    /// The handlers that may be others: where only modules were written, nothing is built.
    fn handlers(&self, manifest: &Manifest) -> Vec<HandlerConfig> {
        let mut handlers = manifest.config.handlers.clone();
        let is_module = |file: &PathBuf| file.extension().is_some_and(|extension| extension == "wasm");
        if self.why.files().is_some_and(|files| files.iter().all(is_module)) {
            handlers.retain(|handler| matches!(handler.module, ModuleSource::File(_)));
        }
        handlers
    }

    /// Shows the first build, which may take minutes.
    fn building(&self, sources: &[ModuleSource]) -> Option<Building> {
        let crates = sources.iter().filter(|source| matches!(source, ModuleSource::Crate(_)));
        let crates: Vec<String> = crates.map(ToString::to_string).collect();
        let is_shown = matches!(self.why, Why::First) && self.general.output == Output::Text;
        (is_shown && !crates.is_empty()).then(|| Building::begin(&crates.join(", ")))
    }
}

/// True for the sign that changes were missed.
fn is_missed(file: &Path) -> bool {
    file.as_os_str().is_empty()
}

/// A file, from the manifest's folder on where it lies in there.
fn shown(file: &Path, folder: &Path) -> String {
    if is_missed(file) {
        return "files".to_owned();
    }
    file.strip_prefix(folder).unwrap_or(file).display().to_string()
}

/// Keeps what a build says.
#[derive(Default)]
struct Said(Mutex<Vec<String>>);

impl Said {
    fn into_lines(self) -> Vec<String> {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress for Said {
    fn status(&self, text: &str) {
        Silent.status(text);
    }

    fn line(&self, text: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(text.to_owned());
    }
}
