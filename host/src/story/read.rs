//! Reads a story from the log.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt, stream};
use tokio::time::timeout;
use waxwing_engine::{
    entry::Layout,
    port::{
        Log,
        log::{Entry, Part},
    },
};
use waxwing_event::{Event, HandlerName, Position, decode};

use super::{
    gather::Gathering,
    index::{self, find::Found},
};

/// Entries that are read at a time.
const CHUNK: usize = 1000;

/// How long the log may take to give the next entries.
const PATIENCE: Duration = Duration::from_secs(30);

/// Entries that are asked for at once.
const AT_ONCE: usize = 32;

/// How long nothing may come until that is taken for the end, where the last entries may have been removed.
const QUIET: Duration = Duration::from_secs(2);

/// Where a story is looked for.
pub struct Source<'l> {
    /// The app's log.
    pub log: &'l dyn Log,
    /// Where things stand in it.
    pub layout: &'l Layout,
    /// Handlers of streams that the app does not own.
    pub foreign: BTreeSet<HandlerName>,
}

/// All of a story that the log has; `wanted` is the correlation id, or the id of one of its events, or # and its position.
/// Without the index the whole log is read.
pub async fn read<'l>(source: &Source<'l>, wanted: &str, with_index: bool) -> Result<Option<Gathering<'l>>> {
    let bounds = source.log.bounds().await?;
    let whole = (bounds.first, bounds.last);
    let at = wanted.strip_prefix('#').and_then(|position| position.parse().ok()).map(Position);
    let correlation_id = match at {
        Some(position) => {
            let entry = source.log.at(position, Part::Whole).await?;
            let Some(event) = entry.as_ref().and_then(event) else { return Ok(None) };
            event.correlation_id
        }
        None => wanted.to_owned(),
    };
    let gathering = source.gather(&correlation_id, whole, with_index).await?;
    if !gathering.is_empty() {
        return Ok(Some(gathering));
    }
    // No index has the ids of all events.
    let mut named = None;
    let find = |entry: &Entry| {
        named = event(entry).filter(|event| event.id == wanted).map(|event| event.correlation_id);
        named.is_none()
    };
    source.scan(whole, find).await?;
    match named {
        Some(correlation_id) => Ok(Some(source.gather(&correlation_id, whole, with_index).await?)),
        None => Ok(None),
    }
}

impl<'l> Source<'l> {
    async fn gather(
        &self,
        correlation_id: &str,
        whole: (Position, Position),
        with_index: bool,
    ) -> Result<Gathering<'l>> {
        let mut gathering = Gathering::new(self.layout, correlation_id, self.foreign.clone());
        let found = match with_index {
            true => index::find::find(self.log, self.layout, correlation_id, whole).await?,
            false => Found { rest: vec![whole], ..Found::default() },
        };
        let read = stream::iter(found.positions).map(|position| self.log.at(position, Part::Whole));
        let mut read = read.buffered(AT_ONCE);
        let mut rest = found.rest.into_iter().peekable();
        while let Some(entry) = read.try_next().await? {
            let Some(entry) = entry else { continue };
            while let Some(range) = rest.next_if(|(first, _)| *first < entry.position) {
                self.scan(range, |entry| gathering.takes(entry)).await?;
            }
            gathering.take(&entry);
        }
        for range in rest {
            self.scan(range, |entry| gathering.takes(entry)).await?;
        }
        Ok(gathering)
    }

    /// Shows all entries from one position to another, until `takes` has seen enough.
    async fn scan(
        &self,
        (first, end): (Position, Position),
        mut takes: impl FnMut(&Entry) -> bool,
    ) -> Result<()> {
        if first > end {
            return Ok(());
        }
        // Where the last one was removed, nobody knows which is the last.
        let is_there = self.log.at(end, Part::Headers).await?.is_some();
        let patience = if is_there { PATIENCE } else { QUIET };
        let mut reader = self.log.read(first, &[], Part::Whole).await?;
        let mut last = Position::NONE;
        while last < end {
            let entries = match timeout(patience, reader.next(CHUNK)).await {
                Ok(entries) => entries?,
                Err(late) if is_there => return Err(late).context("the log does not answer"),
                Err(_) => return Ok(()),
            };
            for entry in entries {
                last = entry.position;
                if last > end || !takes(&entry) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

fn event(entry: &Entry) -> Option<Event> {
    if entry.subject.as_str().starts_with("wx.") {
        return None;
    }
    decode::event(&entry.subject, entry.position, &entry.headers, &entry.payload).ok()
}
