//! Lists: pages, totals, filters.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{ADMIN, Api, OTHER, WRITER, address, on_both, order};

fn texts(list: &Value, name: &str) -> Vec<String> {
    let data = list["data"].as_array().expect("a list");
    data.iter().map(|item| item[name].as_str().expect("a text").to_owned()).collect()
}

/// The names of all items, by pages of two.
async fn paged(api: &Api, path: &str, name: &str) -> Vec<String> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    let and = if path.contains('?') { '&' } else { '?' };
    loop {
        let page = api.get(&format!("{path}{and}limit=2{cursor}"), ADMIN).await.expect(200);
        let names = texts(&page, name);
        assert!(!names.is_empty() && names.len() <= 2, "{page}");
        all.extend(names);
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

#[tokio::test]
async fn every_list_is_paged_without_loss_or_repetition() {
    on_both(async |api| {
        for n in 0..5 {
            // Two at the same moment: their order is that of their ids.
            if n % 2 == 0 {
                api.context.clock.advance(Duration::from_secs(1));
            }
            let body = order(&format!("order-{n}"), &address(n));
            api.post("/v1/intents", WRITER, &body).await.expect(201);
            api.command(&format!("/v1/intents/order-{n}/cancel"), WRITER).await.expect(200);
            api.pay(100 + n, &address(n), "12.5", 1).await;
        }
        let newest_first = ["order-4", "order-3", "order-2", "order-1", "order-0"];
        assert_eq!(paged(&api, "/v1/intents", "id").await, newest_first);
        let lists = [
            ("/v1/intents?status=cancelled", "id", 5),
            ("/v1/events", "id", 10),
            ("/v1/deliveries", "id", 10),
            ("/v1/orphans", "id", 5),
            ("/v1/networks", "id", 15),
            ("/v1/thresholds", "network", 2),
            ("/v1/endpoints", "name", 2),
            ("/v1/intents/order-1/timeline", "id", 2),
        ];
        for (path, name, count) in lists {
            let mut all = paged(&api, path, name).await;
            let and = if path.contains('?') { '&' } else { '?' };
            let whole = api.get(&format!("{path}{and}count=true"), ADMIN).await.expect(200);
            assert_eq!(texts(&whole, name), all, "{path}");
            assert_eq!((&whole["total"], all.len()), (&json!(count), count), "{path}");
            assert_eq!(whole["next_cursor"], Value::Null, "{path}");
            all.sort();
            all.dedup();
            assert_eq!(all.len(), count, "{path}");
            let uncounted = api.get(path, ADMIN).await.expect(200);
            assert_eq!(uncounted.get("total"), None, "{path}");
        }
    })
    .await;
}

#[tokio::test]
async fn intents_are_filtered() {
    on_both(async |api| {
        api.post("/v1/intents", WRITER, &order("bsc", &address(1))).await.expect(201);
        api.context.clock.advance(Duration::from_secs(60));
        let local = json!({ "id": "anvil", "endpoints": ["amn"], "rails": [
            { "network": "anvil", "asset": "ETH", "amount": "1", "address": address(2) },
        ]});
        api.post("/v1/intents", WRITER, &local).await.expect(201);
        api.post("/v1/intents", OTHER, &order("other", &address(3))).await.expect(201);
        api.command("/v1/intents/bsc/cancel", WRITER).await.expect(200);
        let lower = address(2).to_lowercase();
        let cases = [
            ("status=pending".to_owned(), vec!["anvil"]),
            ("status=cancelled".to_owned(), vec!["bsc"]),
            ("network=bsc".to_owned(), vec!["bsc"]),
            ("network=31337".to_owned(), vec!["anvil"]),
            (format!("address={lower}"), vec!["anvil"]),
            (format!("address={}&network=bsc", address(2)), vec![]),
            ("endpoint=amn".to_owned(), vec!["anvil"]),
            ("created_from=2026-01-01T00:01:00Z".to_owned(), vec!["anvil"]),
            ("created_to=2026-01-01T00:01:00Z".to_owned(), vec!["bsc"]),
            ("status=".to_owned(), vec!["anvil", "bsc"]),
        ];
        for (query, expected) in cases {
            let list = api.get(&format!("/v1/intents?{query}"), WRITER).await.expect(200);
            assert_eq!(texts(&list, "id"), expected, "{query}");
        }
    })
    .await;
}

#[tokio::test]
async fn events_are_read_from_where_one_stopped() {
    on_both(async |api| {
        for n in 0..3 {
            let body = order(&format!("order-{n}"), &address(n));
            api.post("/v1/intents", WRITER, &body).await.expect(201);
        }
        let all = api.get("/v1/events", WRITER).await.expect(200);
        let first = &all["data"][0];
        assert_eq!(first["type"], "payment.created");
        assert_eq!((&first["intent"], &first["sequence"]), (&json!("order-0"), &json!(1)));
        assert_eq!(first["data"]["intent"]["id"], "order-0");
        for after in [first["id"].as_str().expect("an id"), &first["position"].to_string()] {
            let rest = api.get(&format!("/v1/events?after={after}"), WRITER).await.expect(200);
            assert_eq!(texts(&rest, "intent"), ["order-1", "order-2"]);
        }
        let one = api.get("/v1/events?intent=order-1&count=true", WRITER).await.expect(200);
        assert_eq!((texts(&one, "intent"), &one["total"]), (vec!["order-1".into()], &json!(1)));
        let none = api.get("/v1/events?type=payment.expired", WRITER).await.expect(200);
        assert_eq!(none["data"], json!([]));
        let foreign = api.get(&format!("/v1/events?after={}", first["id"]), OTHER).await;
        foreign.problem(422, "invalid-value");
    })
    .await;
}

#[tokio::test]
async fn orphans_are_listed_with_their_reason() {
    on_both(async |api| {
        api.post("/v1/intents", WRITER, &order("order-1", &address(1))).await.expect(201);
        api.command("/v1/intents/order-1/cancel", WRITER).await.expect(200);
        api.pay(100, &address(1), "12.5", 1).await;
        let list = api.get("/v1/orphans?reason=cancelled&network=bsc", WRITER).await.expect(200);
        let orphan = &list["data"][0];
        let expected = json!({
            "reason": "cancelled", "intent": "order-1", "amount": "12.5", "asset": "USDT",
            "network": "bsc", "block": 100, "account": "default", "reported": false,
            "to": address(1), "credited_at": "2026-01-01T00:00:00.000Z",
        });
        for (name, value) in expected.as_object().expect("an object") {
            assert_eq!(orphan[name], *value, "{name}");
        }
        let none = api.get("/v1/orphans?reason=late", WRITER).await.expect(200);
        assert_eq!(none["data"], json!([]));
        assert_eq!(api.get("/v1/orphans", OTHER).await.expect(200)["data"], json!([]));
        let status = api.get("/scanner/status", WRITER).await.expect(200);
        assert_eq!(status["orphans"]["open"], 1);
    })
    .await;
}
