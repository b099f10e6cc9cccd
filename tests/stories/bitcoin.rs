//! Bitcoin, through the same daemon: paid, reorganised, double-spent, mined to.

use bitcoin::{Amount, ScriptBuf, Transaction};
use confirmd::clock::Clock;
use confirmd::settlement::rfc3339;
use confirmd_bitcoin::script::Script;
use confirmd_chain::Timestamp;
use serde_json::{Value, json};
use xtask::bitcoind::{Bitcoind, BitcoindOptions, Payment};

use crate::rig::{Options, Rig, StoreKind};

/// A node on regtest.
pub(crate) async fn node() -> Bitcoind {
    let bitcoind = Bitcoind::start(BitcoindOptions::default()).await.expect("bitcoind starts");
    bitcoind.fund(20).await.expect("coins");
    bitcoind
}

/// A node on regtest, and a daemon that follows it beside its own network.
pub(crate) async fn rig(store: StoreKind) -> (Bitcoind, Rig) {
    let bitcoind = node().await;
    let rig = follow(&bitcoind, bitcoind.url(), store).await;
    (bitcoind, rig)
}

/// A daemon that asks a node at this URL.
pub(crate) async fn follow(bitcoind: &Bitcoind, url: String, store: StoreKind) -> Rig {
    let more = section(bitcoind, &url);
    Rig::start(Options { store, more, ..Options::default() }).await
}

/// The network in the configuration.
pub(crate) fn section(bitcoind: &Bitcoind, url: &str) -> String {
    format!(
        "[networks.regtest]\npoll_interval = \"500ms\"\nmempool_interval = \"100ms\"\n\
         [[networks.regtest.providers]]\nname = \"node\"\nurl = \"{url}\"\nzmq = \"{}\"\n",
        bitcoind.zmq_url(),
    )
}

/// The n-th address, and its scriptPubKey.
pub(crate) fn receiver(n: u8) -> (String, ScriptBuf) {
    let script = Script::P2wpkh([n; 20]).watch_key().as_bytes().to_vec();
    let script = ScriptBuf::from_bytes(script);
    let address = bitcoin::Address::from_script(&script, bitcoin::Network::Regtest);
    (address.expect("an address").to_string(), script)
}

/// Waits for an intent to be paid on regtest.
pub(crate) async fn expect(rig: &Rig, id: &str, amount: &str, address: &str) {
    expect_until(rig, id, amount, address, None).await;
}

/// The same, until then.
pub(crate) async fn expect_until(
    rig: &Rig,
    id: &str,
    amount: &str,
    address: &str,
    expires_at: Option<Timestamp>,
) {
    let rail =
        json!({ "network": "regtest", "asset": "native", "amount": amount, "address": address });
    let mut body = json!({ "id": id, "rails": [rail], "endpoints": ["backend"] });
    if let Some(expires_at) = expires_at {
        body["expires_at"] = rfc3339(expires_at).into();
    }
    let (status, answer) = rig.post("/v1/intents", body).await;
    assert_eq!(status, 201, "{answer}");
}

pub(crate) fn coins(text: &str) -> Amount {
    Amount::from_str_in(text, bitcoin::Denomination::Bitcoin).expect("an amount")
}

pub(crate) async fn pay(bitcoind: &Bitcoind, script: &ScriptBuf, amount: &str) -> Transaction {
    bitcoind.pay_to(script.clone(), coins(amount)).await.expect("a payment")
}

