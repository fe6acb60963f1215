//! The context of one run: everything that a handler can reach.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::aggregate::{Aggregate, AggregateError, Loaded};
use crate::emit::{EmitError, NewEvent};
use crate::failure::Outcome;
use crate::host::Host;
use crate::http::Http;
use crate::log::Level;
use crate::reply::NewReply;
use crate::secret::{Secret, SecretError};
use crate::settings::SettingError;
use crate::state::State;
use crate::timer::Timer;

/// What a run can do: emit events, keep state, answer a request, read settings, log, call what lies outside.
///
/// Effects wait in the host until the run is done, and are dropped when it fails. Log lines are kept
/// whatever the outcome, and calls to the outside are made at once.
pub struct Context {
    pub(crate) host: Host,
}

impl Context {
    #[cfg(target_family = "wasm")]
    pub(crate) fn of_host() -> Self {
        Self { host: Host }
    }

    /// A context over memory, to call a handler by hand; [`testing::Sandbox`](crate::testing::Sandbox)
    /// does more.
    ///
    /// ```
    /// use waxwing_sdk::prelude::*;
    ///
    /// let mut cx = Context::for_test();
    /// cx.emit("lights.on", &json!({ "room": 1 })).unwrap();
    /// ```
    #[cfg(not(target_family = "wasm"))]
    pub fn for_test() -> Self {
        Self { host: Host::default() }
    }

    /// Emits an event with this data as JSON; its type is the subject.
    ///
    /// It can be a handler's last expression.
    ///
    /// ```
    /// # use waxwing_sdk::prelude::*;
    /// # let mut cx = Context::for_test();
    /// cx.emit("baskets.repriced", &json!({ "total": 12 }))?;
    /// # Ok::<(), Failure>(())
    /// ```
    ///
    /// # Errors
    /// A rejection, for each cause that [`EmitError`] names.
    #[track_caller]
    pub fn emit(&mut self, subject: &str, data: &(impl Serialize + ?Sized)) -> Outcome {
        match self.try_emit(subject, data) {
            Ok(()) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Emits an event like [`emit`](Self::emit), for a handler that can go on without it.
    ///
    /// ```
    /// # use waxwing_sdk::{prelude::*, EmitError};
    /// # let mut cx = Context::for_test();
    /// let refused = cx.try_emit("no wildcards.*", &json!({}));
    /// assert!(matches!(refused, Err(EmitError::InvalidSubject(_))));
    /// ```
    ///
    /// # Errors
    /// See [`EmitError`].
    pub fn try_emit(&mut self, subject: &str, data: &(impl Serialize + ?Sized)) -> Result<(), EmitError> {
        self.event(subject).json(data).try_emit()
    }

    /// Starts an event with attributes of its own; [`NewEvent::emit`] ends it.
    ///
    /// ```
    /// # use waxwing_sdk::prelude::*;
    /// # let mut cx = Context::for_test();
    /// cx.event("baskets.repriced")
    ///     .event_type("com.example.BasketRepriced")
    ///     .about("basket/7")
    ///     .json(&json!({ "total": 12 }))
    ///     .emit()?;
    /// # Ok::<(), Failure>(())
    /// ```
    pub fn event<'a>(&'a mut self, subject: &'a str) -> NewEvent<'a> {
        NewEvent::new(self, subject)
    }

    /// Answers the request with this data as JSON, once a run.
    ///
    /// The reply is sent when the run's effects are durable. A run that fails answers with an error instead;
    /// a run without a reply answers with empty data. It can be a handler's last expression.
    ///
    /// ```
    /// use waxwing_sdk::prelude::*;
    /// # use waxwing_sdk::testing::{Sandbox, event};
    ///
    /// fn show(event: Event<Value>, cx: &mut Context) -> Outcome {
    ///     let basket: Option<Value> = cx.state().get(event.key())?;
    ///     cx.reply(&basket)
    /// }
    ///
    /// let run = Sandbox::new().state("b1", &7).ask(show, event("cmd.basket.show").key("b1"));
    /// assert_eq!(run.reply().unwrap().json::<u32>(), 7);
    /// ```
    ///
    /// # Errors
    /// A rejection, for each cause that [`ReplyError`](crate::ReplyError) names.
    #[track_caller]
    pub fn reply(&mut self, data: &(impl Serialize + ?Sized)) -> Outcome {
        self.answer().json(data).send()
    }

    /// Starts a reply with a media type or attributes of its own; [`NewReply::send`] ends it.
    pub fn answer(&mut self) -> NewReply<'_> {
        NewReply::new(self)
    }

    /// Whether somebody waits for a reply: true for requests, false for events and live messages.
    ///
    /// ```
    /// # use waxwing_sdk::prelude::*;
    /// assert!(!Context::for_test().is_asked());
    /// ```
    pub fn is_asked(&self) -> bool {
        self.host.is_asked()
    }

    /// The handler's own state.
    ///
    /// ```
    /// # use waxwing_sdk::prelude::*;
    /// # let mut cx = Context::for_test();
    /// let visits: u32 = cx.state().get("visits")?.unwrap_or_default();
    /// cx.state().set("visits", &(visits + 1))?;
    /// # Ok::<(), Failure>(())
    /// ```
    pub fn state(&mut self) -> State<'_> {
        State::new(self)
    }

