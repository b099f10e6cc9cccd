//! Creating, repeating, cancelling intents, and their history.

use std::time::Duration;

use confirmd::watcher::Expirer;
use confirmd::webhook::Waker;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{Answer, Api, WRITER, address, on_both, order};

#[tokio::test]
async fn an_intent_is_completed_from_registry_and_defaults() {
    on_both(async |api| {
        let request = json!({
            "id": "order-1234",
            "rails": [
                {
                    "network": "eip155:56",
                    "asset": "0x55d398326f99059ff775485246999027b3197955",
                    "amount": "12.50",
                    "address": address(1).to_lowercase(),
                },
                {
                    "network": "anvil",
                    "asset": "native",
                    "amount": "0.005",
                    "address": address(2),
                    "amount_policy": "exact",
                },
            ],
            "metadata": { "order_id": "ORD-1", "nested": [1, { "b": null, "a": 1.5 }] },
        });
        let answer = api.post("/v1/intents", WRITER, &request).await;
        let intent = answer.expect(201);
        assert_eq!(answer.header("location"), "/v1/intents/order-1234");
        let expected = json!({
            "account": "default", "id": "order-1234", "status": "pending", "overdue": false,
            "created_at": "2026-01-01T00:00:00.000Z", "expires_at": "2026-01-01T06:00:00.000Z",
            "tolerance": "0.001", "endpoints": ["backend"], "metadata": request["metadata"],
            "dialect_data": {}, "transfers": [], "transfers_total": 0,
            "settled_by": null, "confirmed_at": null,
        });
        for (name, value) in expected.as_object().expect("an object") {
            assert_eq!(intent[name], *value, "{name}");
        }
        let rails = [
            json!({
                "rail_id": "r1", "network": "bsc", "caip2": "eip155:56", "chain_id": 56,
                "asset": "USDT", "decimals": 18, "amount": "12.5",
                "base_units": "12500000000000000000", "address": address(1),
                "amount_policy": "at_least", "required_confirmations": 200, "received": "0",
            }),
            json!({
                "rail_id": "r2", "network": "anvil", "caip2": "eip155:31337", "asset": "ETH",
                "amount": "0.005", "base_units": "5000000000000000", "address": address(2),
                "amount_policy": "exact", "required_confirmations": 3,
            }),
        ];
        for (rail, expected) in std::iter::zip(&rails, 0..) {
            for (name, value) in rail.as_object().expect("an object") {
                assert_eq!(intent["rails"][expected][name], *value, "{name}");
            }
        }
        let mut intent = intent;
        let notes = intent.as_object_mut().and_then(|intent| intent.remove("notes"));
        let note = &notes.expect("they are told once")[0];
        assert_eq!(note["code"], "contract-payments-unseen", "nobody was asked for traces");
        assert_eq!(note["pointer"], "/rails/1/asset");
        assert_eq!(api.get("/v1/intents/order-1234", WRITER).await.expect(200), intent);
    })
    .await;
}

#[tokio::test]
async fn the_same_request_in_other_words_is_the_same_intent() {
    on_both(async |api| {
        let first = json!({
            "id": "order-1",
            "rails": [{
                "network": "bsc", "asset": "USDT", "amount": "12.50", "address": address(1),
            }],
            "tolerance": "0.010",
            "endpoints": ["backend", "amn"],
            "metadata": { "a": 1, "b": { "c": 2, "d": 3 } },
        });
        let usdt = "eip155:56/erc20:0x55d398326f99059fF775485246999027B3197955";
        let same = json!({
            "metadata": { "b": { "d": 3, "c": 2 }, "a": 1 },
            "endpoints": ["amn", "backend", "amn"],
            "tolerance": "0.01",
            "confirmations": null,
            "rails": [{
                "address": address(1).to_lowercase(), "amount": "12.5", "asset": usdt,
                "network": "eip155:56", "amount_policy": "at_least",
            }],
            "id": "order-1",
        });
        let created = api.post("/v1/intents", WRITER, &first).await.expect(201);
        api.context.clock.advance(Duration::from_secs(3_600));
        assert_eq!(api.post("/v1/intents", WRITER, &same).await.expect(200), created);
        assert_eq!(api.post("/v1/intents", WRITER, &first).await.expect(200), created);

        let mut others = Vec::new();
        let changes = [
            ("/rails/0/amount", json!("12.51")),
            ("/rails/0/address", json!(address(2))),
            ("/rails/0/asset", json!("USDC")),
            ("/rails/0/network", json!("anvil")),
            ("/metadata/a", json!(2)),
            ("/endpoints", json!(["backend"])),
            ("/tolerance", json!("0")),
        ];
        for (pointer, value) in changes {
            let mut other = first.clone();
            *other.pointer_mut(pointer).expect(pointer) = value;
            if pointer == "/rails/0/network" {
                other["rails"][0]["asset"] = json!("native");
            }
            others.push(other);
        }
        for (name, value) in [
            ("expires_at", json!("2026-01-01T06:00:00Z")),
            ("confirmations", json!(200)),
            ("dialect_data", json!({ "a": 1 })),
        ] {
            let mut other = first.clone();
            other[name] = value;
            others.push(other);
        }
        for other in others {
            let answer = api.post("/v1/intents", WRITER, &other).await;
            assert_eq!(answer.problem(409, "id-conflict"), ["/id"], "{other}");
        }
        assert_eq!(api.get("/v1/intents?count=true", WRITER).await.expect(200)["total"], 1);
    })
    .await;
}

