//! How far a rebuild is, and how that is shown.

use std::{
    io::IsTerminal,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use async_nats::jetstream;
use indicatif::{ProgressBar, ProgressStyle};
use waxwing_event::{HandlerSpec, Position};
use waxwing_log::jetstream::Link;

use crate::{
    cli::{output::grouped, place::Place},
    nats::{self, Target},
};

/// How often it is told where there is no terminal.
const TOLD_EVERY: Duration = Duration::from_secs(2);

/// The events of a handler, as its stream has them now.
pub(super) struct Course {
    context: jetstream::Context,
    stream: String,
    spec: HandlerSpec,
    // Ends the connection when it goes.
    _link: Link,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Far {
    /// Events that are handled.
    pub(super) done: u64,
    /// Events that are to be.
    pub(super) all: u64,
}

impl Course {
    pub(super) async fn open(place: &Place, spec: &HandlerSpec, target: &Target) -> Result<Course> {
        let stream = place.layout.read_by(spec);
        let link = target.connect("rebuilding").await?;
        Ok(Course { context: jetstream::new(link.client().clone()), stream, spec: spec.clone(), _link: link })
    }

    /// How far it is that has handled everything up to `watermark`, and is to go to `until`.
    pub(super) async fn far(&self, watermark: Position, until: Position) -> Result<Far> {
        let stream = self.context.get_stream(&self.stream).await;
        let stream = stream.with_context(|| format!("the stream `{}` cannot be looked at", self.stream))?;
        let from = async |position| nats::pending(&stream, position, &self.spec.on).await;
        let (first, ahead, beyond) =
            (from(Position::NONE.next()).await?, from(watermark.next()).await?, from(until.next()).await?);
        let all = first.saturating_sub(beyond);
        Ok(Far { done: all.saturating_sub(ahead.saturating_sub(beyond)), all })
    }
}

/// Shows how far it is: a bar on a terminal, a line now and then elsewhere.
pub(super) struct Meter {
    bar: Option<ProgressBar>,
    began: (Instant, u64),
    told: Instant,
}

impl Meter {
    /// Begins to show; so many events were handled before.
    pub(super) fn begin(far: Far) -> Meter {
        let now = Instant::now();
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(far.all).with_position(far.done);
            let style = "{bar:40} {percent} % {human_pos}/{human_len} events {per_sec} ETA {eta}";
            if let Ok(style) = ProgressStyle::with_template(style) {
                bar.set_style(style);
            }
            bar.reset_eta();
            bar
        });
        Meter { bar, began: (now, far.done), told: now }
    }

    /// Shows it.
    pub(super) fn show(&mut self, far: Far) {
        if let Some(bar) = &self.bar {
            bar.set_length(far.all);
            return bar.set_position(far.done);
        }
        if self.told.elapsed() >= TOLD_EVERY {
            self.told = Instant::now();
            let (began, before) = self.began;
            let line = line(far, far.done.saturating_sub(before), began.elapsed());
            anstream::eprintln!("{line}");
        }
    }

    /// Takes the bar away.
    pub(super) fn end(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

/// So many events were handled in this time.
fn line(far: Far, handled: u64, took: Duration) -> String {
    let Far { done, all } = far;
    let percent = done.saturating_mul(100).checked_div(all).unwrap_or(100);
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let rate = (handled as f64 / took.as_secs_f64().max(0.001)) as u64;
    let left = all.saturating_sub(done).checked_div(rate);
    let left = left.map_or_else(|| "not known".to_owned(), |left| format!("{left} s"));
    format!("{percent} % {}/{} events {}/s ETA {left}", grouped(done), grouped(all), grouped(rate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_how_long_it_will_take() {
        let line = |done, all, handled| line(Far { done, all }, handled, Duration::from_secs(2));
        assert_eq!(line(60_000, 100_000, 20_000), "60 % 60,000/100,000 events 10,000/s ETA 4 s");
        assert_eq!(line(0, 100, 0), "0 % 0/100 events 0/s ETA not known");
        assert_eq!(line(0, 0, 0), "100 % 0/0 events 0/s ETA not known");
    }
}
