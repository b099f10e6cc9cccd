//! Orphans that an admin attaches to an intent, or dismisses.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{ADMIN, Answer, Api, OTHER, READER, WRITER, address, on_both, order};

/// Cancels an intent and pays it all the same, in block 100, deep enough; answers the orphan's id.
async fn orphan(api: &Api, intent: &str, amount: &str) -> String {
    api.post("/v1/intents", WRITER, &order(intent, &address(1))).await.expect(201);
    api.command(&format!("/v1/intents/{intent}/cancel"), WRITER).await.expect(200);
    api.pay(100, &address(1), amount, 200).await;
    let id = listed(api, "open").await[0]["id"].as_str().expect("an orphan").to_owned();
    assert!(id.starts_with("orp_"), "{id}");
    id
}

async fn listed(api: &Api, status: &str) -> Vec<Value> {
    let list = api.get(&format!("/v1/orphans?status={status}"), READER).await.expect(200);
    list["data"].as_array().expect("a list").clone()
}

async fn resolve(api: &Api, id: &str, body: &Value) -> Answer {
    api.post(&format!("/v1/orphans/{id}/resolve"), ADMIN, body).await
}

fn attach(intent: &str) -> Value {
    json!({ "action": "attach", "intent": intent, "reason": "paid to the old address",
        "actor": "Ada" })
}

fn dismiss() -> Value {
    json!({ "action": "dismiss", "reason": "sent back", "actor": "Ada" })
}

/// The types of the events of an intent and its orphans, oldest first.
async fn told(api: &Api, intent: &str) -> Vec<String> {
    let events = api.get(&format!("/v1/events?intent={intent}"), WRITER).await.expect(200);
    let events = events["data"].as_array().expect("a list").clone();
    events.iter().map(|event| event["type"].as_str().expect("a type").to_owned()).collect()
}

async fn status(api: &Api, intent: &str) -> Value {
    api.get(&format!("/v1/intents/{intent}"), WRITER).await.expect(200)["status"].clone()
}

#[tokio::test]
async fn an_attached_orphan_pays_another_intent_and_a_reorg_takes_it_and_brings_it_back_i4() {
    on_both(async |api| {
        let id = orphan(&api, "order-1", "12.5").await;
        api.post("/v1/intents", WRITER, &order("order-2", &address(2))).await.expect(201);
        let answer = resolve(&api, &id, &attach("order-2")).await.expect(200);
        let resolution = json!({ "decision": "attached", "intent": "order-2", "actor": "Ada",
            "reason": "paid to the old address", "resolved_at": "2026-01-01T00:00:00.000Z" });
        assert_eq!((&answer["status"], &answer["resolution"]), (&json!("attached"), &resolution));
        assert_eq!(
            (&answer["intent"], &answer["reason"]),
            (&json!("order-1"), &json!("cancelled"))
        );
        assert_eq!(listed(&api, "open").await, [] as [Value; 0]);
        assert_eq!(listed(&api, "dismissed").await, [] as [Value; 0]);
        assert_eq!(listed(&api, "attached").await[0]["resolution"], resolution);
        assert_eq!(status(&api, "order-2").await, "confirmed");
        assert_eq!(status(&api, "order-1").await, "cancelled");
        let received = ["payment.created", "payment.cancelled", "orphan.received"];
        let resolved = [&received[..], &["orphan.resolved"]].concat();
        assert_eq!(told(&api, "order-1").await, resolved);
        assert_eq!(told(&api, "order-2").await, ["payment.created", "payment.confirmed"]);
        let timeline = api.get("/v1/intents/order-1/timeline", WRITER).await.expect(200);
        let line = &timeline["data"][0];
        assert_eq!(line["actor"], json!({ "type": "person", "name": "Ada" }));
        assert_eq!(line["message"], "Attached to order-2 by Ada: 12.5 USDT on bsc: cancelled");

        // Once more: nothing changes. Another decision: it is made.
        assert_eq!(resolve(&api, &id, &attach("order-2")).await.expect(200), answer);
        resolve(&api, &id, &dismiss()).await.problem(409, "already-resolved");
        assert_eq!(told(&api, "order-2").await, ["payment.created", "payment.confirmed"]);

        api.commit(100, 200, Some(99), &[]).await;
        assert_eq!(status(&api, "order-2").await, "pending");
        let back = [api.transfer(100, &address(1), "12.5")];
        api.commit(250, 200, Some(249), &back).await;
        assert_eq!(status(&api, "order-2").await, "confirmed");
        let lost = ["payment.created", "payment.confirmed", "payment.reverted"];
        let returned = ["payment.detected", "payment.confirmed"];
        let all = told(&api, "order-2").await;
        assert_eq!(all[..3], lost);
        assert_eq!(all.last().map(String::as_str), Some(returned[1]));
        assert_eq!(told(&api, "order-1").await, resolved);
        let deep = api.get("/v1/intents/order-2", WRITER).await.expect(200);
        assert_eq!(deep["transfers_total"], 1);
    })
    .await;
}

