//! The suite that every chain passes, told on bitcoind.

mod support;

use confirmd_chain::conformance;
use xtask::bitcoind::BitcoindOptions;

#[tokio::test]
async fn bitcoin_on_a_node_without_an_index_of_transactions() {
    let node = support::Node::start(BitcoindOptions::default()).await;
    conformance::run(&node).await;
}

#[tokio::test]
async fn bitcoin_on_a_node_with_an_index_of_transactions() {
    let options = BitcoindOptions { txindex: true, ..BitcoindOptions::default() };
    let node = support::Node::start(options).await;
    conformance::run(&node).await;
}
