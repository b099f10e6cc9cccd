//! An independent client recounts the chain, and finds what ours finds.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

mod support;

use std::collections::BTreeMap;

use bitcoin::{Amount as Satoshis, TxOut};
use bitcoincore_rpc::{Auth, Client, RpcApi};
use confirmd_chain::{Address, Chain, Height};
use serde_json::{Value, json};
use xtask::bitcoind::{BitcoindOptions, Payment};

use support::{Node, address};

/// Transaction and output, receiver, satoshis, block.
type Credit = (String, u64, String, u64, String);

/// What verbosity 2 says of every output to these addresses.
fn recount(url: &str, addresses: &BTreeMap<String, Address>) -> Vec<Credit> {
    let (user, rest) = url.trim_start_matches("http://").split_once(':').unwrap();
    let (password, host) = rest.split_once('@').unwrap();
    let auth = Auth::UserPass(user.to_owned(), password.to_owned());
    let client = Client::new(&format!("http://{host}"), auth).unwrap();
    let mut credits = Vec::new();
    for height in 0..=client.get_block_count().unwrap() {
        let hash = client.get_block_hash(height).unwrap().to_string();
        let block: Value = client.call("getblock", &[json!(hash), json!(2)]).unwrap();
        for transaction in block["tx"].as_array().unwrap() {
            for output in transaction["vout"].as_array().unwrap() {
                let script = output["scriptPubKey"]["hex"].as_str().unwrap();
                let Some(to) = addresses.get(script) else { continue };
                let coins = output["value"].to_string();
                let value = Satoshis::from_str_in(&coins, bitcoin::Denomination::Bitcoin).unwrap();
                credits.push((
                    transaction["txid"].as_str().unwrap().to_owned(),
                    output["n"].as_u64().unwrap(),
                    to.to_string(),
                    value.to_sat(),
                    hash.clone(),
                ));
            }
        }
    }
    credits
}

#[tokio::test]
async fn bitcoincore_rpc_recounts_the_chain_and_finds_the_same() {
    let node = Node::start(BitcoindOptions::default()).await;
    let ours: Vec<Address> = (0..10).map(address).collect();
    for (round, to) in ours.iter().enumerate() {
        let script = node.script(to);
        let output = |sat| TxOut { value: Satoshis::from_sat(sat), script_pubkey: script.clone() };
        let payment = match round % 3 {
            0 => Payment::outputs([output(10_000), output(20_000)]),
            1 => Payment::outputs([output(10_000)]).with_data(b"order-1"),
            _ => Payment::to(node.script(&address(99)), Satoshis::from_sat(5_000))
                .and(script.clone(), Satoshis::from_sat(30_000)),
        };
        node.bitcoind.pay(&payment).await.unwrap();
        if round % 2 == 0 {
            node.bitcoind.mine(1).await.unwrap();
        }
    }
    // Coinbases to an address of ours, among them the one of a reorg.
    let miner = node.script(&ours[0]);
    let miner = bitcoin::Address::from_script(&miner, bitcoin::Network::Regtest).unwrap();
    node.bitcoind.mine_to(&miner, 3).await.unwrap();
    node.bitcoind.reorg(2, &[&[], &[], &[]]).await.unwrap();
    node.bitcoind.mine(2).await.unwrap();

    let watches = node.watching(&ours.iter().collect::<Vec<_>>());
    let keys = ours.iter().map(|to| (node.script(to).to_hex_string(), to.clone())).collect();
    let url = node.bitcoind.url();
    let theirs = tokio::task::spawn_blocking(move || recount(&url, &keys)).await.unwrap();
    let mut found = Vec::new();
    let latest = node.chain.heads().await.unwrap().latest.height;
    let mut next = Height(0);
    while next <= latest {
        for block in node.chain.blocks(next, latest, &watches).await.unwrap() {
            next = block.header.height.next();
            for transfer in block.transfers {
                let index = transfer.id.index.to_string();
                let vout = index.strip_prefix("vout:").unwrap().parse().unwrap();
                found.push((
                    transfer.id.transaction.to_string(),
                    vout,
                    transfer.to.to_string(),
                    u64::try_from(transfer.amount.base_units()).unwrap(),
                    block.header.hash.to_string(),
                ));
            }
        }
    }
    assert_eq!(found, theirs);
    assert!(theirs.len() >= 14, "the chain has something to find: {theirs:?}");
}
