//! A burst: many price changes at once, over a hundred products.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::task::AbortOnDropHandle;
use waxwing_event::Subject;

use super::{
    super::{
        output::{grouped, say},
        style::{DIM, END, GOOD, TITLE},
    },
    ledger::Ledger,
    stage::Stage,
    story,
};

const PRODUCTS: u32 = 100;

/// Publishes that may wait for their acknowledgement at once.
const MAX_IN_FLIGHT: u32 = 1024;

/// How long the burst may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Publishes `count` price changes, and shows how fast they were handled.
pub(super) async fn play(stage: &Stage, count: u32) -> Result<()> {
    say!("\n{TITLE}A burst: {} price changes over {PRODUCTS} products{END}", grouped(count.into()))?;
    stage.ledger.only_count();
    let before = stage.ledger.handled();
    let bar = bar();
    let started = Instant::now();
    let counting = AbortOnDropHandle::new(tokio::spawn(count_up(bar.clone(), stage.ledger.clone(), before)));
    let ended = tokio::time::timeout(PATIENCE, async {
        publish(stage, count).await?;
        let published = started.elapsed();
        stage.ledger.quiet().await;
        anyhow::Ok(published)
    });
    let ended = ended.await;
    drop(counting);
    bar.finish_and_clear();
    let published = ended.context("the burst was not handled in time")??;
    show(stage.ledger.handled() - before, count, published, started.elapsed())
}

/// Moves the bar until it is aborted.
async fn count_up(bar: ProgressBar, ledger: Arc<Ledger>, before: u64) {
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        bar.set_position(ledger.handled() - before);
    }
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("  {spinner} {pos} runs, {per_sec}") {
        bar.set_style(style);
    }
    bar
}

async fn publish(stage: &Stage, count: u32) -> Result<()> {
    let subject: Subject = "catalog.change-price".parse()?;
    let places = Arc::new(Semaphore::new(usize::try_from(MAX_IN_FLIGHT)?));
    let (refusals, mut refused) = mpsc::unbounded_channel();
    for number in 0..count {
        let place = places.clone().acquire_owned().await?;
        let refusals = refusals.clone();
        // Two prices in turn, so that each command changes something.
        let price = if (number / PRODUCTS).is_multiple_of(2) { "10" } else { "11" };
        let entry = stage.entry(&subject, story::change_price(&format!("p{}", number % PRODUCTS), price));
        stage.ledger.expect(subject.as_str());
        stage.log.commit(
            vec![entry],
            Box::new(move |end| {
                if let Err(error) = end {
                    // The receiver is gone only when the burst was given up.
                    let _ = refusals.send(error);
                }
                drop(place);
            }),
        );
    }
    let _all = places.acquire_many(MAX_IN_FLIGHT).await?;
    match refused.try_recv() {
        Ok(error) => Err(error).context("a price change was not taken"),
        Err(_) => Ok(()),
    }
}

fn show(runs: u64, count: u32, published: Duration, all: Duration) -> Result<()> {
    say!(
        "  {GOOD}{}{END} events published in {:.2} s, {DIM}{} a second{END}",
        grouped(count.into()),
        published.as_secs_f64(),
        per_second(count.into(), published)
    )?;
    say!(
        "  {GOOD}{}{END} handler runs in {:.2} s, {DIM}{} a second: each in its own sandbox, each a transaction{END}",
        grouped(runs),
        all.as_secs_f64(),
        per_second(runs, all)
    )?;
    Ok(())
}

fn per_second(number: u64, time: Duration) -> String {
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1);
    grouped(number.saturating_mul(1_000) / millis)
}
