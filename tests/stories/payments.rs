//! How intents are paid, and how they are not.

use std::time::Duration;

use alloy_primitives::U256;
use confirmd::clock::Clock;
use serde_json::{Value, json};
use xtask::erc20::pay_through_contract;

use crate::proxy::Proxy;
use crate::rig::{Options, Rig, StoreKind, node};

/// Everything that one payment can do wrong or right, on each database.
async fn stories(store: StoreKind) -> Rig {
    Rig::start(Options { store, ..Options::default() }).await
}

fn reasons(orphans: &[Value], intent: &str) -> Vec<String> {
    let of_it = orphans.iter().filter(|orphan| orphan["intent"] == intent);
    of_it.map(|orphan| orphan["reason"].as_str().expect("a reason").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_intent_paid_in_three_transfers_is_told_step_by_step_i1_i6() {
    for store in [StoreKind::Sqlite, StoreKind::Postgres] {
        let rig = stories(store).await;
        let to = rig.fresh_address();
        let intent = rig.expect("order-1", "USDC", "10", to).await;
        assert_eq!(intent["rails"][0]["required_confirmations"], 3);
        rig.pay(to, 3).await;
        rig.pay(to, 3).await;
        rig.pay(to, 4).await;
        let detected = rig.receiver.wait_for_event("order-1", "payment.detected").await;
        assert_eq!(detected.body["data"]["confirmations"], 1);
        assert_eq!(detected.body["data"]["intent"]["rails"][0]["received"], "10");
        rig.mine(5).await;
        let confirmed = rig.receiver.wait_for_event("order-1", "payment.confirmed").await;
        assert_eq!(confirmed.body["data"]["confirmations"], 3);
        assert_eq!(confirmed.body["data"]["required_confirmations"], 3);
        assert_eq!(
            rig.receiver.told_of("order-1"),
            ["payment.partial", "payment.partial", "payment.detected", "payment.confirmed"]
        );
        let intent = rig.until_status("order-1", "confirmed").await;
        assert_eq!(intent["transfers_total"], 3);
        assert_eq!(intent["confirmations"], 3);
        assert!(intent["rails"][0]["overpaid_by"].is_null());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn over_under_tolerated_and_exact_amounts_settle_as_the_contract_says_i10() {
    let rig = stories(StoreKind::Sqlite).await;
    let units = |text: &str| text.parse::<U256>().expect("units");
    let one = units("1000000000000000000");

    let over = rig.fresh_address();
    rig.expect("over", "USDC", "1", over).await;
    rig.pay_units(over, one + U256::from(1)).await;
    let tolerated = rig.fresh_address();
    rig.expect_with("tolerated", "USDC", "1", tolerated, json!({ "tolerance": "0.001" })).await;
    rig.pay_units(tolerated, units("999000000000000000")).await;
    let short = rig.fresh_address();
    rig.expect_with("short", "USDC", "1", short, json!({ "tolerance": "0.001" })).await;
    rig.pay_units(short, units("998999999999999999")).await;
    let exact = rig.fresh_address();
    let rail = json!({ "network": "anvil", "asset": "USDC", "amount": "1",
        "address": exact.to_string(), "amount_policy": "exact" });
    let (code, _) = rig.post("/v1/intents", json!({ "id": "exact", "rails": [rail] })).await;
    assert_eq!(code, 201);
    rig.pay_units(exact, one + U256::from(1)).await;
    rig.mine(3).await;

    let over = rig.until_status("over", "confirmed").await;
    assert_eq!(over["rails"][0]["overpaid_by"], "0.000000000000000001");
    rig.until_status("tolerated", "confirmed").await;
    let short = rig.until_status("short", "partial").await;
    assert_eq!(short["rails"][0]["received"], "0.998999999999999999");
    assert_eq!(rig.intent("exact").await["status"], "pending");
    assert_eq!(reasons(&rig.orphans().await, "exact"), ["wrong_amount"]);
    rig.pay_units(rig_address(&rig.intent("exact").await), one).await;
    rig.mine(3).await;
    rig.until_status("exact", "confirmed").await;
}

fn rig_address(intent: &Value) -> alloy_primitives::Address {
    intent["rails"][0]["address"].as_str().expect("an address").parse().expect("an address")
}

#[tokio::test(flavor = "multi_thread")]
async fn late_second_cancelled_and_wrong_payments_become_orphans_with_their_reason() {
    for store in [StoreKind::Sqlite, StoreKind::Postgres] {
        let rig = stories(store).await;
        let [second, cancelled, wrong] = std::array::from_fn(|_| rig.fresh_address());
        rig.expect("second", "USDC", "1", second).await;
        rig.expect("cancelled", "USDC", "1", cancelled).await;
        rig.expect("wrong", "USDC", "1", wrong).await;
        rig.pay(second, 1).await;
        rig.mine(2).await;
        rig.until_status("second", "confirmed").await;
        rig.pay(second, 1).await;
        assert_eq!(rig.orphans().await.len(), 0, "none is reported before it is deep");
        let (code, _) = rig.post("/v1/intents/cancelled/cancel", json!({})).await;
        assert_eq!(code, 200);
        rig.pay(cancelled, 1).await;
        rig.dai().transfer(wrong, U256::from(1_000_000)).await.expect("pays");
        rig.mine(3).await;
        for (intent, reason) in
            [("second", "surplus"), ("cancelled", "cancelled"), ("wrong", "wrong_asset")]
        {
            let told = rig.receiver.wait_for_event(intent, "orphan.received").await;
            assert_eq!(told.body["data"]["orphan"]["reason"], reason);
            assert_eq!(reasons(&rig.orphans().await, intent), [reason]);
        }
        assert_eq!(rig.intent("wrong").await["status"], "pending");
        let (code, problem) = rig.post("/v1/intents/second/cancel", json!({})).await;
        assert_eq!((code, problem["code"].as_str()), (409, Some("money-seen")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_late_expires_once_the_chain_is_past_it_and_is_an_orphan_then() {
    let rig = stories(StoreKind::Sqlite).await;
    let (unpaid, partly) = (rig.fresh_address(), rig.fresh_address());
    let soon = confirmd::settlement::rfc3339(Clock::system().now().plus_ms(3_000));
    rig.expect_with("unpaid", "USDC", "2", unpaid, json!({ "expires_at": soon })).await;
    rig.expect_with("partly", "USDC", "2", partly, json!({ "expires_at": soon })).await;
    rig.pay(partly, 1).await;
    let overdue = rig
        .until("the expiry is past", async |rig| {
            let intent = rig.intent("unpaid").await;
            (intent["overdue"] == true).then_some(intent)
        })
        .await;
    assert_eq!(overdue["status"], "pending", "no block is later than the expiry yet");
    // anvil stamps blocks with the clock, in whole seconds.
    tokio::time::timeout(Duration::from_secs(10), async {
        while rig.intent("unpaid").await["status"] != "expired" {
            rig.mine(1).await;
        }
    })
    .await
    .expect("it expires");
    rig.until_status("partly", "expired").await;
    rig.receiver.wait_for_event("unpaid", "payment.expired").await;
    assert_eq!(reasons(&rig.orphans().await, "partly"), ["underpaid"]);
    rig.pay(unpaid, 2).await;
    rig.mine(3).await;
    let told = rig.receiver.wait_for_event("unpaid", "orphan.received").await;
    assert_eq!(told.body["data"]["orphan"]["reason"], "late");
    assert_eq!(rig.intent("unpaid").await["status"], "expired");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_used_again_once_its_intent_is_closed_and_not_before_i13_f22() {
    for store in [StoreKind::Sqlite, StoreKind::Postgres] {
        let rig = stories(store).await;
        let to = rig.fresh_address();
        // Paid before anybody asked for it: the look-back finds it.
        rig.pay(to, 5).await;
        rig.mine(1).await;
        rig.expect("first", "USDC", "5", to).await;
        let rail = json!({ "network": "anvil", "asset": "USDC", "amount": "5",
            "address": to.to_string() });
        let taken = json!({ "id": "second", "rails": [rail] });
        let (code, problem) = rig.post("/v1/intents", taken).await;
        assert_eq!((code, problem["code"].as_str()), (409, Some("address-in-use")));
        rig.receiver.wait_for_event("first", "payment.detected").await;
        rig.mine(2).await;
        rig.until_status("first", "confirmed").await;
        // The first one's transfer never counts for the second.
        rig.expect("second", "USDC", "5", to).await;
        rig.mine(2).await;
        assert_eq!(rig.intent("second").await["status"], "pending");
        rig.pay(to, 5).await;
        rig.mine(2).await;
        let second = rig.until_status("second", "confirmed").await;
        assert_eq!(second["transfers_total"], 1);
        assert_eq!(rig.intent("first").await["transfers_total"], 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn intents_made_while_their_payments_are_mined_miss_none_of_them_i13_f22() {
    let rig = stories(StoreKind::Sqlite).await;
    let count = 40;
    let addresses: Vec<_> = (0..count).map(|_| rig.fresh_address()).collect();
    let usdc = rig.usdc();
    let paying = async {
        for to in &addresses {
            usdc.transfer(*to, U256::from(10).pow(U256::from(18))).await.expect("pays");
        }
    };
    let asking = async {
        for (number, to) in addresses.iter().enumerate() {
            rig.expect(&format!("race-{number}"), "USDC", "1", *to).await;
        }
    };
    tokio::join!(paying, asking);
    rig.mine(3).await;
    for number in 0..count {
        let intent = rig.until_status(&format!("race-{number}"), "confirmed").await;
        assert_eq!(intent["transfers_total"], 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_arrived_is_credited_i11_f24() {
    for verify in ["receipts", "logs"] {
        let rig = Rig::start(Options { verify, ..Options::default() }).await;
        let [reverted, taxed, zero, coin] = std::array::from_fn(|_| rig.fresh_address());
        rig.expect("reverted", "DAI", "1", reverted).await;
        rig.expect("taxed", "TAX", "1", taxed).await;
        rig.expect("zero", "USDC", "1", zero).await;
        rig.expect("coin", "native", "0.5", coin).await;
        let million = U256::from(1_000_000);
        rig.dai().set_frozen(true).await.expect("freezes");
        let failed = rig.dai().transfer(reverted, million).await.expect("is mined");
        assert!(!rig.anvil().mined(failed).await.expect("a receipt").succeeded());
        rig.taxed().transfer(taxed, million).await.expect("pays");
        rig.pay_units(zero, U256::ZERO).await;
        let half = U256::from(5) * U256::from(10).pow(U256::from(17));
        rig.anvil().pay(rig.anvil().accounts()[1], coin, half).await.expect("pays");
        rig.mine(3).await;

        rig.until_status("coin", "confirmed").await;
        let taxed = rig.until_status("taxed", "partial").await;
        assert_eq!(taxed["rails"][0]["received"], "0.99");
        for nothing in ["reverted", "zero"] {
            let intent = rig.intent(nothing).await;
            assert_eq!(
                (&intent["status"], &intent["transfers_total"]),
                (&json!("pending"), &json!(0))
            );
        }
        assert_eq!(rig.orphans().await, Vec::<Value>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_native_coin_is_told_where_what_contracts_send_is_not_seen_f24() {
    const TRACES: &[&str] = &["trace_block", "debug_traceBlockByHash", "debug_traceBlockByNumber"];
    for (lacks, seen) in [(TRACES, false), (&[][..], true)] {
        let anvil = node(32).await;
        let proxy = Proxy::without(lacks, anvil.url()).await;
        let providers = vec![("node", proxy.url.clone())];
        let rig = Rig::on(anvil, Options { providers, ..Options::default() }).await;
        let [first, second, token] = std::array::from_fn(|_| rig.fresh_address());
        rig.expect("first", "native", "1", first).await;
        let ether = U256::from(10).pow(U256::from(18));
        anvil.pay(anvil.accounts()[0], first, ether).await.expect("pays");
        rig.mine(2).await;
        rig.until_status("first", "confirmed").await;

        let intent = rig.expect("second", "native", "1", second).await;
        let note = &intent["notes"][0];
        let expected = if seen {
            json!([null, null])
        } else {
            json!(["contract-payments-unseen", "/rails/0/asset"])
        };
        assert_eq!(json!([note["code"], note["pointer"]]), expected, "{intent}");
        let intent = rig.expect("token", "USDC", "1", token).await;
        assert_eq!(intent.get("notes"), None, "{intent}");
        pay_through_contract(anvil, second, ether).await.expect("pays");
        rig.mine(2).await;
        if seen {
            rig.until_status("second", "confirmed").await;
        } else {
            assert_eq!(rig.intent("second").await["status"], "pending");
        }
    }
}
