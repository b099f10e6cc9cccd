//! Providers lie, lag and fail: what they say is held against the links, and the next is asked.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use confirmd_chain::{At, Block, Chain, ChainError, Height, TransactionId, WatchVersion};
use confirmd_solana::Solana;
use serde_json::{Value, json};
use support::cluster::{Cluster, FIRST, error};
use support::transaction::Transaction;
use support::{USDC, chain, config, key, pool, signature, watching};

fn ours() -> String {
    key(1)
}

fn payment(n: u64) -> Transaction {
    Transaction::of_tokens(n, USDC, &ours(), 5)
}

/// What the first provider is blamed for.
fn faults(chain: &Solana) -> Vec<&'static str> {
    let statuses = chain.providers();
    let seen = statuses[0].faults.iter().filter(|(_, count)| **count > 0);
    seen.map(|(kind, _)| *kind).collect()
}

async fn block(chain: &Solana, slot: u64) -> Result<Block, ChainError> {
    chain.block(At::Height(Height(slot)), &watching(&[&ours()])).await
}

fn heights(blocks: &[Block]) -> Vec<u64> {
    blocks.iter().map(|block| block.header.height.0).collect()
}

/// A cluster with a payment in a block above two skipped slots, and one without.
async fn scene() -> (Cluster, u64) {
    let cluster = Cluster::start().await;
    let paid = cluster.make(2, vec![payment(1)]);
    cluster.make(0, Vec::new());
    (cluster, paid)
}

#[tokio::test]
async fn a_skipped_slot_is_proven_by_the_next_blocks_parent_f10() {
    // Whatever a node says instead of a block: none of it proves anything.
    let words = [
        error(-32007, "Slot 101 was skipped, or missing due to ledger jump to recent snapshot"),
        error(-32009, "Slot 101 was skipped, or missing in long-term storage"),
        error(-32004, "Block not available for slot 101"),
        error(-32014, "Block status not yet available for slot 101"),
        Value::Null,
    ];
    for said in words {
        let (cluster, paid) = scene().await;
        let shown = said.clone();
        cluster.lie(move |method, params, result| {
            if method == "getBlock" && params[0] == json!(FIRST + 1) {
                *result = shown.clone();
            }
        });
        let found = block(cluster.solana(), FIRST + 1).await.unwrap();
        assert_eq!(found.header.height, Height(paid), "{said}: the first block above");
        assert_eq!(found.header.parent_height, Height(FIRST), "{said}: proves what was skipped");
        assert_eq!(found.transfers.len(), 1, "{said}");
        assert_eq!(faults(cluster.solana()), [""; 0], "{said}: nobody is at fault");
    }
}

#[tokio::test]
async fn a_block_that_is_said_to_be_skipped_is_not_passed_over_f10() {
    // The node has lost the payment's block, and names the next one.
    let (cluster, paid) = scene().await;
    let (_, next) = (cluster.hash(paid), paid + 1);
    cluster.lie(move |method, params, result| match method {
        "getBlock" if params[0] == json!(paid) => {
            *result = error(-32007, "Slot was skipped, or missing due to ledger jump");
        }
        "getBlocksWithLimit" => *result = json!([next]),
        _ => {}
    });
    let told = block(cluster.solana(), paid).await;
    assert!(matches!(told, Err(ChainError::Unproven(_))), "{told:?}");
    assert_eq!(faults(cluster.solana()), ["unproven"]);
    let honest = Cluster::start().await;
    honest.copy(&cluster);
    let both = chain(&[cluster.url(), honest.url()]);
    assert_eq!(block(&both, paid).await.unwrap().transfers.len(), 1, "the next one is asked");
    assert_eq!(faults(&both), ["unproven"]);
}

#[tokio::test]
async fn a_block_that_is_not_there_yet_is_not_found_and_nobodys_fault_f10() {
    let (cluster, paid) = scene().await;
    for slot in [paid + 2, paid + 1_000] {
        assert_eq!(block(cluster.solana(), slot).await, Err(ChainError::NotFound));
        let header = cluster.solana().header(At::Height(Height(slot))).await;
        assert_eq!(header, Err(ChainError::NotFound));
    }
    // It names the newest one, and does not show it yet.
    cluster.lie(move |method, params, result| {
        if method == "getBlock" && params[0] == json!(paid) {
            *result = error(-32004, "Block not available for slot");
        }
    });
    assert_eq!(block(cluster.solana(), paid).await, Err(ChainError::NotFound));
    assert_eq!(faults(cluster.solana()), [""; 0]);
}

