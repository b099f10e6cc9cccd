//! What is seen of payments on a real node: in blocks, before them, and when they are replaced.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

mod support;

use bitcoin::Amount as Satoshis;
use confirmd_chain::{
    Amount, Asset, Chain, Confirmations, Mempool, TransactionId, TransferIndex, WatchVersion,
};
use xtask::bitcoind::{BitcoindOptions, Payment};

use support::{Node, address};

fn id(transaction: &bitcoin::Transaction) -> TransactionId {
    TransactionId::new(transaction.compute_txid().to_string())
}

async fn mempool(node: &Node, watches: &confirmd_chain::WatchSet) -> Mempool {
    node.chain.unconfirmed(watches).await.unwrap().expect("a node has a mempool")
}

#[tokio::test]
async fn several_outputs_of_one_transaction_are_several_transfers_with_what_it_says_f24() {
    let node = Node::start(BitcoindOptions::default()).await;
    let ours: Vec<_> = (0..5).map(address).collect();
    let mut payment = Payment::to(node.script(&ours[0]), Satoshis::from_sat(1_000));
    for (to, satoshis) in ours.iter().zip([1_000_u64, 2_000, 3_000, 4_000, 5_000]).skip(1) {
        payment = payment.and(node.script(to), Satoshis::from_sat(satoshis));
    }
    let paid = node.bitcoind.pay(&payment.with_data(b"order-1")).await.unwrap();
    node.bitcoind.mine(1).await.unwrap();
    let watches = node.watching(&ours.iter().collect::<Vec<_>>());
    let block = node.newest(&watches).await;
    assert_eq!(block.transfers.len(), 5);
    for (at, (transfer, to)) in block.transfers.iter().zip(&ours).enumerate() {
        assert_eq!(transfer.id.transaction, id(&paid));
        assert_eq!(transfer.id.index, TransferIndex::Vout(u32::try_from(at).unwrap()));
        assert_eq!(&transfer.to, to);
        assert_eq!(transfer.amount, Amount::from(1_000 * (at as u64 + 1)));
        assert_eq!(transfer.memo.as_deref(), Some("order-1"));
        let reference = node.chain.parse_reference("order-1", &Asset::Native).unwrap();
        assert!(transfer.references.contains(&reference));
        assert_eq!(transfer.maturity, Confirmations(0));
    }
}

#[tokio::test]
async fn what_a_miner_gets_matures_later() {
    let node = Node::start(BitcoindOptions::default()).await;
    let ours = address(0);
    let miner = bitcoin::Address::from_script(&node.script(&ours), bitcoin::Network::Regtest);
    node.bitcoind.mine_to(&miner.unwrap(), 1).await.unwrap();
    let block = node.newest(&node.watching(&[&ours])).await;
    assert_eq!(block.transfers.len(), 1);
    assert_eq!(block.transfers[0].maturity, Confirmations(100));
}

#[tokio::test]
async fn an_unconfirmed_payment_is_shown_until_it_is_mined() {
    let node = Node::start(BitcoindOptions::default()).await;
    let ours = address(2);
    let watches = node.watching(&[&ours]);
    assert_eq!(mempool(&node, &watches).await, Mempool { is_complete: true, ..Mempool::default() });
    let payment = Payment::to(node.script(&ours), Satoshis::from_sat(7_000));
    let payment = payment.replaceable().at_fee_rate(12);
    let paid = node.bitcoind.pay(&payment).await.unwrap();
    let seen = mempool(&node, &watches).await;
    assert_eq!(seen.payments.len(), 1);
    let unconfirmed = &seen.payments[0];
    assert_eq!(unconfirmed.transaction(), Some(&id(&paid)));
    assert_eq!(unconfirmed.transfers[0].amount, Amount::from(7_000));
    assert_eq!(unconfirmed.spends.len(), paid.input.len());
    assert!(unconfirmed.replaceable);
    let rate = unconfirmed.fee_rate.expect("the node knows the fee").0;
    assert!((11_500..13_000).contains(&rate), "{rate} for a thousand virtual bytes");
    assert_eq!(mempool(&node, &watches).await, seen, "the same at every look");
    node.bitcoind.mine(1).await.unwrap();
    assert_eq!(mempool(&node, &watches).await.payments, []);
    assert_eq!(node.newest(&watches).await.transfers, unconfirmed.transfers);
}

