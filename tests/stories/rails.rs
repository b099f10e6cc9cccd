//! Addresses that intents share, rails that are re-pointed, and intents that can be paid on two
//! networks.

use std::collections::BTreeSet;

use alloy_primitives::{Address, U256};
use serde_json::{Value, json};
use xtask::anvil::{Anvil, AnvilOptions};
use xtask::erc20::Erc20;
use xtask::fee_proxy::FeeProxies;

use crate::rig::{Options, Rig, StoreKind, node};

const BOTH: [StoreKind; 2] = [StoreKind::Sqlite, StoreKind::Postgres];
const FIRST: [u8; 8] = [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef];
const SECOND: [u8; 8] = [0xfe, 0xdc, 0xba, 0x98, 0x76, 0x54, 0x32, 0x10];

fn whole(usdc: u64) -> U256 {
    U256::from(usdc) * U256::from(10).pow(U256::from(18))
}

fn rail(asset: &str, amount: &str, to: Address, more: &Value) -> Value {
    let mut rail =
        json!({ "network": "anvil", "asset": asset, "amount": amount, "address": to.to_string() });
    for (name, value) in more.as_object().expect("an object") {
        rail[name] = value.clone();
    }
    rail
}

/// Asks for an intent; answers status code and problem code.
async fn ask(rig: &Rig, id: &str, rail: Value) -> (u16, Option<String>) {
    let (code, body) = rig.post("/v1/intents", json!({ "id": id, "rails": [rail] })).await;
    (code, body["code"].as_str().map(str::to_owned))
}

/// The reasons of an intent's orphans, in alphabetical order.
async fn reasons(rig: &Rig, intent: &str) -> Vec<String> {
    let orphans = rig.orphans().await;
    let of_it = orphans.iter().filter(|orphan| orphan["intent"] == intent);
    let reason = |orphan: &Value| orphan["reason"].as_str().expect("a reason").to_owned();
    let mut reasons: Vec<_> = of_it.map(reason).collect();
    reasons.sort();
    reasons
}

