//! Providers lie, lag and fail: what they say is held against the block, and the next is asked.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use alloy_consensus::{Header, TxEnvelope};
use alloy_primitives::B256;
use confirmd_chain::{
    Asset, At, Block, BlockHash, Chain, ChainError, Height, Proof, ProviderStatus, TransferIndex,
    WatchSet, WatchVersion,
};
use confirmd_evm::{Evm, EvmConfig, Finality, ReceiptEncoding, Tag, Traces, Verify, parse_address};
use serde_json::{Value, json};
use support::scripted::{Scripted, number};

/// Heights 3, 4 and 5 of one chain.
fn recorded() -> Vec<Value> {
    [
        include_str!("golden/mixed.json"),
        include_str!("golden/many.json"),
        include_str!("golden/empty.json"),
    ]
    .map(|file| serde_json::from_str(file).unwrap())
    .to_vec()
}

fn field(name: &str) -> String {
    recorded()[0][name].as_str().unwrap().to_owned()
}

fn config(verify: Verify, native: bool) -> EvmConfig {
    let token = parse_address(&field("token")).unwrap();
    EvmConfig { verify, native, ..support::config(vec![token]) }
}

fn watches(evm: &Evm) -> WatchSet {
    let watched = evm.parse_address(&field("watched")).unwrap();
    WatchSet::new([evm.watch_key(&watched)], WatchVersion(1))
}

async fn mixed(evm: &Evm) -> Result<Block, ChainError> {
    evm.block(At::Height(Height(3)), &watches(evm)).await
}

fn faults(status: &ProviderStatus) -> Vec<(&'static str, u64)> {
    status.faults.iter().filter(|(_, n)| **n > 0).map(|(kind, n)| (*kind, *n)).collect()
}

/// What the golden block pays to the watched address: amount and place.
fn paid(block: &Block) -> Vec<(Asset, TransferIndex, String)> {
    let facts = block.transfers.iter();
    facts.map(|t| (t.asset.clone(), t.id.index.clone(), t.amount.to_string())).collect()
}

const LIST: [&str; 2] = ["eth_getBlockByNumber", "eth_getBlockByHash"];

#[tokio::test]
async fn a_block_is_decoded_alike_in_every_way_of_verifying_f24() {
    let node = Scripted::honest(&recorded()).await;
    let mut native_coin = 0;
    for (verify, receipts, native) in [
        (Verify::Receipts, Some(ReceiptEncoding::Ethereum), true),
        (Verify::Receipts, Some(ReceiptEncoding::Ethereum), false),
        (Verify::Logs, Some(ReceiptEncoding::Ethereum), true),
        (Verify::Logs, None, false),
        (Verify::Logs, Some(ReceiptEncoding::Arbitrum), true),
    ] {
        let config = EvmConfig { receipts, ..config(verify, native) };
        let evm = Evm::new(config, support::pool(&[node.url()])).unwrap();
        let block = mixed(&evm).await.unwrap();
        let paid = paid(&block);
        let tokens: Vec<(TransferIndex, &str)> = paid
            .iter()
            .filter(|(asset, _, _)| *asset != Asset::Native)
            .map(|(_, index, amount)| (index.clone(), amount.as_str()))
            .collect();
        let half = "57896044618658097711785492504343953926634992332820282019728792003956564819968";
        let log = TransferIndex::Log;
        let expected =
            [(log(0), "1"), (log(1), "1"), (log(2), "1"), (log(0), "12500000"), (log(0), half)];
        assert_eq!(tokens, expected, "{verify:?} {receipts:?}");
        let coins: Vec<_> = paid.iter().filter(|(asset, _, _)| *asset == Asset::Native).collect();
        assert_eq!(coins.len(), usize::from(native));
        for (_, index, amount) in coins {
            assert_eq!((index, amount.as_str()), (&TransferIndex::Value, "1000000000000000000"));
            native_coin += 1;
        }
        let proof = if verify == Verify::Receipts { Proof::Commitment } else { Proof::Logs };
        assert_eq!(block.proof, proof);
    }
    assert_eq!(native_coin, 3);
}

