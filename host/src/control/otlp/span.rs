//! The spans of a run: names and attributes are those of OpenTelemetry's conventions for messaging and for CloudEvents.

use std::{
    borrow::Cow,
    time::{Duration, SystemTime},
};

use opentelemetry::{
    InstrumentationScope, KeyValue,
    trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState},
};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use waxwing_engine::{
    entry::version::VersionNumber,
    port::{
        observe::{Handled, HandledResult, VisitResult, Visited},
        requests::Kind,
    },
    trace::Span,
};
use waxwing_event::{Event, Failure, HandlerName, HandlerSpec, Pattern, Position, Subject};

/// The most bytes of a reason that a span holds.
const REASON_BYTES: usize = 4 << 10;

/// A run that has come to an end, and all that is told of it.
pub(super) struct Run<'a> {
    handler: &'a HandlerName,
    event: &'a Event,
    span: Span,
    kind: SpanKind,
    outcome: &'static str,
    failure: Option<Cow<'a, str>>,
    emitted: &'a [Subject],
    version: Option<VersionNumber>,
    /// In the sandbox, and until its commit was durable.
    took: Duration,
    queued: Option<Duration>,
    committing: Option<Duration>,
}

impl<'a> Run<'a> {
    /// None where it is part of no trace, or of one that is not kept and it has not failed.
    pub(super) fn of_handled(handled: &'a Handled<'_>) -> Option<Run<'a>> {
        let (outcome, failure, emitted) = match &handled.result {
            HandledResult::Done { emitted, .. } => ("done", None, *emitted),
            HandledResult::Dead(failure) => ("dead", Some(reason(failure)), &[][..]),
            HandledResult::Parked { failure: Some(failure), .. } => ("retry", Some(reason(failure)), &[][..]),
            // It has not run.
            HandledResult::Parked { failure: None, .. } => return None,
        };
        let run = Run {
            handler: handled.handler,
            event: handled.event?,
            span: handled.span?,
            kind: SpanKind::Consumer,
            outcome,
            failure,
            emitted,
            version: handled.version,
            took: handled.elapsed + handled.committing.unwrap_or_default(),
            queued: handled.queued,
            committing: handled.committing,
        };
        run.is_kept().then_some(run)
    }

    /// The same of a request or a live message.
    pub(super) fn of_visited(visited: &'a Visited<'_>) -> Option<Run<'a>> {
        let (outcome, failure, emitted) = match &visited.result {
            VisitResult::Done { emitted, .. } => ("done", None, *emitted),
            VisitResult::Failed(failure) => ("failed", Some(reason(failure)), &[][..]),
            VisitResult::Refused(why) => ("refused", Some(Cow::from(*why)), &[][..]),
            VisitResult::Known => return None,
        };
        let run = Run {
            handler: visited.handler,
            event: visited.event?,
            span: visited.span?,
            kind: if visited.kind == Kind::Request { SpanKind::Server } else { SpanKind::Consumer },
            outcome,
            failure,
            emitted,
            version: None,
            took: visited.elapsed,
            queued: None,
            committing: None,
        };
        run.is_kept().then_some(run)
    }

    /// Failures are kept in any case.
    fn is_kept(&self) -> bool {
        self.span.context.is_sampled() || self.failure.is_some()
    }

    /// Its span, and those of what it has emitted; it was over at `end`.
    pub(super) fn spans(
        &self,
        spec: Option<&HandlerSpec>,
        end: SystemTime,
    ) -> impl Iterator<Item = SpanData> {
        let start = end.checked_sub(self.took).unwrap_or(end);
        let emitted_at = end.checked_sub(self.committing.unwrap_or_default()).unwrap_or(end);
        let emitted = (0..).zip(self.emitted).map(move |(index, subject)| {
            let span = self.span.of_emitted(index);
            let pattern = spec.and_then(|spec| emits(spec, subject));
            let name = format!("send {}", pattern.map_or_else(|| subject.as_str(), Pattern::as_str));
            let mut attributes = self.common("send", subject, pattern);
            attributes
                .push(KeyValue::new("messaging.message.conversation_id", self.event.correlation_id.clone()));
            data(&span, SpanKind::Producer, name, (emitted_at, end), attributes, Status::Unset)
        });
        std::iter::once(self.own(spec, start, end)).chain(emitted)
    }

    fn own(&self, spec: Option<&HandlerSpec>, start: SystemTime, end: SystemTime) -> SpanData {
        let event = self.event;
        let pattern = spec.and_then(|spec| hears(spec, &event.subject));
        let name = format!("process {}", pattern.map_or(event.event_type.as_str(), Pattern::as_str));
        let mut attributes = self.common("process", &event.subject, pattern);
        let text = |name: &'static str, value: &str| KeyValue::new(name, value.to_owned());
        let seconds = |name: &'static str, time: Duration| KeyValue::new(name, time.as_secs_f64());
        attributes.extend([
            text("messaging.message.id", &event.id),
            text("messaging.message.conversation_id", &event.correlation_id),
            text("cloudevents.event_id", &event.id),
            text("cloudevents.event_source", &event.source),
            text("cloudevents.event_type", &event.event_type),
            text("cloudevents.event_spec_version", "1.0"),
            text("waxwing.outcome", self.outcome),
            KeyValue::new("waxwing.attempt", i64::from(event.attempt)),
        ]);
        attributes.extend(event.about.as_deref().map(|about| text("cloudevents.event_subject", about)));
        attributes.extend(self.version.map(|version| text("waxwing.version", &version.to_string())));
        attributes.extend(self.queued.map(|queued| seconds("waxwing.queue.duration", queued)));
        attributes.extend(self.committing.map(|committing| seconds("waxwing.commit.duration", committing)));
        if event.position != Position::NONE {
            attributes.push(KeyValue::new("waxwing.position", event.position.0.cast_signed()));
        }
        let status = match &self.failure {
            Some(reason) => {
                attributes.push(text("error.type", self.outcome));
                Status::error(reason.to_string())
            }
            None => Status::Unset,
        };
        data(&self.span, self.kind.clone(), name, (start, end), attributes, status)
    }

    fn common(&self, operation: &'static str, subject: &Subject, pattern: Option<&Pattern>) -> Vec<KeyValue> {
        let mut attributes = vec![
            KeyValue::new("messaging.system", "nats"),
            KeyValue::new("messaging.operation.name", operation),
            KeyValue::new("messaging.operation.type", operation),
            KeyValue::new("messaging.destination.name", subject.to_string()),
            KeyValue::new("messaging.consumer.group.name", self.handler.to_string()),
        ];
        let is_template = |pattern: &&Pattern| pattern.as_str() != subject.as_str();
        let template = pattern.filter(is_template);
        attributes.extend(
            template.map(|pattern| KeyValue::new("messaging.destination.template", pattern.to_string())),
        );
        attributes
    }
}