#[tokio::test]
async fn a_short_history_is_no_lie_f10() {
    let short = Cluster::start().await;
    let slots: Vec<u64> = (1..=6).map(|n| short.make(n % 2, vec![payment(n)])).collect();
    let honest = Cluster::start().await;
    honest.copy(&short);
    let (from, kept, last) = (slots[0], slots[3], slots[5]);
    let all = slots.clone();
    short.lie(move |method, params, result| match method {
        "getBlock" if params[0].as_u64() < Some(kept) => {
            let words = "cleaned up, does not exist on node. First available block:";
            *result = error(-32001, &format!("Block {} {words} {kept}", params[0]));
        }
        "getBlocksWithLimit" => {
            let later = all.iter().copied().filter(|slot| *slot >= kept);
            *result = later.take(usize::try_from(params[1].as_u64().unwrap()).unwrap()).collect();
        }
        _ => {}
    });
    let watches = watching(&[&ours()]);
    assert_eq!(block(short.solana(), from).await, Err(ChainError::NotFound));
    let header = short.solana().header(At::Height(Height(from))).await;
    assert_eq!(header, Err(ChainError::NotFound));
    assert_eq!(short.asked("getBlocksWithLimit").len(), 0, "no later block says more");
    let alone = short.solana().blocks(Height(from), Height(last), &watches).await;
    assert_eq!(alone, Err(ChainError::NotFound));
    assert_eq!(faults(short.solana()), [""; 0]);
    let both = chain(&[short.url(), honest.url()]);
    assert_eq!(block(&both, from).await.unwrap().transfers.len(), 1, "the next one is asked");
    let blocks = both.blocks(Height(from), Height(last), &watches).await.unwrap();
    assert_eq!(heights(&blocks), slots);
    assert_eq!(faults(&both), [""; 0]);
}

#[tokio::test]
async fn another_provider_has_what_one_lacks_f10() {
    let (lagging, paid) = scene().await;
    let honest = Cluster::start().await;
    honest.copy(&lagging);
    lagging.forget_from(paid);
    let both = chain(&[lagging.url(), honest.url()]);
    assert_eq!(block(&both, paid).await.unwrap().transfers.len(), 1);
    assert_eq!(faults(&both), [""; 0], "to be behind by a block is no fault");
}

#[tokio::test]
async fn a_block_of_a_branch_that_is_gone_is_not_found() {
    let (cluster, paid) = scene().await;
    let old = block(cluster.solana(), paid).await.unwrap().header;
    cluster.forget_from(paid);
    let watches = watching(&[&ours()]);
    assert_eq!(cluster.solana().block(old.at(), &watches).await, Err(ChainError::NotFound));
    cluster.make(2, Vec::new());
    assert_eq!(cluster.solana().block(old.at(), &watches).await, Err(ChainError::NotFound));
    let new = block(cluster.solana(), paid).await.unwrap();
    assert_ne!(new.header.hash, old.hash);
    assert_eq!((new.header.parent, new.transfers), (old.parent, Vec::new()));
    assert_eq!(faults(cluster.solana()), [""; 0]);
}

/// One way in which a node fails, as what it shows, and how it ends when there is nobody else.
type Story = (&'static str, Value, &'static str, fn(&ChainError) -> bool);

fn failures() -> Vec<Story> {
    let unproven = |error: &ChainError| matches!(error, ChainError::Unproven(_));
    let unavailable = |error: &ChainError| matches!(error, ChainError::Unavailable(_));
    let misconfigured = |error: &ChainError| matches!(error, ChainError::Misconfigured(_));
    let version = "Transaction version (2) is not supported by the requesting client. Please try \
                   the request again with the following configuration parameter: \
                   \"maxSupportedTransactionVersion\": 2";
    vec![
        ("behind its cluster", error(-32005, "Node is behind by 42 slots"), "stale", unproven),
        ("unhealthy", error(-32005, "Node is unhealthy"), "stale", unproven),
        (
            "behind us",
            error(-32016, "Minimum context slot has not been reached"),
            "stale",
            unproven,
        ),
        (
            "without history",
            error(-32011, "Transaction history is not available from this node"),
            "",
            misconfigured,
        ),
        ("with a transaction of version 2", error(-32015, version), "", misconfigured),
        (
            "without its long-term storage",
            error(-32019, "Failed to query long-term storage; please try again"),
            "unreachable",
            unavailable,
        ),
        ("without sense", json!("a block"), "malformed", unavailable),
    ]
}

