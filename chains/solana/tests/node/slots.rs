//! Slots, blocks and where transactions stand.

use std::time::Duration;

use confirmd_chain::{At, Chain, Height, TransactionId};
use confirmd_rpc::{Limits, Pool};
use confirmd_solana::Solana;
use serde_json::json;
use solana_keypair::Signer;
use solana_pubkey::Pubkey;
use tokio::time::timeout;

use crate::support::{FIRST, Node, PRICE};

const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn the_newest_block_is_confirmed_and_what_is_31_slots_older_is_final() {
    let node = Node::start().await;
    let open = node.surfpool.mine(5).await.unwrap();
    let heads = node.chain.heads().await.unwrap();
    assert_eq!(heads.latest.height, Height(open - 1), "the open slot may still get transactions");
    assert_eq!(heads.finalized, Some(Height(open - 31)));
}

#[tokio::test]
async fn blocks_are_read_ahead_in_order_and_link_by_slot_and_hash_i3() {
    let node = Node::start().await;
    let watches = node.watching(&[Pubkey::new_unique()], false);
    for _ in 0..20 {
        node.usdc.pay(&node.buyer, &Pubkey::new_unique(), PRICE).await.unwrap();
        node.surfpool.mine(3).await.unwrap();
    }
    let blocks = node.blocks(FIRST, &watches).await;
    let heights: Vec<Height> = blocks.iter().map(|block| block.header.height).collect();
    let latest = node.chain.heads().await.unwrap().latest;
    let all: Vec<Height> = (FIRST.0..=latest.height.0).map(Height).collect();
    assert_eq!(heights, all);
    assert_eq!(node.chain.heights(FIRST, latest.height, 1_000).await.unwrap(), all);
    for pair in blocks.windows(2) {
        let (below, above) = (&pair[0].header, &pair[1].header);
        assert_eq!((&above.parent, above.parent_height), (&below.hash, below.height));
        assert!(below.time <= above.time);
    }
    // One by one, by slot or by hash, they are the same.
    for block in blocks.iter().step_by(7) {
        let (height, hash) = (block.header.height, block.header.hash.clone());
        for at in [At::Height(height), At::Block { height, hash }] {
            assert_eq!(node.chain.block(at.clone(), &watches).await.unwrap(), *block);
            assert_eq!(node.chain.header(at).await.unwrap(), block.header);
        }
    }
}

#[tokio::test]
async fn a_block_that_is_not_there_yet_is_no_empty_block_i3_f10() {
    let node = Node::start().await;
    let above = node.chain.heads().await.unwrap().latest.height.next();
    let watches = node.watching(&[Pubkey::new_unique()], false);
    let beyond = above.plus(100);
    assert!(node.chain.block(At::Height(beyond), &watches).await.is_err());
    assert!(node.chain.header(At::Height(beyond)).await.is_err());
    assert!(node.chain.blocks(beyond, beyond.plus(3), &watches).await.is_err());
}

#[tokio::test]
async fn a_transaction_is_found_in_its_block_whether_it_succeeded_or_not_i11() {
    let node = Node::start().await;
    let shop = Pubkey::new_unique();
    let paid = node.usdc.pay(&node.buyer, &shop, PRICE).await.unwrap();
    let too_much = node.usdc.transferring(&node.buyer.pubkey(), &shop, 9_000 * PRICE);
    let failed = node.surfpool.send_failing(&[too_much], &[&node.buyer]).await.unwrap();
    node.mine().await;
    let slot = node.surfpool.slot_of(&paid).await.unwrap();
    for (id, succeeded) in [(&paid, true), (&failed, false)] {
        let found =
            node.chain.transaction(&TransactionId::new(id.as_str())).await.unwrap().unwrap();
        assert_eq!((found.header.height, found.succeeded), (Height(slot), succeeded));
    }
    let nobody = bs58::encode([7; 64]).into_string();
    assert_eq!(node.chain.transaction(&TransactionId::new(nobody)).await.unwrap(), None);
}

#[tokio::test]
async fn a_new_slot_wakes_the_follower() {
    let node = Node::start().await;
    let (url, ws) = (node.surfpool.url(), node.surfpool.ws_url());
    let provider = json!({ "name": "first", "url": url, "ws": ws });
    let provider = serde_json::from_value(provider).unwrap();
    let pool = Pool::new("solana", &[provider], Limits::default()).unwrap();
    let chain = Solana::new(node.chain.config().clone(), pool).unwrap();
    let mine_on = async {
        loop {
            node.mine().await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let woken = async {
        tokio::select! {
            () = chain.woken() => {}
            () = mine_on => {}
        }
    };
    timeout(SOON, woken).await.unwrap();
}

#[tokio::test]
async fn a_probe_finds_every_method_that_is_used() {
    let node = Node::start().await;
    let reports = node.chain.probe().await;
    assert_eq!(reports.len(), 1);
    assert!(reports[0].reachable && reports[0].chain_agrees, "{reports:?}");
    assert!(reports[0].methods.values().all(|there| *there), "{reports:?}");
    assert_eq!(reports[0].problem, None);
}
