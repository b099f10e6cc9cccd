//! A provider that lies: a proxy in front of a real node that changes its answers.

use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::State;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Changes the result of a call, given its method, parameters and honest result. What [`denied`]
/// makes, in the result's place, is sent as an error.
pub(crate) type Fault = Box<dyn FnMut(&str, &Value, &mut Value) + Send>;

/// Changes a request before the node sees it.
type Twist = Box<dyn FnMut(&mut Value) + Send>;

/// Answers a call, given its method and parameters, in the node's stead.
type Fake = Box<dyn Fn(&str, &Value) -> Option<Value> + Send>;

/// The key of an error that stands in a result's place; no node's result has it.
const DENIED: &str = "denied by the proxy";

/// An error in the place of a result.
pub(crate) fn denied(code: i64, message: &str) -> Value {
    json!({ DENIED: { "code": code, "message": message } })
}

/// The proxy. Honest until it is told otherwise.
#[derive(Clone)]
pub(crate) struct Proxy {
    /// Where it answers.
    pub(crate) url: String,
    shared: Arc<Shared>,
}

struct Shared {
    node: Mutex<String>,
    client: reqwest::Client,
    twist: Mutex<Twist>,
    fault: Mutex<Fault>,
    fake: Mutex<Fake>,
    /// A method whose calls wait until it is another.
    withheld: watch::Sender<Option<&'static str>>,
    /// Methods that it does not have.
    lacks: &'static [&'static str],
}

impl Proxy {
    /// Stands in front of a node.
    pub(crate) async fn start(node: String) -> Self {
        Self::without(&[], node).await
    }

    /// Stands in front of a node, and does not have these methods.
    pub(crate) async fn without(lacks: &'static [&'static str], node: String) -> Self {
        let client = reqwest::Client::builder().build().expect("a client");
        let shared = Arc::new(Shared {
            node: Mutex::new(node),
            client,
            twist: Mutex::new(Box::new(|_| {})),
            fault: Mutex::new(Box::new(|_, _, _| {})),
            fake: Mutex::new(Box::new(|_, _| None)),
            withheld: watch::Sender::new(None),
            lacks,
        });
        let router = Router::new().fallback(forward).with_state(shared.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, shared }
    }

    /// Lies from now on.
    pub(crate) fn lie(&self, fault: impl FnMut(&str, &Value, &mut Value) + Send + 'static) {
        *self.shared.fault.lock().expect("no test panics with it") = Box::new(fault);
    }

    /// Asks the node something else than it was asked from now on.
    pub(crate) fn twist(&self, twist: impl FnMut(&mut Value) + Send + 'static) {
        *self.shared.twist.lock().expect("no test panics with it") = Box::new(twist);
    }

    /// Answers by itself from now on what this has an answer to.
    pub(crate) fn answer(&self, fake: impl Fn(&str, &Value) -> Option<Value> + Send + 'static) {
        *self.shared.fake.lock().expect("no test panics with it") = Box::new(fake);
    }

    /// Lets the calls of a method wait, until it is told of another one, or none.
    pub(crate) fn withhold(&self, method: Option<&'static str>) {
        self.shared.withheld.send_replace(method);
    }

    /// Stands in front of another node from now on.
    pub(crate) fn serve(&self, node: String) {
        *self.shared.node.lock().expect("no test panics with it") = node;
    }
}

impl Shared {
    /// What it answers by itself; a batch only as a whole.
    fn faked(&self, request: &Value) -> Option<Value> {
        let fake = self.fake.lock().expect("no test panics with it");
        let one = |request: &Value| {
            let result = fake(request["method"].as_str()?, &request["params"])?;
            Some(json!({ "jsonrpc": "2.0", "id": request["id"], "result": result }))
        };
        match request {
            Value::Array(requests) => requests.iter().map(one).collect(),
            request => one(request),
        }
    }
}

async fn forward(State(shared): State<Arc<Shared>>, body: Bytes) -> Json<Value> {
    let mut request: Value = serde_json::from_slice(&body).expect("JSON-RPC");
    let mut withheld = shared.withheld.subscribe();
    let calls = |method: &str| match &request {
        Value::Array(requests) => requests.iter().any(|request| request["method"] == method),
        request => request["method"] == method,
    };
    let may_go_on = withheld.wait_for(|method| !method.is_some_and(calls)).await.is_ok();
    assert!(may_go_on, "the proxy lives as long as its requests");
    if let Some(answer) = shared.faked(&request) {
        return Json(answer);
    }
    let node = shared.node.lock().expect("no test panics with it").clone();
    {
        let mut twist = shared.twist.lock().expect("no test panics with it");
        match &mut request {
            Value::Array(requests) => requests.iter_mut().for_each(&mut *twist),
            request => twist(request),
        }
    }
    let sent = shared.client.post(&node).json(&request).send().await;
    let mut answer: Value = match sent {
        Ok(answer) => answer.json().await.expect("JSON-RPC"),
        Err(_) => json!({ "jsonrpc": "2.0", "id": request["id"],
            "error": { "code": -32000, "message": "the node is gone" } }),
    };
    let mut fault = shared.fault.lock().expect("no test panics with it");
    match (request, &mut answer) {
        (Value::Array(requests), Value::Array(answers)) => {
            for answer in answers {
                let of_it = |request: &&Value| request["id"] == answer["id"];
                let request = requests.iter().find(of_it).cloned().unwrap_or_default();
                bend(&shared, &mut fault, &request, answer);
            }
        }
        (request, answer) => bend(&shared, &mut fault, &request, answer),
    }
    drop(fault);
    Json(answer)
}

fn bend(shared: &Shared, fault: &mut Fault, request: &Value, answer: &mut Value) {
    if shared.lacks.iter().any(|method| request["method"] == *method) {
        *answer = json!({ "jsonrpc": "2.0", "id": request["id"],
            "error": { "code": -32601, "message": "the method does not exist" } });
    }
    if let (Some(method), Some(result)) = (request["method"].as_str(), answer.get_mut("result")) {
        fault(method, &request["params"], result);
        if let Some(error) = result.get_mut(DENIED).map(Value::take) {
            *answer = json!({ "jsonrpc": "2.0", "id": request["id"], "error": error });
        }
    }
}
