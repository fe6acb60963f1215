//! `waxwing rebuild`: builds the state of a handler anew from the log, beside the one that is live, and switches.

mod building;
mod course;
mod plan;
mod report;
mod watcher;

use std::{collections::BTreeMap, process::ExitCode, sync::Arc, time::Duration};

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use waxwing_engine::{
    Ports,
    entry::{
        Checkpoint, DeadLetter, Layout, Partition,
        deploy::Reason,
        generation::{Generation, Generations, Kind, Other},
        parked, state, tombstone,
    },
    gauges::Gauges,
    generations::{
        standstill::Asks,
        switch::{Handover, Switch},
    },
    lease,
    port::{
        Outside,
        clock::SystemClock,
        log::{Entry, NewEntry, Part},
    },
};
use waxwing_event::{AppName, HandlerName, HandlerSpec, Position, handler::View};

use self::{
    building::{Building, LOOK_EVERY},
    course::{Course, Far},
    plan::{Plan, Wish, plan},
    report::{Failed, Report},
    watcher::Watcher,
};
use super::{
    General,
    deploy::{
        outcome::by,
        plan::imports,
        signing::{Signing, sign},
    },
    found, generation,
    interrupt::Interrupts,
    logging,
    output::{self, Output, say},
    place::Place,
    stage::Stage,
    style::{END, NAME},
};
use crate::{
    assemble,
    config::Manifest,
    deploy::{
        deployed,
        written::{self, Wanted},
    },
    identity::Identity,
    nats::Target,
    own_folder::OwnFolder,
    signature::{Claim, Signer},
};

/// How long the owner of the live generation may take to give way.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long hosts may take to go on after a switch.
const TAKE_OVER_TIME: Duration = Duration::from_secs(5);

/// What an error says then.
const NOT_SWITCHED: &str = "not switched: the old generation goes on, and what was built is kept";

/// Builds a handler's state anew from the log, beside the live one, and switches to it
///
/// The handler's present module handles the events of the log from the oldest on. Nothing leaves the state that is made:
/// emitted events and timers are withheld. Hosts go on with the old state meanwhile, and requests are answered from it.
/// When the new one has caught up, one commit switches: hosts go on with the new one. It is resumed where it was when it
/// is run again after an interruption. Where events fail that did not fail before, it does not switch.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    waxwing rebuild order-view\n  \
    waxwing rebuild order-view --no-switch\n  \
    waxwing rebuild order-view --back\n  \
    waxwing rebuild order-view --discard")]
pub(super) struct Rebuild {
    /// The app [default: that of the manifest]
    #[arg(long, value_name = "NAME")]
    app: Option<AppName>,
    /// The handler
    handler: HandlerName,
    /// Begin anew, whatever was built before
    #[arg(long, conflicts_with_all = ["back", "discard"])]
    anew: bool,
    /// Switch back to what was live before the last switch, when it has caught up
    #[arg(long, conflicts_with = "discard")]
    back: bool,
    /// Remove what is not live: built and not switched to, or live before
    #[arg(long)]
    discard: bool,
    /// Build, and leave the switch for later: run it again without this
    #[arg(long, conflicts_with = "discard")]
    no_switch: bool,
    /// Switch though events have failed, or wait in the live generation
    #[arg(long, conflicts_with_all = ["discard", "no_switch"])]
    force: bool,
    #[command(flatten)]
    signing: Signing,
}

/// What was built.
struct Done {
    far: Far,
    failed: Vec<Failed>,
}

/// A rebuild under way.
struct Work<'a> {
    rebuild: &'a Rebuild,
    place: &'a Place,
    manifest: &'a Manifest,
    stage: &'a Stage,
    identity: Identity,
    target: Target,
    ports: Ports,
    watcher: Arc<Watcher>,
    signers: Vec<Signer>,
}

impl Rebuild {
    pub(super) async fn execute(&self, general: &General) -> Result<ExitCode> {
        let place = Place::find(self.app.as_ref(), general).await?;
        logging::begin(general, logging::Level::Usual);
        if self.discard {
            return self.discard(&place, general).await;
        }
        let signers = self.signing.signers()?;
        let stage = Stage::set(place.manifest.as_ref(), &self.handler, "a rebuild", general)?;
        let Some(manifest) = &place.manifest else { bail!("a rebuild needs the app's manifest") };
        check(&stage.spec)?;
        let target = found::target(general)?;
        let watcher = Arc::new(Watcher::new());
        let outside = assemble::outside(&manifest.config, &target).await?;
        let ports = Ports {
            outside: Outside { streams: outside.streams, ..Outside::default() },
            ..Ports::new(place.log.clone(), Arc::new(SystemClock), watcher.clone())
        };
        let identity = OwnFolder::open(&manifest.folder)?.identity()?;
        let (place, stage) = (&place, &stage);
        let work = Work { rebuild: self, place, manifest, stage, identity, target, ports, watcher, signers };
        match work.run().await? {
            Some(report) => report.show(general),
            None => Ok(ExitCode::FAILURE),
        }
    }

