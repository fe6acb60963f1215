//! **A saga: work of several steps, done or undone.** A trip needs a room and a flight, which
//! others book. The handler commands them by events and hears their answers; where a step fails, or
//! is not answered in time, it takes back what was done. The plan below is all of it: the SDK keeps
//! how far each trip is, and what a late answer means.

use waxwing_sdk::prelude::*;
use waxwing_sdk::{Plan, Saga, saga};

/// How long each step may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What `{{ name }}.requested` says; all commands carry it.
#[derive(Default, Clone, Serialize, Deserialize)]
struct Request {
    trip: String,
    destination: String,
}

/// What is kept of a trip under way.
#[derive(Default, Serialize, Deserialize)]
struct Trip {
    request: Request,
}

/// What a service says that cannot do it.
#[derive(Deserialize)]
struct Refusal {
    reason: String,
}

impl Saga for Trip {
    fn plan() -> Plan<Self> {
        Plan::new()
            .start("{{ name }}.requested", |trip: &mut Self, request: Request| {
                trip.request = request
            })
            .step("room", |step| {
                step.run(|trip, cx| cx.emit("{{ name }}.book-room", &trip.request))
                    .done_on("{{ name }}.room-booked")
                    .failed_with("{{ name }}.room-refused", |refusal: Refusal| refusal.reason)
                    .timeout(PATIENCE)
                    .undo(|trip, cx| cx.emit("{{ name }}.cancel-room", &trip.request))
            })
            .step("flight", |step| {
                step.run(|trip, cx| cx.emit("{{ name }}.book-flight", &trip.request))
                    .done_on("{{ name }}.flight-booked")
                    .failed_with("{{ name }}.flight-refused", |refusal: Refusal| refusal.reason)
                    .timeout(PATIENCE)
                    .undo(|trip, cx| cx.emit("{{ name }}.cancel-flight", &trip.request))
            })
            .complete(|trip, cx| cx.emit("{{ name }}.confirmed", &trip.request))
            .cancel(|trip, reason, cx| {
                let cancelled = json!({ "trip": trip.request.trip, "reason": reason });
                cx.emit("{{ name }}.cancelled", &cancelled)
            })
    }
}

#[waxwing_sdk::handler]
fn trip(event: Event<Raw>, cx: &mut Context) -> Outcome {
    saga::<Trip>(event, cx)
}

// `cargo test` runs the function, `waxwing test` the module, as a host does.
#[cfg(test)]
mod tests {
    use super::*;
    use waxwing_sdk::testing::{Scenario, TestEvent, event};

    fn request() -> Value {
        json!({ "trip": "t1", "destination": "Oslo" })
    }

    fn told(event_type: &str) -> TestEvent {
        event(event_type).id(event_type).key("t1").json(&request())
    }

    fn refused(event_type: &str) -> TestEvent {
        told(event_type).json(&json!({ "trip": "t1", "reason": "full" }))
    }

    #[test]
    fn confirms_what_is_booked() {
        Scenario::of(trip)
            .when(told("{{ name }}.requested"))
            .then_emits([("{{ name }}.book-room", request())])
            .when(told("{{ name }}.room-booked"))
            .then_emits([("{{ name }}.book-flight", request())])
            .when(told("{{ name }}.flight-booked"))
            .then_emits([("{{ name }}.confirmed", request())])
            .then_timers([]);
    }

    #[test]
    fn cancels_the_room_where_there_is_no_flight() {
        let cancelled = json!({ "trip": "t1", "reason": "full" });
        Scenario::of(trip)
            .given([told("{{ name }}.requested"), told("{{ name }}.room-booked")])
            .when(refused("{{ name }}.flight-refused"))
            .then_emits([
                ("{{ name }}.cancel-room", request()),
                ("{{ name }}.cancelled", cancelled),
            ]);
    }

    #[test]
    fn gives_up_where_nobody_answers() {
        let cancelled = json!({ "trip": "t1", "reason": "step `room` had no reply within 60s" });
        Scenario::of(trip)
            .given([told("{{ name }}.requested")])
            .when_time_passes(PATIENCE)
            .then_emits([("{{ name }}.cancelled", cancelled)])
            .then_timers([]);
    }
}
