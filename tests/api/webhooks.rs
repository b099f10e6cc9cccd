//! Deliveries, endpoints, and what the status says of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use confirmd::api::Context;
use confirmd::store::{Attempt, Next};
use confirmd::webhook::Courier;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::support::{ADMIN, Api, READER, START, URL_TOKEN, WRITER, address, on_both, order};

/// Makes the one attempt that is due at `backend`, and records that it ended so.
async fn attempt(api: &Api, status_code: u16, next: Next) {
    let store = &api.context.store;
    let now = api.context.clock.now();
    let claimed = store.claim_deliveries("backend", 10, now, now.plus_ms(1_000)).await;
    let claimed = claimed.expect("claims").into_iter().next().expect("something due");
    let attempt = Attempt {
        at: now,
        status_code: Some(status_code),
        latency_ms: 12,
        error: (status_code >= 300).then(|| format!("answered {status_code}")),
        answer: Some("thank you".to_owned()),
    };
    store.record_attempts(&[claimed.outcome(attempt, next)], now).await.expect("recorded");
}

async fn problem_codes(api: &Api) -> Vec<String> {
    let status = api.get("/scanner/status", READER).await.expect(200);
    let problems = status["problems"].as_array().expect("problems").clone();
    let backend = problems.iter().filter(|problem| problem["subject"] == "backend");
    backend.map(|problem| problem["code"].as_str().expect("a code").to_owned()).collect()
}

#[tokio::test]
async fn a_dead_delivery_is_shown_and_sent_again() {
    on_both(async |api| {
        api.post("/v1/intents", WRITER, &order("order-1", &address(1))).await.expect(201);
        attempt(&api, 500, Next::Dead).await;
        assert_eq!(problem_codes(&api).await, ["deliveries-dead"]);
        let list = api.get("/v1/deliveries?state=dead&intent=order-1", WRITER).await.expect(200);
        let id = list["data"][0]["id"].as_str().expect("an id").to_owned();
        let path = format!("/v1/deliveries/{id}");
        let detail = api.get(&path, WRITER).await.expect(200);
        assert_eq!(
            detail["attempt_log"],
            json!([{
                "number": 1, "at": "2026-01-01T00:00:00.000Z", "status_code": 500, "latency_ms": 12,
                "error": "answered 500", "answer": "thank you",
            }])
        );
        assert_eq!((&detail["state"], &detail["last_status_code"]), (&json!("dead"), &json!(500)));
        assert_eq!(detail["next_at"], Value::Null);
        let body: Value =
            serde_json::from_str(detail["body"].as_str().expect("a body")).expect("JSON");
        assert_eq!((&body["id"], &body["type"]), (&detail["event"], &json!("payment.created")));

        let again = api.command(&format!("{path}/retry"), WRITER).await.expect(200);
        assert_eq!(again["state"], "waiting");
        assert_eq!(again["next_at"], "2026-01-01T00:00:00.000Z");
        assert_eq!(problem_codes(&api).await, [] as [&str; 0]);
        attempt(&api, 200, Next::Taken).await;
        let taken = api.get(&path, WRITER).await.expect(200);
        assert_eq!((&taken["state"], &taken["attempts"]), (&json!("taken"), &json!(2)));
        api.command("/v1/deliveries/dlv_nothing/retry", WRITER).await.problem(404, "not-found");
    })
    .await;
}

#[tokio::test]
async fn the_webhooks_of_an_intent_are_sent_again_unless_all_were_taken() {
    on_both(async |api| {
        api.post("/v1/intents", WRITER, &order("order-1", &address(1))).await.expect(201);
        let retried = api.command("/v1/intents/order-1/retry", WRITER).await.expect(200);
        assert_eq!(retried, json!({ "retried": 1 }));
        let line = api.get("/v1/intents/order-1/timeline?limit=1", WRITER).await.expect(200);
        assert_eq!(line["data"][0]["type"], "webhooks.retried");
        attempt(&api, 200, Next::Taken).await;
        let nothing = api.command("/v1/intents/order-1/retry", WRITER).await;
        nothing.problem(400, "nothing-to-retry");
        api.command("/v1/intents/order-2/retry", WRITER).await.problem(404, "not-found");
    })
    .await;
}

