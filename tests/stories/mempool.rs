//! Payments that are in no block yet, through the same daemon: seen, replaced, mined late.

use std::collections::HashMap;

use bitcoin::consensus::encode::serialize_hex;
use bitcoin::hashes::Hash as _;
use bitcoin::{Amount, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, Witness};
use confirmd::clock::Clock;
use confirmd_chain::FeeRate;
use serde_json::{Value, json};
use xtask::bitcoind::{Bitcoind, Payment};

use crate::bitcoin::{coins, expect, expect_until, follow, node, pay, receiver, rig};
use crate::proxy::Proxy;
use crate::rig::{Rig, StoreKind};

const BOTH: [StoreKind; 2] = [StoreKind::Sqlite, StoreKind::Postgres];

/// Waits until the API shows a transaction of an intent in this state.
async fn until_shown(rig: &Rig, id: &str, transaction: &Transaction, status: &str) -> Value {
    let transaction = transaction.compute_txid().to_string();
    rig.until(&format!("{transaction} is {status}"), async |rig| {
        let intent = rig.intent(id).await;
        let mut transfers = intent["transfers"].as_array().expect("a list").iter();
        let is_it = |shown: &&Value| {
            shown["transaction"] == transaction.as_str() && shown["status"] == status
        };
        transfers.find(is_it).cloned()
    })
    .await
}

