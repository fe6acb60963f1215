//! Dead letters as they stand in the log, and what an operator writes in their place.

use std::fmt;

use anyhow::{Context, Result, anyhow, bail};
use serde::Serialize;
use waxwing_engine::{
    entry::{DeadLetter, EntryError, Original, dead, tombstone},
    port::log::{CommitError, Entry, NewEntry, commit},
};
use waxwing_event::{HandlerName, Position};

use super::selection::one;
use crate::cli::{
    General,
    listed::{Item, Listed, MAX_SEARCHED},
    output::{self, Output, say},
    place::Place,
    style::{DIM, END, NAME},
};

/// Where dead letters stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shelf {
    /// Those that wait for somebody's decision.
    Open,
    /// Those that were put away.
    Archive,
}

impl Shelf {
    /// The dead letters of a handler, or of all, oldest first.
    pub(super) async fn list(
        self,
        place: &Place,
        handler: Option<&HandlerName>,
        limit: usize,
    ) -> Result<Listed<dead::About>> {
        let subjects = match self {
            Shelf::Open => place.layout.dead_letters(handler),
            Shelf::Archive => place.layout.all_archived(handler),
        };
        let read = |entry| self.read(entry).map(|letter| letter.about);
        let mut listed = Listed::read(place.at(), &subjects, limit, read).await?;
        listed.items.sort_by_key(|item| item.what.original.position);
        Ok(listed)
    }

    /// The dead letter of the event at this position, with its entry.
    pub(super) async fn take(
        self,
        place: &Place,
        handler: &HandlerName,
        position: Position,
    ) -> Result<Option<(Entry, DeadLetter)>> {
        let subject = match self {
            Shelf::Open => place.layout.dead(handler, position),
            Shelf::Archive => place.layout.archived(handler, position),
        };
        let entry = place.log.last(&subject).await?.filter(|entry| !tombstone::is(entry));
        Ok(match entry {
            Some(entry) => Some((entry.clone(), self.read(entry)?)),
            None => None,
        })
    }

    fn read(self, entry: Entry) -> Result<DeadLetter, EntryError> {
        let mut letter = DeadLetter::read(entry)?;
        // What was put away holds nothing up, whatever it did before.
        letter.about.holds_key &= self == Shelf::Open;
        Ok(letter)
    }
}

/// The refusal of a letter that does not wait for a decision: it is in the archive, or nowhere.
pub(super) async fn not_open(place: &Place, handler: &HandlerName, which: &str) -> anyhow::Error {
    let archived = Shelf::Archive.list(place, Some(handler), MAX_SEARCHED).await;
    if archived.is_ok_and(|archived| one(which, &archived.items).is_some()) {
        return anyhow!(
            "the dead letter `{which}` of handler `{handler}` was archived, and nothing more is done with it: see it \
             with `waxwing dead show --archived {handler} {which}`"
        );
    }
    anyhow!("handler `{handler}` has no dead letter `{which}`: list them with `waxwing dead ls {handler}`")
}

/// What became of a dead letter.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Decided {
    handler: HandlerName,
    position: Position,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    result: Decision,
}

/// What was decided about a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Decision {
    /// It runs again.
    Redriven,
    /// It was put away.
    Archived,
    /// Its data was replaced.
    Edited,
    /// Somebody else was faster.
    Skipped,
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Decision::Redriven => "redriven",
            Decision::Archived => "archived",
            Decision::Edited => "edited",
            Decision::Skipped => "skipped, somebody else was faster",
        })
    }
}

impl Decided {
    pub(super) fn new(about: dead::About, result: Decision) -> Decided {
        let original = about.original;
        Decided {
            handler: original.handler,
            position: original.position,
            event_id: original.event_id,
            key: original.key,
            result,
        }
    }

    pub(super) fn show(&self) -> Result<()> {
        let Decided { handler, position, event_id, key, result } = self;
        let id = output::line(event_id.as_deref().unwrap_or_default());
        let key = key.as_deref().map(|key| format!(" key {}", output::line(key))).unwrap_or_default();
        say!("{NAME}{handler}{END} {position} {DIM}{id}{key}{END}: {result}")?;
        Ok(())
    }
}

/// Commits what was decided about the letter at `position`; false where it has changed since it was read.
pub(super) async fn decide(place: &Place, entries: Vec<NewEntry>, position: Position) -> Result<bool> {
    match commit(place.log.as_ref(), entries).await {
        Ok(_) => Ok(true),
        Err(CommitError::Refused(_)) => Ok(false),
        Err(error @ CommitError::Unknown(_)) => Err(error).with_context(|| {
            format!(
                "the letter at {position} may have been decided about or not: look with `waxwing dead ls`"
            )
        }),
        Err(error) => Err(error).with_context(|| format!("the letter at {position} stays as it is")),
    }
}

/// Decides about several letters one after another, each in a commit of its own, so that those of a key keep
/// their order. Tells of each; fails where nothing was done.
pub(super) async fn decide_each(
    place: &Place,
    letters: Vec<Item<dead::About>>,
    decision: Decision,
    general: &General,
    entries: impl Fn(&Entry, DeadLetter) -> Vec<NewEntry>,
) -> Result<()> {
    let mut all = Vec::with_capacity(letters.len());
    let (mut end, mut told) = (Ok(()), Ok(()));
    for Item { entry: seen, what: about } in letters {
        let decided = match decide_one(place, seen, &about, &entries).await {
            Ok(true) => Decided::new(about, decision),
            Ok(false) => Decided::new(about, Decision::Skipped),
            Err(error) => {
                end = Err(error);
                break;
            }
        };
        if general.output == Output::Text {
            // Whether or not anybody hears of it, the others are decided about too.
            told = told.and(decided.show());
        }
        all.push(decided);
    }
    if general.output == Output::Json {
        output::json(&all)?;
    }
    end.and(told)?;
    if all.iter().all(|decided| decided.result == Decision::Skipped) {
        bail!("nothing was {decision}: somebody else has decided about it, see `waxwing dead ls`");
    }
    Ok(())
}

/// False where the letter is not the one any more that was `seen`.
async fn decide_one(
    place: &Place,
    seen: Position,
    about: &dead::About,
    entries: impl Fn(&Entry, DeadLetter) -> Vec<NewEntry>,
) -> Result<bool> {
    let Original { handler, position, .. } = &about.original;
    let letter = Shelf::Open.take(place, handler, *position).await?;
    match letter.filter(|(entry, _)| entry.position == seen) {
        Some((entry, letter)) => decide(place, entries(&entry, letter), *position).await,
        None => Ok(false),
    }
}
