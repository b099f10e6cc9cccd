//! Keys and passwords reach the provider and nobody else (I12, F19).

use std::io;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use confirmd_rpc::{Failure, Limits, Pool, Request};
use secrecy::SecretString;
use serde_json::json;
use tokio::net::TcpListener;
use tracing_subscriber::fmt::MakeWriter;
use wiremock::{Mock, MockServer, ResponseTemplate, matchers};

use crate::support::config;

const SECRETS: [&str; 5] =
    ["PATHSECRET", "QUERYSECRET", "PASS SECRET", "PASS%20SECRET", "USERSECRET"];

/// `http://127.0.0.1:1` with a secret in every place that can hold one.
fn with_secrets(origin: &str) -> String {
    let (scheme, address) = origin.split_once("://").expect("an origin");
    format!("{scheme}://USERSECRET:PASS%20SECRET@{address}/v3/PATHSECRET?apikey=QUERYSECRET")
}

/// Everything that is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("not poisoned").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn user_and_password_in_the_url_become_a_header_and_the_rest_arrives() {
    let server = MockServer::start().await;
    let expected = format!("Basic {}", BASE64_STANDARD.encode("USERSECRET:PASS SECRET"));
    Mock::given(matchers::path("/v3/PATHSECRET"))
        .and(matchers::query_param("apikey", "QUERYSECRET"))
        .and(matchers::header("authorization", expected.as_str()))
        .respond_with(|request: &wiremock::Request| {
            let call: serde_json::Value = request.body_json().expect("a call");
            ResponseTemplate::new(200).set_body_json(json!({ "id": call["id"], "result": 1 }))
        })
        .mount(&server)
        .await;
    let main = config("main", &with_secrets(&server.uri()));
    let pool = Pool::new("testnet", &[main], Limits::default()).expect("a pool");
    pool.providers()[0].call("eth_chainId", ()).await.expect("authorised");
}

#[tokio::test]
async fn nothing_that_is_shown_holds_a_secret_i12_f19() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_writer(log.clone())
        .finish();
    // For all threads: a thread's own subscriber misses what other tests' threads logged first.
    tracing::subscriber::set_global_default(subscriber).expect("the only one");

    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        format!("http://{}", listener.local_addr().expect("an address"))
    };
    let mut shown = String::new();
    for (name, status) in [("limit", 429), ("key", 401), ("crash", 500), ("text", 200)] {
        let server = MockServer::start().await;
        // The worst a provider can do: it repeats all that it was sent, in every form.
        let url = with_secrets(&server.uri());
        let echo = format!("{url} {} {}", SECRETS.join(" "), server.address());
        let result = json!({ "id": 1, "result": echo });
        let json = json!({ "id": null, "error": { "code": -32000, "message": echo } });
        for body in [json.to_string(), result.to_string(), echo.clone()] {
            server.reset().await;
            let answer = ResponseTemplate::new(status).set_body_string(body);
            Mock::given(matchers::any()).respond_with(answer).mount(&server).await;
            shown += &all_that_is_shown(name, &url).await;
        }
    }
    shown += &all_that_is_shown("closed", &with_secrets(&closed)).await;
    shown += &all_that_is_shown("no host", &with_secrets("http://nowhere.invalid")).await;
    assert!(!shown.contains("127.0.0.1") && !shown.contains("nowhere.invalid"), "{shown}");

    shown += &String::from_utf8_lossy(&log.0.lock().expect("not poisoned"));
    assert!(shown.contains("put aside"), "the log was captured");
    for secret in SECRETS {
        assert!(!shown.contains(secret), "{secret} in\n{shown}");
    }
}

/// Calls, batches and asks, and collects every error, status and `Debug`.
async fn all_that_is_shown(name: &str, url: &str) -> String {
    let mut main = config(name, url);
    main.ws = Some(SecretString::from(url.replace("http://", "ws://")));
    let mut shown = format!("{main:?}");
    let pool = Pool::new("testnet", &[main], Limits::default()).expect("a pool");
    let subscribe = Request::new("eth_subscribe", &["newHeads"]).expect("a request");
    pool.subscribe(&subscribe);
    let provider = &pool.providers()[0];
    // The first call of a provider has the id 1, to which one server answers.
    let answer = provider.call("eth_chainId", ()).await.and_then(|answer| answer.decode::<u64>());
    let error = answer.expect_err("fails");
    shown += &format!("{error} {error:?}");
    let error = provider.batch(&[subscribe.clone(), subscribe]).await.expect_err("fails");
    shown += &format!("{error} {error:?}");
    for failure in [Failure::Missing, Failure::TooMuch, Failure::GiveUp, Failure::unproven] {
        // A chain that quotes what it was told; the last one puts the provider aside.
        let asking = pool.ask(|_| async { Err::<(), _>(failure(url.to_owned())) });
        let error = asking.await.expect_err("fails");
        shown += &format!("{error} {error:?}");
    }
    shown + &format!("{:?} {pool:?} {provider:?}", pool.statuses())
}
