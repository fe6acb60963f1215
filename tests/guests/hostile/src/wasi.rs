//! What the guest can reach past the contract, through WASI.

use std::io::Write;
use std::net::TcpStream;
use std::{env, fs, io};

use waxwing_sdk::prelude::*;

const FLOOD_BYTES: usize = 100 * 1024 * 1024;

/// What the guest found, in `hostile.seen`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Reach {
    variables: usize,
    arguments: usize,
    root: String,
    tcp: String,
}

pub(crate) fn report(cx: &mut Context) -> Outcome {
    let reach = Reach {
        variables: env::vars_os().count(),
        arguments: env::args_os().count(),
        root: reached(fs::read_dir("/").map(|_| ())),
        tcp: reached(TcpStream::connect("127.0.0.1:4222").map(|_| ())),
    };
    cx.emit("hostile.seen", &reach)
}

fn reached(result: io::Result<()>) -> String {
    match result {
        Ok(()) => "reached".to_owned(),
        Err(error) => error.to_string(),
    }
}

pub(crate) fn flood_stderr() -> Outcome {
    let line = [b'x'; 1024];
    let mut stderr = io::stderr().lock();
    for _ in 0..FLOOD_BYTES / line.len() {
        // The flood goes on when the host stops taking it.
        let _ = stderr.write_all(&line);
        let _ = stderr.write_all(b"\n");
    }
    Ok(())
}