/// One way of lying, in which way of verifying it is told, and as what fault it shows.
struct Story {
    name: &'static str,
    verify: Verify,
    native: bool,
    fault: Option<&'static str>,
    lie: fn(&str, &Value, &mut Value),
}

const RECEIPTS: (Verify, bool) = (Verify::Receipts, false);
const LOGS: (Verify, bool) = (Verify::Logs, false);

fn story(
    name: &'static str,
    (verify, native): (Verify, bool),
    fault: &'static str,
    lie: fn(&str, &Value, &mut Value),
) -> Story {
    Story { name, verify, native, fault: (!fault.is_empty()).then_some(fault), lie }
}

fn stories() -> Vec<Story> {
    vec![
        story("no receipts for a block with receipts (F1)", RECEIPTS, "unproven", |m, _, r| {
            if m == "eth_getBlockReceipts" {
                *r = json!([]);
            }
        }),
        story("one log is missing (F3)", RECEIPTS, "unproven", |m, _, r| {
            if m == "eth_getBlockReceipts" {
                r[0]["logs"].as_array_mut().unwrap().pop();
            }
        }),
        story("the amount of a log is higher (F5)", RECEIPTS, "unproven", |m, _, r| {
            if m == "eth_getBlockReceipts" {
                r[0]["logs"][0]["data"] = json!(format!("0x{:064x}", 2));
            }
        }),
        story("two transactions swap their hashes everywhere (F5)", RECEIPTS, "unproven", swap),
        story("the same, with coin looked for", (Verify::Receipts, true), "unproven", swap),
        story("null receipts (F4)", RECEIPTS, "stale", |m, _, r| {
            if m == "eth_getBlockReceipts" {
                *r = Value::Null;
            }
        }),
        story("a null transaction list (F4)", RECEIPTS, "malformed", |m, _, r| {
            if LIST.contains(&m) {
                r["transactions"] = Value::Null;
            }
        }),
        story("a null block (F4)", RECEIPTS, "", |m, _, r| {
            if LIST.contains(&m) {
                *r = Value::Null;
            }
        }),
        story("another chain (F5)", RECEIPTS, "wrong_chain", |m, _, r| {
            if m == "eth_chainId" {
                *r = json!("0x1");
            }
        }),
        story("another block than the one asked for", RECEIPTS, "unproven", |m, _, r| {
            if m == "eth_getBlockByNumber" {
                *r = recorded()[2]["block"].clone();
            }
        }),
        story("something else", RECEIPTS, "malformed", |m, _, r| {
            if m == "eth_getBlockReceipts" {
                *r = json!("try again");
            }
        }),
        story("a payment of coin is left out", (Verify::Receipts, true), "unproven", no_coin),
        story("the same by logs", (Verify::Logs, true), "unproven", no_coin),
        story("a sender is invented", (Verify::Receipts, true), "", |m, _, r| {
            if LIST.contains(&m) {
                for transaction in r["transactions"].as_array_mut().unwrap() {
                    transaction["from"] = transaction["to"].clone();
                }
            }
        }),
        story("logs of another block (F5)", LOGS, "unproven", |m, _, r| {
            if m == "eth_getLogs" {
                r[0]["blockHash"] = json!(B256::repeat_byte(1));
            }
        }),
        story("a log twice (F5)", LOGS, "unproven", |m, _, r| {
            if m == "eth_getLogs" {
                let first = r[0].clone();
                r.as_array_mut().unwrap().insert(0, first);
            }
        }),
        story("logs and receipt disagree (F5)", LOGS, "unproven", |m, _, r| {
            if m == "eth_getLogs" {
                r[0]["data"] = json!(format!("0x{:064x}", 2));
            }
        }),
        story("one of a transaction's logs is missing (F3)", LOGS, "unproven", |m, _, r| {
            if m == "eth_getLogs" {
                r.as_array_mut().unwrap().remove(1);
            }
        }),
        story("no receipt of a transaction with a hit (F4)", LOGS, "stale", |m, _, r| {
            if m == "eth_getTransactionReceipt" {
                *r = Value::Null;
            }
        }),
        story("null logs (F4)", LOGS, "stale", |m, _, r| {
            if m == "eth_getLogs" {
                *r = Value::Null;
            }
        }),
        story("a block that its node has not seen (F1)", LOGS, "stale", |m, _, r| {
            if m == "eth_getLogs" {
                *r = json!({ "error": { "code": -32000, "message": "unknown block" } });
            }
        }),
        story(
            "no logs against the bloom, nor receipts to settle it (F2)",
            LOGS,
            "unproven",
            |m, _, r| match m {
                "eth_getLogs" => *r = json!([]),
                "eth_getBlockReceipts" => {
                    *r = json!({ "error": { "code": -32601, "message": "Method not found" } });
                }
                _ => {}
            },
        ),
    ]
}

