//! The NATS micro service protocol (ADR-32): what a service says of itself, and what it has counted.
//!
//! An app is a service, each of its hosts an instance, each request subject of a handler an endpoint of the
//! handler's name.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard},
    time::Duration,
};

use jiff::Timestamp;
use serde::Serialize;
use waxwing_engine::port::requests::Answer;
use waxwing_event::{AppName, HandlerName, HandlerSpec, Headers, Pattern, Subject};

/// The header with the code of an answer that is an error.
pub const ERROR_CODE_HEADER: &str = "Nats-Service-Error-Code";

/// The header with the reason of an answer that is an error.
pub const ERROR_HEADER: &str = "Nats-Service-Error";

/// An app, as one host announces it.
#[derive(Debug)]
pub struct Service {
    /// The app: the service's name.
    pub app: AppName,
    /// The host: the instance's id.
    pub host: String,
    /// The version of the program, as semantic versioning has it.
    pub version: String,
    /// One for each request subject of each handler that is served.
    pub endpoints: RwLock<Vec<Arc<Endpoint>>>,
    /// When the host began.
    pub started: Timestamp,
}

/// A request subject of a handler, and what was counted on this host.
#[derive(Debug)]
pub struct Endpoint {
    /// The handler.
    pub handler: HandlerName,
    /// The subject.
    pub subject: Pattern,
    /// The queue group that the app's hosts share.
    pub queue_group: String,
    counted: Mutex<Counted>,
}

#[derive(Debug, Clone, Default)]
struct Counted {
    requests: u64,
    errors: u64,
    last_error: String,
    elapsed: Duration,
}

impl Service {
    /// This host of the app, which serves these handlers at first.
    pub fn new<'s>(
        app: AppName,
        host: String,
        handlers: impl IntoIterator<Item = &'s HandlerSpec>,
    ) -> Service {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let service = Service { app, host, version, endpoints: RwLock::default(), started: Timestamp::now() };
        handlers.into_iter().for_each(|spec| service.serve(spec));
        service
    }

    /// Serves a handler's request subjects, and of this handler no others: one that was served before keeps its counts.
    pub fn serve(&self, spec: &HandlerSpec) {
        let mut endpoints = self.endpoints.write().unwrap_or_else(PoisonError::into_inner);
        let is_own = |endpoint: &Arc<Endpoint>| endpoint.handler == spec.name;
        endpoints.retain(|endpoint| !is_own(endpoint) || spec.request.contains(&endpoint.subject));
        for subject in &spec.request {
            if !endpoints.iter().any(|endpoint| is_own(endpoint) && endpoint.subject == *subject) {
                let group = queue_group(&self.app, &spec.name);
                endpoints.push(Arc::new(Endpoint::new(spec.name.clone(), subject.clone(), group)));
            }
        }
    }

    /// True where requests are served.
    pub fn is_of_use(&self) -> bool {
        !self.endpoints().is_empty()
    }

    fn endpoints(&self) -> RwLockReadGuard<'_, Vec<Arc<Endpoint>>> {
        self.endpoints.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Endpoint {
    /// An endpoint of which nothing is counted yet.
    pub fn new(handler: HandlerName, subject: Pattern, queue_group: String) -> Endpoint {
        Endpoint { handler, subject, queue_group, counted: Mutex::default() }
    }

    /// Counts an answer that this host gave, and the time since the request came.
    pub fn count(&self, answer: &Answer, elapsed: Duration) {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        counted.requests += 1;
        counted.elapsed += elapsed;
        if let Answer::Refused { code, reason } = answer {
            counted.errors += 1;
            counted.last_error = format!("{code}:{reason}");
        }
    }

    fn counted(&self) -> Counted {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What can be asked of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Who is there?
    Ping,
    /// What are you?
    Info,
    /// What have you counted?
    Stats,
}

impl Verb {
    /// All of them.
    pub const ALL: [Verb; 3] = [Verb::Ping, Verb::Info, Verb::Stats];

    fn word(self) -> &'static str {
        match self {
            Verb::Ping => "PING",
            Verb::Info => "INFO",
            Verb::Stats => "STATS",
        }
    }
}

