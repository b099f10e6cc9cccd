//! What the shipped networks encode in their own ways: a golden block each, proven or refused.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use confirmd_chain::{At, Block, Chain, ChainError, Height, Proof, WatchSet, WatchVersion};
use confirmd_evm::header;
use confirmd_evm::transactions::{Transaction, Transactions};
use confirmd_evm::{Evm, EvmConfig, ReceiptEncoding, Traces, parse_address};
use serde_json::{Value, json};
use support::scripted::{Scripted, number};

const ARBITRUM: &str = include_str!("golden/arbitrum.json");
const BSC: &str = include_str!("golden/bsc.json");
const OPTIMISM: &str = include_str!("golden/optimism.json");
const POLYGON: &str = include_str!("golden/polygon.json");
const POLYGON_BEFORE: &str = include_str!("golden/polygon-before.json");

/// From here on Polygon's state-sync transactions stand in the roots.
const MADHUGIRI: Height = Height(80_084_800);

fn golden(file: &str) -> Value {
    serde_json::from_str(file).unwrap()
}

/// Follows a network of this encoding whose nodes answer with this block, raw transactions
/// included, after `lie` changed it.
async fn block(
    recorded: &Value,
    change: impl FnOnce(&mut EvmConfig),
    mut lie: impl FnMut(&str, &mut Value) + Send + 'static,
) -> Result<Block, ChainError> {
    let raw = recorded["raw"].clone();
    let node = Scripted::lying(std::slice::from_ref(recorded), move |method, params, result| {
        if method == "eth_getRawTransactionByBlockHashAndIndex" {
            let at = usize::try_from(number(&params[1])).unwrap();
            *result = raw[at].clone();
        }
        lie(method, result);
    })
    .await;
    let address = |name: &str| parse_address(recorded[name].as_str().unwrap()).unwrap();
    let mut config = support::config(vec![address("token")]);
    config.traces = Traces::Never;
    change(&mut config);
    let evm = Evm::new(config, support::pool(&[node.url()])).unwrap();
    let watches = WatchSet::new([evm.watch_key(&address("watched"))], WatchVersion(1));
    evm.block(At::Height(Height(number(&recorded["block"]["number"]))), &watches).await
}

/// The amounts that a block pays to the watched address, and by which of its transactions.
fn paid(recorded: &Value, block: &Block) -> Vec<(usize, String, String)> {
    let hashes = recorded["hashes"].as_array().unwrap();
    let at = |id: &str| hashes.iter().position(|hash| hash == id).unwrap();
    let transfers = block.transfers.iter();
    transfers
        .map(|t| (at(t.id.transaction.as_str()), t.id.index.to_string(), t.amount.to_string()))
        .collect()
}

fn expected(list: &[(usize, &str, &str)]) -> Vec<(usize, String, String)> {
    list.iter().map(|(at, index, n)| (*at, (*index).to_owned(), (*n).to_owned())).collect()
}

fn arbitrum(config: &mut EvmConfig) {
    config.receipts = Some(ReceiptEncoding::Arbitrum);
}

fn polygon(config: &mut EvmConfig) {
    config.verify_from = MADHUGIRI;
}

#[tokio::test]
async fn a_block_of_arbitrum_proves_with_all_that_came_from_the_l1() {
    let recorded = golden(ARBITRUM);
    let proven = block(&recorded, arbitrum, |_, _| {}).await.unwrap();
    assert_eq!(proven.proof, Proof::Commitment);
    let payments = [
        (5, "value", "4000000000000000"),
        (6, "value", "6000000000000000"),
        (7, "log:0", "5000000"),
    ];
    assert_eq!(paid(&recorded, &proven), expected(&payments));
}