/// Shows all transactions as carrying nothing.
fn no_coin(method: &str, _: &Value, result: &mut Value) {
    if LIST.contains(&method) {
        for transaction in result["transactions"].as_array_mut().unwrap() {
            transaction["value"] = json!("0x0");
        }
    }
}

/// Swaps the hashes of the two token payments, so that receipts, logs and block agree.
fn swap(_: &str, _: &Value, result: &mut Value) {
    let receipts = recorded()[0]["receipts"].clone();
    let (a, b) = (&receipts[0]["transactionHash"], &receipts[1]["transactionHash"]);
    let (a, b) = (a.as_str().unwrap(), b.as_str().unwrap());
    let text = result.to_string().replace(a, "swapped").replace(b, a).replace("swapped", b);
    *result = serde_json::from_str(&text).unwrap();
}

#[tokio::test]
async fn a_liar_is_put_aside_and_the_next_one_serves_f1_f2_f3_f4_f5() {
    let honest = Scripted::honest(&recorded()).await;
    for story in stories() {
        let config = config(story.verify, story.native);
        let alone = Evm::new(config.clone(), support::pool(&[honest.url()])).unwrap();
        let truth = mixed(&alone).await.unwrap();
        let lie = story.lie;
        let liar = Scripted::lying(&recorded(), lie).await;
        let both = support::pool(&[liar.url(), honest.url()]);
        let evm = Evm::new(config.clone(), both).unwrap();
        assert_eq!(mixed(&evm).await.as_ref(), Ok(&truth), "{}", story.name);
        let statuses = evm.providers();
        let expected: Vec<_> = story.fault.into_iter().map(|kind| (kind, 1)).collect();
        assert_eq!(faults(&statuses[0]), expected, "{}", story.name);
        assert_eq!(statuses[0].healthy, story.fault.is_none(), "{}", story.name);
        assert!(statuses[1].healthy, "{}", story.name);

        let evm = Evm::new(config, support::pool(&[liar.url()])).unwrap();
        match (story.fault, mixed(&evm).await) {
            (Some("unproven" | "stale"), Err(ChainError::Unproven(words))) => {
                assert!(words.contains("first"), "{}: {words}", story.name);
            }
            (Some("malformed"), Err(ChainError::Unavailable(_))) => {}
            (Some("wrong_chain"), Err(ChainError::Misconfigured(_))) => {}
            (None, Err(ChainError::NotFound)) => {}
            (None, Ok(block)) => assert_eq!(block, truth, "{}", story.name),
            (_, other) => panic!("{}: {other:?}", story.name),
        }
    }
}

#[tokio::test]
async fn no_logs_against_the_bloom_are_settled_by_receipts_f2() {
    for receipts in [Some(ReceiptEncoding::Ethereum), None] {
        let node = Scripted::lying(&recorded(), |method, _, result| {
            if method == "eth_getLogs" {
                *result = json!([]);
            }
        })
        .await;
        let config = EvmConfig { receipts, ..config(Verify::Logs, false) };
        let evm = Evm::new(config, support::pool(&[node.url()])).unwrap();
        let block = mixed(&evm).await.unwrap();
        assert_eq!(block.transfers.len(), 5);
        let proof = receipts.map_or(Proof::Logs, |_| Proof::Commitment);
        assert_eq!(block.proof, proof, "a root proves more than a bloom");
        let ranged = evm.blocks(Height(3), Height(5), &watches(&evm)).await.unwrap();
        assert_eq!(ranged[0], block);
    }
}