#[derive(Serialize)]
struct Response<'a> {
    r#type: &'static str,
    name: &'a str,
    id: &'a str,
    version: &'a str,
    metadata: BTreeMap<&'static str, &'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoints: Option<Vec<EndpointResponse<'a>>>,
}

#[derive(Serialize)]
struct EndpointResponse<'a> {
    name: &'a str,
    subject: &'a str,
    queue_group: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<BTreeMap<&'static str, &'a str>>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    counted: Option<CountedResponse>,
}

#[derive(Serialize)]
struct CountedResponse {
    num_requests: u64,
    num_errors: u64,
    last_error: String,
    processing_time: u64,
    average_processing_time: u64,
}

impl Service {
    /// The subjects on which a verb is asked: of all services, of those of this name, of this one.
    pub fn subjects(&self, verb: Verb) -> [String; 3] {
        let (word, app, host) = (verb.word(), &self.app, &self.host);
        [format!("$SRV.{word}"), format!("$SRV.{word}.{app}"), format!("$SRV.{word}.{app}.{host}")]
    }

    /// The answer to a verb, as JSON.
    pub fn response(&self, verb: Verb) -> Vec<u8> {
        let endpoints = self.endpoints();
        let of_endpoints = |each: fn(&Endpoint) -> EndpointResponse<'_>| {
            Some(endpoints.iter().map(|endpoint| each(endpoint)).collect())
        };
        let mut response = Response {
            r#type: "io.nats.micro.v1.ping_response",
            name: self.app.as_str(),
            id: &self.host,
            version: &self.version,
            metadata: BTreeMap::from([("runtime", "waxwing")]),
            description: None,
            started: None,
            endpoints: None,
        };
        match verb {
            Verb::Ping => {}
            Verb::Info => {
                response.r#type = "io.nats.micro.v1.info_response";
                response.description = Some(format!("The app `{}`, run by Waxwing", self.app));
                response.endpoints = of_endpoints(Endpoint::info);
            }
            Verb::Stats => {
                response.r#type = "io.nats.micro.v1.stats_response";
                response.started = Some(self.started);
                response.endpoints = of_endpoints(Endpoint::stats);
            }
        }
        // Maps with text keys and plain values always have a JSON form.
        serde_json::to_vec(&response).unwrap_or_default()
    }

    /// The endpoint to which a request on this subject came.
    pub fn endpoint(&self, handler: &HandlerName, subject: &Subject) -> Option<Arc<Endpoint>> {
        let endpoints = self.endpoints();
        let mut own = endpoints.iter().filter(|endpoint| endpoint.handler == *handler);
        own.find(|endpoint| endpoint.subject.matches(subject.as_str())).cloned()
    }
}

impl Endpoint {
    fn info(&self) -> EndpointResponse<'_> {
        EndpointResponse {
            name: self.handler.as_str(),
            subject: self.subject.as_str(),
            queue_group: &self.queue_group,
            metadata: Some(BTreeMap::from([("handler", self.handler.as_str())])),
            counted: None,
        }
    }

    fn stats(&self) -> EndpointResponse<'_> {
        let Counted { requests, errors, last_error, elapsed } = self.counted();
        let nanos = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        let counted = CountedResponse {
            num_requests: requests,
            num_errors: errors,
            last_error,
            processing_time: nanos,
            average_processing_time: nanos.checked_div(requests).unwrap_or(0),
        };
        EndpointResponse { metadata: None, counted: Some(counted), ..self.info() }
    }
}

