//! The OpenAPI document, the Swagger UI, problem documents, health and the status.

use std::time::Duration;

use confirmd::store::{FollowerState, FollowerStatus, ProviderState};
use confirmd_chain::{Height, Timestamp};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::{
    ADMIN, Api, PROVIDER_KEY, READER, START, WRITER, address, on_both, order, take_over,
};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/openapi.json");

/// `CONFIRMD_BLESS=1` writes the document as it is now, to be read before it is committed.
#[test]
fn the_openapi_document_is_the_golden_one() {
    let document = confirmd::api::openapi().to_pretty_json().expect("JSON") + "\n";
    if std::env::var_os("CONFIRMD_BLESS").is_some() {
        std::fs::write(GOLDEN, &document).expect("written");
    }
    let golden = std::fs::read_to_string(GOLDEN).expect("the golden file");
    assert!(golden == document, "the API changed; look at it with CONFIRMD_BLESS=1 and git diff");
}

#[tokio::test]
async fn the_openapi_document_is_served_whole() {
    let api = Api::start("http://127.0.0.1:1").await;
    let document = api.get("/openapi.json", "").await.expect(200);
    let golden = std::fs::read_to_string(GOLDEN).expect("the golden file");
    assert_eq!(document, serde_json::from_str::<Value>(&golden).expect("JSON"));
    let version = document["openapi"].as_str().expect("a version");
    assert!(version.starts_with("3.1"), "{version}");
    let mut references = Vec::new();
    collect_references(&document, &mut references);
    assert!(references.len() > 50);
    for reference in references {
        let pointer = reference.strip_prefix('#').expect("a local reference");
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}

#[test]
fn every_operation_is_described_and_has_a_name_of_its_own() {
    let document = confirmd::api::openapi().to_json().expect("JSON");
    let document: Value = serde_json::from_str(&document).expect("JSON");
    let paths = document["paths"].as_object().expect("paths");
    let mut names = std::collections::BTreeSet::new();
    for (path, item) in paths {
        for operation in item.as_object().expect("a path").values() {
            let name = operation["operationId"].as_str().expect("a name").to_owned();
            assert!(operation["summary"].is_string(), "{path}");
            assert!(names.insert(name), "{path}: {}", operation["operationId"]);
            for response in operation["responses"].as_object().expect("responses").values() {
                assert!(response["description"].as_str().is_some_and(|text| !text.is_empty()));
            }
        }
    }
}

fn collect_references(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            into.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
            map.values().for_each(|value| collect_references(value, into));
        }
        Value::Array(items) => items.iter().for_each(|value| collect_references(value, into)),
        _ => {}
    }
}

#[tokio::test]
async fn the_swagger_page_loads_everything_from_here() {
    let api = Api::start("http://127.0.0.1:1").await;
    let page = api.get("/docs/", "").await;
    assert_eq!(page.status, 200);
    let sources = page
        .text
        .split(['"', '\''])
        .filter(|text| text.ends_with(".js") || text.ends_with(".css") || text.ends_with(".png"));
    let mut loaded = 0;
    for source in sources {
        assert!(!source.contains("//"), "{source} is loaded from elsewhere");
        let path = format!("/docs/{}", source.trim_start_matches("./"));
        assert_eq!(api.get(&path, "").await.status, 200, "{path}");
        loaded += 1;
    }
    assert!(loaded >= 4, "{}", page.text);
    let start = api.get("/docs/swagger-initializer.js", "").await;
    assert!(start.text.contains("/openapi.json"), "{}", start.text);
    api.get("/docs/nothing.js", "").await.problem(404, "no-route");
}

#[tokio::test]
async fn every_error_is_a_problem_document() {
    let api = Api::start("http://127.0.0.1:1").await;
    for path in ["/", "/v1", "/v1/nothing", "/v1/intents/", "/V1/intents"] {
        api.get(path, WRITER).await.problem(404, "no-route");
    }
    let methods = [
        (Method::DELETE, "/v1/intents"),
        (Method::PUT, "/v1/intents/a"),
        (Method::POST, "/healthz"),
        (Method::GET, "/v1/intents/a/cancel"),
    ];
    for (method, path) in methods {
        let answer = api.send(api.request(method, path, WRITER)).await;
        answer.problem(405, "method-not-allowed");
        assert!(!answer.header("allow").is_empty(), "{path}");
    }
    api.get("/v1/intents/%FF", WRITER).await.problem(400, "malformed");
    api.get("/v1/intents/order-1", WRITER).await.problem(404, "not-found");
}

