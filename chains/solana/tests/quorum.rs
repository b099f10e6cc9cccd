//! Where a quorum is wanted, providers have to show the same in a block, not only the same hash.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::sync::Arc;

use confirmd_chain::{At, Block, BlockHash, Chain, ChainError, Height, WatchVersion};
use confirmd_solana::Solana;
use serde_json::{Value, json};
use support::cluster::{Cluster, FIRST, error};
use support::transaction::Transaction;
use support::{USDC, config, key, pool, watching};

fn ours() -> String {
    key(1)
}

/// One cluster behind three providers: a payment in a block above two skipped slots, beside one to
/// somebody else, and an empty block above it.
async fn scene() -> ([Cluster; 3], u64) {
    let pays = |n, to: &str| Transaction::of_tokens(n, USDC, to, 5).with_memo("order 5");
    let first = Cluster::start().await;
    let paid = first.make(2, vec![pays(1, &ours()), pays(2, &key(2))]);
    first.make(0, Vec::new());
    let (second, third) = (Cluster::start().await, Cluster::start().await);
    second.copy(&first);
    third.copy(&first);
    ([first, second, third], paid)
}

fn urls(clusters: &[Cluster]) -> Vec<String> {
    clusters.iter().map(Cluster::url).collect()
}

/// Two of these have to agree.
fn of_two(urls: &[String]) -> Solana {
    Solana::new(config(), pool(urls).with_quorum(2)).unwrap()
}

/// Shows a block with its own hash, and without the n-th of its transactions.
fn drops(liar: &Cluster, slot: u64, n: usize) {
    liar.lie(move |method, params, result| {
        let shown = result.get_mut("transactions").and_then(Value::as_array_mut);
        if method == "getBlock"
            && params[0] == json!(slot)
            && let Some(transactions) = shown
        {
            transactions.remove(n);
        }
    });
}

/// What a provider is blamed for.
fn faults(chain: &Solana, provider: usize) -> Vec<&'static str> {
    let statuses = chain.providers();
    let seen = statuses[provider].faults.iter().filter(|(_, count)| **count > 0);
    seen.map(|(kind, _)| *kind).collect()
}

async fn block(chain: &Solana, slot: u64) -> Result<Block, ChainError> {
    chain.block(At::Height(Height(slot)), &watching(&[&ours()])).await
}

#[tokio::test]
async fn a_block_is_taken_when_as_many_providers_as_configured_name_it() {
    let ([liar, second, third], paid) = scene().await;
    liar.lie(move |method, params, result| {
        if method == "getBlock" && params[0] == json!(paid) {
            result["blockhash"] = json!(key(31));
        }
    });
    let urls = [liar.url(), second.url(), third.url()];
    let chain = of_two(&urls);
    let found = block(&chain, paid).await.unwrap();
    assert_eq!(found.header.hash.as_str(), second.hash(paid));
    assert_eq!(faults(&chain, 0), ["forked"]);
    let names = chain.witnesses(&[Height(paid), Height(FIRST + 1)]).await;
    let theirs = |name| names.iter().find(|witness| witness.provider == name).unwrap();
    let expected = vec![Some(BlockHash::new(second.hash(paid))), None];
    assert_eq!(theirs("second").names, expected);
    assert_eq!(theirs("first").names[0], Some(BlockHash::new(key(31))));
    let alone = of_two(&urls[..1]);
    assert!(matches!(block(&alone, paid).await, Err(ChainError::Unproven(_))));
}

#[tokio::test]
async fn a_block_with_the_right_hash_and_a_payment_left_out_is_not_believed_i3() {
    for liar in 0..2 {
        let (clusters, paid) = scene().await;
        drops(&clusters[liar], paid, 0);
        let chain = of_two(&urls(&clusters[..2]));
        let Err(ChainError::Unproven(words)) = block(&chain, paid).await else {
            panic!("provider {liar} leaves a payment out, and nobody can tell who is wrong")
        };
        assert!(words.contains("shows other transfers in 103"), "{words}");
        let range = chain.blocks(Height(paid), Height(paid + 1), &watching(&[&ours()])).await;
        assert!(matches!(range, Err(ChainError::Unproven(_))), "{range:?}");
        assert!([0, 1].iter().all(|n| faults(&chain, *n).is_empty()), "neither is outvoted");
    }
}

#[tokio::test]
async fn two_who_show_a_payment_outvote_one_who_does_not_whoever_is_asked_first_i3() {
    for (liar, left_out) in [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1)] {
        for references in [false, true] {
            let (clusters, paid) = scene().await;
            drops(&clusters[liar], paid, left_out);
            let watches = watching(&[&ours()]);
            watches.want_references(references);
            let chain = of_two(&urls(&clusters));
            let found = chain.block(At::Height(Height(paid)), &watches).await.unwrap();
            assert_eq!(found.transfers.len(), 1, "{liar}");
            // The third one is not asked where two agree.
            let blamed: &[&str] = if liar < 2 { &["unproven"] } else { &[] };
            assert_eq!(faults(&chain, liar), blamed, "{liar} left out {left_out}");
            let honest = (0..3).filter(|n| *n != liar);
            assert!(honest.into_iter().all(|n| faults(&chain, n).is_empty()), "{liar}");
        }
    }
}