#[tokio::test]
async fn each_of_agaves_codes_is_taken_for_what_it_means_f10() {
    for (name, said, fault, is_right) in failures() {
        let (failing, paid) = scene().await;
        let honest = Cluster::start().await;
        honest.copy(&failing);
        failing.lie(move |method, _, result| {
            if method == "getBlock" {
                *result = said.clone();
            }
        });
        let told = block(failing.solana(), paid).await.unwrap_err();
        assert!(is_right(&told), "{name}: {told:?}");
        let both = chain(&[failing.url(), honest.url()]);
        let found = block(&both, paid).await.unwrap();
        assert_eq!(found.transfers.len(), 1, "{name}: the next one is asked");
        assert_eq!(&*found.provider, "second", "{name}");
        let blamed: Vec<&str> = if fault.is_empty() { vec![] } else { vec![fault] };
        assert_eq!(faults(&both), blamed, "{name}");
    }
}

#[tokio::test]
async fn a_version_that_is_not_read_is_named() {
    let cluster = Cluster::start().await;
    let mut newest = payment(1);
    newest.version = json!(1);
    let slot = cluster.make(0, vec![newest]);
    assert_eq!(
        block(cluster.solana(), slot).await.unwrap().transfers.len(),
        1,
        "version 1 is read"
    );
    let mut newer = payment(2);
    newer.version = json!(2);
    let slot = cluster.make(0, vec![newer]);
    let Err(ChainError::Misconfigured(words)) = block(cluster.solana(), slot).await else {
        panic!("a block that cannot be read is not passed over")
    };
    assert!(words.contains("newer confirmd"), "{words}");
}

#[tokio::test]
async fn another_cluster_is_refused_before_anything_is_believed() {
    let (cluster, paid) = scene().await;
    cluster.lie(|method, _, result| {
        if method == "getGenesisHash" {
            *result = json!("EtWTRABZaYq6iMfeYKouRu166VU2xqa1wcaWoxPkrZBG");
        }
    });
    assert!(matches!(block(cluster.solana(), paid).await, Err(ChainError::Misconfigured(_))));
    assert!(cluster.solana().heads().await.is_err());
    let report = &cluster.solana().probe().await[0];
    assert!(report.reachable && !report.chain_agrees && report.problem.is_some(), "{report:?}");
    // A local cluster has a first block of its own.
    let mut anything = config();
    anything.genesis = None;
    let local = Solana::new(anything, pool(&[cluster.url()])).unwrap();
    assert_eq!(block(&local, paid).await.unwrap().transfers.len(), 1);
}

#[tokio::test]
async fn a_range_is_linked_and_complete_f8() {
    let cluster = Cluster::start().await;
    let slots: Vec<u64> = (1..=8).map(|n| cluster.make(n % 3, vec![payment(n)])).collect();
    let (first, last) = (slots[0], slots[7]);
    let watches = watching(&[&ours()]);
    let range = |from, to| cluster.solana().blocks(Height(from), Height(to), &watches);
    let blocks = range(FIRST + 1, last).await.unwrap();
    assert_eq!(heights(&blocks), slots);
    assert!(blocks.iter().all(|block| block.transfers.len() == 1));
    let to = slots[3] - 1;
    assert!(heights(&range(FIRST + 1, to).await.unwrap()).iter().all(|height| *height <= to));
    let planned = cluster.solana().heights(Height(first), Height(last), 3).await.unwrap();
    assert_eq!(planned, slots[..3].iter().copied().map(Height).collect::<Vec<_>>());
    let planned = cluster.solana().heights(Height(first), Height(slots[1]), 100).await.unwrap();
    assert_eq!(planned.len(), 2, "no more than was asked for");
    assert_eq!(range(last + 1, last + 9).await, Err(ChainError::NotFound));
}

