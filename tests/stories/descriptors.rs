//! Bitcoin addresses from an output descriptor, paid on a real node; payments that an OP_RETURN
//! output names.

use bitcoin::{ScriptBuf, Transaction};
use serde_json::{Value, json};
use xtask::bitcoind::{Bitcoind, Payment};

use crate::bitcoin::{coins, pay, receiver, rig};
use crate::rig::{Rig, StoreKind};

/// `m/84'/1'/0'` of the phrase that BIP-84 takes for its examples, receiving and change.
const DESCRIPTOR: &str = "wpkh([73c5da0a/84'/1'/0']tpubDC8msFGeGuwnKG9Upg7DM2b4DaRqg3CUZa5g8v2SRQ6K4NSkxUgd7HsL2XVWbVm39yBA4LAxysQAm397zwQSQoQgewGiYZqrA9DsP4zbQ1M/<0;1>/*)";

fn script_of(answer: &Value) -> ScriptBuf {
    let address = answer["address"].as_str().expect("an address");
    let address: bitcoin::Address<_> = address.parse().expect("an address");
    address.require_network(bitcoin::Network::Regtest).expect("of regtest").script_pubkey()
}

/// The node's own word on a receiving address of the wallet.
async fn derived(bitcoind: &Bitcoind, index: u32) -> Value {
    let receiving = DESCRIPTOR.replace("<0;1>", "0");
    let info: Value =
        bitcoind.call("getdescriptorinfo", json!([receiving])).await.expect("a descriptor");
    let range = json!([info["descriptor"], [index, index]]);
    let addresses: Value = bitcoind.call("deriveaddresses", range).await.expect("addresses");
    json!({ "address": addresses[0] })
}

async fn take(rig: &Rig, body: Value) -> Value {
    let (code, answer) = rig.post("/v1/wallets/shop/addresses", body).await;
    assert_eq!(code, 200, "{answer}");
    answer
}

/// Whether a transaction pays an intent, why not, and how deep it is.
async fn verify(rig: &Rig, intent: &str, paid: &Transaction) -> (Value, Value, Value) {
    let body = json!({ "transaction": paid.compute_txid().to_string() });
    let (code, answer) = rig.post(&format!("/v1/intents/{intent}/verify"), body).await;
    assert_eq!(code, 200, "{answer}");
    (answer["matches"].clone(), answer["reason"].clone(), answer["confirmations"].clone())
}

