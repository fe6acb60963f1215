//! The session: one thing after the other, until it ends. A look at the disk goes on beside it, one at a time; what changes
//! meanwhile leads to one more.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use tokio::{
    task::JoinHandle,
    time::{MissedTickBehavior, interval},
};
use waxwing_engine::port::observe::{OutboxChange, PartitionChange};
use waxwing_event::{Event, HandlerName};

use super::{
    super::{General, backing::Backing, interrupt::Interrupts, output::Output},
    desk::Desk,
    feed::{Feed, Happening, Heard, News, What},
    keys::{Keys, Wish},
    look::{Found, Look, Why},
    running::Running,
    screen::Screen,
    told::{Step, Told},
    watched::Watched,
    watcher::{Changes, Watcher},
};
use crate::{
    config::Manifest,
    module::{Module, ModuleSource},
};

/// Handlers are developed until somebody ends that.
pub(super) struct Session {
    general: General,
    screen: Screen,
    running: Running,
    desk: Desk,
    feed: Arc<Feed>,
    heard: Heard,
    interrupts: Interrupts,
    manifest: Manifest,
    manifest_is_right: bool,
    watcher: Arc<Mutex<Watcher>>,
    watched: Watched,
    fetched: BTreeMap<ModuleSource, Module>,
    changes: Changes,
    /// Changes that no look has seen yet.
    changed: BTreeSet<PathBuf>,
    looking: Option<JoinHandle<Found>>,
    is_ready: bool,
    /// Whether handlers are paused, as was told last.
    paused: BTreeMap<HandlerName, bool>,
    /// The last event that came from outside, else the last of all.
    last: Option<Event>,
}

/// What comes next.
enum Next {
    Signal(&'static str),
    Wish(Wish),
    Changed(BTreeSet<PathBuf>),
    Found(Box<Found>),
    Happened(Box<Happening>),
    News(News),
    Second,
}

impl Session {
    /// Sets all up; nothing runs yet.
    pub(super) async fn begin(
        manifest: Manifest,
        backing: &mut Backing,
        general: &General,
    ) -> Result<Session> {
        let interrupts = Interrupts::listen()?;
        let screen = Screen::new(general);
        let server = backing.target().map(|target| target.shown());
        screen.tell(&Told::Log { on: backing.word(), server, text: backing.line() })?;
        let desk = Desk::new(backing.log(), manifest.config.clone());
        for spec in manifest.config.handlers.iter().map(|handler| &handler.spec) {
            desk.decided(&spec.name).await?;
            if backing.target().is_none() && !(spec.request.is_empty() && spec.live.is_empty()) {
                let text = "its requests and live messages do not come: there is no NATS server".to_owned();
                screen.tell(&Told::Handler { handler: spec.name.clone(), text })?;
            }
        }
        let (feed, heard) = Feed::new();
        let feed = Arc::new(feed);
        let running = Running::begin(manifest.config.clone(), backing, feed.clone()).await?;
        let (watcher, changes) = Watcher::new()?;
        Ok(Session {
            general: general.clone(),
            screen,
            running,
            desk,
            feed,
            heard,
            interrupts,
            manifest,
            manifest_is_right: true,
            watcher: Arc::new(Mutex::new(watcher)),
            watched: Watched::default(),
            fetched: BTreeMap::new(),
            changes,
            changed: BTreeSet::new(),
            looking: None,
            is_ready: false,
            paused: BTreeMap::new(),
            last: None,
        })
    }

    /// Goes on until somebody ends it.
    pub(super) async fn run(mut self, backing: &mut Backing) -> Result<()> {
        let mut keys = Keys::listen()?;
        if keys.has_keys() && self.general.output == Output::Text {
            self.screen.help()?;
        }
        let ended = self.go_on(&mut keys, backing).await;
        // From here on the terminal is as it was.
        drop(keys);
        let told = match &ended {
            Ok(why) => self.screen.tell(&Told::Stopping { why }),
            Err(_) => Ok(()),
        };
        self.stop().await?;
        ended?;
        told
    }

