//! Solana, through the same daemon: memos, references, finality, claims, and two other chains
//! beside it.

use serde_json::{Value, json};
use solana_keypair::{Keypair, Signer};
use solana_pubkey::Pubkey;
use xtask::surfpool::{
    Commitment, Fee, MemoProgram, Mint, MintOptions, SOL, Surfpool, SurfpoolOptions, TokenProgram,
    memo, pay_lamports, referring,
};

use crate::proxy::Proxy;
use crate::rig::{Options, Rig, StoreKind};

pub(crate) const USDC: u64 = 1_000_000;
/// In the place of the registry's own local cluster.
pub(crate) const ID: &str = "solana-localnet";

/// A cluster of one node with three tokens, of which one takes a hundredth of what moves, somebody
/// who has them, and a daemon that follows it beside its own network, through a proxy.
pub(crate) struct Scene {
    pub(crate) node: &'static Surfpool,
    pub(crate) proxy: Proxy,
    usdc: Mint<'static>,
    other: Mint<'static>,
    taxed: Mint<'static>,
    buyer: Keypair,
    pub(crate) rig: Rig,
}

/// Starts a node. It lives as long as the test's process.
pub(crate) async fn node() -> &'static Surfpool {
    let node = Surfpool::start(SurfpoolOptions::default()).await.expect("surfpool starts");
    Box::leak(Box::new(node))
}

impl Scene {
    /// On a node of its own, with more TOML for the daemon's configuration.
    pub(crate) async fn set(store: StoreKind, more: &str) -> Self {
        Self::on(node().await, store, more).await
    }

    /// The same, on this node. TOML that begins with a provider gives the cluster a second one.
    pub(crate) async fn on(node: &'static Surfpool, store: StoreKind, more: &str) -> Self {
        let usdc = Mint::create(node, MintOptions::default()).await.expect("a mint");
        let other = Mint::create(node, MintOptions::default()).await.expect("a mint");
        let fee = Some(Fee { basis_points: 100, maximum: u64::MAX });
        let taxed = MintOptions { program: TokenProgram::Token2022, fee, ..MintOptions::default() };
        let taxed = Mint::create(node, taxed).await.expect("a mint");
        let buyer = Keypair::new();
        node.airdrop(&buyer.pubkey(), 10 * SOL).await.expect("coins");
        for mint in [&usdc, &other, &taxed] {
            mint.mint_to(&buyer.pubkey(), 1_000 * USDC).await.expect("tokens");
        }
        node.mine(2).await.expect("slots");
        let proxy = Proxy::start(node.url()).await;
        let networks = vec![registry([&usdc, &other, &taxed])];
        let more = format!(
            "[networks.{ID}]\npoll_interval = \"100ms\"\nthreshold = 3\n\
             [[networks.{ID}.providers]]\nname = \"node\"\nurl = \"{}\"\n{more}",
            proxy.url
        );
        let rig = Rig::start(Options { store, more, networks, ..Options::default() }).await;
        Self { node, proxy, usdc, other, taxed, buyer, rig }
    }

    /// Asks for an intent with one rail on the cluster; answers it.
    pub(crate) async fn expect(
        &self,
        id: &str,
        to: &Pubkey,
        asset: &str,
        amount: &str,
        more: Value,
    ) -> Value {
        let mut rail = json!({ "network": ID, "asset": asset, "amount": amount,
            "address": to.to_string() });
        let mut order = json!({ "id": id, "endpoints": ["backend"] });
        for (name, value) in more.as_object().expect("an object") {
            let whole = if name == "confirmations" { &mut order } else { &mut rail };
            whole[name] = value.clone();
        }
        order["rails"] = json!([rail]);
        let (code, made) = self.rig.post("/v1/intents", order).await;
        assert_eq!(code, 201, "{made}");
        made
    }

    /// Pays USDC with a memo behind the transfer.
    pub(crate) async fn pay(&self, to: &Pubkey, units: u64, text: &str) -> String {
        let transfer = self.usdc.transferring(&self.buyer.pubkey(), to, units);
        let instructions = [self.usdc.opening(to), transfer, memo(MemoProgram::V2, text)];
        self.node.send(&instructions, &[&self.buyer]).await.expect("pays")
    }

