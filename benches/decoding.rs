//! Decoding what a provider answers: 600 ERC-20 logs, and a block of 300 receipts with two logs
//! each. Beside each the same JSON read into borrowed strings by plain serde, in the same run: the
//! decoder, which also checks order and place and looks every receiver up, is to stay within twice
//! that.

#![allow(missing_docs, clippy::expect_used, reason = "a benchmark is nobody's library")]

use alloy_primitives::{B256, Bloom, b256};
use confirmd_chain::{WatchKey, WatchSet, WatchVersion};
use confirmd_evm::ReceiptEncoding;
use confirmd_evm::header::ProvenHeader;
use confirmd_evm::logs::{self, Log, TRANSFER};
use confirmd_evm::receipts::{self, Receipt};
use divan::{Bencher, black_box};
use serde::Deserialize;

const RECEIPTS: u64 = 300;
const LOGS_IN_RECEIPT: u64 = 2;
const BLOCK: B256 = b256!("0xb10cb10cb10cb10cb10cb10cb10cb10cb10cb10cb10cb10cb10cb10cb10cb10c");
const NUMBER: u64 = 0x15a_7c31;

fn main() {
    divan::main();
}

/// What the decoder of logs does with an answer of `eth_getLogs`.
#[divan::bench]
fn logs_600(bencher: Bencher<'_, '_>) {
    let json = format!("[{}]", all_logs().collect::<Vec<_>>().join(","));
    let (header, hashes, watches) = (header(), hashes(), watches());
    bencher.bench(|| {
        let logs: Vec<Log<'_>> = serde_json::from_str(black_box(&json)).expect("logs");
        logs::check_order(&header, &hashes, &logs).expect("in order");
        hits(&logs, &watches)
    });
}

#[divan::bench]
fn logs_600_borrowed_serde(bencher: Bencher<'_, '_>) {
    let json = format!("[{}]", all_logs().collect::<Vec<_>>().join(","));
    bencher.bench(|| serde_json::from_str::<Vec<BorrowedLog<'_>>>(black_box(&json)).expect("logs"));
}

/// What the decoder of receipts does with an answer of `eth_getBlockReceipts`, but for the proof.
#[divan::bench]
fn receipts_300(bencher: Bencher<'_, '_>) {
    let json = all_receipts();
    let (header, hashes, watches) = (header(), hashes(), watches());
    bencher.bench(|| {
        let receipts: Vec<Receipt<'_>> =
            serde_json::from_slice(black_box(json.as_bytes())).expect("receipts");
        receipts::check_order(&header, &hashes, &receipts).expect("in order");
        receipts.iter().map(|receipt| hits(&receipt.logs, &watches)).sum::<usize>()
    });
}

#[divan::bench]
fn receipts_300_borrowed_serde(bencher: Bencher<'_, '_>) {
    let json = all_receipts();
    bencher.bench(|| {
        serde_json::from_str::<Vec<BorrowedReceipt<'_>>>(black_box(&json)).expect("receipts")
    });
}

/// Rebuilding the receipts root: hashing, which no reading of JSON can be compared with.
#[divan::bench]
fn receipts_300_proof(bencher: Bencher<'_, '_>) {
    let json = all_receipts();
    let receipts: Vec<Receipt<'_>> = serde_json::from_slice(json.as_bytes()).expect("receipts");
    let header = header();
    // The root is another one, which is seen only after all the work is done.
    bencher.bench(|| receipts::prove(&header, black_box(&receipts), ReceiptEncoding::Ethereum));
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "only read")]
struct BorrowedLog<'a> {
    address: &'a str,
    topics: Vec<&'a str>,
    data: &'a str,
    block_hash: &'a str,
    block_number: &'a str,
    transaction_hash: &'a str,
    transaction_index: &'a str,
    log_index: &'a str,
    removed: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "only read")]
struct BorrowedReceipt<'a> {
    transaction_hash: &'a str,
    transaction_index: &'a str,
    block_hash: &'a str,
    block_number: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    status: &'a str,
    cumulative_gas_used: &'a str,
    logs_bloom: &'a str,
    #[serde(borrow)]
    logs: Vec<BorrowedLog<'a>>,
}

fn header() -> ProvenHeader {
    ProvenHeader {
        hash: BLOCK,
        parent: B256::ZERO,
        number: NUMBER,
        time: 0,
        receipts_root: B256::ZERO,
        transactions_root: B256::ZERO,
        bloom: Bloom::ZERO,
    }
}

fn transaction(index: u64) -> B256 {
    B256::left_padding_from(&(0xfeed_0000_0000_0000 | index).to_be_bytes())
}

fn hashes() -> Vec<B256> {
    (0..RECEIPTS).map(transaction).collect()
}

/// The receiver of one log is watched.
fn watches() -> WatchSet {
    let mut address = [0; 20];
    address[12..].copy_from_slice(&(0x7000 + RECEIPTS).to_be_bytes());
    WatchSet::new([WatchKey::from(address)], WatchVersion(1))
}

fn hits(logs: &[Log<'_>], watches: &WatchSet) -> usize {
    let watches = watches.view();
    let receivers = logs.iter().filter_map(Log::receiver);
    receivers.filter(|to| watches.contains(&WatchKey::from(to.into_array()))).count()
}

fn all_logs() -> impl Iterator<Item = String> {
    (0..RECEIPTS).flat_map(logs_of)
}

fn logs_of(transaction_index: u64) -> impl Iterator<Item = String> {
    let transaction_hash = transaction(transaction_index);
    (0..LOGS_IN_RECEIPT).map(move |index| {
        let index = transaction_index * LOGS_IN_RECEIPT + index;
        format!(
            r#"{{"address":"0xdac17f958d2ee523a2206206994597c13d831ec7","topics":["{TRANSFER}",
"0x{:064x}","0x{:064x}"],"data":"0x{:064x}","blockHash":"{BLOCK}","blockNumber":"{NUMBER:#x}",
"blockTimestamp":"0x675a1b2c","transactionHash":"{transaction_hash}",
"transactionIndex":"{transaction_index:#x}","logIndex":"{index:#x}","removed":false}}"#,
            0x5000 + index,
            0x7000 + index,
            1_000_000 + index,
        )
    })
}

fn all_receipts() -> String {
    let receipts: Vec<_> = (0..RECEIPTS)
        .map(|index| {
            let logs: Vec<_> = logs_of(index).collect();
            format!(
                r#"{{"transactionHash":"{}","transactionIndex":"{index:#x}","blockHash":"{BLOCK}",
"blockNumber":"{NUMBER:#x}","from":"0x{:040x}","to":"0xdac17f958d2ee523a2206206994597c13d831ec7",
"cumulativeGasUsed":"{:#x}","gasUsed":"0xf618","contractAddress":null,"logs":[{}],
"logsBloom":"0x{}","type":"0x2","effectiveGasPrice":"0x3b9aca00","status":"0x1"}}"#,
                transaction(index),
                0x5000 + index,
                63_000 * (index + 1),
                logs.join(","),
                "00".repeat(256),
            )
        })
        .collect();
    format!("[{}]", receipts.join(","))
}
