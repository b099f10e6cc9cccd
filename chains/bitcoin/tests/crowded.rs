//! A mempool of 50,000 transactions is read in portions, and the blocks do not wait for it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

mod support;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use bitcoin::consensus::encode::serialize_hex;
use bitcoin::hashes::Hash as _;
use bitcoin::{Amount as Satoshis, OutPoint, ScriptBuf, Sequence, TxIn, TxOut, Txid, Witness};
use confirmd_bitcoin::Bitcoin;
use confirmd_chain::{At, Chain, Height};
use confirmd_rpc::Limits;
use serde_json::{Value, json};
use xtask::bitcoind::BitcoindOptions;

use support::proxy::Proxy;
use support::{Node, address, config, pool};

const TRANSACTIONS: u32 = 50_000;
/// Which of them pays us.
const OURS: u32 = 49_999;

/// The n-th, by its id.
fn transaction(n: u32, script: &ScriptBuf) -> (String, String) {
    let previous_output = OutPoint { txid: Txid::hash(&n.to_le_bytes()), vout: n };
    let (script_sig, witness) = (ScriptBuf::new(), Witness::new());
    let transaction = bitcoin::Transaction {
        version: bitcoin::transaction::Version::TWO,
        lock_time: bitcoin::absolute::LockTime::ZERO,
        input: vec![TxIn { previous_output, script_sig, sequence: Sequence::MAX, witness }],
        output: vec![TxOut { value: Satoshis::from_sat(1_000), script_pubkey: script.clone() }],
    };
    (transaction.compute_txid().to_string(), serialize_hex(&transaction))
}

#[tokio::test]
async fn a_crowded_mempool_does_not_stall_the_blocks() {
    let node = Node::start(BitcoindOptions::default()).await;
    let proxy = Proxy::before(node.bitcoind.url()).await;
    let (ours, theirs) = (node.script(&address(1)), node.script(&address(2)));
    let script = |n| if n == OURS { &ours } else { &theirs };
    let made: Vec<_> = (0..TRANSACTIONS).map(|n| transaction(n, script(n))).collect();
    let expected = made[OURS as usize].0.clone();
    let ids: Value = made.iter().map(|(id, _)| id.clone()).collect();
    let crowd: HashMap<_, _> = made.into_iter().collect();
    proxy.answer(move |method, params| match method {
        "getrawmempool" => Some(ids.clone()),
        "getrawtransaction" => Some(json!(crowd[params[0].as_str()?])),
        "getmempoolentry" => Some(json!({ "vsize": 100, "fees": { "base": 0.00000250 } })),
        _ => None,
    });
    let chain = Bitcoin::new(config(), pool(&[proxy.url()], Limits::default()));
    let watches = node.watching(&[&address(1)]);
    let looks = AtomicUsize::new(0);
    let mempool = async {
        loop {
            let seen = chain.unconfirmed(&watches).await.unwrap().unwrap();
            looks.fetch_add(1, Ordering::Relaxed);
            if seen.is_complete {
                break seen;
            }
        }
    };
    let blocks = async {
        for height in 1..=10 {
            chain.block(At::Height(Height(height)), &watches).await.unwrap();
        }
        looks.load(Ordering::Relaxed)
    };
    let (seen, looks_until_blocks) = tokio::join!(mempool, blocks);
    let looks = looks.into_inner();
    assert!(looks >= 10, "it came in {looks} portions");
    assert!(looks_until_blocks < looks, "the blocks were there after {looks_until_blocks}");
    assert_eq!(seen.payments.len(), 1);
    assert_eq!(seen.payments[0].transaction().map(ToString::to_string), Some(expected));
    assert_eq!(seen.payments[0].fee_rate.map(|rate| rate.to_string()).as_deref(), Some("2.5"));
    // All of it is held: nothing is fetched twice.
    let calls = proxy.calls();
    chain.unconfirmed(&watches).await.unwrap();
    assert_eq!(proxy.calls() - calls, 1);
}
