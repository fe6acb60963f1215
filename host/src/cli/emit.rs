//! `waxwing emit`: publishes an event to the log.

use std::{collections::VecDeque, process::ExitCode};

use anyhow::{Result, bail, ensure};
use async_nats::{
    HeaderMap,
    jetstream::{
        self,
        context::{PublishAckFuture, PublishErrorKind},
    },
};
use bytes::Bytes;
use clap::Args;
use serde::Serialize;
use waxwing_event::{Event, Subject, encode};

use super::{
    General, found, fresh,
    meant::{Meant, is_reserved, meant},
    output::{self, Output, say},
    payload,
};
use crate::nats::Target;

/// Publishes that may wait for their acknowledgement at once.
const MAX_IN_FLIGHT: usize = 256;

/// Publishes an event and waits until the log has it
///
/// The event is a CloudEvent in binary mode: its attributes are headers, DATA is the payload. To a subject that the
/// manifest names in a handler's `live` it is sent without waiting, as nobody acknowledges live messages.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    waxwing emit prices.updated '{\"productId\":\"tea\",\"newPrice\":3.2}'\n  \
    waxwing emit orders.placed - < order.json\n  \
    waxwing emit prices.updated '{\"productId\":\"p{{Count}}\",\"newPrice\":1}' --count 1000")]
pub(super) struct Emit {
    /// The subject to publish to
    subject: Subject,
    /// The data; `-` reads it from standard input
    data: Option<String>,
    /// The event's type [default: the subject]
    #[arg(long = "type", value_name = "TEXT")]
    event_type: Option<String>,
    /// The event's id [default: a new UUID]
    #[arg(long, value_name = "TEXT", conflicts_with = "count")]
    id: Option<String>,
    /// Where the event comes from
    #[arg(long, value_name = "URI", default_value = "/waxwing/emit")]
    source: String,
    /// What the event is about (CloudEvents calls it subject)
    #[arg(long, value_name = "TEXT")]
    about: Option<String>,
    /// The id shared by everything that one first event causes [default: the event's id]
    #[arg(long, value_name = "TEXT")]
    correlation_id: Option<String>,
    /// The media type of DATA [default: application/json where it is JSON, else text or bytes]
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,
    /// A further header; may be given again
    #[arg(long, short = 'H', value_name = "NAME:VALUE", value_parser = payload::header)]
    header: Vec<(String, String)>,
    /// How many events; `{{Count}}` in DATA becomes 1, 2, …
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    count: u32,
}

/// An event that the log has.
#[derive(Debug, Serialize)]
struct Published {
    id: String,
    stream: String,
    position: u64,
}

/// A live message that is on its way.
#[derive(Debug, Serialize)]
struct Sent {
    id: String,
}

