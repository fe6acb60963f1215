//! `waxwing test`: the tests of handler crates, with their scenarios on the modules that hosts would run.

mod form;
mod trial;

use std::{
    collections::BTreeSet,
    path::PathBuf,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
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
};

/// The address of a host for tests; the SDK looks there.
const ADDRESS: &str = "WAXWING_TEST_HOST";

/// Runs the tests of handler crates, with their scenarios on the real modules
///
/// Builds the modules, and runs `cargo test` in each crate that the manifest names. What its tests say with
/// `waxwing_sdk::testing::Scenario` runs the module then, not the function: in the sandbox, by the engine that hosts have,
/// on a log in memory, with the manifest's limits. Time stands still, and passes where a scenario says so. Tests that use no
/// scenario run as ever. Exits with 1 where a test fails.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    waxwing test\n  \
    waxwing test order payment\n  \
    waxwing test order -- cancelled --nocapture")]
pub(super) struct Test {
    /// The handlers whose crates are tested [default: all]
    handlers: Vec<HandlerName>,
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
}

impl Test {
    pub(super) async fn execute(&self, general: &General) -> Result<ExitCode> {
        logging::begin(general, logging::Level::Usual);
        let mut manifest = found::manifest(&config::find::manifest(general.manifest.as_deref())?)?;
        self.choose(&mut manifest)?;
        let modules = found::modules(&manifest, general)?;
        let cache = Some(OwnFolder::open(&manifest.folder)?.cache()?);
        let sandbox = Arc::new(assemble::sandbox(&manifest.config, cache)?);
        let mut all = Vec::new();
        for (configured, module) in manifest.config.handlers.iter().zip(modules) {
            let ModuleSource::Crate(path) = &configured.module else { continue };
            let spec = configured.spec.clone();
            let trial = Trial { spec, bytes: module.bytes, sandbox: sandbox.clone() };
            let tested = self.test(trial, manifest.folder.join(path), general).await?;
            if general.output == Output::Text {
                tested.show()?;
            }
            all.push(tested);
        }
        if general.output == Output::Json {
            output::json(&all)?;
        }
        let is_well = all.iter().all(|tested| tested.passed);
        Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// Leaves the handlers that are to be tested: the first of each crate.
    fn choose(&self, manifest: &mut Manifest) -> Result<()> {
        let handlers = &mut manifest.config.handlers;
        if let Some(unknown) =
            self.handlers.iter().find(|name| !handlers.iter().any(|found| found.spec.name == **name))
        {
            bail!("the manifest has no handler `{unknown}`: list its handlers with `waxwing check`");
        }
        let mut crates = BTreeSet::new();
        handlers.retain(|HandlerConfig { spec, module, .. }| {
            let is_named = self.handlers.is_empty() || self.handlers.contains(&spec.name);
            matches!(module, ModuleSource::Crate(path) if is_named && crates.insert(path.clone()))
        });
        if handlers.is_empty() {
            bail!("none of these handlers is a crate: a `.wasm` file has no tests");
        }
        Ok(())
    }

    async fn test(&self, trial: Trial, folder: PathBuf, general: &General) -> Result<Tested> {
        let handler = trial.spec.name.clone();
        let listener = TcpListener::bind("127.0.0.1:0").await.context("no test can reach this host")?;
        let address = listener.local_addr()?.to_string();
        let runs = Arc::new(AtomicU64::new(0));
        let host = AbortOnDropHandle::new(tokio::spawn(serve(listener, Arc::new(trial), runs.clone())));
        anstream::eprintln!("testing {NAME}{handler}{END}");
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.arg("test").arg("--manifest-path").arg(folder.join("Cargo.toml"));
        cargo.arg("--").args(&self.arguments).env(ADDRESS, address).kill_on_drop(true);
        if general.output == Output::Json {
            // Standard output is for the report.
            cargo.stdout(std::io::stderr());
        }
        let status = cargo.status().await.context("cargo cannot be run")?;
        drop(host);
        Ok(Tested { handler, passed: status.success(), runs: runs.load(Relaxed) })
    }
}

impl Tested {
    fn show(&self) -> Result<()> {
        let Tested { handler, passed, runs } = self;
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
