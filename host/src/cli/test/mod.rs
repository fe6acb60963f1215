//! `waxwing test`: scenario files, and the tests of handler crates with their scenarios, on the modules that hosts would run.

mod form;
mod junit;
mod report;
mod scenarios;
mod trial;

use std::{
    collections::BTreeSet,
    num::NonZeroUsize,
    path::PathBuf,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::Serialize;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    process::Command,
};
use tokio_util::task::AbortOnDropHandle;
use waxwing_event::HandlerName;

use self::{
    form::{Asked, Came},
    scenarios::{Choice, Faults, Outcome, Plan},
    trial::Trial,
};
use super::{
    General, found, logging,
    output::{self, Output, say},
    style::{BAD, END, GOOD, NAME},
};
use crate::{
    assemble,
    config::{self, HandlerConfig, Manifest},
    module::ModuleSource,
    own_folder::OwnFolder,
    scenario::play::Theatre,
};

/// The address of a host for tests; the SDK looks there.
const ADDRESS: &str = "WAXWING_TEST_HOST";

/// Plays scenario files and runs the tests of handler crates, both on the real modules
///
/// Builds the modules. Scenarios lie beside handlers, in CRATE/scenarios/*.toml, and beside the manifest, in
/// scenarios/*.toml: what is given, what happens, what must come of it. They are played in the sandbox, by the engine that hosts
/// have, on a log in memory, with the manifest's limits, in virtual time, each step until nothing is left to do. With --faults
/// each is played again with events twice, in other orders, with restarts, and with a crash of the host at each commit, and
/// must come to the same.
///
/// Then runs `cargo test` in each crate that the manifest names. What its tests say with
/// `waxwing_sdk::testing::Scenario` runs the module then, not the function. Tests that use no
/// scenario run as ever. Exits with 1 where a scenario or a test fails.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    waxwing test\n  \
    waxwing test order payment\n  \
    waxwing test --scenarios --faults\n  \
    waxwing test basket --filter price --update\n  \
    waxwing test --junit target/waxwing.xml\n  \
    waxwing test order -- cancelled --nocapture")]
pub(super) struct Test {
    /// The handlers that are tested, and whose scenarios are played [default: all]
    handlers: Vec<HandlerName>,
    /// Play each scenario again with each fault, and expect the same
    #[arg(long)]
    faults: bool,
    /// Only scenario files, no tests of crates
    #[arg(long)]
    scenarios: bool,
    /// Only scenarios whose name holds this text, no tests of crates
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Write what comes into the scenario files, where it is not what they say; no tests of crates
    #[arg(long)]
    update: bool,
    /// Write the outcome into this file, too, as JUnit's XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// What the tests themselves are to be told, as behind `cargo test --`
    #[arg(last = true, value_name = "ARGUMENT")]
    arguments: Vec<String>,
}

/// What came of the tests of a crate.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Tested {
    handler: HandlerName,
    passed: bool,
    /// How often the module was run.
    runs: u64,
    #[serde(skip)]
    elapsed: Duration,
}

/// What came of all of it.
#[derive(Debug, Serialize)]
struct Report {
    scenarios: Vec<Outcome>,
    crates: Vec<Tested>,
}

