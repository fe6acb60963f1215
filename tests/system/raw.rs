//! A publisher that no client library stands beside: headers and data go out as they are.

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};
use waxwing_event::Position;

/// A connection to a server on this machine.
pub struct RawPublisher(BufReader<TcpStream>);

impl RawPublisher {
    pub async fn connect(port: u16) -> RawPublisher {
        let mut stream = BufReader::new(TcpStream::connect(("127.0.0.1", port)).await.unwrap());
        let mut info = String::new();
        stream.read_line(&mut info).await.unwrap();
        assert!(info.starts_with("INFO"));
        let hello = b"CONNECT {\"verbose\":false,\"headers\":true}\r\nSUB raw.acks 1\r\n";
        stream.write_all(hello).await.unwrap();
        RawPublisher(stream)
    }

    /// Publishes with a header block as it is to whoever listens, and waits until the server has it.
    pub async fn send(&mut self, subject: &str, headers: &[u8], data: &[u8]) {
        let head = format!("HPUB {subject} {} {}\r\n", headers.len(), headers.len() + data.len());
        self.0.write_all(&[head.as_bytes(), headers, data, b"\r\nPING\r\n"].concat()).await.unwrap();
        let mut line = String::new();
        while line != "PONG\r\n" {
            line.clear();
            assert_ne!(self.0.read_line(&mut line).await.unwrap(), 0, "the server has ended the connection");
        }
    }

    /// Publishes with a header block as it is, or without one, and waits until a stream has it.
    pub async fn publish(&mut self, subject: &str, headers: &[u8], data: &[u8]) -> Position {
        let size = headers.len() + data.len();
        let head = match headers {
            [] => format!("PUB {subject} raw.acks {size}\r\n"),
            _ => format!("HPUB {subject} raw.acks {} {size}\r\n", headers.len()),
        };
        self.0.write_all(&[head.as_bytes(), headers, data, b"\r\n"].concat()).await.unwrap();
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).await.unwrap();
            match line.get(..4) {
                Some("PING") => self.0.write_all(b"PONG\r\n").await.unwrap(),
                Some("MSG ") => {}
                Some("{\"st") => {
                    let ack: serde_json::Value = serde_json::from_str(&line).unwrap();
                    return Position(ack["seq"].as_u64().unwrap());
                }
                _ => panic!("the server says `{line}` of the entry on `{subject}`"),
            }
        }
    }
}
