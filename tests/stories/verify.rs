//! A payment that a payer claims, and a look at the chain for one who waits.

use alloy_primitives::{Address, B256, U256};
use confirmd::clock::Clock;
use confirmd::settlement::rfc3339;
use serde_json::{Value, json};
use xtask::fee_proxy::FeeProxies;

use crate::proxy::Proxy;
use crate::rig::{Options, Rig, StoreKind, node};

const OURS: [u8; 8] = [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef];
const ANOTHER: [u8; 8] = [0xfe, 0xdc, 0xba, 0x98, 0x76, 0x54, 0x32, 0x10];

async fn verify(rig: &Rig, intent: &str, transaction: B256) -> Value {
    let body = json!({ "transaction": transaction.to_string() });
    let (code, answer) = rig.post(&format!("/v1/intents/{intent}/verify"), body).await;
    assert_eq!(code, 200, "{answer}");
    answer
}

async fn expect(rig: &Rig, id: &str, to: Address, more: Value) {
    let mut rail = json!({ "network": "anvil", "asset": "USDC", "amount": "2", "address": to });
    for (name, value) in more.as_object().expect("an object") {
        rail[name] = value.clone();
    }
    let (code, made) = rig.post("/v1/intents", json!({ "id": id, "rails": [rail] })).await;
    assert_eq!(code, 201, "{made}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claimed_payment_is_judged_and_the_first_reason_told_i11() {
    for store in [StoreKind::Sqlite, StoreKind::Postgres] {
        let anvil = node(32).await;
        let proxies = FeeProxies::deploy(anvil).await.expect("deploys");
        let fee_proxies = Some([proxies.erc20, proxies.native]);
        let rig = Rig::on(anvil, Options { store, fee_proxies, ..Options::default() }).await;
        let [exact, shared, gone, elsewhere] = std::array::from_fn(|_| rig.fresh_address());
        expect(&rig, "exact", exact, json!({ "amount_policy": "exact" })).await;
        let reference = alloy_primitives::hex::encode(OURS);
        expect(&rig, "named", shared, json!({ "reference": reference })).await;
        let over = rfc3339(Clock::system().now().plus_ms(1_500));
        rig.expect_with("over", "USDC", "2", gone, json!({ "expires_at": over })).await;
        let (code, _) = rig.post("/v1/intents/over/cancel", json!({})).await;
        assert_eq!(code, 200);

        let whole = |usdc: u64| U256::from(usdc) * U256::from(10).pow(U256::from(18));
        let named = async |reference: [u8; 8]| {
            let paid = proxies.pay_token(&rig.usdc(), shared, whole(2), &reference).await;
            paid.expect("pays")
        };
        let less = rig.pay(exact, 1).await;
        let more = rig.pay(exact, 3).await;
        let pays = rig.pay(exact, 2).await;
        let again = rig.pay(exact, 2).await;
        let other_token = rig.dai().transfer(exact, U256::from(1_000_000)).await.expect("pays");
        let wrong_name = named(ANOTHER).await;
        let right_name = named(OURS).await;
        let late = rig.pay(gone, 2).await;
        let stranger = rig.pay(elsewhere, 2).await;
        rig.dai().set_frozen(true).await.expect("freezes");
        let failed = rig.dai().transfer(exact, U256::from(1_000_000)).await.expect("is mined");
        rig.mine(3).await;
        rig.until_status("exact", "confirmed").await;
        rig.until_status("named", "confirmed").await;

        let cases = [
            ("exact", pays, None),
            ("named", right_name, None),
            ("exact", B256::repeat_byte(9), Some("TRANSACTION_NOT_FOUND")),
            ("exact", failed, Some("TRANSACTION_FAILED")),
            ("exact", stranger, Some("INVALID_DESTINATION")),
            ("exact", other_token, Some("INVALID_TOKEN")),
            ("named", wrong_name, Some("MEMO_MISMATCH")),
            ("exact", less, Some("AMOUNT_MISMATCH")),
            ("exact", more, Some("AMOUNT_MISMATCH")),
            ("exact", again, Some("ALREADY_USED")),
            ("over", late, Some("EXPIRED")),
        ];
        for (intent, transaction, reason) in cases {
            let answer = verify(&rig, intent, transaction).await;
            assert_eq!(answer["reason"].as_str(), reason, "{intent} {transaction}: {answer}");
            assert_eq!(answer["matches"], reason.is_none(), "{answer}");
            assert_eq!(answer["required_confirmations"], 3, "{answer}");
            let is_found = reason != Some("TRANSACTION_NOT_FOUND");
            assert_eq!(answer["confirmations"], if is_found { 3 } else { 0 }, "{answer}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_about_nothing_or_with_silent_providers_is_refused_in_words_i14() {
    let anvil = node(32).await;
    let proxy = Proxy::start(anvil.url()).await;
    let providers = vec![("node", proxy.url.clone())];
    let rig = Rig::on(anvil, Options { providers, ..Options::default() }).await;
    rig.expect("waiting", "USDC", "1", rig.fresh_address()).await;
    for (body, pointer) in [
        (json!({}), "/transaction"),
        (json!({ "transaction": "" }), "/transaction"),
        (json!({ "transaction": "no id" }), "/transaction"),
        (json!({ "transaction": "0x1", "more": 1 }), "/more"),
    ] {
        let (code, problem) = rig.post("/v1/intents/waiting/verify", body).await;
        assert_eq!((code, &problem["errors"][0]["pointer"]), (422, &json!(pointer)), "{problem}");
    }
    let (code, _) = rig.post("/v1/intents/nobody/verify", json!({ "transaction": "0x1" })).await;
    assert_eq!(code, 404);
    proxy.serve("http://127.0.0.1:9".to_owned());
    let body = json!({ "transaction": B256::repeat_byte(1).to_string() });
    let (code, problem) = rig.post("/v1/intents/waiting/verify", body).await;
    assert_eq!((code, problem["code"].as_str()), (503, Some("providers-unavailable")), "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_at_the_chain_shows_what_stands_there_now_and_one_a_while_is_enough() {
    let rig = Rig::start(Options::default()).await;
    let to = rig.fresh_address();
    rig.expect("watched", "USDC", "5", to).await;
    let two = U256::from(2) * U256::from(10).pow(U256::from(18));
    rig.usdc().transfer(to, two).await.expect("pays");
    let (code, looked) = rig.post("/v1/intents/watched/check", json!({})).await;
    assert_eq!(code, 200, "{looked}");
    let shown = json!({
        "status": "partial",
        "received": "2",
        "expected": "5",
        "confirmations": 1,
        "required_confirmations": 3,
        "message": "2 of 5 USDC arrived.",
    });
    assert_eq!(looked, shown);
    rig.pay(to, 3).await;
    rig.mine(2).await;
    rig.until_status("watched", "confirmed").await;
    // Within five seconds it answers what is known by now.
    let (_, known) = rig.post("/v1/intents/watched/check", json!({})).await;
    assert_eq!(known["message"], "5 USDC arrived, and it is confirmed.", "{known}");
    let (code, _) = rig.post("/v1/intents/nobody/check", json!({})).await;
    assert_eq!(code, 404);
}
