//! What came of a version that is tried beside another, as the log tells: summed up over the handler's partitions.

use jiff::Timestamp;
use serde::Serialize;
use waxwing_engine::{
    canary::{Percent, Rules, Tally},
    entry::{
        Layout,
        deploy::{Beside, Tried},
        shadow::{Differing, MAX_TOLD, Shadowed},
        tally::Tallied,
        verdict::{Sentence, Verdict},
        version::VersionNumber,
    },
    port::{
        Log,
        log::{Part, ReadError},
    },
    shadow::Compared,
    standing::Standing,
};
use waxwing_event::HandlerName;

/// The most partitions of a handler that are looked at.
const MAX_PARTITIONS: usize = 100_000;

/// A version that is tried, or was until a verdict.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Trial {
    /// It runs for a share of the keys.
    Canary {
        /// Its share.
        share: Percent,
        /// When it counts as worse.
        rules: Rules,
        /// Since when.
        since: Timestamp,
        /// How runs have ended.
        tally: Tally,
    },
    /// It runs without effects.
    Shadow {
        /// Since when.
        since: Timestamp,
        /// How many runs were compared, and in what they differ.
        compared: Compared,
        /// The first of each partition that differ.
        first: Vec<Differing>,
    },
    /// It was a canary, and a host has judged it.
    Judged {
        /// What became of it.
        sentence: Sentence,
        /// How runs had ended.
        tally: Tally,
        /// The host.
        host: String,
        /// When.
        at: Timestamp,
    },
}

/// What came of what was decided last about a handler: the version that is or was tried.
pub async fn look(
    log: &dyn Log,
    layout: &Layout,
    handler: &HandlerName,
    standing: &Standing,
) -> Result<Option<(VersionNumber, Trial)>, ReadError> {
    if let Some((verdict, _)) = &standing.verdict {
        let Verdict { version, sentence, tally, host, at, .. } = verdict.clone();
        return Ok(Some((version, Trial::Judged { sentence, tally, host, at })));
    }
    let Some(Beside { version, tried }) = standing.deployment.beside.clone() else { return Ok(None) };
    let since = standing.deployment.at;
    let trial = match tried {
        Tried::Canary { share, rules } => {
            let entries = log.last_of_each(&layout.tallies(handler), Part::Whole, MAX_PARTITIONS).await?;
            let tallies = entries.iter().filter_map(|entry| Tallied::read(entry).ok());
            let tallies = tallies.filter(|tallied| tallied.decision == standing.position);
            let tally = tallies.fold(Tally::default(), |sum, tallied| sum + tallied.tally);
            Trial::Canary { share, rules, since, tally }
        }
        Tried::Shadow => {
            let entries = log.last_of_each(&layout.shadows(handler), Part::Whole, MAX_PARTITIONS).await?;
            let (mut compared, mut first) = (Compared::default(), Vec::new());
            let shadows = entries.iter().filter_map(|entry| Shadowed::read(entry).ok());
            for shadowed in shadows.filter(|shadowed| shadowed.decision == standing.position) {
                compared.add(&shadowed.compared);
                first.extend(shadowed.first);
            }
            first.truncate(MAX_TOLD);
            Trial::Shadow { since, compared, first }
        }
    };
    Ok(Some((version, trial)))
}
