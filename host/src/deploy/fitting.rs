//! Fitting: a version that was deployed, made ready to run on this host: fetched, checked, loaded.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, anyhow};
use jiff::{SignedDuration, Timestamp};
use waxwing_engine::{
    Hosted, Program,
    entry::{
        Layout,
        deploy::{self, Deployment, Tried},
        version::VersionNumber,
    },
    generations::Role,
    port::{Invoke, Log},
    program::Beside,
};
use waxwing_event::{HandlerName, HandlerSpec, Label, Pattern, Position};
use waxwing_log::jetstream::{ModuleStore, modules::ModuleError};
use waxwing_sandbox::Sandbox;

use super::{
    beside,
    deployed::{self, DeployedError},
};
use crate::{
    config,
    signature::{Claim, Required},
};

/// How long fetching a module may take.
const FETCHED_WITHIN: Duration = Duration::from_secs(30);

/// How long it may take until all replicas of the store have a module.
const SPREADS_WITHIN: SignedDuration = SignedDuration::from_secs(5);

/// Makes versions ready to run.
pub struct Fitter {
    /// The app's log.
    pub log: Arc<dyn Log>,
    /// Where things stand in it.
    pub layout: Layout,
    /// The app's own subjects.
    pub events: Vec<Pattern>,
    /// Who must vouch for what is deployed.
    pub required: Required,
    /// Where modules are loaded.
    pub sandbox: Arc<Sandbox>,
    /// Where those of shadows are, once there are any.
    pub shadows: Mutex<Option<Arc<Sandbox>>>,
    /// How that one is set up.
    pub shadow_options: Box<dyn Fn() -> waxwing_sandbox::Options + Send + Sync>,
    /// What is special about this host.
    pub labels: BTreeSet<Label>,
    /// Where they are kept.
    pub store: ModuleStore,
}

/// How fast modules are loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// By all cores: nothing runs yet.
    AtOnce,
    /// Giving way to runs.
    BesideRuns,
}

/// Where a module is loaded, and how fast.
#[derive(Clone, Copy)]
struct Loader<'a> {
    sandbox: &'a Arc<Sandbox>,
    pace: Pace,
}

/// What runs for a handler on this host.
#[derive(Clone)]
pub struct Fitted {
    /// What was said of the handler.
    pub spec: HandlerSpec,
    /// What runs.
    pub program: Program,
    /// What was said of the handler where its canary runs.
    canary: Option<Arc<HandlerSpec>>,
}

impl Fitted {
    /// What runs alone.
    pub fn new(spec: HandlerSpec, program: Program) -> Fitted {
        Fitted { spec, program, canary: None }
    }

    /// The program of this version, where it runs here, alone or as a canary. A shadow's is none: it cannot reach outside.
    fn at_hand(&self, number: VersionNumber) -> Option<Fitted> {
        let alone = |module: &Arc<dyn Invoke>| {
            let version = Some(number);
            Program { module: module.clone(), version, decided: self.program.decided, beside: None }
        };
        if self.program.version == Some(number) {
            return Some(Fitted::new(self.spec.clone(), alone(&self.program.module)));
        }
        let beside = self.program.beside.as_ref().filter(|beside| beside.what.version == number)?;
        Some(Fitted::new(self.canary.as_deref()?.clone(), alone(&beside.module)))
    }

    /// The same with this tried beside it.
    fn with(mut self, what: deploy::Beside, other: Fitted) -> Fitted {
        self.canary = matches!(what.tried, Tried::Canary { .. }).then(|| Arc::new(other.spec));
        self.program.beside = Some(Arc::new(Beside { what, module: other.program.module }));
        self
    }

    /// The same by another decision.
    pub fn decided(mut self, decided: Position) -> Fitted {
        self.program.decided = decided;
        self
    }

    /// As the engine takes it.
    pub fn hosted(self) -> Hosted {
        Hosted { spec: self.spec, program: self.program, role: Role::Live }
    }
}

