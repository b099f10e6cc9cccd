//! Reading a block of 1,500 transactions against 100,000 watches, from the whole body of an answer
//! to the transfers; and what the reference client takes to read the same.
//!
//! The client's own path is through `serde_json::Value`; its types alone, without that, are shown
//! beside it. Before the measurements it is shown that 1,000 blocks leave memory as it was.

#![allow(clippy::unwrap_used, missing_docs, reason = "a bench")]

#[path = "../tests/support/mod.rs"]
mod support;

use confirmd_chain::{Chain, Height, WatchSet, WatchVersion};
use confirmd_solana::block::{BlockJson, Detail, RawBlock};
use confirmd_solana::scan::{Found, Rules, scan};
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use serde::Deserialize;
use serde_json::Value;
use solana_transaction_status_client_types::UiConfirmedBlock;
use support::busy::{TRANSACTIONS, WATCHED, body};
use support::{address, chain, config, key};

const WATCHES: u64 = 100_000;
/// How many blocks are read to see what they leave behind.
const MANY: usize = 1_000;

fn main() {
    if std::env::args().any(|argument| argument == "--bench") {
        memory_stays_flat();
    }
    divan::main();
}

#[divan::bench]
fn confirmd_accounts(bencher: Bencher<'_, '_>) {
    confirmd(bencher, Detail::Accounts);
}

#[divan::bench]
fn confirmd_full(bencher: Bencher<'_, '_>) {
    confirmd(bencher, Detail::Full);
}

fn confirmd(bencher: Bencher<'_, '_>, detail: Detail) {
    let (body, watches, rules) = (body(detail, TRANSACTIONS), watches(), Rules::new(&config()));
    bencher
        .counter(BytesCount::new(body.len()))
        .counter(ItemsCount::new(1_u32))
        .bench_local(|| read(divan::black_box(&body), detail, &rules, &watches));
}

#[divan::bench]
fn reference_client_full(bencher: Bencher<'_, '_>) {
    let body = body(Detail::Full, TRANSACTIONS);
    bencher.counter(BytesCount::new(body.len())).counter(ItemsCount::new(1_u32)).bench_local(
        || {
            let mut answer: Value = serde_json::from_slice(divan::black_box(&body)).unwrap();
            let block: UiConfirmedBlock = serde_json::from_value(answer["result"].take()).unwrap();
            block
        },
    );
}

#[divan::bench]
fn reference_types_full(bencher: Bencher<'_, '_>) {
    #[derive(Deserialize)]
    struct Envelope {
        result: UiConfirmedBlock,
    }
    let body = body(Detail::Full, TRANSACTIONS);
    bencher.counter(BytesCount::new(body.len())).counter(ItemsCount::new(1_u32)).bench_local(
        || {
            let answer: Envelope = serde_json::from_slice(divan::black_box(&body)).unwrap();
            answer.result
        },
    );
}

/// As the daemon reads an answer: the block with its envelope, then what hits.
fn read(body: &[u8], detail: Detail, rules: &Rules, watches: &WatchSet) -> Found {
    #[derive(Deserialize)]
    struct Envelope<'a> {
        #[serde(borrow)]
        result: BlockJson<'a>,
    }
    let envelope: Envelope<'_> = serde_json::from_slice(body).unwrap();
    let block = RawBlock::read(envelope.result, Height(100), detail).unwrap();
    assert_eq!(block.transactions() as u64, TRANSACTIONS);
    let found = scan(&block, detail, detail == Detail::Full, rules, &watches.view()).unwrap();
    assert_eq!(found.transfers.len(), 1, "one payment hits");
    found
}

fn memory_stays_flat() {
    let (body, watches, rules) =
        (body(Detail::Full, TRANSACTIONS), watches(), Rules::new(&config()));
    let resident = |blocks: usize| {
        (0..blocks).for_each(|_| drop(read(&body, Detail::Full, &rules, &watches)));
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0 kB");
        line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap()
    };
    let (early, late) = (resident(MANY / 100), resident(MANY - MANY / 100));
    let size = body.len();
    println!("blocks of {size} bytes: at most {early} kB after 10, {late} kB after {MANY}");
    assert!(late <= early + 1_024, "memory grows with the blocks that were read");
}

fn watches() -> WatchSet {
    let chain = chain(&["http://127.0.0.1:1".to_owned()]);
    let keys = (0..WATCHES).map(|n| chain.watch_key(&address(&key(WATCHED + n))));
    WatchSet::new(keys.collect::<Vec<_>>(), WatchVersion(1))
}
