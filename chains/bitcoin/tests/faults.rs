//! Providers that lie about blocks: refused, counted, put aside, and the next one asked.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

mod support;

use std::num::NonZeroUsize;
use std::time::Duration;

use alloy_primitives::hex;
use bitcoin::consensus::{deserialize, serialize};
use confirmd_bitcoin::Bitcoin;
use confirmd_chain::{At, Block, Chain, ChainError, Height, WatchSet};
use confirmd_rpc::Limits;
use serde_json::{Value, json};
use xtask::bitcoind::BitcoindOptions;

use support::proxy::Proxy;
use support::{Node, address, config, pool};

/// A block with three payments in it, and what an honest provider says of it.
struct Scene {
    node: Node,
    proxy: Proxy,
    height: Height,
    watches: WatchSet,
    honest: Block,
}

impl Scene {
    async fn set() -> Self {
        let node = Node::start(BitcoindOptions::default()).await;
        let ours = address(1);
        for satoshis in [10_000, 20_000, 30_000] {
            node.send(&ours, satoshis).await;
        }
        node.bitcoind.mine(1).await.unwrap();
        let height = node.chain.heads().await.unwrap().latest.height;
        node.bitcoind.mine(2).await.unwrap();
        let watches = node.watching(&[&ours]);
        let honest = node.chain.block(At::Height(height), &watches).await.unwrap();
        assert_eq!(honest.transfers.len(), 3);
        let proxy = Proxy::before(node.bitcoind.url()).await;
        Self { node, proxy, height, watches, honest }
    }

    /// A chain that asks the liar first.
    fn chain(&self) -> Bitcoin {
        let limits = Limits {
            max_answer_bytes: 4 << 20,
            total: Duration::from_secs(5),
            batch_size: NonZeroUsize::MIN.saturating_add(9),
            ..Limits::default()
        };
        let urls = [self.proxy.url(), self.node.bitcoind.url()];
        Bitcoin::new(config(), pool(&urls, limits))
    }
}

/// Whether the first provider, and it alone, was put aside for this.
fn is_blamed(chain: &Bitcoin, fault: &str) -> bool {
    let statuses = chain.providers();
    statuses[0].faults.get(fault) == Some(&1)
        && !statuses[0].healthy
        && statuses[1].healthy
        && statuses[1].faults.values().all(|count| *count == 0)
}

/// Changes a block.
type Change = Box<dyn Fn(&mut bitcoin::Block) + Send + Sync>;

/// Changes the bytes of every block that is asked for.
fn in_blocks(
    change: impl Fn(&mut bitcoin::Block) + Send + Sync + 'static,
) -> impl Fn(&str, &Value, &mut Value) + Send + Sync + 'static {
    move |method, _, result| {
        if method == "getblock" {
            let bytes = hex::decode(result.as_str().unwrap()).unwrap();
            let mut block: bitcoin::Block = deserialize(&bytes).unwrap();
            change(&mut block);
            *result = json!(hex::encode(serialize(&block)));
        }
    }
}

#[tokio::test]
async fn a_block_that_is_not_what_its_header_says_is_refused_f3() {
    let scene = Scene::set().await;
    let lies: Vec<(&str, Change)> = vec![
        ("a transaction taken out", Box::new(|block| drop(block.txdata.remove(1)))),
        ("all of them taken out", Box::new(|block| block.txdata.truncate(1))),
        ("two exchanged", Box::new(|block| block.txdata.swap(1, 2))),
        (
            "an amount changed",
            Box::new(|block| {
                block.txdata[1].output[0].value += bitcoin::Amount::from_sat(1);
            }),
        ),
        ("the end doubled (CVE-2012-2459)", Box::new(|block| block.txdata.extend_from_within(2..))),
        (
            "another merkle root",
            Box::new(|block| block.header.merkle_root = bitcoin::hashes::Hash::all_zeros()),
        ),
        (
            "another parent",
            Box::new(|block| block.header.prev_blockhash = bitcoin::hashes::Hash::all_zeros()),
        ),
    ];
    for (name, lie) in lies {
        scene.proxy.lie(in_blocks(lie));
        let chain = scene.chain();
        let block = chain.block(At::Height(scene.height), &scene.watches).await;
        assert_eq!(block.as_ref(), Ok(&scene.honest), "{name}");
        assert!(is_blamed(&chain, "unproven"), "{name}: {:?}", chain.providers());
    }
}