#[tokio::test]
async fn a_late_payment_is_attached_to_its_own_intent() {
    on_both(async |api| {
        let id = orphan(&api, "order-1", "12.5").await;
        let body =
            json!({ "action": "attach", "intent": "order-1", "reason": "he changed his mind" });
        let answer = resolve(&api, &id, &body).await.expect(200);
        assert_eq!(answer["resolution"]["actor"], "admin", "the key, where no person is named");
        assert_eq!(status(&api, "order-1").await, "confirmed");
        let intent = api.get("/v1/intents/order-1", WRITER).await.expect(200);
        assert_eq!(intent["rails"][0]["received"], "12.5");
        let all = told(&api, "order-1").await;
        assert_eq!(all[2..], ["orphan.received", "orphan.resolved", "payment.confirmed"]);
    })
    .await;
}

#[tokio::test]
async fn a_dismissed_orphan_leaves_the_list_and_does_not_come_back_with_a_reorg() {
    on_both(async |api| {
        let id = orphan(&api, "order-1", "3").await;
        let answer = resolve(&api, &id, &dismiss()).await.expect(200);
        assert_eq!(answer["status"], "dismissed");
        let events = ["payment.created", "payment.cancelled", "orphan.received", "orphan.resolved"];
        api.commit(100, 200, Some(99), &[]).await;
        let back = [api.transfer(100, &address(1), "3")];
        api.commit(250, 200, Some(249), &back).await;
        assert_eq!(listed(&api, "open").await, [] as [Value; 0]);
        assert_eq!(listed(&api, "dismissed").await[0]["resolution"], answer["resolution"]);
        assert_eq!(
            resolve(&api, &id, &dismiss()).await.expect(200)["resolution"],
            answer["resolution"]
        );
        assert_eq!(told(&api, "order-1").await, events);
        let shown = api.get("/scanner/status", READER).await.expect(200);
        assert_eq!(shown["orphans"]["open"], 0);

        // Another amount is another payment, about which nobody decided.
        let other = [api.transfer(100, &address(1), "4")];
        api.commit(250, 200, Some(249), &other).await;
        assert_eq!(listed(&api, "open").await[0]["amount"], "4");
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_decided_is_refused_and_changes_nothing() {
    on_both(async |api| {
        let id = orphan(&api, "order-1", "3").await;
        api.post("/v1/intents", OTHER, &order("theirs", &address(3))).await.expect(201);
        let reason = json!("asked for");
        let cases = [
            (json!({ "reason": reason }), "/action"),
            (json!({ "action": "keep", "reason": reason }), "/action"),
            (json!({ "action": "dismiss" }), "/reason"),
            (json!({ "action": "dismiss", "reason": "" }), "/reason"),
            (json!({ "action": "attach", "reason": reason }), "/intent"),
            (json!({ "action": "attach", "reason": reason, "intent": 7 }), "/intent"),
            (json!({ "action": "attach", "reason": reason, "intent": "nothing" }), "/intent"),
            (json!({ "action": "attach", "reason": reason, "intent": "theirs" }), "/intent"),
            (json!({ "action": "dismiss", "reason": reason, "intent": "order-1" }), "/intent"),
            (json!({ "action": "dismiss", "reason": reason, "actor": 1 }), "/actor"),
            (json!({ "action": "dismiss", "reason": reason, "more": 1 }), "/more"),
        ];
        for (body, pointer) in cases {
            let answer = resolve(&api, &id, &body).await;
            assert_eq!(answer.problem(422, "invalid-value"), [pointer], "{body}");
        }
        let answer = resolve(&api, &id, &attach("order-1")).await;
        assert_eq!(answer.problem(409, "would-not-pay"), ["/intent"]);
        let detail = answer.json()["detail"].to_string();
        assert!(detail.contains("it is over, and this is not enough"), "{detail}");
        resolve(&api, "orp_nothing", &dismiss()).await.problem(404, "not-found");
        assert_eq!(listed(&api, "open").await.len(), 1);

        // What pays its intent is no orphan, and neither is what a reorg took.
        api.post("/v1/intents", WRITER, &order("order-2", &address(2))).await.expect(201);
        api.pay(300, &address(2), "5", 1).await;
        let hash = format!("0x{:064x}", 300);
        let path = format!("/v1/intents/order-2/explain?tx={hash}");
        assert_eq!(api.get(&path, READER).await.expect(200)["verdict"], "counts");
        api.commit(100, 300, Some(99), &[]).await;
        resolve(&api, &id, &dismiss()).await.problem(409, "no-orphan");
    })
    .await;
}

#[tokio::test]
async fn of_decisions_made_at_once_one_stands() {
    on_both(async |api| {
        let id = orphan(&api, "order-1", "12.5").await;
        for number in [2, 3] {
            let body = order(&format!("order-{number}"), &address(number));
            api.post("/v1/intents", WRITER, &body).await.expect(201);
        }
        let asked = [attach("order-2"), attach("order-3"), dismiss()];
        let answers = asked.iter().cycle().take(9);
        let answers = join_all(answers.map(|body| resolve(&api, &id, body))).await;
        let mut made = Vec::new();
        for answer in answers {
            match answer.status {
                200 => made.push(answer.json()["resolution"].clone()),
                _ => assert_eq!(answer.problem(409, "already-resolved"), [] as [&str; 0]),
            }
        }
        assert_eq!(made.len(), 3, "the same decision may be repeated: {made:?}");
        assert!(made.iter().all(|one| *one == made[0]), "{made:?}");
        let confirmed = [status(&api, "order-2").await, status(&api, "order-3").await];
        let confirmed = confirmed.iter().filter(|status| **status == "confirmed").count();
        assert_eq!(confirmed, usize::from(made[0]["decision"] == "attached"));
    })
    .await;
}
