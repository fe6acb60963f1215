//! A saga of steps that only wait for their events, in whatever order these come.

use waxwing_sdk::prelude::*;
use waxwing_sdk::{Plan, Saga, saga};

#[derive(Default, Serialize, Deserialize)]
struct Joined {
    customer: Option<String>,
    order: Option<String>,
    payment: Option<u32>,
}

#[derive(Deserialize)]
struct Said {
    what: String,
}

#[derive(Deserialize)]
struct Paid {
    cents: u32,
}

impl Saga for Joined {
    fn plan() -> Plan<Self> {
        Plan::new()
            .start("join.ordered", |joined: &mut Self, said: Said| joined.order = Some(said.what))
            .step("customer", |step| {
                step.done_with("join.registered", |joined, said: Said| joined.customer = Some(said.what))
            })
            .step("payment", |step| {
                step.done_with("join.paid", |joined, paid: Paid| joined.payment = Some(paid.cents))
            })
            .complete(|joined, cx| cx.emit("joined.complete", joined))
            .wait(Duration::from_secs(3))
    }
}

#[waxwing_sdk::handler]
fn joiner(event: Event<Raw>, cx: &mut Context) -> Outcome {
    saga::<Joined>(event, cx)
}
