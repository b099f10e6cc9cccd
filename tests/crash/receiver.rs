//! A webhook receiver that now and then answers 500, or takes a webhook and resets the connection
//! before it has said so (F16).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::dice::Dice;
use crate::ledger::Ledger;

/// One request as it came in, whatever it was answered.
#[derive(Clone, Debug)]
struct Request {
    id: String,
    body: String,
}

/// Collects webhooks.
pub(crate) struct Receiver {
    /// Where to post.
    pub(crate) url: String,
    shared: Arc<Shared>,
}

struct Shared {
    inbox: Mutex<Vec<Request>>,
    dice: Mutex<Dice>,
    calm: AtomicBool,
}

enum Answer {
    Taken,
    Failed,
    Reset,
}

impl Receiver {
    /// One that fails now and then, until it is told to calm down.
    pub(crate) async fn start(dice: Dice) -> Self {
        let calm = AtomicBool::new(false);
        let shared = Shared { inbox: Mutex::default(), dice: Mutex::new(dice), calm };
        let shared = Arc::new(shared);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/hooks", listener.local_addr().expect("bound"));
        let serving = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&serving);
                // A sender that was killed in the middle of a request ends only that request.
                tokio::spawn(async move { shared.serve(stream).await.ok() });
            }
        });
        Self { url, shared }
    }

    /// One that takes everything.
    pub(crate) async fn start_calm() -> Self {
        let receiver = Self::start(Dice::new(0)).await;
        receiver.calm_down();
        receiver
    }

    /// Takes everything from now on.
    pub(crate) fn calm_down(&self) {
        self.shared.calm.store(true, Ordering::SeqCst);
    }

    /// How many came in, the same ones again included.
    pub(crate) fn requests(&self) -> usize {
        self.shared.inbox.lock().expect("no test panics with it").len()
    }

    /// Every event of the log came, as the log has it, under one id with one body, and each
    /// subject's in order (I7); nothing else came.
    pub(crate) fn must_have_got(&self, ledger: &Ledger) {
        let inbox = self.shared.inbox.lock().expect("no test panics with it").clone();
        let mut bodies = BTreeMap::<&str, &str>::new();
        let mut newest = BTreeMap::<String, u64>::new();
        for request in &inbox {
            if let Some(before) = bodies.insert(&request.id, &request.body) {
                assert_eq!(before, request.body, "two bodies of {}", request.id);
                continue;
            }
            let body: Value = serde_json::from_str(&request.body).expect("JSON");
            assert_eq!(body["id"], request.id, "the header names the event");
            let sequence = body["sequence"].as_u64().expect("a number");
            let before = newest.insert(Ledger::subject(&body), sequence);
            assert!(before < Some(sequence), "{before:?}, then {}", request.body);
        }
        let told: BTreeSet<&str> = bodies.keys().copied().collect();
        let logged: BTreeSet<&str> = ledger.events.keys().map(String::as_str).collect();
        assert_eq!(logged.difference(&told).collect::<Vec<_>>(), Vec::<&&str>::new(), "never came");
        assert_eq!(told.difference(&logged).collect::<Vec<_>>(), Vec::<&&str>::new(), "no event");
        for (id, body) in bodies {
            let body: Value = serde_json::from_str(body).expect("JSON");
            let logged = &ledger.events[id];
            for field in ["id", "type", "timestamp", "sequence", "data"] {
                assert_eq!(body[field], logged[field], "{field} of {id}");
            }
        }
    }
}

impl Shared {
    async fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let Some(request) = read(&mut stream).await? else { return Ok(()) };
        self.inbox.lock().expect("no test panics with it").push(request);
        match self.answer() {
            Answer::Taken => {
                stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await?;
            }
            Answer::Failed => {
                let answer = b"HTTP/1.1 500 Oh\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                stream.write_all(answer).await?;
            }
            Answer::Reset => stream.set_zero_linger()?,
        }
        Ok(())
    }

    fn answer(&self) -> Answer {
        if self.calm.load(Ordering::SeqCst) {
            return Answer::Taken;
        }
        match self.dice.lock().expect("no test panics with it").below(100) {
            0..6 => Answer::Failed,
            6..12 => Answer::Reset,
            _ => Answer::Taken,
        }
    }
}

/// The request; none where the sender went away before its end.
async fn read(stream: &mut TcpStream) -> std::io::Result<Option<Request>> {
    let mut bytes = Vec::new();
    loop {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let header = |name: &str| {
            let mut fields = head.lines().filter_map(|line| line.split_once(": "));
            let found = fields.find(|(field, _)| field.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.to_owned()).unwrap_or_default()
        };
        let length: usize = header("content-length").parse().expect("a length");
        if body.len() == length {
            return Ok(Some(Request { id: header("webhook-id"), body: body.to_owned() }));
        }
    }
}
