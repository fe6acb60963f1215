//! Finding a partition's place after its lease was taken: the checkpoint, and the marks written since.

use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;
use waxwing_event::{HandlerSpec, Pattern, Position, handler::Start};

use crate::{
    elsewhere::{self, Elsewhere},
    entry::{
        Checkpoint, DeadLetter, EntryError, Layout, Mark, Outage,
        deploy::{Running, Swap},
        parked,
        partitions::{Former, Share},
        timer, tombstone,
    },
    generations::LookError,
    inputs::{Inputs, InputsError},
    lane::Key,
    lease::Held,
    parking::Parked,
    partition,
    policy::holds_key,
    port::{
        Log,
        log::{Entry, Part, ReadError},
    },
    timers,
};

/// All of them: what was left out would be forgotten.
const ALL: usize = usize::MAX;

/// Where a partition goes on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// Every input up to here is handled.
    pub watermark: Position,
    /// Where the checkpoint says that it is.
    pub saved: Position,
    /// Inputs above the watermark that are handled too.
    pub handled: BTreeSet<Position>,
    /// What was handled before the inputs were divided as they are now.
    pub former: Vec<Former>,
    /// For each state key, the inputs above the watermark of which its current entry tells.
    pub told_by_state: HashMap<String, Vec<Position>>,
    /// True where no checkpoint was ever saved.
    pub is_new: bool,
    /// Events that wait in the log.
    pub parked: Vec<(Position, Parked)>,
    /// Dead letters that hold their key.
    pub letters: Vec<Letter>,
    /// Timers, with their ids, where they stand and when they fire.
    pub timers: Vec<(String, Position, Timestamp)>,
    /// Timers that have fired and whose events are parked, with their ids.
    pub fired: Vec<(String, Position)>,
    /// True where an operator has paused the handler.
    pub paused: bool,
    /// True where the log says that the partition has stopped.
    pub had_stopped: bool,
    /// The version of which the log says that it ran last.
    pub swapped: Running,
    /// The outage in which the handler is.
    pub outage: Option<Outage>,
}

/// A dead letter that holds its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// Of which event.
    pub position: Position,
    /// Its key.
    pub key: Key,
    /// Where its entry stands.
    pub entry: Position,
}

/// Why a partition's place was not found.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// The log could not be read; trying again may help.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It is not known which generation is to run.
    #[error(transparent)]
    Look(#[from] LookError),
    /// The checkpoint is damaged.
    #[error("{0}: delete that entry to handle the whole log anew, or restore it")]
    Checkpoint(#[from] EntryError),
    /// The inputs cannot be looked at; trying again may help.
    #[error(transparent)]
    Inputs(#[from] InputsError),
    /// The checkpoint speaks of another stream's positions.
    #[error(transparent)]
    Elsewhere(#[from] Elsewhere),
    /// The log was cut off or replaced.
    #[error(
        "the log ends at {last}, but the checkpoint stands at {watermark}: it was restored from an older copy or \
         replaced; restore the newer one, or delete the checkpoint `{checkpoint}` to begin anew"
    )]
    LogTooShort {
        /// The log's last position.
        last: Position,
        /// The checkpoint's watermark.
        watermark: Position,
        /// The checkpoint's subject.
        checkpoint: String,
    },
    /// The log was cut off or replaced while this host used it.
    #[error(
        "the log goes on at {next}, but this host has seen it up to {known}: it was restored from an older copy or \
         replaced; restore the newer one, or restart this host to go on with this one"
    )]
    LogRestored {
        /// Where the log goes on.
        next: Position,
        /// The highest position that this host has seen taken.
        known: Position,
    },
    /// The key is another than that by which the inputs were divided.
    #[error(
        "its partitions are divided by the key `{before}`, and its key is `{now}` now: with the key as it was, set `partitions` \
         to 1, let the handler catch up, and then change the key"
    )]
    OtherKey {
        /// The key by which they are divided.
        before: String,
        /// The one that the manifest says.
        now: String,
    },
    /// The log was replaced by one with other positions.
    #[error(
        "the checkpoint `{checkpoint}` at {position} tells of {told}, which came after it: the log was replaced by \
         one with other positions; restore the original, or delete the checkpoint to begin anew"
    )]
    OtherPositions {
        /// Where the checkpoint stands.
        position: Position,
        /// The last position of which it tells.
        told: Position,
        /// The checkpoint's subject.
        checkpoint: String,
    },
}

impl RecoveryError {
    /// True where trying again may help.
    pub fn is_passing(&self) -> bool {
        matches!(
            self,
            RecoveryError::Read(_) | RecoveryError::Inputs(_) | RecoveryError::Look(LookError::Read(_))
        )
    }
}

