//! The starters themselves, on the real thing.

use alloy_primitives::{Address, U256, address};
use xtask::{
    anvil::{Anvil, AnvilOptions},
    erc20::{self, Erc20, TokenOptions},
};

const SHOP: Address = address!("0x00000000000000000000000000000000000051b0");

fn units(amount: u64) -> U256 {
    U256::from(amount)
}

#[tokio::test]
async fn a_published_erc20_pays_and_a_reorg_takes_the_payment_back() {
    let anvil = Anvil::start(AnvilOptions::default()).await.unwrap();
    let token = Erc20::deploy(&anvil, "Tether USD", "USDT", units(1_000_000)).await.unwrap();
    let payment = token.transfer(SHOP, units(250)).await.unwrap();
    assert_eq!(token.balance_of(SHOP).await.unwrap(), units(250));
    anvil.mine(2).await.unwrap();
    let height = anvil.block_number().await.unwrap();
    let receipt = anvil.receipt(payment).await.unwrap().unwrap();
    assert!(receipt.succeeded());
    assert_eq!(receipt.height(), height - 2);

    anvil.reorg(3).await.unwrap();

    assert_eq!(anvil.block_number().await.unwrap(), height);
    assert_ne!(anvil.block_hash(receipt.height()).await.unwrap(), receipt.block_hash);
    assert_eq!(anvil.receipt(payment).await.unwrap(), None);
    assert_eq!(token.balance_of(SHOP).await.unwrap(), units(0));
}

#[tokio::test]
async fn a_reorg_can_bring_a_payment_into_another_block() {
    let anvil = Anvil::start(AnvilOptions::default()).await.unwrap();
    let token = Erc20::deploy(&anvil, "Tether USD", "USDT", units(1_000_000)).await.unwrap();
    let first = token.transfer(SHOP, units(250)).await.unwrap();
    let height = anvil.receipt(first).await.unwrap().unwrap().height();
    anvil.mine(1).await.unwrap();

    let again = token.transfer_transaction(token.owner, SHOP, units(40));
    anvil.reorg_with(2, &[(again, 1)]).await.unwrap();

    assert_eq!(anvil.receipt(first).await.unwrap(), None);
    assert_eq!(token.balance_of(SHOP).await.unwrap(), units(40));
    assert_eq!(anvil.block_number().await.unwrap(), height + 1);
}

#[tokio::test]
async fn blocks_can_be_made_by_hand_and_a_transaction_dropped_from_the_pool() {
    let options = AnvilOptions { automine: false, ..AnvilOptions::default() };
    let anvil = Anvil::start(options).await.unwrap();
    let token = Erc20::deploy(&anvil, "Tether USD", "USDT", units(1_000_000)).await.unwrap();
    let mined = token.transfer(SHOP, units(1)).await.unwrap();
    let dropped = token.transfer(SHOP, units(2)).await.unwrap();
    assert_eq!(anvil.receipt(mined).await.unwrap(), None);

    assert!(anvil.drop_transaction(dropped).await.unwrap());
    anvil.mine(1).await.unwrap();

    assert!(anvil.receipt(mined).await.unwrap().is_some());
    assert_eq!(anvil.receipt(dropped).await.unwrap(), None);
    assert_eq!(token.balance_of(SHOP).await.unwrap(), units(1));
}

#[tokio::test]
async fn a_token_can_take_fees_and_revert_and_pay_many() {
    let anvil = Anvil::start(AnvilOptions::default()).await.unwrap();
    let options = TokenOptions { fee_basis_points: 100, ..TokenOptions::default() };
    let token = Erc20::deploy_variant(&anvil, options).await.unwrap();
    token.transfer(SHOP, units(1_000)).await.unwrap();
    assert_eq!(token.balance_of(SHOP).await.unwrap(), units(990));

    token.transfer_many(&[(SHOP, units(100)), (SHOP, units(200))]).await.unwrap();
    assert_eq!(token.balance_of(SHOP).await.unwrap(), units(990 + 99 + 198));

    token.set_frozen(true).await.unwrap();
    let reverted = token.transfer(SHOP, units(1_000)).await.unwrap();
    assert!(!anvil.receipt(reverted).await.unwrap().unwrap().succeeded());
    assert_eq!(token.balance_of(SHOP).await.unwrap(), units(990 + 99 + 198));
}

#[tokio::test]
async fn the_native_coin_is_paid_directly_and_through_a_contract() {
    let anvil = Anvil::start(AnvilOptions::default()).await.unwrap();
    anvil.pay(anvil.accounts()[1], SHOP, units(5)).await.unwrap();
    erc20::pay_through_contract(&anvil, SHOP, units(7)).await.unwrap();
    assert_eq!(anvil.balance_of(SHOP).await.unwrap(), units(12));
}

#[tokio::test]
async fn finality_follows_the_options_and_snapshots_and_rollbacks_go_back() {
    let options = AnvilOptions { slots_in_an_epoch: 2, chain_id: 56, ..AnvilOptions::default() };
    let anvil = Anvil::start(options).await.unwrap();
    let chain_id: U256 = anvil.call("eth_chainId", serde_json::json!([])).await.unwrap();
    assert_eq!(chain_id, units(56));
    let snapshot = anvil.snapshot().await.unwrap();
    anvil.mine(10).await.unwrap();
    let finalized: serde_json::Value =
        anvil.call("eth_getBlockByNumber", serde_json::json!(["finalized", false])).await.unwrap();
    assert_eq!(finalized["number"], "0x6");
    anvil.rollback(3).await.unwrap();
    assert_eq!(anvil.block_number().await.unwrap(), 7);
    anvil.revert(snapshot).await.unwrap();
    assert_eq!(anvil.block_number().await.unwrap(), 0);
    assert!(anvil.revert(snapshot).await.is_err());
}