    /// An aggregate of this handler as it is now, to be looked at and told what to do: see [`Aggregate`].
    ///
    /// # Errors
    /// An invalid id, a history that the aggregate cannot read, or a log that cannot be read now.
    pub fn aggregate<A: Aggregate>(&mut self, id: &str) -> Result<Loaded<'_, A>, AggregateError> {
        Loaded::load(self, id)
    }

    /// A timer of this handler, to be set or cancelled.
    ///
    /// ```
    /// # use waxwing_sdk::prelude::*;
    /// # let mut cx = Context::for_test();
    /// cx.timer("payment of 42").json(&json!({ "order": 42 })).after(Duration::from_secs(30))?;
    /// cx.timer("payment of 41").cancel()?;
    /// # Ok::<(), Failure>(())
    /// ```
    pub fn timer<'a>(&'a mut self, id: &'a str) -> Timer<'a> {
        Timer::new(self, id)
    }

    /// HTTP calls to what the handler's manifest grants. They are no effects: see [`Http`].
    ///
    /// ```
    /// # use waxwing_sdk::{prelude::*, HttpError};
    /// # let mut cx = Context::for_test();
    /// let refused = cx.http().get("https://api.example.com/rates").send();
    /// assert!(matches!(refused, Err(HttpError::Denied(_))));
    /// ```
    pub fn http(&mut self) -> Http<'_> {
        Http::new(self)
    }

    /// A secret of the host, such as an API's key, which the handler's manifest grants by its name (`secrets`).
    ///
    /// The host reads it anew each time: ask for it in each run, and keep it in no state.
    ///
    /// ```
    /// # use waxwing_sdk::{prelude::*, SecretError};
    /// # let cx = Context::for_test();
    /// assert!(matches!(cx.secret("payment-api-key"), Err(SecretError::NotGranted(_))));
    /// ```
    ///
    /// # Errors
    /// See [`SecretError`].
    pub fn secret(&self, name: &str) -> Result<Secret, SecretError> {
        Ok(Secret::new(name, self.host.secret(name)?))
    }

    /// A setting from the handler's manifest.
    ///
    /// ```
    /// # use waxwing_sdk::prelude::*;
    /// # let cx = Context::for_test();
    /// let currency = cx.setting("currency").unwrap_or_else(|| "EUR".to_owned());
    /// # assert_eq!(currency, "EUR");
    /// ```
    pub fn setting(&self, name: &str) -> Option<String> {
        self.host.setting(name)
    }

    /// All settings, sorted by name.
    ///
    /// ```
    /// # use waxwing_sdk::prelude::*;
    /// # let cx = Context::for_test();
    /// assert!(cx.settings().is_empty());
    /// ```
    pub fn settings(&self) -> Vec<(String, String)> {
        self.host.settings()
    }

    /// A setting as a number, or whatever else text can become.
    ///
    /// ```
    /// # use waxwing_sdk::prelude::*;
    /// # let cx = Context::for_test();
    /// let percent: u32 = cx.setting_as("percent")?.unwrap_or(10);
    /// # assert_eq!(percent, 10);
    /// # Ok::<(), Failure>(())
    /// ```
    ///
    /// # Errors
    /// A value that is there and is not a `T`.
    pub fn setting_as<T>(&self, name: &str) -> Result<Option<T>, SettingError>
    where
        T: FromStr,
        T::Err: fmt::Display,
    {
        let Some(value) = self.setting(name) else {
            return Ok(None);
        };
        match value.parse() {
            Ok(value) => Ok(Some(value)),
            Err(error) => Err(SettingError::new(name, value, &error)),
        }
    }

    /// Writes a line to the host's log, with named values beside the message.
    ///
    /// ```
    /// # use waxwing_sdk::prelude::*;
    /// # let mut cx = Context::for_test();
    /// cx.log(Level::Info, "basket repriced", &[("product", "p1"), ("total", "12.50")]);
    /// ```
    pub fn log(&mut self, level: Level, message: &str, fields: &[(&str, &str)]) {
        self.host.log(level, message, fields);
    }

    /// Writes a line at level trace.
    pub fn trace(&mut self, message: impl AsRef<str>) {
        self.log(Level::Trace, message.as_ref(), &[]);
    }

    /// Writes a line at level debug.
    pub fn debug(&mut self, message: impl AsRef<str>) {
        self.log(Level::Debug, message.as_ref(), &[]);
    }

    /// Writes a line at level info.
    ///
    /// ```
    /// # use waxwing_sdk::prelude::*;
    /// # let mut cx = Context::for_test();
    /// cx.info("nothing to do");
    /// cx.info(format!("{} baskets repriced", 3));
    /// ```
    pub fn info(&mut self, message: impl AsRef<str>) {
        self.log(Level::Info, message.as_ref(), &[]);
    }

    /// Writes a line at level warn.
    pub fn warn(&mut self, message: impl AsRef<str>) {
        self.log(Level::Warn, message.as_ref(), &[]);
    }

    /// Writes a line at level error. The run goes on: return a [`Failure`](crate::Failure) to end it.
    pub fn error(&mut self, message: impl AsRef<str>) {
        self.log(Level::Error, message.as_ref(), &[]);
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").finish_non_exhaustive()
    }
}