/// Waits until the deposits to an address were told so.
async fn until_told(rig: &Rig, to: &Value, kinds: &[&str]) {
    rig.until(&format!("{kinds:?} of {to}"), async |rig| {
        let inbox = rig.receiver.inbox();
        let of_it = inbox.iter().filter(|told| told.body["data"]["deposit"]["address"] == *to);
        let told: Vec<_> = of_it.map(|webhook| webhook.kind().to_owned()).collect();
        (told == kinds).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_descriptors_addresses_take_deposits_and_orders_also_ahead_and_through_a_reorg_i4_f7() {
    for store in [StoreKind::Sqlite, StoreKind::Postgres] {
        let (bitcoind, rig) = rig(store).await;
        let wallet = json!({ "id": "shop", "network": "regtest", "public_keys": DESCRIPTOR,
            "endpoints": ["backend"] });
        let (code, made) = rig.post("/v1/wallets", wallet).await;
        assert_eq!(code, 201, "{made}");

        let user = take(&rig, json!({ "external_id": "user-1" })).await;
        assert_eq!(user["address"], derived(&bitcoind, 0).await["address"]);
        // Somebody else's program hands out addresses of the same keys: one further on is paid.
        let ahead = derived(&bitcoind, 15).await;
        pay(&bitcoind, &script_of(&user), "0.5").await;
        pay(&bitcoind, &script_of(&ahead), "0.25").await;
        bitcoind.mine(1).await.expect("a block");
        until_told(&rig, &user["address"], &["deposit.detected"]).await;
        until_told(&rig, &ahead["address"], &["deposit.detected"]).await;
        bitcoind.mine(2).await.expect("blocks");
        until_told(&rig, &user["address"], &["deposit.detected", "deposit.confirmed"]).await;

        let rail = json!({ "network": "regtest", "asset": "native", "amount": "0.0021", "wallet": "shop" });
        let order = json!({ "id": "order-1", "rails": [rail], "endpoints": ["backend"] });
        let (code, order) = rig.post("/v1/intents", order).await;
        assert_eq!(code, 201, "{order}");
        let rail = &order["rails"][0];
        let address = rail["address"].as_str().expect("an address");
        assert!(address.starts_with("bcrt1q"), "{address}");
        let uri = format!("bitcoin:{address}?amount=0.0021");
        assert_eq!(rail["payment_uri"], uri.as_str());
        pay(&bitcoind, &script_of(rail), "0.0021").await;
        bitcoind.mine(1).await.expect("a block");
        let detected = rig.receiver.wait_for_event("order-1", "payment.detected").await;
        assert_eq!(detected.body["data"]["intent"]["rails"][0]["payment_uri"], uri.as_str());
        bitcoind.mine(2).await.expect("blocks");
        rig.receiver.wait_for_event("order-1", "payment.confirmed").await;

        // Six blocks without any of it: everything is taken back.
        let nothing: &[Transaction] = &[];
        bitcoind.reorg(6, &[nothing; 7]).await.expect("a reorganisation");
        let all = ["deposit.detected", "deposit.confirmed", "deposit.reverted"];
        until_told(&rig, &user["address"], &all).await;
        rig.receiver.wait_for_event("order-1", "payment.reverted").await;
        let (_, page) = rig.get("/v1/deposits?status=reverted").await;
        assert_eq!(page["data"].as_array().map(Vec::len), Some(2), "{page}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_orders_at_one_address_are_told_apart_by_what_an_op_return_output_says() {
    let (bitcoind, rig) = rig(StoreKind::Sqlite).await;
    let (address, script) = receiver(21);
    for id in ["order-1", "order-2"] {
        let rail = json!({ "network": "regtest", "asset": "native", "amount": "0.001",
            "address": address, "reference": format!("pay {id}") });
        let order = json!({ "id": id, "rails": [rail], "endpoints": ["backend"] });
        let (code, made) = rig.post("/v1/intents", order).await;
        assert_eq!(code, 201, "{made}");
        assert_eq!(made["rails"][0]["payment_uri"], Value::Null, "no URI says it");
    }
    let payment = Payment::to(script.clone(), coins("0.001")).with_data(b"pay order-2");
    let named = bitcoind.pay(&payment).await.expect("a payment");
    rig.receiver.wait_for_event("order-2", "payment.seen").await;
    assert_eq!(verify(&rig, "order-2", &named).await, (json!(true), Value::Null, json!(0)));
    let nameless = pay(&bitcoind, &script, "0.001").await;
    bitcoind.mine(3).await.expect("blocks");
    rig.receiver.wait_for_event("order-2", "payment.confirmed").await;
    assert_eq!(rig.intent("order-1").await["status"], "pending");
    let orphan = rig.until("an orphan", async |rig| rig.orphans().await.into_iter().next()).await;
    let mismatch = (json!(false), json!("MEMO_MISMATCH"), json!(3));
    assert_eq!(verify(&rig, "order-2", &named).await, (json!(true), Value::Null, json!(3)));
    assert_eq!(verify(&rig, "order-1", &named).await, mismatch);
    assert_eq!(verify(&rig, "order-1", &nameless).await, mismatch);
    let unknown = (json!(false), json!("TRANSACTION_NOT_FOUND"), json!(0));
    let never = bitcoind.prepare(&Payment::to(script, coins("0.5"))).await.expect("is signed");
    assert_eq!(verify(&rig, "order-1", &never).await, unknown);
    let nameless = nameless.compute_txid().to_string();
    assert_eq!(
        (&orphan["reason"], &orphan["transaction"]),
        (&json!("ambiguous"), &json!(nameless)),
        "{orphan}"
    );
}
