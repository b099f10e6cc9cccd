//! A block as full as those of the mainnet.

use confirmd_solana::block::Detail;
use serde_json::{Value, json};

use super::transaction::{Tokens, Transaction};
use super::{USDC, key};

pub const TRANSACTIONS: u64 = 1_500;
/// Who is paid by one of them.
pub const WATCHED: u64 = 10_000_000;

/// The body of an answer: votes, swaps through several programs, and payments, as blocks have them.
pub fn body(detail: Detail, transactions: u64) -> Vec<u8> {
    let transactions = (0..transactions).map(|n| match n % 10 {
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
