//! A provider that lies: it passes calls on to a node, and changes what comes back.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Changes the result of a call: method, parameters, the node's own result.
pub(crate) type Lie = Box<dyn Fn(&str, &Value, &mut Value) + Send + Sync>;

/// Answers calls by itself, those that it knows.
pub(crate) type Script = Box<dyn Fn(&str, &Value) -> Option<Value> + Send + Sync>;

/// What the proxy does with an answer.
enum Manner {
    Honest,
    /// The node is not asked where the script knows all.
    Scripted(Script),
    Changed(Lie),
    /// The body goes on for ever.
    Endless,
}

pub(crate) struct Proxy {
    url: String,
    manner: Arc<Mutex<Manner>>,
    calls: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    /// Before a node; honest at first.
    pub(crate) async fn before(node: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let manner = Arc::new(Mutex::new(Manner::Honest));
        let calls = Arc::new(AtomicUsize::new(0));
        let (shared, counted) = (manner.clone(), calls.clone());
        let client = reqwest::Client::builder().timeout(Duration::from_secs(10)).build().unwrap();
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (node, manner, calls) = (node.clone(), shared.clone(), counted.clone());
                let client = client.clone();
                tokio::spawn(async move { serve(socket, client, node, manner, calls).await });
            }
        });
        Self { url, manner, calls, task }
    }

    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    /// How many calls were made so far, those of batches counted each.
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    pub(crate) fn lie(&self, lie: impl Fn(&str, &Value, &mut Value) + Send + Sync + 'static) {
        *self.manner.lock().unwrap() = Manner::Changed(Box::new(lie));
    }

    pub(crate) fn answer(
        &self,
        script: impl Fn(&str, &Value) -> Option<Value> + Send + Sync + 'static,
    ) {
        *self.manner.lock().unwrap() = Manner::Scripted(Box::new(script));
    }

    pub(crate) fn never_end(&self) {
        *self.manner.lock().unwrap() = Manner::Endless;
    }
}

async fn serve(
    mut socket: TcpStream,
    client: reqwest::Client,
    node: String,
    manner: Arc<Mutex<Manner>>,
    calls: Arc<AtomicUsize>,
) -> Option<()> {
    loop {
        let request: Value = serde_json::from_slice(&read_body(&mut socket).await?).ok()?;
        let single = !request.is_array();
        let asked = request.as_array().cloned().unwrap_or_else(|| vec![request.clone()]);
        calls.fetch_add(asked.len(), Ordering::Relaxed);
        let scripted = match &*manner.lock().unwrap() {
            Manner::Scripted(script) => by_script(script, &asked),
            _ => None,
        };
        let mut answer: Value = match scripted {
            Some(answers) if single => answers.into_iter().next()?,
            Some(answers) => Value::Array(answers),
            None => {
                let answer = client.post(&node).json(&request).send().await.ok()?;
                answer.json().await.ok()?
            }
        };
        let is_endless = {
            let manner = manner.lock().unwrap();
            if let Manner::Changed(lie) = &*manner {
                change(lie, &asked, &mut answer, single);
            }
            matches!(*manner, Manner::Endless)
        };
        if is_endless {
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{\"result\":\"";
            socket.write_all(head.as_bytes()).await.ok()?;
            loop {
                socket.write_all(&[b'a'; 65_536]).await.ok()?;
            }
        }
        let body = answer.to_string();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        socket.write_all(head.as_bytes()).await.ok()?;
        socket.write_all(body.as_bytes()).await.ok()?;
    }
}

fn by_script(script: &Script, asked: &[Value]) -> Option<Vec<Value>> {
    let answer = |call: &Value| {
        let result = script(call["method"].as_str()?, &call["params"])?;
        Some(json!({ "jsonrpc": "2.0", "id": call["id"], "result": result }))
    };
    asked.iter().map(answer).collect()
}

fn change(lie: &Lie, asked: &[Value], answer: &mut Value, single: bool) {
    let replies: Vec<&mut Value> = match answer {
        Value::Array(replies) if !single => replies.iter_mut().collect(),
        one => vec![one],
    };
    for reply in replies {
        let call = asked.iter().find(|call| call["id"] == reply["id"]);
        if let Some(call) = call {
            let mut result = reply["result"].take();
            lie(call["method"].as_str().unwrap(), &call["params"], &mut result);
            reply["result"] = result;
            if !reply["result"].is_null() {
                reply.as_object_mut().unwrap().remove("error");
            }
        }
    }
}

/// One HTTP request's body; none once the connection ends.
async fn read_body(socket: &mut TcpStream) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 8_192];
    loop {
        let head = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        if let Some(end) = head {
            let text = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
            let length = text.lines().find_map(|line| line.strip_prefix("content-length: "))?;
            let length: usize = length.trim().parse().ok()?;
            if bytes.len() >= end + 4 + length {
                return Some(bytes[end + 4..end + 4 + length].to_vec());
            }
        }
        match socket.read(&mut chunk).await.ok()? {
            0 => return None,
            count => bytes.extend_from_slice(&chunk[..count]),
        }
    }
}