/// The first five are transactions of a public network; its hashes are reproduced.
#[test]
fn transactions_of_arbitrum_hash_to_the_hashes_that_the_network_gave_them() {
    let recorded = golden(ARBITRUM);
    let json = serde_json::to_vec(&recorded["block"]).unwrap();
    let (header, list) = header::read::<Transaction<'_>>(&json).unwrap();
    let list = Transactions::prove(&header, list, &[]).unwrap();
    let known = [
        "0x1ac8d67d5c4be184b3822f9ef97102789394f4bc75a0f528d5e14debef6e184c",
        "0x733c1300c06ac4ced959e68f16f565ee8918a4e75c9f9e3913bc7a7e939c60db",
        "0x8b7e4e0a2a31d2889200dc6c91c12833208d2f7847eabf0c21e9b15f86a8a8aa",
        "0x13cb79b086a427f3db7ebe6ec2bb90a806a3b0368ecee6020144f352e37dbdf6",
        "0x873c5ee3092c40336006808e249293bf5f4cb3235077a74cac9cafa7cf73cb8b",
    ];
    for (n, hash) in known.iter().enumerate() {
        assert_eq!(list.get(n).unwrap().hash.to_string(), *hash);
    }
    for n in known.len()..list.as_slice().len() {
        list.get(n).unwrap();
    }
}

/// Another address or hash; another quantity, or longer data.
fn changed_text(text: &str) -> String {
    if text.len() != 42 && text.len() != 66 {
        return format!("{text}01");
    }
    let (head, last) = text.split_at(text.len() - 1);
    format!("{head}{}", if last == "1" { "2" } else { "1" })
}

#[test]
fn every_field_that_arbitrum_encodes_is_proven_f5() {
    let recorded = golden(ARBITRUM);
    let encoded: [(usize, &[&str]); 6] = [
        (0, &["chainId", "input"]),
        (1, &["chainId", "requestId", "from", "to", "value"]),
        (2, &["chainId", "from", "nonce", "maxFeePerGas", "gas", "to", "value", "input"]),
        (
            3,
            &[
                "chainId",
                "requestId",
                "from",
                "l1BaseFee",
                "depositValue",
                "maxFeePerGas",
                "gas",
                "retryTo",
                "retryValue",
                "beneficiary",
                "maxSubmissionFee",
                "refundTo",
                "retryData",
            ],
        ),
        (
            4,
            &[
                "chainId",
                "nonce",
                "from",
                "maxFeePerGas",
                "gas",
                "to",
                "value",
                "input",
                "ticketId",
                "refundTo",
                "maxRefund",
                "submissionFeeRefund",
            ],
        ),
        (5, &["chainId", "requestId", "from", "maxFeePerGas", "gas", "to", "value", "input"]),
    ];
    for (at, fields) in encoded {
        for field in fields {
            let mut changed = recorded["block"].clone();
            let value = &mut changed["transactions"][at][*field];
            *value = json!(changed_text(value.as_str().unwrap()));
            let json = serde_json::to_vec(&changed).unwrap();
            let (header, list) = header::read::<Transaction<'_>>(&json).unwrap();
            let result = Transactions::prove(&header, list, &[]);
            assert!(result.is_err(), "{field} of transaction {at} was taken");
        }
    }
}

#[tokio::test]
async fn what_a_type_does_not_encode_credits_nothing_i11_f5() {
    // The block's first, a ticket, and a state-sync transaction, shown as paying us.
    for (file, at) in [(ARBITRUM, 0), (ARBITRUM, 3), (POLYGON, 2)] {
        let mut recorded = golden(file);
        let honest = block(&recorded, arbitrum, |_, _| {}).await.unwrap();
        recorded["block"]["transactions"][at]["to"] = recorded["watched"].clone();
        recorded["block"]["transactions"][at]["value"] = json!("0xde0b6b3a7640000");
        let proven = block(&recorded, arbitrum, |_, _| {}).await.unwrap();
        assert_eq!(proven.transfers, honest.transfers, "transaction {at}");
    }
}

#[tokio::test]
async fn receipts_of_arbitrum_prove_whatever_else_they_show() {
    let mut recorded = golden(ARBITRUM);
    recorded["receipts"][7]["gasUsedForL1"] = json!("0xffff");
    recorded["receipts"][7]["timeboosted"] = json!(true);
    block(&recorded, arbitrum, |_, _| {}).await.unwrap();
    recorded["receipts"][3]["cumulativeGasUsed"] = json!("0x1");
    let refused = block(&recorded, arbitrum, |_, _| {}).await;
    assert!(matches!(refused, Err(ChainError::Unproven(_))), "{refused:?}");
}

