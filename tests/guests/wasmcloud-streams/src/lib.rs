//! A guest written for `wasmcloud:messaging@0.3.0` as wasmCloud 2 has it: async functions, bodies as streams. The last
//! word of a message's subject says what it does with it.
#![cfg(target_family = "wasm")]
#![allow(unsafe_code, missing_docs, unreachable_pub, reason = "generated code")]

wit_bindgen::generate!({ path: "wit", world: "guest" });

use exports::wasmcloud::messaging::handler::Guest;
use wasmcloud::messaging::{
    consumer,
    types::{BrokerMessage, Error, HandleMessageError},
};

struct Streams;

impl Guest for Streams {
    async fn handle_message(message: BrokerMessage) -> Result<(), HandleMessageError> {
        let BrokerMessage { subject, body, reply_to } = message;
        let body = body.collect().await;
        match subject.rsplit('.').next().unwrap_or_default() {
            "publish" => publish("foreign.done", body, reply_to).await,
            "fail" => {
                publish("foreign.done", body, None).await?;
                Err(HandleMessageError::Other("failed on request".to_owned()))
            }
            "reject" => {
                publish("foreign.done", body, None).await?;
                Err(HandleMessageError::Reject)
            }
            "denied" => publish("secret.plans", body, None).await,
            "ask" => publish("foreign.done", ask("outside.echo", body).await?, None).await,
            "later" => match ask("outside.ready", body).await?.as_slice() {
                b"yes" => publish("foreign.done", b"at last".to_vec(), None).await,
                _ => {
                    publish("foreign.done", b"too soon".to_vec(), None).await?;
                    Err(HandleMessageError::Retry)
                }
            },
            "nobody" => publish("foreign.done", ask("outside.nobody", body).await?, None).await,
            "echo" => {
                publish("foreign.done", body.clone(), None).await?;
                let address = reply_to.ok_or(HandleMessageError::Reject)?;
                publish(&address, body.to_ascii_uppercase(), None).await
            }
            _ => panic!("no such behaviour"),
        }
    }
}

async fn publish(subject: &str, body: Vec<u8>, reply_to: Option<String>) -> Result<(), HandleMessageError> {
    let (mut writer, reader) = wit_stream::new();
    let message = BrokerMessage { subject: subject.to_owned(), body: reader, reply_to };
    let write = async move {
        writer.write_all(body).await;
    };
    let (published, ()) = join(consumer::publish(message), write).await;
    published.map_err(other)
}

async fn ask(subject: &str, body: Vec<u8>) -> Result<Vec<u8>, HandleMessageError> {
    let (mut writer, reader) = wit_stream::new();
    let write = async move {
        writer.write_all(body).await;
    };
    let (reply, ()) = join(consumer::request(subject.to_owned(), reader, Some(5_000)), write).await;
    Ok(reply.map_err(other)?.body.collect().await)
}

fn other(error: Error) -> HandleMessageError {
    HandleMessageError::Other(format!("{error:?}"))
}

/// Waits for both.
async fn join<A, B>(a: impl Future<Output = A>, b: impl Future<Output = B>) -> (A, B) {
    let (mut a, mut b) = (std::pin::pin!(a), std::pin::pin!(b));
    let (mut of_a, mut of_b) = (None, None);
    std::future::poll_fn(|context| {
        if of_a.is_none()
            && let std::task::Poll::Ready(value) = a.as_mut().poll(context)
        {
            of_a = Some(value);
        }
        if of_b.is_none()
            && let std::task::Poll::Ready(value) = b.as_mut().poll(context)
        {
            of_b = Some(value);
        }
        match (of_a.take(), of_b.take()) {
            (Some(a), Some(b)) => std::task::Poll::Ready((a, b)),
            (a, b) => {
                (of_a, of_b) = (a, b);
                std::task::Poll::Pending
            }
        }
    })
    .await
}

export!(Streams);
