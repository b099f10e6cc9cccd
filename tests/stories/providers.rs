//! Providers that lie, lag and lose their memory.

use alloy_primitives::U256;
use serde_json::{Value, json};

use crate::proxy::Proxy;
use crate::rig::{Options, Rig, node};

async fn provider(rig: &Rig, name: &str) -> Value {
    let (_, status) = rig.get("/scanner/status").await;
    let providers = status["networks"][0]["providers"].as_array().expect("a list").clone();
    providers.into_iter().find(|provider| provider["name"] == name).expect("it is shown")
}

/// Waits until the status shows a provider at fault. It is written every two seconds.
async fn at_fault(rig: &Rig, name: &str, fault: &str) {
    rig.until(&format!("{name} is shown as {fault}"), async |rig| {
        let provider = provider(rig, name).await;
        (provider["faults"][fault].as_u64() >= Some(1)).then_some(())
    })
    .await;
}

/// A block's logs or receipts go missing at the first provider; the second one serves.
async fn the_second_one_serves(
    verify: &'static str,
    lie: impl FnMut(&str, &Value, &mut Value) + Send + 'static,
) {
    let anvil = node(32).await;
    let liar = Proxy::start(anvil.url()).await;
    let honest = Proxy::start(anvil.url()).await;
    let providers = vec![("liar", liar.url.clone()), ("honest", honest.url.clone())];
    let rig = Rig::on(anvil, Options { verify, providers, ..Options::default() }).await;
    let to = rig.fresh_address();
    rig.expect("seen", "USDC", "5", to).await;
    liar.lie(lie);
    rig.pay(to, 5).await;
    rig.mine(2).await;
    rig.until_status("seen", "confirmed").await;
    at_fault(&rig, "liar", "unproven").await;
    assert_eq!(provider(&rig, "honest").await["faults"]["unproven"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_answer_for_a_block_with_logs_is_caught_by_its_receipts_root_i3_f1() {
    the_second_one_serves("receipts", |method, _, result| {
        if method == "eth_getBlockReceipts" {
            *result = json!([]);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_answer_for_a_block_with_logs_is_caught_by_its_bloom_i3_f1_f2() {
    the_second_one_serves("logs", |method, _, result| {
        if matches!(method, "eth_getLogs" | "eth_getBlockReceipts") {
            *result = json!([]);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_dropped_log_is_caught_by_the_receipts_root_i3_f3() {
    the_second_one_serves("receipts", |method, _, result| {
        if method == "eth_getBlockReceipts" {
            for receipt in result.as_array_mut().into_iter().flatten() {
                receipt["logs"].as_array_mut().into_iter().for_each(|logs| drop(logs.pop()));
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_who_proves_it_is_a_stall_that_is_shown_and_never_a_skip_i3_f1_f4() {
    for lie in [json!([]), Value::Null] {
        let anvil = node(32).await;
        let proxy = Proxy::start(anvil.url()).await;
        let providers = vec![("only", proxy.url.clone())];
        let rig = Rig::on(anvil, Options { providers, ..Options::default() }).await;
        let to = rig.fresh_address();
        rig.expect("waits", "USDC", "5", to).await;
        let (_, before) = rig.get("/scanner/status").await;
        let scanned = before["networks"][0]["scanned"].clone();
        proxy.lie(move |method, _, result| {
            if method == "eth_getBlockReceipts" {
                *result = lie.clone();
            }
        });
        rig.usdc()
            .transfer(to, U256::from(5) * U256::from(10).pow(U256::from(18)))
            .await
            .expect("pays");
        let status = rig
            .until("it is stalled", async |rig| {
                let (_, status) = rig.get("/scanner/status").await;
                (status["networks"][0]["state"] == "stalled").then_some(status)
            })
            .await;
        assert_eq!(status["networks"][0]["scanned"], scanned);
        assert_eq!(status["problems"][0]["code"], "network-stalled");
        assert_eq!(rig.intent("waits").await["status"], "pending");
        proxy.lie(|_, _, _| {});
        rig.mine(2).await;
        rig.until_status("waits", "confirmed").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_of_another_chain_is_put_aside_f5() {
    let anvil = node(32).await;
    let stranger = Proxy::start(anvil.url()).await;
    stranger.lie(|method, _, result| {
        if method == "eth_chainId" {
            *result = json!("0x1");
        }
    });
    let honest = Proxy::start(anvil.url()).await;
    let providers = vec![("stranger", stranger.url.clone()), ("honest", honest.url.clone())];
    let rig = Rig::on(anvil, Options { providers, ..Options::default() }).await;
    let to = rig.fresh_address();
    rig.expect("paid", "USDC", "5", to).await;
    rig.pay(to, 5).await;
    rig.mine(2).await;
    rig.until_status("paid", "confirmed").await;
    at_fault(&rig, "stranger", "wrong_chain").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_slow_delays_only_its_own_network_i9() {
    let anvil = node(32).await;
    let slow = Proxy::start("http://127.0.0.1:1".to_owned()).await;
    let more = format!(
        "[networks.ethereum]\npoll_interval = \"50ms\"\n\
         [[networks.ethereum.providers]]\nname = \"dead\"\nurl = \"{}\"\n",
        slow.url
    );
    let rig = Rig::on(anvil, Options { more, ..Options::default() }).await;
    let to = rig.fresh_address();
    rig.expect("paid", "USDC", "5", to).await;
    rig.pay(to, 5).await;
    rig.mine(2).await;
    rig.until_status("paid", "confirmed").await;
    let (_, status) = rig.get("/scanner/status").await;
    let state = |id: &str| {
        let networks = status["networks"].as_array().expect("a list");
        let network = networks.iter().find(|network| network["network"] == id);
        network.expect("it is shown")["state"].clone()
    };
    assert_eq!(state("anvil"), "following");
    assert_eq!(state("ethereum"), "stalled");
}
