//! bitcoind as the tests and the demo drive it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use bitcoin::{Amount, ScriptBuf, Transaction, Txid, WPubkeyHash, hashes::Hash};
use serde_json::{Value, json};
use xtask::{
    bitcoind::{Bitcoind, BitcoindOptions, Payment},
    rpc::http_client,
};

const PRICE: Amount = Amount::from_sat(21_000);

fn script(of: u8) -> ScriptBuf {
    ScriptBuf::new_p2wpkh(&WPubkeyHash::from_byte_array([of; 20]))
}

async fn started(coins: u32) -> Bitcoind {
    let node = Bitcoind::start(BitcoindOptions::default()).await.unwrap();
    node.fund(coins).await.unwrap();
    node
}

/// What a script holds in the blocks of the present chain.
async fn received(node: &Bitcoind, script: &ScriptBuf) -> Value {
    let what = format!("raw({})", script.to_hex_string());
    let scan: Value = node.call("scantxoutset", json!(["start", [what]])).await.unwrap();
    scan["total_amount"].clone()
}

async fn waiting(node: &Bitcoind) -> Vec<Txid> {
    node.mempool().await.unwrap()
}

fn ids(transactions: &[&Transaction]) -> Vec<Txid> {
    transactions.iter().map(|transaction| transaction.compute_txid()).collect()
}

#[tokio::test]
async fn a_payment_waits_is_mined_goes_back_to_waiting_in_a_reorg_and_is_mined_again() {
    let node = started(1).await;
    let height = node.height().await.unwrap();
    let payment = node.pay_to(script(1), PRICE).await.unwrap();
    assert!(node.in_mempool(payment.compute_txid()).await.unwrap());
    let first = node.mine(1).await.unwrap();
    assert_eq!(received(&node, &script(1)).await, json!(0.00021));
    assert_eq!(waiting(&node).await, []);

    let branch = node.reorg(1, &[&[], &[]]).await.unwrap();

    assert_eq!(node.height().await.unwrap(), height + 2);
    assert_eq!(node.block_hash(height + 1).await.unwrap(), branch[0]);
    assert_ne!(first[0], branch[0]);
    assert_eq!(received(&node, &script(1)).await, json!(0.0));
    assert_eq!(waiting(&node).await, ids(&[&payment]));

    node.mine(1).await.unwrap();
    assert_eq!(received(&node, &script(1)).await, json!(0.00021));

    node.invalidate(branch[0]).await.unwrap();
    node.reconsider(first[0]).await.unwrap();
    assert_eq!(node.height().await.unwrap(), height + 1);
    assert_eq!(node.block_hash(height + 1).await.unwrap(), first[0]);
}

#[tokio::test]
async fn a_waiting_payment_is_replaced_by_one_that_pays_the_same_and_then_by_one_that_does_not() {
    let node = started(1).await;
    let first = node.pay(&Payment::to(script(1), PRICE).replaceable()).await.unwrap();
    let same = node.replace(&first, &Payment::to(script(1), PRICE).and(script(2), PRICE)).await;
    let same = same.unwrap();
    assert_eq!(waiting(&node).await, ids(&[&same]));

    let elsewhere = Payment::to(script(3), PRICE).at_fee_rate(100);
    let elsewhere = node.replace(&same, &elsewhere).await.unwrap();

    assert_eq!(waiting(&node).await, ids(&[&elsewhere]));
    assert!(first.is_explicitly_rbf());
    assert!(!elsewhere.is_explicitly_rbf());
    assert!(node.send(&first).await.is_err(), "it pays less than what replaced it");
}

#[tokio::test]
async fn a_reorg_double_spends_a_payment_that_had_been_mined() {
    let node = started(1).await;
    let payment = node.pay_to(script(1), PRICE).await.unwrap();
    node.mine(2).await.unwrap();
    let theft = node.conflict(&payment, &Payment::to(script(2), PRICE)).unwrap();

    let branch = node.reorg(2, &[std::slice::from_ref(&theft), &[], &[]]).await.unwrap();
    assert_eq!(branch.len(), 3);

    assert_eq!(received(&node, &script(1)).await, json!(0.0));
    assert_eq!(received(&node, &script(2)).await, json!(0.00021));
    assert_eq!(waiting(&node).await, []);
    assert!(node.send(&payment).await.is_err());
}

