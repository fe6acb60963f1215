//! **Event sourcing.** An account keeps no balance: it keeps what has happened to it, and the balance is what that
//! comes to. A command is decided on the account as it is (`decide`) and either makes something happen or is
//! refused; what has happened changes the account (`evolve`) and is never changed itself. The host reads
//! the history, appends to it, and lets the command be decided anew where somebody else was faster: no withdrawal is
//! ever decided on an old balance.
//!
//! The same function takes commands as events and as requests: whoever asks gets the new balance, or why not.

use waxwing_sdk::prelude::*;

#[derive(Default, Serialize, Deserialize, Debug, PartialEq)]
struct Account {
    /// In cents.
    balance: u64,
    deposits: u64,
}

#[derive(Clone, Copy)]
enum Command {
    Deposit(u64),
    Withdraw(u64),
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
#[serde(tag = "type", content = "data", rename_all = "kebab-case")]
enum Change {
    Deposited { amount: u64 },
    Withdrawn { amount: u64 },
}

#[derive(Serialize, Debug, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum Refusal {
    /// It would be overdrawn: so much is there.
    TooLittle { balance: u64 },
    /// An amount must be positive, and not more than an account can hold.
    ImpossibleAmount,
}

impl Aggregate for Account {
    type Command = Command;
    type Event = Change;
    type Refusal = Refusal;

    fn decide(&self, command: Command) -> Result<Vec<Change>, Refusal> {
        match command {
            Command::Deposit(0) | Command::Withdraw(0) => Err(Refusal::ImpossibleAmount),
            Command::Deposit(amount) if self.balance.checked_add(amount).is_none() => {
                Err(Refusal::ImpossibleAmount)
            }
            Command::Deposit(amount) => Ok(vec![Change::Deposited { amount }]),
            Command::Withdraw(amount) if amount > self.balance => {
                Err(Refusal::TooLittle { balance: self.balance })
            }
            Command::Withdraw(amount) => Ok(vec![Change::Withdrawn { amount }]),
        }
    }

    fn evolve(&mut self, event: Change) {
        match event {
            Change::Deposited { amount } => {
                self.balance = self.balance.saturating_add(amount);
                self.deposits += 1;
            }
            Change::Withdrawn { amount } => self.balance = self.balance.saturating_sub(amount),
        }
    }

    /// The first deposits were called `paid-in`, and counted in whole units.
    fn upcast(mut past: Past) -> Past {
        if past.event_type == "paid-in" {
            let units = past.data.get("units").and_then(Value::as_u64).unwrap_or_default();
            past.event_type = "deposited".to_owned();
            past.data = json!({ "amount": units * 100 });
        }
        past
    }
}

#[derive(Deserialize)]
struct Order {
    amount: u64,
}

#[waxwing_sdk::handler(aggregate = Account)]
fn account(event: Event<Raw>, cx: &mut Context) -> Outcome {
    let id = event.key();
    let command = match event.event_type() {
        "account.deposit" | "cmd.account.deposit" => Some(Command::Deposit(event.json::<Order>()?.amount)),
        "account.withdraw" | "cmd.account.withdraw" => Some(Command::Withdraw(event.json::<Order>()?.amount)),
        "cmd.account.show" => None,
        other => return Err(Failure::reject(format!("`{other}` is no command for an account"))),
    };
    let mut account = cx.aggregate::<Account>(id)?;
    let decided = match command {
        Some(command) => account.decide(command)?,
        None => Ok(()),
    };
    let balance = account.balance;
    match decided {
        Ok(()) if cx.is_asked() => cx.reply(&json!({ "account": id, "balance": balance })),
        Ok(()) => Ok(()),
        Err(refusal) if cx.is_asked() => cx.reply(&json!({ "account": id, "refused": refusal })),
        Err(refusal) => cx.emit("account.refused", &json!({ "account": id, "why": refusal })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use waxwing_sdk::testing::{Sandbox, TestEvent, event};

    fn order(what: &str, amount: u64) -> TestEvent {
        event(what).key("7").json(&json!({ "account": "7", "amount": amount }))
    }

    #[test]
    fn what_has_happened_makes_the_balance() {
        let mut sandbox = Sandbox::new().past("7", &[Change::Deposited { amount: 10 }]);
        assert!(sandbox.run(account, order("account.deposit", 5)).is_done());
        assert!(sandbox.run(account, order("account.withdraw", 12)).is_done());
        assert_eq!(sandbox.aggregate::<Account>("7"), Account { balance: 3, deposits: 2 });
    }

    #[test]
    fn an_overdraft_is_refused_with_what_is_there() {
        let mut sandbox = Sandbox::new().past("7", &[Change::Deposited { amount: 10 }]);
        let why: Value = sandbox.run(account, order("account.withdraw", 11)).only("account.refused");
        assert_eq!(why["why"], json!({ "too-little": { "balance": 10 } }));
        assert_eq!(sandbox.aggregate::<Account>("7").balance, 10);
    }

    #[test]
    fn who_asks_gets_the_balance_or_why_not() {
        let mut sandbox = Sandbox::new();
        let run = sandbox.ask(account, order("cmd.account.deposit", 5));
        assert_eq!(run.reply().unwrap().json::<Value>(), json!({ "account": "7", "balance": 5 }));
        let run = sandbox.ask(account, order("cmd.account.withdraw", 0));
        assert_eq!(run.reply().unwrap().json::<Value>()["refused"], "impossible-amount");
        let run = sandbox.ask(account, order("cmd.account.show", 0));
        assert_eq!(run.reply().unwrap().json::<Value>()["balance"], 5);
    }

    #[test]
    fn an_event_of_the_first_version_is_understood() {
        #[derive(Serialize)]
        #[serde(tag = "type", content = "data", rename_all = "kebab-case")]
        enum First {
            PaidIn { units: u64 },
        }
        let sandbox = Sandbox::new().past("7", &[First::PaidIn { units: 2 }]);
        assert_eq!(sandbox.aggregate::<Account>("7").balance, 200);
    }
}
