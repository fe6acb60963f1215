//! **Event sourcing.** An account keeps no balance: it keeps what has happened to it, and the
//! balance is what that comes to. A command is decided on the account as it is (`decide`), and
//! either something happens or the command is refused; what has happened changes the account
//! (`evolve`), and is never changed itself.
//!
//! No withdrawal is ever decided on an old balance: where somebody else was faster, the host lets
//! it be decided anew.

use waxwing_sdk::prelude::*;

#[derive(Default, Serialize, Deserialize)]
struct Account {
    /// In cents.
    balance: u64,
}

enum Command {
    Deposit(u64),
    Withdraw(u64),
}

/// What can happen to an account: its history, one event each.
#[derive(Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "kebab-case")]
enum Change {
    Deposited { amount: u64 },
    Withdrawn { amount: u64 },
}

/// Why a command is refused.
#[derive(Serialize, Debug)]
#[serde(rename_all = "kebab-case")]
enum Refusal {
    TooLittle { balance: u64 },
    ImpossibleAmount,
}

impl Aggregate for Account {
    type Command = Command;
    type Event = Change;
    type Refusal = Refusal;

    fn decide(&self, command: Command) -> Result<Vec<Change>, Refusal> {
        match command {
            Command::Deposit(0) | Command::Withdraw(0) => Err(Refusal::ImpossibleAmount),
            Command::Deposit(amount) => match self.balance.checked_add(amount) {
                Some(_) => Ok(vec![Change::Deposited { amount }]),
                None => Err(Refusal::ImpossibleAmount),
            },
            Command::Withdraw(amount) if amount > self.balance => {
                let balance = self.balance;
                Err(Refusal::TooLittle { balance })
            }
            Command::Withdraw(amount) => Ok(vec![Change::Withdrawn { amount }]),
        }
    }

    fn evolve(&mut self, change: Change) {
        match change {
            Change::Deposited { amount } => self.balance = self.balance.saturating_add(amount),
            Change::Withdrawn { amount } => self.balance = self.balance.saturating_sub(amount),
        }
    }
}

/// What a command says.
#[derive(Deserialize)]
struct Order {
    amount: u64,
}

#[waxwing_sdk::handler(aggregate = Account)]
fn account(event: Event<Raw>, cx: &mut Context) -> Outcome {
    let amount = event.json::<Order>()?.amount;
    let command = match event.event_type() {
        "{{ name }}.deposit" => Command::Deposit(amount),
        "{{ name }}.withdraw" => Command::Withdraw(amount),
        _ => return Err(Failure::reject("this is no command for an account")),
    };
    let id = event.key();
    match cx.aggregate::<Account>(id)?.decide(command)? {
        Ok(()) => Ok(()),
        Err(why) => cx.emit("{{ name }}.refused", &json!({ "account": id, "why": why })),
    }
}

// `cargo test` runs the function, `waxwing test` the module, as a host does.
#[cfg(test)]
mod tests {
    use super::*;
    use waxwing_sdk::testing::{Sandbox, Scenario, TestEvent, event};

    fn order(what: &str, amount: u64) -> TestEvent {
        event(what)
            .key("7")
            .json(&json!({ "account": "7", "amount": amount }))
    }

    /// An account to which this has happened.
    fn account_with(history: &[Change]) -> Scenario<Raw> {
        Scenario::of(account)
            .within(Sandbox::new().histories_on("{{ name }}-history"))
            .given_history("7", history)
    }

    #[test]
    fn what_has_happened_makes_the_balance() {
        let sandbox = account_with(&[Change::Deposited { amount: 10 }])
            .when(order("{{ name }}.withdraw", 4))
            .then_emits([("{{ name }}-history.7", json!({ "amount": 4 }))])
            .sandbox();
        assert_eq!(sandbox.aggregate::<Account>("7").balance, 6);
    }

    #[test]
    fn an_overdraft_is_refused_with_what_is_there() {
        let why = json!({ "account": "7", "why": { "too-little": { "balance": 10 } } });
        account_with(&[Change::Deposited { amount: 10 }])
            .when(order("{{ name }}.withdraw", 11))
            .then_emits([("{{ name }}.refused", why)]);
    }
}
