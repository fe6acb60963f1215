//! How a version that is tried beside another is shown.

use anyhow::Result;
use waxwing_engine::{
    canary::Tally,
    entry::{shadow::Differing, verdict::Sentence, version::VersionNumber},
    shadow::{Compared, Otherwise},
};
use waxwing_event::HandlerName;

use super::{
    output::{line, say},
    style::{BAD, DIM, END, GOOD, NAME, WARN},
};
use crate::deploy::trials::Trial;

/// The word for it in a table.
pub(super) fn word(trial: &Trial) -> String {
    match trial {
        Trial::Canary { share, .. } => format!("{WARN}canary{END} {share}"),
        Trial::Shadow { .. } => format!("{WARN}shadow{END}"),
        Trial::Judged { sentence: Sentence::RolledBack(_), .. } => format!("{BAD}rolled back{END}"),
        Trial::Judged { sentence: Sentence::Promoted, .. } => format!("{GOOD}promoted{END}"),
    }
}

/// All that is known of it.
pub(super) fn show(handler: &HandlerName, version: VersionNumber, trial: &Trial) -> Result<()> {
    match trial {
        Trial::Canary { share, since, tally, rules } => {
            let what = format!("canary for {share} of the keys since {since:.0}, margin {}", rules.margin);
            say!("{NAME}{handler}{END}: version {version}: {what}")?;
            show_tally(tally)
        }
        Trial::Judged { sentence, tally, host, at } => {
            let what = match sentence {
                Sentence::RolledBack(worse) => format!("{BAD}rolled back{END}, as {worse}"),
                Sentence::Promoted => format!("{GOOD}promoted{END}, as it was not worse"),
            };
            say!("{NAME}{handler}{END}: version {version}: {what}; by {} at {at:.0}", line(host))?;
            show_tally(tally)
        }
        Trial::Shadow { since, compared, first } => {
            say!("{NAME}{handler}{END}: version {version}: shadow since {since:.0}")?;
            show_compared(compared)?;
            first.iter().try_for_each(show_differing)
        }
    }
}

fn show_tally(tally: &Tally) -> Result<()> {
    say!("  canary: {}", tally.canary)?;
    Ok(say!("  other:  {}", tally.stable)?)
}

fn show_compared(compared: &Compared) -> Result<()> {
    let Compared { same, different, parts, skipped } = compared;
    let parts: Vec<String> = parts.iter().map(|(part, count)| format!("{part} {count}")).collect();
    let parts = if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) };
    Ok(say!("  runs: {GOOD}{same} the same{END}, {different} different{parts}, {skipped} not compared")?)
}

fn show_differing(differing: &Differing) -> Result<()> {
    let Differing { input, event_id, key, otherwise } = differing;
    let input = input.map_or_else(|| "-".to_owned(), |input| input.to_string());
    let key = key.as_deref().map(|key| format!(" of {}", line(key))).unwrap_or_default();
    say!("{NAME}{input}{END}{key} {DIM}{}{END}", line(event_id))?;
    for Otherwise { part, live, shadow } in otherwise {
        say!("  {part}")?;
        say!("    - live   {}", line(live))?;
        say!("    + shadow {}", line(shadow))?;
    }
    Ok(())
}
