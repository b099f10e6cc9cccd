//! A wallet of public keys, paid on a real node without anybody having announced it.

use alloy_primitives::{Address, U256};
use serde_json::{Value, json};

use crate::rig::{Options, Rig, StoreKind};

/// Two accounts of one phrase, `m/44'/60'/5'` and `m/44'/60'/6'`: the stories share a node.
const ACCOUNTS: [(StoreKind, &str); 2] = [
    (
        StoreKind::Sqlite,
        "xpub6Ce9NcJvTk37Bzxb8tEr66HG1mUvG7VWr6GbUxSAmKxFtqAX8iAhSYZeXHdpuH7psUuh9w9Yze3ffTWeueTKHme62h6pACAQk2CNvJZcy6v",
    ),
    (
        StoreKind::Postgres,
        "xpub6Ce9NcJvTk37G1mh6FaTc8APjtLRgMgMBYSmvVvjTM6x6QcyuwYsCG9ZTJuaxXAocKYihcrMxd1xZMc65wVHAhZyL8iC16cRMdgKKDac5K7",
    ),
];

fn address(answer: &Value) -> Address {
    answer["address"].as_str().expect("an address").parse().expect("an address")
}

async fn take(rig: &Rig, body: Value) -> Value {
    let (code, answer) = rig.post("/v1/wallets/shop/addresses", body).await;
    assert_eq!(code, 200, "{answer}");
    answer
}

/// The types that came in for the deposits to an address, in order.
fn told(rig: &Rig, address: Address) -> Vec<String> {
    let address = address.to_string();
    let inbox = rig.receiver.inbox();
    let of_it = inbox.iter().filter(|w| w.body["data"]["deposit"]["address"] == address.as_str());
    of_it.map(|webhook| webhook.kind().to_owned()).collect()
}

async fn until_told(rig: &Rig, address: Address, kinds: &[&str]) {
    rig.until(&format!("{kinds:?} of {address}"), async |rig| {
        (told(rig, address) == kinds).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deposits_to_a_wallet_are_told_confirmed_and_taken_back_and_intents_come_first_i2_i4() {
    for (store, keys) in ACCOUNTS {
        let rig = Rig::start(Options { store, ..Options::default() }).await;
        let wallet = json!({ "id": "shop", "network": "anvil", "public_keys": keys });
        let (code, answer) = rig.post("/v1/wallets", wallet).await;
        assert_eq!(code, 201, "{answer}");

        let user = address(&take(&rig, json!({ "external_id": "user-1" })).await);
        rig.pay(user, 5).await;
        until_told(&rig, user, &["deposit.detected"]).await;
        rig.mine(2).await;
        until_told(&rig, user, &["deposit.detected", "deposit.confirmed"]).await;
        let (_, page) = rig.get("/v1/deposits?external_id=user-1").await;
        assert_eq!(page["data"][0]["status"], "confirmed");
        assert_eq!(page["data"][0]["amount"], "5");
        assert_eq!(page["data"][0]["confirmations"], 3);

        // An intent at a fresh address of the wallet has what it waits for; the wallet nothing.
        let rail = json!({ "network": "anvil", "asset": "USDC", "amount": "7", "wallet": "shop" });
        let order = json!({ "id": "order-1", "rails": [rail] });
        let (code, intent) = rig.post("/v1/intents", order).await;
        assert_eq!(code, 201, "{intent}");
        let to = address(&intent["rails"][0]);
        assert_ne!(to, user);
        rig.pay(to, 7).await;
        rig.mine(2).await;
        rig.until_status("order-1", "confirmed").await;
        assert_eq!(told(&rig, to), [] as [&str; 0]);

        // A later index than any that was handed out.
        let (_, page) = rig.get("/v1/wallets/shop").await;
        assert_eq!(page["next_index"], 2);
        let ahead = take(&rig, json!({ "index": 15 })).await;
        let ahead = address(&ahead);
        rig.pay(ahead, 1).await;
        until_told(&rig, ahead, &["deposit.detected"]).await;

        rig.anvil().reorg(1).await.expect("reorganises");
        rig.anvil().mine(1).await.expect("mines");
        until_told(&rig, ahead, &["deposit.detected", "deposit.reverted"]).await;
        let (_, page) = rig.get("/v1/deposits?status=reverted").await;
        assert_eq!(page["data"].as_array().map(Vec::len), Some(1));
        assert_eq!(page["data"][0]["address_index"], 15);
        rig.usdc().transfer(ahead, U256::from(1)).await.expect("pays");
        rig.mine(3).await;
        until_told(
            &rig,
            ahead,
            &["deposit.detected", "deposit.reverted", "deposit.detected", "deposit.confirmed"],
        )
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_before_the_wallet_was_registered_is_found_i13() {
    let rig = Rig::start(Options::default()).await;
    let to = rig.fresh_address();
    rig.pay(to, 3).await;
    rig.mine(3).await;
    let list = json!({ "id": "cold", "network": "anvil",
        "addresses": [{ "address": to.to_string(), "path": "vault/1" }] });
    let (code, answer) = rig.post("/v1/wallets", list).await;
    assert_eq!(code, 201, "{answer}");
    until_told(&rig, to, &["deposit.detected", "deposit.confirmed"]).await;
    let (_, page) = rig.get("/v1/deposits?wallet=cold").await;
    assert_eq!(page["data"][0]["path"], "vault/1");
    // A restart makes nothing twice, and an intent at that address takes none of it.
    let mut rig = rig;
    rig.restart().await;
    rig.expect("order-1", "USDC", "3", to).await;
    rig.mine(2).await;
    assert_eq!(rig.intent("order-1").await["status"], "pending");
    assert_eq!(told(&rig, to), ["deposit.detected", "deposit.confirmed"]);
}