/// Finds the place of one partition.
pub struct Recovery<'a> {
    /// The app's log.
    pub log: &'a dyn Log,
    /// Where things stand in it.
    pub layout: &'a Layout,
    /// The app's own subjects; empty: any may be.
    pub events: &'a [Pattern],
    /// The handler.
    pub spec: &'a HandlerSpec,
    /// Which part of it.
    pub share: Share,
    /// Where the key is found by which its inputs were divided.
    pub divided_by: &'a [String],
    /// Its inputs.
    pub inputs: &'a Inputs,
}

impl Recovery<'_> {
    /// Finds the place of a partition whose lease is held. `known` is the highest position that this host has
    /// seen taken: the lease was written after that, so it lies above, or the log is not what it was.
    pub async fn find(&self, held: &Held, known: Position) -> Result<Place, RecoveryError> {
        if held.fence <= known {
            return Err(RecoveryError::LogRestored { next: held.fence, known });
        }
        let bounds = self.inputs.bounds;
        let subject = self.layout.checkpoint(&self.spec.name, self.share.partition);
        let checkpoint = match self.log.last(&subject).await? {
            Some(entry) => Some(self.checked(&entry)?),
            None => None,
        };
        let is_new = checkpoint.is_none();
        let start = match self.spec.start {
            Start::First => bounds.first.previous(),
            Start::New if self.inputs.origin.is_some() => bounds.last,
            Start::New => held.fence,
        };
        let Checkpoint { watermark, handled, marks_after, former, .. } =
            checkpoint.unwrap_or(Checkpoint { watermark: start, ..Checkpoint::default() });
        let handled = handled.into_iter().collect();
        let mut place = Place { watermark, saved: watermark, handled, former, is_new, ..Place::default() };
        // Marks without a checkpoint are of a time before somebody let the handler begin anew; in another stream
        // they may speak of other events.
        let begins = is_new && (held.first || self.inputs.origin.is_some());
        if !begins {
            self.collect_marks(marks_after.next(), held, &mut place).await?;
        }
        self.find_what_waits(&mut place, !begins).await?;
        place.tidy();
        self.check_key(&place)?;
        Ok(place)
    }

    /// What belongs to which partition follows from the key: with another one, inputs would be left out, or handled twice.
    fn check_key(&self, place: &Place) -> Result<(), RecoveryError> {
        let is_divided = !self.share.partitions.is_one() || !place.former.is_empty();
        let key: Vec<String> = self.spec.key.iter().map(ToString::to_string).collect();
        if is_divided && !self.divided_by.is_empty() && key != self.divided_by {
            let (before, now) = (self.divided_by.join(", "), key.join(", "));
            return Err(RecoveryError::OtherKey { before, now });
        }
        Ok(())
    }

    /// A checkpoint that belongs to the partition's inputs.
    fn checked(&self, entry: &Entry) -> Result<Checkpoint, RecoveryError> {
        let saved = Checkpoint::read(entry)?;
        elsewhere::check(&saved, self.inputs, &self.spec.name)?;
        let (last, is_own) = (self.inputs.bounds.last, self.inputs.origin.is_none());
        let (watermark, told, position) = (saved.watermark, saved.reaches(), entry.position);
        let checkpoint = entry.subject.to_string();
        if watermark > last {
            Err(RecoveryError::LogTooShort { last, watermark, checkpoint })
        } else if is_own && told >= position {
            Err(RecoveryError::OtherPositions { position, told, checkpoint })
        } else {
            Ok(saved)
        }
    }

    /// Reads headers from `from` to the lease, which lies behind everything that its former owners could
    /// write.
    async fn collect_marks(&self, from: Position, held: &Held, place: &mut Place) -> Result<(), ReadError> {
        /// Entries taken from the reader at a time.
        const CHUNK: usize = 1024;
        let mut reader = self.log.read(from, &self.where_marks_stand(held), Part::Headers).await?;
        loop {
            for entry in reader.next(CHUNK).await? {
                if entry.position >= held.fence {
                    return Ok(());
                }
                self.take_mark(&entry, place);
            }
        }
    }

    /// Lists what is parked and held, and whether the handler may run. Where marks count, those of these entries
    /// do, too: an operator may have moved them behind the lease before they were collected.
    async fn find_what_waits(&self, place: &mut Place, marks_count: bool) -> Result<(), ReadError> {
        let (log, layout, name) = (self.log, self.layout, &self.spec.name);
        let letters_hold = holds_key(self.spec.on_exhausted, !self.spec.key.is_empty());
        let letters = layout.dead_letters(Some(name));
        // Letters first: one that is redriven meanwhile is known as the one or the other, or as both.
        for entry in log.last_of_each(&letters, Part::Headers, ALL).await? {
            if marks_count {
                self.take_mark(&entry, place);
            }
            if letters_hold {
                self.take_letter(entry, place);
            }
        }
        for entry in log.last_of_each(&layout.all_parked(Some(name)), Part::Headers, ALL).await? {
            if marks_count {
                self.take_mark(&entry, place);
            }
            self.take_parked(&entry, place);
        }
        for entry in log.last_of_each(&layout.timers(Some(name)), Part::Headers, ALL).await? {
            self.take_timer(&entry, place);
        }
        let paused = log.last(&layout.paused(name)).await?;
        place.paused = paused.is_some_and(|entry| !tombstone::is(&entry));
        let stopped = log.last(&layout.stopped(name, self.share.partition)).await?;
        place.had_stopped = stopped.is_some_and(|entry| !tombstone::is(&entry));
        let swapped = log.last(&layout.swaps(name, self.share.partition)).await?;
        place.swapped =
            swapped.and_then(|entry| Swap::read(&entry).ok()).map(|swap| swap.runs()).unwrap_or_default();
        let outage = log.last(&layout.outage(name, self.share.partition)).await?;
        place.outage = outage.and_then(|entry| Outage::read(&entry).ok());
        Ok(())
    }

    /// The subjects on which this handler can have written a mark, and the lease. An app of many handlers has
    /// many entries that are of no interest to one of them.
    fn where_marks_stand(&self, held: &Held) -> Vec<Pattern> {
        if self.events.is_empty() {
            return Vec::new();
        }
        let name = &self.spec.name;
        let own = [
            self.layout.states(name),
            (&self.layout.handled(name, self.share.partition)).into(),
            self.layout.dead_letters(Some(name)),
            self.layout.all_parked(Some(name)),
            self.layout.timers(Some(name)),
            self.layout.outboxes(Some(name)),
            (&held.subject).into(),
        ];
        self.events.iter().cloned().chain(own).collect()
    }

    fn take_mark(&self, entry: &Entry, place: &mut Place) {
        let Some(mark) = Mark::of(&entry.headers) else { return };
        if !self.is_own(&mark, entry) {
            return;
        }
        place.watermark = place.watermark.max(mark.watermark);
        let told = mark.told();
        place.handled.extend(&told);
        let (layout, name) = (self.layout, &self.spec.name);
        if let Some(key) = layout.state_key(name, &entry.subject) {
            place.told_by_state.insert(key, told);
        } else if let Some(id) = layout.timer_id(name, &entry.subject) {
            place.told_by_state.insert(timers::slot(&id), told);
        }
    }

    fn take_parked(&self, entry: &Entry, place: &mut Place) {
        if tombstone::is(entry) {
            return;
        }
        match parked::About::read(entry) {
            Ok(about) => {
                let position = about.original.position;
                if !self.share.has(about.original.key.as_deref(), position) {
                    return;
                }
                let timer = self.layout.timer_id(&self.spec.name, &about.original.subject);
                place.fired.extend(timer.map(|id| (id, position)));
                place.parked.push((position, partition::parked_of(&about, partition::told(entry))));
            }
            Err(error) => tracing::warn!(%error, "an event stays parked"),
        }
    }

    fn take_letter(&self, entry: Entry, place: &mut Place) {
        if tombstone::is(&entry) {
            return;
        }
        let stands = entry.position;
        match DeadLetter::read(entry).map(|letter| letter.about) {
            Ok(about) => {
                let (position, key) = (about.original.position, about.original.key);
                let key = key.filter(|key| about.holds_key && self.share.has(Some(key.as_str()), position));
                place.letters.extend(key.map(|key| Letter { position, key: Key::from(key), entry: stands }));
            }
            Err(error) => tracing::warn!(%error, "a dead letter holds no key"),
        }
    }

    fn take_timer(&self, entry: &Entry, place: &mut Place) {
        let Some(id) = self.layout.timer_id(&self.spec.name, &entry.subject) else { return };
        if tombstone::is(entry) {
            return;
        }
        match timer::About::read(entry) {
            Ok(about) if self.share.has(about.key.as_deref(), entry.position) => {
                place.timers.push((id, entry.position, about.due));
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "a timer never fires"),
        }
    }

    /// Whether this handler wrote the mark: on the app's own subjects others publish too, and relays copy
    /// headers.
    ///
    /// What a handler emits names it as its source, and a mark tells only of inputs that were there before it.
    fn is_own(&self, mark: &Mark, entry: &Entry) -> bool {
        let name = &self.spec.name;
        let source = || entry.headers.get("ce-source") == Some(self.layout.source(name).as_str());
        let last = match self.inputs.origin {
            // Its end may be told too early just after another of its servers leads.
            Some(_) => Position(u64::MAX),
            None => entry.position.previous(),
        };
        let mut told = mark.also.iter().chain([&mark.input, &mark.watermark]);
        (&mark.whose, &mark.share) == (&self.layout.named(name), &self.share)
            && told.all(|position| *position <= last)
            && (self.layout.everything().matches(entry.subject.as_str()) || source())
    }
}

impl Place {
    fn tidy(&mut self) {
        let watermark = self.watermark;
        self.handled.retain(|position| *position > watermark);
        self.former.retain(|former| former.reaches() > watermark);
        self.told_by_state.retain(|_, told| {
            told.retain(|position| *position > watermark);
            !told.is_empty()
        });
    }
}
