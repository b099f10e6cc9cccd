//! What a reorganisation takes, and what it leaves.

use alloy_primitives::{Bytes, U256};
use serde_json::{Value, json};

use crate::rig::{Options, Rig, StoreKind, node};

/// The events of an intent that stand: neither retracted nor a retraction.
fn standing(rig: &Rig, intent: &str) -> Vec<(String, Value)> {
    let of_it: Vec<_> = rig.receiver.inbox().into_iter().filter(|w| w.of(intent)).collect();
    let retracted: Vec<Value> = of_it
        .iter()
        .flat_map(|webhook| {
            webhook.body["data"]["retracts"].as_array().cloned().unwrap_or_default()
        })
        .collect();
    let stands = of_it.iter().filter(|webhook| {
        webhook.kind() != "payment.reverted" && !retracted.contains(&webhook.body["id"])
    });
    stands
        .map(|webhook| {
            let received = webhook.body["data"]["intent"]["rails"][0]["received"].clone();
            (webhook.kind().to_owned(), received)
        })
        .collect()
}

/// Holds the intents of a daemon that saw everything happen against those of one that only sees
/// the surviving chain (I4).
async fn equals_a_fresh_scan(rig: &Rig, intents: &[&str]) {
    rig.until_scanned().await;
    let fresh = rig.beside().await;
    for id in intents {
        let seen = rig.intent(id).await;
        let rail = &seen["rails"][0];
        let to = rail["address"].as_str().expect("an address").parse().expect("an address");
        fresh.expect(id, "USDC", rail["amount"].as_str().expect("an amount"), to).await;
        let scanned = fresh
            .until(&format!("{id} is scanned afresh"), async |fresh| {
                let scanned = fresh.intent(id).await;
                (scanned["status"] == seen["status"]
                    && scanned["confirmations"] == seen["confirmations"])
                    .then_some(scanned)
            })
            .await;
        for field in ["status", "settled_by", "confirmations", "confirmed_at"] {
            assert_eq!(scanned[field], seen[field], "{field} of {id}");
        }
        assert_eq!(scanned["rails"][0]["received"], rail["received"], "received of {id}");
        let count = standing(rig, id).len();
        fresh
            .until(&format!("{count} events of {id}"), async |fresh| {
                (fresh.receiver.told_of(id).len() >= count).then_some(())
            })
            .await;
        assert_eq!(standing(&fresh, id), standing(rig, id), "events of {id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_on_both_branches_makes_no_noise_i4() {
    for store in [StoreKind::Sqlite, StoreKind::Postgres] {
        let rig = Rig::start(Options { store, ..Options::default() }).await;
        let to = rig.fresh_address();
        rig.expect("stays", "USDC", "5", to).await;
        rig.mine(1).await;
        let payment = rig.pay(to, 5).await;
        rig.receiver.wait_for_event("stays", "payment.detected").await;
        rig.anvil().reorg_again(2, &[(payment, 1)]).await.expect("reorganises");
        rig.mine(3).await;
        rig.until_status("stays", "confirmed").await;
        let confirmed = rig.receiver.wait_for_event("stays", "payment.confirmed").await;
        assert_eq!(confirmed.body["sequence"], 3, "created, detected, confirmed");
        assert_eq!(rig.receiver.told_of("stays"), ["payment.detected", "payment.confirmed"]);
        equals_a_fresh_scan(&rig, &["stays"]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reorg_of_one_three_and_more_than_the_threshold_takes_back_what_it_must_i4_f7() {
    for store in [StoreKind::Sqlite, StoreKind::Postgres] {
        // Three confirmations are required; eight blocks go after `confirmed` was sent.
        for depth in [1, 3, 8] {
            let rig = Rig::start(Options { store, ..Options::default() }).await;
            let (lost, kept) = (rig.fresh_address(), rig.fresh_address());
            rig.expect("lost", "USDC", "5", lost).await;
            rig.expect("kept", "USDC", "5", kept).await;
            rig.pay(kept, 2).await;
            rig.mine(1).await;
            rig.pay(lost, 5).await;
            rig.mine(depth - 1).await;
            let before = if depth < 3 { "payment.detected" } else { "payment.confirmed" };
            let told = rig.receiver.wait_for_event("lost", before).await;
            rig.anvil().reorg(depth).await.expect("reorganises");
            rig.mine(1).await;

            let reverted = rig.receiver.wait_for_event("lost", "payment.reverted").await;
            let data = &reverted.body["data"];
            assert_eq!(data["reason"], "reorg");
            assert_eq!(data["intent"]["status"], "pending");
            let retracts = data["retracts"].as_array().expect("a list");
            assert!(retracts.contains(&told.body["id"]), "{retracts:?}");
            assert_eq!(retracts.len(), if depth < 3 { 1 } else { 2 });
            assert!(reverted.body["sequence"].as_u64() > told.body["sequence"].as_u64());
            assert_eq!(rig.receiver.told_of("kept"), ["payment.partial"]);
            equals_a_fresh_scan(&rig, &["lost", "kept"]).await;

            // It is paid again on the surviving branch.
            rig.pay(lost, 5).await;
            rig.mine(2).await;
            rig.until_status("lost", "confirmed").await;
            rig.receiver.wait_for_event("lost", "payment.confirmed").await;
            equals_a_fresh_scan(&rig, &["lost", "kept"]).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_returns_in_another_block_with_less_is_told_anew_i2_i4_f6() {
    let rig = Rig::start(Options::default()).await;
    let (to, dai) = (rig.fresh_address(), rig.dai());
    rig.expect("changed", "DAI", "5", to).await;
    rig.mine(1).await;
    let payment = dai.transfer(to, U256::from(5_000_000)).await.expect("pays");
    rig.until_scanned().await;
    rig.receiver.wait_for_event("changed", "payment.detected").await;
    // On the other branch somebody else makes the token keep a tenth, before the payment comes.
    let raw: Bytes = rig.raw(payment).await;
    let fee = dai.fee_transaction(rig.anvil().accounts()[3], 1_000);
    rig.anvil().reorg_with(1, &[(fee, 0)]).await.expect("reorganises");
    rig.anvil().call::<Value>("eth_sendRawTransaction", json!([raw])).await.expect("is taken");
    rig.mine(1).await;
    let partial = rig.receiver.wait_for_event("changed", "payment.partial").await;
    assert_eq!(partial.body["data"]["intent"]["rails"][0]["received"], "4.5");
    assert_eq!(partial.body["data"]["transfers"][0]["transaction"], payment.to_string());
    assert_eq!(
        rig.receiver.told_of("changed"),
        ["payment.detected", "payment.reverted", "payment.partial"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orphan_that_a_reorg_takes_is_taken_back_i4() {
    let rig = Rig::start(Options::default()).await;
    let to = rig.fresh_address();
    rig.expect("once", "USDC", "5", to).await;
    rig.pay(to, 5).await;
    rig.mine(2).await;
    rig.receiver.wait_for_event("once", "payment.confirmed").await;
    rig.pay(to, 5).await;
    rig.mine(2).await;
    let received = rig.receiver.wait_for_event("once", "orphan.received").await;
    rig.anvil().reorg(3).await.expect("reorganises");
    rig.mine(1).await;
    let reverted = rig.receiver.wait_for_event("once", "orphan.reverted").await;
    assert_eq!(reverted.body["data"]["retracts"], json!([received.body["id"]]));
    assert_eq!(rig.orphans().await, Vec::<Value>::new());
    assert_eq!(rig.intent("once").await["status"], "confirmed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reorg_below_finalized_stops_the_network_with_a_reason_i5() {
    // Final after four blocks.
    let rig = Rig::start(Options { slots_in_an_epoch: 2, ..Options::default() }).await;
    let to = rig.fresh_address();
    rig.expect("final", "USDC", "5", to).await;
    rig.pay(to, 5).await;
    rig.mine(10).await;
    rig.until_status("final", "confirmed").await;
    rig.until("blocks are final", async |rig| {
        let (_, status) = rig.get("/scanner/status").await;
        (status["networks"][0]["finalized"].as_u64() > Some(3)).then_some(())
    })
    .await;
    rig.anvil().reorg(9).await.expect("reorganises");
    rig.anvil().mine(3).await.expect("mines");
    let problem = rig
        .until("the network stops", async |rig| {
            let (_, status) = rig.get("/scanner/status").await;
            (status["networks"][0]["state"] == "stopped").then(|| status["problems"][0].clone())
        })
        .await;
    assert_eq!(problem["code"], "network-stopped");
    assert_eq!(problem["subject"], "anvil");
    assert_eq!(rig.intent("final").await["status"], "confirmed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lower_head_alone_is_no_reorg_f8_f9() {
    let rig = Rig::start(Options::default()).await;
    let to = rig.fresh_address();
    rig.expect("patient", "USDC", "5", to).await;
    rig.pay(to, 5).await;
    rig.mine(1).await;
    rig.receiver.wait_for_event("patient", "payment.detected").await;
    let (_, before) = rig.get("/scanner/status").await;
    let scanned = before["networks"][0]["scanned"].as_u64().expect("a height");
    // The node forgets its two newest blocks, as one that syncs would.
    rig.anvil().rollback(2).await.expect("rolls back");
    let status = rig
        .until("the lower head is seen", async |rig| {
            let (_, status) = rig.get("/scanner/status").await;
            (status["networks"][0]["head"].as_u64() < Some(scanned)).then_some(status)
        })
        .await;
    assert_eq!(status["networks"][0]["scanned"], scanned);
    assert_eq!(rig.receiver.told_of("patient"), ["payment.detected"]);
    // Once the other branch is as high as ours was, it counts.
    rig.anvil().mine(3).await.expect("mines");
    rig.receiver.wait_for_event("patient", "payment.reverted").await;
    rig.until_status("patient", "pending").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reorg_right_after_the_first_start_is_followed_i4_i5() {
    let anvil = node(4).await;
    anvil.mine(50).await.expect("mines");
    let rig = Rig::on(anvil, Options { slots_in_an_epoch: 4, ..Options::default() }).await;
    anvil.reorg(5).await.expect("reorganises");
    let to = rig.fresh_address();
    rig.expect("early", "native", "1", to).await;
    let ether = U256::from(10).pow(U256::from(18));
    anvil.pay(anvil.accounts()[1], to, ether).await.expect("pays");
    rig.mine(2).await;
    rig.until_status("early", "confirmed").await;
    let (_, status) = rig.get("/scanner/status").await;
    assert_eq!(status["networks"][0]["state"], "following");
}
