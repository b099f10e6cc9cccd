//! Batches, and the ways in which providers mix them up or refuse them.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use confirmd_rpc::{Answer, CallError, Limits, Pool, Provider, Request};
use serde_json::{Value, json};
use wiremock::ResponseTemplate;

use crate::support::{batches_of, config, error, ok, provider, result, server};

/// Calls that ask for 0, 1, 2 …
fn calls(count: u64) -> Vec<Request> {
    (0..count).map(|n| Request::new("echo", &[n]).expect("a call")).collect()
}

/// Answers each call with its own parameter.
fn echo(request: &Value) -> Value {
    result(request, request["params"][0].clone())
}

fn numbers(answers: &[Result<Answer, CallError>]) -> Vec<u64> {
    let number = |answer: &Result<Answer, CallError>| {
        answer.as_ref().expect("an answer").decode().expect("a number")
    };
    answers.iter().map(number).collect()
}

async fn echoes(provider: &Provider, count: u64) -> Vec<u64> {
    numbers(&provider.batch(&calls(count)).await.expect("answers"))
}

fn list(request: &Value) -> &Vec<Value> {
    request.as_array().expect("a batch")
}

#[tokio::test]
async fn answers_in_any_order_come_back_in_that_of_the_calls() {
    let server =
        server(|request| ok(list(request).iter().rev().map(echo).collect::<Vec<_>>())).await;
    let provider = provider(&server.uri(), batches_of(4));
    assert_eq!(echoes(&provider, 10).await, (0..10).collect::<Vec<_>>());
    let exchanges = server.received_requests().await.expect("recorded").len();
    assert_eq!(exchanges, 3, "four, four and two");
}

#[tokio::test]
async fn an_error_concerns_its_own_call_only() {
    let server = server(|request| {
        let answer = |call: &Value| match call["params"][0].as_u64() {
            Some(1) => error(call, -32000, "header not found"),
            _ => echo(call),
        };
        ok(list(request).iter().map(answer).collect::<Vec<_>>())
    })
    .await;
    let provider = provider(&server.uri(), Limits::default());
    let answers = provider.batch(&calls(3)).await.expect("answers");
    assert!(matches!(answers[1], Err(CallError::Missing(_))));
    assert!(answers[0].is_ok() && answers[2].is_ok());
}

#[tokio::test]
async fn a_batch_with_missing_double_or_foreign_ids_is_refused_as_a_whole_f5() {
    type MixUp = fn(&mut Vec<Value>);
    let cases: [(&str, MixUp); 7] = [
        ("missing", |answers| drop(answers.pop())),
        ("double", |answers| answers[2] = answers[1].clone()),
        ("double beside all", |answers| answers.push(answers[1].clone())),
        ("foreign", |answers| answers[1]["id"] = json!(4_711)),
        ("null", |answers| answers[1]["id"] = Value::Null),
        ("text", |answers| answers[1]["id"] = json!(answers[1]["id"].to_string())),
        ("none at all", Vec::clear),
    ];
    for (name, mix_up) in cases {
        let server = server(move |request| {
            let mut answers: Vec<_> = list(request).iter().map(echo).collect();
            mix_up(&mut answers);
            ok(answers)
        })
        .await;
        let provider = provider(&server.uri(), Limits::default());
        let error = provider.batch(&calls(3)).await.expect_err(name);
        assert!(matches!(error, CallError::Malformed(_)), "{name}: {error}");
    }
}

#[tokio::test]
async fn a_provider_that_does_no_batches_is_asked_one_by_one_from_then_on() {
    let refused = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&refused);
    let server = server(move |request| {
        if request.is_object() {
            return ok(echo(request));
        }
        count.fetch_add(1, Ordering::Relaxed);
        ResponseTemplate::new(400).set_body_json(error(&Value::Null, -32600, "Invalid Request"))
    })
    .await;
    let provider = provider(&server.uri(), Limits::default());
    assert_eq!(echoes(&provider, 5).await, [0, 1, 2, 3, 4]);
    assert_eq!(echoes(&provider, 2).await, [0, 1]);
    assert_eq!(refused.load(Ordering::Relaxed), 1, "it is remembered");
}

#[tokio::test]
async fn a_batch_that_is_too_large_is_halved_until_it_fits() {
    type Refuse = fn(&Value) -> ResponseTemplate;
    let cases: [(&str, Refuse); 4] = [
        ("in one error", |_| ok(error(&Value::Null, -32600, "batch size is too large, max 3"))),
        ("as geth does, in a list of one", |request| {
            ok([error(&request[0], -32600, "batch too large")])
        }),
        ("by status", |_| ResponseTemplate::new(413)),
        ("call by call", |request| {
            let answer = |call: &Value| error(call, -32003, "response too large");
            ok(list(request).iter().map(answer).collect::<Vec<_>>())
        }),
    ];
    for (name, refuse) in cases {
        let sizes = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&sizes);
        let server = server(move |request| {
            let Some(calls) = request.as_array() else { return ok(echo(request)) };
            seen.lock().expect("not poisoned").push(calls.len());
            if calls.len() > 3 {
                return refuse(request);
            }
            ok(calls.iter().map(echo).collect::<Vec<_>>())
        })
        .await;
        let provider = provider(&server.uri(), batches_of(10));
        assert_eq!(echoes(&provider, 10).await, (0..10).collect::<Vec<_>>(), "{name}");
        let sizes = sizes.lock().expect("not poisoned").clone();
        assert_eq!(sizes, [10, 5, 2, 2, 2, 2, 2], "{name}");
    }
}

#[tokio::test]
async fn a_rate_limit_on_a_batch_is_no_reason_for_smaller_ones() {
    let words = "method eth_getLogs in batch triggered rate limit";
    let server = server(move |_| ok(error(&Value::Null, -32005, words))).await;
    let provider = provider(&server.uri(), Limits::default());
    let error = provider.batch(&calls(3)).await.expect_err("limited");
    assert!(matches!(error, CallError::RateLimited { .. }), "{error}");
    assert_eq!(server.received_requests().await.expect("recorded").len(), 1);
}

#[tokio::test]
async fn a_batch_is_never_larger_than_what_the_rate_grants_at_once() {
    let server = server(|request| {
        assert!(list(request).len() <= 50, "the rate is 50 a second");
        ok(list(request).iter().map(echo).collect::<Vec<_>>())
    })
    .await;
    let mut main = config("main", &server.uri());
    main.requests_per_second = NonZeroU32::new(50);
    let pool = Pool::new("testnet", &[main], Limits::default()).expect("a pool");
    assert_eq!(echoes(&pool.providers()[0], 60).await.len(), 60);
}