#[tokio::test]
async fn a_request_repeated_after_its_expiry_is_still_the_same_intent() {
    let api = Api::start("http://127.0.0.1:1").await;
    let mut body = order("order-1", &address(1));
    body["expires_at"] = json!("2026-01-01T01:00:00Z");
    api.post("/v1/intents", WRITER, &body).await.expect(201);
    api.context.clock.advance(Duration::from_secs(7_200));
    assert_eq!(api.post("/v1/intents", WRITER, &body).await.expect(200)["overdue"], true);
}

#[tokio::test]
async fn requests_at_once_under_one_id_make_one_intent() {
    on_both(async |api| {
        let body = order("order-1", &address(1));
        let requests = (0..8).map(|_| api.post("/v1/intents", WRITER, &body));
        let answers = futures_util::future::join_all(requests).await;
        let mut statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 200, 200, 200, 200, 200, 200, 201]);
        let events = api.get("/v1/events?count=true", WRITER).await.expect(200);
        assert_eq!(events["total"], 1);
    })
    .await;
}

#[tokio::test]
async fn an_address_that_an_open_intent_waits_on_is_refused_until_it_is_closed() {
    on_both(async |api| {
        api.post("/v1/intents", WRITER, &order("first", &address(1))).await.expect(201);
        let second = json!({ "id": "second", "rails": [
            { "network": "bsc", "asset": "USDT", "amount": "2", "address": address(2) },
            { "network": "bsc", "asset": "USDT", "amount": "2", "address": address(1) },
        ]});
        let answer = api.post("/v1/intents", WRITER, &second).await;
        assert_eq!(answer.problem(409, "address-in-use"), ["/rails/1/address"]);
        api.get("/v1/intents/second", WRITER).await.problem(404, "not-found");
        let mut other_asset = order("third", &address(1));
        other_asset["rails"][0]["asset"] = json!("USDC");
        api.post("/v1/intents", WRITER, &other_asset).await.expect(201);

        api.command("/v1/intents/first/cancel", WRITER).await.expect(200);
        api.post("/v1/intents", WRITER, &second).await.expect(201);
    })
    .await;
}

#[tokio::test]
async fn confirmations_below_the_floor_are_raised_and_the_answer_says_so() {
    let api = Api::start("http://127.0.0.1:1").await;
    let mut body = order("order-1", &address(1));
    body["confirmations"] = json!(2);
    for status in [201, 200] {
        let intent = api.post("/v1/intents", WRITER, &body).await.expect(status);
        assert_eq!(intent["rails"][0]["required_confirmations"], 15);
        assert_eq!(
            intent["notes"],
            json!([{
                "code": "below-floor",
                "pointer": "/confirmations",
                "detail": "2 is below the floor of bsc, so 15 are required there",
            }])
        );
    }
    let mut body = order("order-2", &address(2));
    body["confirmations"] = json!(40);
    let intent = api.post("/v1/intents", WRITER, &body).await.expect(201);
    assert_eq!(intent["rails"][0]["required_confirmations"], 40);
    assert_eq!(intent.get("notes"), None);
}

#[tokio::test]
async fn a_new_intent_wakes_its_networks() {
    let api = Api::start("http://127.0.0.1:1").await;
    api.post("/v1/intents", WRITER, &order("order-1", &address(1))).await.expect(201);
    let bell = api.context.wakes[&"bsc".into()].clone();
    tokio::time::timeout(Duration::from_secs(5), bell.notified()).await.expect("woken");
}

