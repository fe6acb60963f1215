//! Emitting events: checked one by one, kept until the run commits.

use bytes::Bytes;
use waxwing_event::{Emit, Subject, decode};

use crate::{
    contract::waxwing::events::emit::{EmitError, Host, NewEvent},
    guest::Guest,
};

/// Attributes that the host sets, or that have a field of their own.
pub(crate) const STAMPED: [&str; 13] = [
    "causationid",
    "correlationid",
    "data",
    "datacontenttype",
    "dataschema",
    "id",
    "source",
    "specversion",
    "subject",
    "time",
    "traceparent",
    "tracestate",
    "type",
];

/// The media type of an event that names none.
pub(super) const JSON: &str = "application/json";

impl Host for Guest {
    fn emit(&mut self, event: NewEvent) -> Result<(), EmitError> {
        let subject = self.granted(&event.subject)?;
        self.keep(subject, None, event, Some(JSON))
    }
}

impl Guest {
    /// Checks an event and keeps it; `aggregate` is the one to whose history it is appended, `untyped` the media type of
    /// its data where it names none.
    pub(crate) fn keep(
        &mut self,
        subject: Subject,
        aggregate: Option<String>,
        event: NewEvent,
        untyped: Option<&str>,
    ) -> Result<(), EmitError> {
        check_attributes(&event)?;
        let bytes = size_bytes(&event);
        let limits = &self.handler.limits;
        if bytes > limits.entry_bytes {
            return Err(EmitError::TooLarge(limits.entry_bytes));
        }
        let emit = Emit {
            subject,
            event_type: event.type_,
            about: event.about,
            content_type: event.content_type.or_else(|| untyped.map(str::to_owned)),
            data_schema: event.data_schema,
            extensions: event.extensions.into_iter().map(|a| (a.name, a.value)).collect(),
            data: Bytes::from(event.data),
            aggregate,
        };
        self.effects.emit(emit, bytes, limits).map_err(|overflow| EmitError::TooMany(overflow.limit()))
    }

    /// The subject, where a grant covers it.
    pub(crate) fn granted(&self, subject: &str) -> Result<Subject, EmitError> {
        let subject: Subject = subject.parse().map_err(|error: waxwing_event::subject::SubjectError| {
            EmitError::InvalidSubject(error.to_string())
        })?;
        let covered = self.handler.grants.reach(subject.as_str()).is_some();
        if covered && !is_reserved(&subject) {
            Ok(subject)
        } else {
            Err(EmitError::NotGranted(subject.as_str().to_owned()))
        }
    }
}

/// Subjects of the host and of the server, which no grant covers: `>` does not either.
fn is_reserved(subject: &Subject) -> bool {
    subject.tokens().next().is_some_and(|first| matches!(first, "wx" | "wxr") || first.starts_with('$'))
}

fn check_attributes(event: &NewEvent) -> Result<(), EmitError> {
    let fields = [
        ("type", &event.type_),
        ("subject", &event.about),
        ("datacontenttype", &event.content_type),
        ("dataschema", &event.data_schema),
    ];
    for (name, value) in fields {
        if let Some(value) = value {
            check_value(name, value)?;
            if value.is_empty() {
                return Err(invalid(name, "it is empty: leave it out"));
            }
        }
    }
    for attribute in &event.extensions {
        decode::check_name(&attribute.name).map_err(|why| invalid(&attribute.name, why))?;
        if STAMPED.contains(&attribute.name.as_str()) {
            return Err(invalid(&attribute.name, "the host sets it"));
        }
        check_value(&attribute.name, &attribute.value)?;
    }
    check_unique(event)
}

fn check_value(name: &str, value: &str) -> Result<(), EmitError> {
    if value.chars().any(char::is_control) {
        return Err(invalid(name, "its value contains a control character"));
    }
    Ok(())
}

fn check_unique(event: &NewEvent) -> Result<(), EmitError> {
    let mut names: Vec<&str> = event.extensions.iter().map(|a| a.name.as_str()).collect();
    names.sort_unstable();
    match names.iter().zip(names.iter().skip(1)).find(|(a, b)| a == b) {
        Some((name, _)) => Err(invalid(name, "it is there twice")),
        None => Ok(()),
    }
}

fn invalid(name: &str, why: &str) -> EmitError {
    EmitError::InvalidAttribute(format!("`{name}`: {why}"))
}

fn size_bytes(event: &NewEvent) -> u64 {
    let optional = [&event.type_, &event.about, &event.content_type, &event.data_schema];
    let fields: usize = optional.into_iter().flatten().map(String::len).sum();
    let extensions: usize = event.extensions.iter().map(|a| a.name.len() + a.value.len()).sum();
    (event.subject.len() + fields + extensions + event.data.len()) as u64
}
