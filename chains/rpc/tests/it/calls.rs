//! Single calls, and what becomes of every sort of answer.

use std::borrow::Cow;
use std::time::Duration;

use confirmd_rpc::{CallError, Limits, Remedy};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use wiremock::ResponseTemplate;

use crate::support::{error, ok, provider, result, server};

#[tokio::test]
async fn an_answer_is_decoded_from_the_borrowed_body() {
    #[derive(Deserialize)]
    struct Block<'a> {
        #[serde(borrow)]
        hash: Cow<'a, str>,
        #[serde(borrow)]
        transactions: Vec<&'a RawValue>,
    }
    let block = json!({ "hash": "0xab", "transactions": [{ "type": "0x7e" }, 7] });
    let server = server(move |request| ok(result(request, block.clone()))).await;
    let provider = provider(&server.uri(), Limits::default());

    let answer = provider.call("eth_getBlockByHash", ("0xab", true)).await.expect("an answer");
    let block: Block<'_> = answer.decode().expect("a block");
    assert!(matches!(block.hash, Cow::Borrowed("0xab")));
    let transactions: Vec<_> = block.transactions.iter().map(|raw| raw.get()).collect();
    assert_eq!(transactions, [r#"{"type":"0x7e"}"#, "7"]);
    let bytes = answer.json().expect("a result").as_ptr_range();
    assert!(bytes.contains(&block.hash.as_ptr()), "borrowed, not copied");
    assert!(provider.latency() > Duration::ZERO);
}

#[tokio::test]
async fn a_long_answer_is_borrowed_from_the_whole_reply() {
    let long = "f".repeat(100_000);
    let expected = long.clone();
    let server = server(move |request| ok(result(request, &long))).await;
    let provider = provider(&server.uri(), Limits::default());
    let answer = provider.call("getblock", ("00ab", 0)).await.expect("an answer");
    assert_eq!(answer.decode::<Cow<'_, str>>(), Ok(Cow::Borrowed(&*expected)));
    assert_eq!(answer.json().map(<[u8]>::len), Ok(100_002), "with its quotes, and no envelope");
    assert!(!answer.is_null());
    assert!(matches!(answer.decode::<Vec<u8>>(), Err(CallError::Malformed(_))));
}

#[tokio::test]
async fn a_long_answer_that_is_not_the_calls_result_is_refused_f20() {
    type Reply = fn(&Value, &str) -> Value;
    let replies: [(Reply, &str); 4] = [
        (|_, long| json!({ "id": 9_999, "result": long }), "to another call"),
        (|request, long| json!({ "id": request["id"], "error": long }), "no result"),
        (|request, long| json!({ "id": request["id"], "result": long, "error": 7 }), "no result"),
        (|request, long| json!({ "id": request["id"], "others": long }), "no result"),
    ];
    for (reply, words) in replies {
        let long = "f".repeat(100_000);
        let server = server(move |request| ok(reply(request, &long))).await;
        let provider = provider(&server.uri(), Limits::default());
        let answer = provider.call("getblock", ("00ab", 0)).await.expect("an answer");
        let decoded = answer.decode::<&str>().expect_err("no answer to this call").to_string();
        assert!(decoded.contains(words), "{decoded}");
        assert!(answer.json().is_err());
    }
}

#[tokio::test]
async fn null_is_an_answer_and_never_an_empty_one_f4() {
    let server = server(|request| ok(result(request, Value::Null))).await;
    let provider = provider(&server.uri(), Limits::default());
    let answer = provider.call("eth_getBlockReceipts", ("0x1",)).await.expect("an answer");
    assert!(answer.is_null());
    assert_eq!(answer.decode::<Option<Vec<u8>>>(), Ok(None));
    assert!(matches!(answer.decode::<Vec<u8>>(), Err(CallError::Malformed(_))));
}

#[tokio::test]
async fn a_call_without_parameters_sends_an_empty_list() {
    let server = server(|request| ok(result(request, request.clone()))).await;
    let provider = provider(&server.uri(), Limits::default());
    let answer = provider.call("eth_chainId", ()).await.expect("an answer");
    let mut sent: Value = answer.decode().expect("the request");
    sent["id"].take();
    let expected = json!({ "jsonrpc": "2.0", "id": null, "method": "eth_chainId", "params": [] });
    assert_eq!(sent, expected);
}

#[tokio::test]
async fn every_sort_of_answer_has_its_remedy_f11() {
    let text = |status, body: &'static str| {
        move |_: &Value| ResponseTemplate::new(status).set_body_string(body)
    };
    let says = |status, code, message: &'static str| {
        move |request: &Value| {
            ResponseTemplate::new(status).set_body_json(error(request, code, message))
        }
    };
    type Answer = Box<dyn Fn(&Value) -> ResponseTemplate + Send + Sync>;
    let cases: Vec<(&str, Answer, Remedy, &str)> = vec![
        ("500", Box::new(text(500, "oops")), Remedy::Elsewhere, "unreachable: HTTP 500: oops"),
        ("503", Box::new(text(503, "")), Remedy::Elsewhere, "unreachable: HTTP 503"),
        ("401", Box::new(text(401, "no key")), Remedy::Elsewhere, "unreachable: HTTP 401: no key"),
        ("403", Box::new(says(403, -32052, "denied")), Remedy::Elsewhere, "unreachable: HTTP 403"),
        ("404", Box::new(text(404, "nothing")), Remedy::Elsewhere, "unreachable: HTTP 404"),
        ("301", Box::new(text(301, "moved")), Remedy::Elsewhere, "unreachable: HTTP 301"),
        ("413", Box::new(text(413, "too big")), Remedy::Shrink, "too much at once: HTTP 413"),
        ("429", Box::new(text(429, "slow")), Remedy::Wait, "rate limited: HTTP 429: slow"),
        (
            "429 in JSON",
            Box::new(says(429, -32005, "exceeded project rate limit")),
            Remedy::Wait,
            "rate limited: exceeded project rate limit",
        ),
        ("HTML", Box::new(text(200, "<html>")), Remedy::Elsewhere, "malformed answer"),
        ("nothing", Box::new(text(200, "")), Remedy::Elsewhere, "malformed answer"),
        ("half", Box::new(text(200, r#"{"id":1,"result":[1,"#)), Remedy::Elsewhere, "malformed"),
        (
            "neither result nor error",
            Box::new(|request: &Value| ok(json!({ "id": request["id"] }))),
            Remedy::Elsewhere,
            "malformed answer: neither result nor error",
        ),
        (
            "a result with a failing status",
            Box::new(|request: &Value| {
                ResponseTemplate::new(502).set_body_json(result(request, json!([])))
            }),
            Remedy::Elsewhere,
            "unreachable: HTTP 502",
        ),
        (
            "bitcoind's errors come with 500",
            Box::new(says(500, -5, "Block not found")),
            Remedy::Elsewhere,
            "not there: Block not found (code -5)",
        ),
        (
            "an error beside a null result",
            Box::new(|request: &Value| {
                let mut body = error(request, -32602, "invalid argument 0");
                body["result"] = Value::Null;
                ok(body)
            }),
            Remedy::GiveUp,
            "invalid request: invalid argument 0 (code -32602)",
        ),
        (
            "an error that is a string",
            Box::new(|_: &Value| ok(json!({ "error": "Too many requests" }))),
            Remedy::Wait,
            "rate limited",
        ),
        (
            "an error to a call that could not be read",
            Box::new(|_: &Value| {
                ok(json!({ "id": null, "error": { "code": -32000, "message": "broken" } }))
            }),
            Remedy::Elsewhere,
            "refused: broken (code -32000)",
        ),
        (
            "the answer to another call",
            Box::new(|_: &Value| ok(json!({ "id": 4_711, "result": [] }))),
            Remedy::Elsewhere,
            "malformed answer: the answer is to another call",
        ),
        (
            "the error of another call",
            Box::new(|_: &Value| ok(error(&json!({ "id": 4_711 }), -32602, "wrong"))),
            Remedy::Elsewhere,
            "malformed answer: the answer is to another call",
        ),
        (
            "an answer to nobody",
            Box::new(|_: &Value| ok(json!({ "result": [] }))),
            Remedy::Elsewhere,
            "malformed answer: the answer is to another call",
        ),
        (
            "a list",
            Box::new(|request: &Value| ok(json!([result(request, json!([]))]))),
            Remedy::Elsewhere,
            "malformed answer: a list of answers to one call",
        ),
    ];
    for (name, answer, remedy, words) in cases {
        let server = server(answer).await;
        let provider = provider(&server.uri(), Limits::default());
        let error = provider.call("eth_getBlockByNumber", ("0x1", false)).await.expect_err(name);
        assert_eq!(error.remedy(), remedy, "{name}: {error}");
        assert!(error.to_string().starts_with(words), "{name}: {error}");
    }
}

#[tokio::test]
async fn retry_after_is_obeyed_up_to_a_cap_f11() {
    let cases = [
        (Some("7"), 7),
        (Some("86400"), 300),
        (Some("Wed, 21 Oct 2026 07:30:00 GMT"), 120),
        (None, 30),
    ];
    for (header, seconds) in cases {
        let server = server(move |request| {
            let mut body = error(request, -32005, "exceeded project rate limit");
            body["error"]["data"] = json!({ "rate": { "backoff_seconds": 30 } });
            let answer = ResponseTemplate::new(429)
                .set_body_json(body)
                .insert_header("date", "Wed, 21 Oct 2026 07:28:00 GMT");
            match header {
                Some(header) => answer.insert_header("retry-after", header),
                None => answer,
            }
        })
        .await;
        let provider = provider(&server.uri(), Limits::default());
        let error = provider.call("eth_chainId", ()).await.expect_err("limited");
        let CallError::RateLimited { retry_after, .. } = error else { panic!("{error}") };
        assert_eq!(retry_after, Some(Duration::from_secs(seconds)), "{header:?}");
    }
}

#[tokio::test]
async fn requests_are_counted_by_outcome() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let server = server(|request| match request["method"].as_str() {
        Some("eth_chainId") => ok(result(request, json!("0x1"))),
        _ => ok(error(request, -32601, "no such method")),
    })
    .await;
    let provider = provider(&server.uri(), Limits::default());
    for _ in 0..2 {
        provider.call("eth_chainId", ()).await.expect("an answer");
    }
    provider.call("eth_nonsense", ()).await.expect_err("unsupported");

    let text = metrics.render();
    let labels = r#"network="testnet",provider="main""#;
    for line in [
        format!(r#"confirmd_provider_requests_total{{{labels},outcome="ok"}} 2"#),
        format!(r#"confirmd_provider_requests_total{{{labels},outcome="unsupported"}} 1"#),
        format!("confirmd_provider_request_duration_seconds_count{{{labels}}} 3"),
    ] {
        assert!(text.contains(&line), "{line} is not in\n{text}");
    }
}