    /// Ends what runs, in good order unless a second signal comes.
    async fn stop(self) -> Result<()> {
        let Session { running, mut desk, mut interrupts, manifest, .. } = self;
        let stopped = async {
            desk.resume_own().await?;
            running.drain(manifest.config.host.grace).await;
            Ok(())
        };
        tokio::select! {
            stopped = stopped => stopped,
            signal = interrupts.next() => bail!("a second {} came: stopped in the midst of things", signal?),
        }
    }

    async fn go_on(&mut self, keys: &mut Keys, backing: &mut Backing) -> Result<&'static str> {
        let mut seconds = interval(Duration::from_secs(1));
        seconds.set_missed_tick_behavior(MissedTickBehavior::Skip);
        self.look(Why::First)?;
        loop {
            let next = tokio::select! {
                signal = self.interrupts.next() => Next::Signal(signal?),
                wish = keys.next() => Next::Wish(wish),
                Some(changed) = self.changes.recv() => Next::Changed(changed),
                found = found(&mut self.looking) => Next::Found(Box::new(found?)),
                // News say what happenings are about.
                Some(news) = self.heard.news.recv() => Next::News(news),
                Some(happened) = self.heard.happenings.recv() => Next::Happened(Box::new(happened)),
                _ = seconds.tick() => Next::Second,
            };
            match next {
                Next::Signal(signal) => return Ok(signal),
                Next::Wish(Wish::Quit) => return Ok("quit"),
                Next::Wish(wish) => self.do_wish(wish).await?,
                Next::Changed(changed) => self.changed.extend(changed),
                Next::Found(found) => self.take_up(*found, backing).await?,
                Next::News(news) => self.hear(&news)?,
                Next::Happened(happened) => self.show(*happened)?,
                Next::Second => self.sum_up()?,
            }
            self.look_again()?;
        }
    }

    /// Looks at the disk once more, where something has changed since the last look began.
    fn look_again(&mut self) -> Result<()> {
        if self.looking.is_some() || self.changed.is_empty() {
            return Ok(());
        }
        let changed = std::mem::take(&mut self.changed);
        self.look(if self.manifest_is_right { Why::Changed(changed) } else { Why::ManifestWasWrong(changed) })
    }

    fn look(&mut self, why: Why) -> Result<()> {
        let look = Look {
            general: self.general.clone(),
            manifest: self.manifest.clone(),
            why,
            watcher: self.watcher.clone(),
            watched: self.watched.clone(),
            fetched: self.fetched.clone(),
        };
        self.screen.tell(&Told::Building { files: look.files() })?;
        self.looking = Some(tokio::task::spawn_blocking(|| look.run()));
        Ok(())
    }

    async fn take_up(&mut self, found: Found, backing: &mut Backing) -> Result<()> {
        for said in &found.said {
            anstream::eprintln!("{said}");
        }
        for failed in &found.failed {
            self.screen.tell(failed)?;
        }
        let told = self.running.take_up(&found, backing, &mut self.desk).await?;
        let is_well = found.failed.is_empty() && told.iter().all(|told| !matches!(told, Told::Failed { .. }));
        if is_well {
            let mut changed = self.running.changed(&found);
            changed.extend(told.iter().filter_map(|told| match told {
                Told::Removed { handler } => Some(handler.clone()),
                _ => None,
            }));
            self.screen.tell(&Told::Built { files: found.files.clone(), time: found.time, changed })?;
        }
        for told in &told {
            self.screen.tell(told)?;
        }
        self.manifest = found.manifest;
        self.manifest_is_right = found.manifest_is_right;
        (self.watched, self.fetched) = (found.watched, found.fetched);
        self.tell_live()
    }

    /// Tells which handlers are live by now.
    fn tell_live(&mut self) -> Result<()> {
        for told in self.running.live() {
            self.screen.tell(&told)?;
        }
        let (handlers, missing) = self.running.handlers();
        if !self.is_ready && self.running.is_settled() && !handlers.is_empty() {
            self.is_ready = true;
            let app = self.manifest.config.app.clone();
            self.screen.tell(&Told::Ready { app, handlers, missing })?;
        }
        Ok(())
    }

    fn hear(&mut self, News { at, handler, what }: &News) -> Result<()> {
        let text = match what {
            What::Shed(count) => {
                Some(format!("{count} live messages were shed: more came than can be handled"))
            }
            What::Outbox(change) => of_outbox(change),
            What::Partition(partition, change) => {
                self.running.hear(handler, (*at, *partition), change);
                self.of_partition(handler, change)
            }
        };
        if let Some(text) = text {
            self.screen.tell(&Told::Handler { handler: handler.clone(), text })?;
        }
        self.tell_live()
    }

