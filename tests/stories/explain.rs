//! Why a transaction did or did not settle an intent.

use alloy_primitives::{B256, U256};
use confirmd::clock::Clock;
use confirmd::settlement::NetworkId;
use confirmd::store::Store;
use confirmd_chain::Height;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use xtask::anvil::{Anvil, AnvilOptions};

use crate::proxy::Proxy;
use crate::rig::{Options, Rig, node};

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
            let scanned = &answer["scanned"];
            assert_eq!(
                (&scanned["proof"], &scanned["provider"]),
                (&json!("commitment"), &json!("node"))
            );
            assert!(scanned["examined"].as_u64() >= scanned["matched"].as_u64(), "{scanned}");
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

/// Asks until the past is looked through.
async fn explained(rig: &Rig, intent: &str, transaction: B256) -> Value {
    rig.until("blocks from before are looked at", async |rig| {
        let answer = explain(rig, intent, transaction).await;
        let going_on = answer["reason"].to_string().contains("still being looked at");
        (!going_on).then_some(answer)
    })
    .await
}

fn seconds_now() -> u64 {
    u64::try_from(Clock::system().now().0 / 1_000).expect("after 1970")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_paid_long_before_the_intent_is_explained_by_the_look_back_i13() {
    let genesis_timestamp = Some(seconds_now() - 7_200);
    let options = AnvilOptions { genesis_timestamp, ..AnvilOptions::default() };
    let anvil = Box::leak(Box::new(Anvil::start(options).await.expect("anvil starts")));
    let rig = Rig::on(anvil, Options::default()).await;
    let to = rig.fresh_address();
    let transaction = rig.pay(to, 1).await;
    rig.expect("later", "USDC", "1", to).await;
    let answer = explained(&rig, "later", transaction).await;
    assert_eq!(answer["verdict"], "before_look_back", "{answer}");
    assert_eq!(rig.intent("later").await["status"], "pending");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_after_the_late_window_is_explained_by_it() {
    let mut rig = Rig::start(Options { late_window: "1s", ..Options::default() }).await;
    let to = rig.fresh_address();
    let expires_at = confirmd::settlement::rfc3339(Clock::system().now().plus_ms(2_000));
    rig.expect_with("closed", "USDC", "1", to, json!({ "expires_at": expires_at })).await;
    let (code, cancelled) = rig.post("/v1/intents/closed/cancel", json!({})).await;
    assert_eq!(code, 200, "{cancelled}");
    rig.mine(1).await;
    rig.stop().await;
    end_watching(&rig).await;
    rig.restart().await;
    rig.anvil().set_next_block_timestamp(seconds_now() + 60).await.expect("sets");
    let transaction = rig.pay(to, 1).await;
    let answer = explained(&rig, "closed", transaction).await;
    assert_eq!(answer["verdict"], "after_late_window", "{answer}");
    assert!(answer["scanned"].is_object(), "{answer}");
}

/// What the follower does once a minute, as of a time at which every late window is over.
async fn end_watching(rig: &Rig) {
    let url = rig.settings().config.store.url.expose_secret().to_owned();
    let store = Store::open(&url).await.expect("opens");
    let network = NetworkId::from("anvil");
    let mut tx = store.begin().await.expect("begins");
    let later = Clock::system().now().plus_ms(60_000);
    let ended = tx.end_watching(&network, later, Height(u64::MAX >> 1)).await.expect("ends");
    assert_eq!(ended.len(), 1);
    tx.commit().await.expect("commits");
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_above_the_cursor_is_explained_as_not_scanned_i3() {
    let anvil = node(32).await;
    let proxy = Proxy::start(anvil.url()).await;
    let providers = vec![("node", proxy.url.clone())];
    let rig = Rig::on(anvil, Options { providers, ..Options::default() }).await;
    let to = rig.fresh_address();
    rig.expect("waiting", "USDC", "1", to).await;
    rig.mine(1).await;
    let mut old = None;
    proxy.lie(move |method, params, result| {
        if method == "eth_getBlockByNumber" && params[0] == "latest" {
            *result = old.get_or_insert_with(|| result.clone()).clone();
        }
    });
    // From the first look on its head stays where it is.
    rig.until("the provider is behind", async |rig| {
        let (_, probe) = rig.post("/v1/networks/anvil/probe", json!({})).await;
        probe["providers"][0]["head"].is_number().then_some(())
    })
    .await;
    let units = U256::from(10).pow(U256::from(18));
    let transaction = rig.usdc().transfer(to, units).await.expect("pays");
    let answer = explain(&rig, "waiting", transaction).await;
    assert_eq!(answer["verdict"], "not_scanned", "{answer}");
    assert_eq!((&answer["scanned"], answer["block"].is_object()), (&Value::Null, true));
    proxy.lie(|_, _, _| {});
    rig.mine(2).await;
    rig.until_status("waiting", "confirmed").await;
    assert_eq!(explain(&rig, "waiting", transaction).await["verdict"], "counts");
}

/// What `verify = "logs"` is documented not to catch: one log missing among others.
#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_a_provider_hid_is_shown_as_unexplained_f3() {
    let anvil = node(32).await;
    let proxy = Proxy::start(anvil.url()).await;
    let providers = vec![("node", proxy.url.clone())];
    let rig = Rig::on(anvil, Options { verify: "logs", providers, ..Options::default() }).await;
    let [to, stranger] = std::array::from_fn(|_| rig.fresh_address());
    rig.expect("robbed", "DAI", "1", to).await;
    let hidden = to.into_word().to_string();
    proxy.lie(move |method, _, result| {
        if let ("eth_getLogs", Some(logs)) = (method, result.as_array_mut()) {
            logs.retain(|log| log["topics"][2] != hidden.as_str());
        }
    });
    let units = U256::from(1_000_000);
    let sent = rig.dai().transfer_many(&[(to, units), (stranger, units)]).await.expect("pays");
    rig.mine(2).await;
    proxy.lie(|_, _, _| {});
    let answer = explained(&rig, "robbed", sent).await;
    assert_eq!(answer["verdict"], "unexplained", "{answer}");
    assert_eq!(answer["scanned"]["proof"], "logs", "{answer}");
}