#[tokio::test]
async fn no_logs_are_believed_where_blooms_are_empty_as_the_registry_says_f2() {
    let mut blocks = recorded();
    blocks[0]["logs"] = json!([]);
    let node = Scripted::honest(&blocks).await;
    let config = EvmConfig { zero_bloom: true, receipts: None, ..config(Verify::Logs, false) };
    let evm = Evm::new(config, support::pool(&[node.url()])).unwrap();
    assert_eq!(mixed(&evm).await.unwrap().transfers, []);
}

#[tokio::test]
async fn a_range_that_is_too_large_shrinks_and_grows_back_f11() {
    let node = Scripted::lying(&recorded(), |method, params, result| {
        let filter = &params[0];
        if method == "eth_getLogs" && filter["fromBlock"] != filter["toBlock"] {
            let message = "query returned more than 10000 results";
            *result = json!({ "error": { "code": -32005, "message": message } });
        }
    })
    .await;
    let evm = Evm::new(config(Verify::Logs, false), support::pool(&[node.url()])).unwrap();
    let watches = watches(&evm);
    let single = evm.block(At::Height(Height(3)), &watches).await.unwrap();
    let mut got = Vec::new();
    while got.len() < 3 {
        let from = Height(3 + got.len() as u64);
        got.extend(evm.blocks(from, Height(5), &watches).await.unwrap());
    }
    assert_eq!(got[0], single);
    let links = got.windows(2).all(|pair| pair[1].header.parent == pair[0].header.hash);
    assert!(links && got.len() == 3);
    assert!(evm.providers()[0].healthy, "a limit is no fault");
}

#[tokio::test]
async fn one_block_that_is_too_large_stalls_and_is_not_skipped_f11() {
    let node = Scripted::lying(&recorded(), |method, _, result| {
        if method == "eth_getLogs" {
            let message = "query returned more than 10000 results";
            *result = json!({ "error": { "code": -32005, "message": message } });
        }
    })
    .await;
    let evm = Evm::new(config(Verify::Logs, false), support::pool(&[node.url()])).unwrap();
    let result = evm.blocks(Height(3), Height(5), &watches(&evm)).await;
    assert!(matches!(result, Err(ChainError::Unavailable(_))), "{result:?}");
}

#[tokio::test]
async fn one_block_that_is_too_large_for_a_provider_is_asked_of_the_next_f11() {
    let narrow = Scripted::lying(&recorded(), |method, _, result| {
        if method == "eth_getLogs" {
            let message = "query returned more than 10000 results";
            *result = json!({ "error": { "code": -32005, "message": message } });
        }
    })
    .await;
    let wide = Scripted::honest(&recorded()).await;
    let providers = support::pool(&[narrow.url(), wide.url()]);
    let evm = Evm::new(config(Verify::Logs, false), providers).unwrap();
    let got = evm.blocks(Height(3), Height(5), &watches(&evm)).await.unwrap();
    assert_eq!(got.iter().map(|block| block.header.height).collect::<Vec<_>>(), [Height(3)]);
    assert_eq!(got[0].provider.as_ref(), "second");
    assert_eq!(faults(&evm.providers()[0]), [("unreachable", 1)]);
}

#[tokio::test]
async fn blocks_without_a_trace_of_us_cost_no_receipts() {
    for native in [false, true] {
        let node = Scripted::honest(&recorded()).await;
        let config = EvmConfig { traces: Traces::Never, ..config(Verify::Receipts, native) };
        let evm = Evm::new(config, support::pool(&[node.url()])).unwrap();
        let blocks = evm.blocks(Height(4), Height(5), &watches(&evm)).await.unwrap();
        assert_eq!(blocks.len(), 2);
        assert!(blocks.iter().all(|block| block.proof == Proof::Commitment));
        assert_eq!(node.asked(), 3, "the chain id and two blocks, native coin: {native}");
    }
}

/// The block of twenty payments, the last of which its JSON shows as of another type.
fn with_type(kind: &str) -> (Value, String) {
    let mut recorded = recorded().remove(1);
    let transaction = &mut recorded["block"]["transactions"][19];
    let envelope: TxEnvelope = serde_json::from_value(transaction.clone()).unwrap();
    let network_form = alloy_rlp::encode(&envelope);
    let mut raw = network_form.as_slice();
    alloy_rlp::Header::decode(&mut raw).unwrap();
    transaction["type"] = json!(kind);
    (recorded, alloy_primitives::hex::encode_prefixed(raw))
}