/// Why a version does not run on this host.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// Trying again may help.
    #[error("{0:#}")]
    Passing(anyhow::Error),
    /// It is for other hosts: this one lacks a label.
    #[error("it requires hosts of the label `{0}`")]
    Elsewhere(Label),
    /// It never will.
    #[error("{0:#}")]
    Final(anyhow::Error),
}

/// What a decision comes to on this host.
pub struct Decided {
    /// What runs; none: nothing does.
    pub runs: Option<Fitted>,
    /// The version that does not run here though it should, and why.
    pub declined: Option<(VersionNumber, String)>,
}

impl Fitter {
    /// What runs by this decision. Where its version does not, `running` goes on, or, on a host that has run nothing yet,
    /// the version before. Where none is named, what the host's manifest says does.
    ///
    /// # Errors
    /// What is worth another try.
    pub async fn decide(
        &self,
        handler: &HandlerName,
        (deployment, decided): (&Deployment, Position),
        running: Option<&Fitted>,
        pace: Pace,
        own: &BTreeMap<HandlerName, Fitted>,
    ) -> Result<Decided> {
        let Some(version) = deployment.version else {
            let runs = own.get(handler).cloned().map(|own| own.decided(decided));
            return Ok(Decided { runs, declined: None });
        };
        let at_hand = |number| running.and_then(|running| running.at_hand(number));
        let fitted = match at_hand(version) {
            Some(fitted) => Ok(fitted.decided(decided)),
            None => self.fit((handler, version), decided, Loader { sandbox: &self.sandbox, pace }).await,
        };
        let why = match (fitted, &deployment.beside) {
            (Ok(fitted), Some(what)) => {
                let at_hand = at_hand(what.version).filter(|_| what.tried != Tried::Shadow);
                return self.beside(handler, fitted, what, (at_hand, pace)).await;
            }
            (Ok(fitted), None) => return Ok(Decided { runs: Some(fitted), declined: None }),
            (Err(unfit), _) => unfit,
        };
        let why = match why {
            Unfit::Elsewhere(label) => {
                tracing::info!(%handler, %label, "does not run here: the host lacks a label that it requires");
                return Ok(Decided { runs: None, declined: None });
            }
            Unfit::Passing(error) => return Err(error),
            Unfit::Final(error) => format!("{error:#}"),
        };
        let runs = match (running, deployment.before) {
            (Some(running), _) => Some(running.clone().decided(decided)),
            (None, Some(before)) => {
                match self.fit((handler, before), decided, Loader { sandbox: &self.sandbox, pace }).await {
                    Ok(fitted) => Some(fitted),
                    Err(Unfit::Passing(error)) => return Err(error),
                    Err(Unfit::Final(_) | Unfit::Elsewhere(_)) => None,
                }
            }
            (None, None) => None,
        };
        Ok(Decided { runs, declined: Some((version, why)) })
    }

    /// What runs by a decision that has another version tried beside `stable`: that one alone, where the other cannot run.
    async fn beside(
        &self,
        handler: &HandlerName,
        stable: Fitted,
        what: &deploy::Beside,
        (at_hand, pace): (Option<Fitted>, Pace),
    ) -> Result<Decided> {
        let decided = stable.program.decided;
        let found = match at_hand {
            Some(fitted) => Ok(fitted),
            None => match self.sandbox_for(&what.tried) {
                Ok(sandbox) => {
                    self.fit((handler, what.version), decided, Loader { sandbox: &sandbox, pace }).await
                }
                Err(error) => Err(Unfit::Final(error)),
            },
        };
        let version = stable.program.version.unwrap_or(what.version);
        let why = match found {
            Ok(other) => match beside::check(&stable.spec, version, &other.spec) {
                Ok(()) => {
                    return Ok(Decided { runs: Some(stable.with(what.clone(), other)), declined: None });
                }
                Err(unlike) => unlike.to_string(),
            },
            Err(Unfit::Passing(error)) => return Err(error),
            Err(unfit) => unfit.to_string(),
        };
        Ok(Decided { runs: Some(stable), declined: Some((what.version, why)) })
    }

