//! `waxwing capture`: one event of the running app, with all that its run read, to a file.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use anyhow::{Context, Result, bail};
use clap::Args;
use waxwing_event::{AppName, HandlerName};

use super::{
    General, found, logging,
    output::{self, Output, say},
    place::Place,
    style::{DIM, END, NAME, WARN},
};
use crate::{
    assemble,
    capture::{
        bench::Bench,
        form::{Came, Capture as Captured, ValueFrom},
        past::{self, Past},
        recall::Recall,
    },
    config::{HandlerConfig, Manifest},
    own_folder::OwnFolder,
};

/// Writes one event of the app's log to a file, with the state that its run read and with what came of it
///
/// `waxwing run-event` runs the file again, anywhere. Of state, the log keeps the last values alone: what still stands is taken from
/// there, and what was replaced since is made again, by running what the handler had heard before. The file says of each
/// value which of the two it is, and what is not exact or not there: values of secrets and answers of HTTP calls never are.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    waxwing capture 1207\n  \
    waxwing capture 0192f6c2-7d1e-7cc0-a0a3-6d1d2a1f9b10 --handler basket\n  \
    waxwing capture in-9 --file in-9.json && waxwing run-event in-9.json")]
pub(super) struct Capture {
    /// The event's id, or its position in the log
    #[arg(value_name = "ID")]
    event: String,
    /// The handler [default: the one that hears the event, where it is one]
    #[arg(long, value_name = "NAME")]
    handler: Option<HandlerName>,
    /// The app [default: that of the manifest]
    #[arg(long, value_name = "NAME")]
    app: Option<AppName>,
    /// The file that is written; - is standard output [default: HANDLER-POSITION.json]
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

impl Capture {
    pub(super) async fn execute(&self, general: &General) -> Result<ExitCode> {
        let place = Place::find(self.app.as_ref(), general).await?;
        logging::begin(general, logging::Level::Usual);
        let Some(manifest) = &place.manifest else {
            bail!("a capture needs the app's manifest: go to its folder, or name it with --manifest");
        };
        let handler = self.handler(&place, manifest).await?;
        let (configured, bench) = bench(manifest, &handler, general)?;
        let events = &manifest.config.events;
        let past = Past::read(place.log.as_ref(), &place.layout, events, &configured.spec).await?;
        let found = past.find(&self.event);
        let [position] = found.as_slice() else {
            if found.is_empty() {
                bail!("handler `{handler}` has not handled an event `{}`, or hears none", self.event);
            }
            let found: Vec<String> = found.iter().map(ToString::to_string).collect();
            bail!(
                "there are several events `{}`: name one by its position, {}",
                self.event,
                found.join(" or ")
            );
        };
        let table = &configured.table;
        let recall = Recall { log: place.log.clone(), layout: &place.layout, events, table, bench: &bench };
        let captures = recall.captures(past, &BTreeSet::from([*position])).await?;
        let capture =
            captures.first().context("the event is a duplicate of another: it had no run of its own")?;
        let file = self.file.clone().unwrap_or_else(|| format!("{handler}-{position}.json").into());
        if file == Path::new("-") {
            output::write_bytes(capture.text()?.as_bytes())?;
            return Ok(ExitCode::SUCCESS);
        }
        fs::write(&file, capture.text()?).with_context(|| format!("{} cannot be written", file.display()))?;
        match general.output {
            Output::Json => output::json(capture)?,
            Output::Text => show(capture, &file)?,
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The handler that is meant.
    async fn handler(&self, place: &Place, manifest: &Manifest) -> Result<HandlerName> {
        if let Some(handler) = &self.handler {
            return Ok(handler.clone());
        }
        let subjects = past::subjects_of(place.log.as_ref(), &manifest.config.events, &self.event).await?;
        if subjects.is_empty() {
            bail!("the log has no event `{}`: it takes ids and positions", self.event);
        }
        let hears = |configured: &&HandlerConfig| {
            let spec = &configured.spec;
            let is_on = |subject: &str| spec.on.iter().any(|on| on.matches(subject));
            spec.stream.is_none() && subjects.iter().any(|subject| is_on(subject.as_str()))
        };
        let hearing: Vec<&HandlerName> =
            manifest.config.handlers.iter().filter(hears).map(|configured| &configured.spec.name).collect();
        match hearing.as_slice() {
            [] => bail!("no handler of the manifest hears the event `{}`", self.event),
            [one] => Ok((*one).clone()),
            several => {
                let names: Vec<String> = several.iter().map(|name| format!("`{name}`")).collect();
                bail!(
                    "several handlers hear the event `{}`: choose one with --handler, {}",
                    self.event,
                    names.join(" or ")
                )
            }
        }
    }
}

/// A handler's module on a bench, with what the manifest says of it.
pub(super) fn bench(
    manifest: &Manifest,
    handler: &HandlerName,
    general: &General,
) -> Result<(HandlerConfig, Bench)> {
    let mut manifest = manifest.clone();
    manifest.config.handlers.retain(|configured| configured.spec.name == *handler);
    let [configured] = manifest.config.handlers.as_slice() else {
        bail!("the manifest has no handler `{handler}`: list its handlers with `waxwing ls`");
    };
    let modules = found::modules(&manifest, general)?;
    let module = modules.first().context("the module was not read")?;
    let cache = Some(OwnFolder::open(&manifest.folder)?.cache()?);
    let sandbox = Arc::new(assemble::sandbox(&manifest.config, cache)?);
    let bench = Bench::set(sandbox, configured.spec.clone(), &module.bytes)?;
    Ok((configured.clone(), bench))
}

fn show(capture: &Captured, file: &Path) -> Result<()> {
    let Captured { handler, event, state, histories, came, notes, .. } = capture;
    let came = match came {
        Came::Done { written } => format!("done, {} entries still stand", written.len()),
        Came::Dead { kind, reason } => format!("a dead letter: {kind}: {}", output::line(reason)),
        Came::Parked => "it waits for an attempt".to_owned(),
    };
    let exact = state.values.values().filter(|value| value.from == ValueFrom::Log).count();
    say!("{NAME}{handler}{END} {} {DIM}{}{END}", event.position(), output::line(event.id()))?;
    output::field("came", &came)?;
    let replayed = state.values.len() - exact;
    output::field("state", &format!("{exact} values as they stand, {replayed} made again"))?;
    if !histories.is_empty() {
        output::field(
            "histories",
            &histories.keys().map(|id| output::line(id)).collect::<Vec<_>>().join(", "),
        )?;
    }
    for note in notes {
        say!("{WARN}note{END} {note}")?;
    }
    output::field("file", &file.display().to_string())
}
