//! A guest written for `wasmcloud:messaging@0.2.0`. The last word of a message's subject says what it does with it.
#![cfg(target_family = "wasm")]
#![allow(unsafe_code, missing_docs, unreachable_pub, reason = "generated code")]

wit_bindgen::generate!({ path: "wit", world: "guest" });

use exports::wasmcloud::messaging::handler::Guest;
use wasmcloud::messaging::{consumer, types::BrokerMessage};

struct Records;

impl Guest for Records {
    fn handle_message(message: BrokerMessage) -> Result<(), String> {
        let BrokerMessage { subject, body, reply_to } = message;
        match subject.rsplit('.').next().unwrap_or_default() {
            "publish" => publish("foreign.done", body, reply_to),
            "fail" => {
                publish("foreign.done", body, None)?;
                Err("failed on request".to_owned())
            }
            "denied" => publish("secret.plans", body, None),
            "ask" => publish("foreign.done", ask("outside.echo", body)?, None),
            "later" => match ask("outside.ready", body)?.as_slice() {
                b"yes" => publish("foreign.done", b"at last".to_vec(), None),
                _ => {
                    publish("foreign.done", b"too soon".to_vec(), None)?;
                    Err("not ready".to_owned())
                }
            },
            "nobody" => publish("foreign.done", ask("outside.nobody", body)?, None),
            "echo" => {
                publish("foreign.done", body.clone(), None)?;
                publish(&reply_to.ok_or("nobody to reply to")?, body.to_ascii_uppercase(), None)
            }
            _ => panic!("no such behaviour"),
        }
    }
}

fn publish(subject: &str, body: Vec<u8>, reply_to: Option<String>) -> Result<(), String> {
    consumer::publish(&BrokerMessage { subject: subject.to_owned(), body, reply_to })
}

fn ask(subject: &str, body: Vec<u8>) -> Result<Vec<u8>, String> {
    Ok(consumer::request(subject, &body, 5_000)?.body)
}

export!(Records);
