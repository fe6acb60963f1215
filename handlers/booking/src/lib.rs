//! **Event collaboration.** The handler asks nobody. It listens to the agenda's events, keeps its own copy
//! of locations and events, and answers every `bookings.requested` from that copy alone, even while the
//! agenda is down. It never oversells: how many seats are taken is one state value an event, and when two
//! runs read the same value the host commits one and runs the other again. So the key in the manifest
//! gives order, not safety. The copy may lag behind; then it refuses politely and says why.

use waxwing_sdk::prelude::*;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LocationOpened {
    location_id: String,
    capacity: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EventScheduled {
    event_id: String,
    location_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BookingRequested {
    booking_id: String,
    event_id: String,
    seats: u32,
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
struct BookingConfirmed {
    booking_id: String,
    event_id: String,
    seats: u32,
    seats_left: u32,
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
struct BookingRefused {
    booking_id: String,
    event_id: String,
    reason: String,
}

/// The copy of an event. The capacity stays with the location: it may become known later.
#[derive(Serialize, Deserialize, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
struct Scheduled {
    location_id: String,
    taken: u32,
}

#[waxwing_sdk::handler]
fn booking(event: Event<Raw>, cx: &mut Context) -> Outcome {
    match event.event_type() {
        "agenda.location-opened" => learn_location(&event.json()?, cx),
        "agenda.event-scheduled" => learn_event(event.json()?, cx),
        "bookings.requested" => answer(event.json()?, cx),
        other => Err(Failure::reject(format!("no rule for events of type `{other}`"))),
    }
}

fn learn_location(location: &LocationOpened, cx: &mut Context) -> Outcome {
    cx.state().set(&location_key(&location.location_id), &location.capacity)?;
    Ok(())
}

fn learn_event(event: EventScheduled, cx: &mut Context) -> Outcome {
    let key = event_key(&event.event_id);
    let known: Option<Scheduled> = cx.state().get(&key)?;
    let scheduled = Scheduled { location_id: event.location_id, taken: known.map_or(0, |known| known.taken) };
    cx.state().set(&key, &scheduled)?;
    Ok(())
}

fn answer(request: BookingRequested, cx: &mut Context) -> Outcome {
    match book(&request, cx)? {
        Ok(seats_left) => cx.emit(
            "bookings.confirmed",
            &BookingConfirmed {
                booking_id: request.booking_id,
                event_id: request.event_id,
                seats: request.seats,
                seats_left,
            },
        ),
        Err(reason) => cx.emit(
            "bookings.refused",
            &BookingRefused { booking_id: request.booking_id, event_id: request.event_id, reason },
        ),
    }
}

/// The seats left after the booking, or why there is none. A refusal is an answer, not a failed run.
fn book(request: &BookingRequested, cx: &mut Context) -> Result<Result<u32, String>, Failure> {
    if request.seats == 0 {
        return Ok(Err("no seats were asked for".to_owned()));
    }
    let key = event_key(&request.event_id);
    let Some(mut event) = cx.state().get::<Scheduled>(&key)? else {
        return Ok(Err("unknown event".to_owned()));
    };
    let Some(capacity) = cx.state().get::<u32>(&location_key(&event.location_id))? else {
        return Ok(Err("the seats of this event are not known yet".to_owned()));
    };
    let left = capacity.saturating_sub(event.taken);
    let Some(seats_left) = left.checked_sub(request.seats) else {
        return Ok(Err(match left {
            0 => "sold out".to_owned(),
            left => format!("only {left} seats left"),
        }));
    };
    event.taken += request.seats;
    cx.state().set(&key, &event)?;
    Ok(Ok(seats_left))
}

fn location_key(id: &str) -> String {
    format!("location/{id}")
}

fn event_key(id: &str) -> String {
    format!("event/{id}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use waxwing_sdk::testing::{Run, Sandbox, event};

    fn hear(sandbox: &mut Sandbox, event_type: &str, data: Value) -> Run {
        let run = sandbox.run(booking, event(event_type).json(&data));
        assert!(run.is_done(), "{run:?}");
        run
    }

    fn open(sandbox: &mut Sandbox, capacity: u32) {
        let location = json!({ "locationId": "l1", "name": "Main hall", "capacity": capacity });
        hear(sandbox, "agenda.location-opened", location);
    }

    fn schedule(sandbox: &mut Sandbox) {
        let scheduled = json!({ "eventId": "e1", "locationId": "l1", "title": "Waxwings" });
        hear(sandbox, "agenda.event-scheduled", scheduled);
    }

    fn request(sandbox: &mut Sandbox, seats: u32) -> Run {
        let request = json!({ "bookingId": "b1", "eventId": "e1", "seats": seats });
        hear(sandbox, "bookings.requested", request)
    }

    fn refusal(run: &Run) -> String {
        run.only::<BookingRefused>("bookings.refused").reason
    }

    #[test]
    fn confirms_until_the_seats_are_gone() {
        let mut sandbox = Sandbox::new();
        open(&mut sandbox, 5);
        schedule(&mut sandbox);
        let confirmed: BookingConfirmed = request(&mut sandbox, 3).only("bookings.confirmed");
        assert_eq!(confirmed.seats_left, 2);
        assert_eq!(refusal(&request(&mut sandbox, 3)), "only 2 seats left");
        let last: BookingConfirmed = request(&mut sandbox, 2).only("bookings.confirmed");
        assert_eq!(last.seats_left, 0);
        assert_eq!(refusal(&request(&mut sandbox, 1)), "sold out");
    }

    #[test]
    fn refuses_an_event_it_has_not_heard_of() {
        assert_eq!(refusal(&request(&mut Sandbox::new(), 1)), "unknown event");
    }

    #[test]
    fn refuses_while_the_location_is_unknown_and_books_when_it_is_known() {
        let mut sandbox = Sandbox::new();
        schedule(&mut sandbox);
        let run = request(&mut sandbox, 1);
        assert_eq!(refusal(&run), "the seats of this event are not known yet");
        open(&mut sandbox, 5);
        let confirmed: BookingConfirmed = request(&mut sandbox, 1).only("bookings.confirmed");
        assert_eq!(confirmed.seats_left, 4);
    }

    #[test]
    fn keeps_the_bookings_when_an_event_is_told_again() {
        let mut sandbox = Sandbox::new();
        open(&mut sandbox, 5);
        schedule(&mut sandbox);
        request(&mut sandbox, 5);
        schedule(&mut sandbox);
        assert_eq!(refusal(&request(&mut sandbox, 1)), "sold out");
    }

    #[test]
    fn refuses_a_booking_of_no_seats() {
        assert_eq!(refusal(&request(&mut Sandbox::new(), 0)), "no seats were asked for");
    }
}
