//! Event-sourced aggregates: things whose state is what their events have made of them.

mod error;
mod fact;
mod loaded;
mod past;

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use error::AggregateError;
pub(crate) use fact::{from_fact, to_fact};
pub use loaded::Loaded;
pub use past::Past;
#[cfg(not(target_family = "wasm"))]
pub(crate) use past::fold;
#[cfg(target_family = "wasm")]
pub(crate) use past::{is_asked, tell};

/// A thing whose state is what its events have made of it: an account, an order.
///
/// [`decide`](Self::decide) and [`evolve`](Self::evolve) are pure: they know the aggregate and nothing else, and give
/// the same for the same. [`Context::aggregate`](crate::Context::aggregate) brings them together with the log: it
/// reads the history, folds it with `evolve`, lets `decide` speak, and appends what it says in the run's commit. Where
/// something else was appended meanwhile, the run begins anew with it.
///
/// The manifest says on which subjects the histories stand: `aggregate = "accounts.*"`.
///
/// ```
/// use waxwing_sdk::prelude::*;
///
/// #[derive(Default, Serialize, Deserialize)]
/// struct Account {
///     balance: i64,
/// }
///
/// #[derive(Deserialize)]
/// #[serde(tag = "do", rename_all = "kebab-case")]
/// enum Command {
///     Deposit { amount: i64 },
///     Withdraw { amount: i64 },
/// }
///
/// #[derive(Serialize, Deserialize)]
/// #[serde(tag = "type", content = "data", rename_all = "kebab-case")]
/// enum Change {
///     Deposited { amount: i64 },
///     Withdrawn { amount: i64 },
/// }
///
/// impl Aggregate for Account {
///     type Command = Command;
///     type Event = Change;
///     type Refusal = String;
///
///     fn decide(&self, command: Command) -> Result<Vec<Change>, String> {
///         match command {
///             Command::Deposit { amount } => Ok(vec![Change::Deposited { amount }]),
///             Command::Withdraw { amount } if amount > self.balance => Err("too little is there".to_owned()),
///             Command::Withdraw { amount } => Ok(vec![Change::Withdrawn { amount }]),
///         }
///     }
///
///     fn evolve(&mut self, event: Change) {
///         match event {
///             Change::Deposited { amount } => self.balance += amount,
///             Change::Withdrawn { amount } => self.balance -= amount,
///         }
///     }
/// }
///
/// #[waxwing_sdk::handler(aggregate = Account)]
/// fn account(event: Event<Command>, cx: &mut Context) -> Outcome {
///     let mut account = cx.aggregate::<Account>(event.key())?;
///     match account.decide(event.data)? {
///         Ok(()) => Ok(()),
///         Err(why) => cx.emit("accounts-refused", &why),
///     }
/// }
///
/// use waxwing_sdk::testing::{Sandbox, event};
///
/// let mut sandbox = Sandbox::new().past("7", &[Change::Deposited { amount: 10 }]);
/// let withdraw = |amount: i64| event("cmd.account").key("7").json(&json!({ "do": "withdraw", "amount": amount }));
/// assert!(sandbox.run(account, withdraw(8)).is_done());
/// assert_eq!(sandbox.run(account, withdraw(8)).only::<String>("accounts-refused"), "too little is there");
/// assert_eq!(sandbox.aggregate::<Account>("7").balance, 2);
/// ```
///
/// # Events
/// They are an enum that serde writes with a tag and a content: `#[serde(tag = "type", content = "data")]`. The tag
/// becomes the CloudEvents type, the content the data. Others read them so, too
/// ([`Event::fact`](crate::Event::fact)).
///
/// They are never changed. Where a later version of the module understands them otherwise, it changes what it reads,
/// by [`upcast`](Self::upcast).
///
/// # Snapshots
/// With its events, the aggregate itself is saved in the handler's state, under its id. It spares reading the history,
/// and holds only for the module that has saved it: another one folds the history anew.
pub trait Aggregate: Default + Serialize + DeserializeOwned {
    /// What it may be told to do.
    type Command;
    /// What has happened to it.
    type Event: Serialize + DeserializeOwned;
    /// Why it does not do what it is told.
    type Refusal: fmt::Debug;

    /// What a command makes happen to it as it is now, or why nothing does.
    ///
    /// # Errors
    /// The refusal: nothing is appended.
    fn decide(&self, command: Self::Command) -> Result<Vec<Self::Event>, Self::Refusal>;

    /// What an event has made of it. What is in the history has happened: there is no way to refuse it.
    fn evolve(&mut self, event: Self::Event);

    /// An event of an older version as the present one would have written it.
    ///
    /// ```
    /// use waxwing_sdk::prelude::*;
    ///
    /// // The first version counted in cents, under another name.
    /// fn upcast(mut past: Past) -> Past {
    ///     if past.event_type == "paid-in" {
    ///         let amount = past.data["cents"].as_i64().unwrap_or_default() / 100;
    ///         past.event_type = "deposited".to_owned();
    ///         past.data = json!({ "amount": amount });
    ///     }
    ///     past
    /// }
    /// ```
    fn upcast(past: Past) -> Past {
        past
    }
}