impl Emit {
    pub(super) async fn execute(&self, general: &General) -> Result<ExitCode> {
        let subject = &self.subject;
        ensure!(
            !is_reserved(subject),
            "`{subject}` belongs to hosts or the server, as all that begins with `wx.`, `wxr.` or `$`: emit to a \
             subject that `events` in waxwing.toml covers"
        );
        let manifest = found::manifest_at_hand(general)?;
        let is_live = match manifest.and_then(|manifest| meant(&manifest.config, subject)) {
            Some(Meant::Request(handler)) => {
                bail!("handler `{handler}` answers requests on `{subject}`: ask with `waxwing request`")
            }
            Some(Meant::Live(_)) => true,
            Some(Meant::Event) | None => false,
        };
        let data = payload::read(self.data.as_deref())?;
        let target = found::target(general)?;
        if is_live {
            let sent = self.send(&target, &data).await?;
            match general.output {
                Output::Json => output::json(&sent)?,
                Output::Text => show_sent(subject, &sent)?,
            }
            return Ok(ExitCode::SUCCESS);
        }
        let published = self.publish(&target, &data).await?;
        match general.output {
            Output::Json => output::json(&published)?,
            Output::Text => show(&self.subject, &published)?,
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn publish(&self, target: &Target, data: &[u8]) -> Result<Vec<Published>> {
        let link = target.connect("emit").await?;
        let mut jetstream = jetstream::new(link.client().clone());
        jetstream.set_timeout(target.timeout);
        let mut published = Vec::new();
        let mut waiting: VecDeque<(String, PublishAckFuture)> = VecDeque::new();
        for number in 1..=self.count {
            if waiting.len() >= MAX_IN_FLIGHT {
                published.extend(self.acknowledged(&mut waiting).await?);
            }
            let event = self.event(numbered(data, number));
            let headers = self.headers(&event);
            let subject = self.subject.as_str().to_owned();
            let sent = jetstream.publish_with_headers(subject, headers, event.data).await;
            waiting.push_back((event.id, sent.map_err(|error| self.explained(error))?));
        }
        while !waiting.is_empty() {
            published.extend(self.acknowledged(&mut waiting).await?);
        }
        Ok(published)
    }

    /// Publishes live messages.
    async fn send(&self, target: &Target, data: &[u8]) -> Result<Vec<Sent>> {
        let link = target.connect("emit").await?;
        let mut sent = Vec::new();
        for number in 1..=self.count {
            let event = self.event(numbered(data, number));
            let (subject, headers) = (self.subject.as_str().to_owned(), self.headers(&event));
            link.client().publish_with_headers(subject, headers, event.data).await?;
            sent.push(Sent { id: event.id });
        }
        // Until the server has them.
        tokio::time::timeout(target.timeout, link.client().flush()).await??;
        Ok(sent)
    }

    fn headers(&self, event: &Event) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let more = self.header.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in encode::headers(event).iter().chain(more) {
            headers.append(name, value);
        }
        headers.insert("Nats-Msg-Id", event.id.as_str());
        headers
    }

    /// Waits for the oldest publish.
    async fn acknowledged(
        &self,
        waiting: &mut VecDeque<(String, PublishAckFuture)>,
    ) -> Result<Option<Published>> {
        let Some((id, acknowledgement)) = waiting.pop_front() else { return Ok(None) };
        let ack = acknowledgement.await.map_err(|error| self.explained(error))?;
        if ack.duplicate {
            bail!("the log already has an event with the id `{id}`: choose another --id");
        }
        Ok(Some(Published { id, stream: ack.stream, position: ack.sequence }))
    }

    fn event(&self, data: Bytes) -> Event {
        let content_type = self.content_type.clone().or_else(|| payload::media_type(&data));
        let event = fresh::event(self.subject.clone(), data, (self.source.clone(), content_type));
        let id = self.id.clone().unwrap_or(event.id);
        Event {
            event_type: self.event_type.clone().unwrap_or(event.event_type),
            about: self.about.clone(),
            correlation_id: self.correlation_id.clone().unwrap_or_else(|| id.clone()),
            id,
            ..event
        }
    }

    fn explained(&self, error: jetstream::context::PublishError) -> anyhow::Error {
        let subject = &self.subject;
        match error.kind() {
            PublishErrorKind::StreamNotFound => anyhow::anyhow!(
                "no log takes `{subject}`: add it to `events` in waxwing.toml, and start the app once with `waxwing run`"
            ),
            _ => anyhow::Error::new(error).context(format!("`{subject}` was not acknowledged")),
        }
    }
}

/// The data of event `number` of several.
fn numbered(data: &[u8], number: u32) -> Bytes {
    match std::str::from_utf8(data) {
        Ok(text) if text.contains("{{Count}}") => text.replace("{{Count}}", &number.to_string()).into(),
        _ => Bytes::copy_from_slice(data),
    }
}

fn show(subject: &Subject, published: &[Published]) -> Result<()> {
    match published {
        [one] => say!("{subject}: {} at position {} of {}", one.id, one.position, one.stream)?,
        [first, .., last] => say!(
            "{subject}: {} events at positions {} to {} of {}",
            output::grouped(u64::try_from(published.len()).unwrap_or(u64::MAX)),
            first.position,
            last.position,
            last.stream
        )?,
        [] => {}
    }
    Ok(())
}

fn show_sent(subject: &Subject, sent: &[Sent]) -> Result<()> {
    let what = match sent {
        [one] => one.id.clone(),
        many => format!("{} messages", output::grouped(u64::try_from(many.len()).unwrap_or(u64::MAX))),
    };
    say!("{subject}: {what} sent; nobody acknowledges live messages")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_within_data() {
        assert_eq!(numbered(b"p{{Count}}", 7), "p7");
        assert_eq!(numbered(b"\xff{{Count}}", 7), &b"\xff{{Count}}"[..]);
    }
}