#[tokio::test]
async fn a_payment_that_is_shown_as_of_a_type_without_value_is_caught_f5() {
    let (recorded, raw) = with_type("0x7f");
    let recorded = [recorded];
    let node = Scripted::lying(&recorded, move |asked, _, result| {
        if asked == "eth_getRawTransactionByBlockHashAndIndex" {
            *result = json!(raw);
        }
    })
    .await;
    let evm = Evm::new(config(Verify::Receipts, true), support::pool(&[node.url()])).unwrap();
    let refused = evm.block(At::Height(Height(4)), &WatchSet::default()).await;
    let Err(ChainError::Unproven(words)) = refused else { panic!("{refused:?}") };
    assert!(words.contains("another type"), "{words}");
}

#[tokio::test]
async fn a_type_that_may_carry_coin_and_cannot_be_read_is_refused_by_name() {
    // 0x78: Arbitrum's from before Nitro. 0x05: nobody's yet.
    for kind in ["0x78", "0x05"] {
        let (recorded, _) = with_type(kind);
        let node = Scripted::honest(&[recorded]).await;
        let evm = |native| {
            let config = config(Verify::Receipts, native);
            Evm::new(config, support::pool(&[node.url()])).unwrap()
        };
        let refused = evm(true).block(At::Height(Height(4)), &WatchSet::default()).await;
        let Err(ChainError::Unproven(words)) = refused else { panic!("{refused:?}") };
        assert!(words.contains(&format!("type {kind}")), "{words}");
        // Tokens do not need it: the receipts are proven all the same.
        let proven = evm(false).block(At::Height(Height(4)), &WatchSet::default()).await.unwrap();
        assert_eq!(proven.proof, Proof::Commitment);
    }
}

/// A block of no transactions, whose hash is right.
fn made(number: u64, parent: B256, time: u64) -> Value {
    let header = Header { number, parent_hash: parent, timestamp: time, ..Header::default() };
    let mut block = serde_json::to_value(&header).unwrap();
    block["hash"] = json!(header.hash_slow());
    block["transactions"] = json!([]);
    json!({ "block": block, "hashes": [], "receipts": [], "logs": [] })
}

fn hash(recorded: &Value) -> B256 {
    serde_json::from_value(recorded["block"]["hash"].clone()).unwrap()
}

fn made_chain(heights: std::ops::RangeInclusive<u64>, seconds: u64) -> Vec<Value> {
    let mut parent = B256::repeat_byte(9);
    let mut blocks = Vec::new();
    for height in heights {
        blocks.push(made(height, parent, 1_700_000_000 + height * seconds));
        parent = hash(&blocks[blocks.len() - 1]);
    }
    blocks
}

#[tokio::test]
async fn a_range_whose_chain_changes_midway_is_refused_f8() {
    let honest = made_chain(1..=6, 12);
    let mut torn = honest.clone();
    torn[3] = made(4, B256::repeat_byte(7), 1_700_000_048);
    let (torn, honest) = (Scripted::honest(&torn).await, Scripted::honest(&honest).await);
    let both = support::pool(&[torn.url(), honest.url()]);
    for verify in [Verify::Receipts, Verify::Logs] {
        let alone = Evm::new(config(verify, false), support::pool(&[torn.url()])).unwrap();
        let result = alone.blocks(Height(1), Height(6), &watches(&alone)).await;
        assert!(matches!(result, Err(ChainError::Unproven(_))), "{result:?}");
    }
    let evm = Evm::new(config(Verify::Receipts, false), both).unwrap();
    let blocks = evm.blocks(Height(1), Height(6), &watches(&evm)).await.unwrap();
    assert_eq!(blocks.len(), 6);
    assert_eq!(faults(&evm.providers()[0]), [("unproven", 1)]);
}

