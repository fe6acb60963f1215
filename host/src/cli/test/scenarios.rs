//! Scenario files: found beside handlers and beside the manifest, played, and what came of it.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde::Serialize;
use waxwing_event::{HandlerName, handler::Instance};

use crate::{
    config::AppConfig,
    module::ModuleSource,
    scenario::{
        accept::{Accepted, accept},
        came::Came,
        compare::{self, Difference},
        fault::{Fault, Kind},
        form::{Cast, File, Scenario},
        play::{Played, Theatre},
    },
};

/// The folder in which scenarios lie.
const FOLDER: &str = "scenarios";

/// A scenario, and who takes part.
#[derive(Clone)]
pub(super) struct Planned {
    file: usize,
    /// Which of the file.
    number: usize,
    scenario: Scenario,
    pub(super) cast: Vec<HandlerName>,
}

/// The scenarios that are to be played.
#[derive(Clone)]
pub(super) struct Plan {
    folder: PathBuf,
    files: Vec<File>,
    pub(super) scenarios: Vec<Planned>,
}

/// What came of a scenario.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Outcome {
    pub(super) file: String,
    pub(super) name: String,
    pub(super) handlers: Vec<HandlerName>,
    pub(super) passed: bool,
    /// True where the file says now what came.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) updated: bool,
    /// Why it could not be played.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
    /// Where it came otherwise than the file says.
    pub(super) differences: Vec<Difference>,
    /// How often it was played with a fault.
    pub(super) faults: u64,
    /// Faults with which it came otherwise.
    pub(super) under_faults: Vec<UnderFault>,
    #[serde(skip)]
    pub(super) elapsed: Duration,
}

/// A fault with which a scenario came otherwise.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UnderFault {
    pub(super) kind: Option<Kind>,
    pub(super) fault: String,
    /// What the commit was about at which the host was gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) commit: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
    pub(super) differences: Vec<Difference>,
}

/// Which scenarios are meant.
pub(super) struct Choice<'a> {
    /// Those in which one of these takes part; none: all.
    pub(super) handlers: &'a [HandlerName],
    /// Those whose name holds this.
    pub(super) filter: Option<&'a str>,
}

impl Plan {
    /// Finds the scenarios of an app.
    pub(super) fn find(config: &AppConfig, folder: &Path, choice: &Choice<'_>) -> Result<Plan> {
        let mut plan = Plan { folder: folder.to_owned(), files: Vec::new(), scenarios: Vec::new() };
        let crates: BTreeSet<&PathBuf> =
            config.handlers.iter().filter_map(|handler| crate_of(&handler.module)).collect();
        for path in crates {
            let own = config.handlers.iter().filter(|handler| crate_of(&handler.module) == Some(path));
            let own: Vec<HandlerName> = own.map(|handler| handler.spec.name.clone()).collect();
            plan.add(&folder.join(path).join(FOLDER), &own, config, choice)?;
        }
        plan.add(&folder.join(FOLDER), &[], config, choice)?;
        Ok(plan)
    }

    fn add(
        &mut self,
        folder: &Path,
        own: &[HandlerName],
        config: &AppConfig,
        choice: &Choice<'_>,
    ) -> Result<()> {
        for path in files(folder)? {
            let file = File::read(&path)?;
            for (number, scenario) in file.scenarios.iter().enumerate() {
                let cast = cast(scenario, own, config)
                    .with_context(|| format!("{}: scenario `{}`", path.display(), scenario.name))?;
                let is_meant = choice.handlers.is_empty()
                    || cast.iter().any(|handler| choice.handlers.contains(handler));
                if is_meant && choice.filter.is_none_or(|text| scenario.name.contains(text)) {
                    let file = self.files.len();
                    self.scenarios.push(Planned { file, number, scenario: scenario.clone(), cast });
                }
            }
            self.files.push(file);
        }
        Ok(())
    }

    /// The manifest's folder.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// All who take part.
    pub(super) fn cast(&self) -> BTreeSet<HandlerName> {
        self.scenarios.iter().flat_map(|planned| planned.cast.clone()).collect()
    }

    /// The file of a scenario, from the manifest on.
    pub(super) fn file_of(&self, planned: &Planned) -> String {
        let path = self.files.get(planned.file).map(|file| file.path.as_path()).unwrap_or(Path::new(""));
        path.strip_prefix(&self.folder).unwrap_or(path).display().to_string()
    }

    /// Plays a scenario; with `faults` again with each that makes no difference.
    pub(super) async fn play(&self, planned: &Planned, theatre: &Theatre, faults: Faults) -> Outcome {
        let started = Instant::now();
        let mut outcome = Outcome {
            file: self.file_of(planned),
            name: planned.scenario.name.clone(),
            handlers: planned.cast.clone(),
            passed: false,
            updated: false,
            error: None,
            differences: Vec::new(),
            faults: 0,
            under_faults: Vec::new(),
            elapsed: Duration::ZERO,
        };
        match play(theatre, planned, Fault::None)
            .await
            .and_then(|played| Ok((differences(planned, &played.steps)?, played)))
        {
            Err(error) => outcome.error = Some(format!("{error:#}")),
            Ok((differences, _)) if !differences.is_empty() => outcome.differences = differences,
            Ok((_, played)) if faults == Faults::Played => {
                for fault in planned.faults(&played, &theatre.config) {
                    outcome.under(planned, theatre, &played, fault).await;
                }
            }
            Ok(_) => {}
        }
        outcome.passed =
            outcome.error.is_none() && outcome.differences.is_empty() && outcome.under_faults.is_empty();
        outcome.elapsed = started.elapsed();
        outcome
    }

