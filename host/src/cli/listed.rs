//! Lists entries of the host's own. Tombstones are left out; what cannot be read is named and hides no other.

use waxwing_engine::{
    entry::{EntryError, Layout, tombstone},
    port::log::{Entry, Log, Part, ReadError},
};
use waxwing_event::{Pattern, Position};

use super::{
    output,
    style::{END, WARN},
};

/// The most entries that are looked through for those that somebody names.
pub(super) const MAX_SEARCHED: usize = 100_000;

/// The last entries of some subjects, as they were read.
pub(super) struct Listed<T> {
    pub(super) items: Vec<Item<T>>,
    unreadable: Vec<EntryError>,
    /// True where there may be more.
    pub(super) is_cut: bool,
}

/// One entry.
pub(super) struct Item<T> {
    /// Where it stands.
    pub(super) entry: Position,
    /// What it says.
    pub(super) what: T,
}

impl<T> Listed<T> {
    /// Lists the last entry of each subject that matches, without payloads and of the layout's generations; at most
    /// `limit` that are not gone.
    pub(super) async fn read(
        (log, layout): (&dyn Log, &Layout),
        subjects: &Pattern,
        limit: usize,
        read: impl Fn(Entry) -> Result<T, EntryError>,
    ) -> Result<Listed<T>, ReadError> {
        let is_gone = |entry: &Entry| tombstone::is(entry) || layout.is_of_another_generation(&entry.subject);
        Listed::read_unless(log, subjects, limit, is_gone, read).await
    }

    /// As [`Listed::read`], where `is_gone` tells what does not count.
    pub(super) async fn read_unless(
        log: &dyn Log,
        subjects: &Pattern,
        limit: usize,
        is_gone: impl Fn(&Entry) -> bool,
        read: impl Fn(Entry) -> Result<T, EntryError>,
    ) -> Result<Listed<T>, ReadError> {
        let (entries, is_cut) = standing(log, subjects, limit, is_gone).await?;
        let mut listed = Listed { items: Vec::with_capacity(entries.len()), unreadable: Vec::new(), is_cut };
        for entry in entries {
            let position = entry.position;
            match read(entry) {
                Ok(what) => listed.items.push(Item { entry: position, what }),
                Err(error) => listed.unreadable.push(error),
            }
        }
        Ok(listed)
    }

    /// True where nothing stands there, readable or not.
    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty() && self.unreadable.is_empty()
    }

    /// Says on standard error what is not in the list.
    pub(super) fn say_what_is_missing(&self) {
        self.say_what_is_unreadable();
        if self.is_cut {
            say_that_there_may_be_more(self.items.len() + self.unreadable.len());
        }
    }

    /// As [`Listed::say_what_is_missing`], without a word about a limit.
    pub(super) fn say_what_is_unreadable(&self) {
        for error in &self.unreadable {
            let error = output::line(&error.to_string());
            anstream::eprintln!("{WARN}warning:{END} {error}: it is left out");
        }
    }
}

/// Says on standard error that a limit was reached.
pub(super) fn say_that_there_may_be_more(read: usize) {
    anstream::eprintln!("{}", there_may_be_more(read));
}

fn there_may_be_more(read: usize) -> String {
    match read {
        1 => "only 1 entry was read: there may be more".to_owned(),
        many => format!("only {many} entries were read: there may be more"),
    }
}

/// At most `limit` entries that are not gone, and whether there may be more. How many are gone is not known
/// beforehand, so more and more are read.
async fn standing(
    log: &dyn Log,
    subjects: &Pattern,
    limit: usize,
    is_gone: impl Fn(&Entry) -> bool,
) -> Result<(Vec<Entry>, bool), ReadError> {
    // One more tells whether there are more.
    let enough = limit.saturating_add(1);
    let most = enough.max(MAX_SEARCHED);
    let mut asked = enough;
    loop {
        let mut entries = log.last_of_each(subjects, Part::Headers, asked).await?;
        let is_all = entries.len() < asked;
        entries.retain(|entry| !is_gone(entry));
        if is_all || asked >= most || entries.len() >= enough {
            let is_cut = !is_all || entries.len() > limit;
            entries.truncate(limit);
            return Ok((entries, is_cut));
        }
        asked = asked.saturating_mul(4).min(most);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use waxwing_engine::port::{
        clock::SystemClock,
        log::{NewEntry, commit},
    };
    use waxwing_log::MemoryLog;

    use super::*;

    /// A log with these entries on `a.00`, `a.01` and so on; those that are gone are tombstones.
    async fn log(are_gone: &[bool]) -> MemoryLog {
        let log = MemoryLog::new(Arc::new(SystemClock));
        for (n, is_gone) in are_gone.iter().enumerate() {
            let subject = format!("a.{n:02}").parse().unwrap();
            let entry = if *is_gone { tombstone::write(subject) } else { NewEntry::new(subject, "") };
            commit(&log, vec![entry]).await.unwrap();
        }
        log
    }

    async fn listed(log: &MemoryLog, limit: usize) -> (Vec<u64>, bool) {
        let all = "a.*".parse().unwrap();
        let layout = Layout::new("a".parse().unwrap());
        let listed = Listed::read((log, &layout), &all, limit, |entry| Ok(entry.position.0)).await.unwrap();
        (listed.items.into_iter().map(|item| item.what).collect(), listed.is_cut)
    }

    #[tokio::test]
    async fn what_is_gone_does_not_count_toward_the_limit() {
        let are_gone: Vec<bool> = (1..=40).map(|position| ![2, 31, 40].contains(&position)).collect();
        let log = log(&are_gone).await;
        assert_eq!(listed(&log, 1).await, (vec![2], true));
        assert_eq!(listed(&log, 2).await, (vec![2, 31], true));
        assert_eq!(listed(&log, 3).await, (vec![2, 31, 40], false));
        assert_eq!(listed(&log, usize::MAX).await, (vec![2, 31, 40], false));
        assert_eq!(listed(&log, 0).await, (vec![], true));
    }

    #[test]
    fn a_limit_is_told_in_good_english() {
        assert_eq!(there_may_be_more(1), "only 1 entry was read: there may be more");
        assert_eq!(there_may_be_more(3), "only 3 entries were read: there may be more");
    }
}