#[tokio::test]
async fn amn_sends_webhooks_again_by_intent_or_all() {
    on_both(async |api| {
        for n in 0..3 {
            let body = order(&format!("order-{n}"), &address(n));
            api.post("/v1/intents", WRITER, &body).await.expect(201);
        }
        let path = "/scanner/webhooks/retry";
        let one = api.post(path, WRITER, &json!({ "intentId": "order-1" })).await.expect(200);
        assert_eq!(one, json!({ "success": true, "retried": 1 }));
        let all = api.post(path, WRITER, &json!({})).await.expect(200);
        assert_eq!(all, json!({ "success": true, "retried": 3 }));
        assert_eq!(api.command(path, WRITER).await.expect(200), all);
        let unknown = api.post(path, WRITER, &json!({ "intentId": "order-9" })).await;
        unknown.problem(404, "not-found");
        let typo = api.post(path, WRITER, &json!({ "intent_id": "order-1" })).await;
        assert_eq!(typo.problem(422, "invalid-value"), ["/intent_id"]);
    })
    .await;
}

#[tokio::test]
async fn what_waits_for_an_endpoint_that_is_configured_no_more_is_a_problem() {
    on_both(async |api| {
        api.post("/v1/intents", WRITER, &order("order-1", &address(1))).await.expect(201);
        assert_eq!(problem_codes(&api).await, [] as [&str; 0]);
        let configured = api.context.settings.config.endpoints.clone();
        api.context.endpoints.replace(BTreeMap::new(), None);
        let status = api.get("/scanner/status", READER).await.expect(200);
        let problems = status["problems"].as_array().expect("problems");
        let problem = problems.iter().find(|problem| problem["code"] == "endpoint-unknown");
        let problem = problem.unwrap_or_else(|| panic!("not told: {status}"));
        assert_eq!(problem["subject"], "backend");
        assert_eq!(problem["since"], "2026-01-01T00:00:00.000Z");
        let action = problem["action"].as_str().expect("an action");
        assert!(action.contains("1 deliveries") && action.contains("/v1/events"), "{action}");
        api.context.endpoints.replace(configured, None);
        assert_eq!(problem_codes(&api).await, [] as [&str; 0]);
    })
    .await;
}

#[tokio::test]
async fn a_paused_endpoint_is_shown_and_resumed_by_an_admin() {
    on_both(async |api| {
        api.post("/v1/intents", WRITER, &order("order-1", &address(1))).await.expect(201);
        attempt(&api, 410, Next::Pause { reason: "answered 410".to_owned() }).await;
        let endpoint = api.get("/v1/endpoints/backend", READER).await.expect(200);
        let expected = json!({
            "name": "backend", "origin": "http://127.0.0.1:1", "dialect": "standard", "secrets": 1,
            "events": ["payment.created", "payment.confirmed", "payment.cancelled"],
            "allow_private": true, "state": "paused", "paused_reason": "answered 410",
            "paused_since": "2026-01-01T00:00:00.000Z", "waiting": 1, "in_flight": 0, "dead": 0,
        });
        assert_eq!(endpoint, expected);
        assert_eq!(problem_codes(&api).await, ["endpoint-paused"]);
        let status = api.get("/scanner/status", READER).await.expect(200);
        let listed = status["webhooks"]["endpoints"].as_array().expect("endpoints").clone();
        assert!(listed.contains(&json!({ "name": "backend", "state": "paused", "waiting": 1 })));

        let path = "/v1/endpoints/backend/resume";
        for _ in 0..2 {
            let resumed = api.post(path, ADMIN, &json!({ "actor": "Ada" })).await.expect(200);
            assert_eq!(resumed["state"], "active");
        }
        assert_eq!(problem_codes(&api).await, [] as [&str; 0]);
        api.command("/v1/endpoints/nobody/resume", ADMIN).await.problem(404, "not-found");
    })
    .await;
}