    /// From this slot on, the cluster shows another branch: other blocks, without this transaction,
    /// and the slot after it is skipped.
    async fn fork(&self, slot: u64, lost: String) {
        let header = json!({ "commitment": "confirmed", "transactionDetails": "none" });
        let block: Value =
            self.node.call("getBlock", json!([slot, header])).await.expect("the slot's block");
        let stands_on = other(block["blockhash"].as_str().expect("a hash"));
        self.proxy.lie(move |method, params, result| match method {
            "getBlocksWithLimit" => {
                let slots = result.as_array_mut().expect("slots");
                slots.retain(|shown| *shown != json!(slot + 1));
            }
            "getTransaction" if params[0] == lost.as_str() => *result = Value::Null,
            "getBlock" if params[0] == json!(slot + 1) => *result = Value::Null,
            "getBlock" if params[0].as_u64() >= Some(slot) && result.is_object() => {
                let hash = |name: &str| other(result[name].as_str().expect("a hash"));
                let (own, parent) = (hash("blockhash"), hash("previousBlockhash"));
                result["blockhash"] = json!(own);
                if result["parentSlot"].as_u64() > Some(slot) {
                    result["previousBlockhash"] = json!(parent);
                    result["blockHeight"] = json!(result["blockHeight"].as_u64().map(|n| n - 1));
                }
                if result["parentSlot"] == json!(slot + 1) {
                    result["parentSlot"] = json!(slot);
                    result["previousBlockhash"] = json!(stands_on);
                }
                if let Some(shown) = result["transactions"].as_array_mut() {
                    shown.retain(|shown| shown["transaction"]["signatures"][0] != lost.as_str());
                }
            }
            _ => {}
        });
    }

    /// Closes so many slots.
    pub(crate) async fn mine(&self, slots: u64) {
        self.node.mine(slots).await.expect("slots");
    }

    /// The newest slot that is scanned.
    pub(crate) async fn scanned(&self) -> Option<u64> {
        let (_, status) = self.rig.get("/scanner/status").await;
        let mut networks = status["networks"].as_array().into_iter().flatten();
        networks.find(|network| network["network"] == ID)?["scanned"].as_u64()
    }

    /// Waits until what is in confirmed slots is scanned.
    pub(crate) async fn until_scanned(&self) {
        let newest = self.node.slot(Commitment::Confirmed).await.expect("a slot");
        self.rig
            .until("the slot is scanned", async |_| {
                (self.scanned().await >= Some(newest)).then_some(())
            })
            .await;
    }

    async fn verify(&self, intent: &str, transaction: &str) -> Value {
        let body = json!({ "transaction": transaction });
        let (code, answer) = self.rig.post(&format!("/v1/intents/{intent}/verify"), body).await;
        assert_eq!(code, 200, "{answer}");
        answer
    }
}

fn registry([usdc, other, taxed]: [&Mint<'_>; 3]) -> String {
    let token = |symbol: &str, mint: &Mint<'_>| {
        format!(
            "[[tokens]]\nsymbol = \"{symbol}\"\nname = \"{symbol}\"\naddress = \"{}\"\n\
             decimals = 6\nmin_deposit = \"1\"\n",
            mint.address
        )
    };
    format!(
        "id = \"{ID}\"\nname = \"Cluster\"\nshort_name = \"SOL\"\nfamily = \"solana\"\n\
         caip2 = \"solana:localnet\"\nblock_time = \"400ms\"\n\
         confirmations = {{ default = 32, floor = 1 }}\nfinality = {{ tag = \"finalized\" }}\n\
         native = {{ symbol = \"SOL\", name = \"Solana\", decimals = 9, slip44 = 501 }}\n\
         {}{}{}program = \"token-2022\"\n",
        token("USDC", usdc),
        token("EURC", other),
        token("TAX", taxed),
    )
}

/// The hash of the block on the other branch.
fn other(hash: &str) -> String {
    hash.chars().rev().collect()
}

