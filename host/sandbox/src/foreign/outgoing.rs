//! What such a guest sends: an event like any other, with its subject as type, or the reply to who asks.

use waxwing_event::decode;

use crate::{
    contract::waxwing::events::{
        emit::{EmitError, NewEvent},
        reply::{Attribute, Host as _, ReplyError},
    },
    guest::Guest,
    imports::emit::STAMPED,
};

/// The address that a guest is told of whoever waits for its reply. Nothing is sent there: what a guest sends to it
/// is the run's reply.
pub(super) const ASKING: &str = "_INBOX.waxwing.asking";

/// The attribute under which the address for a reply travels with an event.
pub(super) const REPLY_TO: &str = "replyto";

/// The media type of a reply of which none is known.
const UNKNOWN_TYPE: &str = "application/octet-stream";

/// A message that a guest sends.
#[derive(Debug)]
pub(super) struct Outgoing {
    /// Where to.
    pub(super) subject: String,
    /// The media type of its data, where the guest says it.
    pub(super) content_type: Option<String>,
    /// Named values.
    pub(super) metadata: Vec<(String, String)>,
    /// Its data.
    pub(super) data: Vec<u8>,
}

/// Why a message was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// The subject cannot be published to.
    #[error("{0}")]
    Subject(String),
    /// No grant covers the subject.
    #[error("{0}")]
    NotGranted(String),
    /// It is larger than so many bytes.
    #[error("a message is larger than its limit of {0} bytes")]
    TooLarge(u64),
    /// The run has reached a limit of its effects.
    #[error("the run has reached its limit of effects, {0}")]
    TooMany(u64),
    /// Another reason.
    #[error("{0}")]
    Other(String),
}

impl Guest {
    /// Takes a message, as an effect of the run.
    pub(super) fn send(&mut self, outgoing: Outgoing) -> Result<(), Refusal> {
        if outgoing.subject == ASKING {
            return self.reply_with(outgoing);
        }
        let Outgoing { subject, content_type, metadata, data } = outgoing;
        let extensions = self.attributes(metadata);
        let event =
            NewEvent { subject, type_: None, about: None, content_type, data_schema: None, extensions, data };
        let taken = self.granted(&event.subject).and_then(|subject| self.keep(subject, None, event, None));
        taken.map_err(|error| match error {
            EmitError::InvalidSubject(why) => Refusal::Subject(why),
            EmitError::NotGranted(subject) => {
                let text = format!("no grant of the handler covers `{subject}`: add it to `emit`");
                self.warn(&text);
                Refusal::NotGranted(text)
            }
            EmitError::InvalidAttribute(why) => Refusal::Other(why),
            EmitError::TooLarge(most) => Refusal::TooLarge(most),
            EmitError::TooMany(most) => Refusal::TooMany(most),
        })
    }

    /// Takes a message as the reply of the run.
    pub(super) fn reply_with(&mut self, outgoing: Outgoing) -> Result<(), Refusal> {
        let content_type = outgoing.content_type.unwrap_or_else(|| UNKNOWN_TYPE.to_owned());
        let attributes = self.attributes(outgoing.metadata);
        self.respond(outgoing.data, Some(content_type), attributes).map_err(|error| match error {
            ReplyError::NotAsked => Refusal::Other("nobody waits for a reply".to_owned()),
            ReplyError::Replied => Refusal::Other("the run has replied already".to_owned()),
            ReplyError::InvalidAttribute(why) => Refusal::Other(why),
            ReplyError::TooLarge(most) => Refusal::TooLarge(most),
            ReplyError::TooMany(most) => Refusal::TooMany(most),
        })
    }

    /// Named values as attributes of an event. Other hosts allow more names; what has no place here is left out, as it
    /// is decoration by their contract.
    fn attributes(&mut self, metadata: Vec<(String, String)>) -> Vec<Attribute> {
        let mut kept: Vec<Attribute> = Vec::with_capacity(metadata.len());
        for (written, value) in metadata {
            let name = written.to_ascii_lowercase();
            let is_fit = decode::check_name(&name).is_ok()
                && !STAMPED.contains(&name.as_str())
                && !kept.iter().any(|other| other.name == name)
                && !value.chars().any(char::is_control);
            if is_fit {
                kept.push(Attribute { name, value });
            } else {
                self.warn(&format!("`{written}` is left out: an event has no place for it"));
            }
        }
        kept
    }

    /// Writes a line of the host's about the run.
    pub(super) fn warn(&mut self, text: &str) {
        self.lines().write(tracing::Level::WARN, text, "");
    }
}