#[tokio::test]
async fn a_watch_that_comes_later_finds_what_was_in_the_mempool_before_f22() {
    let node = Node::start(BitcoindOptions::default()).await;
    let ours = address(3);
    let watches = node.watching(&[&address(4)]);
    let paid = node.send(&ours, 9_000).await;
    assert_eq!(mempool(&node, &watches).await.payments, []);
    watches.add([node.chain.watch_key(&ours)], WatchVersion(2));
    let seen = mempool(&node, &watches).await;
    assert_eq!(seen.payments[0].transaction(), Some(&id(&paid)));
}

#[tokio::test]
async fn a_replacement_is_told_by_the_outpoint_that_it_spends_f23() {
    let node = Node::start(BitcoindOptions::default()).await;
    let (ours, theirs) = (address(5), address(6));
    let watches = node.watching(&[&ours]);
    let payment = Payment::to(node.script(&ours), Satoshis::from_sat(8_000)).replaceable();
    let first = node.bitcoind.pay(&payment).await.unwrap();
    let seen = mempool(&node, &watches).await;
    assert_eq!(seen.spends, [], "nobody watches the outpoint yet");
    let outpoints = seen.payments[0].spends.clone();
    watches.add(outpoints.clone(), WatchVersion(2));
    let spends = mempool(&node, &watches).await.spends;
    assert_eq!((spends[0].watch, &spends[0].by), (outpoints[0], &id(&first)));
    // Replaced by one that pays elsewhere: in the mempool, then in a block.
    let elsewhere = Payment::to(node.script(&theirs), Satoshis::from_sat(8_000));
    let second = node.bitcoind.replace(&first, &elsewhere).await.unwrap();
    let replaced = mempool(&node, &watches).await;
    assert_eq!(replaced.payments, []);
    assert_eq!((replaced.spends[0].watch, &replaced.spends[0].by), (outpoints[0], &id(&second)));
    node.bitcoind.mine(1).await.unwrap();
    let block = node.newest(&watches).await;
    assert_eq!(block.transfers, []);
    assert_eq!(block.spends, replaced.spends);
}

#[tokio::test]
async fn a_reorg_takes_a_payment_away_and_shows_its_double_spend_f6_f23() {
    let node = Node::start(BitcoindOptions::default()).await;
    let (ours, theirs) = (address(7), address(8));
    let watches = node.watching(&[&ours]);
    let paid = node.send(&ours, 6_000).await;
    let outpoints = mempool(&node, &watches).await.payments[0].spends.clone();
    node.bitcoind.mine(1).await.unwrap();
    let old = node.newest(&watches).await;
    watches.add(outpoints.clone(), WatchVersion(2));
    let double = Payment::to(node.script(&theirs), Satoshis::from_sat(6_000));
    let double = node.bitcoind.conflict(&paid, &double).unwrap();
    node.bitcoind.reorg(1, &[std::slice::from_ref(&double), &[]]).await.unwrap();
    let heads = node.chain.heads().await.unwrap();
    let at = confirmd_chain::At::Height(old.header.height);
    let new = node.chain.block(at, &watches).await.unwrap();
    assert_ne!(new.header.hash, old.header.hash);
    assert_eq!(new.transfers, []);
    assert_eq!((new.spends[0].watch, &new.spends[0].by), (outpoints[0], &id(&double)));
    let (one, two) = (old.header.work, [new.header.work, heads.latest.work].into_iter().sum());
    assert!(node.chain.prefers(two, one), "the longer branch has more work");
    assert!(!node.chain.prefers(new.header.work, one), "of equal work the first is kept");
}

#[tokio::test]
async fn a_transaction_is_found_without_an_index_after_its_outputs_are_spent() {
    let node = Node::start(BitcoindOptions::default()).await;
    let ours = address(9);
    let paid = node.send(&ours, 5_000).await;
    assert_eq!(node.chain.transaction(&id(&paid)).await, Ok(None), "it is in no block yet");
    node.bitcoind.mine(1).await.unwrap();
    let block = node.newest(&node.watching(&[&ours])).await;
    let found = node.chain.transaction(&id(&paid)).await.unwrap().expect("an output is unspent");
    assert_eq!(found.header, block.header);
    // A coinbase's only output, spent: it was never ours, so nothing tells where it stood.
    let coin = paid.input[0].previous_output.txid.to_string();
    assert_eq!(node.chain.transaction(&TransactionId::new(coin)).await, Ok(None));
}
