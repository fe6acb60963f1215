//! **The owner of the facts.** The agenda alone decides which locations and events there are, and tells
//! everyone by its own events. Others keep what they need of it in their own state (see the booking
//! handler), so nobody has to ask the agenda, and nobody waits when it is down. An id that was already
//! used is refused; the same command twice changes nothing.

use waxwing_sdk::prelude::*;

#[derive(Serialize, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
struct Location {
    location_id: String,
    name: String,
    capacity: u32,
}

#[derive(Serialize, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
struct ScheduledEvent {
    event_id: String,
    location_id: String,
    title: String,
}

#[waxwing_sdk::handler]
fn agenda(event: Event<Raw>, cx: &mut Context) -> Outcome {
    match event.event_type() {
        "agenda.open-location" => open_location(&event.json()?, cx),
        "agenda.schedule-event" => schedule_event(&event.json()?, cx),
        other => Err(Failure::reject(format!("no rule for commands of type `{other}`"))),
    }
}

fn open_location(location: &Location, cx: &mut Context) -> Outcome {
    if location.capacity == 0 {
        return Err(Failure::reject(format!("location `{}` has no seats", location.location_id)));
    }
    let key = location_key(&location.location_id);
    match cx.state().get::<Location>(&key)? {
        Some(known) if known == *location => return Ok(()),
        Some(_) => return Err(taken("location", &location.location_id)),
        None => cx.state().set(&key, location)?,
    }
    cx.emit("agenda.location-opened", location)
}

fn schedule_event(event: &ScheduledEvent, cx: &mut Context) -> Outcome {
    let key = format!("event/{}", event.event_id);
    match cx.state().get::<ScheduledEvent>(&key)? {
        Some(known) if known == *event => return Ok(()),
        Some(_) => return Err(taken("event", &event.event_id)),
        None => {}
    }
    if cx.state().get_bytes(&location_key(&event.location_id))?.is_none() {
        return Err(Failure::reject(format!("there is no location `{}`", event.location_id)));
    }
    cx.state().set(&key, event)?;
    cx.emit("agenda.event-scheduled", event)
}

fn location_key(id: &str) -> String {
    format!("location/{id}")
}

#[track_caller]
fn taken(what: &str, id: &str) -> Failure {
    Failure::reject(format!("{what} `{id}` is already there and is another one"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use waxwing_sdk::testing::{Run, Sandbox, event};

    fn open(sandbox: &mut Sandbox, capacity: u32) -> Run {
        let command = json!({ "locationId": "l1", "name": "Main hall", "capacity": capacity });
        sandbox.run(agenda, event("agenda.open-location").json(&command))
    }

    fn schedule(sandbox: &mut Sandbox, location_id: &str) -> Run {
        let command = json!({ "eventId": "e1", "locationId": location_id, "title": "Waxwings" });
        sandbox.run(agenda, event("agenda.schedule-event").json(&command))
    }

    #[test]
    fn tells_of_locations_and_events() {
        let mut sandbox = Sandbox::new();
        let opened: Value = open(&mut sandbox, 40).only("agenda.location-opened");
        assert_eq!(opened, json!({ "locationId": "l1", "name": "Main hall", "capacity": 40 }));
        let scheduled: Value = schedule(&mut sandbox, "l1").only("agenda.event-scheduled");
        assert_eq!(scheduled["title"], "Waxwings");
    }

    #[test]
    fn changes_nothing_when_a_command_comes_twice() {
        let mut sandbox = Sandbox::new();
        open(&mut sandbox, 40);
        let again = open(&mut sandbox, 40);
        assert!(again.is_done() && again.emitted().is_empty());
    }

    #[test]
    fn rejects_a_second_location_of_the_same_id() {
        let mut sandbox = Sandbox::new();
        open(&mut sandbox, 40);
        let other = open(&mut sandbox, 50);
        assert_eq!(other.failure().unwrap().reason(), "location `l1` is already there and is another one");
    }

    #[test]
    fn rejects_an_event_at_an_unknown_location() {
        let run = schedule(&mut Sandbox::new(), "nowhere");
        assert_eq!(run.failure().unwrap().reason(), "there is no location `nowhere`");
    }

    #[test]
    fn rejects_a_location_without_seats() {
        let run = open(&mut Sandbox::new(), 0);
        assert_eq!(run.failure().unwrap().reason(), "location `l1` has no seats");
    }
}
