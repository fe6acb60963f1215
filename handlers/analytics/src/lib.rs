//! **Document events, from a window of time.** A document event carries all that its readers need, so that
//! none has to ask. The handler counts what it hears by type, and when the window is over its timer tells the
//! counts as one document. A window opens with its first event and lasts as long as the setting
//! `window-seconds` says; windows do not overlap, and none is empty. Counting and telling are transactions:
//! each event is in exactly one window, once.

use std::collections::BTreeMap;

use waxwing_sdk::prelude::*;

const MINUTE: u64 = 60;

#[derive(Serialize, Deserialize, Default)]
struct Window {
    /// The time of the event that has opened it.
    from: Option<String>,
    /// Ordered, so that the same events always give the same bytes.
    counts: BTreeMap<String, u64>,
}

#[derive(Serialize)]
struct WindowClosed<'a> {
    from: Option<&'a str>,
    to: Option<&'a str>,
    counts: &'a BTreeMap<String, u64>,
    total: u64,
}

#[waxwing_sdk::handler]
fn analytics(event: Event<Raw>, cx: &mut Context) -> Outcome {
    match event.timer() {
        Some(_) => close(&event, cx),
        None => count(&event, cx),
    }
}

fn count(event: &Event<Raw>, cx: &mut Context) -> Outcome {
    let mut window = match cx.state().get("window")? {
        Some(window) => window,
        None => open(event, cx)?,
    };
    *window.counts.entry(event.event_type().to_owned()).or_default() += 1;
    cx.state().set("window", &window)?;
    Ok(())
}

fn open(event: &Event<Raw>, cx: &mut Context) -> Result<Window, Failure> {
    let seconds = cx.setting_as("window-seconds")?.unwrap_or(MINUTE);
    cx.timer("window").after(Duration::from_secs(seconds))?;
    Ok(Window { from: event.time().map(str::to_owned), ..Window::default() })
}

fn close(event: &Event<Raw>, cx: &mut Context) -> Outcome {
    let window: Window = cx.state().get("window")?.unwrap_or_default();
    cx.state().delete("window")?;
    let Window { from, counts } = &window;
    let total = counts.values().sum();
    cx.emit(
        "analytics.window-closed",
        &WindowClosed { from: from.as_deref(), to: event.time(), counts, total },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use waxwing_sdk::testing::{Sandbox, Scenario, TestEvent, event};

    fn placed(second: u32) -> TestEvent {
        event("orders.placed").time(&format!("1970-01-01T00:00:{second:02}Z"))
    }

    fn ten_seconds() -> Scenario<Raw> {
        Scenario::of(analytics).within(Sandbox::new().setting("window-seconds", "10"))
    }

    #[test]
    fn tells_the_counts_of_each_type_when_the_window_is_over() {
        ten_seconds()
            .given([placed(0), event("payments.authorized"), placed(3)])
            .when_time_passes(Duration::from_secs(9))
            .then_emits_nothing()
            .when_time_passes(Duration::from_secs(1))
            .then_emits([(
                "analytics.window-closed",
                json!({
                    "from": "1970-01-01T00:00:00Z",
                    "to": "1970-01-01T00:00:10Z",
                    "counts": { "orders.placed": 2, "payments.authorized": 1 },
                    "total": 3,
                }),
            )])
            .then_no_state("window")
            .then_timers([]);
    }

    #[test]
    fn opens_the_next_window_with_its_first_event() {
        ten_seconds()
            .given([placed(0)])
            .when_time_passes(Duration::from_secs(15))
            .when(placed(15))
            .when_time_passes(Duration::from_secs(10))
            .then_emits([(
                "analytics.window-closed",
                json!({
                    "from": "1970-01-01T00:00:15Z",
                    "to": "1970-01-01T00:00:25Z",
                    "counts": { "orders.placed": 1 },
                    "total": 1,
                }),
            )]);
    }
}