/// Headers and payload of an answer, as they go out.
pub fn encode(answer: &Answer) -> (Headers, bytes::Bytes) {
    match answer {
        Answer::Reply { headers, payload } => (headers.clone(), payload.clone()),
        Answer::Refused { code, reason } => {
            let headers = [(ERROR_CODE_HEADER, code.to_string()), (ERROR_HEADER, reason.clone())];
            (headers.into_iter().collect(), bytes::Bytes::new())
        }
    }
}

/// The queue group in which an app's hosts share a handler's subjects. It is the same on each of them.
pub fn queue_group(app: &AppName, handler: &HandlerName) -> String {
    format!("wx-{app}-{handler}")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn service() -> Service {
        let (app, handler): (AppName, HandlerName) = ("shop".parse().unwrap(), "basket".parse().unwrap());
        let endpoint = |subject: &str| {
            let group = queue_group(&app, &handler);
            Arc::new(Endpoint::new(handler.clone(), subject.parse().unwrap(), group))
        };
        let endpoints = RwLock::new(vec![endpoint("cmd.basket.>"), endpoint("show.basket")]);
        Service { host: "h1".into(), version: "0.1.0".into(), endpoints, started: Timestamp::UNIX_EPOCH, app }
    }

    fn said(service: &Service, verb: Verb) -> Value {
        serde_json::from_slice(&service.response(verb)).unwrap()
    }

    #[test]
    fn answers_as_the_protocol_says() {
        let service = service();
        let common =
            json!({ "name": "shop", "id": "h1", "version": "0.1.0", "metadata": { "runtime": "waxwing" } });
        for (verb, kind) in [(Verb::Ping, "ping"), (Verb::Info, "info"), (Verb::Stats, "stats")] {
            let said = said(&service, verb);
            assert_eq!(said["type"], format!("io.nats.micro.v1.{kind}_response"));
            for (name, value) in common.as_object().unwrap() {
                assert_eq!(said[name], *value, "{kind}");
            }
        }
        let info = said(&service, Verb::Info);
        assert_eq!(info["description"], "The app `shop`, run by Waxwing");
        let first = json!({
            "name": "basket", "subject": "cmd.basket.>", "queue_group": "wx-shop-basket",
            "metadata": { "handler": "basket" },
        });
        assert_eq!(info["endpoints"][0], first);
        assert_eq!(info["endpoints"].as_array().unwrap().len(), 2);
        assert_eq!(service.subjects(Verb::Stats), ["$SRV.STATS", "$SRV.STATS.shop", "$SRV.STATS.shop.h1"]);
    }

    #[test]
    fn counts_answers_and_errors_of_each_endpoint() {
        let service = service();
        let (subject, handler) = (Subject::from_checked("show.basket"), "basket".parse().unwrap());
        let endpoint = service.endpoint(&handler, &subject).unwrap();
        let reply = Answer::Reply { headers: Headers::new(), payload: bytes::Bytes::new() };
        endpoint.count(&reply, Duration::from_nanos(10));
        endpoint.count(&Answer::Refused { code: 400, reason: "no".into() }, Duration::from_nanos(5));
        let stats = said(&service, Verb::Stats);
        let counted = json!({
            "name": "basket", "subject": "show.basket", "queue_group": "wx-shop-basket", "num_requests": 2,
            "num_errors": 1, "last_error": "400:no", "processing_time": 15, "average_processing_time": 7,
        });
        assert_eq!(stats["endpoints"][1], counted);
        assert_eq!(
            (&stats["endpoints"][0]["num_requests"], &stats["endpoints"][0]["last_error"]),
            (&json!(0), &json!(""))
        );
        assert_eq!(stats["started"], "1970-01-01T00:00:00Z");
    }

    #[test]
    fn an_error_is_known_by_its_headers() {
        let (headers, payload) = encode(&Answer::Refused { code: 503, reason: "nobody".into() });
        assert_eq!(
            (headers.get(ERROR_CODE_HEADER), headers.get(ERROR_HEADER)),
            (Some("503"), Some("nobody"))
        );
        assert!(payload.is_empty());
    }
}
