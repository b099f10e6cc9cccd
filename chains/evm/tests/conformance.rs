//! The suite that every chain passes, told on real nodes in each way of verifying.

mod support;

use confirmd_chain::conformance;
use confirmd_evm::{Finality, Verify};

#[tokio::test]
async fn evm_by_receipts_with_native_coin() {
    let node = support::Node::start(|_| {}).await;
    conformance::run(&node).await;
}

#[tokio::test]
async fn evm_by_receipts_with_tokens_alone() {
    let node = support::Node::start(|config| config.native = false).await;
    conformance::run(&node).await;
}

#[tokio::test]
async fn evm_by_logs_with_native_coin_and_finality_by_depth() {
    let node = support::Node::start(|config| {
        config.verify = Verify::Logs;
        config.finality = Finality::Depth(3);
    })
    .await;
    conformance::run(&node).await;
}

#[tokio::test]
async fn evm_by_logs_of_an_unknown_encoding_with_tokens_alone() {
    let node = support::Node::start(|config| {
        config.verify = Verify::Logs;
        config.native = false;
        config.receipts = None;
    })
    .await;
    conformance::run(&node).await;
}

#[tokio::test]
async fn evm_with_empty_blooms() {
    let node = support::Node::start(|config| {
        config.native = false;
        config.zero_bloom = true;
    })
    .await;
    conformance::run(&node).await;
}