    /// What a person should know of a partition.
    fn of_partition(&mut self, handler: &HandlerName, change: &PartitionChange) -> Option<String> {
        Some(match change {
            PartitionChange::Waiting { owner } => {
                format!("another host runs it, {owner}: it runs here when that one ends")
            }
            PartitionChange::Interrupted(why) => format!("interrupted: {why}"),
            PartitionChange::Stopped(why) => format!("stopped, somebody must help: {why}"),
            PartitionChange::Outage { reason } => {
                format!(
                    "outage, it is probed until it works again: {}",
                    reason.lines().next().unwrap_or_default()
                )
            }
            PartitionChange::OutageOver => "works again".to_owned(),
            PartitionChange::Paused => return self.notes_paused(handler, true).then(|| "paused".to_owned()),
            PartitionChange::Resumed => {
                return self.notes_paused(handler, false).then(|| "resumed".to_owned());
            }
            PartitionChange::Started { .. }
            | PartitionChange::Swapped { .. }
            | PartitionChange::Judged(_)
            | PartitionChange::Released => return None,
        })
    }

    /// Notes whether a handler is paused; true where that was not told before.
    fn notes_paused(&mut self, handler: &HandlerName, is_paused: bool) -> bool {
        self.paused.insert(handler.clone(), is_paused).unwrap_or_default() != is_paused
    }

    fn show(&mut self, happened: Happening) -> Result<()> {
        if happened.kind.is_none()
            && let Some(event) = &happened.event
            && (event.causation_id.is_none() || self.last.is_none())
        {
            self.last = Some(event.clone());
        }
        self.screen.show(happened)
    }

    /// A second is over: tells of events that were only counted.
    fn sum_up(&mut self) -> Result<()> {
        for (handler, tally) in self.feed.next_second() {
            let runs = u32::try_from(tally.events).unwrap_or(u32::MAX);
            let mean = tally.elapsed.checked_div(runs).unwrap_or_default();
            self.screen.tell(&Told::More { handler, events: tally.events, failed: tally.failed, mean })?;
        }
        Ok(())
    }

    async fn do_wish(&mut self, wish: Wish) -> Result<()> {
        let done = match wish {
            Wish::Pause => self.desk.pause_or_resume().await,
            Wish::Again => match &self.last {
                Some(event) => self.desk.publish_again(event).await,
                None => Err(anyhow::anyhow!(
                    "no event was handled yet: publish one, for example with `waxwing emit`"
                )),
            },
            Wish::Publish(line) => self.desk.publish_line(&line).await,
            Wish::Details => return self.screen.toggle_details(),
            Wish::Clear => return self.screen.clear(),
            Wish::Help => return self.screen.help(),
            Wish::Quit => return Ok(()),
        };
        let told = done.unwrap_or_else(|error| {
            let text = format!("{error:#}");
            Told::Failed { step: Step::Wish, handler: None, files: Vec::new(), text }
        });
        if let Told::Paused { handlers } | Told::Resumed { handlers } = &told {
            let is_paused = matches!(told, Told::Paused { .. });
            self.paused.extend(handlers.iter().map(|handler| (handler.clone(), is_paused)));
        }
        self.screen.tell(&told)
    }
}

/// What a look has found; never, where nobody looks.
async fn found(looking: &mut Option<JoinHandle<Found>>) -> Result<Found> {
    let Some(handle) = looking else { return std::future::pending().await };
    let found = handle.await;
    *looking = None;
    found.context("looking at the disk was interrupted")
}

/// What a person should know of an outbox.
fn of_outbox(change: &OutboxChange) -> Option<String> {
    Some(match change {
        OutboxChange::Stalled { subject, why } => format!("nothing goes out, `{subject}` waits: {why}"),
        OutboxChange::SetAside { subject, why, .. } => format!("`{subject}` is refused outside: {why}"),
        OutboxChange::Interrupted(why) => format!("relaying was interrupted: {why}"),
        OutboxChange::Started { .. } | OutboxChange::Relayed { .. } | OutboxChange::Released => return None,
    })
}