#[tokio::test]
async fn an_unpaid_intent_is_cancelled_once_however_often_it_is_asked() {
    on_both(async |api| {
        api.post("/v1/intents", WRITER, &order("order-1", &address(1))).await.expect(201);
        let by = json!({ "actor": "Ada" });
        let first = api.post("/v1/intents/order-1/cancel", WRITER, &by).await.expect(200);
        assert_eq!(first["status"], "cancelled");
        let second = api.command("/v1/intents/order-1/cancel", WRITER).await.expect(200);
        assert_eq!(second, first);
        let kinds = kinds(&api, "/v1/events").await;
        assert_eq!(kinds, ["payment.created", "payment.cancelled"]);
        let timeline = api.get("/v1/intents/order-1/timeline", WRITER).await.expect(200);
        assert_eq!(timeline["data"][0]["type"], "payment.cancelled");
        assert_eq!(timeline["data"][0]["actor"], json!({ "type": "person", "name": "Ada" }));
        assert_eq!(timeline["data"][1]["actor"], json!({ "type": "key", "name": "writer" }));
        assert_eq!(timeline["data"][1]["message"], "Waiting for a payment");
        api.command("/v1/intents/nothing/cancel", WRITER).await.problem(404, "not-found");
        let wrong = api.post("/v1/intents/order-1/cancel", WRITER, &json!({ "actor": 1 })).await;
        assert_eq!(wrong.problem(422, "invalid-value"), ["/actor"]);
    })
    .await;
}

async fn kinds(api: &Api, path: &str) -> Vec<String> {
    let events = api.get(path, WRITER).await.expect(200);
    let events = events["data"].as_array().expect("a list").clone();
    events.iter().map(|event| event["type"].as_str().expect("a type").to_owned()).collect()
}

#[tokio::test]
async fn a_paid_intent_shows_its_transfers_and_is_not_cancelled() {
    on_both(async |api| {
        api.post("/v1/intents", WRITER, &order("order-1", &address(1))).await.expect(201);
        api.pay(100, &address(1), "5", 1).await;
        api.command("/v1/intents/order-1/cancel", WRITER).await.problem(409, "money-seen");
        let intent = api.get("/v1/intents/order-1", WRITER).await.expect(200);
        assert_eq!(intent["status"], "partial");
        assert_eq!(intent["rails"][0]["received"], "5");
        let transfer: &Value = &intent["transfers"][0];
        assert_eq!((&transfer["block"], &transfer["amount"]), (&json!(100), &json!("5")));
        api.pay(101, &address(1), "8", 200).await;
        let intent = api.get("/v1/intents/order-1", WRITER).await.expect(200);
        assert_eq!(intent["status"], "confirmed");
        assert_eq!(intent["rails"][0]["overpaid_by"], "0.5");
        assert_eq!(
            (&intent["confirmations"], &intent["transfers_total"]),
            (&json!(200), &json!(2))
        );
        api.command("/v1/intents/order-1/cancel", WRITER).await.problem(409, "money-seen");
    })
    .await;
}

#[tokio::test]
async fn at_once_asked_for_one_address_it_is_one_intents_own_or_shared_never_both() {
    on_both(async |api| {
        for round in 0..6 {
            let ask = async |number: u64| {
                let id = format!("order-{round}-{number}");
                let mut body = order(&id, &address(round));
                match number % 3 {
                    0 => {}
                    1 => body["rails"][0]["match"] = json!("exact_amount"),
                    _ => body["rails"][0]["reference"] = json!("0123456789abcdef"),
                }
                let answer = api.post("/v1/intents", WRITER, &body).await;
                match answer.status {
                    201 => Some(number % 3),
                    _ => {
                        let pointers = answer.problem(409, "address-in-use");
                        assert_eq!(pointers, ["/rails/0/address"]);
                        None
                    }
                }
            };
            let made: Vec<_> = join_all((0..9).map(ask)).await.into_iter().flatten().collect();
            let mut kinds = made.clone();
            kinds.sort_unstable();
            kinds.dedup();
            assert_eq!(kinds.len(), made.len(), "each is taken once: {made:?}");
            assert!(made == [0] || !made.contains(&0), "one of its own, or shared: {made:?}");
            assert!(!made.is_empty());
        }
    })
    .await;
}

