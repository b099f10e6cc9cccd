//! The registry is reloaded while payments go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use alloy_primitives::U256;
use serde_json::{Value, json};
use xtask::anvil::{Anvil, AnvilOptions};
use xtask::erc20::{Erc20, TokenOptions};
use xtask::postgres::Database;
use xtask::process::Signal;

use crate::fleet::{Fleet, NETWORKS};
use crate::proxy::Proxy;
use crate::rig::{Options, Rig, StoreKind, node};

const CENT: u64 = 10_000;

/// A token that no registry file names yet, 6 decimals.
async fn new_token(anvil: &Anvil) -> Erc20<'_> {
    let options = TokenOptions { symbol: "NEW".to_owned(), ..TokenOptions::default() };
    Erc20::deploy_variant(anvil, options).await.expect("deploys")
}

fn named(token: &Erc20<'_>) -> String {
    format!(
        "\n[[tokens]]\nsymbol = \"NEW\"\nname = \"New\"\naddress = \"{}\"\ndecimals = 6\n",
        token.address
    )
}

async fn reload(rig: &Rig) -> (u16, Value) {
    rig.post("/v1/networks/reload", json!({})).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_added_at_run_time_is_paid_with_i1_i3() {
    for store in [StoreKind::Sqlite, StoreKind::Postgres] {
        let rig = Rig::start(Options { store, ..Options::default() }).await;
        rig.write_config(0);
        let [to, before, other] = std::array::from_fn(|_| rig.fresh_address());
        let token = new_token(rig.anvil()).await;
        rig.expect("before", "USDC", "1", before).await;
        rig.pay(before, 1).await;
        let rail = json!({ "network": "anvil", "asset": "NEW", "amount": "0.01",
            "address": to.to_string() });
        let body = json!({ "id": "new", "rails": [rail] });
        let (code, refused) = rig.post("/v1/intents", body).await;
        assert_eq!((code, &refused["errors"][0]["pointer"]), (422, &json!("/rails/0/asset")));

        rig.change_registry(|text| text + &named(&token));
        let (code, answer) = reload(&rig).await;
        assert_eq!(code, 200, "{answer}");
        assert_eq!(answer["changed"][0]["assets_added"], json!(["NEW"]), "{answer}");
        // Mined in the very next block, which nobody decodes without the token any more.
        rig.expect("new", "NEW", "0.01", to).await;
        token.transfer(to, U256::from(CENT)).await.expect("pays");
        rig.expect("old", "USDC", "1", other).await;
        rig.pay(other, 1).await;
        rig.mine(3).await;
        for id in ["before", "new", "old"] {
            rig.until_status(id, "confirmed").await;
            rig.receiver.wait_for_event(id, "payment.confirmed").await;
        }
        let told = rig.receiver.told_of("before");
        assert_eq!(told, ["payment.detected", "payment.confirmed"], "it is told once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_cannot_be_used_change_nothing_while_payments_go_on_i9_i14() {
    let rig = Rig::start(Options::default()).await;
    rig.write_config(0);
    let good = rig.change_registry(|text| text);
    for (number, broken) in
        ["decimals = six", "\n[[tokens]]\nsymbol = \"HALF\"\n"].iter().enumerate()
    {
        rig.change_registry(|_| format!("{good}{broken}"));
        let id = format!("meanwhile-{number}");
        let to = rig.fresh_address();
        rig.expect(&id, "USDC", "1", to).await;
        let (code, refused) = reload(&rig).await;
        assert_eq!((code, &refused["code"]), (422, &json!("invalid-registry")), "{refused}");
        assert!(refused["errors"][0]["pointer"].to_string().contains("anvil.toml:"), "{refused}");
        rig.pay(to, 1).await;
        rig.mine(2).await;
        rig.until_status(&id, "confirmed").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn payments_under_way_are_seen_once_however_often_their_network_starts_anew_i1_i2_i7() {
    let rig = Rig::start(Options::default()).await;
    rig.write_config(0);
    let ids: Vec<_> = (0..12).map(|number| format!("order-{number}")).collect();
    for (number, id) in ids.iter().enumerate() {
        let to = rig.fresh_address();
        rig.expect(id, "USDC", "1", to).await;
        let (from, to_ms) = (format!("{number}ms\""), format!("{}ms\"", number + 1));
        rig.change_registry(|text| text.replace("\"1s\"", "\"0ms\"").replace(&from, &to_ms));
        let paid = rig.pay(to, 1);
        let (_, (code, answer)) = tokio::join!(paid, reload(&rig));
        assert_eq!(code, 200, "{answer}");
    }
    rig.mine(3).await;
    for id in &ids {
        rig.receiver.wait_for_event(id, "payment.confirmed").await;
        let told = rig.receiver.told_of(id);
        assert_eq!(told, ["payment.detected", "payment.confirmed"], "{id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_is_added_is_followed_and_the_others_do_not_notice_i9() {
    let anvil = node(32).await;
    let (proxy, starts) = (Proxy::start(anvil.url()).await, Arc::new(AtomicU32::new(0)));
    let providers = vec![("node", proxy.url.clone())];
    let rig = Rig::on(anvil, Options { providers, ..Options::default() }).await;
    let counter = starts.clone();
    proxy.lie(move |method, _, _| {
        // What reads a network asks this before anything else, once.
        if method == "eth_chainId" {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    });
    let options = AnvilOptions { chain_id: 31_338, ..AnvilOptions::default() };
    let second = Anvil::start(options).await.expect("anvil starts");
    let registry = rig.change_registry(|text| text);
    let registry = registry.replace("31337", "31338").replace("\"anvil\"", "\"second\"");
    std::fs::write(rig.registry_file().with_file_name("second.toml"), registry).expect("writes");
    let provider = "[[networks.second.providers]]\nname = \"node\"\nurl = ";
    let section =
        format!("[networks.second]\npoll_interval = \"50ms\"\n{provider}\"{}\"\n", second.url());
    rig.write_config(0);
    let text = std::fs::read_to_string(rig.config_file()).expect("is there");
    std::fs::write(rig.config_file(), text + &section).expect("is written");

    let (code, answer) = reload(&rig).await;
    assert_eq!((code, &answer["added"][0]["network"]), (200, &json!("second")), "{answer}");
    let to = rig.fresh_address();
    let rail = json!({ "network": "second", "asset": "native", "amount": "1",
        "address": to.to_string() });
    let (code, made) = rig.post("/v1/intents", json!({ "id": "there", "rails": [rail] })).await;
    assert_eq!(code, 201, "{made}");
    let ether = U256::from(10).pow(U256::from(18));
    second.pay(second.accounts()[0], to, ether).await.expect("pays");
    second.mine(3).await.expect("mines");
    rig.until_status("there", "confirmed").await;
    rig.mine(1).await;
    assert_eq!(starts.load(Ordering::Relaxed), 0, "the first network goes on as it was");

    rig.change_registry(|text| text.replace("\"1s\"", "\"2s\""));
    let (code, answer) = reload(&rig).await;
    assert_eq!((code, &answer["changed"][0]["network"]), (200, &json!("anvil")), "{answer}");
    rig.mine(1).await;
    rig.until("it starts anew", async |_| (starts.load(Ordering::Relaxed) > 0).then_some(())).await;
}

/// Each instance has read the files at its own time: one that follows a network and does not know
/// a token yet waits, and says so, instead of passing its payments by.
#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_does_not_know_a_token_yet_waits_for_its_own_reload_i3_i13() {
    let database = Database::create("fleet").await.expect("PostgreSQL");
    let mut fleet = Fleet::new(database.url()).await;
    let (first, second) = (fleet.start().await, fleet.start().await);
    fleet.until_followed_by(&second, &[&first, &second]).await;
    let followers = fleet.followers(&first).await;
    let of_second = followers.iter().find(|(_, name)| name.as_ref() == Some(&second.name));
    let of_second = of_second.map(|(network, _)| network.clone()).expect("it follows one");
    let network = NETWORKS.into_iter().find(|network| *network == of_second).expect("of the three");
    let token = new_token(fleet.node(network)).await;
    let contract = token.address;
    fleet.change_registry(network, |text| text + &named(&token));

    first.server.signal(Signal::SIGHUP).expect("reloads");
    fleet
        .until("it knows the token", async |fleet| fleet.knows(&first, network, "NEW").await)
        .await;
    let to = fleet.expect_token(&first, "new", network, "NEW").await;
    let token = Erc20::at(fleet.node(network), contract);
    token.transfer(to, U256::from(CENT)).await.expect("pays");
    fleet.node(network).mine(5).await.expect("mines");
    let reason = fleet
        .until("the network waits", async |fleet| {
            let shown = fleet.network(&first, network).await;
            shown["reason"].as_str().filter(|_| shown["state"] == "stalled").map(str::to_owned)
        })
        .await;
    assert!(reason.contains(&contract.to_string()) && reason.contains("reload"), "{reason}");

    second.server.signal(Signal::SIGHUP).expect("reloads");
    fleet.until_all_confirmed(&first).await;
    fleet.assert_told_once(&second).await;
    assert_eq!(fleet.followers(&first).await, followers, "no lease moves");
}