#[tokio::test]
async fn where_a_whole_range_was_skipped_the_first_block_above_it_proves_that() {
    let cluster = Cluster::start().await;
    let far = cluster.make(50, vec![payment(1)]);
    let watches = watching(&[&ours()]);
    let (from, to) = (Height(FIRST + 1), Height(FIRST + 9));
    let blocks = cluster.solana().blocks(from, to, &watches).await.unwrap();
    assert_eq!(heights(&blocks), [far]);
    assert_eq!(blocks[0].header.parent_height, Height(FIRST));
    assert_eq!(cluster.solana().heights(from, to, 100).await, Ok(Vec::new()));
}

#[tokio::test]
async fn a_range_ends_before_what_a_provider_does_not_show_f10() {
    let cluster = Cluster::start().await;
    let slots: Vec<u64> = (1..=4).map(|n| cluster.make(0, vec![payment(n)])).collect();
    let lost = slots[2];
    cluster.lie(move |method, params, result| {
        if method == "getBlock" && params[0] == json!(lost) {
            *result = Value::Null;
        }
    });
    let watches = watching(&[&ours()]);
    let (from, to) = (Height(slots[0]), Height(slots[3]));
    let blocks = cluster.solana().blocks(from, to, &watches).await.unwrap();
    assert_eq!(heights(&blocks), slots[..2]);
    let none = cluster.solana().blocks(Height(lost), to, &watches).await;
    assert_eq!(none, Err(ChainError::NotFound));
}

#[tokio::test]
async fn a_range_that_does_not_fit_together_is_refused_f8_f10() {
    type Lie = fn(u64, &Value, &str, &mut Value);
    let lies: [(&str, Lie); 7] = [
        ("a slot is left out", |slot, _, method, result| {
            if method == "getBlocksWithLimit" {
                result.as_array_mut().unwrap().retain(|shown| *shown != json!(slot));
            }
        }),
        ("slots out of order", |_, _, method, result| {
            if method == "getBlocksWithLimit" {
                result.as_array_mut().unwrap().reverse();
            }
        }),
        ("slots below what was asked for", |_, _, method, result| {
            if method == "getBlocksWithLimit" {
                result[0] = json!(1);
            }
        }),
        ("a parent of another branch", |slot, params, method, result| {
            if method == "getBlock" && params[0] == json!(slot) {
                result["previousBlockhash"] = json!(key(31));
            }
        }),
        ("another block for the one that was asked for", |slot, params, method, result| {
            if method == "getBlock" && params[0] == json!(slot) {
                result["blockhash"] = json!(key(31));
            }
        }),
        ("a parent lower than the block before", |slot, params, method, result| {
            if method == "getBlock" && params[0] == json!(slot) {
                result["parentSlot"] = json!(slot - 2);
            }
        }),
        ("blocks that are not counted by one", |slot, params, method, result| {
            if method == "getBlock" && params[0] == json!(slot) {
                result["blockHeight"] = json!(7);
            }
        }),
    ];
    for (name, lie) in lies {
        let liar = Cluster::start().await;
        let slots: Vec<u64> = (1..=5).map(|n| liar.make(0, vec![payment(n)])).collect();
        let honest = Cluster::start().await;
        honest.copy(&liar);
        let changed = slots[2];
        liar.lie(move |method, params, result| lie(changed, params, method, result));
        let both = chain(&[liar.url(), honest.url()]);
        let (from, to) = (Height(slots[0]), Height(slots[4]));
        let blocks = both.blocks(from, to, &watching(&[&ours()])).await.unwrap();
        assert_eq!(heights(&blocks), slots, "{name}: the next one is asked");
        assert_eq!(faults(&both), ["unproven"], "{name}");
        assert!(blocks.iter().all(|block| block.transfers.len() == 1), "{name}");
    }
}

#[tokio::test]
async fn the_newest_block_is_the_newest_that_can_be_had() {
    let (cluster, paid) = scene().await;
    let newest = paid + 1;
    let heads = cluster.solana().heads().await.unwrap();
    assert_eq!(heads.latest.height, Height(newest));
    assert_eq!(heads.finalized, Some(Height(FIRST)));
    // It is confirmed, and not written yet.
    cluster.lie(move |method, params, result| {
        if method == "getBlock" && params[0] == json!(newest) {
            *result = error(-32004, "Block not available for slot");
        }
    });
    let heads = cluster.solana().heads().await.unwrap();
    assert_eq!(heads.latest.hash.as_str(), cluster.hash(paid));
    assert_eq!(faults(cluster.solana()), [""; 0]);
    cluster.lie(|method, _, result| {
        if method == "getBlock" {
            *result = Value::Null;
        }
    });
    assert!(matches!(cluster.solana().heads().await, Err(ChainError::Unproven(_))));
    assert_eq!(faults(cluster.solana()), ["stale"]);
}

