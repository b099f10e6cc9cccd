//! Thresholds at run time: who may change them, what is kept of it, and whom they reach.

use std::collections::BTreeMap;
use std::time::Duration;

use confirmd::watcher::Adjuster;
use confirmd::webhook::Waker;
use confirmd_chain::{Address, Asset};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::support::{ADMIN, Api, READER, USDT, WRITER, address, on_both, order};

/// Carries changed thresholds over to open intents, as the daemon does every second.
async fn adjust(api: &Api, exempt: &[&str]) {
    let assets = exempt.iter().map(|token| Asset::Token(Address::from_canonical(*token)));
    let adjuster = Adjuster {
        store: api.context.store.clone(),
        endpoints: api.context.endpoints.clone(),
        exempt: watch::channel(BTreeMap::from([("bsc".into(), assets.collect())])).1,
        late_window: Duration::from_secs(86_400),
        clock: api.context.clock.clone(),
        courier: Waker::default(),
    };
    adjuster.look().await.expect("open intents follow");
}

async fn set(api: &Api, threshold: u32) {
    let body = json!({ "threshold": threshold, "actor": "Ada" });
    api.patch("/v1/thresholds/bsc", ADMIN, &body).await.expect(200);
}

async fn required(api: &Api, id: &str) -> Value {
    let intent = api.get(&format!("/v1/intents/{id}"), WRITER).await.expect(200);
    intent["rails"][0]["required_confirmations"].clone()
}

#[tokio::test]
async fn an_admin_changes_a_threshold_for_every_instance_and_it_is_kept_who_did() {
    on_both(async |api| {
        let of_bsc = async || {
            let all = api.get("/v1/thresholds", READER).await.expect(200);
            all["data"].as_array().expect("a list")[1].clone()
        };
        let expected = json!({ "network": "bsc", "chain_id": 56, "threshold": 200, "floor": 15,
            "source": "default" });
        assert_eq!(of_bsc().await, expected);
        for (network, threshold) in [("bsc", 20), ("eip155:56", 21), ("56", 22)] {
            let body = json!({ "threshold": threshold });
            let changed = api.patch(&format!("/v1/thresholds/{network}"), ADMIN, &body).await;
            let expected = json!({ "network": "bsc", "chain_id": 56, "threshold": threshold,
                "floor": 15, "source": "admin" });
            assert_eq!(changed.expect(200), expected);
            assert_eq!(of_bsc().await, expected);
        }
        let low = json!({ "threshold": 3, "actor": "Ada" });
        let clamped = api.patch("/v1/thresholds/bsc", ADMIN, &low).await.expect(200);
        assert_eq!((&clamped["threshold"], &clamped["source"]), (&json!(15), &json!("admin")));
        assert_eq!(clamped["notes"][0]["pointer"], "/threshold");
        // Once more: nothing changes, so nothing is noted.
        api.patch("/v1/thresholds/bsc", ADMIN, &low).await.expect(200);

        api.post("/v1/intents", WRITER, &order("new", &address(1))).await.expect(201);
        assert_eq!(required(&api, "new").await, 15);
        let networks = api.get("/v1/networks", READER).await.expect(200);
        let networks = networks["data"].as_array().expect("a list");
        let bsc = networks.iter().find(|network| network["id"] == "bsc").expect("bsc");
        assert_eq!(bsc["threshold"], 15);
        let status = api.get("/scanner/status", READER).await.expect(200);
        assert_eq!(status["networks"][1]["threshold"], 15);

        let path = "/v1/thresholds/history?network=56&count=true&limit=3";
        let history = api.get(path, ADMIN).await.expect(200);
        assert_eq!(history["total"], 4);
        let steps = |page: &Value| -> Vec<(u64, u64)> {
            let lines = page["data"].as_array().expect("a list").iter();
            let number = |value: &Value| value.as_u64().expect("a number");
            lines.map(|line| (number(&line["before"]), number(&line["after"]))).collect()
        };
        assert_eq!(steps(&history), [(22, 15), (21, 22), (20, 21)], "newest first");
        let newest = &history["data"][0];
        assert_eq!(newest["actor"], json!({ "type": "person", "name": "Ada" }));
        assert_eq!((&newest["key"], &newest["network"]), (&json!("admin"), &json!("bsc")));
        assert_eq!(newest["changed_at"], "2026-01-01T00:00:00.000Z");
        assert_eq!(history["data"][1]["actor"], json!({ "type": "key", "name": "admin" }));
        let cursor = history["next_cursor"].as_str().expect("another page");
        let rest = api.get(&format!("{path}&cursor={cursor}"), ADMIN).await.expect(200);
        assert_eq!(steps(&rest), [(200, 20)]);
    })
    .await;
}

