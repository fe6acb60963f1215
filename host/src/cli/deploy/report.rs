//! What a deployment would change, as it is shown.

use anyhow::Result;
use serde::Serialize;
use serde_json::Value;
use waxwing_engine::entry::version::VersionNumber;
use waxwing_event::{Digest, HandlerName};

use super::plan::{Planned, Step};
use crate::{
    cli::{
        output::{line, say},
        style::{BAD, DIM, END, GOOD, NAME, WARN},
    },
    deploy::difference::Change,
};

/// One handler, for programs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row<'a> {
    handler: &'a HandlerName,
    module: Digest,
    bytes: u64,
    from: &'a str,
    /// False where what is deployed is the same.
    changed: bool,
    /// Who signs it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    signed_by: Vec<&'a str>,
    /// The version that is deployed.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<VersionNumber>,
    changes: &'a [Change],
}

/// What is shown to programs.
pub(super) fn rows(planned: &[Planned]) -> Vec<Row<'_>> {
    planned
        .iter()
        .map(|Planned { step, changes, wanted, .. }| Row {
            handler: &wanted.handler,
            module: wanted.module,
            bytes: wanted.bytes,
            from: &wanted.from,
            changed: *step != Step::Unchanged,
            signed_by: wanted.signatures.iter().map(|signature| signature.key.as_str()).collect(),
            before: wanted.replaces.as_ref().and_then(|(deployment, _)| deployment.version),
            changes,
        })
        .collect()
}

/// Shows it to people.
pub(super) fn show_planned(planned: &[Planned]) -> Result<()> {
    for planned in planned {
        let name = &planned.wanted.handler;
        let module = planned.module();
        match planned.step {
            Step::First => say!("{NAME}{name}{END}  first version  {DIM}{module}{END}")?,
            Step::Next { before } => say!("{NAME}{name}{END}  after version {before}  {DIM}{module}{END}")?,
            Step::Signed { before } => {
                say!(
                    "{NAME}{name}{END}  after version {before}, the same, newly signed  {DIM}{module}{END}"
                )?;
            }
            Step::Unchanged => say!("{NAME}{name}{END}  {DIM}unchanged{END}")?,
        }
        planned.changes.iter().try_for_each(show)?;
        if let Step::Next { .. } = planned.step
            && planned.changes.is_empty()
        {
            say!("    another module; it may do what the one before may")?;
        }
        if planned.step != Step::Unchanged {
            let by = planned.wanted.signatures.iter();
            by.map(|signature| &signature.key).try_for_each(|key| say!("    signed by {key}"))?;
        }
    }
    Ok(())
}

fn show(change: &Change) -> Result<()> {
    let what = change.what();
    let newly = if change.widens { format!("  {WARN}← new{END}") } else { String::new() };
    match (&change.before, &change.after) {
        (Some(before), Some(after)) => {
            say!("  {WARN}~{END} {what}  {} → {}{newly}", shown(before), shown(after))?;
        }
        (None, Some(after)) => say!("  {GOOD}+{END} {what}  {}{newly}", shown(after))?,
        (Some(before), None) => say!("  {BAD}-{END} {what}  {}", shown(before))?,
        (None, None) => {}
    }
    Ok(())
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => line(text),
        other => line(&other.to_string()),
    }
}
