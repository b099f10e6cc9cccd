//! Providers that lie, lag and lose their memory.

use alloy_primitives::U256;
use serde_json::{Value, json};

use crate::proxy::Proxy;
use crate::rig::{Options, Rig, node};

pub(crate) async fn provider(rig: &Rig, name: &str) -> Value {
    let (_, status) = rig.get("/scanner/status").await;
    let providers = status["networks"][0]["providers"].as_array().expect("a list").clone();
    providers.into_iter().find(|provider| provider["name"] == name).expect("it is shown")
}

/// Waits until the status shows a provider at fault. It is written every two seconds.
pub(crate) async fn at_fault(rig: &Rig, name: &str, fault: &str) {
    rig.until(&format!("{name} is shown as {fault}"), async |rig| {
        let provider = provider(rig, name).await;
        (provider["faults"][fault].as_u64() >= Some(1)).then_some(())
    })
    .await;
}

/// The first provider lies about a block's logs, receipts or transactions; the second one serves.
async fn the_second_one_serves(
    verify: &'static str,
    lie: impl FnMut(&str, &Value, &mut Value) + Send + 'static,
) {
    the_second_one_pays(verify, "USDC", |liar| liar.lie(lie)).await;
}

/// The same, of an asset, with whatever the first provider does.
async fn the_second_one_pays(verify: &'static str, asset: &str, begin: impl FnOnce(&Proxy)) {
    let anvil = node(32).await;
    let liar = Proxy::start(anvil.url()).await;
    let honest = Proxy::start(anvil.url()).await;
    let providers = vec![("liar", liar.url.clone()), ("honest", honest.url.clone())];
    let rig = Rig::on(anvil, Options { verify, providers, ..Options::default() }).await;
    let to = rig.fresh_address();
    rig.expect("seen", asset, "5", to).await;
    begin(&liar);
    let whole = U256::from(5) * U256::from(10).pow(U256::from(18));
    match asset {
        "native" => rig.anvil().pay(rig.anvil().accounts()[1], to, whole).await.expect("pays"),
        _ => rig.pay(to, 5).await,
    };
    rig.mine(2).await;
    let seen = rig.until_status("seen", "confirmed").await;
    assert_eq!(seen["rails"][0]["received"], "5");
    rig.receiver.wait_for_event("seen", "payment.confirmed").await;
    assert_eq!(rig.receiver.told_of("seen"), ["payment.detected", "payment.confirmed"]);
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
async fn one_altered_amount_is_caught_by_the_roots_i3_i10_f5() {
    for asset in ["USDC", "native"] {
        the_second_one_pays("receipts", asset, |liar| {
            liar.lie(|method, _, result| match method {
                "eth_getBlockReceipts" => {
                    let receipts = result.as_array_mut().into_iter().flatten();
                    for log in receipts.flat_map(|r| r["logs"].as_array_mut()).flatten() {
                        log["data"] = json!(format!("0x{:064x}", 7_000_000_000_000_000_000_u64));
                    }
                }
                _ => {
                    let list = result.get_mut("transactions").and_then(Value::as_array_mut);
                    for transaction in list.into_iter().flatten().filter(|t| t.is_object()) {
                        transaction["value"] = json!("0x6124fee993bc0000");
                    }
                }
            });
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_swapped_blocks_are_caught_by_their_heights_and_hashes_i3_f5_f8() {
    the_second_one_pays("receipts", "USDC", |liar| {
        liar.twist(|request| {
            let height = request["params"][0].as_str().and_then(|text| text.strip_prefix("0x"));
            let height = height.and_then(|digits| u64::from_str_radix(digits, 16).ok());
            if let (Some("eth_getBlockByNumber"), Some(height)) =
                (request["method"].as_str(), height)
            {
                request["params"][0] = json!(format!("{:#x}", height ^ 1));
            }
        });
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

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_has_of_old_blocks_stalls_the_look_back_alone_and_is_shown_i9_i13() {
    let anvil = node(32).await;
    let proxy = Proxy::start(anvil.url()).await;
    let providers = vec![("node", proxy.url.clone())];
    let rig = Rig::on(anvil, Options { providers, ..Options::default() }).await;
    let [early, now] = std::array::from_fn(|_| rig.fresh_address());
    rig.pay(early, 5).await;
    let height = format!("{:#x}", anvil.block_number().await.expect("a height"));
    rig.mine(3).await;
    proxy.lie(move |_, _, result| {
        if result["number"] == height.as_str() || result[0]["blockNumber"] == height.as_str() {
            *result = Value::Null;
        }
    });
    rig.expect("early", "USDC", "5", early).await;
    let stalled = async |rig: &Rig| {
        let (_, status) = rig.get("/scanner/status").await;
        let problems = status["problems"].as_array().cloned().unwrap_or_default();
        problems.into_iter().find(|problem| problem["code"] == "look-back-stalled")
    };
    let problem = rig.until("the look-back is stalled", stalled).await;
    assert_eq!(problem["subject"], "anvil");
    rig.expect("now", "USDC", "5", now).await;
    rig.pay(now, 5).await;
    rig.mine(2).await;
    rig.until_status("now", "confirmed").await;
    assert_eq!(rig.intent("early").await["status"], "pending");
    proxy.lie(|_, _, _| {});
    rig.until_status("early", "confirmed").await;
    rig.until("nothing is stalled", async |rig| stalled(rig).await.is_none().then_some(())).await;
}
