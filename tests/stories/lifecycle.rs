//! Starting, stopping, and being killed.

use std::time::{Duration, Instant};

use confirmd::clock::Clock;
use confirmd::daemon::Daemon;
use confirmd::store::Store;
use serde_json::json;

use crate::rig::{Options, Rig, node};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_paid_while_it_was_down_is_told_after_the_start_i1_i3() {
    let mut rig = Rig::start(Options::default()).await;
    let to = rig.fresh_address();
    rig.expect("meanwhile", "USDC", "5", to).await;
    rig.stop().await;
    let units = alloy_primitives::U256::from(5)
        * alloy_primitives::U256::from(10).pow(alloy_primitives::U256::from(18));
    rig.usdc().transfer(to, units).await.expect("pays");
    // Far enough that most of it is final when it is scanned: ranges, not single blocks.
    rig.anvil().mine(300).await.expect("mines");
    rig.restart().await;
    rig.until_status("meanwhile", "confirmed").await;
    rig.receiver.wait_for_event("meanwhile", "payment.confirmed").await;
    assert_eq!(rig.receiver.told_of("meanwhile"), ["payment.detected", "payment.confirmed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_stops_within_ten_seconds_while_its_node_does_not_answer() {
    let mut rig = Rig::start(Options::default()).await;
    rig.anvil().pause().expect("pauses");
    let asked = Instant::now();
    rig.stop().await;
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    rig.anvil().resume().expect("resumes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_daemon_on_the_same_file_is_refused_with_a_clear_message() {
    let rig = Rig::start(Options::default()).await;
    let refused = Daemon::start(rig.settings(), Clock::system()).await.expect_err("it is in use");
    let words = refused.to_string();
    assert!(words.contains("confirmd.db is in use by another confirmd; stop that one"), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_is_left_out_though_somebody_waits_there_is_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = format!("sqlite://{}", folder.path().join("confirmd.db").display());
    let options = || Options { store_url: Some(file.clone()), ..Options::default() };
    let more = "[[networks.ethereum.providers]]\nname = \"dead\"\nurl = \"http://127.0.0.1:1\"\n";
    let anvil = node(32).await;
    let mut before = Rig::on(anvil, Options { more: more.to_owned(), ..options() }).await;
    let rail = json!({ "network": "ethereum", "asset": "USDC", "amount": "5",
        "address": before.fresh_address() });
    let order = json!({ "id": "order-1", "rails": [rail] });
    let (code, made) = before.post("/v1/intents", order).await;
    assert_eq!(code, 201, "{made}");
    let unknown = async |rig: &Rig| {
        let (_, status) = rig.get("/scanner/status").await;
        let problems = status["problems"].as_array().cloned().unwrap_or_default();
        problems.into_iter().find(|problem| problem["code"] == "network-unknown")
    };
    assert_eq!(unknown(&before).await, None);
    before.stop().await;
    let after = Rig::on(anvil, options()).await;
    assert_eq!(unknown(&after).await.expect("is shown")["subject"], "ethereum");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_free_once_its_store_is_closed_whoever_still_holds_the_store() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite://{}", folder.path().join("confirmd.db").display());
    let store = Store::open(&url).await.expect("opens");
    let held_on_to = store.clone();
    store.close().await;
    Store::open(&url).await.expect("opens again");
    drop(held_on_to);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_that_is_promised_is_there() {
    let rig = Rig::start(Options::default()).await;
    let to = rig.fresh_address();
    rig.expect("counted", "USDC", "5", to).await;
    rig.pay(to, 5).await;
    rig.receiver.wait_for_event("counted", "payment.detected").await;
    rig.anvil().reorg(1).await.expect("reorganises");
    rig.mine(1).await;
    rig.receiver.wait_for_event("counted", "payment.reverted").await;
    let promised = [
        "confirmd_build_info{version=\"0.1.0\"} 1",
        "confirmd_network_head_height{network=\"anvil\"}",
        "confirmd_network_scanned_height{network=\"anvil\"}",
        "confirmd_network_scanned_timestamp_seconds{network=\"anvil\"}",
        "confirmd_network_state{network=\"anvil\",state=\"following\"}",
        "confirmd_network_state{network=\"anvil\",state=\"stalled\"}",
        "confirmd_reorg_depth_blocks_count{network=\"anvil\"}",
        "confirmd_transfers_total{network=\"anvil\",outcome=\"placed\"}",
        "confirmd_transfers_total{network=\"anvil\",outcome=\"displaced\"}",
        "confirmd_provider_requests_total{network=\"anvil\",provider=\"node\",outcome=\"ok\"}",
        "confirmd_provider_request_duration_seconds_bucket{network=\"anvil\",provider=\"node\"",
        "confirmd_intents_open{status=\"pending\"}",
        "confirmd_events_total{type=\"payment.detected\"}",
        "confirmd_events_total{type=\"payment.reverted\"}",
        "confirmd_deliveries{endpoint=\"backend\"",
        "confirmd_delivery_oldest_waiting_seconds{endpoint=\"backend\"}",
        "confirmd_delivery_attempts_total{endpoint=\"backend\"",
        "confirmd_store_commit_duration_seconds_count",
    ];
    for metric in promised {
        rig.until(metric, async |rig| rig.text("/metrics").await.contains(metric).then_some(()))
            .await;
    }
}
