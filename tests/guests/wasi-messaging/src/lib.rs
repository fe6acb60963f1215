//! A guest written for `wasi:messaging@0.2.0-draft`. The last word of a message's subject says what it does with
//! it.
#![cfg(target_family = "wasm")]
#![allow(unsafe_code, missing_docs, unreachable_pub, reason = "generated code")]

wit_bindgen::generate!({ path: "wit", world: "guest" });

use exports::wasi::messaging::incoming_handler::Guest;
use wasi::messaging::{
    producer,
    request_reply::{self, RequestOptions},
    types::{Client, Error, Message},
};

struct Resources;

impl Guest for Resources {
    fn handle(message: Message) -> Result<(), Error> {
        let topic = message.topic().unwrap_or_default();
        let data = message.data();
        match topic.rsplit('.').next().unwrap_or_default() {
            "publish" => send("foreign.done", &message.data(), message.metadata()),
            "fail" => {
                send("foreign.done", &data, None)?;
                Err(Error::Other("failed on request".to_owned()))
            }
            "denied" => send("secret.plans", &data, None),
            "ask" => send("foreign.done", &ask("outside.echo", &data)?, None),
            "later" => match ask("outside.ready", &data)?.as_slice() {
                b"yes" => send("foreign.done", b"at last", None),
                _ => {
                    send("foreign.done", b"too soon", None)?;
                    Err(Error::Other("not ready".to_owned()))
                }
            },
            "nobody" => send("foreign.done", &ask("outside.nobody", &data)?, None),
            "echo" => {
                send("foreign.done", &data, None)?;
                let answer = Message::new(&data.to_ascii_uppercase());
                answer.set_content_type("text/plain").expect("it is taken");
                request_reply::reply(&message, answer)
            }
            _ => panic!("no such behaviour"),
        }
    }
}

fn send(topic: &str, data: &[u8], metadata: Option<Vec<(String, String)>>) -> Result<(), Error> {
    let message = Message::new(b"");
    message.set_data(data);
    message.set_content_type("text/x-test").expect("it is taken");
    if let Some(metadata) = metadata {
        message.set_metadata(&metadata).expect("it is taken");
    }
    message.add_metadata("no place for this", "x").expect("it is taken");
    message.add_metadata("colour", "red").expect("it is taken");
    producer::send(&Client::connect("any")?, topic, message)
}

fn ask(topic: &str, data: &[u8]) -> Result<Vec<u8>, Error> {
    let options = RequestOptions::new();
    options.set_timeout_ms(5_000);
    options.set_expected_replies(1);
    let client = Client::connect("any")?;
    let replies = request_reply::request(&client, topic, &Message::new(data), Some(options))?;
    Ok(replies.first().map(Message::data).unwrap_or_default())
}

export!(Resources);
