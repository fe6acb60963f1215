//! The link: a process's way to the server, on which everything takes time and may get lost.
//!
//! It keeps the promises of the log's port and no more: commits of one entry arrive in their order, a commit
//! whose answer is lost may have been written, or may still be; reads may fail.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::sync::mpsc;
use waxwing_engine::port::{
    Log,
    log::{Bounds, CommitError, Done, Entry, NewEntry, Part, ReadError, Reader},
};
use waxwing_event::{Pattern, Position, Subject};

use super::{
    life::{Dead, Life},
    server::{MAX_ENTRY_BYTES, shown},
    trace::Seen,
};

/// The log, as one process sees it.
pub struct Link {
    life: Arc<Life>,
    single: mpsc::UnboundedSender<Parcel>,
}

/// A commit on its way.
struct Parcel {
    entries: Vec<NewEntry>,
    done: Done,
    fate: Fate,
    /// When it arrives; none: its process was paused when it was to be sent.
    arrives: Option<Duration>,
}

/// What becomes of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Answered,
    Unanswered,
    Lost,
    Late,
}

impl Link {
    pub fn new(life: Arc<Life>) -> Link {
        let (single, mut parcels) = mpsc::unbounded_channel::<Parcel>();
        let of = life.clone();
        tokio::spawn(async move {
            while let Some(parcel) = parcels.recv().await {
                parcel.carry(&of).await;
            }
        });
        Link { life, single }
    }

    fn fate(&self) -> Fate {
        let (dice, weather) = (&self.life.world.dice, &self.life.world.weather);
        match weather.faults() {
            Some(faults) if dice.percent(faults.lost) => Fate::Lost,
            Some(faults) if dice.percent(faults.unanswered) => Fate::Unanswered,
            Some(faults) if dice.percent(faults.late) => Fate::Late,
            _ => Fate::Answered,
        }
    }

    /// A question to the server, and its answer.
    async fn ask<T>(
        &self,
        what: &str,
        question: impl Future<Output = Result<T, ReadError>>,
    ) -> Result<T, ReadError> {
        self.life.step(Seen::CrashInARead)?;
        self.life.way().await?;
        self.life.server_for_reading(what).await?;
        let answer = question.await;
        self.life.way().await?;
        self.life.step(Seen::CrashInARead)?;
        self.life.note(format_args!("reads {what}"));
        answer
    }
}

#[async_trait]
impl Log for Link {
    async fn bounds(&self) -> Result<Bounds, ReadError> {
        self.ask("the bounds", self.life.world.server.log.bounds()).await
    }

    async fn read(
        &self,
        from: Position,
        subjects: &[Pattern],
        part: Part,
    ) -> Result<Box<dyn Reader>, ReadError> {
        let reader = self.life.world.server.log.read(from, subjects, part);
        let reader = self.ask(&format!("on from {from}"), reader).await?;
        Ok(Box::new(LinkReader { life: self.life.clone(), reader, got: Vec::new() }))
    }

    fn commit(&self, entries: Vec<NewEntry>, done: Done) {
        if self.life.step(Seen::CrashBeforeACommit).is_err() {
            return;
        }
        let world = &self.life.world;
        let fate = self.fate();
        let arrives = self.life.is_awake().then(|| world.clock.elapsed() + world.weather.way(&world.dice));
        self.life.note(format_args!("commits {} ({fate:?})", shown(&entries)));
        let in_order = entries.len() == 1 && fate != Fate::Late;
        let parcel = Parcel { entries, done, fate, arrives };
        if in_order {
            // The pipe ends with the last link to it.
            drop(self.single.send(parcel));
        } else {
            let life = self.life.clone();
            tokio::spawn(async move { parcel.carry(&life).await });
        }
    }

    async fn last(&self, subject: &Subject) -> Result<Option<Entry>, ReadError> {
        self.ask(&format!("the last of {subject}"), self.life.world.server.log.last(subject)).await
    }

    async fn at(&self, position: Position, part: Part) -> Result<Option<Entry>, ReadError> {
        self.ask(&format!("what stands at {position}"), self.life.world.server.log.at(position, part)).await
    }

    async fn last_of_each(
        &self,
        subjects: &Pattern,
        part: Part,
        limit: usize,
    ) -> Result<Vec<Entry>, ReadError> {
        let question = self.life.world.server.log.last_of_each(subjects, part, limit);
        self.ask(&format!("the last of each {subjects}"), question).await
    }