#[tokio::test]
async fn a_patch_is_held_to_the_same_addresses_and_an_intent_that_is_over_stays() {
    on_both(async |api| {
        api.post("/v1/intents", WRITER, &order("first", &address(1))).await.expect(201);
        api.post("/v1/intents", WRITER, &order("second", &address(2))).await.expect(201);
        let patch = async |id: &str, body: Value| {
            api.patch(&format!("/v1/intents/{id}"), WRITER, &body).await
        };
        let rails = |n: u64| json!({ "rails": order("", &address(n))["rails"] });
        let taken = patch("second", rails(1)).await;
        assert_eq!(taken.problem(409, "address-in-use"), ["/rails/0/address"]);
        assert_eq!(
            api.get("/v1/intents/second", WRITER).await.expect(200)["rails"][0]["address"],
            address(2)
        );
        // Once the first has gone elsewhere, its address is free.
        let moved = patch("first", rails(3)).await.expect(200);
        assert_eq!(moved["rails"][0]["rail_id"], "r2");
        let moved = patch("second", rails(1)).await.expect(200);
        assert_eq!(moved["rails"][0]["address"], address(1));

        // RFC 7396: fields merge, `null` takes one away, and all may be repeated.
        for _ in 0..2 {
            patch("first", json!({ "metadata": { "a": { "b": 1, "c": 2 } } })).await.expect(200);
        }
        let body = json!({ "metadata": { "a": { "b": null }, "d": 3 },
            "expires_at": "2026-01-02T00:00:00Z" });
        let changed = patch("first", body).await.expect(200);
        assert_eq!(changed["metadata"], json!({ "a": { "c": 2 }, "d": 3 }));
        assert_eq!(changed["expires_at"], "2026-01-02T00:00:00.000Z");
        let timeline = api.get("/v1/intents/first/timeline", WRITER).await.expect(200);
        let types: Vec<_> = timeline["data"].as_array().expect("lines").iter().collect();
        let changes = types.iter().filter(|line| line["type"] == "intent.changed").count();
        assert_eq!(changes, 3, "what changes nothing is no line: {timeline}");

        api.command("/v1/intents/first/cancel", WRITER).await.expect(200);
        patch("first", rails(4)).await.problem(409, "closed");
        patch("first", rails(3)).await.expect(200);
        patch("nothing", rails(4)).await.problem(404, "not-found");
    })
    .await;
}

#[tokio::test]
async fn the_expiry_does_not_wait_for_a_replaced_rails_stalled_network_i9() {
    on_both(async |api| {
        let mut body = order("order-1", &address(1));
        body["expires_at"] = json!("2026-01-01T01:00:00Z");
        api.post("/v1/intents", WRITER, &body).await.expect(201);
        api.context.clock.advance(Duration::from_secs(60));
        let elsewhere = json!({ "rails": [
            { "network": "anvil", "asset": "native", "amount": "1", "address": address(1) },
        ]});
        api.patch("/v1/intents/order-1", WRITER, &elsewhere).await.expect(200);
        // bsc is followed past the replacement, and then stalls.
        api.context.clock.advance(Duration::from_secs(60));
        api.grow_on("bsc", 100, 300).await;
        api.grow_on("anvil", 100, 300).await;
        for network in ["bsc", "anvil"] {
            api.end_backfills(network).await;
        }
        api.context.clock.advance(Duration::from_secs(3_600));
        let expirer = Expirer {
            store: api.context.store.clone(),
            endpoints: api.context.endpoints.clone(),
            late_window: Duration::from_secs(86_400),
            clock: api.context.clock.clone(),
            courier: Waker::default(),
        };
        assert_eq!(expirer.look().await.expect("a look"), 0);
        api.grow_on("anvil", 400, 300).await;
        assert_eq!(expirer.look().await.expect("a look"), 1);
        let intent = api.get("/v1/intents/order-1", WRITER).await.expect(200);
        assert_eq!(intent["status"], "expired");
    })
    .await;
}

/// Creates an order for 12.5 USDT that needs as few confirmations as bsc allows.
async fn expect(api: &Api, id: &str, address: &str) -> Answer {
    let mut body = order(id, address);
    body["confirmations"] = json!(15);
    api.post("/v1/intents", WRITER, &body).await
}

async fn status(api: &Api, id: &str) -> Value {
    api.get(&format!("/v1/intents/{id}"), WRITER).await.expect(200)["status"].clone()
}

#[tokio::test]
async fn an_intent_that_a_reorg_opens_again_has_its_address_to_itself_again_i4() {
    on_both(async |api| {
        expect(&api, "first", &address(1)).await.expect(201);
        api.pay(100, &address(1), "12.5", 20).await;
        assert_eq!(status(&api, "first").await, "confirmed");
        api.commit(100, 20, Some(99), &[]).await;
        assert_eq!(status(&api, "first").await, "pending");
        let second = expect(&api, "second", &address(1)).await;
        assert_eq!(second.problem(409, "address-in-use"), ["/rails/0/address"]);
    })
    .await;
}

#[tokio::test]
async fn an_address_that_was_taken_before_a_reorg_stays_with_whoever_took_it_i4() {
    on_both(async |api| {
        expect(&api, "first", &address(1)).await.expect(201);
        api.pay(100, &address(1), "12.5", 20).await;
        assert_eq!(status(&api, "first").await, "confirmed");
        expect(&api, "second", &address(1)).await.expect(201);
        api.commit(100, 20, Some(99), &[]).await;
        assert_eq!(status(&api, "first").await, "pending");
        api.pay(120, &address(1), "12.5", 20).await;
        assert_eq!(status(&api, "second").await, "confirmed");
        assert_eq!(status(&api, "first").await, "pending");
    })
    .await;
}
