//! What real tokens and real transactions credit, and what only looks like a payment (F24).

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use alloy_primitives::{Address as Raw, B256, Bytes, U256, address};
use confirmd_chain::{
    Asset, At, Block, Chain, ChainError, Height, Proof, Transfer, TransferIndex, WatchSet,
    WatchVersion,
};
use confirmd_evm::{Evm, Traces, Verify};
use serde_json::json;
use support::Node;
use xtask::anvil::{Anvil, AnvilOptions, Transaction};
use xtask::erc20::{Erc20, TokenOptions, pay_through_contract};

const SHOP: Raw = address!("0x00000000000000000000000000000000000051b0");

fn watching(evm: &Evm, addresses: &[Raw]) -> WatchSet {
    let keys = addresses.iter().map(|address| evm.watch_key(&support::text(*address)));
    WatchSet::new(keys, WatchVersion(1))
}

async fn block_of(anvil: &Anvil, evm: &Evm, transaction: B256, watches: &WatchSet) -> Block {
    let receipt = anvil.receipt(transaction).await.unwrap().unwrap();
    evm.block(At::Height(Height(receipt.height())), watches).await.unwrap()
}

fn amounts(transfers: &[Transfer]) -> Vec<String> {
    transfers.iter().map(|transfer| transfer.amount.to_string()).collect()
}

/// A node with a token that takes one percent, followed in this way.
async fn with_fees(anvil: &Anvil, verify: Verify) -> (Erc20<'_>, Evm) {
    let options = TokenOptions { fee_basis_points: 100, ..TokenOptions::default() };
    let token = Erc20::deploy_variant(anvil, options).await.unwrap();
    let mut config = support::config(vec![support::text(token.address)]);
    config.verify = verify;
    (token, Evm::new(config, support::pool(&[anvil.url()])).unwrap())
}

#[tokio::test]
async fn what_arrives_is_credited_and_each_transfer_by_its_place_i11_f24() {
    for verify in [Verify::Receipts, Verify::Logs] {
        let anvil = Anvil::start(AnvilOptions::default()).await.unwrap();
        let (token, evm) = with_fees(&anvil, verify).await;
        let watches = watching(&evm, &[SHOP]);
        let many = [
            (SHOP, U256::from(100)),
            (Raw::repeat_byte(7), U256::from(5)),
            (SHOP, U256::from(200)),
        ];
        let transaction = token.transfer_many(&many).await.unwrap();
        let block = block_of(&anvil, &evm, transaction, &watches).await;
        assert_eq!(amounts(&block.transfers), ["99", "198"], "{verify:?}: what arrived");
        let places: Vec<_> = block.transfers.iter().map(|t| t.id.index.clone()).collect();
        let [TransferIndex::Log(first), TransferIndex::Log(second)] = places[..] else {
            panic!("{places:?}")
        };
        assert!(first < second);
        for transfer in &block.transfers {
            assert_eq!(transfer.id.transaction.as_str(), transaction.to_string());
            assert_eq!(transfer.asset, Asset::Token(support::text(token.address)));
            assert_eq!(transfer.from, Some(support::text(token.owner)));
        }

        token.set_frozen(true).await.unwrap();
        let reverted = token.transfer(SHOP, U256::from(1_000)).await.unwrap();
        assert!(!anvil.receipt(reverted).await.unwrap().unwrap().succeeded());
        let block = block_of(&anvil, &evm, reverted, &watches).await;
        assert_eq!(block.transfers, [], "{verify:?}: a reverted transaction credits nothing");
    }
}