#[tokio::test]
async fn a_block_is_taken_only_when_as_many_name_it_as_the_quorum_says() {
    let chain = made_chain(1..=6, 12);
    let mut fork = chain.clone();
    fork[5] = made(6, hash(&chain[4]), 1_700_000_099);
    let (a, b) = (Scripted::honest(&chain).await, Scripted::honest(&chain).await);
    let (forked, shorter) = (Scripted::honest(&fork).await, Scripted::honest(&chain[..5]).await);
    #[derive(Clone, Copy, Debug)]
    enum Outcome {
        /// By so many providers that name another block and are put aside for it.
        Taken(u64),
        Contested,
        /// The others do not have it yet.
        Early,
    }
    use Outcome::{Contested, Early, Taken};
    let cases = [
        (vec![a.url()], 1, Taken(0)),
        (vec![a.url()], 2, Contested),
        (vec![a.url(), b.url()], 2, Taken(0)),
        (vec![a.url(), forked.url()], 2, Contested),
        (vec![a.url(), forked.url(), b.url()], 2, Taken(1)),
        (vec![forked.url(), a.url(), b.url()], 2, Taken(1)),
        (vec![a.url(), shorter.url()], 2, Early),
        (vec![a.url(), b.url(), shorter.url()], 3, Early),
    ];
    for (urls, quorum, outcome) in cases {
        let pool = support::pool(&urls).with_quorum(quorum);
        let evm = Evm::new(config(Verify::Receipts, false), pool).unwrap();
        let watches = watches(&evm);
        let block = evm.block(At::Height(Height(6)), &watches).await.map(|block| vec![block]);
        let accused: u64 = evm.providers().iter().map(|provider| provider.faults["forked"]).sum();
        let blocks = evm.blocks(Height(2), Height(6), &watches).await;
        for answer in [block, blocks] {
            match (outcome, answer) {
                (Taken(expected), Ok(blocks)) => {
                    assert_eq!(accused, expected);
                    let last = &blocks[blocks.len() - 1].header.hash;
                    assert_eq!(last.as_str(), hash(&chain[5]).to_string());
                }
                (Early, Err(ChainError::NotFound)) => {}
                // A range may stop before what is wanted.
                (Early, Ok(blocks)) => assert_eq!(blocks.len(), 4, "up to the shorter one's head"),
                (Contested, Err(ChainError::Unproven(words))) => {
                    assert!(words.contains(&format!("{quorum} providers")), "{words}");
                }
                (_, answer) => panic!("quorum {quorum} of {}: {answer:?}", urls.len()),
            }
        }
    }
}

#[tokio::test]
async fn a_range_stops_before_what_the_provider_does_not_have() {
    let node = Scripted::honest(&made_chain(1..=6, 12)).await;
    for verify in [Verify::Receipts, Verify::Logs] {
        let evm = Evm::new(config(verify, false), support::pool(&[node.url()])).unwrap();
        let blocks = evm.blocks(Height(4), Height(9), &watches(&evm)).await.unwrap();
        assert_eq!(blocks.last().unwrap().header.height, Height(6));
        let beyond = evm.blocks(Height(7), Height(9), &watches(&evm)).await;
        assert_eq!(beyond, Err(ChainError::NotFound));
        let unknown = BlockHash::new(B256::repeat_byte(3).to_string());
        let gone = evm.block(At::Block { height: Height(6), hash: unknown }, &watches(&evm)).await;
        assert_eq!(gone, Err(ChainError::NotFound));
    }
}

#[tokio::test]
async fn a_provider_whose_head_is_old_is_put_aside_while_another_is_not_f8_f9() {
    let blocks = made_chain(1..=20, 12);
    // The first one is at the tip once, and then falls back, as a balancer's second node would.
    let mut behind = false;
    let lagging = Scripted::lying(&blocks.clone(), move |method, params, result| {
        if method == "eth_getBlockByNumber" && params[0] == json!("latest") {
            if behind {
                *result = made_chain(1..=10, 12)[9]["block"].clone();
            }
            behind = true;
        }
    })
    .await;
    let good = Scripted::honest(&blocks).await;
    let evm =
        Evm::new(config(Verify::Receipts, false), support::pool(&[lagging.url(), good.url()]));
    let evm = evm.unwrap();
    for _ in 0..2 {
        let heads = evm.heads().await.unwrap();
        assert_eq!((heads.latest.height, heads.finalized), (Height(20), Some(Height(1))));
    }
    assert_eq!(faults(&evm.providers()[0]), [("stale", 1)]);
}

