//! A receiver that behaves as badly as it is told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Barrier, watch};
use tokio::task::JoinHandle;

const SOON: Duration = Duration::from_secs(30);

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// A field of the native body.
    pub(crate) fn sequence(&self) -> u64 {
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap();
        body["sequence"].as_u64().unwrap()
    }
}

/// What a receiver does with a request.
#[derive(Clone)]
pub(crate) enum Reply {
    /// Answers with this status.
    Status(u16),
    /// Answers with this status, these headers and this body.
    Full(u16, String, String),
    /// Takes the request, and breaks the connection.
    Reset,
    /// Never answers.
    Silence,
    /// Answers 200, and a body without end.
    Endless,
    /// Answers 200 once so many requests are under way at the same time.
    Together(Arc<Barrier>),
}

/// A running receiver; it ends when it is dropped.
pub(crate) struct Receiver {
    port: u16,
    requests: Arc<Mutex<Vec<Request>>>,
    count: watch::Receiver<usize>,
    task: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Receiver {
    /// `reply` is asked with each request and its number, from 1.
    pub(crate) async fn start(
        reply: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (counted, count) = watch::channel(0);
        let shared = (Arc::clone(&requests), Arc::new(counted), Arc::new(reply));
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (requests, counted, reply) = shared.clone();
                tokio::spawn(async move {
                    let mut stream = stream;
                    while let Some(request) = read(&mut stream).await {
                        let number = {
                            let mut requests = requests.lock().unwrap();
                            requests.push(request.clone());
                            requests.len()
                        };
                        counted.send_modify(|count| *count = number.max(*count));
                        if !answer(&mut stream, reply(&request, number)).await {
                            break;
                        }
                    }
                });
            }
        });
        Self { port, requests, count, task }
    }

    pub(crate) async fn always(status: u16) -> Self {
        Self::start(move |_, _| Reply::Status(status)).await
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook", self.port)
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// Waits for so many requests.
    pub(crate) async fn wait_for(&self, n: usize) -> Vec<Request> {
        let mut count = self.count.clone();
        let reached = tokio::time::timeout(SOON, count.wait_for(|count| *count >= n)).await;
        assert!(reached.is_ok(), "waited too long for {n} requests: {:?}", self.requests().len());
        self.requests()
    }
}

async fn read(stream: &mut TcpStream) -> Option<Request> {
    let mut raw = Vec::new();
    let head = loop {
        if stream.read_buf(&mut raw).await.ok()? == 0 {
            return None;
        }
        if let Some(end) = raw.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
    };
    let text = String::from_utf8(raw[..head].to_vec()).unwrap();
    let headers: BTreeMap<String, String> = text
        .lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length: usize = headers["content-length"].parse().unwrap();
    while raw.len() < head + 4 + length {
        stream.read_buf(&mut raw).await.ok().filter(|n| *n > 0)?;
    }
    Some(Request { headers, body: String::from_utf8(raw[head + 4..].to_vec()).unwrap() })
}

/// Answers whether the connection may serve another request.
async fn answer(stream: &mut TcpStream, reply: Reply) -> bool {
    let whole = |status: u16, headers: &str, body: &str| {
        let length = body.len();
        format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n{headers}\r\n{body}")
    };
    match reply {
        Reply::Status(status) => stream.write_all(whole(status, "", "").as_bytes()).await.is_ok(),
        Reply::Full(status, headers, body) => {
            stream.write_all(whole(status, &headers, &body).as_bytes()).await.is_ok()
        }
        Reply::Together(barrier) => {
            barrier.wait().await;
            stream.write_all(whole(200, "", "").as_bytes()).await.is_ok()
        }
        Reply::Reset => {
            // With nothing to linger for, closing sends a reset.
            let _ = stream.set_zero_linger();
            false
        }
        Reply::Silence => {
            let _ = stream.read(&mut [0; 1]).await;
            false
        }
        Reply::Endless => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
            while stream.write_all(&[b'x'; 8_192]).await.is_ok() {}
            false
        }
    }
}
