//! Plays a scenario, step by step, each until nothing is left to do.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::{Context, Result, anyhow, bail};
use bytes::Bytes;
use serde_json::Value;
use tokio::runtime::Builder;
use waxwing_engine::{
    entry::{aggregate, state, timer},
    port::{Clock, clock::after, log::NewEntry, requests},
};
use waxwing_event::{Event, HandlerName, HandlerSpec, Position, Subject, encode};
use waxwing_sandbox::Sandbox;

use super::{
    came::{self, Before, Came, Look},
    fault::Fault,
    form::{Action, EventForm, Given, PastForm, Scenario, TimerForm},
    pace::{Order, Pace},
    stage::{Player, Stage},
    value,
};
use crate::config::AppConfig;

/// What a scenario is played on.
#[derive(Clone)]
pub struct Theatre {
    /// What the manifest says.
    pub config: Arc<AppConfig>,
    /// Where modules run.
    pub sandbox: Arc<Sandbox>,
    /// Modules by their handlers.
    pub modules: Arc<BTreeMap<HandlerName, Arc<[u8]>>>,
}

/// A scenario that was played.
#[derive(Debug, Default)]
pub struct Played {
    /// What came of each step.
    pub steps: Vec<Came>,
    /// What each commit of a host was about.
    pub commits: Vec<String>,
    /// The most runs that ever waited together: where it is one, there is only one order.
    pub together: usize,
    /// True where an event was published twice.
    pub has_duplicates: bool,
}

impl Theatre {
    /// Plays a scenario by these handlers, with a fault. Takes this thread until it is over; must not be called on one
    /// that runs tasks.
    pub fn play(&self, scenario: &Scenario, cast: &[HandlerName], fault: Fault) -> Result<Played> {
        let order = match fault {
            Fault::LastFirst => Order::Last,
            Fault::AnyFirst(seed) => Order::any(seed),
            _ => Order::First,
        };
        let pace = Pace::new(scenario.now, order);
        let parked = pace.clone();
        // No timer, no I/O: nothing waits for any time but the scenario's.
        let runtime = Builder::new_current_thread().on_thread_park(move || parked.park()).build()?;
        let players = self.players(&scenario.given, cast)?;
        let stage = Stage::new(self.config.clone(), self.sandbox.clone(), players, pace.clone(), fault);
        let play = Play { stage, fault, scenario: scenario.clone(), named: 0, has_duplicates: false };
        runtime.spawn(pace.keep_looking());
        let played = runtime.block_on(async move { tokio::spawn(play.whole()).await });
        played.map_err(|error| anyhow!("the scenario broke off: {error}"))?
    }

    fn players(&self, given: &Given, cast: &[HandlerName]) -> Result<Vec<Player>> {
        let named = given.settings.keys().chain(given.secrets.keys());
        let named = named.chain(given.state.keys()).chain(given.history.keys()).chain(given.timers.keys());
        for handler in named {
            if !cast.contains(handler) {
                bail!("handler `{handler}` takes no part: name it in `handlers`");
            }
        }
        let player = |handler: &HandlerName| {
            let configured = self.config.handlers.iter().find(|configured| configured.spec.name == *handler);
            let configured =
                configured.with_context(|| format!("the manifest has no handler `{handler}`"))?;
            let bytes =
                self.modules.get(handler).with_context(|| format!("handler `{handler}` has no module"))?;
            let mut spec = configured.spec.clone();
            spec.settings.extend(given.settings.get(handler).cloned().unwrap_or_default());
            let secrets = given.secrets.get(handler).into_iter().flatten();
            let secrets = secrets.map(|(name, value)| (name.clone(), value.clone().into_bytes())).collect();
            Ok(Player { spec, bytes: bytes.clone(), secrets })
        };
        cast.iter().map(player).collect()
    }
}