#[tokio::test]
async fn a_threshold_that_cannot_be_is_refused_and_so_is_who_may_not_i14() {
    let api = Api::start("http://127.0.0.1:1").await;
    for wrong in [json!(0), json!(10_001), json!(-1), json!("20"), json!(null), json!(1.5)] {
        let body = json!({ "threshold": wrong });
        let answer = api.patch("/v1/thresholds/bsc", ADMIN, &body).await;
        assert_eq!(answer.problem(422, "invalid-value"), ["/threshold"], "{wrong}");
    }
    let body = json!({ "threshold": 20, "acter": "Ada" });
    let answer = api.patch("/v1/thresholds/bsc", ADMIN, &body).await;
    assert_eq!(answer.problem(422, "invalid-value"), ["/acter"]);
    let body = json!({ "threshold": 20 });
    api.patch("/v1/thresholds/bsc", WRITER, &body).await.problem(403, "forbidden");
    api.get("/v1/thresholds/history", READER).await.problem(403, "forbidden");
    // Of the registry, but not followed.
    api.patch("/v1/thresholds/base", ADMIN, &body).await.problem(404, "not-found");
    let history = api.get("/v1/thresholds/history", ADMIN).await.expect(200);
    assert_eq!(history["data"], json!([]), "nothing was changed");
}

#[tokio::test]
async fn open_intents_follow_a_threshold_unless_they_have_a_wish_of_their_own_i6() {
    on_both(async |api| {
        let create = async |id: &str, at: u64, wish: Option<u32>| {
            let mut body = order(id, &address(at));
            if let Some(wish) = wish {
                body["confirmations"] = json!(wish);
            }
            api.post("/v1/intents", WRITER, &body).await.expect(201);
        };
        create("waiting", 1, None).await;
        create("wish", 2, Some(50)).await;
        create("paid", 3, None).await;
        api.pay(100, &address(3), "12.5", 20).await;
        let status = async |id: &str| {
            let intent = api.get(&format!("/v1/intents/{id}"), WRITER).await.expect(200);
            let pick = |name: &str| intent[name].clone();
            (pick("status"), pick("confirmations"), pick("required_confirmations"))
        };
        assert_eq!(status("paid").await, (json!("confirming"), json!(20), json!(200)));

        set(&api, 300).await;
        adjust(&api, &[]).await;
        assert_eq!(status("paid").await, (json!("confirming"), json!(20), json!(300)));
        set(&api, 20).await;
        adjust(&api, &[]).await;
        assert_eq!(status("paid").await, (json!("confirmed"), json!(20), json!(20)), "at once");
        assert_eq!(required(&api, "waiting").await, 20);
        assert_eq!(required(&api, "wish").await, 50);
        let events = api.get("/v1/events?intent=paid", WRITER).await.expect(200);
        let events = events["data"].as_array().expect("a list");
        let told: Vec<_> = events.iter().map(|event| event["type"].clone()).collect();
        assert_eq!(told, ["payment.created", "payment.detected", "payment.confirmed"]);
        let confirmed = &events[2]["data"];
        assert_eq!(confirmed["confirmations"], confirmed["required_confirmations"]);
        let timeline = api.get("/v1/intents/paid/timeline", WRITER).await.expect(200);
        let actor = json!({ "type": "threshold", "name": "bsc" });
        assert_eq!(timeline["data"][0]["actor"], actor);

        set(&api, 400).await;
        adjust(&api, &[]).await;
        assert_eq!(status("paid").await, (json!("confirmed"), json!(20), json!(20)), "it stays");
        assert_eq!(required(&api, "waiting").await, 400);
        set(&api, 30).await;
        adjust(&api, &[USDT]).await;
        assert_eq!(required(&api, "waiting").await, 400, "its asset has confirmations of its own");
    })
    .await;
}

#[tokio::test]
async fn an_intent_with_a_raised_threshold_confirms_when_it_is_deep_enough_and_not_before_i6() {
    on_both(async |api| {
        set(&api, 15).await;
        api.post("/v1/intents", WRITER, &order("paid", &address(1))).await.expect(201);
        api.pay(100, &address(1), "12.5", 10).await;
        set(&api, 40).await;
        adjust(&api, &[]).await;
        let status =
            async || api.get("/v1/intents/paid", WRITER).await.expect(200)["status"].clone();
        api.grow(110, 29).await;
        assert_eq!(status().await, "confirming", "39 deep");
        api.grow(139, 1).await;
        assert_eq!(status().await, "confirmed", "its next look was put off, not lost");
    })
    .await;
}
