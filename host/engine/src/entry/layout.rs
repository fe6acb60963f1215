//! Where in the log the host's own entries stand: everything lies under `wx.<app>.`.

use std::{collections::BTreeMap, sync::Arc};

use waxwing_event::{AppName, HandlerName, HandlerSpec, Pattern, Position, Subject};

use super::{
    Partition, Partitions,
    generation::{Generation, GenerationName},
    state,
    version::VersionNumber,
};

/// Whose entries under `wx.<app>.<family>.` are a generation's own; those of other families are the handler's.
const OF_GENERATIONS: [&str; 9] =
    ["lease", "checkpoint", "handled", "state", "parked", "dead", "archive", "outage", "stopped"];

/// The subjects of one app, with one generation of each handler.
#[derive(Debug, Clone)]
pub struct Layout {
    app: AppName,
    /// The generations of handlers that are not their first.
    generations: Arc<BTreeMap<HandlerName, Generation>>,
    /// Into how many partitions those handlers are divided that are.
    partitions: Arc<BTreeMap<HandlerName, Partitions>>,
}

impl Layout {
    /// The layout of this app, with the first generation of each handler.
    pub fn new(app: AppName) -> Layout {
        Layout { app, generations: Arc::default(), partitions: Arc::default() }
    }

    /// The same with this generation of a handler.
    pub fn at(&self, handler: &HandlerName, generation: Generation) -> Layout {
        let mut generations = self.generations.as_ref().clone();
        generations.insert(handler.clone(), generation);
        Layout { generations: Arc::new(generations), ..self.clone() }
    }

    /// The same with a handler divided into so many partitions.
    pub fn divided(&self, handler: &HandlerName, partitions: Partitions) -> Layout {
        let mut divided = self.partitions.as_ref().clone();
        divided.insert(handler.clone(), partitions);
        Layout { partitions: Arc::new(divided), ..self.clone() }
    }

    /// The partitions of a handler, as far as this layout was told of them.
    pub fn partitions(&self, handler: &HandlerName) -> impl Iterator<Item = Partition> {
        self.partitions.get(handler).copied().unwrap_or_default().all()
    }

    /// The generation of a handler whose subjects these are.
    pub fn generation(&self, handler: &HandlerName) -> Generation {
        self.generations.get(handler).copied().unwrap_or_default()
    }

    /// What that generation is called in subjects and marks.
    pub fn named(&self, handler: &HandlerName) -> GenerationName {
        GenerationName { handler: handler.clone(), generation: self.generation(handler) }
    }

    /// Which generations of a handler there are.
    pub fn generations(&self, handler: &HandlerName) -> Subject {
        self.subject(format_args!("generation.{handler}"))
    }

    /// Which generations of each handler there are.
    pub fn all_generations(&self) -> Pattern {
        self.pattern(format_args!("generation.*"))
    }

    /// The app.
    pub fn app(&self) -> &AppName {
        &self.app
    }

    /// Who owns a partition: the fence.
    pub fn lease(&self, handler: &HandlerName, partition: Partition) -> Subject {
        self.subject(format_args!("lease.{}.{}", self.named(handler), partition.0))
    }

    /// All leases.
    pub fn leases(&self) -> Pattern {
        self.pattern(format_args!("lease.*.*"))
    }

    /// The handler of whom an entry of the host's own tells: of its lease, its state, its dead letter and so on. None for
    /// one of another generation.
    pub fn handler_of(&self, subject: &Subject) -> Option<HandlerName> {
        let (_, name) = self.family(subject)?;
        (!self.is_of_another_generation(subject)).then_some(name.handler)
    }

    /// True for an entry of another generation of its handler.
    pub fn is_of_another_generation(&self, subject: &Subject) -> bool {
        self.family(subject).is_some_and(|(family, name)| {
            OF_GENERATIONS.contains(&family) && name.generation != self.generation(&name.handler)
        })
    }

    /// As [`Layout::handler_of`], whichever generation it is of.
    pub fn generation_of(&self, subject: &Subject) -> Option<GenerationName> {
        self.family(subject).map(|(_, name)| name)
    }

