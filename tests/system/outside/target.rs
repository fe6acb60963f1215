//! A stream outside an app's log, as its own people see it.

use async_nats::{
    Message,
    jetstream::{self, consumer::pull, stream},
};
use futures::StreamExt;
use waxwing_event::{Event, Position, Subject, decode};

use crate::app::{App, PATIENCE};

/// Makes a stream with these settings beyond name and subjects.
pub async fn make(app: &App, name: &str, subjects: &[&str], more: stream::Config) -> stream::Stream {
    let config = stream::Config {
        name: name.to_owned(),
        subjects: subjects.iter().map(|subject| (*subject).to_owned()).collect(),
        ..more
    };
    jetstream::new(app.client().await).create_stream(config).await.unwrap()
}

/// The stream's first `count` messages, which must be all.
pub async fn messages(app: &App, name: &str, count: usize) -> Vec<Message> {
    let context = jetstream::new(app.client().await);
    let stream = context.get_stream(name).await.unwrap();
    let config = pull::OrderedConfig::default();
    let mut messages = stream.create_consumer(config).await.unwrap().messages().await.unwrap();
    let read = async {
        let mut read = Vec::new();
        while read.len() < count {
            read.push(messages.next().await.unwrap().unwrap().message);
        }
        read
    };
    let read = tokio::time::timeout(PATIENCE, read).await;
    let read = read.unwrap_or_else(|_| panic!("`{name}` gets no {count} messages:\n{}", app.host_log()));
    let all = context.get_stream(name).await.unwrap().cached_info().state.messages;
    assert_eq!(all, count as u64, "there are more than expected in `{name}`");
    read
}

/// The event in a message.
pub fn event(message: &Message) -> Event {
    let headers = message.headers.iter().flat_map(|headers| headers.iter());
    let pairs = headers.flat_map(|(name, values)| {
        values.iter().map(move |value| (name.to_string(), value.as_str().to_owned()))
    });
    let subject = Subject::from_checked(&message.subject);
    decode::event(&subject, Position::NONE, &pairs.collect(), &message.payload).unwrap()
}

/// The value of a message's header.
pub fn header<'a>(message: &'a Message, name: &str) -> Option<&'a str> {
    message.headers.as_ref()?.get(name).map(|value| value.as_str())
}