#[tokio::test]
async fn a_provider_that_is_far_behind_is_put_aside_f9() {
    let (honest, _) = scene().await;
    for _ in 0..100 {
        honest.make(0, Vec::new());
    }
    let heads = honest.solana().heads().await.unwrap();
    let lagging = Cluster::start().await;
    let both = chain(&[honest.url(), lagging.url()]);
    assert_eq!(both.heads().await.unwrap(), heads);
    honest.lie(|_, _, result| *result = error(-32603, "Internal error"));
    let told = both.heads().await.unwrap();
    assert_eq!(told.latest.height, Height(FIRST), "where all are behind, that is where it is");
    assert_eq!(both.providers()[1].faults.get("stale"), Some(&1));
}

#[tokio::test]
async fn thirty_two_slots_are_never_counted_before_the_cluster_says_final_i6() {
    let (cluster, _) = scene().await;
    let tip = (0..60).map(|_| cluster.make(0, Vec::new())).last().unwrap();
    let finalized = tip - 50;
    cluster.lie(move |method, params, result| {
        if method == "getSlot" && params[0]["commitment"] == "finalized" {
            *result = json!(finalized);
        }
    });
    let heads = cluster.solana().heads().await.unwrap();
    assert_eq!(heads.finalized, Some(Height(finalized)));
    assert_eq!(heads.latest.height, Height(finalized + 31), "the 32nd slot from the final one");
}

#[tokio::test]
async fn instructions_are_fetched_only_where_somebody_waits_for_a_memo() {
    let (cluster, _) = scene().await;
    let slot = cluster.make(0, vec![payment(9).with_memo("order 9")]);
    let watches = watching(&[&ours()]);
    let at = At::Height(Height(slot));
    let found = cluster.solana().block(at.clone(), &watches).await.unwrap();
    assert_eq!(found.transfers[0].memo, None);
    watches.want_references(true);
    let found = cluster.solana().block(at, &watches).await.unwrap();
    assert_eq!(found.transfers[0].memo.as_deref(), Some("order 9"));
    let details: Vec<Value> = cluster
        .asked("getBlock")
        .iter()
        .map(|params| params[1]["transactionDetails"].clone())
        .collect();
    assert_eq!(details, ["accounts", "full"]);
}

#[tokio::test]
async fn who_waits_for_a_memo_while_a_block_is_fetched_is_told_that_it_was_without_f22() {
    let (cluster, _) = scene().await;
    let slot = cluster.make(0, vec![payment(9).with_memo("order 9")]);
    let watches = std::sync::Arc::new(watching(&[&ours()]));
    let shared = std::sync::Arc::clone(&watches);
    cluster.lie(move |method, _, _| {
        if method == "getBlock" {
            shared.want_references(true);
            shared.add([], WatchVersion(2));
        }
    });
    let at = At::Height(Height(slot));
    let found = cluster.solana().block(at.clone(), &watches).await.unwrap();
    assert_eq!(found.watches, WatchVersion(1), "so a backfill looks for memos in it");
    let found = cluster.solana().block(at, &watches).await.unwrap();
    assert_eq!(found.watches, WatchVersion(2));
    assert_eq!(found.transfers[0].memo.as_deref(), Some("order 9"));
}

#[tokio::test]
async fn a_transaction_is_found_with_what_became_of_it() {
    let cluster = Cluster::start().await;
    let slot = cluster.make(3, vec![payment(1), payment(2).failed()]);
    for (n, succeeded) in [(1, true), (2, false)] {
        let id = TransactionId::new(signature(n));
        let found = cluster.solana().transaction(&id).await.unwrap().unwrap();
        assert_eq!((found.header.height, found.succeeded), (Height(slot), succeeded));
    }
    for unknown in [signature(3), key(3), "junk".to_owned(), String::new()] {
        let found = cluster.solana().transaction(&TransactionId::new(unknown)).await;
        assert_eq!(found, Ok(None));
    }
    assert_eq!(cluster.asked("getTransaction").len(), 3, "what is no id is not asked for");
}