    /// The family of an entry of the host's own (`state`, `dead`), and whose it is.
    pub fn family<'s>(&self, subject: &'s Subject) -> Option<(&'s str, GenerationName)> {
        let rest =
            subject.as_str().strip_prefix("wx.")?.strip_prefix(self.app.as_str())?.strip_prefix('.')?;
        let mut tokens = rest.split('.');
        Some((tokens.next()?, tokens.next()?.parse().ok()?))
    }

    /// Which version of a handler is to run.
    pub fn deployment(&self, handler: &HandlerName) -> Subject {
        self.subject(format_args!("deploy.{handler}"))
    }

    /// Which version of each handler is to run.
    pub fn deployments(&self) -> Pattern {
        self.pattern(format_args!("deploy.*"))
    }

    /// A version of a handler.
    pub fn version(&self, handler: &HandlerName, number: VersionNumber) -> Subject {
        self.subject(format_args!("version.{handler}.{number}"))
    }

    /// The versions of a handler, or of all.
    pub fn versions(&self, handler: Option<&HandlerName>) -> Pattern {
        match handler {
            Some(handler) => self.pattern(format_args!("version.{handler}.*")),
            None => self.pattern(format_args!("version.*.*")),
        }
    }

    /// From which input on each version ran in a partition.
    pub fn swaps(&self, handler: &HandlerName, partition: Partition) -> Subject {
        self.subject(format_args!("swap.{handler}.{}", partition.0))
    }

    /// Which version of each handler runs.
    pub fn all_swaps(&self) -> Pattern {
        self.pattern(format_args!("swap.*.*"))
    }

    /// What was found about a handler's canary.
    pub fn verdict(&self, handler: &HandlerName) -> Subject {
        self.subject(format_args!("verdict.{handler}"))
    }

    /// What was found about each handler's canary.
    pub fn verdicts(&self) -> Pattern {
        self.pattern(format_args!("verdict.*"))
    }

    /// How runs of a canary and of the other version have ended in a partition.
    pub fn tally(&self, handler: &HandlerName, partition: Partition) -> Subject {
        self.subject(format_args!("tally.{handler}.{}", partition.0))
    }

    /// The same in all partitions.
    pub fn tallies(&self, handler: &HandlerName) -> Pattern {
        self.pattern(format_args!("tally.{handler}.*"))
    }

    /// What a shadow has done in a partition.
    pub fn shadow(&self, handler: &HandlerName, partition: Partition) -> Subject {
        self.subject(format_args!("shadow.{handler}.{}", partition.0))
    }

    /// The same in all partitions.
    pub fn shadows(&self, handler: &HandlerName) -> Pattern {
        self.pattern(format_args!("shadow.{handler}.*"))
    }

    /// That a host cannot run a version of a handler.
    pub fn declined(&self, handler: &HandlerName, host: &str) -> Subject {
        self.subject(format_args!("declined.{handler}.{host}"))
    }

    /// Which hosts cannot run a version of a handler.
    pub fn all_declined(&self, handler: &HandlerName) -> Pattern {
        self.pattern(format_args!("declined.{handler}.*"))
    }

    /// The bucket of the object store that keeps modules.
    pub fn modules(&self) -> String {
        format!("wx-{}-modules", self.app)
    }

    /// Where a partition stands.
    pub fn checkpoint(&self, handler: &HandlerName, partition: Partition) -> Subject {
        self.subject(format_args!("checkpoint.{}.{}", self.named(handler), partition.0))
    }

    /// What a partition has handled, where another may replace all other entries that tell of it.
    pub fn handled(&self, handler: &HandlerName, partition: Partition) -> Subject {
        self.subject(format_args!("handled.{}.{}", self.named(handler), partition.0))
    }

    /// How far the index of stories is.
    pub fn indexed(&self) -> Subject {
        self.subject(format_args!("index.indexed"))
    }

    /// A part of a segment of that index.
    pub fn index_segment(&self, level: u32, number: u64, part: u64) -> Subject {
        self.subject(format_args!("index.segment.{level}.{number}.{part}"))
    }

    /// All segments of a level.
    pub fn index_level(&self, level: u32) -> Pattern {
        self.pattern(format_args!("index.segment.{level}.>"))
    }

    /// That a host lives.
    pub fn host(&self, host: &str) -> Subject {
        self.subject(format_args!("host.{host}"))
    }

    /// Which hosts live.
    pub fn hosts(&self) -> Pattern {
        self.pattern(format_args!("host.*"))
    }

    /// The value of a state key.
    pub fn state(&self, handler: &HandlerName, key: &str) -> Subject {
        self.subject(format_args!("state.{}.{}", self.named(handler), state::encode_key(key)))
    }

    /// The state key that a subject of [`Layout::state`] stands for.
    pub fn state_key(&self, handler: &HandlerName, subject: &Subject) -> Option<String> {
        let prefix = format!("wx.{}.state.{}.", self.app, self.named(handler));
        state::decode_key(subject.as_str().strip_prefix(&prefix)?)
    }

    /// All state of a handler.
    pub fn states(&self, handler: &HandlerName) -> Pattern {
        self.pattern(format_args!("state.{}.>", self.named(handler)))
    }

    /// The KV bucket that shows a handler's state, where its manifest says so.
    pub fn bucket(&self, handler: &HandlerName) -> String {
        format!("{}-{handler}", self.app)
    }

    /// A timer.
    pub fn timer(&self, handler: &HandlerName, id: &str) -> Subject {
        self.subject(format_args!("timer.{handler}.{}", state::encode_key(id)))
    }

    /// The id that a subject of [`Layout::timer`] stands for.
    pub fn timer_id(&self, handler: &HandlerName, subject: &Subject) -> Option<String> {
        let prefix = format!("wx.{}.timer.{handler}.", self.app);
        state::decode_key(subject.as_str().strip_prefix(&prefix)?)
    }

    /// The timers of a handler, or of all.
    pub fn timers(&self, handler: Option<&HandlerName>) -> Pattern {
        match handler {
            Some(handler) => self.pattern(format_args!("timer.{handler}.>")),
            None => self.pattern(format_args!("timer.>")),
        }
    }

    /// A dead letter: the entry at `position` as this handler could not handle it.
    pub fn dead(&self, handler: &HandlerName, position: Position) -> Subject {
        self.subject(format_args!("dead.{}.{position}", self.named(handler)))
    }

    /// The dead letters of a handler, or of all.
    pub fn dead_letters(&self, handler: Option<&HandlerName>) -> Pattern {
        match handler {
            Some(handler) => self.pattern(format_args!("dead.{}.*", self.named(handler))),
            None => self.pattern(format_args!("dead.*.*")),
        }
    }

    /// The position that a subject of [`Layout::dead`] or [`Layout::parked`] ends with.
    pub fn position(subject: &Subject) -> Option<Position> {
        subject.as_str().rsplit('.').next()?.parse().ok().map(Position)
    }

    /// A parked event: the entry at `position`, which waits for its next attempt or behind one of its key.
    pub fn parked(&self, handler: &HandlerName, position: Position) -> Subject {
        self.subject(format_args!("parked.{}.{position}", self.named(handler)))
    }

    /// The parked events of a handler, or of all.
    pub fn all_parked(&self, handler: Option<&HandlerName>) -> Pattern {
        match handler {
            Some(handler) => self.pattern(format_args!("parked.{}.*", self.named(handler))),
            None => self.pattern(format_args!("parked.*.*")),
        }
    }

    /// A dead letter that was put away.
    pub fn archived(&self, handler: &HandlerName, position: Position) -> Subject {
        self.subject(format_args!("archive.{}.{position}", self.named(handler)))
    }

    /// The dead letters of a handler, or of all, that were put away.
    pub fn all_archived(&self, handler: Option<&HandlerName>) -> Pattern {
        match handler {
            Some(handler) => self.pattern(format_args!("archive.{}.*", self.named(handler))),
            None => self.pattern(format_args!("archive.*.*")),
        }
    }

    /// That a handler shall not run.
    pub fn paused(&self, handler: &HandlerName) -> Subject {
        self.subject(format_args!("paused.{handler}"))
    }

    /// That handlers shall not run.
    pub fn all_paused(&self) -> Pattern {
        self.pattern(format_args!("paused.*"))
    }

    /// That a partition is in outage.
    pub fn outage(&self, handler: &HandlerName, partition: Partition) -> Subject {
        self.subject(format_args!("outage.{}.{}", self.named(handler), partition.0))
    }

    /// That a partition has stopped until somebody helps, and why.
    pub fn stopped(&self, handler: &HandlerName, partition: Partition) -> Subject {
        self.subject(format_args!("stopped.{}.{}", self.named(handler), partition.0))
    }

    /// Which partitions are in outage.
    pub fn outages(&self) -> Pattern {
        self.pattern(format_args!("outage.*.*"))
    }

    /// An event for a subject outside the log, until it is out.
    pub fn outbox(&self, handler: &HandlerName, id: &str) -> Subject {
        self.subject(format_args!("outbox.{handler}.{id}"))
    }

    /// The outbox of a handler, or all.
    pub fn outboxes(&self, handler: Option<&HandlerName>) -> Pattern {
        match handler {
            Some(handler) => self.pattern(format_args!("outbox.{handler}.*")),
            None => self.pattern(format_args!("outbox.*.*")),
        }
    }

    /// An event that is refused outside.
    pub fn refused(&self, handler: &HandlerName, id: &str) -> Subject {
        self.subject(format_args!("refused.{handler}.{id}"))
    }

    /// The events of a handler that are refused outside, or of all.
    pub fn refusals(&self, handler: Option<&HandlerName>) -> Pattern {
        match handler {
            Some(handler) => self.pattern(format_args!("refused.{handler}.*")),
            None => self.pattern(format_args!("refused.*.*")),
        }
    }

    /// How far a handler's outbox has been relayed.
    pub fn relayed(&self, handler: &HandlerName) -> Subject {
        self.subject(format_args!("relayed.{handler}"))
    }

    /// How far each handler's outbox has been relayed.
    pub fn all_relayed(&self) -> Pattern {
        self.pattern(format_args!("relayed.*"))
    }

    /// Who relays a handler's outbox.
    pub fn relay(&self, handler: &HandlerName) -> Subject {
        self.subject(format_args!("relay.{handler}"))
    }

    /// The answer to a request of this handler, by the request's id.
    pub fn seen(&self, handler: &HandlerName, id: &str) -> Subject {
        self.subject(format_args!("seen.{handler}.{}", state::encode_key(id)))
    }

    /// Where a host's questions to a handler's module would stand. Nothing is ever written there.
    pub fn question(&self, handler: &HandlerName) -> Subject {
        self.subject(format_args!("question.{handler}"))
    }

    /// That an event was handled, by the UUID of [`super::seen::of_slot`].
    pub fn seen_event(&self, handler: &HandlerName, uuid: &str) -> Subject {
        self.subject(format_args!("seen.{}.=.{uuid}", self.named(handler)))
    }

    /// All that is the generation's own, its lease first.
    pub fn of_generation(&self, handler: &HandlerName) -> Vec<Pattern> {
        let families = OF_GENERATIONS.iter().map(|family| (*family, ">")).chain([("seen", "=.>")]);
        let name = self.named(handler);
        families.map(|(family, rest)| self.pattern(format_args!("{family}.{name}.{rest}"))).collect()
    }

    /// The source of the events that a handler emits.
    pub fn source(&self, handler: &HandlerName) -> String {
        format!("/{}/{handler}", self.app)
    }

    /// Everything of the host's.
    pub fn everything(&self) -> Pattern {
        self.pattern(format_args!(">"))
    }

    /// The app's stream in JetStream.
    pub fn stream(&self) -> String {
        format!("wx-{}", self.app)
    }

    /// The stream that a handler reads.
    pub fn read_by(&self, spec: &HandlerSpec) -> String {
        spec.stream.as_ref().map_or_else(|| self.stream(), ToString::to_string)
    }

    fn subject(&self, rest: std::fmt::Arguments<'_>) -> Subject {
        Subject::from_checked(&format!("wx.{}.{rest}", self.app))
    }

    fn pattern(&self, rest: std::fmt::Arguments<'_>) -> Pattern {
        Pattern::from_checked(&format!("wx.{}.{rest}", self.app))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_each_family_its_subjects() {
        let layout = Layout::new("shop".parse().unwrap());
        let basket: HandlerName = "basket".parse().unwrap();
        assert_eq!(layout.lease(&basket, Partition(0)).as_str(), "wx.shop.lease.basket.0");
        assert_eq!(layout.checkpoint(&basket, Partition(0)).as_str(), "wx.shop.checkpoint.basket.0");
        assert_eq!(layout.dead(&basket, Position(7)).as_str(), "wx.shop.dead.basket.7");
        let state = layout.state(&basket, "a b");
        assert_eq!(state.as_str(), "wx.shop.state.basket.a=20b");
        assert_eq!(layout.state_key(&basket, &state).as_deref(), Some("a b"));
        assert!(layout.states(&basket).matches(state.as_str()));
        assert_eq!(layout.bucket(&basket), "shop-basket");
        let timer = layout.timer(&basket, "a b");
        assert_eq!(timer.as_str(), "wx.shop.timer.basket.a=20b");
        assert_eq!(layout.timer_id(&basket, &timer).as_deref(), Some("a b"));
        assert!(layout.timers(Some(&basket)).matches(timer.as_str()));
        assert_eq!(layout.seen(&basket, "r 1").as_str(), "wx.shop.seen.basket.r=201");
        assert!(layout.dead_letters(None).matches("wx.shop.dead.basket.7"));
        assert!(layout.verdicts().matches(layout.verdict(&basket).as_str()));
        assert!(layout.tallies(&basket).matches(layout.tally(&basket, Partition(3)).as_str()));
        assert!(layout.shadows(&basket).matches(layout.shadow(&basket, Partition(3)).as_str()));
        let parked = layout.parked(&basket, Position(7));
        assert_eq!(parked.as_str(), "wx.shop.parked.basket.7");
        assert!(layout.all_parked(Some(&basket)).matches(parked.as_str()));
        assert_eq!(Layout::position(&parked), Some(Position(7)));
        let archived = layout.archived(&basket, Position(7));
        assert!(layout.all_archived(Some(&basket)).matches(archived.as_str()));
        assert_eq!(layout.relayed(&basket).as_str(), "wx.shop.relayed.basket");
        assert!(layout.all_relayed().matches(layout.relayed(&basket).as_str()));
        assert_eq!(layout.relay(&basket).as_str(), "wx.shop.relay.basket");
        assert!(layout.outboxes(Some(&basket)).matches(layout.outbox(&basket, "1").as_str()));
        assert!(layout.refusals(None).matches(layout.refused(&basket, "1").as_str()));
        assert_eq!(layout.handler_of(&parked), Some(basket.clone()));
        assert_eq!(layout.handler_of(&layout.paused(&basket)), Some(basket.clone()));
        assert!(layout.leases().matches("wx.shop.lease.basket.0"));
        assert_eq!(layout.handler_of(&state), Some(basket.clone()));
        assert_eq!(layout.handler_of(&Subject::from_checked("wx.shop.host")), None);
        assert_eq!(layout.handler_of(&Subject::from_checked("wx.shops.lease.basket.0")), None);
    }

    #[test]
    fn a_generation_has_subjects_of_its_own() {
        let first = Layout::new("shop".parse().unwrap());
        let basket: HandlerName = "basket".parse().unwrap();
        let second = first.at(&basket, Generation(2));
        let state = second.state(&basket, "a");
        assert_eq!(state.as_str(), "wx.shop.state.basket~2.a");
        assert_eq!(second.state_key(&basket, &state).as_deref(), Some("a"));
        assert_eq!(first.state_key(&basket, &state), None);
        assert_eq!((second.handler_of(&state), first.handler_of(&state)), (Some(basket.clone()), None));
        assert_eq!(first.generation_of(&state), Some(second.named(&basket)));
        assert!(!first.states(&basket).matches(state.as_str()));
        assert_eq!(second.lease(&basket, Partition(0)).as_str(), "wx.shop.lease.basket~2.0");
        // What the handler has whichever generation is live.
        for shared in [second.timer(&basket, "t"), second.paused(&basket), second.outbox(&basket, "1")] {
            assert_eq!(second.handler_of(&shared), Some(basket.clone()), "{shared}");
            assert_eq!(first.handler_of(&shared), Some(basket.clone()), "{shared}");
        }
        assert_eq!(second.source(&basket), first.source(&basket));
    }
}
