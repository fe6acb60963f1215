//! The handler's module on a host for tests. `waxwing test` runs a crate's tests with the address of such a host in
//! their environment; scenarios then run the module on it, the engine's memory log beneath, instead of the function.
//!
//! A line of JSON for each run goes there: what the handler finds, and the event. A line comes back: what came of it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Emitted, Replied, Run, SetTimer, TestEvent};
use crate::Failure;
use crate::bindings::waxwing::events::types;
use crate::host::Host;

/// Where a host for tests listens.
const ADDRESS: &str = "WAXWING_TEST_HOST";

/// The address of a host that runs the module, where there is one.
pub(super) fn address() -> Option<String> {
    std::env::var(ADDRESS).ok().filter(|address| !address.is_empty())
}

/// What a run finds, and what it is run on.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Asked<'a> {
    event: Record,
    /// The id of the timer whose event it is.
    timer: Option<&'a str>,
    is_asked: bool,
    now_ms: u64,
    settings: &'a BTreeMap<String, String>,
    secrets: &'a BTreeMap<String, Vec<u8>>,
    grants: Option<&'a [String]>,
    aggregate: Option<&'a str>,
    state: &'a BTreeMap<String, Vec<u8>>,
    /// Keys of the state that are snapshots, and up to which event.
    snapshots: &'a BTreeMap<String, u64>,
    histories: BTreeMap<&'a str, Vec<Record>>,
    timers: BTreeMap<&'a str, Timer>,
}

/// What came of a run.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Came {
    /// Why there is nothing to tell.
    error: Option<String>,
    failure: Option<Failed>,
    #[serde(default)]
    emitted: Vec<Record>,
    reply: Option<Reply>,
    #[serde(default)]
    state: BTreeMap<String, Vec<u8>>,
    #[serde(default)]
    snapshots: Vec<String>,
    #[serde(default)]
    histories: BTreeMap<String, Vec<Record>>,
    #[serde(default)]
    timers: BTreeMap<String, Timer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Failed {
    is_retry: bool,
    after_ms: Option<u64>,
    reason: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reply {
    data: Vec<u8>,
    content_type: Option<String>,
    attributes: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Timer {
    due_ms: u64,
    data: Vec<u8>,
    content_type: Option<String>,
    key: Option<String>,
}

/// An event.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    id: String,
    source: String,
    #[serde(rename = "type")]
    event_type: String,
    subject: String,
    about: Option<String>,
    time: Option<String>,
    content_type: Option<String>,
    data_schema: Option<String>,
    correlation_id: String,
    causation_id: Option<String>,
    key: Option<String>,
    position: u64,
    attempt: u32,
    extensions: Vec<(String, String)>,
    data: Vec<u8>,
}

/// Runs the module; what it has set is kept when it succeeds.
///
/// # Panics
/// When the host does not answer, or cannot run it.
#[track_caller]
pub(super) fn run(
    address: &str,
    host: &mut Host,
    event: &TestEvent,
    timer: Option<&str>,
    is_asked: bool,
) -> Run {
    let asked = Asked {
        event: Record::of(&event.record),
        timer,
        is_asked,
        now_ms: ms(host.now),
        settings: &host.settings,
        secrets: &host.secrets,
        grants: host.grants.as_deref(),
        aggregate: host.aggregate.as_deref(),
        state: &host.state,
        snapshots: &host.snapshots,
        histories: host
            .histories
            .iter()
            .map(|(id, events)| (id.as_str(), events.iter().map(Record::of).collect()))
            .collect(),
        timers: host.timers.iter().map(|(id, timer)| (id.as_str(), Timer::of(timer))).collect(),
    };
    let came = ask(address, &asked)
        .unwrap_or_else(|error| panic!("the host for tests at {address} does not answer: {error}"));
    if let Some(error) = came.error {
        panic!("the module could not be run: {error}");
    }
    came.into_run(host)
}

fn ask(address: &str, asked: &Asked<'_>) -> Result<Came, Box<dyn std::error::Error>> {
    let mut stream = TcpStream::connect(address)?;
    let mut line = serde_json::to_vec(asked)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    Ok(serde_json::from_str(&answer)?)
}

impl Came {
    fn into_run(self, host: &mut Host) -> Run {
        let none =
            Run { outcome: Ok(()), emitted: Vec::new(), lines: Vec::new(), replied: None, calls: Vec::new() };
        if let Some(Failed { is_retry, after_ms, reason }) = self.failure {
            let after = after_ms.map(Duration::from_millis);
            return Run { outcome: Err(Failure::told(is_retry, after, reason)), ..none };
        }
        host.state = self.state;
        host.timers = self.timers.into_iter().map(|(id, timer)| (id, timer.into_set())).collect();
        for (id, events) in self.histories {
            let known = host.histories.entry(id).or_default();
            for event in events.into_iter().skip(known.len()) {
                host.appended += 1;
                known.push(event.into_past(host.appended));
            }
        }
        host.snapshots.retain(|key, _| self.snapshots.contains(key));
        host.snapshots.extend(self.snapshots.into_iter().map(|key| (key, host.appended)));
        let emitted = self.emitted.into_iter().map(Record::into_emitted).collect();
        let replied = self.reply.map(|Reply { data, content_type, attributes }| Replied {
            data,
            content_type: or_json(content_type),
            attributes,
        });
        Run { emitted, replied, ..none }
    }
}

impl Record {
    fn of(event: &types::Event) -> Record {
        let event = event.clone();
        let extensions = event.extensions.into_iter();
        Record {
            id: event.id,
            source: event.source,
            event_type: event.type_,
            subject: event.subject,
            about: event.about,
            time: event.time,
            content_type: event.content_type,
            data_schema: event.data_schema,
            correlation_id: event.correlation_id,
            causation_id: event.causation_id,
            key: event.key,
            position: event.position,
            attempt: event.attempt,
            extensions: extensions.map(|attribute| (attribute.name, attribute.value)).collect(),
            data: event.data,
        }
    }

    fn into_past(self, position: u64) -> types::Event {
        super::event(&self.event_type).position(position).bytes(self.data).record
    }

    fn into_emitted(self) -> Emitted {
        Emitted {
            subject: self.subject,
            event_type: self.event_type,
            about: self.about,
            content_type: or_json(self.content_type),
            data_schema: self.data_schema,
            extensions: self.extensions.into_iter().collect(),
            data: self.data,
        }
    }
}

impl Timer {
    fn of(set: &SetTimer) -> Timer {
        let SetTimer { due, data, content_type, key } = set.clone();
        Timer { due_ms: ms(due), data, content_type: Some(content_type), key }
    }

    fn into_set(self) -> SetTimer {
        SetTimer {
            due: Duration::from_millis(self.due_ms),
            data: self.data,
            content_type: or_json(self.content_type),
            key: self.key,
        }
    }
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The media type of data where nothing else is said.
fn or_json(content_type: Option<String>) -> String {
    content_type.unwrap_or_else(|| "application/json".to_owned())
}
