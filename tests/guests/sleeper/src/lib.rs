//! The guest of the tests of long runs: it says that it begins, sleeps for as long as the event says, and emits.

use std::{thread, time::Duration};

use waxwing_sdk::prelude::*;

#[derive(Serialize, Deserialize)]
struct Nap {
    n: u64,
    sleep_ms: u64,
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct Slept {
    n: u64,
}

#[waxwing_sdk::handler]
fn sleep(event: Event<Nap>, cx: &mut Context) -> Outcome {
    let Nap { n, sleep_ms } = event.data;
    cx.info(format!("nap {n} begins"));
    thread::sleep(Duration::from_millis(sleep_ms));
    cx.emit("naps.slept", &Slept { n })
}

#[cfg(test)]
mod tests {
    use super::*;
    use waxwing_sdk::testing::{Sandbox, event};

    #[test]
    fn tells_of_each_nap() {
        let nap = event("in.nap").json(&json!({ "n": 7, "sleep_ms": 1 }));
        assert_eq!(Sandbox::new().run(sleep, nap).only::<Slept>("naps.slept"), Slept { n: 7 });
    }
}