pub(crate) fn fresh() -> Pubkey {
    Keypair::new().pubkey()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_orders_at_one_owner_are_told_apart_by_memo_and_the_token_account_is_made_on_the_way() {
    for store in [StoreKind::Sqlite, StoreKind::Postgres] {
        let scene = Scene::set(store, "").await;
        let shop = fresh();
        for id in ["order-1", "order-2"] {
            let more = json!({ "memo": format!("shop:{id}"), "amount_policy": "exact" });
            let made = scene.expect(id, &shop, "USDC", "12.5", more).await;
            let rail = &made["rails"][0];
            let account = scene.usdc.account_of(&shop).to_string();
            assert_eq!(rail["token_account"], account.as_str(), "{made}");
            let uri = format!(
                "solana:{shop}?amount=12.5&spl-token={}&memo=shop%3A{id}",
                scene.usdc.address
            );
            assert_eq!(rail["payment_uri"], uri.as_str(), "{made}");
        }
        // Memo version 1 before the transfer; nobody's memo; another asset with the right one.
        let from = scene.buyer.pubkey();
        let first = [
            memo(MemoProgram::V1, "shop:order-2"),
            scene.usdc.opening(&shop),
            scene.usdc.transferring(&from, &shop, 12_500_000),
        ];
        scene.node.send(&first, &[&scene.buyer]).await.expect("pays");
        scene.pay(&shop, 12_500_000, "shop:order-3").await;
        scene.mine(4).await;
        let detected = scene.rig.receiver.wait_for_event("order-2", "payment.detected").await;
        assert_eq!(detected.body["data"]["intent"]["rails"][0]["memo"], "shop:order-2");
        scene.rig.receiver.wait_for_event("order-2", "payment.confirmed").await;
        assert_eq!(scene.rig.intent("order-1").await["status"], "pending");
        let orphan =
            scene.rig.until("an orphan", async |rig| rig.orphans().await.into_iter().next()).await;
        assert_eq!(orphan["reason"], "ambiguous", "{orphan}");
        scene.pay(&shop, 12_500_000, "shop:order-1").await;
        scene.mine(4).await;
        scene.rig.receiver.wait_for_event("order-1", "payment.confirmed").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_found_by_its_solana_pay_reference_and_thirty_two_slots_mean_final_i6() {
    let scene = Scene::set(StoreKind::Sqlite, "").await;
    let (shop, reference) = (fresh(), fresh());
    let more = json!({ "reference": reference.to_string(), "confirmations": 32 });
    scene.expect("order-1", &shop, "SOL", "2", more).await;
    let transfer = pay_lamports(&scene.buyer.pubkey(), &shop, 2 * SOL);
    let transfer = referring(transfer, &[reference]);
    let paid = scene.node.send(&[transfer], &[&scene.buyer]).await.expect("pays");
    scene.mine(2).await;
    scene.rig.receiver.wait_for_event("order-1", "payment.detected").await;
    let slot = scene.node.slot_of(&paid).await.expect("it is in a block");
    let kind = "payment.confirmed";
    while !scene.rig.receiver.told_of("order-1").iter().any(|told| told == kind) {
        let finalized = scene.node.slot(Commitment::Finalized).await.expect("a slot");
        assert!(finalized < slot + 40, "it is final, and never confirmed");
        scene.mine(1).await;
        scene.until_scanned().await;
    }
    let confirmed = scene.rig.receiver.wait_for_event("order-1", kind).await;
    assert_eq!(confirmed.body["data"]["confirmations"], 32);
    let finalized = scene.node.slot(Commitment::Finalized).await.expect("a slot");
    assert!(finalized >= slot, "the cluster says so: {finalized}, paid at {slot}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_memo_is_found_that_was_paid_while_nobody_waited_for_memos_i13() {
    let scene = Scene::set(StoreKind::Sqlite, "").await;
    let shop = fresh();
    // Somebody waits there, though for no memo, so blocks are taken without them.
    scene.expect("plain", &shop, "EURC", "5", json!({})).await;
    scene.pay(&shop, 5 * USDC, "shop:late").await;
    scene.mine(4).await;
    scene.until_scanned().await;
    scene.expect("late", &shop, "USDC", "5", json!({ "memo": "shop:late" })).await;
    scene.mine(1).await;
    scene.rig.until_status("late", "confirmed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_on_a_fork_that_the_cluster_abandons_is_taken_back_i4_f10() {
    for store in [StoreKind::Sqlite, StoreKind::Postgres] {
        let scene = Scene::set(store, "").await;
        let shop = fresh();
        let more = json!({ "memo": "shop:1", "amount_policy": "exact" });
        scene.expect("order-1", &shop, "USDC", "5", more).await;
        let lost = scene.pay(&shop, 5 * USDC, "shop:1").await;
        scene.mine(4).await;
        scene.rig.receiver.wait_for_event("order-1", "payment.confirmed").await;
        let slot = scene.node.slot_of(&lost).await.expect("it is in a block");
        scene.fork(slot, lost.clone()).await;
        scene.mine(2).await;
        let reverted = scene.rig.receiver.wait_for_event("order-1", "payment.reverted").await;
        assert_eq!(reverted.body["data"]["reason"], "reorg", "{}", reverted.body);
        assert_eq!(scene.rig.intent("order-1").await["status"], "pending");
        let answer = scene.verify("order-1", &lost).await;
        assert_eq!(answer["reason"], "TRANSACTION_NOT_FOUND");

        let again = scene.pay(&shop, 5 * USDC, "shop:1").await;
        scene.mine(4).await;
        let confirmed = scene.rig.until_status("order-1", "confirmed").await;
        let transfers = confirmed["transfers"].as_array().expect("transfers");
        let stands = |paid: &str| {
            let mut found = transfers.iter().filter(|transfer| transfer["transaction"] == paid);
            found.next().map(|transfer| transfer["status"].clone())
        };
        assert_eq!(
            (stands(&lost), stands(&again)),
            (Some(json!("reverted")), Some(json!("confirmed")))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_arrived_counts_and_not_what_was_sent_f24_i11() {
    let scene = Scene::set(StoreKind::Sqlite, "").await;
    let shop = fresh();
    scene.expect("order-1", &shop, "TAX", "100", json!({})).await;
    scene.taxed.pay(&scene.buyer, &shop, 100 * USDC).await.expect("pays");
    scene.mine(2).await;
    scene.rig.receiver.wait_for_event("order-1", "payment.partial").await;
    assert_eq!(scene.rig.intent("order-1").await["rails"][0]["received"], "99");
    let too_much = scene.taxed.transferring(&scene.buyer.pubkey(), &shop, 5_000 * USDC);
    scene.node.send_failing(&[too_much], &[&scene.buyer]).await.expect("fails");
    scene.taxed.pay(&scene.buyer, &shop, 2 * USDC).await.expect("pays");
    scene.mine(4).await;
    let confirmed = scene.rig.until_status("order-1", "confirmed").await;
    assert_eq!(confirmed["rails"][0]["received"], "100.98");
    assert_eq!(confirmed["transfers_total"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claimed_payment_is_judged_on_solana_i11() {
    let scene = Scene::set(StoreKind::Sqlite, "").await;
    let shop = fresh();
    let from = scene.buyer.pubkey();
    let exact = || json!({ "memo": "shop:1", "amount_policy": "exact" });
    scene.expect("order-1", &shop, "USDC", "5", exact()).await;
    let elsewhere = scene.pay(&fresh(), 5 * USDC, "shop:1").await;
    let unnamed = scene.pay(&shop, 5 * USDC, "shop:2").await;
    let less = scene.pay(&shop, 4 * USDC, "shop:1").await;
    let wrong_token = [
        scene.other.opening(&shop),
        scene.other.transferring(&from, &shop, 5 * USDC),
        memo(MemoProgram::V2, "shop:1"),
    ];
    let wrong_token = scene.node.send(&wrong_token, &[&scene.buyer]).await.expect("pays");
    let too_much = scene.usdc.transferring(&from, &shop, 1_000_000 * USDC);
    let failed = scene.node.send_failing(&[too_much], &[&scene.buyer]).await.expect("fails");
    scene.mine(2).await;
    let exactly = scene.pay(&shop, 5 * USDC, "shop:1").await;
    scene.mine(4).await;
    scene.until_scanned().await;
    let last = if exactly.ends_with('2') { '3' } else { '2' };
    let nobodys = format!("{}{last}", &exactly[..exactly.len() - 1]);
    let cases = [
        (elsewhere.as_str(), "INVALID_DESTINATION"),
        (unnamed.as_str(), "MEMO_MISMATCH"),
        (less.as_str(), "AMOUNT_MISMATCH"),
        // Four and five make more than five: both were set aside.
        (exactly.as_str(), "AMOUNT_MISMATCH"),
        (wrong_token.as_str(), "INVALID_TOKEN"),
        (failed.as_str(), "TRANSACTION_FAILED"),
        (&nobodys, "TRANSACTION_NOT_FOUND"),
    ];
    for (transaction, reason) in cases {
        let answer = scene.verify("order-1", transaction).await;
        assert_eq!((&answer["matches"], &answer["reason"]), (&json!(false), &json!(reason)));
    }
    let (code, looked) = scene.rig.post("/v1/intents/order-1/check", json!({})).await;
    assert_eq!(code, 200, "{looked}");
    assert_eq!(looked["status"], "pending", "{looked}");

    let order = json!({ "memo": "shop:3", "amount_policy": "exact", "confirmations": 32 });
    scene.expect("order-3", &shop, "USDC", "5", order).await;
    let pays = scene.pay(&shop, 5 * USDC, "shop:3").await;
    scene.mine(2).await;
    scene.rig.until_status("order-3", "confirming").await;
    let again = scene.pay(&shop, 5 * USDC, "shop:3").await;
    for slots in [2, 4, 40] {
        scene.mine(slots).await;
        scene.until_scanned().await;
        let answer = scene.verify("order-3", &pays).await;
        assert_eq!((&answer["matches"], &answer["reason"]), (&json!(true), &json!(null)));
        let answer = scene.verify("order-3", &again).await;
        assert_eq!(answer["reason"], "ALREADY_USED", "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_of_another_order_or_for_one_that_is_over_is_refused_i11() {
    let scene = Scene::set(StoreKind::Sqlite, "").await;
    let shop = fresh();
    let asked = |memo: &str| json!({ "memo": memo, "amount_policy": "exact" });
    scene.expect("order-1", &shop, "USDC", "5", asked("shop:1")).await;
    let first = scene.pay(&shop, 5 * USDC, "shop:1").await;
    scene.mine(4).await;
    scene.rig.until_status("order-1", "confirmed").await;
    // The memo is free again; what came with it is not.
    scene.expect("order-2", &shop, "USDC", "5", asked("shop:1")).await;
    scene.expect("order-3", &shop, "USDC", "5", asked("shop:3")).await;
    let (code, over) = scene.rig.post("/v1/intents/order-3/cancel", json!({})).await;
    assert_eq!(code, 200, "{over}");
    let late = scene.pay(&shop, 5 * USDC, "shop:3").await;
    scene.mine(4).await;
    scene.until_scanned().await;
    let cases = [
        ("order-1", &first, None, "confirmed"),
        ("order-2", &first, Some("ALREADY_USED"), "pending"),
        ("order-3", &late, Some("EXPIRED"), "cancelled"),
    ];
    for (order, transaction, reason, status) in cases {
        let answer = scene.verify(order, transaction).await;
        assert_eq!(answer["matches"], reason.is_none(), "{order}: {answer}");
        assert_eq!(answer["reason"].as_str(), reason, "{order}: {answer}");
        assert_eq!(answer["status"], status, "{order}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payers_wallet_reads_the_payment_from_its_picture() {
    let scene = Scene::set(StoreKind::Sqlite, "").await;
    let shop = fresh();
    let made = scene.expect("order-1", &shop, "SOL", "2", json!({ "memo": "shop:1" })).await;
    let uri = format!("solana:{shop}?amount=2&memo=shop%3A1");
    assert_eq!(made["rails"][0]["payment_uri"], uri.as_str(), "{made}");
    let (code, kind, picture) = scene.rig.file("/v1/intents/order-1/qr?format=png").await;
    assert_eq!((code, kind.as_str()), (200, "image/png"));
    assert_eq!(crate::qr::read_back(&picture), uri);
    let (code, kind, picture) = scene.rig.file("/v1/intents/order-1/qr").await;
    assert_eq!((code, kind.as_str()), (200, "image/svg+xml"));
    assert!(String::from_utf8_lossy(&picture).contains("<svg"), "a picture");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reference_that_every_payment_carries_is_refused_i14() {
    let scene = Scene::set(StoreKind::Sqlite, "").await;
    let shop = fresh().to_string();
    let rail = json!({ "network": ID, "asset": "USDC", "amount": "5", "address": shop,
        "reference": shop });
    let order = json!({ "id": "order-1", "rails": [rail], "endpoints": ["backend"] });
    let (code, problem) = scene.rig.post("/v1/intents", order).await;
    assert_eq!((code, &problem["errors"][0]["pointer"]), (422, &json!("/rails/0/reference")));
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_are_imported_since_none_can_be_derived_and_take_deposits() {
    let scene = Scene::set(StoreKind::Sqlite, "").await;
    let xpub = "xpub661MyMwAqRbcFtXgS5sYJABqqG9YLmC4Q1Rdap9gSE8NqtwybGhePY2gZ29ESFjqJoCu1Rupje8YtGqsefD265TMg7usUDFdp6W1EGMcet8";
    let derived = json!({ "id": "shop", "network": ID, "public_keys": xpub });
    let (code, refused) = scene.rig.post("/v1/wallets", derived).await;
    assert_eq!(code, 422, "{refused}");
    assert_eq!(refused["errors"][0]["pointer"], "/public_keys");
    assert!(refused["errors"][0]["detail"].to_string().contains("ed25519"), "{refused}");
    let owners: Vec<Pubkey> = (0..2).map(|_| fresh()).collect();
    let list: Vec<Value> =
        owners.iter().map(|owner| json!({ "address": owner.to_string() })).collect();
    let imported = json!({ "id": "shop", "network": ID, "addresses": list,
        "endpoints": ["backend"] });
    let (code, made) = scene.rig.post("/v1/wallets", imported).await;
    assert_eq!((code, &made["low"]), (201, &json!(true)), "{made}");
    let (_, next) = scene.rig.post("/v1/wallets/shop/addresses", json!({})).await;
    assert_eq!(next["address"], owners[0].to_string().as_str());
    scene.pay(&owners[0], 3 * USDC, "no order").await;
    scene.mine(2).await;
    scene.pay(&owners[0], USDC / 2, "dust").await;
    scene.mine(4).await;
    let deposits = scene
        .rig
        .until("two confirmed deposits", async |rig| {
            let (_, page) = rig.get("/v1/deposits?status=confirmed").await;
            page["data"].as_array().filter(|deposits| deposits.len() == 2).cloned()
        })
        .await;
    // What is less than the minimum is told, too, and said to be.
    for (amount, below) in [("0.5", true), ("3", false)] {
        let deposit = deposits.iter().find(|deposit| deposit["amount"] == amount);
        let deposit = deposit.expect("it is shown");
        assert_eq!((&deposit["asset"], &deposit["below_minimum"]), (&json!("USDC"), &json!(below)));
    }
    let rail = json!({ "network": ID, "asset": "USDC", "amount": "0.5", "wallet": "shop" });
    let (code, refused) =
        scene.rig.post("/v1/intents", json!({ "id": "a", "rails": [rail] })).await;
    assert_eq!((code, &refused["errors"][0]["pointer"]), (422, &json!("/rails/0/amount")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_hangs_delays_neither_of_the_two_other_chains_i9() {
    let bitcoind = crate::bitcoin::node().await;
    let scene =
        Scene::set(StoreKind::Sqlite, &crate::bitcoin::section(&bitcoind, &bitcoind.url())).await;
    let shop = fresh();
    scene.expect("slow", &shop, "USDC", "1", json!({})).await;
    scene.until_scanned().await;
    scene.proxy.withhold(Some("getSlot"));
    scene.pay(&shop, USDC, "slow").await;
    scene.mine(4).await;

    // Everything that the others tell, they tell while the cluster's newest slot is not answered.
    let to = scene.rig.fresh_address();
    scene.rig.expect("ether", "USDC", "7", to).await;
    scene.rig.pay(to, 7).await;
    let (address, script) = crate::bitcoin::receiver(9);
    crate::bitcoin::expect(&scene.rig, "coin", "0.001", &address).await;
    crate::bitcoin::pay(&bitcoind, &script, "0.001").await;
    scene.rig.receiver.wait_for_event("coin", "payment.seen").await;
    bitcoind.mine(3).await.expect("blocks");
    scene.rig.mine(2).await;
    scene.rig.receiver.wait_for_event("ether", "payment.confirmed").await;
    scene.rig.receiver.wait_for_event("coin", "payment.confirmed").await;
    scene
        .rig
        .until("the cluster is shown as stalled", async |rig| {
            let (_, status) = rig.get("/scanner/status").await;
            let problems = status["problems"].as_array()?;
            problems.iter().find(|problem| problem["subject"] == ID).map(|_| ())
        })
        .await;

    assert_eq!(scene.rig.receiver.told_of("slow"), [""; 0], "it hangs all the while");
    scene.proxy.withhold(None);
    scene.rig.receiver.wait_for_event("slow", "payment.confirmed").await;
}
