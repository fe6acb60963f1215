//! `waxwing dead edit`: the data of a dead letter is replaced.

use std::{
    env,
    io::Write,
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use clap::Args;
use serde::de::IgnoredAny;
use tempfile::NamedTempFile;
use waxwing_engine::{
    entry::{DeadLetter, operator},
    port::log::MAX_HEADER_BYTES,
};
use waxwing_event::HandlerName;

use super::{
    letter::{Decided, Decision, Shelf, decide},
    show,
};
use crate::cli::{
    General,
    output::{self, Output},
    payload,
    place::Place,
};

/// Replaces the data of a dead letter; it stays dead until it is redriven
///
/// Opens the data in $VISUAL or $EDITOR, unless --data is given. Headers, key and place stay as they are. Data that
/// was JSON must be JSON again.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    waxwing dead edit catalog 17\n  \
    waxwing dead edit catalog 17 --data '{\"productId\":\"tea\",\"newPrice\":3.2}'\n  \
    waxwing dead show catalog 17 -o json | jq '.data | .newPrice=3' |\n    \
      waxwing dead edit catalog 17 --data -")]
pub(super) struct Edit {
    /// The handler
    handler: HandlerName,
    /// The event's position in the log, or its id
    #[arg(value_name = "POSITION|ID")]
    which: String,
    /// The new data; - reads it from standard input
    #[arg(long, value_name = "DATA", allow_hyphen_values = true)]
    data: Option<String>,
}

impl Edit {
    pub(super) async fn execute(&self, place: &Place, general: &General) -> Result<ExitCode> {
        let (entry, mut letter) = show::find(place, Shelf::Open, &self.handler, &self.which).await?;
        let original = &mut letter.about.original;
        let position = original.position;
        ensure!(
            !original.headers_omitted,
            "the headers of {position} were too large to be kept, so it runs as it stands in the log: it cannot be edited"
        );
        let data = match self.data.as_deref() {
            Some(data) => payload::read(Some(data))?,
            None if original.payload_omitted => {
                bail!("the data of {position} was too large to be kept here: give the new data with --data")
            }
            None => edited(&letter.payload)?,
        };
        check(&letter, &data, place.log.max_entry_bytes())?;
        if data == letter.payload && !letter.about.original.payload_omitted {
            bail!("the data of {position} is the same as before: nothing was written");
        }
        letter.about.original.payload_omitted = false;
        letter.payload = Bytes::from(data);
        let decided = Decided::new(letter.about.clone(), Decision::Edited);
        let entries = operator::edit(&entry, letter, place.log.max_entry_bytes());
        if !decide(place, entries, position).await? {
            bail!("somebody else has decided about {position} meanwhile: nothing was written");
        }
        match general.output {
            Output::Json => output::json(&decided)?,
            Output::Text => decided.show()?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Refuses data that no handler would get, or that was JSON and is none any more.
fn check(letter: &DeadLetter, data: &[u8], max_entry_bytes: usize) -> Result<()> {
    // However often it fails and waits again: without room for what is told of it then, it would be left out
    // for the original.
    let most = max_entry_bytes.saturating_sub(MAX_HEADER_BYTES);
    let size = data.len();
    ensure!(size <= most, "{size} bytes of data are too many: at most {most} can be kept here");
    if serde_json::from_slice::<IgnoredAny>(&letter.payload).is_ok() {
        serde_json::from_slice::<IgnoredAny>(data)
            .context("the data was JSON and is none any more: nothing was written")?;
    }
    Ok(())
}

/// The data as somebody leaves it in an editor.
fn edited(data: &[u8]) -> Result<Vec<u8>> {
    let mut file = tempfile::Builder::new().prefix("waxwing-").suffix(".json").tempfile()?;
    file.write_all(data)?;
    file.flush()?;
    open_editor(&file)?;
    // Read by its name: an editor may have put another file in its place.
    let mut edited = std::fs::read(file.path()).context("the edited file cannot be read")?;
    // Editors end the last line.
    if edited.last() == Some(&b'\n') && data.last() != Some(&b'\n') {
        edited.pop();
    }
    Ok(edited)
}

fn open_editor(file: &NamedTempFile) -> Result<()> {
    let set = |name| env::var(name).ok().filter(|value| !value.trim().is_empty());
    let Some(editor) = set("VISUAL").or_else(|| set("EDITOR")) else {
        bail!("no editor is set: set $VISUAL or $EDITOR, or give the new data with --data");
    };
    let mut words = editor.split_whitespace();
    let mut command = Command::new(words.next().unwrap_or_default());
    let status = command.args(words).arg(file.path()).status();
    let status = status.with_context(|| format!("the editor `{editor}` cannot be started"))?;
    ensure!(status.success(), "the editor `{editor}` failed ({status}): nothing was written");
    Ok(())
}