    /// Writes what comes into the files, where it is not what they say; gives the names of scenarios that say it now.
    pub(super) async fn update(&self, theatre: &Theatre) -> Result<BTreeSet<(String, String)>> {
        let mut updated = BTreeSet::new();
        for (number, file) in self.files.iter().enumerate() {
            let mut played: Vec<(&Planned, Vec<Came>)> = Vec::new();
            for planned in self.scenarios.iter().filter(|planned| planned.file == number) {
                // What cannot be played is told when it is played again.
                if let Ok(Played { steps, .. }) = play(theatre, planned, Fault::None).await {
                    played.push((planned, steps));
                }
            }
            let accepted = played.iter().map(|(planned, came)| {
                let said = planned.scenario.when.iter().map(|when| when.then.as_ref()).collect();
                Accepted { scenario: planned.number, said, came }
            });
            let accepted: Vec<Accepted<'_>> = accepted.collect();
            let before = fs::read_to_string(&file.path)?;
            let after = accept(&before, &accepted).with_context(|| file.path.display().to_string())?;
            if before != after {
                fs::write(&file.path, after)
                    .with_context(|| format!("{} cannot be written", file.path.display()))?;
                let names =
                    played.iter().map(|(planned, _)| (self.file_of(planned), planned.scenario.name.clone()));
                updated.extend(names);
            }
        }
        Ok(updated)
    }
}

/// Whether scenarios are played with faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Faults {
    /// They are.
    Played,
    /// They are not.
    Spared,
}

impl Planned {
    /// The faults that can make a difference.
    fn faults(&self, played: &Played, config: &AppConfig) -> Vec<Fault> {
        let commits = played.commits.len() as u64;
        let has_reuse = config.handlers.iter().any(|handler| {
            self.cast.contains(&handler.spec.name) && handler.spec.instance == Instance::Reuse
        });
        let mut faults = Fault::all(&self.scenario.faults, commits);
        faults.retain(|fault| match fault.kind() {
            Some(Kind::Reorder) => played.together > 1,
            Some(Kind::Fresh) => has_reuse,
            _ => true,
        });
        faults
    }
}

impl Outcome {
    async fn under(&mut self, planned: &Planned, theatre: &Theatre, without: &Played, fault: Fault) {
        let played = play(theatre, planned, fault).await;
        let (error, differences) = match played {
            Ok(with) if fault == Fault::Duplicate && !with.has_duplicates => return,
            Ok(with) => (None, compare::under_fault(&without.steps, &with.steps)),
            Err(error) => (Some(format!("{error:#}")), Vec::new()),
        };
        self.faults += 1;
        if error.is_some() || !differences.is_empty() {
            let commit = fault.cut().and_then(|cut| usize::try_from(cut.commit.checked_sub(1)?).ok());
            let commit = commit.and_then(|place| without.commits.get(place).cloned());
            self.under_faults.push(UnderFault {
                kind: fault.kind(),
                fault: fault.to_string(),
                commit,
                error,
                differences,
            });
        }
    }
}

/// Plays a scenario on a thread of its own.
async fn play(theatre: &Theatre, planned: &Planned, fault: Fault) -> Result<Played> {
    let (theatre, scenario, cast) = (theatre.clone(), planned.scenario.clone(), planned.cast.clone());
    tokio::task::spawn_blocking(move || theatre.play(&scenario, &cast, fault)).await?
}

fn differences(planned: &Planned, steps: &[Came]) -> Result<Vec<Difference>> {
    let mut all = Vec::new();
    for (number, (when, came)) in (1..).zip(planned.scenario.when.iter().zip(steps)) {
        all.extend(
            compare::with_file(number, when.then.as_ref(), came).with_context(|| format!("step {number}"))?,
        );
    }
    Ok(all)
}

fn cast(scenario: &Scenario, own: &[HandlerName], config: &AppConfig) -> Result<Vec<HandlerName>> {
    let all = config.handlers.iter().map(|handler| handler.spec.name.clone());
    match &scenario.handlers {
        Cast::Own if own.is_empty() => bail!("it lies beside no crate: name the `handlers` that take part"),
        Cast::Own => Ok(own.to_vec()),
        Cast::All => Ok(all.collect()),
        Cast::Named(names) => {
            let all: BTreeSet<HandlerName> = all.collect();
            match names.iter().find(|name| !all.contains(*name)) {
                Some(unknown) => {
                    bail!("the manifest has no handler `{unknown}`: list its handlers with `waxwing check`")
                }
                None => Ok(names.clone()),
            }
        }
    }
}

fn crate_of(module: &ModuleSource) -> Option<&PathBuf> {
    match module {
        ModuleSource::Crate(path) => Some(path),
        ModuleSource::File(_) | ModuleSource::Stored(_) | ModuleSource::Registry(_) => None,
    }
}

/// The files of a folder, by name; none where there is no folder.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    if folder.is_dir() {
        let read = fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))?;
        for entry in read {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}