impl Test {
    pub(super) async fn execute(&self, general: &General) -> Result<ExitCode> {
        logging::begin(general, logging::Level::Usual);
        let mut manifest = found::manifest(&config::find::manifest(general.manifest.as_deref())?)?;
        let choice = Choice { handlers: &self.handlers, filter: self.filter.as_deref() };
        self.check(&manifest)?;
        let plan = Plan::find(&manifest.config, &manifest.folder, &choice)?;
        let tested = if self.scenarios_alone() { BTreeSet::new() } else { self.crates(&manifest) };
        if plan.scenarios.is_empty() && tested.is_empty() {
            bail!("{}", self.nothing());
        }
        let mut built = manifest.clone();
        let cast = plan.cast();
        built
            .config
            .handlers
            .retain(|handler| cast.contains(&handler.spec.name) || tested.contains(&handler.spec.name));
        let modules = found::modules(&built, general)?;
        let cache = Some(OwnFolder::open(&manifest.folder)?.cache()?);
        // One thread: instances that are used again are the same ones whenever a scenario is played.
        manifest.config.host.workers = Some(NonZeroUsize::MIN);
        let sandbox = Arc::new(assemble::sandbox(&manifest.config, cache)?);
        let names = built.config.handlers.iter().map(|handler| handler.spec.name.clone());
        let bytes = names.zip(modules.iter().map(|module| module.bytes.clone())).collect();
        let config = Arc::new(manifest.config.clone());
        let theatre = Theatre { config, sandbox: sandbox.clone(), modules: Arc::new(bytes) };
        let scenarios = self.play(&plan, &theatre, general).await?;
        let mut crates = Vec::new();
        for (configured, module) in built.config.handlers.iter().zip(modules) {
            let ModuleSource::Crate(path) = &configured.module else { continue };
            if !tested.contains(&configured.spec.name) {
                continue;
            }
            let spec = configured.spec.clone();
            let trial = Trial { spec, bytes: module.bytes, sandbox: sandbox.clone() };
            let tested = self.test(trial, manifest.folder.join(path), general).await?;
            if general.output == Output::Text {
                tested.show()?;
            }
            crates.push(tested);
        }
        if let Some(path) = &self.junit {
            junit::write(path, &scenarios, &crates)?;
        }
        let is_well =
            scenarios.iter().all(|outcome| outcome.passed) && crates.iter().all(|tested| tested.passed);
        if general.output == Output::Json {
            output::json(&Report { scenarios, crates })?;
        }
        Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn scenarios_alone(&self) -> bool {
        self.scenarios || self.update || self.filter.is_some()
    }

    fn nothing(&self) -> String {
        match &self.filter {
            Some(text) => format!("no scenario has `{text}` in its name"),
            None if self.scenarios_alone() => {
                "there are no scenarios: write some to CRATE/scenarios/NAME.toml, or beside the manifest to scenarios/NAME.toml"
                    .to_owned()
            }
            None => "none of these handlers is a crate, and there are no scenarios: a `.wasm` file has no tests of its own"
                .to_owned(),
        }
    }

    /// Plays the scenarios, and shows what came of each.
    async fn play(&self, plan: &Plan, theatre: &Theatre, general: &General) -> Result<Vec<Outcome>> {
        let updated = if self.update { plan.update(theatre).await? } else { BTreeSet::new() };
        let choice = Choice { handlers: &self.handlers, filter: self.filter.as_deref() };
        // Updated, the files say something else now.
        let plan = &if updated.is_empty() {
            plan.clone()
        } else {
            Plan::find(&theatre.config, plan.folder(), &choice)?
        };
        let faults = if self.faults { Faults::Played } else { Faults::Spared };
        let mut outcomes = Vec::new();
        for planned in &plan.scenarios {
            let mut outcome = plan.play(planned, theatre, faults).await;
            outcome.updated = updated.contains(&(outcome.file.clone(), outcome.name.clone()));
            if general.output == Output::Text {
                report::show(&outcome)?;
            }
            outcomes.push(outcome);
        }
        if general.output == Output::Text && !outcomes.is_empty() {
            summary(&outcomes)?;
        }
        Ok(outcomes)
    }

    /// Makes sure that the handlers that are named are there.
    fn check(&self, manifest: &Manifest) -> Result<()> {
        let handlers = &manifest.config.handlers;
        if let Some(unknown) =
            self.handlers.iter().find(|name| !handlers.iter().any(|found| found.spec.name == **name))
        {
            bail!("the manifest has no handler `{unknown}`: list its handlers with `waxwing check`");
        }
        Ok(())
    }

    /// The handlers whose crates are to be tested: the first of each crate.
    fn crates(&self, manifest: &Manifest) -> BTreeSet<HandlerName> {
        let mut crates = BTreeSet::new();
        let tested = manifest.config.handlers.iter().filter(|HandlerConfig { spec, module, .. }| {
            let is_named = self.handlers.is_empty() || self.handlers.contains(&spec.name);
            matches!(module, ModuleSource::Crate(path) if is_named && crates.insert(path.clone()))
        });
        tested.map(|handler| handler.spec.name.clone()).collect()
    }

    async fn test(&self, trial: Trial, folder: PathBuf, general: &General) -> Result<Tested> {
        let handler = trial.spec.name.clone();
        let listener = TcpListener::bind("127.0.0.1:0").await.context("no test can reach this host")?;
        let address = listener.local_addr()?.to_string();
        let runs = Arc::new(AtomicU64::new(0));
        let host = AbortOnDropHandle::new(tokio::spawn(serve(listener, Arc::new(trial), runs.clone())));
        anstream::eprintln!("testing {NAME}{handler}{END}");
        let started = Instant::now();
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.arg("test").arg("--manifest-path").arg(folder.join("Cargo.toml"));
        cargo.arg("--").args(&self.arguments).env(ADDRESS, address).kill_on_drop(true);
        if general.output == Output::Json {
            // Standard output is for the report.
            cargo.stdout(std::io::stderr());
        }
        let status = cargo.status().await.context("cargo cannot be run")?;
        drop(host);
        Ok(Tested { handler, passed: status.success(), runs: runs.load(Relaxed), elapsed: started.elapsed() })
    }
}

impl Tested {
    fn show(&self) -> Result<()> {
        let Tested { handler, passed, runs, .. } = self;
        let end = if *passed { format!("{GOOD}passed{END}") } else { format!("{BAD}failed{END}") };
        let runs = match runs {
            0 => "no scenario ran the module".to_owned(),
            1 => "1 run of the module".to_owned(),
            runs => format!("{} runs of the module", output::grouped(*runs)),
        };
        say!("{NAME}{handler}{END}: {end}, {runs}")?;
        Ok(())
    }
}

/// Says in one line what came of all scenarios.
fn summary(outcomes: &[Outcome]) -> Result<()> {
    let failed = outcomes.iter().filter(|outcome| !outcome.passed).count();
    let faults: u64 = outcomes.iter().map(|outcome| outcome.faults).sum();
    let passed = outcomes.len() - failed;
    let failed = if failed > 0 { format!(", {BAD}{failed} failed{END}") } else { String::new() };
    let faults = if faults > 0 {
        format!(", played again with {} faults", output::grouped(faults))
    } else {
        String::new()
    };
    say!("scenarios: {GOOD}{passed} passed{END}{failed}{faults}")?;
    Ok(())
}

/// Answers tests until it is dropped.
async fn serve(listener: TcpListener, trial: Arc<Trial>, runs: Arc<AtomicU64>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let (trial, runs) = (trial.clone(), runs.clone());
                tokio::spawn(async move {
                    if let Err(error) = answer(stream, &trial, &runs).await {
                        tracing::warn!(error = format!("{error:#}"), "a test was not answered");
                    }
                });
            }
            Err(error) => tracing::warn!(%error, "a test cannot reach this host"),
        }
    }
}

async fn answer(stream: TcpStream, trial: &Trial, runs: &AtomicU64) -> Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let asked: Asked = serde_json::from_str(&line)
        .context("a test asks in another form: its `waxwing-sdk` is not of this version")?;
    runs.fetch_add(1, Relaxed);
    let came = trial.run(asked).await;
    let came = came.unwrap_or_else(|error| Came { error: Some(format!("{error:#}")), ..Came::default() });
    let mut line = serde_json::to_vec(&came)?;
    line.push(b'\n');
    stream.get_mut().write_all(&line).await?;
    stream.get_mut().shutdown().await?;
    Ok(())
}
