//! What transactions credit to watched owners, in either detail.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use confirmd_chain::{Asset, Height, TransferIndex};
use confirmd_solana::Refusal;
use confirmd_solana::block::{Detail, RawBlock};
use confirmd_solana::scan::{Found, Rules, scan};
use serde_json::{Value, json};
use support::transaction::{FEE, Tokens, Transaction};
use support::{PYUSD, USDC, WRAPPED, address, config, key, signature, watching};

fn ours() -> String {
    key(1)
}

fn shown(transactions: &[Transaction], detail: Detail) -> Value {
    let shown = transactions.iter().map(|transaction| match detail {
        Detail::Full => transaction.full_shown(),
        Detail::Accounts | Detail::Header => transaction.accounts_shown(),
    });
    block(&shown.collect())
}

fn block(transactions: &Value) -> Value {
    json!({
        "blockHeight": 90,
        "blockTime": 1_700_000_000,
        "blockhash": key(1_000_001),
        "parentSlot": 99,
        "previousBlockhash": key(1_000_000),
        "transactions": transactions,
    })
}

fn look(block: &Value, detail: Detail, rules: &Rules) -> Result<Found, Refusal> {
    let text = block.to_string();
    let raw = RawBlock::read(serde_json::from_str(&text)?, Height(100), detail)?;
    let watches = watching(&[&ours()]);
    scan(&raw, detail, false, rules, &watches.view())
}

/// What is credited: the asset, the account's place, the amount, and who paid. The same in either
/// detail.
fn credited(transaction: &Transaction) -> Vec<(String, u32, u64, Option<String>)> {
    let found = [Detail::Accounts, Detail::Full].map(|detail| {
        let shown = shown(std::slice::from_ref(transaction), detail);
        look(&shown, detail, &Rules::new(&config())).unwrap().transfers
    });
    assert_eq!(found[0], found[1], "both details say the same");
    let facts = found[0].iter().map(|transfer| {
        assert_eq!(transfer.to.as_str(), ours());
        let TransferIndex::Account(place) = transfer.id.index else { panic!("an account's") };
        let asset = match &transfer.asset {
            Asset::Native => "SOL".to_owned(),
            Asset::Token(mint) => mint.to_string(),
        };
        let from = transfer.from.as_ref().map(ToString::to_string);
        (asset, place, transfer.amount.to_string().parse().unwrap(), from)
    });
    facts.collect()
}

fn coin(place: u32, amount: u64, from: &str) -> Vec<(String, u32, u64, Option<String>)> {
    vec![("SOL".to_owned(), place, amount, Some(from.to_owned()))]
}

fn token(place: u32, amount: u64, from: &str) -> Vec<(String, u32, u64, Option<String>)> {
    vec![(USDC.to_owned(), place, amount, Some(from.to_owned()))]
}

#[test]
fn coin_is_credited_by_what_the_owner_has_more() {
    let payer = key(901);
    assert_eq!(credited(&Transaction::of_coin(1, &ours(), 5)), coin(1, 5, &payer));
    let cases = [
        ("of a failed transaction (F24)", Transaction::of_coin(1, &ours(), 5).failed()),
        ("what the owner sends away", Transaction::of(1, &[&ours(), &payer]).moving(0, 1, 5)),
        ("what the owner sends itself", Transaction::of(1, &[&ours()])),
        ("what another one gets", Transaction::of_coin(1, &key(2), 5)),
    ];
    for (name, transaction) in cases {
        assert_eq!(credited(&transaction), [], "{name} is no credit");
    }
    // Two payers: nobody in particular.
    let two = Transaction::of(1, &[&payer, &ours(), &key(2)]).moving(0, 1, 5).moving(2, 1, 6);
    assert_eq!(credited(&two), [("SOL".to_owned(), 1, 11, None)]);
    // One pays the fee, another one the owner.
    let sponsored = Transaction::of(1, &[&payer, &ours(), &key(2)]).moving(2, 1, 6);
    assert_eq!(credited(&sponsored), coin(1, 6, &key(2)));
    // The owner itself pays the fee: what arrived is less.
    let withdrawn = Transaction::of(1, &[&ours(), &key(2)]).moving(1, 0, FEE + 7);
    assert_eq!(credited(&withdrawn), coin(0, 7, &key(2)));
}

