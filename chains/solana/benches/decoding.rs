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
use serde_json::{Value, json};
use solana_transaction_status_client_types::UiConfirmedBlock;
use support::transaction::{Tokens, Transaction};
use support::{USDC, address, chain, config, key};

const TRANSACTIONS: u64 = 1_500;
const WATCHES: u64 = 100_000;
/// The first key that is watched.
const WATCHED: u64 = 10_000_000;
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
    let (body, watches, rules) = (body(detail), watches(), Rules::new(&config()));
    bencher
        .counter(BytesCount::new(body.len()))
        .counter(ItemsCount::new(1_u32))
        .bench_local(|| read(divan::black_box(&body), detail, &rules, &watches));
}

#[divan::bench]
fn reference_client_full(bencher: Bencher<'_, '_>) {
    let body = body(Detail::Full);
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
    let body = body(Detail::Full);
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
    let (body, watches, rules) = (body(Detail::Full), watches(), Rules::new(&config()));
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

/// The body of an answer: votes, swaps through several programs, and payments, as blocks have them.
fn body(detail: Detail) -> Vec<u8> {
    let transactions = (0..TRANSACTIONS).map(|n| match n % 10 {
        0..5 => shown(&vote(n), detail, 2),
        5..8 => shown(&swap(n), detail, 40),
        _ => shown(&payment(n), detail, 8),
    });
    let block = json!({
        "blockHeight": 90,
        "blockTime": 1_700_000_000,
        "blockhash": key(1_000_001),
        "parentSlot": 99,
        "previousBlockhash": key(1_000_000),
        "transactions": transactions.collect::<Value>(),
    });
    json!({ "jsonrpc": "2.0", "id": 1, "result": block }).to_string().into_bytes()
}

fn shown(transaction: &Transaction, detail: Detail, logs: usize) -> Value {
    if detail != Detail::Full {
        return transaction.accounts_shown();
    }
    let mut shown = transaction.full_shown();
    let line = format!("Program {} consumed 12345 of 200000 compute units", key(7));
    shown["meta"]["logMessages"] = json!(vec![line; logs]);
    shown
}

fn vote(n: u64) -> Transaction {
    Transaction::of(n, &[&key(n), &key(n + 1), "Vote111111111111111111111111111111111111111"])
}

/// Of 26 accounts, 6 of which hold tokens.
fn swap(n: u64) -> Transaction {
    let accounts: Vec<String> = (0..24).map(|account| key(n * 50 + account)).collect();
    let accounts: Vec<&str> = accounts.iter().map(String::as_str).collect();
    let (mint, owner) = (key(3), key(100_000 + n));
    let before: Vec<Tokens<'_>> = (1..7)
        .map(|place| Tokens(place, if place % 2 == 0 { USDC } else { &mint }, &owner, 1_000_000))
        .collect();
    let mut after = before.clone();
    for (place, tokens) in after.iter_mut().enumerate() {
        tokens.3 += place as u64;
    }
    let program = key(5);
    let calls = (0..12)
        .fold(Transaction::of(n, &accounts), |this, _| this.calling(&program, &[7; 40], false));
    calls.moving(0, 8, 1_000).with_tokens(&before, &after)
}

/// Every one to somebody else, but for one to an owner who is watched.
fn payment(n: u64) -> Transaction {
    let to = if n == 999 { key(WATCHED) } else { key(200_000 + n) };
    Transaction::of_tokens(n, USDC, &to, 5).with_memo("order-1234")
}

fn watches() -> WatchSet {
    let chain = chain(&["http://127.0.0.1:1".to_owned()]);
    let keys = (0..WATCHES).map(|n| chain.watch_key(&address(&key(WATCHED + n))));
    WatchSet::new(keys.collect::<Vec<_>>(), WatchVersion(1))
}