fn reason(failure: &Failure) -> Cow<'static, str> {
    let mut reason = failure.to_string();
    reason.truncate(reason.floor_char_boundary(REASON_BYTES));
    Cow::from(reason)
}

/// The pattern of a handler's subjects that covers this one.
fn hears<'s>(spec: &'s HandlerSpec, subject: &Subject) -> Option<&'s Pattern> {
    let all = spec.on.iter().chain(&spec.request).chain(&spec.live);
    all.into_iter().find(|pattern| pattern.matches(subject.as_str()))
}

/// The pattern of what a handler may emit that covers this one.
fn emits<'s>(spec: &'s HandlerSpec, subject: &Subject) -> Option<&'s Pattern> {
    let grants = &spec.grants;
    let all = grants.emit.iter().chain(&grants.publish).chain(&grants.live);
    all.into_iter().find(|pattern| pattern.matches(subject.as_str()))
}

fn data(
    span: &Span,
    span_kind: SpanKind,
    name: String,
    (start_time, end_time): (SystemTime, SystemTime),
    attributes: Vec<KeyValue>,
    status: Status,
) -> SpanData {
    let context = &span.context;
    // What is sent is kept, whatever was decided at the head of the trace.
    let flags = TraceFlags::new(context.flags).with_sampled(true);
    let (trace, id) = (TraceId::from(context.trace), SpanId::from(context.span));
    SpanData {
        span_context: SpanContext::new(trace, id, flags, false, TraceState::default()),
        parent_span_id: span.parent.map_or(SpanId::INVALID, SpanId::from),
        parent_span_is_remote: span_kind != SpanKind::Producer && span.parent.is_some(),
        span_kind,
        name: Cow::from(name),
        start_time,
        end_time,
        attributes,
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status,
        instrumentation_scope: InstrumentationScope::builder("waxwing").build(),
    }
}
