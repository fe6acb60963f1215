//! A guest that fails as its events and settings say.
//!
//! An event with `poison` fails as the setting `poison` names (`reject`, `error`, `loop` or `memory`), until the
//! setting `fixed` is `yes`. Before the moment `down-until`, in milliseconds since 1970, every event fails as
//! if something that the handler needs were down.

use std::time::{SystemTime, UNIX_EPOCH};

use waxwing_sdk::prelude::*;

#[derive(Serialize, Deserialize)]
struct Work {
    key: String,
    n: u64,
    #[serde(default)]
    poison: bool,
}

#[waxwing_sdk::handler]
fn work(event: Event<Work>, cx: &mut Context) -> Outcome {
    if is_down(cx)? {
        cx.info("tried while down");
        return Err(Failure::retry("the shop is closed"));
    }
    if event.data.poison && cx.setting("fixed").as_deref() != Some("yes") {
        fail(cx.setting("poison").as_deref())?;
    }
    let out = cx.setting("out").or_retry()?;
    cx.emit(&out, &event.data)
}

fn is_down(cx: &Context) -> Result<bool, Failure> {
    let Some(until) = cx.setting("down-until") else { return Ok(false) };
    let until: u128 = until.parse().or_reject("down-until")?;
    Ok(SystemTime::now().duration_since(UNIX_EPOCH).or_reject("the clock")?.as_millis() < until)
}

fn fail(how: Option<&str>) -> Outcome {
    match how {
        Some("reject") => Err(Failure::reject("poison")),
        Some("loop") => loop {
            std::hint::spin_loop();
        },
        Some("memory") => {
            let mut bombs = Vec::new();
            loop {
                bombs.push(vec![1_u8; 1 << 20]);
                std::hint::black_box(&bombs);
            }
        }
        _ => Err(Failure::retry("poison")),
    }
}
