//! surfpool as the tests and the demo drive it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use std::time::Duration;

use serde_json::{Value, json};
use solana_keypair::{Keypair, Signer};
use solana_pubkey::Pubkey;
use tokio::time::timeout;
use xtask::surfpool::{
    Commitment, Fee, MemoProgram, Mint, MintOptions, SOL, Surfpool, SurfpoolOptions, TokenProgram,
    memo, pay_lamports, referring,
};

const PRICE: u64 = 25_000_000;

async fn started() -> Surfpool {
    Surfpool::start(SurfpoolOptions::default()).await.unwrap()
}

/// A key that owns lamports, and tokens of the mint.
async fn buyer(node: &Surfpool, mint: &Mint<'_>) -> Keypair {
    let buyer = Keypair::new();
    node.airdrop(&buyer.pubkey(), SOL).await.unwrap();
    mint.mint_to(&buyer.pubkey(), 100 * PRICE).await.unwrap();
    buyer
}

async fn block(node: &Surfpool, slot: u64) -> Value {
    let how = json!({ "commitment": "confirmed", "maxSupportedTransactionVersion": 0,
        "transactionDetails": "full", "encoding": "json", "rewards": false });
    node.call("getBlock", json!([slot, how])).await.unwrap()
}

/// What a closed slot's block says of a transaction.
async fn told(node: &Surfpool, signature: &str) -> Value {
    let slot = node.slot_of(signature).await.unwrap();
    let block = block(node, slot).await;
    let transactions = block["transactions"].as_array().unwrap();
    let signed = |told: &&Value| told["transaction"]["signatures"][0] == signature;
    transactions.iter().find(signed).unwrap().clone()
}

#[tokio::test]
async fn slots_are_made_by_hand_and_become_confirmed_and_final() {
    let node = started().await;
    let open = node.slot(Commitment::Processed).await.unwrap();
    assert_eq!(node.mine(3).await.unwrap(), open + 3);
    assert_eq!(node.slot(Commitment::Processed).await.unwrap(), open + 3);
    assert_eq!(node.slot(Commitment::Confirmed).await.unwrap(), open + 2);
    assert_eq!(node.slot(Commitment::Finalized).await.unwrap(), open + 3 - 31);
}

#[tokio::test]
async fn blocks_with_and_without_transactions_link_and_have_hashes_of_their_own() {
    let node = started().await;
    let shop = Pubkey::new_unique();
    let first = node.slot(Commitment::Processed).await.unwrap();
    for paying in [true, false, false, true, true, false].repeat(6) {
        if paying {
            let pay = pay_lamports(&node.purse().pubkey(), &shop, SOL);
            node.send(&[pay], &[]).await.unwrap();
        }
        node.mine(1).await.unwrap();
    }
    let mut hashes = Vec::new();
    for slot in first..=node.slot(Commitment::Confirmed).await.unwrap() {
        let block = block(&node, slot).await;
        assert_eq!(block["parentSlot"], slot - 1);
        assert_eq!(block["blockHeight"], slot);
        if let Some(parent) = hashes.last() {
            assert_eq!(block["previousBlockhash"], *parent, "slot {slot}");
        }
        assert!(!hashes.contains(&block["blockhash"]), "slot {slot}");
        hashes.push(block["blockhash"].clone());
    }
    assert_eq!(hashes.len(), 36);
}

