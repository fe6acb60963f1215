//! `waxwing request`: asks a handler and shows its answer.

use std::{collections::BTreeMap, process::ExitCode};

use anyhow::{Context, Result, anyhow, bail};
use async_nats::{Client, HeaderMap, HeaderName, RequestErrorKind};
use clap::Args;
use serde::{Deserialize, Serialize};
use waxwing_event::Subject;
use waxwing_request::service::{ERROR_CODE_HEADER, ERROR_HEADER};

use super::{
    General, found,
    meant::{Meant, meant},
    output::{self, Output},
    payload,
    style::{BAD, END},
};
use crate::nats::Target;

/// Asks a handler and waits for its answer
///
/// The handler answers when what it did is durable. Ask again with the same --id, and it is done once: the
/// answer is the first one's. --timeout says how long to wait.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    waxwing request cmd.basket.show '{\"productId\":\"tea\"}'\n  \
    waxwing request cmd.orders.place - --id order-17 --timeout 10s < order.json\n  \
    waxwing request cmd.basket.show '{\"productId\":\"tea\"}' --output json")]
pub(super) struct Request {
    /// The subject to ask on
    subject: Subject,
    /// The data; `-` reads it from standard input
    data: Option<String>,
    /// The request's id, by which a second one is known [default: none, each request is handled]
    #[arg(long, value_name = "TEXT")]
    id: Option<String>,
    /// The media type of DATA [default: application/json where it is JSON, else text or bytes]
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,
    /// A further header; may be given again
    #[arg(long, short = 'H', value_name = "NAME:VALUE", value_parser = payload::header)]
    header: Vec<(String, String)>,
}

/// An answer, for programs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    subject: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ServiceError<'a>>,
    headers: BTreeMap<String, String>,
    data: serde_json::Value,
}

/// What a handler's host says instead of an answer (ADR-32).
#[derive(Debug, Clone, Copy, Serialize)]
struct ServiceError<'a> {
    code: &'a str,
    reason: &'a str,
}

/// What a stream says that keeps the subject.
#[derive(Debug, Deserialize)]
struct Acknowledgement {
    stream: String,
    #[serde(default)]
    seq: u64,
    #[serde(default)]
    error: Option<Refused>,
}

#[derive(Debug, Deserialize)]
struct Refused {
    #[serde(default)]
    description: String,
}

impl Request {
    pub(super) async fn execute(&self, general: &General) -> Result<ExitCode> {
        let subject = &self.subject;
        let manifest = found::manifest_at_hand(general)?;
        match manifest.and_then(|manifest| meant(&manifest.config, subject)) {
            Some(Meant::Event) => {
                bail!(
                    "the app's log keeps `{subject}`, and nobody answers there: emit it with `waxwing emit`"
                )
            }
            Some(Meant::Live(handler)) => bail!(
                "handler `{handler}` hears live messages on `{subject}` and answers none: emit it with `waxwing emit`"
            ),
            Some(Meant::Request(_)) | None => {}
        }
        let data = payload::read(self.data.as_deref())?;
        let target = found::target(general)?;
        let link = target.connect("request").await?;
        let answer = self.ask(link.client(), &target, data).await?;
        if let Some(acknowledgement) = acknowledgement(&answer) {
            return Err(self.kept(acknowledgement));
        }
        let error = answer.headers.as_ref().and_then(service_error);
        match general.output {
            Output::Json => output::json(&self.shown(&answer, error))?,
            Output::Text if error.is_none() => show(&answer.payload)?,
            Output::Text => {}
        }
        let Some(ServiceError { code, reason }) = error else { return Ok(ExitCode::SUCCESS) };
        let (code, reason) = (output::line(code), output::line(reason));
        anstream::eprintln!("{BAD}error:{END} `{}` is refused with {code}: {reason}", self.subject);
        Ok(ExitCode::FAILURE)
    }

    async fn ask(&self, client: &Client, target: &Target, data: Vec<u8>) -> Result<async_nats::Message> {
        let request = async_nats::Request::new()
            .headers(self.headers(&data)?)
            .payload(data.into())
            .timeout(Some(target.timeout));
        let subject = &self.subject;
        client.send_request(subject.as_str().to_owned(), request).await.map_err(|error| match error.kind() {
            RequestErrorKind::NoResponders => anyhow!(
                "nobody answers on `{subject}`: name it in a handler's `request` in waxwing.toml, and start the app \
                 with `waxwing run`"
            ),
            RequestErrorKind::TimedOut => anyhow!(
                "no answer on `{subject}` within {:?}: whether it was handled is not known; ask again with the same \
                 --id, or wait longer with --timeout",
                target.timeout
            ),
            _ => anyhow::Error::new(error).context(format!("`{subject}` could not be asked")),
        })
    }

    /// The error where a stream was faster than anybody who answers.
    fn kept(&self, acknowledgement: Acknowledgement) -> anyhow::Error {
        let (subject, Acknowledgement { stream, seq, error }) = (&self.subject, acknowledgement);
        let stream = output::line(&stream);
        let what = match error {
            None => format!("has it at position {seq}, which is no answer"),
            Some(Refused { description }) => format!("refuses it: {}", output::line(&description)),
        };
        anyhow!(
            "the stream `{stream}` keeps `{subject}` and {what}: emit events with `waxwing emit`; for requests, take \
             the subject out of that stream"
        )
    }

    fn headers(&self, data: &[u8]) -> Result<HeaderMap> {
        let content_type = self.content_type.clone().or_else(|| payload::media_type(data));
        let own = [("Content-Type", content_type), ("Nats-Msg-Id", self.id.clone())];
        let own = own.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        let mut headers = HeaderMap::new();
        for (name, value) in own.chain(self.header.iter().cloned()) {
            let header: HeaderName =
                name.parse().with_context(|| format!("`{name}` is no name of a header"))?;
            headers.append(header, value.parse::<async_nats::HeaderValue>()?);
        }
        Ok(headers)
    }

    fn shown<'a>(&'a self, answer: &async_nats::Message, error: Option<ServiceError<'a>>) -> Shown<'a> {
        let mut headers = BTreeMap::new();
        for (name, values) in answer.headers.iter().flat_map(HeaderMap::iter) {
            if let Some(value) = values.first() {
                headers.insert(name.to_string(), value.to_string());
            }
        }
        Shown { subject: self.subject.as_str(), error, headers, data: output::data(&answer.payload) }
    }
}

/// A stream's acknowledgement, which it gives without headers.
fn acknowledgement(answer: &async_nats::Message) -> Option<Acknowledgement> {
    let is_bare = answer.headers.as_ref().is_none_or(HeaderMap::is_empty);
    let read: Acknowledgement = serde_json::from_slice(&answer.payload).ok().filter(|_| is_bare)?;
    (read.seq > 0 || read.error.is_some()).then_some(read)
}

fn service_error(headers: &HeaderMap) -> Option<ServiceError<'_>> {
    let text = |name| headers.get(name).map(async_nats::HeaderValue::as_str);
    Some(ServiceError { code: text(ERROR_CODE_HEADER)?, reason: text(ERROR_HEADER).unwrap_or_default() })
}

/// The data as it is; on a terminal, without anything that would act on it.
fn show(data: &[u8]) -> Result<()> {
    if output::is_watched() {
        output::write_bytes(output::lines(&String::from_utf8_lossy(data)).as_bytes())?;
    } else {
        output::write_bytes(data)?;
    }
    if !data.is_empty() && !data.ends_with(b"\n") {
        output::write_bytes(b"\n")?;
    }
    Ok(())
}
