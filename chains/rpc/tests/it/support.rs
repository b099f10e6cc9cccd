//! Providers to talk to.

use std::num::NonZeroUsize;
use std::sync::Arc;

use confirmd_rpc::{Limits, Pool, Provider, ProviderConfig};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use wiremock::{Mock, MockServer, Request, ResponseTemplate, matchers};

/// A provider's configuration with nothing but name and URL.
pub(crate) fn config(name: &str, url: &str) -> ProviderConfig {
    ProviderConfig {
        name: name.to_owned(),
        url: SecretString::from(url),
        ws: None,
        requests_per_second: None,
        batch_size: None,
    }
}

/// A pool of these.
pub(crate) fn pool_of(providers: &[ProviderConfig]) -> Pool {
    Pool::new("testnet", providers, Limits::default()).expect("a pool")
}

/// The only provider of a pool with these limits.
pub(crate) fn provider(url: &str, limits: Limits) -> Arc<Provider> {
    let pool = Pool::new("testnet", &[config("main", url)], limits).expect("a pool");
    Arc::clone(&pool.providers()[0])
}

/// Batches of this many calls.
pub(crate) fn batches_of(calls: usize) -> Limits {
    let batch_size = NonZeroUsize::new(calls).expect("not zero");
    Limits { batch_size, ..Limits::default() }
}

/// A server that answers what the closure makes of the request's JSON.
pub(crate) async fn server(
    answer: impl Fn(&Value) -> ResponseTemplate + Send + Sync + 'static,
) -> MockServer {
    let server = MockServer::start().await;
    let respond = move |request: &Request| {
        answer(&serde_json::from_slice(&request.body).expect("a request in JSON"))
    };
    Mock::given(matchers::method("POST")).respond_with(respond).mount(&server).await;
    server
}

/// The result to a single call.
pub(crate) fn result(request: &Value, result: impl serde::Serialize) -> Value {
    json!({ "jsonrpc": "2.0", "id": request["id"], "result": result })
}

/// The error to a single call.
pub(crate) fn error(request: &Value, code: i64, message: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": request["id"], "error": { "code": code, "message": message } })
}

/// JSON with status 200.
pub(crate) fn ok(body: impl serde::Serialize) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(body)
}

/// A server of the test's own runtime, so that a paused clock sees no idle time between its
/// answers and their arrival. It reads one request and hands over the connection.
pub(crate) async fn raw_server<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> String
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            read_request(&mut connection).await;
            tokio::spawn(serve(connection));
        }
    });
    format!("http://{address}")
}

/// Reads a request with a `Content-Length`, head and body.
async fn read_request(connection: &mut TcpStream) -> Vec<u8> {
    let mut request = Vec::new();
    loop {
        let mut buffer = [0; 4096];
        let read = connection.read(&mut buffer).await.unwrap_or(0);
        request.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&request);
        let done = text.split_once("\r\n\r\n").is_some_and(|(head, body)| {
            let head = head.to_lowercase();
            let length = head.split("content-length: ").nth(1).and_then(|n| n.lines().next());
            length.and_then(|n| n.parse().ok()).is_some_and(|length: usize| body.len() >= length)
        });
        if done || read == 0 {
            return request;
        }
    }
}

/// Writes, and does not mind that the other side has had enough.
pub(crate) async fn write(connection: &mut TcpStream, bytes: &[u8]) -> bool {
    connection.write_all(bytes).await.is_ok()
}