#[tokio::test]
async fn every_block_of_a_range_is_agreed_on_i3() {
    for liar in 0..3 {
        let ([first, second, third], _) = scene().await;
        let pays = |n| vec![Transaction::of_tokens(n, USDC, &ours(), 5)];
        let slots: Vec<u64> = (10..18).map(|n| first.make(n % 3, pays(n))).collect();
        second.copy(&first);
        third.copy(&first);
        let clusters = [first, second, third];
        drops(&clusters[liar], slots[3], 0);
        let chain = of_two(&urls(&clusters));
        let (from, to) = (Height(slots[0]), Height(slots[7]));
        let blocks = chain.blocks(from, to, &watching(&[&ours()])).await.unwrap();
        assert_eq!(blocks.len(), slots.len());
        assert!(blocks.iter().all(|block| block.transfers.len() == 1), "{liar}");
        let blamed: &[&str] = if liar < 2 { &["unproven"] } else { &[] };
        assert_eq!(faults(&chain, liar), blamed, "{liar}");
    }
}

#[tokio::test]
async fn a_payment_that_one_alone_shows_is_not_believed() {
    let (clusters, paid) = scene().await;
    let invented = Transaction::of_tokens(7, USDC, &ours(), 1_000).accounts_shown();
    clusters[0].lie(move |method, params, result| {
        if method == "getBlock" && params[0] == json!(paid) {
            result["transactions"].as_array_mut().unwrap().push(invented.clone());
        }
    });
    let chain = of_two(&urls(&clusters));
    assert_eq!(block(&chain, paid).await.unwrap().transfers.len(), 1);
    assert_eq!(faults(&chain, 0), ["unproven"]);
}

#[tokio::test]
async fn the_right_hash_upon_another_parent_is_not_agreed() {
    let (clusters, paid) = scene().await;
    clusters[0].lie(move |method, params, result| {
        if method == "getBlock" && params[0] == json!(paid) {
            result["parentSlot"] = json!(FIRST + 1);
        }
    });
    let chain = of_two(&urls(&clusters));
    let found = block(&chain, paid).await.unwrap();
    assert_eq!(found.header.parent_height, Height(FIRST));
    assert_eq!(faults(&chain, 0), ["unproven"]);
}

#[tokio::test]
async fn who_is_watched_since_the_first_one_was_asked_is_nobodys_fault_f22() {
    let (clusters, paid) = scene().await;
    let watches = Arc::new(watching(&[&ours()]));
    let (shared, later) = (Arc::clone(&watches), watching(&[&key(2)]));
    clusters[1].lie(move |method, _, _| {
        if method == "getBlock" {
            shared.add(later.view().keys().copied(), WatchVersion(2));
        }
    });
    let chain = of_two(&urls(&clusters));
    let at = At::Height(Height(paid));
    let found = chain.block(at.clone(), &watches).await.unwrap();
    assert_eq!((found.transfers.len(), found.watches), (1, WatchVersion(1)), "a backfill follows");
    assert_eq!(&*found.provider, "first");
    assert!((0..3).all(|n| faults(&chain, n).is_empty()), "{:?}", chain.providers());
    let found = chain.block(at, &watches).await.unwrap();
    assert_eq!((found.transfers.len(), found.watches), (2, WatchVersion(2)));
}

#[tokio::test]
async fn a_block_that_the_others_do_not_have_yet_is_waited_for() {
    let (clusters, paid) = scene().await;
    clusters[1].lie(move |method, params, result| {
        if method == "getBlock" && params[0] == json!(paid + 1) {
            *result = error(-32004, "Block not available for slot");
        }
    });
    let chain = of_two(&urls(&clusters[..2]));
    assert_eq!(block(&chain, paid + 1).await, Err(ChainError::NotFound));
    let blocks = chain.blocks(Height(paid), Height(paid + 1), &watching(&[&ours()])).await;
    assert_eq!(blocks.unwrap().len(), 1, "the range ends before it");
    assert!([0, 1].iter().all(|n| faults(&chain, *n).is_empty()));
}

#[tokio::test]
async fn without_a_quorum_nobody_else_is_asked() {
    let (clusters, paid) = scene().await;
    let chain = Solana::new(config(), pool(&urls(&clusters))).unwrap();
    block(&chain, paid).await.unwrap();
    chain.blocks(Height(paid), Height(paid + 1), &watching(&[&ours()])).await.unwrap();
    let asked = |cluster: &Cluster| cluster.asked("getBlock").len();
    assert_eq!(clusters.each_ref().map(asked), [3, 0, 0]);
}