    async fn remove(&self, subjects: &Pattern, up_to: Position) -> Result<(), ReadError> {
        let question = self.life.world.server.log.remove(subjects, up_to);
        self.ask(&format!("{subjects} up to {up_to} away"), question).await
    }

    fn max_entry_bytes(&self) -> usize {
        MAX_ENTRY_BYTES
    }
}

impl Parcel {
    /// Takes a commit to the server; its answer comes back by itself.
    async fn carry(self, life: &Arc<Life>) {
        let Parcel { entries, done, fate, arrives } = self;
        let world = &life.world;
        let was_paused = arrives.is_none();
        if was_paused && life.awake().await.is_err() {
            return;
        }
        let arrives = arrives.unwrap_or_else(|| world.clock.elapsed() + world.weather.way(&world.dice));
        if fate == Fate::Late {
            world.trace.count(Seen::CommitLate);
            answer(life, done, Err(unknown()));
            world.clock.wait(world.dice.spread(Duration::from_secs(8))).await;
            if let Err(CommitError::Refused(_)) = world.server.commit(&life.name, entries) {
                world.trace.count(Seen::LateCommitRefused);
            }
            return;
        }
        world.clock.wait_until(arrives).await;
        if fate == Fate::Lost || !world.server.is_here() {
            world.trace.count(Seen::CommitLost);
            life.note(format_args!("has lost {}", shown(&entries)));
            let unavailable = CommitError::Unavailable("no way to the server".to_owned());
            answer(life, done, Err(if world.dice.percent(50) { unavailable } else { unknown() }));
            return;
        }
        let end = world.server.commit(&life.name, entries);
        if was_paused && matches!(end, Err(CommitError::Refused(_))) {
            world.trace.count(Seen::ZombieCommitRefused);
        }
        if fate == Fate::Unanswered {
            world.trace.count(Seen::AnswerLost);
            return answer(life, done, Err(unknown()));
        }
        answer(life, done, end);
    }
}

fn unknown() -> CommitError {
    CommitError::Unknown("the answer was lost".to_owned())
}

/// Sends the answer back, without waiting for its arrival.
fn answer(life: &Arc<Life>, done: Done, end: Result<waxwing_engine::port::log::Committed, CommitError>) {
    let life = life.clone();
    tokio::spawn(async move {
        if life.way().await.is_ok() && life.step(Seen::CrashBeforeAnAnswer).is_ok() {
            done(end);
        }
    });
}

impl Life {
    /// The time to the server, or back; a paused process takes longer.
    async fn way(&self) -> Result<(), Dead> {
        self.world.clock.wait(self.world.weather.way(&self.world.dice)).await;
        self.awake().await
    }

    async fn server_for_reading(&self, what: &str) -> Result<(), ReadError> {
        let (dice, server) = (&self.world.dice, &self.world.server);
        let fails = self.world.weather.faults().is_some_and(|faults| dice.percent(faults.unread));
        if fails || (!server.is_here() && dice.percent(50)) {
            self.note(format_args!("cannot read {what}"));
            self.world.trace.count(Seen::ReadFailed);
            return Err(ReadError::Unavailable("no way to the server".to_owned()));
        }
        server.is_back().await;
        Ok(())
    }
}

impl From<Dead> for ReadError {
    fn from(_: Dead) -> ReadError {
        ReadError::Unavailable("this process is dead".to_owned())
    }
}

/// Reads on over a link, in pieces of any size.
struct LinkReader {
    life: Arc<Life>,
    reader: Box<dyn Reader>,
    /// What has been read and not yet been handed on: kept when the one who waits for it goes away.
    got: Vec<Entry>,
}

#[async_trait]
impl Reader for LinkReader {
    async fn next(&mut self, max: usize) -> Result<Vec<Entry>, ReadError> {
        if self.got.is_empty() {
            let dice = &self.life.world.dice;
            let piece = dice.pick(&[1, 3, 20, max]).min(max);
            self.got = self.reader.next(piece).await?;
        }
        self.life.way().await?;
        self.life.step(Seen::CrashInARead)?;
        self.life.server_for_reading("on").await?;
        let (first, last) = (self.got[0].position, self.got[self.got.len() - 1].position);
        self.life.note(format_args!("reads {first} to {last}"));
        Ok(std::mem::take(&mut self.got))
    }
}