#[test]
fn tokens_are_credited_by_what_the_owner_has_more() {
    let payer = key(902);
    assert_eq!(credited(&Transaction::of_tokens(1, USDC, &ours(), 5)), token(2, 5, &payer));
    let unknown = key(777);
    let cases = [
        ("of a failed transaction (F24)", Transaction::of_tokens(1, USDC, &ours(), 5).failed()),
        ("nothing sent", Transaction::of_tokens(1, USDC, &ours(), 0)),
        ("a mint that looks like it (F24)", Transaction::of_tokens(1, &unknown, &ours(), 5)),
        ("what another one gets", Transaction::of_tokens(1, USDC, &key(2), 5)),
    ];
    for (name, transaction) in cases {
        assert_eq!(credited(&transaction), [], "{name} is no credit");
    }
}

#[test]
fn what_arrived_is_credited_not_what_was_sent_f24_i11() {
    // Token-2022 keeps 3 of 100 in the receiver's account, out of its owner's reach.
    let taxed = Transaction::of(1, &[&key(902), &key(903), &key(904)]).with_tokens(
        &[Tokens(1, PYUSD, &key(902), 100), Tokens(2, PYUSD, &ours(), 10)],
        &[Tokens(1, PYUSD, &key(902), 0), Tokens(2, PYUSD, &ours(), 107)],
    );
    assert_eq!(credited(&taxed), [(PYUSD.to_owned(), 2, 97, Some(key(902)))]);
}

#[test]
fn a_payment_that_creates_the_token_account_credits_no_rent() {
    let mut created =
        Transaction::of(1, &[&key(902), &key(903), &key(904), &ours()]).moving(0, 2, 2_039_280);
    created = created.with_tokens(
        &[Tokens(1, USDC, &key(902), 100)],
        &[Tokens(1, USDC, &key(902), 95), Tokens(2, USDC, &ours(), 5)],
    );
    assert_eq!(credited(&created), token(2, 5, &key(902)));
}

#[test]
fn what_an_owner_moves_among_its_own_accounts_is_no_credit() {
    let (rent, owner) = (2_039_280, ours());
    let accounts = [key(2), key(903), key(904)];
    let accounts: Vec<&str> = accounts.iter().map(String::as_str).collect();
    let swept = Transaction::of(1, &accounts).with_tokens(
        &[Tokens(1, USDC, &owner, 100)],
        &[Tokens(1, USDC, &owner, 40), Tokens(2, USDC, &owner, 60)],
    );
    assert_eq!(credited(&swept), [], "tokens from one account to another");
    let closed = Transaction::of(1, &[&owner, &key(903)])
        .moving(1, 0, rent)
        .with_tokens(&[Tokens(1, USDC, &owner, 0)], &[]);
    assert_eq!(credited(&closed), [], "the rent of its token account");
    let unwrapped = Transaction::of(1, &[&key(2), &key(903), &owner])
        .moving(1, 2, 7_000_000 + rent)
        .with_tokens(&[Tokens(1, WRAPPED, &owner, 7_000_000)], &[]);
    assert_eq!(credited(&unwrapped), [], "coin out of its wrapping");
    let paid_by_unwrapping = Transaction::of(1, &[&key(2), &key(903), &owner])
        .moving(1, 2, 7_000_000)
        .with_tokens(&[Tokens(1, WRAPPED, &key(2), 7_000_000)], &[]);
    assert_eq!(credited(&paid_by_unwrapping), coin(2, 7_000_000, &key(2)));
    let swept_and_paid = Transaction::of(1, &accounts).with_tokens(
        &[Tokens(0, USDC, &key(902), 9), Tokens(1, USDC, &owner, 100)],
        &[Tokens(0, USDC, &key(902), 0), Tokens(1, USDC, &owner, 0), Tokens(2, USDC, &owner, 109)],
    );
    assert_eq!(credited(&swept_and_paid), token(2, 9, &key(902)), "a payment beside it");
}

