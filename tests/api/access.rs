//! Keys, scopes and accounts.

use reqwest::Method;
use serde_json::json;

use crate::support::{
    ADMIN, Api, LIMITED, OTHER, READER, SECRETS, WRITER, address, on_both, order,
};

#[tokio::test]
async fn without_a_known_key_nothing_is_answered() {
    let api = Api::start("http://127.0.0.1:1").await;
    let routes = [
        (Method::GET, "/scanner/status"),
        (Method::POST, "/scanner/webhooks/retry"),
        (Method::POST, "/v1/intents"),
        (Method::GET, "/v1/intents"),
        (Method::GET, "/v1/intents/a"),
        (Method::PATCH, "/v1/intents/a"),
        (Method::POST, "/v1/intents/a/cancel"),
        (Method::POST, "/v1/intents/a/retry"),
        (Method::POST, "/v1/intents/a/check"),
        (Method::POST, "/v1/intents/a/verify"),
        (Method::GET, "/v1/intents/a/timeline"),
        (Method::GET, "/v1/intents/a/explain"),
        (Method::GET, "/v1/intents/a/qr"),
        (Method::POST, "/v1/wallets"),
        (Method::GET, "/v1/wallets"),
        (Method::GET, "/v1/wallets/a"),
        (Method::POST, "/v1/wallets/a/addresses"),
        (Method::GET, "/v1/wallets/a/addresses"),
        (Method::POST, "/v1/wallets/a/import"),
        (Method::GET, "/v1/deposits"),
        (Method::GET, "/v1/networks"),
        (Method::POST, "/v1/networks/bsc/probe"),
        (Method::POST, "/v1/networks/reload"),
        (Method::GET, "/v1/thresholds"),
        (Method::GET, "/v1/thresholds/history"),
        (Method::PATCH, "/v1/thresholds/bsc"),
        (Method::GET, "/v1/orphans"),
        (Method::POST, "/v1/orphans/orp_a/resolve"),
        (Method::GET, "/v1/endpoints"),
        (Method::GET, "/v1/endpoints/backend"),
        (Method::POST, "/v1/endpoints/backend/resume"),
        (Method::POST, "/v1/endpoints/backend/test"),
        (Method::GET, "/v1/deliveries"),
        (Method::GET, "/v1/deliveries/dlv_a"),
        (Method::POST, "/v1/deliveries/dlv_a/retry"),
        (Method::GET, "/v1/events"),
    ];
    let documented =
        confirmd::api::openapi().to_json().expect("JSON").matches("operationId").count();
    let open = ["/healthz", "/readyz", "/metrics"];
    assert_eq!(routes.len() + open.len(), documented, "a new route belongs into this table");
    for (method, path) in routes {
        for key in ["", "not-a-key-of-anybody"] {
            let answer = api.send(api.request(method.clone(), path, key)).await;
            assert_eq!(answer.problem(401, "unauthorized"), [] as [&str; 0], "{method} {path}");
            assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"confirmd\"");
        }
    }
    let basic = api.request(Method::GET, "/v1/intents", "").basic_auth("writer", Some(WRITER));
    api.send(basic).await.problem(401, "unauthorized");
    let lower = api.request(Method::GET, "/v1/intents", "");
    let lower = lower.header("authorization", format!("bearer {WRITER}"));
    api.send(lower).await.expect(200);
    for path in ["/healthz", "/readyz", "/metrics", "/openapi.json", "/docs/"] {
        assert_eq!(api.get(path, "").await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn a_key_does_what_its_scopes_say_and_the_missing_one_is_named() {
    let api = Api::start("http://127.0.0.1:1").await;
    let cases = [
        ("/v1/intents", READER, "write"),
        ("/v1/intents/a/cancel", READER, "write"),
        ("/v1/intents/a/retry", READER, "write"),
        ("/scanner/webhooks/retry", READER, "write"),
        ("/v1/deliveries/dlv_a/retry", READER, "write"),
        ("/v1/endpoints/backend/test", READER, "write"),
        ("/v1/endpoints/backend/resume", WRITER, "admin"),
        ("/v1/networks/bsc/probe", WRITER, "admin"),
        ("/v1/orphans/orp_a/resolve", WRITER, "admin"),
    ];
    for (path, key, scope) in cases {
        let answer = api.command(path, key).await;
        answer.problem(403, "forbidden");
        let detail = answer.json()["detail"].to_string();
        assert!(detail.contains(&format!("`{scope}`")), "{path}: {detail}");
    }
    let answer = api.get("/v1/intents?account=other", WRITER).await;
    answer.problem(403, "forbidden");
    api.get("/v1/intents?account=default", WRITER).await.expect(200);
}

#[tokio::test]
async fn accounts_do_not_see_each_other_and_an_admin_sees_all() {
    on_both(async |api| {
        api.post("/v1/intents", WRITER, &order("same", &address(1))).await.expect(201);
        api.post("/v1/intents", OTHER, &order("same", &address(2))).await.expect(201);
        api.post("/v1/intents", OTHER, &order("only", &address(3))).await.expect(201);
        let own = api.get("/v1/intents/same", OTHER).await.expect(200);
        assert_eq!(own["account"], "other");
        assert_eq!(own["rails"][0]["address"], address(2));
        api.get("/v1/intents/only", WRITER).await.problem(404, "not-found");
        api.command("/v1/intents/only/cancel", WRITER).await.problem(404, "not-found");
        api.get("/v1/intents/only/timeline", WRITER).await.problem(404, "not-found");
        let ids = |key: &'static str| {
            let api = &api;
            async move {
                let list = api.get("/v1/intents?count=true", key).await.expect(200);
                list["total"].as_u64().expect("a total")
            }
        };
        assert_eq!((ids(WRITER).await, ids(OTHER).await, ids(ADMIN).await), (1, 2, 3));

        let deliveries = api.get("/v1/deliveries", OTHER).await.expect(200);
        let of_other = deliveries["data"][0]["id"].as_str().expect("a delivery").to_owned();
        let path = format!("/v1/deliveries/{of_other}");
        api.get(&path, WRITER).await.problem(404, "not-found");
        api.command(&format!("{path}/retry"), WRITER).await.problem(404, "not-found");
        api.get(&path, ADMIN).await.expect(200);
        let events = api.get("/v1/events", WRITER).await.expect(200);
        assert_eq!(events["data"].as_array().map(Vec::len), Some(1));

        api.get("/v1/intents/only", ADMIN).await.expect(200);
        let ambiguous = api.get("/v1/intents/same", ADMIN).await;
        assert_eq!(ambiguous.problem(422, "invalid-value"), ["?account"]);
        let named = api.get("/v1/intents/same?account=other", ADMIN).await.expect(200);
        assert_eq!(named["account"], "other");
        let cancelled = api.command("/v1/intents/same/cancel?account=default", ADMIN).await;
        assert_eq!(cancelled.expect(200)["status"], "cancelled");
    })
    .await;
}

#[tokio::test]
async fn one_open_intent_more_than_the_key_may_have_is_refused_f26() {
    on_both(async |api| {
        for n in 0..3 {
            let body = order(&format!("order-{n}"), &address(n));
            api.post("/v1/intents", LIMITED, &body).await.expect(201);
        }
        let one_more = order("order-3", &address(3));
        let answer = api.post("/v1/intents", LIMITED, &one_more).await;
        answer.problem(429, "open-intents-limit");
        assert_eq!(answer.header("retry-after"), "60");
        let again = order("order-1", &address(1));
        api.post("/v1/intents", LIMITED, &again).await.expect(200);
        api.post("/v1/intents", WRITER, &order("order-w", &address(9))).await.expect(201);
        let list = api.get("/v1/intents?count=true&status=pending", LIMITED).await.expect(200);
        assert_eq!(list["total"], 4, "nothing is lost");

        api.command("/v1/intents/order-0/cancel", LIMITED).await.expect(200);
        api.post("/v1/intents", LIMITED, &one_more).await.expect(201);
    })
    .await;
}

#[tokio::test]
async fn no_answer_holds_a_secret_i12() {
    let api = Api::start("http://127.0.0.1:1").await;
    api.post("/v1/intents", WRITER, &order("order-1", &address(1))).await.expect(201);
    let mut answers = Vec::new();
    for path in [
        "/healthz",
        "/readyz",
        "/metrics",
        "/openapi.json",
        "/scanner/status",
        "/v1/intents",
        "/v1/intents/order-1",
        "/v1/intents/order-1/timeline",
        "/v1/networks",
        "/v1/thresholds",
        "/v1/orphans",
        "/v1/endpoints",
        "/v1/endpoints/backend",
        "/v1/endpoints/amn",
        "/v1/deliveries",
        "/v1/events",
        "/v1/nothing",
    ] {
        answers.push(api.get(path, ADMIN).await);
    }
    answers.push(api.command("/v1/networks/bsc/probe", ADMIN).await);
    answers.push(api.command("/v1/endpoints/backend/test", ADMIN).await);
    answers.push(api.get("/v1/intents", "a-key-that-is-wrong").await);
    answers.push(api.post("/v1/intents", ADMIN, &json!({ "id": WRITER })).await);
    for answer in answers {
        for secret in SECRETS {
            assert!(!answer.text.contains(secret), "{secret} in {}", answer.text);
            assert!(!format!("{:?}", answer.headers).contains(secret), "{:?}", answer.headers);
        }
    }
    assert!(!format!("{:?}", api.context).contains("key-of"));
}

#[tokio::test]
async fn intents_created_at_once_on_several_networks_keep_to_the_keys_limit_f26() {
    on_both(async |api| {
        for round in 0..4 {
            let attempts = (0..12).map(|n| {
                let (id, to) = (format!("order-{round}-{n}"), address(round * 100 + n));
                let network = if n % 2 == 0 { "bsc" } else { "anvil" };
                let rail = json!({ "network": network, "asset": "native", "amount": "1",
                    "address": to });
                let body = json!({ "id": id, "rails": [rail] });
                let api = &api;
                async move { (id, api.post("/v1/intents", LIMITED, &body).await) }
            });
            let answers = futures_util::future::join_all(attempts).await;
            let (made, refused): (Vec<_>, Vec<_>) =
                answers.into_iter().partition(|(_, answer)| answer.status == 201);
            assert_eq!(made.len(), 3);
            for (_, answer) in refused {
                answer.problem(429, "open-intents-limit");
            }
            for (id, _) in made {
                let path = format!("/v1/intents/{id}/cancel");
                api.command(&path, LIMITED).await.expect(200);
            }
        }
    })
    .await;
}