#[tokio::test]
async fn a_block_of_bnb_smart_chain_proves_with_its_system_transaction() {
    let recorded = golden(BSC);
    let proven = block(&recorded, |_| {}, |_, _| {}).await.unwrap();
    assert_eq!(proven.proof, Proof::Commitment);
    let payments = [(0, "log:0", "5000000000000000000"), (1, "value", "3000000000000000000")];
    assert_eq!(paid(&recorded, &proven), expected(&payments));
    // It is no part that may be left out.
    let mut without = recorded;
    without["block"]["transactions"].as_array_mut().unwrap().pop();
    without["hashes"].as_array_mut().unwrap().pop();
    without["receipts"].as_array_mut().unwrap().pop();
    let refused = block(&without, |_| {}, |_, _| {}).await;
    assert!(matches!(refused, Err(ChainError::Unproven(_))), "{refused:?}");
}

#[tokio::test]
async fn a_block_of_the_op_stack_is_followed_with_its_deposit() {
    let mut recorded = golden(OPTIMISM);
    // Nobody is paid in it.
    recorded["token"] = json!(format!("0x{}", "70".repeat(20)));
    recorded["watched"] = json!(format!("0x{}", "51".repeat(20)));
    let optimism = |config: &mut EvmConfig| config.receipts = Some(ReceiptEncoding::Optimism);
    let proven = block(&recorded, optimism, |_, _| {}).await.unwrap();
    assert_eq!((proven.proof, proven.transfers), (Proof::Commitment, vec![]));
}

#[tokio::test]
async fn a_state_sync_transaction_of_polygon_is_proven_with_what_it_mints() {
    let recorded = golden(POLYGON);
    let payments =
        [(0, "log:0", "5000000"), (1, "value", "2000000000000000000"), (2, "log:1", "9000000")];
    let proven = block(&recorded, polygon, |_, _| {}).await.unwrap();
    assert_eq!(proven.proof, Proof::Commitment);
    assert_eq!(paid(&recorded, &proven), expected(&payments));

    let tokens = block(&recorded, |config| config.native = false, |_, _| {}).await.unwrap();
    assert_eq!(tokens.proof, Proof::Commitment);
    assert_eq!(paid(&recorded, &tokens), expected(&[payments[0], payments[2]]));

    let lacks = |method: &str, result: &mut Value| {
        if method == "eth_getRawTransactionByBlockHashAndIndex" {
            *result = json!({ "error": { "code": -32601, "message": "Method not found" } });
        }
    };
    let refused = block(&recorded, polygon, lacks).await;
    let Err(ChainError::Misconfigured(words)) = refused else { panic!("{refused:?}") };
    assert!(words.contains("eth_getRawTransactionByBlockHashAndIndex"), "{words}");

    let mut renamed = recorded;
    let hash = json!(format!("0x{}", "1".repeat(64)));
    renamed["hashes"][2] = hash.clone();
    renamed["block"]["transactions"][2]["hash"] = hash.clone();
    renamed["receipts"][2]["transactionHash"] = hash.clone();
    for log in renamed["receipts"][2]["logs"].as_array_mut().unwrap() {
        log["transactionHash"] = hash.clone();
    }
    let refused = block(&renamed, polygon, |_, _| {}).await;
    let Err(ChainError::Unproven(words)) = refused else { panic!("{refused:?}") };
    assert!(words.contains("does not hash to its hash"), "{words}");
}

#[tokio::test]
async fn before_its_height_a_state_sync_transaction_stands_outside_the_roots() {
    let recorded = golden(POLYGON_BEFORE);
    let payments =
        [(0, "log:0", "5000000"), (1, "value", "2000000000000000000"), (2, "log:1", "9000000")];
    let by_logs = block(&recorded, polygon, |_, _| {}).await.unwrap();
    assert_eq!(by_logs.proof, Proof::Logs);
    assert_eq!(paid(&recorded, &by_logs), expected(&payments));

    // A node that keeps its logs to itself has to show receipts that explain the bloom.
    let hidden = |method: &str, result: &mut Value| {
        if method == "eth_getLogs" {
            *result = json!([]);
        }
    };
    let settled = block(&recorded, polygon, hidden).await.unwrap();
    assert_eq!(paid(&recorded, &settled), expected(&payments));

    // Its roots hold without it, and so nothing proves where it is taken for a part of them.
    let refused = block(&recorded, |_| {}, |_, _| {}).await;
    assert!(matches!(refused, Err(ChainError::Unproven(_))), "{refused:?}");
}