/// What the node says that a transaction pays, from its own sizes and fees.
async fn fee_rate(bitcoind: &Bitcoind, transaction: &Transaction) -> String {
    let id = transaction.compute_txid();
    let entry: Value = bitcoind.call("getmempoolentry", json!([id])).await.expect("it waits");
    let fee = format!("{:.8}", entry["fees"]["base"].as_f64().expect("a number"));
    let size = entry["vsize"].as_u64().expect("a number");
    FeeRate::new(coins(&fee).to_sat(), size).expect("a size").to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_is_seen_once_before_it_is_mined_whatever_restarts_i7_f23() {
    for store in BOTH {
        let (bitcoind, mut rig) = rig(store).await;
        let (address, script) = receiver(1);
        expect(&rig, "order-1", "0.0001", &address).await;
        let payment = Payment::to(script, coins("0.0001")).replaceable();
        let paid = bitcoind.pay(&payment).await.expect("a payment");
        let seen = rig.receiver.wait_for_event("order-1", "payment.seen").await;
        let data = &seen.body["data"];
        assert_eq!(
            (&data["confirmations"], &data["intent"]["status"]),
            (&json!(0), &json!("pending"))
        );
        assert_eq!(data["intent"]["rails"][0]["received"], "0");
        let transfer = &data["transfers"][0];
        assert_eq!(transfer["status"], "seen");
        assert_eq!(transfer["transaction"], paid.compute_txid().to_string());
        assert_eq!(transfer["fee_rate"], fee_rate(&bitcoind, &paid).await);
        assert_eq!(transfer["replaceable"], true);

        rig.restart().await;
        // What comes after it in the mempool is told, so the mempool was read again.
        let (after, script) = receiver(2);
        expect(&rig, "after", "0.0001", &after).await;
        pay(&bitcoind, &script, "0.0001").await;
        rig.receiver.wait_for_event("after", "payment.seen").await;
        bitcoind.mine(3).await.expect("blocks");
        rig.receiver.wait_for_event("order-1", "payment.confirmed").await;
        let told = rig.receiver.told_of("order-1");
        assert_eq!(told.first().map(String::as_str), Some("payment.seen"));
        assert_eq!(told.iter().filter(|kind| *kind == "payment.seen").count(), 1, "{told:?}");
        assert!(!told.iter().any(|kind| kind == "payment.reverted"), "{told:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_replaced_by_one_that_pays_elsewhere_is_taken_back_f23() {
    for store in BOTH {
        let (bitcoind, rig) = rig(store).await;
        let (address, script) = receiver(1);
        expect(&rig, "order-1", "0.0001", &address).await;
        let paid = pay(&bitcoind, &script, "0.0001").await;
        let seen = rig.receiver.wait_for_event("order-1", "payment.seen").await;
        let elsewhere = Payment::to(receiver(2).1, coins("0.0001"));
        let double = bitcoind.replace(&paid, &elsewhere).await.expect("a replacement");
        let reverted = rig.receiver.wait_for_event("order-1", "payment.reverted").await;
        let data = &reverted.body["data"];
        assert_eq!(data["reason"], "replaced");
        assert_eq!(data["retracts"], json!([seen.body["id"]]));
        let shown = until_shown(&rig, "order-1", &paid, "replaced").await;
        assert_eq!(shown["replaced_by"], double.compute_txid().to_string());
        let paid = paid.compute_txid();
        let (_, explained) = rig.get(&format!("/v1/intents/order-1/explain?tx={paid}")).await;
        assert_eq!(explained["verdict"], "replaced", "{explained}");
        bitcoind.mine(1).await.expect("a block");
        // It is paid again, and that alone is told.
        let again = pay(&bitcoind, &script, "0.0001").await;
        until_shown(&rig, "order-1", &again, "seen").await;
        bitcoind.mine(3).await.expect("blocks");
        rig.receiver.wait_for_event("order-1", "payment.confirmed").await;
        let told = rig.receiver.told_of("order-1");
        let expected = ["payment.seen", "payment.reverted", "payment.seen"];
        assert_eq!(told[..3], expected, "{told:?}");
        assert!(!told[3..].contains(&"payment.reverted".to_owned()), "{told:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_raised_fee_makes_no_noise_and_the_api_shows_the_new_transaction_f23() {
    for store in BOTH {
        let (bitcoind, rig) = rig(store).await;
        let (address, script) = receiver(1);
        expect(&rig, "order-1", "0.0001", &address).await;
        let paid = pay(&bitcoind, &script, "0.0001").await;
        rig.receiver.wait_for_event("order-1", "payment.seen").await;
        let same = Payment::to(script, coins("0.0001"));
        let raised = bitcoind.replace(&paid, &same).await.expect("a replacement");
        let shown = until_shown(&rig, "order-1", &raised, "seen").await;
        assert_eq!(shown["fee_rate"], fee_rate(&bitcoind, &raised).await);
        until_shown(&rig, "order-1", &paid, "replaced").await;
        bitcoind.mine(1).await.expect("a block");
        rig.receiver.wait_for_event("order-1", "payment.detected").await;
        assert_eq!(rig.receiver.told_of("order-1"), ["payment.seen", "payment.detected"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_a_block_double_spends_is_taken_back_f23() {
    let (bitcoind, rig) = rig(StoreKind::Sqlite).await;
    let (address, script) = receiver(1);
    expect(&rig, "order-1", "0.0001", &address).await;
    let paid = pay(&bitcoind, &script, "0.0001").await;
    let seen = rig.receiver.wait_for_event("order-1", "payment.seen").await;
    let elsewhere = Payment::to(receiver(2).1, coins("0.0001"));
    let double = bitcoind.conflict(&paid, &elsewhere).expect("a double spend");
    bitcoind.mine_only(&[double]).await.expect("a block");
    let reverted = rig.receiver.wait_for_event("order-1", "payment.reverted").await;
    assert_eq!(reverted.body["data"]["reason"], "replaced");
    assert_eq!(reverted.body["data"]["retracts"], json!([seen.body["id"]]));
    assert_eq!(rig.intent("order-1").await["status"], "pending");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_seen_in_time_holds_the_intent_and_counts_when_it_is_mined_late_f23() {
    for store in BOTH {
        let (bitcoind, rig) = rig(store).await;
        let clock = Clock::system();
        let ((paid, script), (unpaid, _)) = (receiver(1), receiver(2));
        let end = Some(clock.now().plus_ms(8_000));
        expect_until(&rig, "paid", "0.0001", &paid, end).await;
        expect_until(&rig, "unpaid", "0.0001", &unpaid, end).await;
        pay(&bitcoind, &script, "0.0001").await;
        rig.receiver.wait_for_event("paid", "payment.seen").await;
        // So many blocks that the median of their times, too, is past the end, and deep.
        let later = u64::try_from(clock.now().0 / 1_000).expect("positive") + 3_600;
        bitcoind.set_time(later).await.expect("a time");
        for _ in 0..12 {
            bitcoind.mine_only(&[]).await.expect("a block");
        }
        rig.receiver.wait_for_event("unpaid", "payment.expired").await;
        let held = rig.intent("paid").await;
        assert_eq!((&held["status"], &held["overdue"]), (&json!("pending"), &json!(true)));
        bitcoind.mine(3).await.expect("blocks");
        rig.receiver.wait_for_event("paid", "payment.confirmed").await;
        let told = rig.receiver.told_of("paid");
        assert!(!told.contains(&"payment.expired".to_owned()), "{told:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_a_reorg_puts_back_into_the_mempool_is_seen_again_i4_f7() {
    for store in BOTH {
        let (bitcoind, rig) = rig(store).await;
        let (address, script) = receiver(1);
        expect(&rig, "order-1", "0.0001", &address).await;
        let paid = pay(&bitcoind, &script, "0.0001").await;
        rig.receiver.wait_for_event("order-1", "payment.seen").await;
        bitcoind.mine(1).await.expect("a block");
        let detected = rig.receiver.wait_for_event("order-1", "payment.detected").await;
        bitcoind.reorg(1, &[&[], &[]]).await.expect("a reorganisation");
        let reverted = rig.receiver.wait_for_event("order-1", "payment.reverted").await;
        assert_eq!(reverted.body["data"]["reason"], "reorg");
        assert_eq!(reverted.body["data"]["retracts"], json!([detected.body["id"]]));
        assert_eq!(reverted.body["data"]["transfers"][0]["status"], "seen");
        until_shown(&rig, "order-1", &paid, "seen").await;
        bitcoind.mine(3).await.expect("blocks");
        rig.receiver.wait_for_event("order-1", "payment.confirmed").await;
        let told = rig.receiver.told_of("order-1");
        assert_eq!(told.iter().filter(|kind| *kind == "payment.seen").count(), 1, "{told:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mempool_that_is_not_shown_is_said_and_blocks_go_on_i9() {
    let bitcoind = node().await;
    let proxy = Proxy::without(&["getrawmempool"], bitcoind.url()).await;
    let rig = follow(&bitcoind, proxy.url, StoreKind::Sqlite).await;
    let (address, script) = receiver(1);
    expect(&rig, "order-1", "0.0001", &address).await;
    pay(&bitcoind, &script, "0.0001").await;
    let regtest = rig
        .until("the mempool's problem is shown", async |rig| {
            let (_, status) = rig.get("/scanner/status").await;
            let problems = status["problems"].as_array().expect("a list");
            let is_it = |problem: &Value| {
                problem["code"] == "mempool-stalled" && problem["subject"] == "regtest"
            };
            let regtest = &status["networks"][1];
            let is_followed = regtest["state"] == "following";
            (is_followed && problems.iter().any(is_it)).then(|| regtest.clone())
        })
        .await;
    assert_eq!(regtest["mempool"]["state"], "stalled");
    assert_eq!(regtest["providers"][0]["healthy"], true);
    bitcoind.mine(3).await.expect("blocks");
    rig.receiver.wait_for_event("order-1", "payment.confirmed").await;
}

/// How many transactions wait for a block.
const CROWD: u32 = 50_000;

/// The n-th of them.
fn one_of_many(n: u32, script: &ScriptBuf) -> Transaction {
    let previous_output = OutPoint { txid: Txid::hash(&n.to_le_bytes()), vout: n };
    let (script_sig, witness) = (ScriptBuf::new(), Witness::new());
    Transaction {
        version: bitcoin::transaction::Version::TWO,
        lock_time: bitcoin::absolute::LockTime::ZERO,
        input: vec![TxIn { previous_output, script_sig, sequence: Sequence::MAX, witness }],
        output: vec![TxOut { value: Amount::from_sat(10_000), script_pubkey: script.clone() }],
    }
}

/// A node whose mempool is crowded. The last transaction pays this script.
fn crowd(proxy: &Proxy, script: &ScriptBuf) {
    let others = receiver(200).1;
    let script = |n| if n == CROWD - 1 { script } else { &others };
    let crowd = (0..CROWD).map(|n| one_of_many(n, script(n)));
    let crowd: Vec<_> =
        crowd.map(|tx| (tx.compute_txid().to_string(), serialize_hex(&tx))).collect();
    let ids: Value = crowd.iter().map(|(id, _)| id.clone()).collect();
    let crowd: HashMap<_, _> = crowd.into_iter().collect();
    proxy.answer(move |method, params| match method {
        "getrawmempool" => Some(ids.clone()),
        "getrawtransaction" => Some(json!(crowd.get(params[0].as_str()?)?)),
        "getmempoolentry" => Some(json!({
            "vsize": 100, "fees": { "base": 0.000_002_5 }, "bip125-replaceable": false,
        })),
        _ => None,
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mempool_of_50_000_delays_no_block_i9() {
    let bitcoind = node().await;
    let proxy = Proxy::start(bitcoind.url()).await;
    let (late, script) = receiver(1);
    crowd(&proxy, &script);
    // No word of the mempool comes, and the blocks go on.
    proxy.withhold(Some("getrawmempool"));
    let rig = follow(&bitcoind, proxy.url.clone(), StoreKind::Sqlite).await;
    expect(&rig, "crowded", "0.0001", &late).await;
    for (n, withheld) in [(2, "getrawtransaction"), (3, "getmempoolentry")] {
        let (address, script) = receiver(n);
        let id = format!("mined-{n}");
        expect(&rig, &id, "0.0001", &address).await;
        pay(&bitcoind, &script, "0.0001").await;
        bitcoind.mine(3).await.expect("blocks");
        rig.receiver.wait_for_event(&id, "payment.confirmed").await;
        assert!(!rig.receiver.told_of(&id).contains(&"payment.seen".to_owned()));
        assert_eq!(rig.receiver.told_of("crowded"), [""; 0]);
        // It gets further, and stands still there.
        proxy.withhold(Some(withheld));
    }
    proxy.withhold(None);
    let seen = rig.receiver.wait_for_event("crowded", "payment.seen").await;
    assert_eq!(seen.body["data"]["transfers"][0]["fee_rate"], "2.5");
}