fn confirmations(event: &Value) -> (u64, u64) {
    let number = |key: &str| event["data"][key].as_u64().expect("a number");
    (number("confirmations"), number("required_confirmations"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confirmed_payment_that_a_heavier_branch_double_spends_is_taken_back_i4_f7_f23() {
    for store in [StoreKind::Sqlite, StoreKind::Postgres] {
        let (bitcoind, rig) = rig(store).await;
        let (address, script) = receiver(1);
        expect(&rig, "order-1", "0.0001", &address).await;
        let paid = pay(&bitcoind, &script, "0.0001").await;
        rig.receiver.wait_for_event("order-1", "payment.seen").await;
        bitcoind.mine(1).await.expect("a block");
        let detected = rig.receiver.wait_for_event("order-1", "payment.detected").await;
        assert_eq!(confirmations(&detected.body), (1, 3));
        bitcoind.mine(2).await.expect("blocks");
        let confirmed = rig.receiver.wait_for_event("order-1", "payment.confirmed").await;
        assert_eq!(confirmations(&confirmed.body), (3, 3));
        // The branch is heavier by one block, and its first one spends the coin elsewhere.
        let elsewhere = Payment::to(receiver(2).1, coins("0.0001"));
        let double = bitcoind.conflict(&paid, &elsewhere).expect("a double spend");
        let branch = [std::slice::from_ref(&double), &[], &[], &[]];
        bitcoind.reorg(3, &branch).await.expect("a reorganisation");
        let reverted = rig.receiver.wait_for_event("order-1", "payment.reverted").await;
        let retracted = reverted.body["data"]["retracts"].as_array().expect("what it takes back");
        assert_eq!(retracted.len(), 3, "seen, detected and confirmed");
        assert_eq!(reverted.body["data"]["reason"], "replaced");
        rig.until_status("order-1", "pending").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_returns_in_another_block_makes_no_noise_i4_f6() {
    let (bitcoind, rig) = rig(StoreKind::Sqlite).await;
    let (address, script) = receiver(3);
    expect(&rig, "order-1", "0.0001", &address).await;
    let paid = pay(&bitcoind, &script, "0.0001").await;
    rig.receiver.wait_for_event("order-1", "payment.seen").await;
    bitcoind.mine(1).await.expect("a block");
    rig.receiver.wait_for_event("order-1", "payment.detected").await;
    // Its first block is no heavier than ours, so nothing happens before the second.
    bitcoind.reorg(1, &[&[], &[paid]]).await.expect("a reorganisation");
    bitcoind.mine(2).await.expect("blocks");
    let confirmed = rig.receiver.wait_for_event("order-1", "payment.confirmed").await;
    assert_eq!(confirmations(&confirmed.body), (3, 3));
    let told = rig.receiver.told_of("order-1");
    assert_eq!(told, ["payment.seen", "payment.detected", "payment.confirmed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_miner_gets_is_confirmed_when_it_can_be_spent_i6() {
    let (bitcoind, rig) = rig(StoreKind::Sqlite).await;
    let (address, script) = receiver(4);
    expect(&rig, "reward", "1", &address).await;
    let miner = bitcoin::Address::from_script(&script, bitcoin::Network::Regtest);
    bitcoind.mine_to(&miner.expect("an address"), 1).await.expect("a block");
    rig.receiver.wait_for_event("reward", "payment.detected").await;
    bitcoind.mine(98).await.expect("blocks");
    let (late, script) = receiver(5);
    expect(&rig, "after", "0.0001", &late).await;
    pay(&bitcoind, &script, "0.0001").await;
    bitcoind.mine(1).await.expect("a block");
    // With that block, the reward's hundredth, it can be spent in the next.
    rig.receiver.wait_for_event("after", "payment.detected").await;
    let confirmed = rig.receiver.wait_for_event("reward", "payment.confirmed").await;
    assert_eq!(confirmed.body["data"]["confirmations"], 3);
    let transfer = &confirmed.body["data"]["transfers"][0];
    assert_eq!(transfer["confirmations"], 100);
}

/// Blocks every ten minutes, as Bitcoin's are: their median time is an hour behind.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_made_after_its_payment_is_found_though_the_median_time_lags_i13() {
    let bitcoind = Bitcoind::start(BitcoindOptions::default()).await.expect("bitcoind starts");
    let now = u64::try_from(Clock::system().now().0 / 1_000).expect("after 1970");
    bitcoind.set_time(now - 12_000).await.expect("a time");
    bitcoind.fund(20).await.expect("coins");
    let mine_at = async |minutes_ago: u64| {
        bitcoind.set_time(now - minutes_ago * 60).await.expect("a time");
        bitcoind.mine(1).await.expect("a block").remove(0)
    };
    for minutes_ago in (2..=18).rev() {
        mine_at(minutes_ago * 10).await;
    }
    let (address, script) = receiver(1);
    pay(&bitcoind, &script, "0.0001").await;
    let mined_in = mine_at(10).await;
    bitcoind.set_time(0).await.expect("the clock's time");
    let rig = follow(&bitcoind, bitcoind.url(), StoreKind::Sqlite).await;
    until_scanned(&rig, &bitcoind).await;
    expect(&rig, "after", "0.0001", &address).await;
    rig.until_status("after", "confirming").await;
    let header: Value = bitcoind.call("getblockheader", json!([mined_in])).await.expect("it");
    let mined_at = header["time"].as_i64().expect("seconds");
    let transfers = rig.intent("after").await["transfers"].clone();
    assert_eq!(transfers[0]["block_time"], rfc3339(Timestamp(mined_at * 1_000)));

    // Who pays the old price after it was raised has not paid, whatever the median says.
    let (address, script) = receiver(2);
    expect(&rig, "raised", "0.0001", &address).await;
    let rail =
        json!({ "network": "regtest", "asset": "native", "amount": "0.0002", "address": address });
    let (code, answer) = rig.patch("/v1/intents/raised", json!({ "rails": [rail] })).await;
    assert_eq!(code, 200, "{answer}");
    pay(&bitcoind, &script, "0.0001").await;
    rig.receiver.wait_for_event("raised", "payment.seen").await;
    bitcoind.set_time(now + 60).await.expect("a time");
    bitcoind.mine(3).await.expect("blocks");
    rig.until_status("after", "confirmed").await;
    assert_eq!(rig.until_status("raised", "partial").await["rails"][0]["received"], "0.0001");
}

async fn until_scanned(rig: &Rig, bitcoind: &Bitcoind) {
    let height = bitcoind.height().await.expect("a height");
    rig.until("the newest block is scanned", async |rig| {
        let (_, status) = rig.get("/scanner/status").await;
        let mut networks = status["networks"].as_array().into_iter().flatten();
        let ours = networks.find(|network| network["network"] == "regtest")?;
        (ours["scanned"] == height).then_some(())
    })
    .await;
}
