//! Shows the story: a line an event that somebody published, a line an event that a handler handled.

use std::{
    env,
    io::{self, IsTerminal},
    time::Duration,
};

use anyhow::Result;
use waxwing_event::{Event, HandlerName};

use super::{
    super::{
        output::say,
        style::{BAD, DIM, END, GOOD, NAME, TITLE},
    },
    ledger::{Act, End},
    stage::Scene,
};

/// How long a person gets to read a step.
const PAUSE: Duration = Duration::from_millis(250);

/// The longest line where the terminal does not say how wide it is.
const USUAL_WIDTH: usize = 110;

/// The terminal.
pub(super) struct Screen {
    width: usize,
    is_watched: bool,
}

impl Screen {
    pub(super) fn new() -> Screen {
        let width = env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok()).unwrap_or(USUAL_WIDTH);
        Screen { width: width.max(60_usize), is_watched: io::stdout().is_terminal() }
    }

    /// A heading of the story.
    pub(super) fn heading(&self, text: &str) -> Result<()> {
        say!("\n{TITLE}{text}{END}")?;
        Ok(())
    }

    /// One published event and all that came of it.
    pub(super) async fn show(&self, scene: &Scene) -> Result<()> {
        let data = shortened(&scene.data, self.width.saturating_sub(scene.subject.len() + 5));
        say!("→ {TITLE}{}{END} {DIM}{data}{END}", scene.subject)?;
        for (i, act) in scene.acts.iter().enumerate() {
            let branch = if i + 1 == scene.acts.len() { "└" } else { "├" };
            self.act(branch, act, scene.emitted.get(&act.event_id).map_or(&[], Vec::as_slice))?;
        }
        if self.is_watched {
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    fn act(&self, branch: &str, act: &Act, emitted: &[Event]) -> Result<()> {
        let time = format!("{:>6.2} ms", act.elapsed.as_secs_f64() * 1_000.0);
        let start = format!("  {DIM}{branch}{END} {NAME}{:<12}{END}{DIM}{time}{END}", act.handler);
        match &act.end {
            End::Dead { reason } => {
                let reason = reason.lines().next().unwrap_or_default();
                let reason = shortened(reason, self.width.saturating_sub(42));
                say!("{start}  {BAD}dead letter{END} {reason}")?;
            }
            End::Done { emitted: 0, state_keys: 0 } => say!("{start}  {DIM}nothing to do{END}")?,
            End::Done { emitted: 0, .. } => say!("{start}  {DIM}remembers it{END}")?,
            End::Done { .. } => {
                let mine = emitted.iter().filter(|event| is_from(event, &act.handler));
                let told: Vec<String> = mine.map(|event| self.told(event)).collect();
                say!("{start}  {}", told.join(", "))?;
            }
        }
        Ok(())
    }

    fn told(&self, event: &Event) -> String {
        let data = String::from_utf8_lossy(&event.data);
        let data = shortened(&data, self.width.saturating_sub(event.subject.as_str().len() + 30));
        format!("{GOOD}{}{END} {DIM}{data}{END}", event.subject)
    }
}

/// The host stamps the handler's name as the last part of an emitted event's source.
fn is_from(event: &Event, handler: &HandlerName) -> bool {
    event.source.rsplit('/').next() == Some(handler.as_str())
}

fn shortened(text: &str, most: usize) -> String {
    let most = most.max(20);
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let start: String = text.chars().take(most.saturating_sub(1)).collect();
    format!("{start}…")
}