#[tokio::test]
async fn one_transaction_pays_several_and_carries_data() {
    let node = started(2).await;
    let payment = Payment::to(script(1), PRICE).and(script(1), PRICE).and(script(2), PRICE);
    let sent = node.pay(&payment.with_data(b"order-1234")).await.unwrap();
    let other = node.pay_to(script(3), PRICE).await.unwrap();
    assert_eq!(sent.output.len(), 5);
    assert!(sent.output[3].script_pubkey.is_op_return());
    assert!(sent.output[3].script_pubkey.to_bytes().ends_with(b"order-1234"));

    node.mine_only(&[sent]).await.unwrap();

    assert_eq!(received(&node, &script(1)).await, json!(0.00042));
    assert_eq!(received(&node, &script(2)).await, json!(0.00021));
    assert_eq!(waiting(&node).await, ids(&[&other]), "it was not asked into the block");
}

#[tokio::test]
async fn a_coin_is_spent_once_and_change_is_spent_when_it_is_mined() {
    let node = started(1).await;
    assert_eq!(node.coins().await.unwrap().len(), 1);
    let payment = node.pay_to(script(1), PRICE).await.unwrap();
    assert_eq!(node.coins().await.unwrap(), []);
    let error = node.pay_to(script(1), PRICE).await.unwrap_err();
    assert!(error.to_string().contains("coin"), "{error}");

    node.mine_only(std::slice::from_ref(&payment)).await.unwrap();

    // The change, and the coinbase that has come of age with the block.
    let coins = node.coins().await.unwrap();
    assert_eq!(coins.len(), 2);
    let change = coins.iter().find(|coin| coin.outpoint.txid == payment.compute_txid()).unwrap();
    assert_eq!(change.value, payment.output[1].value);
    node.sign(&coins, &Payment::to(script(2), Amount::from_sat(60_0000_0000))).unwrap();
    let all_of_it = coins.iter().map(|coin| coin.value).sum();
    assert!(node.sign(&coins, &Payment::to(script(2), all_of_it)).is_err(), "no fee is left");
}

#[tokio::test]
async fn a_stopped_node_comes_back_with_its_chain_and_an_empty_mempool() {
    let options = BitcoindOptions { txindex: true, arguments: vec!["-debug=zmq".into()] };
    let mut node = Bitcoind::start(options).await.unwrap();
    node.fund(1).await.unwrap();
    let mined = node.pay_to(script(1), PRICE).await.unwrap();
    let block = node.mine(1).await.unwrap()[0];
    node.pay_to(script(1), PRICE).await.unwrap();

    node.stop().await.unwrap();
    assert!(node.height().await.is_err());
    node.restart().await.unwrap();

    assert_eq!(node.height().await.unwrap(), 101);
    assert_eq!(waiting(&node).await, []);
    let known: Value =
        node.call("getrawtransaction", json!([mined.compute_txid(), 1])).await.unwrap();
    assert_eq!(known["blockhash"], json!(block));
}

#[tokio::test]
async fn it_announces_over_zmq_and_answers_rest() {
    let node = started(0).await;
    let topics: Value = node.call("getzmqnotifications", json!([])).await.unwrap();
    let topic =
        |of: &str| {
            topics.as_array().unwrap().iter().any(|topic| {
                topic["type"] == format!("pub{of}") && topic["address"] == node.zmq_url()
            })
        };
    assert!(topic("hashblock") && topic("sequence"), "{topics}");
    let tip = node.block_hash(99).await.unwrap();
    let block = format!("{}/block/{tip}.bin", node.rest_url());
    let block = http_client().unwrap().get(block).send().await.unwrap().bytes().await.unwrap();
    let block: bitcoin::Block = bitcoin::consensus::deserialize(&block).unwrap();
    assert_eq!(block.block_hash(), tip);
}

#[tokio::test]
async fn a_reorg_may_leave_a_shorter_chain() {
    let node = started(0).await;
    node.reorg(5, &[&[], &[]]).await.unwrap();
    assert_eq!(node.height().await.unwrap(), 96);
    let again = node.reorg(2, &[&[], &[]]).await.unwrap();
    assert_eq!(node.block_hash(96).await.unwrap(), again[1]);
}
