//! The last entry of each subject.
//!
//! The subjects come from the stream's leader, and so does each entry: slower than a consumer that gives
//! the last of each subject, but neither stale nor stopped by an entry with broken headers.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;
use serde_json::json;
use waxwing_engine::port::log::{Entry, Part};
use waxwing_event::Pattern;

use super::{
    api::{Api, ApiError},
    stored::Stored,
};

/// Reads under way at once.
const CONCURRENCY: usize = 128;

#[derive(Deserialize)]
struct Page {
    state: State,
    #[serde(default)]
    total: usize,
}

#[derive(Deserialize)]
struct State {
    #[serde(default)]
    subjects: Option<BTreeMap<String, u64>>,
}

/// What is asked for: which subjects, what of their entries, how many at most.
pub(super) type Asked<'a> = (&'a Pattern, Part, usize);

/// The last entry of each subject that matches, by subject.
pub(super) async fn last_of_each(
    api: &Api,
    stored: &Stored,
    stream: &str,
    (pattern, part, limit): Asked<'_>,
) -> Result<Vec<Entry>, ApiError> {
    let subjects = subjects(api, stream, pattern, limit).await?;
    let entries = stream::iter(subjects).map(|subject| async move { stored.last(&subject, part).await });
    // One that has gone since is left out.
    entries.buffered(CONCURRENCY).try_filter_map(|entry| std::future::ready(Ok(entry))).try_collect().await
}

/// The first `limit` subjects that match. A server gives many in pages, which are sorted.
async fn subjects(api: &Api, stream: &str, pattern: &Pattern, limit: usize) -> Result<Vec<String>, ApiError> {
    let mut found = Vec::new();
    while found.len() < limit {
        let question = json!({ "subjects_filter": pattern.as_str(), "offset": found.len() });
        let page: Page = api.call(&format!("STREAM.INFO.{stream}"), &question).await?;
        let subjects = page.state.subjects.unwrap_or_default();
        let is_last = subjects.is_empty() || found.len() + subjects.len() >= page.total;
        found.extend(subjects.into_keys());
        if is_last {
            break;
        }
    }
    found.truncate(limit);
    Ok(found)
}
