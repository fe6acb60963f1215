//! The watcher: hears of changes of what is watched, a little after the last of several that come together.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result};
use notify_debouncer_full::{
    DebounceEventResult, Debouncer, NoCache, new_debouncer_opt,
    notify::{Config, EventKind, RecommendedWatcher, RecursiveMode, event::ModifyKind},
};
use tokio::sync::mpsc;

use super::watched::Watched;

/// How long nothing may happen to a file until it counts as written.
const SETTLED_AFTER: Duration = Duration::from_millis(50);

/// How often that is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Watches files.
pub(super) struct Watcher {
    debouncer: Debouncer<RecommendedWatcher, NoCache>,
    /// Folders that are watched, and whether at any depth.
    folders: BTreeMap<PathBuf, RecursiveMode>,
    watched: Arc<Mutex<Watched>>,
}

/// Hears of changed files.
pub(super) type Changes = mpsc::UnboundedReceiver<BTreeSet<PathBuf>>;

impl Watcher {
    /// Watches nothing yet.
    pub(super) fn new() -> Result<(Watcher, Changes)> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let watched = Arc::new(Mutex::new(Watched::default()));
        let filter = watched.clone();
        let heard = move |result: DebounceEventResult| {
            let changed = changed(result, &lock(&filter));
            if !changed.is_empty() {
                // Nobody hears of it only when all ends.
                let _ = sender.send(changed);
            }
        };
        let config = Config::default().with_follow_symlinks(false);
        let debouncer = new_debouncer_opt(SETTLED_AFTER, Some(LOOK_EVERY), heard, NoCache, config);
        let debouncer = debouncer.context("files cannot be watched on this system")?;
        Ok((Watcher { debouncer, folders: BTreeMap::new(), watched }, receiver))
    }

    /// Watches this from now on; gives what cannot be watched.
    pub(super) fn watch(&mut self, watched: Watched) -> Vec<anyhow::Error> {
        let flat = watched.flat().into_iter().map(|folder| (folder, RecursiveMode::NonRecursive));
        let deep = watched.deep().into_iter().map(|folder| (folder, RecursiveMode::Recursive));
        let folders: BTreeMap<PathBuf, RecursiveMode> = flat.chain(deep).collect();
        *lock(&self.watched) = watched;
        let gone: Vec<PathBuf> = self
            .folders
            .iter()
            .filter(|(folder, mode)| folders.get(*folder) != Some(mode))
            .map(|(f, _)| f.clone())
            .collect();
        for folder in gone {
            self.folders.remove(&folder);
            // One that is not there any more is watched no more.
            let _ = self.debouncer.unwatch(&folder);
        }
        let mut errors = Vec::new();
        for (folder, mode) in folders {
            if self.folders.contains_key(&folder) {
                continue;
            }
            match self.debouncer.watch(&folder, mode) {
                Ok(()) => drop(self.folders.insert(folder, mode)),
                Err(error) => {
                    let what = format!("{} cannot be watched", folder.display());
                    errors.push(anyhow::Error::new(error).context(what));
                }
            }
        }
        errors
    }
}

/// The files of which these events tell, as far as they are watched.
fn changed(result: DebounceEventResult, watched: &Watched) -> BTreeSet<PathBuf> {
    let Ok(events) = result else {
        // Something was missed: what is looked at is all there is.
        return BTreeSet::from([PathBuf::new()]);
    };
    let mut changed = BTreeSet::new();
    for event in events {
        if event.need_rescan() {
            changed.insert(PathBuf::new());
        }
        let is_change = match event.kind {
            EventKind::Access(_) | EventKind::Modify(ModifyKind::Metadata(_)) => false,
            EventKind::Any
            | EventKind::Create(_)
            | EventKind::Modify(_)
            | EventKind::Remove(_)
            | EventKind::Other => true,
        };
        if is_change {
            changed.extend(event.paths.iter().filter(|path| watched.concerns(path)).cloned());
        }
    }
    changed
}

fn lock(watched: &Mutex<Watched>) -> MutexGuard<'_, Watched> {
    watched.lock().unwrap_or_else(PoisonError::into_inner)
}