#[test]
fn each_account_of_an_owner_has_a_credit_of_its_own() {
    let owner = ours();
    let paid = Transaction::of(1, &[&key(902), &key(903), &key(904), &key(905)]).with_tokens(
        &[Tokens(1, USDC, &key(902), 100), Tokens(2, USDC, &owner, 1)],
        &[Tokens(3, USDC, &owner, 20), Tokens(2, USDC, &owner, 31), Tokens(1, USDC, &key(902), 50)],
    );
    let expected = [token(2, 30, &key(902)), token(3, 20, &key(902))].concat();
    assert_eq!(credited(&paid), expected, "in the order of the accounts");
    let handed_over = Transaction::of(1, &[&key(902), &key(903)])
        .with_tokens(&[Tokens(1, USDC, &key(902), 8)], &[Tokens(1, USDC, &owner, 8)]);
    assert_eq!(credited(&handed_over), token(1, 8, &key(902)), "a whole account");
    let both = Transaction::of_tokens(1, USDC, &owner, 5).naming(&owner);
    let place = both.keys.len() - 1;
    let both = both.moving(0, place, 6);
    let expected = [token(2, 5, &key(902)), coin(5, 6, &key(902))].concat();
    assert_eq!(credited(&both), expected, "tokens and coin at once");
}

#[test]
fn a_token_accounts_own_coin_is_nobodys_payment() {
    // Somebody watches a token account in the place of its owner, as is easily done.
    let opened =
        Transaction::of(1, &[&key(902), &key(903), &ours()]).moving(0, 2, 2_039_280).with_tokens(
            &[Tokens(1, USDC, &key(902), 9)],
            &[Tokens(1, USDC, &key(902), 4), Tokens(2, USDC, &key(5), 5)],
        );
    assert_eq!(credited(&opened), []);
}

#[test]
fn accounts_from_look_up_tables_are_credited_in_every_version() {
    for version in [json!("legacy"), json!(0), json!(1), Value::Null] {
        let mut paid = Transaction::of(1, &[&key(901)])
            .loading(&key(3), false, (1, 1))
            .loading(&ours(), true, (10, 15))
            .loading(&key(4), true, (20, 20))
            .loading(&key(5), false, (1, 1));
        paid.after[0] -= 5;
        paid.version = version;
        assert_eq!(credited(&paid), coin(3, 5, &key(901)));
    }
}

#[test]
fn coin_counts_only_where_it_is_registered() {
    let mut config = config();
    config.native = false;
    let rules = Rules::new(&config);
    let both = [
        Transaction::of_coin(1, &ours(), 5),
        Transaction::of_tokens(2, USDC, &ours(), 6).naming(&ours()).moving(0, 5, 7),
    ];
    let found = look(&shown(&both, Detail::Accounts), Detail::Accounts, &rules).unwrap();
    let found: Vec<_> = found.transfers.iter().map(|t| t.asset.clone()).collect();
    assert_eq!(found, [Asset::Token(address(USDC))]);
}

#[test]
fn transfers_stand_in_the_order_of_the_block() {
    let several = [
        Transaction::of_coin(1, &ours(), 5),
        Transaction::of_coin(2, &key(9), 5),
        Transaction::of_tokens(3, USDC, &ours(), 6),
        Transaction::of_coin(4, &ours(), 7),
    ];
    let rules = Rules::new(&config());
    let found = look(&shown(&several, Detail::Full), Detail::Full, &rules).unwrap();
    let ids: Vec<String> = found.transfers.iter().map(|t| t.id.transaction.to_string()).collect();
    assert_eq!(ids, [1, 3, 4].map(signature));
    assert_eq!(found.examined, 5, "three who got coin, and two with tokens of a known mint");
}

