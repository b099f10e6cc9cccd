//! A node that answers from recorded blocks, and lies on demand.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

/// What a lie is made of: the method and its parameters, and the result, which it may change.
/// An object with `error` in the place of the result is sent as an error.
type Lie = Box<dyn FnMut(&str, &Value, &mut Value) + Send>;

/// A running one.
pub(crate) struct Scripted {
    server: MockServer,
    asked: Arc<AtomicUsize>,
}

impl Scripted {
    /// Serves the recorded `blocks` (as in `tests/golden`), the last of which is the newest.
    pub(crate) async fn honest(blocks: &[Value]) -> Self {
        Self::lying(blocks, |_, _, _| {}).await
    }

    /// The same, with every answer passed through `lie`.
    pub(crate) async fn lying(
        blocks: &[Value],
        lie: impl FnMut(&str, &Value, &mut Value) + Send + 'static,
    ) -> Self {
        let server = MockServer::start().await;
        let asked = Arc::new(AtomicUsize::new(0));
        let (blocks, counter) = (blocks.to_vec(), Arc::clone(&asked));
        let lie: Mutex<Lie> = Mutex::new(Box::new(lie));
        let respond = move |request: &Request| {
            let body: Value = request.body_json().unwrap();
            let answer = |call: &Value| {
                counter.fetch_add(1, Ordering::SeqCst);
                respond(&blocks, call, &mut lie.lock().unwrap())
            };
            let reply = match &body {
                Value::Array(calls) => json!(calls.iter().map(answer).collect::<Vec<_>>()),
                call => answer(call),
            };
            ResponseTemplate::new(200).set_body_json(reply)
        };
        Mock::given(any()).respond_with(respond).mount(&server).await;
        Self { server, asked }
    }

    pub(crate) fn url(&self) -> String {
        self.server.uri()
    }

    /// How many calls it got.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn respond(blocks: &[Value], call: &Value, lie: &mut Lie) -> Value {
    let method = call["method"].as_str().unwrap();
    let params = &call["params"];
    let mut result = result(blocks, method, params);
    lie(method, params, &mut result);
    match result.get("error") {
        Some(error) => json!({ "jsonrpc": "2.0", "id": call["id"], "error": error }),
        None => json!({ "jsonrpc": "2.0", "id": call["id"], "result": result }),
    }
}

fn result(blocks: &[Value], method: &str, params: &Value) -> Value {
    let by = |field: &str, value: &Value| {
        blocks.iter().find(|recorded| recorded["block"][field] == *value)
    };
    match method {
        "eth_chainId" => json!("0x7a69"),
        "eth_getBlockByNumber" | "eth_getBlockByHash" => {
            let found = match params[0].as_str().unwrap() {
                "latest" | "safe" => blocks.last(),
                "finalized" => blocks.first(),
                _ if method == "eth_getBlockByHash" => by("hash", &params[0]),
                _ => by("number", &params[0]),
            };
            found.map_or(Value::Null, |recorded| shown(recorded, params[1] == json!(true)))
        }
        "eth_getBlockReceipts" => {
            by("hash", &params[0]).map_or(Value::Null, |recorded| recorded["receipts"].clone())
        }
        "eth_getLogs" => match params[0].get("blockHash") {
            Some(hash) => match by("hash", hash) {
                Some(recorded) => recorded["logs"].clone(),
                None => json!({ "error": { "code": -32000, "message": "unknown block" } }),
            },
            None => json!(logs_between(
                blocks,
                number(&params[0]["fromBlock"]),
                number(&params[0]["toBlock"])
            )),
        },
        "eth_getTransactionReceipt" => blocks
            .iter()
            .flat_map(|recorded| recorded["receipts"].as_array().unwrap())
            .find(|receipt| receipt["transactionHash"] == params[0])
            .map_or(Value::Null, Value::clone),
        _ => json!({ "error": { "code": -32601, "message": "Method not found" } }),
    }
}

fn shown(recorded: &Value, whole: bool) -> Value {
    let mut block = recorded["block"].clone();
    if !whole {
        block["transactions"] = recorded["hashes"].clone();
    }
    block
}

fn logs_between(blocks: &[Value], from: u64, to: u64) -> Vec<Value> {
    let within = |recorded: &&Value| (from..=to).contains(&number(&recorded["block"]["number"]));
    let logs = blocks.iter().filter(within).map(|recorded| recorded["logs"].as_array().unwrap());
    logs.flatten().cloned().collect()
}

/// A quantity.
pub(crate) fn number(quantity: &Value) -> u64 {
    u64::from_str_radix(quantity.as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
}
