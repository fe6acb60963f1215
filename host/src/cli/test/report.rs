//! How the outcome of scenarios is shown to people.

use std::collections::BTreeSet;

use anyhow::Result;
use serde_json::Value;

use super::scenarios::{Outcome, UnderFault};
use crate::{
    cli::{
        output::say,
        style::{BAD, DIM, END, GOOD, NAME, WARN},
    },
    scenario::compare::Difference,
};

/// So many differences of one play are shown.
const MAX_DIFFERENCES: usize = 20;

/// Shows the outcome of one scenario.
pub(super) fn show(outcome: &Outcome) -> Result<()> {
    let Outcome { file, name, faults, elapsed, .. } = outcome;
    let sign = if outcome.passed { format!("{GOOD}✓{END}") } else { format!("{BAD}✗{END}") };
    let mut notes = vec![format!("{:.0} ms", elapsed.as_secs_f64() * 1000.0)];
    if *faults > 0 {
        notes.insert(0, format!("{faults} faults"));
    }
    let updated = if outcome.updated { format!(" {WARN}updated{END}") } else { String::new() };
    say!("{sign} {NAME}{file}{END} {name}{updated} {DIM}{}{END}", notes.join(", "))?;
    for line in lines(outcome, |name, text| match name {
        Tone::Expected => format!("{GOOD}{text}{END}"),
        Tone::Came => format!("{BAD}{text}{END}"),
        Tone::Fault => format!("{WARN}{text}{END}"),
        Tone::Plain => text,
    }) {
        say!("    {line}")?;
    }
    Ok(())
}

/// What went wrong, without colours.
pub(super) fn text(outcome: &Outcome) -> String {
    lines(outcome, |_, text| text).join("\n")
}

/// How a piece of text is meant.
enum Tone {
    Plain,
    Expected,
    Came,
    Fault,
}

fn lines(outcome: &Outcome, paint: impl Fn(Tone, String) -> String) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    lines.extend(outcome.error.iter().map(|error| paint(Tone::Plain, error.clone())));
    shown(&outcome.differences, ("expected", "came"), &paint, &mut lines);
    let mut kinds = BTreeSet::new();
    for UnderFault { kind, fault, commit, error, differences } in &outcome.under_faults {
        if !kinds.insert(format!("{kind:?}")) {
            continue;
        }
        let commit = commit.as_ref().map(|commit| format!(" ({commit})")).unwrap_or_default();
        lines.push(paint(Tone::Fault, format!("otherwise with {fault}{commit}:")));
        lines.extend(error.iter().map(|error| format!("  {}", paint(Tone::Plain, error.clone()))));
        let mut below = Vec::new();
        shown(differences, ("without", "with"), &paint, &mut below);
        lines.extend(below.into_iter().map(|line| format!("  {line}")));
        let same = outcome.under_faults.iter().filter(|other| other.kind == *kind).count() - 1;
        if same > 0 {
            lines.push(format!("  and with {same} more faults of this kind"));
        }
    }
    lines
}

fn shown(
    differences: &[Difference],
    (left, right): (&str, &str),
    paint: &impl Fn(Tone, String) -> String,
    lines: &mut Vec<String>,
) {
    for Difference { step, path, expected, came } in differences.iter().take(MAX_DIFFERENCES) {
        lines.push(format!("step {step}: {path}"));
        let value =
            |value: &Option<Value>| value.as_ref().map_or_else(|| "nothing".to_owned(), Value::to_string);
        lines.push(format!("  {left:<8} {}", paint(Tone::Expected, value(expected))));
        lines.push(format!("  {right:<8} {}", paint(Tone::Came, value(came))));
    }
    if differences.len() > MAX_DIFFERENCES {
        lines.push(format!("and {} more", differences.len() - MAX_DIFFERENCES));
    }
}