#[tokio::test]
async fn a_clock_closes_slots_by_itself() {
    let slot_time = Some(Duration::from_millis(10));
    let node = Surfpool::start(SurfpoolOptions { slot_time }).await.unwrap();
    let first = node.slot(Commitment::Processed).await.unwrap();
    let later = async {
        while node.slot(Commitment::Processed).await.unwrap() < first + 3 {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(20), later).await.unwrap();
}

#[tokio::test]
async fn tokens_are_paid_into_an_account_that_the_payment_makes_with_a_memo_and_a_reference() {
    let node = started().await;
    let usdc = Mint::create(&node, MintOptions::default()).await.unwrap();
    let buyer = buyer(&node, &usdc).await;
    let (shop, reference) = (Pubkey::new_unique(), Pubkey::new_unique());
    let pay = usdc.transferring(&buyer.pubkey(), &shop, PRICE);
    let instructions = [
        memo(MemoProgram::V1, "order:1"),
        usdc.opening(&shop),
        referring(pay, &[reference]),
        memo(MemoProgram::V2, "order:2"),
    ];
    let signature = node.send(&instructions, &[&buyer]).await.unwrap();
    node.mine(1).await.unwrap();

    assert_eq!(usdc.balance_of(&shop).await.unwrap(), PRICE);
    let told = told(&node, &signature).await;
    let balances = told["meta"]["postTokenBalances"].as_array().unwrap();
    let of_shop = |balance: &&Value| balance["owner"] == shop.to_string();
    let balance = balances.iter().find(of_shop).unwrap();
    assert_eq!(balance["uiTokenAmount"]["amount"], PRICE.to_string());
    assert_eq!(balance["mint"], usdc.address.to_string());
    let keys = told["transaction"]["message"]["accountKeys"].as_array().unwrap();
    assert!(keys.contains(&json!(reference.to_string())));
    assert!(keys.contains(&json!(MemoProgram::V1.id().to_string())));
    assert!(keys.contains(&json!(MemoProgram::V2.id().to_string())));
}

#[tokio::test]
async fn a_token_keeps_its_fee_back_from_what_arrives() {
    let node = started().await;
    let fee = Some(Fee { basis_points: 100, maximum: PRICE });
    let options = MintOptions { program: TokenProgram::Token2022, fee, ..MintOptions::default() };
    let token = Mint::create(&node, options).await.unwrap();
    let buyer = buyer(&node, &token).await;
    let shop = Pubkey::new_unique();
    token.pay(&buyer, &shop, PRICE).await.unwrap();
    assert_eq!(token.balance_of(&shop).await.unwrap(), PRICE - PRICE / 100);
}

#[tokio::test]
async fn a_payment_can_be_an_inner_instruction() {
    let node = started().await;
    let usdc = Mint::create(&node, MintOptions::default()).await.unwrap();
    let shop = Keypair::new();
    // Owned by the shop's token account instead of by the shop.
    usdc.mint_to(&shop.pubkey(), 1).await.unwrap();
    let nested_owner = usdc.account_of(&shop.pubkey());
    usdc.mint_to(&nested_owner, PRICE).await.unwrap();
    let signature = node.send(&usdc.recovering(&shop.pubkey()), &[&shop]).await.unwrap();
    node.mine(1).await.unwrap();

    assert_eq!(usdc.balance_of(&shop.pubkey()).await.unwrap(), PRICE + 1);
    let told = told(&node, &signature).await;
    assert_ne!(told["meta"]["innerInstructions"], json!([]));
    let before = told["meta"]["preTokenBalances"].as_array().unwrap();
    let after = told["meta"]["postTokenBalances"].as_array().unwrap();
    assert_eq!((before.len(), after.len()), (2, 2), "one was closed, one was opened");
}

#[tokio::test]
async fn a_v0_payment_names_the_shops_account_through_a_look_up_table() {
    let node = started().await;
    let usdc = Mint::create(&node, MintOptions::default()).await.unwrap();
    let buyer = buyer(&node, &usdc).await;
    let shop = Pubkey::new_unique();
    usdc.mint_to(&shop, 1).await.unwrap();
    let account = usdc.account_of(&shop);
    let table = node.lookup_table(&[account, usdc.address]).await.unwrap();
    let pay = usdc.transferring(&buyer.pubkey(), &shop, PRICE);
    let signature = node.send_v0(&[pay], &[&buyer], &table).await.unwrap();
    node.mine(1).await.unwrap();

    assert_eq!(usdc.balance_of(&shop).await.unwrap(), PRICE + 1);
    let told = told(&node, &signature).await;
    assert_eq!(told["version"], 0);
    assert_eq!(told["meta"]["loadedAddresses"]["writable"], json!([account.to_string()]));
}

#[tokio::test]
async fn a_transaction_that_fails_stands_in_its_block_and_moves_nothing() {
    let node = started().await;
    let usdc = Mint::create(&node, MintOptions::default()).await.unwrap();
    let buyer = buyer(&node, &usdc).await;
    let shop = Pubkey::new_unique();
    usdc.mint_to(&shop, 1).await.unwrap();
    let too_much = usdc.transferring(&buyer.pubkey(), &shop, 101 * PRICE);
    let signature = node.send_failing(&[too_much], &[&buyer]).await.unwrap();
    node.mine(1).await.unwrap();
    assert_ne!(told(&node, &signature).await["meta"]["err"], Value::Null);
    assert_eq!(usdc.balance_of(&shop).await.unwrap(), 1);
}