#[tokio::test]
async fn a_request_keeps_the_id_that_its_client_gave_it_if_it_is_a_plain_one() {
    let api = Api::start("http://127.0.0.1:1").await;
    let with_id = |id: &'static str| {
        let request = api.request(Method::GET, "/v1/nothing", WRITER).header("x-request-id", id);
        api.send(request)
    };
    assert_eq!(with_id("abc-1:2.3_4").await.header("x-request-id"), "abc-1:2.3_4");
    for odd in ["<script>", "a b", ""] {
        let answer = with_id(odd).await;
        answer.problem(404, "no-route");
        assert!(answer.header("x-request-id").starts_with("req_"), "{odd}");
    }
}

#[tokio::test]
async fn a_store_that_is_gone_is_told_without_its_words() {
    on_both(async |api| {
        assert_eq!(api.get("/readyz", "").await.expect(200)["ready"], true);
        api.context.store.close().await;
        let answers = [
            api.get("/v1/intents", WRITER).await,
            api.get("/scanner/status", WRITER).await,
            api.post("/v1/intents", WRITER, &order("order-1", &address(1))).await,
        ];
        for answer in answers {
            answer.problem(503, "store-unavailable");
            assert_eq!(answer.header("retry-after"), "5");
            let words = answer.text.to_lowercase();
            for word in ["sql", "pool", "postgres", "select"] {
                assert!(!words.contains(word), "{}", answer.text);
            }
        }
        let ready = api.get("/readyz", "").await.expect(503);
        assert_eq!(ready["ready"], false);
        assert_eq!(api.get("/healthz", "").await.expect(200), json!({ "status": "ok" }));
    })
    .await;
}

async fn follow(api: &Api, state: FollowerState, reason: Option<&str>, at: Timestamp) {
    let network = "bsc".into();
    let store = &api.context.store;
    let fence = take_over(store, &network).await;
    let healthy = state == FollowerState::Following;
    let provider = ProviderState {
        name: "main".to_owned(),
        healthy,
        latency_ms: 12,
        faults: [("unproven".to_owned(), 2)].into(),
        last_fault: (!healthy).then(|| "the receipts root does not agree".to_owned()),
    };
    let status = FollowerStatus {
        state,
        reason: reason.map(str::to_owned),
        since: START,
        head: Some(Height(110)),
        lag_ms: 400,
        providers: vec![provider],
        ..FollowerStatus::default()
    };
    store.write_status(&fence, &status, at).await.expect("written");
}

#[tokio::test]
async fn the_status_shows_networks_and_what_to_do() {
    on_both(async |api| {
        api.post("/v1/intents", WRITER, &order("order-1", &address(1))).await.expect(201);
        api.pay(100, &address(1), "3", 2).await;
        follow(&api, FollowerState::Following, None, START).await;
        let status = api.get("/scanner/status", READER).await.expect(200);
        let expected = json!({
            "network": "bsc", "chainId": 56, "caip2": "eip155:56", "instance": "test",
            "state": "following",
            "reason": null, "head": 110, "finalized": null, "scanned": 101, "lagBlocks": 9,
            "lagSeconds": 0.4, "verify": "receipts", "threshold": 200, "watches": 1,
            "providers": [{
                "name": "main", "healthy": true, "latencyMs": 12, "faults": { "unproven": 2 },
            }],
        });
        let networks = status["networks"].as_array().expect("networks");
        let bsc = networks.iter().find(|network| network["network"] == "bsc");
        assert_eq!(bsc, Some(&expected));
        assert_eq!(status["success"], true);
        assert_eq!(status["startedAt"], "2026-01-01T00:00:00.000Z");
        assert_eq!(status["intents"], json!({ "pending": 0, "partial": 1, "confirming": 0 }));
        assert_eq!(status["problems"], json!([]));
        assert_eq!(status["store"]["kind"], api.context.store.kind().as_str());

        let cases = [
            (FollowerState::Stalled, "no provider answers", "network-stalled"),
            (FollowerState::Stopped, "a reorg below finalized", "network-stopped"),
        ];
        for (state, reason, code) in cases {
            follow(&api, state, Some(reason), START).await;
            let status = api.get("/scanner/status", READER).await.expect(200);
            let problems = status["problems"].as_array().expect("problems");
            let told = |code: &str| problems.iter().find(|problem| problem["code"] == code);
            let network = told(code).expect(code);
            assert_eq!(network["subject"], "bsc");
            assert_eq!(network["since"], "2026-01-01T00:00:00.000Z");
            assert!(network["action"].as_str().is_some_and(|action| action.contains(reason)));
            let provider = told("provider-at-fault").expect("the provider");
            assert_eq!(provider["subject"], "bsc/main");
            let ready = api.get("/readyz", "").await.expect(200);
            assert_eq!(ready["networks"]["bsc"], state.as_str(), "stalled is not unready");
        }

        follow(&api, FollowerState::Following, None, START.plus_ms(-600_000)).await;
        let status = api.get("/scanner/status", READER).await.expect(200);
        assert_eq!(status["problems"][0]["code"], "network-stalled", "nobody follows it any more");
    })
    .await;
}