#[tokio::test(flavor = "multi_thread")]
async fn two_intents_on_one_address_are_told_apart_by_their_references() {
    for store in BOTH {
        let anvil = node(32).await;
        let proxies = FeeProxies::deploy(anvil).await.expect("deploys");
        let fee_proxies = Some([proxies.erc20, proxies.native]);
        let rig = Rig::on(anvil, Options { store, fee_proxies, ..Options::default() }).await;
        let shop = rig.fresh_address();
        let reference =
            |bytes: [u8; 8]| json!({ "reference": alloy_primitives::hex::encode(bytes) });
        let (usdc, dai) = (rig.usdc(), rig.dai());

        // The payment came first, while the address was watched for another.
        let second = rail("USDC", "5", shop, &reference(SECOND));
        assert_eq!(ask(&rig, "second", second.clone()).await.0, 201);
        proxies.pay_token(&usdc, shop, whole(5), &FIRST).await.expect("pays");
        rig.until_scanned().await;
        let first = rail("USDC", "5", shop, &reference(FIRST));
        assert_eq!(ask(&rig, "first", first.clone()).await.0, 201);
        rig.mine(3).await;
        let paid = rig.until_status("first", "confirmed").await;
        assert_eq!(paid["rails"][0]["reference"], "0123456789abcdef");
        assert_eq!(rig.intent("second").await["status"], "pending");

        // Taken references, and an address that has them is nobody's own.
        let taken = Some("address-in-use".to_owned());
        assert_eq!(ask(&rig, "third", second).await, (409, taken.clone()));
        assert_eq!(ask(&rig, "own", rail("USDC", "5", shop, &json!({}))).await, (409, taken));

        // A right reference with a wrong token, to a wrong receiver, and paid twice.
        proxies.pay_token(&dai, shop, U256::from(5_000_000), &SECOND).await.expect("pays");
        proxies.pay_token(&usdc, rig.fresh_address(), whole(5), &SECOND).await.expect("pays");
        proxies.pay_token(&usdc, shop, whole(5), &FIRST).await.expect("pays");
        usdc.transfer(shop, whole(5)).await.expect("pays");
        rig.until_scanned().await;
        rig.mine(3).await;
        rig.until("three orphans", async |rig| (rig.orphans().await.len() == 3).then_some(()))
            .await;
        assert_eq!(reasons(&rig, "first").await, ["surplus"]);
        assert_eq!(reasons(&rig, "second").await, ["ambiguous", "wrong_asset"]);
        assert_eq!(rig.intent("second").await["status"], "pending");
        proxies.pay_token(&usdc, shop, whole(5), &SECOND).await.expect("pays");
        rig.until_scanned().await;
        rig.mine(3).await;
        rig.until_status("second", "confirmed").await;

        // The native coin has a proxy of its own.
        let coin = rail("native", "0.5", shop, &reference(FIRST));
        assert_eq!(ask(&rig, "coin", coin).await.0, 201);
        let half = whole(1) / U256::from(2);
        proxies.pay_coin(shop, half, &FIRST).await.expect("pays");
        rig.until_scanned().await;
        rig.mine(3).await;
        let coin = rig.until_status("coin", "confirmed").await;
        assert_eq!(coin["transfers_total"], 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_intents_on_one_address_are_told_apart_by_their_amounts() {
    for store in BOTH {
        let rig = Rig::start(Options { store, ..Options::default() }).await;
        let shop = rig.fresh_address();
        let exact = |amount: &str| rail("USDC", amount, shop, &json!({ "match": "exact_amount" }));
        assert_eq!(ask(&rig, "five", exact("5")).await.0, 201);
        assert_eq!(ask(&rig, "seven", exact("7")).await.0, 201);
        let taken = Some("address-in-use".to_owned());
        assert_eq!(ask(&rig, "five-again", exact("5.00")).await, (409, taken.clone()));
        assert_eq!(ask(&rig, "own", rail("USDC", "9", shop, &json!({}))).await, (409, taken));

        // Nobody waits for six, so nobody has it; for eight somebody soon will.
        rig.pay(shop, 6).await;
        rig.pay(shop, 8).await;
        assert_eq!(ask(&rig, "eight", exact("8")).await.0, 201);
        rig.pay(shop, 7).await;
        rig.mine(3).await;
        for paid in ["seven", "eight"] {
            let intent = rig.until_status(paid, "confirmed").await;
            assert_eq!(intent["rails"][0]["received"], intent["rails"][0]["amount"], "{intent}");
        }
        rig.until("an orphan", async |rig| (!rig.orphans().await.is_empty()).then_some(())).await;
        assert_eq!(reasons(&rig, "seven").await, ["ambiguous"]);
        assert_eq!(rig.intent("five").await["status"], "pending");

        // Now one candidate is left, and its amount may be asked for again by another.
        rig.pay(shop, 4).await;
        rig.pay(shop, 7).await;
        rig.mine(3).await;
        rig.until("three orphans", async |rig| (rig.orphans().await.len() == 3).then_some(()))
            .await;
        assert_eq!(reasons(&rig, "five").await, ["wrong_amount"]);
        assert_eq!(reasons(&rig, "seven").await, ["ambiguous", "surplus"]);
        assert_eq!(ask(&rig, "seven-again", exact("7")).await.0, 201);
        rig.mine(1).await;
        assert_eq!(rig.intent("seven-again").await["status"], "pending");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_re_pointed_intent_is_paid_at_its_new_address_and_the_old_one_is_free() {
    for store in BOTH {
        let rig = Rig::start(Options { store, ..Options::default() }).await;
        let [old, new] = std::array::from_fn(|_| rig.fresh_address());
        let create = json!({ "id": "order", "rails": [rail("USDC", "5", old, &json!({}))] });
        assert_eq!(rig.post("/v1/intents", create.clone()).await.0, 201);
        // Paid at the new address before the intent pointed there: the look-back finds it.
        rig.pay(new, 2).await;
        rig.mine(1).await;
        let change = json!({ "rails": [rail("USDC", "5", new, &json!({}))],
            "metadata": { "cart": 7 } });
        let (code, changed) = rig.patch("/v1/intents/order", change.clone()).await;
        assert_eq!(code, 200, "{changed}");
        assert_eq!(changed["rails"].as_array().expect("rails").len(), 1);
        assert_eq!(changed["rails"][0]["address"], new.to_string());
        assert_eq!(changed["metadata"], json!({ "cart": 7 }));
        // Both requests may be repeated.
        let (code, again) = rig.patch("/v1/intents/order", change).await;
        assert_eq!((code, &again["rails"][0]["rail_id"]), (200, &json!("r2")));
        let (code, there) = rig.post("/v1/intents", create).await;
        assert_eq!((code, &there["rails"][0]["address"]), (200, &json!(new.to_string())));

        rig.receiver.wait_for_event("order", "payment.partial").await;
        // Blocks are timed in whole seconds: the next one is surely later than the change.
        rig.anvil().call::<Value>("evm_increaseTime", json!([2])).await.expect("time passes");
        rig.pay(old, 5).await;
        rig.pay(new, 3).await;
        rig.mine(3).await;
        rig.until_status("order", "confirmed").await;
        let told = rig.receiver.wait_for_event("order", "orphan.received").await;
        assert_eq!(told.body["data"]["orphan"]["reason"], "other_rail");
        assert_eq!(told.body["data"]["orphan"]["to"], old.to_string());

        let (code, problem) =
            rig.patch("/v1/intents/order", json!({ "metadata": { "cart": 8 } })).await;
        assert_eq!((code, problem["code"].as_str()), (409, Some("money-seen")));
        rig.expect("next", "USDC", "5", old).await;
        rig.mine(1).await;
        assert_eq!(rig.intent("next").await["status"], "pending");
        rig.pay(old, 5).await;
        rig.mine(3).await;
        rig.until_status("next", "confirmed").await;
    }
}

/// A second node with a token, as a registry file and a section of the configuration.
async fn second_network() -> (&'static Anvil, Erc20<'static>, String, String) {
    let options = AnvilOptions { chain_id: 31_338, ..AnvilOptions::default() };
    let anvil: &'static Anvil = Box::leak(Box::new(Anvil::start(options).await.expect("starts")));
    let token = Erc20::deploy(anvil, "USD Coin", "USDC", U256::MAX >> 1).await.expect("deploys");
    let registry = format!(
        "id = \"beside\"\nname = \"Beside\"\nshort_name = \"BESIDE\"\nfamily = \"evm\"\n\
         caip2 = \"eip155:31338\"\nchain_id = 31338\nblock_time = \"1s\"\n\
         confirmations = {{ default = 3, floor = 1 }}\nfinality = {{ tag = \"finalized\" }}\n\
         receipts = \"ethereum\"\nverify_from = 0\n\
         native = {{ symbol = \"ETH\", name = \"Ether\", decimals = 18 }}\n\
         [[tokens]]\nsymbol = \"USDC\"\nname = \"USDC\"\naddress = \"{}\"\ndecimals = 18\n",
        token.address
    );
    let section = format!(
        "[networks.beside]\nthreshold = 3\nverify = \"receipts\"\npoll_interval = \"50ms\"\n\
         [[networks.beside.providers]]\nname = \"node\"\nurl = \"{}\"\n",
        anvil.url()
    );
    (anvil, token, registry, section)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_networks_settle_an_intent_once_and_neither_loses_the_others_word() {
    for store in BOTH {
        let (beside, token, registry, more) = second_network().await;
        let options = Options { store, more, networks: vec![registry], ..Options::default() };
        let rig = Rig::start(options).await;
        rig.until("both networks are followed", async |rig| {
            let (_, status) = rig.get("/scanner/status").await;
            let networks = status["networks"].as_array().expect("networks");
            networks.iter().all(|one| one["state"] == "following").then_some(())
        })
        .await;
        let count = 24;
        let addresses: Vec<_> = (0..count).map(|_| rig.fresh_address()).collect();
        for (number, to) in addresses.iter().enumerate() {
            let mut there = rail("USDC", "1", *to, &json!({}));
            there["network"] = json!("beside");
            let rails = [rail("USDC", "1", *to, &json!({})), there];
            let body = json!({ "id": format!("race-{number}"), "rails": rails });
            assert_eq!(rig.post("/v1/intents", body).await.0, 201);
        }
        // Every intent is paid on both, as nearly at once as can be.
        let usdc = rig.usdc();
        let pay = async |token: &Erc20<'_>, anvil: &Anvil| {
            for to in &addresses {
                token.transfer(*to, whole(1)).await.expect("pays");
            }
            anvil.mine(4).await.expect("mines");
        };
        tokio::join!(pay(&usdc, rig.anvil()), pay(&token, beside));
        rig.until("every second payment is an orphan", async |rig| {
            let orphans = all_orphans(rig).await;
            (orphans.len() == count).then_some(())
        })
        .await;
        let mut intents = BTreeSet::new();
        for orphan in all_orphans(&rig).await {
            assert_eq!(orphan["reason"], "other_rail", "{orphan}");
            assert!(intents.insert(orphan["intent"].to_string()), "one each: {orphan}");
        }
        for number in 0..count {
            let id = format!("race-{number}");
            let intent = rig.until_status(&id, "confirmed").await;
            assert_eq!(intent["transfers_total"], 2, "{intent}");
            rig.receiver.wait_for_event(&id, "payment.confirmed").await;
            rig.receiver.wait_for_event(&id, "orphan.received").await;
            let told = rig.receiver.told_of(&id);
            let confirmed = told.iter().filter(|kind| *kind == "payment.confirmed").count();
            assert_eq!(confirmed, 1, "{id}: {told:?}");
            assert!(!told.iter().any(|kind| kind == "payment.reverted"), "{id}: {told:?}");
        }
    }
}

/// Those that are reported, of every page.
async fn all_orphans(rig: &Rig) -> Vec<Value> {
    let (_, orphans) = rig.get("/v1/orphans?limit=200").await;
    let orphans = orphans["data"].as_array().expect("a list").iter();
    orphans.filter(|orphan| orphan["reported"] == true).cloned().collect()
}
