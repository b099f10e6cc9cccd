//! A new block wakes the follower early.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::time::Duration;

use confirmd_chain::Chain;
use confirmd_evm::Evm;
use confirmd_rpc::{Limits, Pool};
use serde_json::json;

#[tokio::test]
async fn a_new_block_wakes_whoever_waits() {
    let node = support::Node::start(|_| {}).await;
    let provider = json!({ "name": "first", "url": node.anvil.url(), "ws": node.anvil.ws_url() });
    let providers = [serde_json::from_value(provider).unwrap()];
    let pool = Pool::new("anvil", &providers, Limits::default()).unwrap();
    let evm = Evm::new(node.evm.config().clone(), pool).unwrap();
    let woken = evm.woken();
    tokio::pin!(woken);
    // The subscription stands some time after it is asked for, so blocks are made until one wakes.
    for _ in 0..300 {
        node.anvil.mine(1).await.unwrap();
        if tokio::time::timeout(Duration::from_millis(50), &mut woken).await.is_ok() {
            return;
        }
    }
    panic!("300 blocks woke nobody");
}
