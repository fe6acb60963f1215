//! A guest that uses a secret, and ends as its events say: it is done, traps, rejects or is to be tried again.

use waxwing_sdk::prelude::*;

#[derive(Deserialize)]
struct Order {
    secret: String,
    #[serde(default)]
    then: Option<String>,
}

#[waxwing_sdk::handler]
fn seal(event: Event<Order>, cx: &mut Context) -> Outcome {
    let secret = cx.secret(&event.data.secret)?;
    let sealed = seal_of(secret.text()?);
    cx.info(format!("sealed with {secret:?}"));
    match event.data.then.as_deref() {
        Some("trap") => trap(),
        Some("reject") => Err(Failure::reject("not wanted")),
        Some("retry") => Err(Failure::retry("later")),
        _ => cx.emit("seals.made", &sealed),
    }
}

/// FNV-1a: shows that the secret was read, and not what it is.
fn seal_of(secret: &str) -> u64 {
    secret
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

#[expect(clippy::panic, reason = "to trap is what the event asks for")]
fn trap() -> Outcome {
    panic!("as the event says")
}
