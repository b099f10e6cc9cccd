//! Orphans that an admin decides about.

use serde_json::{Value, json};

use crate::rig::{Options, Rig, StoreKind};

/// Waits for the only orphan that is open and reported; answers its id.
async fn open_orphan(rig: &Rig) -> String {
    rig.until("an orphan is reported", async |rig| {
        let orphans = rig.orphans().await;
        orphans.first().map(|orphan| orphan["id"].as_str().expect("an id").to_owned())
    })
    .await
}

async fn resolve(rig: &Rig, id: &str, body: &Value) {
    let (code, answer) = rig.post(&format!("/v1/orphans/{id}/resolve"), body.clone()).await;
    assert_eq!(code, 200, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn money_sent_to_another_orders_address_is_attached_and_what_was_sent_back_is_dismissed_i4() {
    for store in [StoreKind::Sqlite, StoreKind::Postgres] {
        let rig = Rig::start(Options { store, ..Options::default() }).await;
        let [first, second] = std::array::from_fn(|_| rig.fresh_address());
        rig.expect("first", "USDC", "5", first).await;
        rig.expect("second", "USDC", "7", second).await;
        rig.pay(first, 5).await;
        rig.mine(3).await;
        rig.until_status("first", "confirmed").await;

        // The payer of the second order took the first one's address.
        let strayed = rig.pay(first, 7).await;
        rig.mine(3).await;
        let orphan = open_orphan(&rig).await;
        let attach = json!({ "action": "attach", "intent": "second", "reason": "wrong address",
            "actor": "Ada" });
        resolve(&rig, &orphan, &attach).await;
        rig.until_status("second", "confirmed").await;
        let resolved = rig.receiver.wait_for_event("first", "orphan.resolved").await;
        let resolution = &resolved.body["data"]["orphan"]["resolution"];
        assert_eq!(
            (&resolution["intent"], &resolution["actor"]),
            (&json!("second"), &json!("Ada"))
        );
        rig.receiver.wait_for_event("second", "payment.confirmed").await;
        assert_eq!(rig.orphans().await, [] as [Value; 0]);

        // A reorg takes it, and it is mined again: what was decided about it still holds.
        let raw = rig.raw(strayed).await;
        rig.anvil().reorg(4).await.expect("reorganises");
        rig.mine(1).await;
        let reverted = rig.receiver.wait_for_event("second", "payment.reverted").await;
        assert_eq!(reverted.body["data"]["intent"]["status"], "pending");
        rig.anvil().call::<Value>("eth_sendRawTransaction", json!([raw])).await.expect("is taken");
        rig.mine(4).await;
        rig.until_status("second", "confirmed").await;
        assert_eq!(rig.intent("first").await["transfers_total"], 1);

        // A second one is sent back by hand, and not heard of again.
        rig.pay(first, 1).await;
        rig.mine(3).await;
        let orphan = open_orphan(&rig).await;
        let dismiss = json!({ "action": "dismiss", "reason": "sent back", "actor": "Ada" });
        resolve(&rig, &orphan, &dismiss).await;
        rig.anvil().reorg(2).await.expect("reorganises");
        rig.mine(4).await;
        assert_eq!(rig.orphans().await, [] as [Value; 0]);
        let (_, dismissed) = rig.get("/v1/orphans?status=dismissed").await;
        assert_eq!(dismissed["data"][0]["id"], orphan);
        assert_eq!(
            rig.receiver.told_of("first").last().map(String::as_str),
            Some("orphan.resolved")
        );
    }
}
