//! An HTTP server of its own: answers as its paths say, and remembers what it was asked.
//!
//! | path | answer |
//! | --- | --- |
//! | `/ok` | 200, `ok` |
//! | `/bytes/N` | 200, N bytes |
//! | `/endless` | 200, and bytes without end, in chunks |
//! | `/to?URL` | 302 to URL |
//! | `/flaky/N/STATUS` | STATUS to the first N, then 200 |
//! | `/later/N` | 429 to the first N, to come again in a second; then 200 |
//! | `/lost/N` | the connection is closed on the first N, then 200 |
//! | `/silent/N` | none to the first N, then 200 |
//! | `/ended` | 200, after which the connection is closed without a word |

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::TcpListener,
    sync::watch,
    task::JoinHandle,
};

/// A request as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub method: String,
    pub path: String,
    /// By names in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub fn key(&self) -> &str {
        self.header("idempotency-key").expect("the call has a key")
    }
}

#[derive(Debug, Default)]
struct State {
    seen: Mutex<Vec<Seen>>,
    count: watch::Sender<usize>,
    connections: watch::Sender<usize>,
    open: watch::Sender<usize>,
}

/// The server; it ends when it is dropped.
pub struct Server {
    address: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
}

impl Server {
    pub async fn start() -> Server {
        Server::with(|stream| std::future::ready(Some(stream))).await
    }

    /// A server that makes something of each connection before it is spoken on.
    pub async fn with<S, F>(begin: impl Fn(tokio::net::TcpStream) -> F + Send + 'static) -> Server
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        F: Future<Output = Option<S>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let shared = state.clone();
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (state, begun) = (shared.clone(), begin(stream));
                state.connections.send_modify(|count| *count += 1);
                state.open.send_modify(|count| *count += 1);
                tokio::spawn(async move {
                    if let Some(stream) = begun.await {
                        // A client that goes away ends its connection, and nothing else.
                        let _ = serve(&state, BufReader::new(stream)).await;
                    }
                    state.open.send_modify(|count| *count -= 1);
                });
            }
        });
        Server { address, state, task }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin())
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().unwrap().clone()
    }

    /// Waits until it was asked so often.
    pub async fn asked(&self, times: usize) -> Vec<Seen> {
        let mut count = self.state.count.subscribe();
        let wait = count.wait_for(|count| *count >= times);
        tokio::time::timeout(crate::app::PATIENCE, wait).await.expect("the server is asked").unwrap();
        self.seen()
    }

    /// How many connections there have been.
    pub fn connections(&self) -> usize {
        *self.state.connections.borrow()
    }

    /// Waits until nobody is connected.
    pub async fn left_alone(&self) {
        let mut open = self.state.open.subscribe();
        let wait = open.wait_for(|open| *open == 0);
        tokio::time::timeout(crate::app::PATIENCE, wait).await.expect("all connections end").unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    state: &State,
    mut stream: BufReader<impl AsyncRead + AsyncWrite + Unpin>,
) -> std::io::Result<()> {
    while let Some(seen) = read(&mut stream).await? {
        let path = seen.path.clone();
        let before = {
            let mut all = state.seen.lock().unwrap();
            let before = all.iter().filter(|earlier| earlier.path == path).count();
            all.push(seen);
            before
        };
        state.count.send_modify(|count| *count += 1);
        let parts: Vec<&str> = path.trim_start_matches('/').split(['/', '?']).collect();
        let number = |index: usize| parts[index].parse::<usize>().unwrap();
        let answer = match parts[0] {
            "bytes" => response("200 OK", "", &"b".repeat(number(1))),
            "endless" => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await?;
                loop {
                    stream.write_all(format!("400\r\n{}\r\n", "e".repeat(0x400)).as_bytes()).await?;
                    stream.flush().await?;
                }
            }
            "to" => {
                let (_, to) = path.split_once('?').unwrap();
                response("302 Found", &format!("Location: {to}\r\n"), "elsewhere")
            }
            "flaky" if before < number(1) => response(&format!("{} Flaky", parts[2]), "", "not now"),
            "later" if before < number(1) => {
                response("429 Too Many Requests", "Retry-After: 1\r\n", "not now")
            }
            "lost" if before < number(1) => return Ok(()),
            "silent" if before < number(1) => {
                // Until the client goes away.
                stream.fill_buf().await?;
                return Ok(());
            }
            _ => response("200 OK", "", "ok"),
        };
        stream.write_all(answer.as_bytes()).await?;
        stream.flush().await?;
        if parts[0] == "ended" {
            return Ok(());
        }
    }
    Ok(())
}

fn response(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// The next request; none where the client has gone.
async fn read(stream: &mut BufReader<impl AsyncRead + AsyncWrite + Unpin>) -> std::io::Result<Option<Seen>> {
    let mut line = String::new();
    if stream.read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next().unwrap(), words.next().unwrap());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        let twice = headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        assert!(twice.is_none(), "`{name}` came twice");
    }
    let length = headers.get("content-length").map_or(0, |length: &String| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(Some(Seen { method, path, headers, body }))
}