/// A play under way.
struct Play {
    stage: Stage,
    scenario: Scenario,
    fault: Fault,
    /// How many events have had no id of their own.
    named: u64,
    has_duplicates: bool,
}

impl Play {
    async fn whole(mut self) -> Result<Played> {
        let scenario = self.scenario.clone();
        let mut before = Before::default();
        self.lay_out(&scenario.given).await.context("given")?;
        self.stage.begin().await?;
        self.publish(scenario.given.events).await.context("given.events")?;
        self.came(&mut before).await?;
        let mut steps = Vec::new();
        for (number, when) in (1..).zip(&scenario.when) {
            let came = async {
                let reply = self.act(when.action()?).await?;
                if self.fault == Fault::Restart {
                    self.stage.restart().await?;
                }
                anyhow::Ok(Came { reply, ..self.came(&mut before).await? })
            };
            steps.push(came.await.with_context(|| format!("step {number}"))?);
        }
        let (commits, together) = (self.stage.writing.commits(), self.stage.pace.together());
        Ok(Played { steps, commits, together, has_duplicates: self.has_duplicates })
    }

    async fn came(&mut self, before: &mut Before) -> Result<Came> {
        let Stage { log, layout, writing, pace, .. } = &self.stage;
        let handlers = self.stage.handlers();
        let look = Look { log, layout, handlers: &handlers };
        let came = look.at(writing.take(), before).await?;
        let runs = pace.take_runs().into_iter().map(|(handler, runs)| (handler.to_string(), runs)).collect();
        Ok(Came { runs, ..came })
    }

    /// Writes what is so before there is a host.
    async fn lay_out(&mut self, given: &Given) -> Result<()> {
        let layout = self.stage.layout.clone();
        for (handler, histories) in &given.history {
            let aggregate =
                self.stage.specs().find(|spec| spec.name == *handler).and_then(|spec| spec.aggregate.clone());
            let aggregate = aggregate
                .with_context(|| format!("handler `{handler}` has no `aggregate` in the manifest"))?;
            for (id, events) in histories {
                for event in events {
                    let entry = self.past(&aggregate::subject(&aggregate, id), handler, event)?;
                    self.stage.write(None, entry).await?;
                }
            }
        }
        for (handler, keys) in &given.state {
            for (key, data) in keys {
                let bytes = value::bytes(data).with_context(|| format!("state.{handler}.{key}"))?;
                let entry = state::write(layout.state(handler, key), Some(bytes.into()), None);
                self.stage.write(None, entry).await?;
            }
        }
        for (handler, timers) in &given.timers {
            for (id, form) in timers {
                let entry = self.timer(handler, id, form)?;
                self.stage.write(None, entry).await?;
            }
        }
        Ok(())
    }

    fn past(&mut self, subject: &Subject, handler: &HandlerName, form: &PastForm) -> Result<NewEntry> {
        let source = self.stage.layout.source(handler);
        let event = EventForm {
            event_type: Some(form.event_type.clone()),
            source: Some(source),
            data: form.data.clone(),
            ..EventForm::on(subject.clone())
        };
        Ok(entry(&self.event(&event)?))
    }

    fn timer(&mut self, handler: &HandlerName, id: &str, form: &TimerForm) -> Result<NewEntry> {
        let layout = self.stage.layout.clone();
        let subject = layout.timer(handler, id);
        let due = after(self.scenario.now, form.after);
        let event = EventForm {
            event_type: Some(timer::EVENT_TYPE.to_owned()),
            source: Some(layout.source(handler)),
            about: Some(id.to_owned()),
            id: Some(format!("timer-{id}")),
            time: Some(due.to_string()),
            data: form.data.clone(),
            ..EventForm::on(subject.clone())
        };
        let about = timer::About { due, key: form.key.clone() };
        Ok(timer::write(subject, &about, &self.event(&event)?))
    }