#[tokio::test]
async fn what_the_api_causes_reaches_the_receiver_in_order() {
    let (url, seen) = receiver().await;
    let mut api = Api::start(&url).await;
    let Context { store, endpoints, clock, .. } = api.context.clone();
    let courier = Courier::new(store, endpoints, clock).expect("a courier");
    api.serve_with(|context| context.courier = courier.waker()).await;
    let stop = CancellationToken::new();
    let running = tokio::spawn(courier.run(stop.clone(), Duration::from_secs(5)));
    api.post("/v1/intents", WRITER, &order("order-1", &address(1))).await.expect(201);
    api.command("/v1/intents/order-1/cancel", WRITER).await.expect(200);
    let taken = async || {
        let list = api.get("/v1/deliveries?state=taken", WRITER).await.expect(200);
        list["data"].as_array().map(Vec::len)
    };
    let both = async {
        while taken().await != Some(2) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), both).await.expect("both are taken");
    stop.cancel();
    running.await.expect("no panic");
    let seen = seen.lock().expect("a lock").clone();
    let types: Vec<_> = seen.iter().map(|(.., body)| body["type"].clone()).collect();
    assert_eq!(types, ["payment.created", "payment.cancelled"]);
}

type Seen = Arc<Mutex<Vec<(String, String, Value)>>>;

/// A receiver that answers 202 to everything, and what it saw: path, signature, body.
async fn receiver() -> (String, Seen) {
    async fn take(State(seen): State<Seen>, request: Request) -> (StatusCode, &'static str) {
        let path = request.uri().path().to_owned();
        let signature = request.headers().get("webhook-signature");
        let signature = signature.and_then(|value| value.to_str().ok()).unwrap_or_default();
        let signature = signature.to_owned();
        let body = axum::body::to_bytes(request.into_body(), 100_000).await.expect("a body");
        let body = serde_json::from_slice(&body).expect("JSON");
        seen.lock().expect("a lock").push((path, signature, body));
        (StatusCode::ACCEPTED, "noted")
    }
    let seen = Seen::default();
    let router = axum::Router::new().fallback(take).with_state(Arc::clone(&seen));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, seen)
}

#[tokio::test]
async fn an_endpoint_is_tried_out_with_a_signed_event_that_is_not_in_the_log() {
    let (url, seen) = receiver().await;
    let api = Api::start(&url).await;
    let path = "/v1/endpoints/backend/test";
    let first = api.command(path, WRITER).await.expect(200);
    assert_eq!((&first["status_code"], &first["body"]), (&json!(202), &json!("noted")));
    assert_eq!(first["error"], Value::Null);
    let confirmed = json!({ "event_type": "payment.confirmed" });
    api.post(path, WRITER, &confirmed).await.expect(200);
    let seen = seen.lock().expect("a lock").clone();
    let types: Vec<_> = seen.iter().map(|(.., body)| body["type"].clone()).collect();
    assert_eq!(types, ["test", "payment.confirmed"]);
    for (path, signature, body) in &seen {
        assert_eq!(path, &format!("/{URL_TOKEN}"));
        assert!(signature.starts_with("v1,"), "{signature}");
        assert_eq!(body["timestamp"], "2026-01-01T00:00:00.000Z");
    }
    assert_ne!(seen[0].2["id"], seen[1].2["id"]);
    for list in ["/v1/events", "/v1/deliveries"] {
        assert_eq!(api.get(list, WRITER).await.expect(200)["data"], json!([]), "{list}");
    }

    let wrong = api.post(path, WRITER, &json!({ "event_type": "payment.paid" })).await;
    assert_eq!(wrong.problem(422, "invalid-value"), ["/event_type"]);
    let unsaid = api.command("/v1/endpoints/amn/test", WRITER).await;
    assert_eq!(unsaid.problem(422, "invalid-value"), ["/event_type"]);
    api.command("/v1/endpoints/nobody/test", WRITER).await.problem(404, "not-found");
}

#[tokio::test]
async fn an_endpoint_that_does_not_answer_is_told_in_words_without_its_url_i12() {
    let api = Api::start("http://127.0.0.1:1").await;
    let answer = api.command("/v1/endpoints/backend/test", WRITER).await;
    let body = answer.expect(200);
    assert_eq!(body["status_code"], Value::Null);
    assert!(body["error"].is_string(), "{body}");
    assert!(!answer.text.contains(URL_TOKEN), "{body}");
    assert_eq!(api.context.clock.now(), START);
}
