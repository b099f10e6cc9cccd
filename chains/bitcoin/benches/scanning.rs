//! Scanning a block of 1.5 MB against a million watches, its merkle root proven; and what the
//! reference library takes to decode and check the same.

#![allow(clippy::unwrap_used, missing_docs, reason = "a bench")]

use bitcoin::consensus::{deserialize, serialize};
use bitcoin::hashes::Hash as _;
use confirmd_bitcoin::script::Script;
use confirmd_bitcoin::wallet::WalletRules;
use confirmd_bitcoin::{
    AddressFormat, BitcoinConfig, Bits, Difficulty, Hash256, Identity, ProofOfWork, block,
};
use confirmd_chain::{Confirmations, Height, WatchSet, WatchVersion};
use divan::Bencher;
use divan::counter::BytesCount;

const BLOCK_BYTES: usize = 1_500_000;
const WATCHES: u64 = 1_000_000;

fn main() {
    divan::main();
}

#[divan::bench]
fn confirmd_with_a_million_watches(bencher: Bencher<'_, '_>) {
    let (bytes, config, watches) = (bytes(), config(), watches());
    bencher
        .counter(BytesCount::new(bytes.len()))
        .bench_local(|| block::scan(divan::black_box(&bytes), &config, &watches.view()).unwrap());
}

#[divan::bench]
fn reference_decode_and_check(bencher: Bencher<'_, '_>) {
    let bytes = bytes();
    bencher.counter(BytesCount::new(bytes.len())).bench_local(|| {
        let block: bitcoin::Block = deserialize(divan::black_box(&bytes)).unwrap();
        assert!(block.check_merkle_root());
        block
    });
}

/// A block of payments with two inputs, two outputs and their witnesses.
fn bytes() -> Vec<u8> {
    let mut transactions = vec![transaction(0)];
    let mut size = 0;
    while size < BLOCK_BYTES {
        let next = transaction(transactions.len() as u64);
        size += next.total_size();
        transactions.push(next);
    }
    let header = bitcoin::block::Header {
        version: bitcoin::block::Version::TWO,
        prev_blockhash: bitcoin::BlockHash::all_zeros(),
        merkle_root: bitcoin::TxMerkleNode::all_zeros(),
        time: 1_700_000_000,
        bits: bitcoin::CompactTarget::from_consensus(0x207f_ffff),
        nonce: 0,
    };
    let mut block = bitcoin::Block { header, txdata: transactions };
    block.header.merkle_root = block.compute_merkle_root().unwrap();
    serialize(&block)
}

/// The n-th; the first is a coinbase.
fn transaction(n: u64) -> bitcoin::Transaction {
    use bitcoin::{Amount, OutPoint, ScriptBuf, Sequence, TxIn, TxOut, Txid, Witness};
    let input = |which: u32| TxIn {
        previous_output: match n {
            0 => OutPoint::null(),
            _ => OutPoint { txid: Txid::hash(&n.to_be_bytes()), vout: which },
        },
        script_sig: if n == 0 { ScriptBuf::from_bytes(vec![1, 100]) } else { ScriptBuf::new() },
        sequence: Sequence::MAX,
        witness: if n == 0 { Witness::new() } else { Witness::from_slice(&[[7; 72], [8; 72]]) },
    };
    let output = |which: u64| TxOut {
        value: Amount::from_sat(10_000),
        // None of the watched ones, so that every look-up is a miss, as nearly all are.
        script_pubkey: ScriptBuf::from_bytes(key(WATCHES + 2 * n + which).as_bytes().to_vec()),
    };
    bitcoin::Transaction {
        version: bitcoin::transaction::Version::TWO,
        lock_time: bitcoin::absolute::LockTime::ZERO,
        input: if n == 0 { vec![input(0)] } else { vec![input(0), input(1)] },
        output: vec![output(0), output(1)],
    }
}

fn key(n: u64) -> confirmd_chain::WatchKey {
    let mut hash = [0; 20];
    hash.copy_from_slice(&Hash256::of(&[&n.to_be_bytes()]).0[..20]);
    Script::P2wpkh(hash).watch_key()
}

fn watches() -> WatchSet {
    WatchSet::new((0..WATCHES).map(key), WatchVersion(1))
}

fn config() -> BitcoinConfig {
    BitcoinConfig {
        network: "bench".to_owned(),
        identity: Identity { height: Height(0), hash: Hash256::default() },
        final_depth: 100,
        proof_of_work: ProofOfWork { limit: Bits(0x207f_ffff), difficulty: Difficulty::Constant },
        addresses: AddressFormat {
            p2pkh: 0,
            p2sh: 5,
            bech32: Some("bc".to_owned()),
            cashaddr: None,
        },
        wallets: WalletRules::MAIN,
        coinbase_maturity: Confirmations(100),
        heights_from: Height(227_931),
    }
}