#[tokio::test]
async fn networks_and_thresholds_are_those_of_registry_and_configuration() {
    let api = Api::start("http://127.0.0.1:1").await;
    let networks = api.get("/v1/networks", READER).await.expect(200);
    let networks = networks["data"].as_array().expect("networks").clone();
    let of = |id: &str| networks.iter().find(|network| network["id"] == id).expect("known");
    let bsc = of("bsc");
    assert_eq!((&bsc["followed"], &bsc["floor"]), (&json!(true), &json!(15)));
    assert_eq!(bsc["assets"][0]["symbol"], "BNB");
    let usdt = bsc["assets"].as_array().expect("assets").iter().find(|a| a["symbol"] == "USDT");
    assert_eq!(usdt.expect("USDT")["decimals"], 18);
    assert_eq!(of("polygon")["followed"], false);
    let thresholds = api.get("/v1/thresholds", READER).await.expect(200);
    let threshold = |network: &str, chain_id: u64, threshold: u32, floor: u32| {
        json!({
            "network": network, "chain_id": chain_id, "threshold": threshold, "floor": floor,
            "source": "default",
        })
    };
    let expected = [threshold("anvil", 31_337, 3, 1), threshold("bsc", 56, 200, 15)];
    assert_eq!(thresholds["data"], json!(expected));
}

#[tokio::test]
async fn a_probe_tells_of_a_provider_that_is_gone_without_its_url_i12() {
    let api = Api::start("http://127.0.0.1:1").await;
    let answer = api.command("/v1/networks/eip155:56/probe", ADMIN).await;
    let report = answer.expect(200);
    assert_eq!(
        (&report["network"], &report["providers"][0]["provider"]),
        (&json!("bsc"), &json!("main"))
    );
    assert_eq!(report["providers"][0]["reachable"], false);
    assert!(!answer.text.contains(PROVIDER_KEY), "{report}");
    for unknown in ["polygon", "nowhere"] {
        let path = format!("/v1/networks/{unknown}/probe");
        api.command(&path, ADMIN).await.problem(404, "not-found");
    }
}

#[tokio::test]
async fn metrics_are_in_the_text_format_of_prometheus() {
    let api = Api::start("http://127.0.0.1:1").await;
    let answer = api.get("/metrics", "").await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").starts_with("text/plain"), "{:?}", answer.headers);
}

#[tokio::test]
async fn the_server_ends_when_it_is_told_to_though_connections_stay_open() {
    let api = Api::start("http://127.0.0.1:1").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/healthz", listener.local_addr().expect("an address"));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let router = confirmd::api::router(api.context.clone());
    let shutdown = async { drop(stopped.await) };
    let server = tokio::spawn(confirmd::api::serve(listener, router, shutdown));
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let answer = client.get(&url).send().await.expect("an answer");
    assert_eq!(answer.text().await.expect("a body"), r#"{"status":"ok"}"#);
    stop.send(()).expect("the server runs");
    let ended = tokio::time::timeout(Duration::from_secs(10), server).await;
    ended.expect("in time").expect("no panic").expect("no error");
    client.get(&url).send().await.expect_err("nobody listens any more");
}