#[tokio::test]
async fn where_all_heads_went_back_that_is_where_the_chain_is() {
    let mut asked = 0;
    let blocks = made_chain(1..=20, 12);
    let node = move |method: &str, params: &Value, result: &mut Value| {
        if method == "eth_getBlockByNumber" && params[0] == json!("latest") {
            asked += 1;
            if asked > 1 {
                *result = made_chain(1..=10, 12)[9]["block"].clone();
            }
        }
    };
    let (first, second) =
        (Scripted::lying(&blocks, node).await, Scripted::honest(&made_chain(1..=8, 12)).await);
    let pool = support::pool(&[first.url(), second.url()]);
    let evm = Evm::new(config(Verify::Receipts, false), pool).unwrap();
    assert_eq!(evm.heads().await.unwrap().latest.height, Height(20));
    assert_eq!(evm.heads().await.unwrap().latest.height, Height(10));
}

#[tokio::test]
async fn finality_is_by_tag_or_by_depth_and_none_on_a_young_network() {
    let blocks = made_chain(1..=20, 12);
    for (finality, expected) in [
        (Finality::Tag(Tag::Finalized), Some(Height(1))),
        (Finality::Tag(Tag::Safe), Some(Height(20))),
        (Finality::Depth(15), Some(Height(5))),
        (Finality::Depth(64), None),
    ] {
        let node = Scripted::honest(&blocks).await;
        let config = EvmConfig { finality, ..config(Verify::Receipts, false) };
        let evm = Evm::new(config, support::pool(&[node.url()])).unwrap();
        assert_eq!(evm.heads().await.unwrap().finalized, expected, "{finality:?}");
    }
    let young = Scripted::lying(&blocks, |_, params, result| {
        if params[0] == json!("finalized") {
            *result = json!({ "error": { "code": -39001, "message": "Unknown block" } });
        }
    })
    .await;
    let evm = Evm::new(config(Verify::Receipts, false), support::pool(&[young.url()])).unwrap();
    assert_eq!(evm.heads().await.unwrap().finalized, None);
}

#[tokio::test]
async fn a_mode_that_cannot_work_is_refused_by_name() {
    let unknown = EvmConfig { receipts: None, ..config(Verify::Receipts, false) };
    let refused = Evm::new(unknown, support::pool(&["http://127.0.0.1:9".to_owned()]));
    let Err(ChainError::Misconfigured(words)) = refused else { panic!("it is taken") };
    assert!(words.contains("verify = \"receipts\"") && words.contains("anvil"), "{words}");
    let without = Scripted::lying(&recorded(), |method, _, result| {
        if method == "eth_getBlockReceipts" {
            *result = json!({ "error": { "code": -32601, "message": "Method not found" } });
        }
    })
    .await;
    let evm = Evm::new(config(Verify::Receipts, false), support::pool(&[without.url()])).unwrap();
    let refused = mixed(&evm).await;
    assert!(matches!(refused, Err(ChainError::Misconfigured(_))), "{refused:?}");
    let report = &evm.probe().await[0];
    let problem = report.problem.as_deref().unwrap();
    assert!(problem.contains("eth_getBlockReceipts"), "{problem}");
    assert_eq!(report.methods.get("eth_getBlockReceipts"), Some(&false));
    assert_eq!(report.head, Some(Height(number(&recorded()[2]["block"]["number"]))));
}

#[tokio::test]
async fn below_verify_from_a_block_is_taken_by_logs() {
    let node = Scripted::honest(&recorded()).await;
    let config = EvmConfig { verify_from: Height(4), ..config(Verify::Receipts, false) };
    let evm = Evm::new(config, support::pool(&[node.url()])).unwrap();
    let watches = watches(&evm);
    for (height, proof) in [(3, Proof::Logs), (4, Proof::Commitment)] {
        let block = evm.block(At::Height(Height(height)), &watches).await.unwrap();
        assert_eq!(block.proof, proof, "block {height}");
    }
}
