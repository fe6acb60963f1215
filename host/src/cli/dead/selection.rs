//! Which dead letters a command is about.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use clap::{ArgGroup, Args};
use waxwing_engine::entry::dead;
use waxwing_event::{HandlerName, Position, outcome::FailureKind};

use super::letter::{Shelf, not_open};
use crate::cli::{
    listed::{Item, MAX_SEARCHED},
    place::Place,
};

/// Conditions, all of which must hold.
#[derive(Debug, Args)]
pub(super) struct Filter {
    /// Those of this key
    #[arg(long, value_name = "KEY", group = "selection")]
    key: Option<String>,
    /// Those that failed so: reject, retry, trap, deadline, memory, decode, …
    #[arg(long, value_name = "KIND", group = "selection", value_parser = kind)]
    kind: Option<FailureKind>,
    /// Those whose reason contains this text
    #[arg(long, value_name = "TEXT", group = "selection")]
    reason: Option<String>,
}

/// Dead letters of one handler: some that are named, a group, or all.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("selection").required(true).multiple(true))]
pub(super) struct Selection {
    /// The handler
    pub(super) handler: HandlerName,
    /// The events' positions in the log, or their ids
    #[arg(value_name = "POSITION|ID", group = "selection", conflicts_with_all = ["all", "key", "kind", "reason"])]
    which: Vec<String>,
    #[command(flatten)]
    filter: Filter,
    /// All of the handler
    #[arg(long, group = "selection", conflicts_with_all = ["key", "kind", "reason"])]
    all: bool,
}

/// A kind of failure, by its name.
fn kind(name: &str) -> Result<FailureKind, String> {
    serde_json::from_value(name.into()).map_err(|error| error.to_string())
}

impl Filter {
    pub(super) fn is_empty(&self) -> bool {
        self.key.is_none() && self.kind.is_none() && self.reason.is_none()
    }

    pub(super) fn matches(&self, about: &dead::About) -> bool {
        let Filter { key, kind, reason } = self;
        key.as_ref().is_none_or(|key| about.original.key.as_ref() == Some(key))
            && kind.is_none_or(|kind| about.kind == kind)
            && reason.as_ref().is_none_or(|reason| about.reason.contains(reason.as_str()))
    }
}

impl Selection {
    /// Finds them, oldest first; an error where one that is named is not there, or none at all.
    pub(super) async fn find(&self, place: &Place) -> Result<Vec<Item<dead::About>>> {
        let listed = Shelf::Open.list(place, Some(&self.handler), MAX_SEARCHED).await?;
        listed.say_what_is_missing();
        let handler = &self.handler;
        let mut named = BTreeSet::new();
        for which in &self.which {
            let Some(about) = one(which, &listed.items) else {
                return Err(not_open(place, handler, which).await);
            };
            named.insert(about.original.position);
        }
        let mut letters = listed.items;
        letters.retain(|item| match named.is_empty() {
            true => self.filter.matches(&item.what),
            false => named.contains(&item.what.original.position),
        });
        ensure!(
            !letters.is_empty(),
            "handler `{handler}` has no such dead letter: list them with `waxwing dead ls {handler}`"
        );
        Ok(letters)
    }
}

/// The letter of the event with this position, else with this id.
pub(super) fn one<'a>(which: &str, letters: &'a [Item<dead::About>]) -> Option<&'a dead::About> {
    let originals = || letters.iter().map(|item| &item.what);
    let position = which.parse().ok().map(Position);
    let by_position = originals().find(|about| Some(about.original.position) == position);
    by_position.or_else(|| originals().find(|about| about.original.event_id.as_deref() == Some(which)))
}
