//! `waxwing run-event`: runs a captured event, and compares what it does with what stood in the log.

use std::{
    fs,
    io::{self, BufRead},
    path::PathBuf,
    process::{self, ExitCode},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::Serialize;
use waxwing_event::{Digest, Failure, HandlerSpec, Outcome};
use waxwing_sandbox::{Options, Outside, Sandbox, Scrutiny};

use super::{
    General, found, logging,
    output::{self, Output, say},
    style::{BAD, DIM, END, GOOD, NAME, WARN},
};
use crate::{
    assemble,
    capture::{
        again::{self, Again, Difference},
        bench::{Bench, Line, Ran},
        form::Capture,
        record::EntryRecord,
    },
    module::Module,
};

/// How long a run may take before which somebody sits with a debugger.
const WITH_A_DEBUGGER: Duration = Duration::from_secs(3600);

/// Runs a captured event again, and shows what it does, says and uses
///
/// Nothing is written and nothing is called; time and chance are the same whenever it runs. The module is that of the
/// manifest, or the one that is named. What it does is compared with what stood in the log when the event was captured: exits with 1
/// where that differs.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    waxwing run-event basket-1207.json\n  \
    waxwing run-event basket-1207.json --module target/wasm32-wasip2/debug/basket.wasm\n  \
    waxwing run-event basket-1207.json --module basket.wasm --debug")]
pub(super) struct RunEvent {
    /// The file, as `waxwing capture` wrote it
    file: PathBuf,
    /// The module that runs [default: that of the handler in the manifest]
    #[arg(long, value_name = "FILE")]
    module: Option<PathBuf>,
    /// Wait for a debugger, with the module's functions, files and lines at hand (docs/testing.md)
    #[arg(long)]
    debug: bool,
}

/// What a run did.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    same: bool,
    module: Digest,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
    entries: &'a [EntryRecord],
    differences: &'a [Difference],
    /// What it read that the capture does not hold.
    strayed: &'a [String],
    lines: &'a [Line],
    fuel: Option<u64>,
    memory_bytes: u64,
    elapsed_us: u64,
}

impl RunEvent {
    pub(super) async fn execute(&self, general: &General) -> Result<ExitCode> {
        logging::begin(general, logging::Level::Usual);
        let shown = self.file.display();
        let text = fs::read_to_string(&self.file).with_context(|| format!("{shown} cannot be read"))?;
        let capture = Capture::read(&text).with_context(|| shown.to_string())?;
        let bench = self.bench(&capture, general)?;
        if self.debug {
            wait_for_debugger()?;
        }
        let again = again::run(&capture, &bench).await?;
        match general.output {
            Output::Json => output::json(&report(&again, &bench))?,
            Output::Text => show(&capture, &again, &bench)?,
        }
        Ok(if again.differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn bench(&self, capture: &Capture, general: &General) -> Result<Bench> {
        let spec = capture.spec()?;
        let bytes = match &self.module {
            Some(path) => {
                fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?.into()
            }
            None => self.module_of_manifest(capture, general)?.bytes,
        };
        let scrutiny = if self.debug { Scrutiny::Debug } else { Scrutiny::Fuel };
        let mut options = Options {
            outside: Outside::Rehearsed,
            app: capture.app.to_string(),
            scrutiny,
            ..Options::default()
        };
        options.memory_bytes_max = options.memory_bytes_max.max(spec.limits.memory_bytes);
        if let Some(manifest) = found::manifest_at_hand(general)? {
            options.folder = Some(manifest.config.folder.clone());
            options.secrets = assemble::secrets(&manifest.config);
        }
        Bench::set(Arc::new(Sandbox::new(options)?), self.limited(spec), &bytes)
    }

    fn limited(&self, mut spec: HandlerSpec) -> HandlerSpec {
        if self.debug {
            spec.limits.deadline = WITH_A_DEBUGGER;
        }
        spec
    }

    fn module_of_manifest(&self, capture: &Capture, general: &General) -> Result<Module> {
        let Some(mut manifest) = found::manifest_at_hand(general)? else {
            bail!(
                "there is no manifest here that names a module: go to its folder, or name the module with --module"
            );
        };
        manifest.config.handlers.retain(|configured| configured.spec.name == capture.handler);
        if manifest.config.handlers.is_empty() {
            bail!("the manifest has no handler `{}`: name its module with --module", capture.handler);
        }
        found::modules(&manifest, general)?.into_iter().next().context("the module was not read")
    }
}

fn wait_for_debugger() -> Result<()> {
    if cfg!(not(feature = "debugger")) {
        bail!(
            "this program was built without debuggers in mind: build it with `--features debugger`, and try again"
        );
    }
    let pid = process::id();
    anstream::eprintln!("attach a debugger: `lldb -p {pid}` or `gdb -p {pid}`; then press return");
    io::stdin().lock().read_line(&mut String::new())?;
    Ok(())
}

fn report<'a>(again: &'a Again, bench: &Bench) -> Report<'a> {
    let Again { ran: Ran { outcome, elapsed, used, lines }, entries, differences, strayed } = again;
    Report {
        same: differences.is_empty(),
        module: bench.digest(),
        failure: match outcome {
            Outcome::Done(_) => None,
            Outcome::Failed(Failure { kind, reason, .. }) => Some(format!("{kind}: {reason}")),
        },
        entries,
        differences,
        strayed,
        lines,
        fuel: used.fuel,
        memory_bytes: used.memory_bytes,
        elapsed_us: u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX),
    }
}