    /// Where a version that is tried is loaded: a shadow's runs are noticed by nobody, and take no thread from live ones.
    fn sandbox_for(&self, tried: &Tried) -> Result<Arc<Sandbox>> {
        match tried {
            Tried::Canary { .. } => Ok(self.sandbox.clone()),
            Tried::Shadow => {
                let mut shadows = self.shadows.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(sandbox) = shadows.as_ref() {
                    return Ok(sandbox.clone());
                }
                let sandbox = Arc::new(Sandbox::new((self.shadow_options)())?);
                *shadows = Some(sandbox.clone());
                Ok(sandbox)
            }
        }
    }

    /// Makes a version ready to run.
    async fn fit(
        &self,
        (handler, number): (&HandlerName, VersionNumber),
        decided: Position,
        loader: Loader<'_>,
    ) -> Result<Fitted, Unfit> {
        let version = match deployed::version(self.log.as_ref(), &self.layout, handler, number).await {
            Ok(version) => version,
            Err(error @ DeployedError::Read(_)) => return Err(Unfit::Passing(error.into())),
            Err(error) => return Err(Unfit::Final(error.into())),
        };
        // Before anything is made of what it says.
        let claim = Claim::of(self.layout.app(), handler, &version);
        self.required.check(&claim, &version.signatures).map_err(|why| Unfit::Final(why.into()))?;
        let file = format!("version {number} of `{handler}`");
        let app = (self.layout.app(), self.events.as_slice());
        let configured = config::deployed(&file, app, handler, &version.manifest, version.module);
        let spec =
            configured.map_err(|problems| Unfit::Final(anyhow!(problems.error_lines().join("; "))))?.spec;
        if let Some(label) = lacks(&spec, &self.labels) {
            return Err(Unfit::Elsewhere(label.clone()));
        }
        let is_new = Timestamp::now().duration_since(version.at).abs() < SPREADS_WITHIN;
        let fetched = tokio::time::timeout(FETCHED_WITHIN, self.store.get(version.module)).await;
        let fetched = fetched.map_err(|_| {
            let time = FETCHED_WITHIN.as_secs();
            Unfit::Passing(anyhow!(
                "the store `{}` has not given {} within {time} s",
                self.store.bucket(),
                version.module
            ))
        })?;
        let bytes = match fetched {
            Ok(bytes) => bytes,
            // One of the store's replicas may not have it yet.
            Err(error @ ModuleError::Missing { .. }) if is_new => return Err(Unfit::Passing(error.into())),
            Err(error @ (ModuleError::Connect(_) | ModuleError::Store { .. })) => {
                return Err(Unfit::Passing(error.into()));
            }
            Err(error) => return Err(Unfit::Final(error.into())),
        };
        let module = load(loader, &spec, bytes).await.map_err(Unfit::Final)?;
        let program = Program { module, version: Some(number), decided, beside: None };
        Ok(Fitted::new(spec, program))
    }
}

/// Loads a module: that takes time, and this thread may serve others. What runs already is not to wait for it.
async fn load(
    Loader { sandbox, pace }: Loader<'_>,
    spec: &HandlerSpec,
    bytes: Vec<u8>,
) -> Result<Arc<dyn Invoke>> {
    let (sandbox, spec) = (sandbox.clone(), spec.clone());
    let loading = tokio::task::spawn_blocking(move || match pace {
        Pace::AtOnce => sandbox.load(&spec, &bytes),
        Pace::BesideRuns => sandbox.load_in_background(&spec, &bytes),
    });
    Ok(loading.await.context("loading the module was interrupted")??)
}

/// A label that a handler requires and a host with these lacks.
pub fn lacks<'s>(spec: &'s HandlerSpec, labels: &BTreeSet<Label>) -> Option<&'s Label> {
    spec.requires.iter().find(|label| !labels.contains(*label))
}