    fn wish(&self) -> Wish {
        if self.anew {
            Wish::Anew
        } else if self.back {
            Wish::Back
        } else {
            Wish::Build
        }
    }

    async fn discard(&self, place: &Place, general: &General) -> Result<ExitCode> {
        place.expect(std::slice::from_ref(&self.handler)).await?;
        let (before, position) = generation::look(place, &self.handler, None).await?;
        let other = before.other.as_ref().map(|other| other.generation);
        let Some(generation) = other else {
            bail!("there is nothing to discard: handler `{}` has its live generation alone", self.handler);
        };
        generation::remove(place, &self.handler, (&before, position)).await?;
        match general.output {
            Output::Json => {
                output::json(&serde_json::json!({ "handler": self.handler, "discarded": generation }))?
            }
            Output::Text => say!("{NAME}{}{END}: generation {generation} is removed", self.handler)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Whether a handler's state can be built from events at all.
fn check(spec: &HandlerSpec) -> Result<()> {
    let name = &spec.name;
    if spec.on.is_empty() {
        bail!("handler `{name}` hears no events of a log (`on`): there is nothing to build its state from");
    }
    if spec.aggregate.is_some() {
        bail!(
            "handler `{name}` keeps its aggregates as histories of events: these are what happened, and are not \
             rebuilt. What its state holds of them is made anew by itself when its module changes"
        );
    }
    Ok(())
}

impl Work<'_> {
    /// Builds and switches; none where it was interrupted.
    async fn run(self) -> Result<Option<Report>> {
        let name = &self.rebuild.handler;
        let (before, position) = generation::look(self.place, name, Some(self.identity.id())).await?;
        let live = self.place.layout.at(name, before.live);
        if self.watermark(&live).await?.is_none() {
            bail!("handler `{name}` has never run: its state is built when it does, see `waxwing run`");
        }
        if !before.partitions.is_one() {
            bail!(
                "handler `{name}` has {} partitions: a generation is built of one that has a single partition; set \
                 `partitions` to 1, rebuild, and set it again",
                before.partitions.0
            );
        }
        let generation = self.prepare(&before, position).await?;
        let built = self.place.layout.at(name, generation);
        let mut building = self.begin(generation, &live, &built).await?;
        let gauges = building.gauges.clone();
        let switch = self.switch();
        let mut interrupts = Interrupts::listen()?;
        let done = tokio::select! {
            done = self.build(&mut building, &live, &built) => done.map(Some),
            signal = interrupts.next() => signal.map(|_| None),
            why = self.watcher.stopped() => Err(anyhow!("handler `{name}` cannot be rebuilt: {why}")),
        };
        let had_owner = self.has_owner(&live).await;
        // From here on it ends by itself, in a bounded time, and leaves nothing half done.
        let done = match done {
            Ok(Some(done)) if self.is_wanted(&done.failed) => {
                self.hand_over(&mut building, &switch, &live, &built).await.map(Some)
            }
            Ok(Some(done)) => Ok(Some((done, None))),
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        };
        building.end(self.manifest.config.host.grace).await;
        let Some((Done { far, failed }, handover)) = done? else {
            anstream::eprintln!("stopped: run it again to go on");
            return Ok(None);
        };
        let switched = match handover {
            Some(handover) => {
                let deployed = self.deployed().await;
                let deployed = match deployed {
                    Ok(deployed) => deployed,
                    Err(error) => {
                        handover.give_up().await;
                        return Err(error.context(NOT_SWITCHED));
                    }
                };
                Some(handover.finish(deployed).await.context(NOT_SWITCHED)?.live)
            }
            None => None,
        };
        let mut runs = true;
        if switched.is_some() {
            self.show_state().await.context("switched, but the bucket still shows the former generation")?;
            runs = !had_owner? || self.is_taken_over(&built).await?;
        }
        Ok(Some(Report {
            handler: name.clone(),
            generation,
            events: far.done,
            keys: self.keys(&built).await?,
            withheld_events: Gauges::read(&gauges.withheld_events),
            withheld_timers: Gauges::read(&gauges.withheld_timers),
            failed,
            switched: switched.is_some(),
            live: switched.unwrap_or(before.live),
            runs,
            is_way_back: self.rebuild.back,
        }))
    }

    /// Builds until the live generation has nothing more to do that this one has not.
    async fn build(&self, building: &mut Building, live: &Layout, built: &Layout) -> Result<Done> {
        let until = async || Ok(self.watermark(live).await?.unwrap_or_default());
        let far = building.catch_up(until).await?;
        Ok(Done { far, failed: self.failed(live, built).await? })
    }

    /// Lets the owner of the live generation give way, and builds the rest; none where events of that fail.
    async fn hand_over<'s>(
        &self,
        building: &mut Building,
        switch: &'s Switch,
        live: &Layout,
        built: &Layout,
    ) -> Result<(Done, Option<Handover<'s>>)> {
        let stop = CancellationToken::new();
        let end = stop.clone();
        let _patience = AbortOnDropHandle::new(tokio::spawn(async move {
            tokio::time::sleep(PATIENCE).await;
            end.cancel();
        }));
        let generation = built.generation(&self.rebuild.handler);
        let handover = switch.begin(generation, &stop).await.context(NOT_SWITCHED)?;
        let rest = async {
            let far = building.catch_up(async || Ok(handover.watermark())).await?;
            anyhow::Ok(Done { far, failed: self.failed(live, built).await? })
        };
        let done = tokio::select! {
            done = tokio::time::timeout(PATIENCE, rest) => {
                done.context("the last events take too long").and_then(|done| done)
            }
            why = self.watcher.stopped() => Err(anyhow!("it cannot go on: {why}")),
        };
        match done {
            Ok(done) if self.is_wanted(&done.failed) => Ok((done, Some(handover))),
            done => {
                handover.give_up().await;
                Ok((done.context(NOT_SWITCHED)?, None))
            }
        }
    }

    /// What deploys the module that has built the state, where another is deployed: the switch holds it, so that none runs
    /// on what it has not made.
    async fn deployed(&self) -> Result<Vec<NewEntry>> {
        let (log, layout) = self.place.at();
        let name = &self.rebuild.handler;
        let Some((deployment, position)) = deployed::decision(log, layout, name).await? else {
            return Ok(Vec::new());
        };
        let Some(number) = deployment.version else { return Ok(Vec::new()) };
        let Stage { table, from, bytes, module, .. } = self.stage;
        let digest = module.digest();
        if deployed::version(log, layout, name, number).await?.module == digest {
            return Ok(Vec::new());
        }
        let config = &self.manifest.config;
        let store = assemble::modules(&config.app, &self.target);
        store.put(digest, bytes, assemble::kept_on(config)?).await?;
        let claim = Claim { app: layout.app(), handler: name, module: digest, manifest: table };
        let signatures = sign(&self.signers, &claim)?;
        // Hosts would decline it when the state is another module's already.
        let required = config.require_signature.and(&config.host.require_signature);
        required.check(&claim, &signatures).context("hosts would not run the module that has built it")?;
        let wanted = Wanted {
            handler: name.clone(),
            module: digest,
            bytes: bytes.len() as u64,
            imports: imports(bytes).unwrap_or_default(),
            manifest: table.clone(),
            from: from.clone(),
            signatures,
            replaces: Some((deployment, position)),
        };
        Ok(written::next(layout, &wanted, Reason::Rebuilt, &by()).1)
    }

    /// Whether it is to be switched to what was built.
    fn is_wanted(&self, failed: &[Failed]) -> bool {
        !self.rebuild.no_switch && (failed.is_empty() || self.rebuild.force)
    }

    async fn begin(&self, generation: Generation, live: &Layout, built: &Layout) -> Result<Building> {
        let (config, spec) = (&self.manifest.config, &self.stage.spec);
        let options = assemble::options(config, &self.identity);
        let course = Course::open(self.place, spec, &self.target).await?;
        let begun = self.watermark(built).await?.unwrap_or_default();
        let until = self.watermark(live).await?.unwrap_or_default();
        let (world, handler) = ((options, self.ports.clone()), (spec, self.stage.module.clone()));
        Building::begin(course, world, handler, generation, (begun, until)).await
    }

    /// Makes room for the generation to build, and says so in the log.
    async fn prepare(&self, before: &Generations, position: Position) -> Result<Generation> {
        let (place, name) = (self.place, &self.rebuild.handler);
        let module = self.stage.module.digest();
        match plan(before, self.rebuild.wish(), module).map_err(anyhow::Error::msg)? {
            Plan::GoOn(generation) => {
                anstream::eprintln!("going on with generation {generation} of {NAME}{name}{END}");
                Ok(generation)
            }
            Plan::Begin(generation) => {
                let other = Other { generation, module: Some(module), kind: Kind::Built };
                generation::begin(place, name, (before, position), other).await?;
                anstream::eprintln!("building generation {generation} of {NAME}{name}{END}");
                Ok(generation)
            }
        }
    }

    fn switch(&self) -> Switch {
        let config = &self.manifest.config;
        Switch {
            asks: Asks {
                ports: self.ports.clone(),
                layout: self.place.layout.clone(),
                events: config.events.clone(),
                spec: Arc::new(self.stage.spec.clone()),
                host: self.identity.id().to_owned(),
                lease: config.host.lease,
            },
            module: self.stage.module.digest(),
            leaves_what_waits: self.rebuild.force,
        }
    }

    /// Lets the bucket follow the generation that is live, where the handler has one.
    async fn show_state(&self) -> Result<()> {
        if self.stage.spec.publish == Some(View::Kv) {
            assemble::open_log(&self.manifest.config, &self.target).await?;
        }
        Ok(())
    }

    /// How many keys there are in a generation's state.
    async fn keys(&self, layout: &Layout) -> Result<usize> {
        let states = layout.states(&self.rebuild.handler);
        let entries = self.place.log.last_of_each(&states, Part::Headers, usize::MAX).await?;
        Ok(entries.iter().filter(|entry| entry.headers.get(state::DELETED_HEADER).is_none()).count())
    }

    /// True where a host that lives runs a generation.
    async fn has_owner(&self, layout: &Layout) -> Result<bool> {
        let (log, handler) = (self.place.log.as_ref(), &self.rebuild.handler);
        let owner = lease::owner(log, layout, handler, Partition(0)).await?;
        Ok(owner.is_some_and(|host| host != self.identity.id()))
    }

    /// Waits until a host goes on with what is live now; false where none does.
    async fn is_taken_over(&self, layout: &Layout) -> Result<bool> {
        let mut left = TAKE_OVER_TIME;
        while !self.has_owner(layout).await? {
            if left.is_zero() {
                return Ok(false);
            }
            tokio::time::sleep(LOOK_EVERY).await;
            left = left.saturating_sub(LOOK_EVERY);
        }
        Ok(true)
    }

    /// Up to where a generation has handled everything; none where it has never run.
    async fn watermark(&self, layout: &Layout) -> Result<Option<Position>> {
        let subject = layout.checkpoint(&self.rebuild.handler, Partition(0));
        let entry = self.place.log.last(&subject).await?;
        Ok(entry.map(|entry| Checkpoint::read(&entry)).transpose()?.map(|checkpoint| checkpoint.watermark))
    }

    /// Events that failed in the one that is built, and not in the live one.
    async fn failed(&self, live: &Layout, built: &Layout) -> Result<Vec<Failed>> {
        let before = self.waiting(live).await?;
        let now = self.waiting(built).await?;
        let failed = now.into_iter().filter(|(position, _)| !before.contains_key(position));
        // One that waits behind another of its key has not failed.
        Ok(failed.filter_map(|(position, reason)| Some(Failed { position, reason: reason? })).collect())
    }

    /// Events that have failed and are not done, with the reason; none: it waits behind another of its key.
    async fn waiting(&self, layout: &Layout) -> Result<BTreeMap<Position, Option<String>>> {
        let name = Some(&self.rebuild.handler);
        let mut waiting = BTreeMap::new();
        for subjects in [layout.all_parked(name), layout.dead_letters(name), layout.all_archived(name)] {
            let entries = self.place.log.last_of_each(&subjects, Part::Headers, usize::MAX).await?;
            let standing = entries.into_iter().filter(|entry| !tombstone::is(entry));
            waiting
                .extend(standing.filter_map(|entry| Some((Layout::position(&entry.subject)?, why(entry)))));
        }
        Ok(waiting)
    }
}

/// Why an event waits, or is dead; none where it waits behind another.
fn why(entry: Entry) -> Option<String> {
    match parked::About::read(&entry) {
        Ok(about) => about.failures.last().map(|failure| failure.reason.clone()),
        Err(_) => {
            Some(DeadLetter::read(entry).map_or_else(|error| error.to_string(), |letter| letter.about.reason))
        }
    }
}