#[tokio::test]
async fn headers_that_do_not_prove_themselves_are_refused_f5_f8() {
    let scene = Scene::set().await;
    let other = scene.node.bitcoind.block_hash(1).await.unwrap().to_string();
    let height = scene.height.0;
    let above = scene.node.bitcoind.block_hash(u32::try_from(height).unwrap() + 1).await.unwrap();
    let above = above.to_string();
    let lies: Vec<(&str, support::proxy::Lie)> = vec![
        (
            "a header of another merkle root",
            Box::new(|method, _, result| {
                if method == "getblockheader" {
                    result["merkleroot"] = json!("0".repeat(64));
                }
            }),
        ),
        (
            "an easier target",
            Box::new(|method, _, result| {
                if method == "getblockheader" {
                    result["bits"] = json!("2100ffff");
                }
            }),
        ),
        (
            "the block above in its place",
            Box::new(move |method, params, result| {
                if method == "getblockhash" && params[0] == json!(height) {
                    *result = json!(above);
                }
            }),
        ),
        (
            "a block from far below in its place",
            Box::new(move |method, params, result| {
                if method == "getblockhash" && params[0] == json!(height) {
                    *result = json!(other);
                }
            }),
        ),
        (
            "every height one too high",
            Box::new(|method, _, result| {
                if method == "getblockheader" {
                    result["height"] = json!(result["height"].as_u64().unwrap() + 1);
                }
            }),
        ),
    ];
    for (name, lie) in lies {
        scene.proxy.lie(lie);
        let chain = scene.chain();
        let block = chain.block(At::Height(scene.height), &scene.watches).await;
        assert_eq!(block.as_ref(), Ok(&scene.honest), "{name}");
        assert!(is_blamed(&chain, "unproven"), "{name}: {:?}", chain.providers());
    }
}

#[tokio::test]
async fn a_height_that_the_coinbase_denies_is_refused_f5() {
    let scene = Scene::set().await;
    scene.proxy.lie(|method, _, result| {
        if method == "getblockheader" {
            result["height"] = json!(result["height"].as_u64().unwrap() + 1);
        }
    });
    let chain = scene.chain();
    let at = scene.honest.header.at();
    let block = chain.block(at, &scene.watches).await;
    assert_eq!(block.as_ref(), Ok(&scene.honest));
    assert!(is_blamed(&chain, "unproven"), "{:?}", chain.providers());
}

#[tokio::test]
async fn a_range_that_does_not_link_is_refused_f8() {
    let scene = Scene::set().await;
    let (from, to) = (scene.height.minus(3), scene.height);
    let honest = scene.node.chain.blocks(from, to, &scene.watches).await.unwrap();
    // The branch that lost, in the midst of the one that won.
    let lost = scene.node.bitcoind.block_hash(u32::try_from(from.0).unwrap() + 1).await.unwrap();
    let depth = scene.node.bitcoind.height().await.unwrap() - u32::try_from(from.0).unwrap();
    scene.node.bitcoind.reorg(depth, &[&[], &[], &[], &[], &[], &[], &[]]).await.unwrap();
    let second = from.next().0;
    scene.proxy.lie(move |method, params, result| {
        if method == "getblockhash" && params[0] == json!(second) {
            *result = json!(lost.to_string());
        }
    });
    let chain = scene.chain();
    let blocks = chain.blocks(from, to, &scene.watches).await.unwrap();
    assert!(is_blamed(&chain, "unproven"), "{:?}", chain.providers());
    assert_eq!(blocks[0], honest[0], "the block below the fork stands on both branches");
    assert_ne!(blocks[1], honest[1]);
    for pair in blocks.windows(2) {
        assert_eq!(pair[1].header.parent, pair[0].header.hash);
    }
}

#[tokio::test]
async fn an_old_head_is_refused_and_is_no_reorg_f9() {
    let scene = Scene::set().await;
    let chain = scene.chain();
    let newest = chain.heads().await.unwrap();
    let old = scene.node.bitcoind.block_hash(20).await.unwrap();
    scene.proxy.lie(move |method, _, result| {
        if method == "getbestblockhash" {
            *result = json!(old.to_string());
        }
    });
    assert_eq!(chain.heads().await.unwrap(), newest, "the other provider's head is taken");
    assert!(is_blamed(&chain, "stale"), "{:?}", chain.providers());
}

#[tokio::test]
async fn another_chain_is_refused_f5() {
    let scene = Scene::set().await;
    let other = scene.node.bitcoind.block_hash(1).await.unwrap();
    scene.proxy.lie(move |method, params, result| {
        if method == "getblockhash" && params[0] == json!(0) {
            *result = json!(other.to_string());
        }
    });
    let chain = scene.chain();
    let block = chain.block(At::Height(scene.height), &scene.watches).await;
    assert_eq!(block.as_ref(), Ok(&scene.honest));
    assert!(is_blamed(&chain, "wrong_chain"), "{:?}", chain.providers());
}

#[tokio::test]
async fn a_body_that_never_ends_is_cut_off_f12() {
    let scene = Scene::set().await;
    scene.proxy.never_end();
    let chain = scene.chain();
    let block = chain.block(At::Height(scene.height), &scene.watches).await;
    assert_eq!(block.as_ref(), Ok(&scene.honest));
    assert!(is_blamed(&chain, "unreachable"), "{:?}", chain.providers());
}

#[tokio::test]
async fn where_all_lie_nothing_is_taken_i3() {
    let scene = Scene::set().await;
    scene.proxy.lie(in_blocks(|block| block.txdata.truncate(1)));
    let chain = Bitcoin::new(config(), pool(&[scene.proxy.url()], Limits::default()));
    let block = chain.block(At::Height(scene.height), &scene.watches).await;
    assert!(matches!(block, Err(ChainError::Unproven(_))), "{block:?}");
    let calls = scene.proxy.calls();
    assert!(calls > 0);
}