#[tokio::test]
async fn coin_is_credited_by_value_alone_and_not_to_its_sender_f24() {
    for verify in [Verify::Receipts, Verify::Logs] {
        let node = Node::start(|config| {
            config.verify = verify;
            config.traces = Traces::Never;
        })
        .await;
        let payer = node.anvil.accounts()[1];
        let watches = watching(&node.evm, &[SHOP, payer]);
        let (anvil, evm) = (&node.anvil, &node.evm);

        let paid = anvil.pay(payer, SHOP, U256::from(5)).await.unwrap();
        let block = block_of(anvil, evm, paid, &watches).await;
        let [transfer] = &block.transfers[..] else { panic!("{verify:?}: {block:?}") };
        assert_eq!((&transfer.asset, &transfer.id.index), (&Asset::Native, &TransferIndex::Value));
        assert_eq!(transfer.from, Some(support::text(payer)), "recovered from the signature");
        assert_eq!(transfer.to, support::text(SHOP));

        let creation = Transaction {
            from: payer,
            to: None,
            value: U256::from(3),
            data: Bytes::from_static(&[0]),
        };
        for (what, transaction) in [
            ("nothing", anvil.pay(payer, SHOP, U256::ZERO).await.unwrap()),
            ("to oneself", anvil.pay(payer, payer, U256::from(7)).await.unwrap()),
            ("a contract's creation", anvil.send(&creation).await.unwrap()),
            (
                "through a contract, without traces",
                pay_through_contract(anvil, SHOP, U256::from(9)).await.unwrap(),
            ),
            ("no tokens", node.transfer(SHOP, U256::ZERO).await),
        ] {
            let block = block_of(anvil, evm, transaction, &watches).await;
            assert_eq!(block.transfers, [], "{verify:?}: {what}");
        }
    }
}

#[tokio::test]
async fn coin_that_a_contract_is_created_with_is_the_contracts_f24() {
    for verify in [Verify::Receipts, Verify::Logs] {
        let node = Node::start(|config| config.verify = verify).await;
        let payer = node.anvil.accounts()[1];
        let watches = watching(&node.evm, &[payer.create(0)]);
        let data = Bytes::from_static(&[0]);
        let creation = Transaction { from: payer, to: None, value: U256::from(3), data };
        let created = node.anvil.send(&creation).await.unwrap();
        let block = block_of(&node.anvil, &node.evm, created, &watches).await;
        let [transfer] = &block.transfers[..] else { panic!("{verify:?}: {block:?}") };
        assert_eq!(transfer.id.index, TransferIndex::Value);
        assert_eq!(transfer.to, support::text(payer.create(0)));
    }
}

#[tokio::test]
async fn a_token_that_is_not_registered_credits_nothing_f24() {
    let node = Node::start(|_| {}).await;
    let supply = U256::from(1_000);
    let other = Erc20::deploy(&node.anvil, "USD Coin", "USDC", supply).await.unwrap();
    let watches = watching(&node.evm, &[SHOP]);
    let look_alike = other.transfer(SHOP, U256::from(10)).await.unwrap();
    let block = block_of(&node.anvil, &node.evm, look_alike, &watches).await;
    assert_eq!(block.transfers, []);
    assert_eq!(block.proof, Proof::Commitment);
}

#[tokio::test]
async fn a_transaction_that_returns_in_another_block_is_decoded_afresh_f6() {
    let node = Node::start(|_| {}).await;
    let (anvil, evm) = (&node.anvil, &node.evm);
    let watches = watching(evm, &[SHOP]);
    let transaction = node.transfer(SHOP, U256::from(250)).await;
    let before = block_of(anvil, evm, transaction, &watches).await;
    let raw: Bytes = anvil.call("eth_getRawTransactionByHash", json!([transaction])).await.unwrap();

    anvil.reorg(1).await.unwrap();
    let replaced = evm.block(At::Height(before.header.height), &watches).await.unwrap();
    assert_eq!(replaced.transfers, [], "the payment is gone with its block");
    anvil.mine(1).await.unwrap();
    let again: B256 = anvil.call("eth_sendRawTransaction", json!([raw])).await.unwrap();
    assert_eq!(again, transaction);
    anvil.mined(again).await.unwrap();

    let after = block_of(anvil, evm, transaction, &watches).await;
    assert!(after.header.height > before.header.height);
    assert_eq!(after.transfers, before.transfers, "the same transfer, by its identity (I2)");
    let lost = evm.block(before.header.at(), &watches).await;
    assert!(
        lost == Err(ChainError::NotFound) || lost.as_ref() == Ok(&before),
        "the old block is gone or whole: {lost:?}"
    );
}