fn show(capture: &Capture, again: &Again, bench: &Bench) -> Result<()> {
    let Again { ran: Ran { outcome, elapsed, used, lines }, entries, differences, strayed } = again;
    let Capture { handler, event, module, notes, .. } = capture;
    say!("{NAME}{handler}{END} {} {DIM}{}{END}", event.position(), output::line(event.id()))?;
    match outcome {
        Outcome::Done(_) if entries.is_empty() => say!("{GOOD}done{END} without any effect")?,
        Outcome::Done(_) => say!("{GOOD}done{END}")?,
        Outcome::Failed(Failure { kind, reason, backtrace, .. }) => {
            say!("{BAD}failed{END} {kind}: {}", output::lines(reason))?;
            for line in backtrace.iter().flat_map(|trace| trace.lines()) {
                say!("  {DIM}{}{END}", output::line(line))?;
            }
        }
    }
    for entry in entries {
        let data = String::from_utf8_lossy(&entry.data.bytes()?).into_owned();
        say!("  {} {}", entry.subject, output::line(&data))?;
    }
    for Line { level, text } in lines {
        say!("  {DIM}{level:<5}{END} {}", output::line(text))?;
    }
    if let Some(fuel) = used.fuel {
        output::field("fuel", &output::grouped(fuel))?;
    }
    output::field("memory", &format!("{} KiB", used.memory_bytes / 1024))?;
    output::field("time", &format!("{} µs", elapsed.as_micros()))?;
    if bench.digest() != *module {
        say!("{WARN}note{END} this is another module than that of the capture")?;
    }
    for what in strayed {
        say!(
            "{WARN}note{END} it read {}, which the capture does not hold: it was told that nothing is there",
            output::line(what)
        )?;
    }
    for note in notes {
        say!("{WARN}note{END} {note}")?;
    }
    for Difference { what, then, now } in differences {
        let told = |side: &Option<String>| side.as_deref().map_or_else(|| "nothing".to_owned(), output::line);
        say!("{BAD}otherwise{END} {}", output::line(what))?;
        say!("  {DIM}- then{END} {}", told(then))?;
        say!("  {DIM}+ now {END} {}", told(now))?;
    }
    if differences.is_empty() {
        say!("{GOOD}the same{END} as in the log")?;
    }
    Ok(())
}
