//! Finding a partition's place after its lease was taken: the checkpoint, and the marks written since.

use std::collections::{BTreeSet, HashMap};

use waxwing_event::{HandlerName, HandlerSpec, Pattern, Position, handler::Start};

use crate::{
    entry::{Checkpoint, EntryError, Layout, Mark, Partition},
    lease::Held,
    port::{
        Log,
        log::{Entry, Part, ReadError},
    },
};

/// Where a partition goes on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// Every input up to here is handled.
    pub watermark: Position,
    /// Inputs above the watermark that are handled too.
    pub handled: BTreeSet<Position>,
    /// For each state key, the inputs above the watermark of which its current entry tells.
    pub told_by_state: HashMap<String, Vec<Position>>,
    /// True where no checkpoint was ever saved.
    pub is_new: bool,
}

/// Why a partition's place was not found.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// The log could not be read; trying again may help.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The checkpoint is damaged.
    #[error("{0}: delete that entry to handle the whole log anew, or restore it")]
    Checkpoint(#[from] EntryError),
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
        matches!(self, RecoveryError::Read(_))
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
    pub partition: Partition,
}

impl Recovery<'_> {
    /// Finds the place of a partition whose lease is held.
    pub async fn find(&self, held: &Held) -> Result<Place, RecoveryError> {
        let bounds = self.log.bounds().await?;
        let subject = self.layout.checkpoint(&self.spec.name, self.partition);
        let checkpoint = match self.log.last(&subject).await? {
            Some(entry) => Some(checked(&entry, bounds.last)?),
            None => None,
        };
        let is_new = checkpoint.is_none();
        let start = match self.spec.start {
            Start::First => bounds.first.previous(),
            Start::New => held.fence,
        };
        let Checkpoint { watermark, handled, marks_after } =
            checkpoint.unwrap_or(Checkpoint { watermark: start, ..Checkpoint::default() });
        let handled = handled.into_iter().collect();
        let mut place = Place { watermark, handled, told_by_state: HashMap::new(), is_new };
        if !(held.first && is_new) {
            self.collect_marks(marks_after.next(), held, &mut place).await?;
        }
        place.tidy();
        Ok(place)
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
                place.take_mark(self.layout, &self.spec.name, self.partition, &entry);
            }
        }
    }

    /// The subjects on which this handler can have written a mark, and the lease. An app of many handlers has
    /// many entries that are of no interest to one of them.
    fn where_marks_stand(&self, held: &Held) -> Vec<Pattern> {
        if self.events.is_empty() {
            return Vec::new();
        }
        let name = &self.spec.name;
        let own = [self.layout.states(name), self.layout.dead_letters(Some(name)), (&held.subject).into()];
        self.events.iter().cloned().chain(own).collect()
    }
}

/// A checkpoint that belongs to this log, which ends at `last`.
fn checked(entry: &Entry, last: Position) -> Result<Checkpoint, RecoveryError> {
    let saved = Checkpoint::read(entry)?;
    let (watermark, told, position) = (saved.watermark, saved.reaches(), entry.position);
    let checkpoint = entry.subject.to_string();
    if watermark > last {
        Err(RecoveryError::LogTooShort { last, watermark, checkpoint })
    } else if told >= position {
        Err(RecoveryError::OtherPositions { position, told, checkpoint })
    } else {
        Ok(saved)
    }
}

/// Whether this handler wrote the mark: on the app's own subjects others publish too, and relays copy headers.
///
/// What a handler emits names it as its source, and a mark tells of what lies before it only.
fn is_own(layout: &Layout, mark: &Mark, entry: &Entry) -> bool {
    let source = || entry.headers.get("ce-source") == Some(layout.source(&mark.handler).as_str());
    let mut told = mark.also.iter().chain([&mark.input, &mark.watermark]);
    told.all(|position| *position < entry.position)
        && (layout.everything().matches(entry.subject.as_str()) || source())
}

impl Place {
    fn take_mark(&mut self, layout: &Layout, handler: &HandlerName, partition: Partition, entry: &Entry) {
        let Some(mark) = Mark::of(&entry.headers) else { return };
        if mark.handler != *handler || mark.partition != partition || !is_own(layout, &mark, entry) {
            return;
        }
        self.watermark = self.watermark.max(mark.watermark);
        let told: Vec<Position> = mark.also.iter().copied().chain([mark.input]).collect();
        self.handled.extend(&told);
        if let Some(key) = layout.state_key(handler, &entry.subject) {
            self.told_by_state.insert(key, told);
        }
    }

    fn tidy(&mut self) {
        let watermark = self.watermark;
        self.handled.retain(|position| *position > watermark);
        self.told_by_state.retain(|_, told| {
            told.retain(|position| *position > watermark);
            !told.is_empty()
        });
    }
}