/// One way in which an answer cannot be right.
type Story = (&'static str, Detail, fn(&mut Value));

fn stories() -> Vec<Story> {
    use Detail::{Accounts, Full};
    vec![
        ("null transactions (F10)", Full, |b| b["transactions"] = Value::Null),
        ("no transactions at all", Accounts, |b| {
            b.as_object_mut().unwrap().remove("transactions");
        }),
        ("null for what became of it", Accounts, |b| b["transactions"][0]["meta"] = Value::Null),
        ("null token balances", Accounts, |b| {
            b["transactions"][0]["meta"]["postTokenBalances"] = Value::Null;
        }),
        ("no token balances before", Full, |b| {
            let meta = b["transactions"][0]["meta"].as_object_mut().unwrap();
            meta.remove("preTokenBalances");
        }),
        ("a balance too few", Accounts, |b| {
            b["transactions"][0]["meta"]["postBalances"].as_array_mut().unwrap().pop();
        }),
        ("an account too few", Accounts, |b| {
            b["transactions"][0]["transaction"]["accountKeys"].as_array_mut().unwrap().pop();
        }),
        ("an account too many", Full, |b| {
            let message = &mut b["transactions"][0]["transaction"]["message"];
            message["accountKeys"].as_array_mut().unwrap().push(json!(key(44)));
        }),
        ("look-up tables left out", Full, |b| {
            b["transactions"][0]["meta"]["loadedAddresses"]["writable"] = json!([]);
        }),
        ("a token balance of no account", Accounts, |b| {
            b["transactions"][0]["meta"]["postTokenBalances"][1]["accountIndex"] = json!(99);
        }),
        ("two balances of one account", Accounts, |b| {
            b["transactions"][0]["meta"]["postTokenBalances"][1]["accountIndex"] = json!(1);
        }),
        ("nobody's tokens", Full, |b| {
            let balance = &mut b["transactions"][0]["meta"]["postTokenBalances"][1];
            balance.as_object_mut().unwrap().remove("owner");
        }),
        ("an amount that is none", Full, |b| {
            let balance = &mut b["transactions"][0]["meta"]["postTokenBalances"][1];
            balance["uiTokenAmount"]["amount"] = json!("1.5");
        }),
        ("an amount below zero", Full, |b| {
            b["transactions"][0]["meta"]["postBalances"][1] = json!(-1);
        }),
        ("the same transaction twice", Accounts, |b| {
            let again = b["transactions"][0].clone();
            b["transactions"].as_array_mut().unwrap().push(again);
        }),
        ("no signature", Accounts, |b| {
            b["transactions"][0]["transaction"]["signatures"] = json!([]);
        }),
        ("its own parent", Full, |b| b["previousBlockhash"] = b["blockhash"].clone()),
        ("a parent above it", Full, |b| b["parentSlot"] = json!(100)),
        ("no time", Full, |b| b["blockTime"] = Value::Null),
        ("a hash that is none", Full, |b| b["blockhash"] = json!("")),
    ]
}

#[test]
fn an_answer_that_cannot_be_right_is_refused_f5_f20() {
    let rules = Rules::new(&config());
    let paid = Transaction::of_tokens(1, USDC, &ours(), 5).loading(&key(3), true, (7, 8));
    let honest = |detail| shown(std::slice::from_ref(&paid), detail);
    for detail in [Detail::Accounts, Detail::Full] {
        assert_eq!(look(&honest(detail), detail, &rules).unwrap().transfers.len(), 1);
    }
    for (name, detail, lie) in stories() {
        let mut block = honest(detail);
        lie(&mut block);
        let told = look(&block, detail, &rules);
        assert!(told.is_err(), "{name}: {:?}", told.map(|found| found.transfers));
    }
}

mod any_text {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_block_with_any_bytes_changed_is_read_without_panic_f20(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
            full: bool,
        ) {
            let detail = if full { Detail::Full } else { Detail::Accounts };
            let paid = Transaction::of_tokens(1, USDC, &ours(), 5).with_memo("a memo");
            let mut text = shown(&[paid], detail).to_string().into_bytes();
            for (place, byte) in changes {
                let place = place.index(text.len());
                text[place] = byte;
            }
            let raw = serde_json::from_slice(&text).map_err(Refusal::from);
            if let Ok(raw) = raw.and_then(|block| RawBlock::read(block, Height(100), detail)) {
                let (rules, watches) = (Rules::new(&config()), watching(&[&ours()]));
                let _ = scan(&raw, detail, true, &rules, &watches.view());
            }
        }
    }
}
