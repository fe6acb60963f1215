//! Questions to others over core NATS.

use std::sync::Arc;

use async_nats::{Client, HeaderMap, StatusCode, client::PublishErrorKind};
use async_trait::async_trait;
use futures::StreamExt;
use tokio::{
    runtime::Handle,
    sync::{OnceCell, Semaphore, oneshot},
    time::timeout,
};
use waxwing_engine::port::{
    Ask,
    ask::{AskError, Question, Response},
    requests::ID_HEADER,
};

use super::{Dial, line::Line};

/// Questions under way at once; more wait for the time that they have.
const MAX_UNDER_WAY: usize = 1024;

/// Asks over a connection that is made for the first question.
pub struct NatsAsk {
    shared: Arc<Shared>,
    runtime: Handle,
}

struct Shared {
    dial: Arc<dyn Dial>,
    line: OnceCell<Line>,
    places: Semaphore,
}

impl NatsAsk {
    /// Must be called within a tokio runtime, on which questions are asked.
    pub fn new(dial: Arc<dyn Dial>) -> NatsAsk {
        let shared = Shared { dial, line: OnceCell::new(), places: Semaphore::new(MAX_UNDER_WAY) };
        NatsAsk { shared: Arc::new(shared), runtime: Handle::current() }
    }
}

#[async_trait]
impl Ask for NatsAsk {
    async fn ask(&self, question: Question) -> Result<Vec<Response>, AskError> {
        let (mut sender, receiver) = oneshot::channel();
        let shared = self.shared.clone();
        self.runtime.spawn(async move {
            tokio::select! {
                answered = shared.ask(question) => drop(sender.send(answered)),
                // Whoever asked has gone.
                () = sender.closed() => {}
            }
        });
        receiver.await.unwrap_or_else(|_| Err(AskError::Away("the host is about to stop".to_owned())))
    }
}

impl Shared {
    async fn ask(&self, question: Question) -> Result<Vec<Response>, AskError> {
        let mut replies = Vec::new();
        let patience = question.timeout;
        match timeout(patience, self.collect(question, &mut replies)).await {
            Ok(ended) => ended.map(|()| replies),
            Err(_) if replies.is_empty() => Err(AskError::Timeout(patience)),
            Err(_) => Ok(replies),
        }
    }

    async fn collect(&self, question: Question, replies: &mut Vec<Response>) -> Result<(), AskError> {
        let _place = self.places.acquire().await;
        let client = self.client().await?;
        let away = |why: String| AskError::Away(format!("NATS is away: {why}"));
        let inbox = client.new_inbox();
        let mut subscriber =
            client.subscribe(inbox.clone()).await.map_err(|error| away(error.to_string()))?;
        let Question { subject, payload, replies: wanted, .. } = &question;
        let sent = client
            .publish_with_reply_and_headers(subject.to_string(), inbox, headers(&question), payload.clone())
            .await;
        sent.map_err(|error| match error.kind() {
            PublishErrorKind::MaxPayloadExceeded => {
                AskError::TooLarge(client.server_info().max_payload as u64)
            }
            _ => away(error.to_string()),
        })?;
        while replies.len() < wanted.get() as usize {
            let message =
                subscriber.next().await.ok_or_else(|| away("the connection was lost".to_owned()))?;
            if message.status == Some(StatusCode::NO_RESPONDERS) {
                return Err(AskError::Away(format!("nobody listens to `{subject}`")));
            }
            replies.push(response(message));
        }
        Ok(())
    }

    async fn client(&self) -> Result<Client, AskError> {
        let line = self.line.get_or_try_init(|| Line::open(self.dial.clone())).await;
        let line = line.map_err(|error| AskError::Away(format!("NATS is away: {error}")))?;
        Ok(line.living().await)
    }
}

fn headers(question: &Question) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Some(id) = &question.id {
        headers.insert(ID_HEADER, id.as_str());
    }
    for (name, value) in &question.trace {
        headers.insert(*name, value.as_str());
    }
    headers
}

fn response(message: async_nats::Message) -> Response {
    let content_type = message.headers.as_ref().and_then(|headers| headers.get("Content-Type"));
    Response {
        subject: message.subject.to_string(),
        content_type: content_type.map(|value| value.as_str().to_owned()),
        payload: message.payload,
    }
}