    /// Does what a step says, and waits until nothing is left to do; gives the answer to a request.
    async fn act(&mut self, action: Action) -> Result<Option<Value>> {
        match action {
            Action::Events(events) => self.publish(events).await.map(|()| None),
            Action::Request(form) => self.ask(form).await.map(Some),
            Action::Live(form) => {
                let event = self.event(&form)?;
                self.stage.requests.publish(&event.subject, encode::headers(&event), event.data.clone());
                self.stage.settle().await.map(|()| None)
            }
            Action::Advance(time) => {
                self.stage.pace.allow(time);
                self.stage.settle().await.map(|()| None)
            }
        }
    }

    async fn publish(&mut self, events: Vec<EventForm>) -> Result<()> {
        for form in events {
            let event = self.event(&form)?;
            self.stage.write(form.stream.as_ref(), entry(&event)).await?;
            if self.fault == Fault::Duplicate && self.is_deduped(&form) {
                self.has_duplicates = true;
                self.stage.write(form.stream.as_ref(), entry(&event)).await?;
            }
            if self.fault == Fault::Restart {
                self.stage.settle().await?;
                self.stage.restart().await?;
            }
        }
        self.stage.settle().await
    }

    /// True where all who hear of an event know it by its id.
    fn is_deduped(&self, form: &EventForm) -> bool {
        let hears = |spec: &&HandlerSpec| {
            spec.stream == form.stream && spec.on.iter().any(|on| on.matches(form.subject.as_str()))
        };
        let hear: Vec<&HandlerSpec> = self.stage.specs().filter(hears).collect();
        !hear.is_empty() && hear.iter().all(|spec| spec.dedupe_events)
    }

    /// Asks, and asks again where the host is gone before it has answered, as requesters do.
    async fn ask(&mut self, form: EventForm) -> Result<Value> {
        let event = self.event(&form)?;
        let mut headers = encode::headers(&event);
        headers.push(requests::ID_HEADER, event.id.clone());
        loop {
            let (lives, requests) = (self.stage.lives, self.stage.requests.clone());
            let (subject, headers, data) = (event.subject.clone(), headers.clone(), event.data.clone());
            let answer = async move { requests.request(&subject, headers, data).await };
            match self.stage.or_idle(answer).await? {
                Some(answer) if lives == self.stage.lives => return Ok(came::reply(&answer)),
                _ if lives != self.stage.lives => {}
                _ => bail!(
                    "nobody answers on `{}`: no handler that takes part has it in `request`",
                    event.subject
                ),
            }
        }
    }

    fn event(&mut self, form: &EventForm) -> Result<Event> {
        let form = form.clone();
        let id = form.id.unwrap_or_else(|| {
            self.named += 1;
            format!("event-{}", self.named)
        });
        let data = form.data.as_ref().map(value::bytes).transpose().context("data")?;
        let is_json = data.as_ref().is_some_and(|data| serde_json::from_slice::<Value>(data).is_ok());
        let key = form.key.map(|key| ("partitionkey".to_owned(), key));
        Ok(Event {
            source: form.source.unwrap_or_else(|| "scenario".to_owned()),
            event_type: form.event_type.unwrap_or_else(|| form.subject.to_string()),
            about: form.about,
            time: form.time.or_else(|| Some(self.stage.pace.now().to_string())),
            content_type: form.content_type.or_else(|| is_json.then(|| "application/json".to_owned())),
            data_schema: form.data_schema,
            correlation_id: form.correlation.unwrap_or_else(|| id.clone()),
            causation_id: form.causation,
            extensions: key.into_iter().chain(form.extensions).collect(),
            key: None,
            position: Position::NONE,
            attempt: 1,
            data: data.map(Bytes::from).unwrap_or_default(),
            subject: form.subject,
            id,
        })
    }
}

fn entry(event: &Event) -> NewEntry {
    NewEntry { headers: encode::headers(event), ..NewEntry::new(event.subject.clone(), event.data.clone()) }
}
