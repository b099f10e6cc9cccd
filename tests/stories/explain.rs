//! Why a transaction did or did not settle an intent.

use alloy_primitives::{B256, U256};
use serde_json::{Value, json};

use crate::rig::{Options, Rig};

async fn explain(rig: &Rig, intent: &str, transaction: B256) -> Value {
    let (code, answer) = rig.get(&format!("/v1/intents/{intent}/explain?tx={transaction}")).await;
    assert_eq!(code, 200, "{answer}");
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_is_explained_by_what_was_scanned_and_by_the_chain_i3_i11() {
    let rig = Rig::start(Options::default()).await;
    let [paid, other, stranger] = std::array::from_fn(|_| rig.fresh_address());
    rig.expect("paid", "USDC", "1", paid).await;
    rig.expect("other", "USDC", "1", other).await;
    let pays = rig.pay(paid, 1).await;
    let million = U256::from(1_000_000);
    let wrong = rig.dai().transfer(paid, million).await.expect("pays");
    let elsewhere = rig.pay(stranger, 1).await;
    rig.dai().set_frozen(true).await.expect("freezes");
    let failed = rig.dai().transfer(paid, million).await.expect("is mined");
    rig.mine(2).await;
    rig.until_status("paid", "confirmed").await;

    let cases = [
        ("paid", pays, "counts"),
        ("other", pays, "other_intent"),
        ("paid", wrong, "orphan"),
        ("paid", elsewhere, "no_match"),
        ("paid", failed, "failed"),
        ("paid", B256::repeat_byte(7), "not_found"),
    ];
    for (intent, transaction, verdict) in cases {
        let answer = explain(&rig, intent, transaction).await;
        assert_eq!(answer["verdict"], verdict, "{answer}");
        let on_chain = !matches!(verdict, "not_found" | "other_intent");
        assert_eq!(answer["block"].is_object(), on_chain, "{answer}");
        assert_eq!(answer["scanned"].is_object(), on_chain, "{answer}");
        if on_chain {
            assert_eq!(answer["scanned"]["proof"], "commitment");
        }
    }
    let told = explain(&rig, "paid", pays).await;
    assert_eq!(told["transfers"][0]["status"], "confirmed");
    assert_eq!(told["reason"], "It pays rail r1.");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_reorganisation_took_is_explained_as_taken_i4() {
    let rig = Rig::start(Options::default()).await;
    let to = rig.fresh_address();
    rig.expect("taken", "USDC", "1", to).await;
    let transaction = rig.pay(to, 1).await;
    rig.receiver.wait_for_event("taken", "payment.detected").await;
    rig.anvil().reorg(1).await.expect("reorganises");
    rig.mine(1).await;
    rig.receiver.wait_for_event("taken", "payment.reverted").await;
    let answer = explain(&rig, "taken", transaction).await;
    assert_eq!((&answer["verdict"], &answer["block"]), (&json!("reverted"), &Value::Null));
}
