//! A node's ZMQ notifications wake the follower; without them it polls.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::time::Duration;

use confirmd_chain::Chain;
use confirmd_rpc::Limits;
use xtask::bitcoind::{Bitcoind, BitcoindOptions};

use support::{config, pool};

const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_new_block_wakes_and_so_does_one_that_is_taken_back() {
    let bitcoind = Bitcoind::start(BitcoindOptions::default()).await.unwrap();
    bitcoind.mine(3).await.unwrap();
    let node = bitcoind.zmq_url().strip_prefix("tcp://").unwrap().to_owned();
    let chain =
        confirmd_bitcoin::Bitcoin::new(config(), pool(&[bitcoind.url()], Limits::default()))
            .woken_by(vec![("first".to_owned(), node)]);
    // The connection stands; the node takes a moment longer to know what we subscribe to.
    chain.woken().await;
    let mine_on = async {
        loop {
            bitcoind.mine(1).await.unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let told = async {
        tokio::select! {
            () = chain.woken() => {}
            () = mine_on => {}
        }
    };
    tokio::time::timeout(SOON, told).await.expect("a new block wakes");
    let height = bitcoind.height().await.unwrap();
    // What is left of the announcements of before, then the one of this.
    let newest = bitcoind.block_hash(height).await.unwrap();
    bitcoind.invalidate(newest).await.unwrap();
    tokio::time::timeout(SOON, chain.woken()).await.expect("one that is taken back wakes");
    assert_eq!(chain.heads().await.unwrap().latest.height.0, u64::from(height - 1));
}
