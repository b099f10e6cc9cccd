//! Memos and references: what tells payments to one owner apart.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use confirmd_chain::{Asset, Chain, Height, Transfer};
use confirmd_solana::Refusal;
use confirmd_solana::block::{Detail, RawBlock};
use confirmd_solana::scan::{Rules, scan};
use serde_json::{Value, json};
use support::transaction::{Tokens, Transaction};
use support::{MEMO_1, MEMO_2, SYSTEM, TOKEN, USDC, chain, config, key, watching};

const PAYMENT: &str = "wihngo:6f0c8a52-31c4-4d8e-9a53-1f0de1c9b7aa";

fn ours() -> String {
    key(1)
}

fn look(shown: &Value, detail: Detail) -> Result<Vec<Transfer>, Refusal> {
    let block = json!({
        "blockHeight": 90,
        "blockTime": 1_700_000_000,
        "blockhash": key(1_000_001),
        "parentSlot": 99,
        "previousBlockhash": key(1_000_000),
        "transactions": [shown],
    });
    let text = block.to_string();
    let raw = RawBlock::read(serde_json::from_str(&text)?, Height(100), detail)?;
    let watches = watching(&[&ours()]);
    let found = scan(&raw, detail, true, &Rules::new(&config()), &watches.view())?;
    Ok(found.transfers)
}

fn full(transaction: &Transaction) -> Vec<Transfer> {
    look(&transaction.full_shown(), Detail::Full).unwrap()
}

fn paid() -> Transaction {
    Transaction::of_tokens(1, USDC, &ours(), 12_500_000)
}

fn memos(transfer: &Transfer) -> Vec<&str> {
    transfer.references.iter().filter_map(|carried| carried.strip_prefix("memo:")).collect()
}

#[test]
fn a_memo_is_found_wherever_it_stands() {
    let memo = PAYMENT.as_bytes();
    let places = [
        ("version 2, after the transfer", paid().calling(MEMO_2, memo, false)),
        ("version 2, before the transfer", paid().calling(MEMO_2, memo, true)),
        ("version 1, after the transfer", paid().calling(MEMO_1, memo, false)),
        ("version 1, before the transfer", paid().calling(MEMO_1, memo, true)),
        ("version 2, called by a program", paid().calling_within(MEMO_2, memo)),
        ("version 1, called by a program", paid().calling_within(MEMO_1, memo)),
    ];
    for (name, transaction) in places {
        let [transfer] = &full(&transaction)[..] else { panic!("{name}: one transfer") };
        assert_eq!(transfer.memo.as_deref(), Some(PAYMENT), "{name}");
        let told = chain(&["http://127.0.0.1:1".to_owned()]).parse_memo(PAYMENT).unwrap();
        assert!(transfer.references.contains(&told), "{name}: {:?}", transfer.references);
    }
}

#[test]
fn one_memo_stands_for_all_transfers_of_its_transaction() {
    let both = paid().naming(&ours());
    let place = both.keys.len() - 1;
    let both = both.moving(0, place, 7).with_memo(PAYMENT);
    let transfers = full(&both);
    assert_eq!(transfers.len(), 2);
    assert!(transfers.iter().all(|transfer| transfer.memo.as_deref() == Some(PAYMENT)));
    assert_eq!(transfers[0].references, transfers[1].references);
}

#[test]
fn several_memos_all_tell_the_payment() {
    let several = paid().with_memo("first").with_memo("second").calling_within(MEMO_1, b"third");
    let [transfer] = &full(&several.with_memo("first"))[..] else { panic!("one transfer") };
    assert_eq!(transfer.memo.as_deref(), Some("first"));
    assert_eq!(memos(transfer), ["first", "second", "third"]);
    let flood = (0..200).fold(paid(), |paid, n| paid.with_memo(&format!("memo {n}")));
    assert_eq!(memos(&full(&flood)[0]).len(), 16, "of a flood, the first ones");
}

#[test]
fn what_is_no_text_is_no_memo() {
    let long = "x".repeat(2_000);
    let others: [&[u8]; 5] = [&[0xff, 0xfe], b"", b"a\0b", b"two\nlines", long.as_bytes()];
    for data in others {
        let [transfer] = &full(&paid().calling(MEMO_2, data, false))[..] else { panic!("one") };
        assert_eq!(transfer.memo, None, "{data:?}");
        assert_eq!(memos(transfer), [""; 0], "{data:?}");
    }
    let elsewhere = paid().calling(&key(55), PAYMENT.as_bytes(), false);
    assert_eq!(memos(&full(&elsewhere)[0]), [""; 0], "another program's data");
}

#[test]
fn a_node_that_does_not_keep_what_programs_call_is_not_believed() {
    for nothing in [Value::Null, json!("none")] {
        let mut shown = paid().with_memo(PAYMENT).full_shown();
        shown["meta"]["innerInstructions"] = nothing;
        assert!(look(&shown, Detail::Full).is_err());
    }
    let mut shown = paid().with_memo(PAYMENT).full_shown();
    shown["transaction"]["message"]["instructions"][1]["programIdIndex"] = json!(200);
    assert!(look(&shown, Detail::Full).is_err(), "a program that is no account");
}

#[test]
fn a_reference_is_a_key_among_the_accounts_in_either_detail() {
    let reference = key(4_242);
    let paid = paid().naming(&reference);
    for transfer in [full(&paid), look(&paid.accounts_shown(), Detail::Accounts).unwrap()] {
        let [transfer] = &transfer[..] else { panic!("one transfer") };
        let told = chain(&["http://127.0.0.1:1".to_owned()])
            .parse_reference(&reference, &Asset::Native)
            .unwrap();
        assert_eq!(transfer.references, [told]);
        assert_eq!(transfer.memo, None);
    }
    let loaded = Transaction::of_coin(1, &ours(), 5).loading(&reference, false, (0, 0));
    assert_eq!(full(&loaded)[0].references, [reference]);
}

#[test]
fn those_who_sign_and_what_every_payment_names_are_no_references() {
    let mut paid = Transaction::of(1, &[&key(901), &key(902), &key(903), &key(904)]).with_tokens(
        &[Tokens(2, USDC, &key(901), 9)],
        &[Tokens(2, USDC, &key(901), 4), Tokens(3, USDC, &ours(), 5)],
    );
    paid.signers = 2;
    let paid =
        paid.naming(USDC).naming(&ours()).naming("SysvarRent111111111111111111111111111111111");
    assert!(paid.keys.contains(&SYSTEM.to_owned()) && paid.keys.contains(&TOKEN.to_owned()));
    assert_eq!(full(&paid)[0].references, [""; 0]);
}

#[test]
fn nothing_is_read_where_nobody_waits_for_it() {
    let shown = paid().with_memo(PAYMENT).naming(&key(4_242)).full_shown();
    let block = json!({
        "blockTime": 1_700_000_000, "blockHeight": null, "blockhash": key(1_000_001),
        "parentSlot": 99, "previousBlockhash": key(1_000_000), "transactions": [shown],
    });
    let text = block.to_string();
    let raw =
        RawBlock::read(serde_json::from_str(&text).unwrap(), Height(100), Detail::Full).unwrap();
    let watches = watching(&[&ours()]);
    let found = scan(&raw, Detail::Full, false, &Rules::new(&config()), &watches.view()).unwrap();
    assert_eq!(found.transfers[0].memo, None);
    assert_eq!(found.transfers[0].references, [""; 0]);
}
