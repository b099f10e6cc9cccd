//! A real node's answers: they prove as they are, and not once anything in them is changed.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::LazyLock;

use alloy_primitives::{Address, B256, U256};
use confirmd_evm::header::{self, ProvenHeader};
use confirmd_evm::logs::{self, Log};
use confirmd_evm::receipts::{self, Receipt};
use confirmd_evm::transactions::{Transaction, Transactions};
use confirmd_evm::{ReceiptEncoding, Refusal};
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

const MIXED: &str = include_str!("golden/mixed.json");
const MANY: &str = include_str!("golden/many.json");
const EMPTY: &str = include_str!("golden/empty.json");
const OPTIMISM: &str = include_str!("golden/optimism.json");

fn golden(file: &str) -> Value {
    if file == MIXED {
        return PARSED.clone();
    }
    serde_json::from_str(file).unwrap()
}

/// Read once, since the property tests change it a thousand times.
static PARSED: LazyLock<Value> = LazyLock::new(|| serde_json::from_str(MIXED).unwrap());

fn bytes(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).unwrap()
}

fn header_of(block: &Value) -> Result<ProvenHeader, Refusal> {
    header::read::<Transaction<'_>>(&bytes(block)).map(|(header, _)| header)
}

/// As receipts mode does: the receipts against the block, then against its root.
fn prove_receipts(block: &Value, hashes: &Value, answer: &Value) -> Result<(), Refusal> {
    prove_receipts_as(ReceiptEncoding::Ethereum, block, hashes, answer)
}

fn prove_receipts_as(
    encoding: ReceiptEncoding,
    block: &Value,
    hashes: &Value,
    answer: &Value,
) -> Result<(), Refusal> {
    let header = header_of(block)?;
    let hashes: Vec<B256> = serde_json::from_value(hashes.clone()).unwrap();
    let answer = bytes(answer);
    let receipts: Vec<Receipt<'_>> = serde_json::from_slice(&answer)?;
    receipts::check_order(&header, &hashes, &receipts)?;
    receipts::prove(&header, &receipts, encoding)
}

fn prove_transactions(block: &Value) -> Result<Vec<Address>, Refusal> {
    let block = bytes(block);
    let (header, list) = header::read::<Transaction<'_>>(&block)?;
    let list = Transactions::prove(&header, list, &[])?;
    (0..list.as_slice().len()).map(|n| list.get(n)?.sender()).collect()
}

fn check_logs(file: &Value, answer: &Value) -> Result<(), Refusal> {
    let header = header_of(&file["block"])?;
    let hashes: Vec<B256> = serde_json::from_value(file["hashes"].clone()).unwrap();
    let answer = bytes(answer);
    let logs: Vec<Log<'_>> =
        serde_json::from_slice(&answer).map_err(|e| Refusal::Malformed(e.to_string()))?;
    logs::check_order(&header, &hashes, &logs)
}

#[test]
fn blocks_of_a_real_node_prove_by_hash_and_roots() {
    for file in [MIXED, MANY, EMPTY] {
        let file = golden(file);
        prove_receipts(&file["block"], &file["hashes"], &file["receipts"]).unwrap();
        let senders = prove_transactions(&file["block"]).unwrap();
        let said = file["block"]["transactions"].as_array().unwrap();
        let said: Vec<Address> =
            said.iter().map(|tx| tx["from"].as_str().unwrap().parse().unwrap()).collect();
        assert_eq!(senders, said, "senders are recovered from what the block commits to");
        check_logs(&file, &file["logs"]).unwrap();
        let header = header_of(&file["block"]).unwrap();
        let receipts = bytes(&file["receipts"]);
        receipts::explain_bloom(&header, &serde_json::from_slice::<Vec<_>>(&receipts).unwrap())
            .unwrap();
    }
}

#[test]
fn a_block_of_the_op_stack_proves_with_its_deposit() {
    let file = golden(OPTIMISM);
    let (block, hashes) = (&file["block"], &file["hashes"]);
    let prove = |encoding, receipts: &Value| prove_receipts_as(encoding, block, hashes, receipts);
    prove(ReceiptEncoding::Optimism, &file["receipts"]).unwrap();
    let depositor: Address = "0xdeaddeaddeaddeaddeaddeaddeaddeaddead0001".parse().unwrap();
    assert_eq!(prove_transactions(block).unwrap(), [depositor]);

    // Ethereum's encoding leaves out what the OP stack's commits to, and so it does not hold.
    assert!(prove(ReceiptEncoding::Ethereum, &file["receipts"]).is_err());
    for (field, changed) in [("depositNonce", "0x112"), ("depositReceiptVersion", "0x2")] {
        let mut receipts = file["receipts"].clone();
        receipts[0][field] = json!(changed);
        assert!(prove(ReceiptEncoding::Optimism, &receipts).is_err(), "{field} was taken");
    }
    for (field, changed) in [("from", depositor.create(0).to_string()), ("mint", "0x1".into())] {
        let mut block = block.clone();
        block["transactions"][0][field] = json!(changed);
        assert!(prove_transactions(&block).is_err(), "{field} was taken");
    }
}

/// Ethereum's first block, whose hash is known to everybody.
#[test]
fn the_genesis_block_of_ethereum_hashes_to_its_hash() {
    let zero = format!("0x{}", "0".repeat(64));
    let empty_root = "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421";
    let block = json!({
        "hash": "0xd4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3",
        "number": "0x0",
        "parentHash": zero,
        "sha3Uncles": "0x1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347",
        "miner": format!("0x{}", "0".repeat(40)),
        "stateRoot": "0xd7f8974fb5ac78d9ac099b9ad5018bedc2ce0a72dad1827a1709da30580f0544",
        "transactionsRoot": empty_root,
        "receiptsRoot": empty_root,
        "logsBloom": format!("0x{}", "0".repeat(512)),
        "difficulty": "0x400000000",
        "gasLimit": "0x1388",
        "gasUsed": "0x0",
        "timestamp": "0x0",
        "extraData": "0x11bbe8db4e347b4e8c937c1c8370e4b5ed33adb3db69cbdb7a38e1e50b1b82fa",
        "mixHash": zero,
        "nonce": "0x0000000000000042",
        "size": "0x21c",
        "totalDifficulty": "0x400000000",
        "transactions": [],
        "uncles": [],
    });
    assert_eq!(header_of(&block).unwrap().number, 0);
}

#[test]
fn a_field_that_this_version_does_not_hash_is_named() {
    let mut block = golden(MIXED)["block"].clone();
    // As a node of a later fork would answer: one more field, and a hash that covers it.
    block["futureRoot"] = json!("0x00");
    block["hash"] = json!(format!("0x{}", "1".repeat(64)));
    let refusal = header_of(&block).unwrap_err();
    assert!(refusal.to_string().contains("futureRoot"), "{refusal}");
}

#[test]
fn null_is_never_empty_f4() {
    let file = golden(EMPTY);
    let mut block = file["block"].clone();
    block["transactions"] = Value::Null;
    assert!(header_of(&block).is_err(), "no transaction list");
    assert!(header_of(&Value::Null).is_err(), "no block");
    assert!(prove_receipts(&file["block"], &file["hashes"], &Value::Null).is_err(), "no receipts");
    for pending in ["hash", "number"] {
        let mut block = file["block"].clone();
        block[pending] = Value::Null;
        assert!(header_of(&block).is_err(), "a pending block, by its {pending}");
    }
}

#[test]
fn transactions_of_an_unknown_type_are_refused_by_name() {
    let mut block = golden(MANY)["block"].clone();
    block["transactions"][3]["type"] = json!("0x78");
    let refusal = prove_transactions(&block).unwrap_err();
    assert!(refusal.to_string().contains("type 0x78"), "{refusal}");
}

#[test]
fn receipts_and_logs_of_an_unknown_type_still_encode() {
    let file = golden(MIXED);
    let mut receipts = file["receipts"].clone();
    receipts[0]["type"] = json!("0x64");
    let refusal = prove_receipts(&file["block"], &file["hashes"], &receipts).unwrap_err();
    assert!(matches!(refusal, Refusal::Unproven(_)), "it is encoded, and differs: {refusal}");
}

/// A change to an answer that a liar, or a bug, could make.
#[derive(Clone, Debug)]
enum Change {
    DropReceipt,
    DropLog,
    DoubleLog,
    SwapReceipts,
    Hex(&'static str, Index),
    LogHex(&'static str, Index),
    Topic(Index),
    DropTopic,
}

fn change() -> impl Strategy<Value = Change> {
    let field = prop::sample::select(vec![
        "transactionHash",
        "transactionIndex",
        "blockHash",
        "blockNumber",
        "cumulativeGasUsed",
        "logsBloom",
        "status",
        "type",
    ]);
    let log_field = prop::sample::select(vec![
        "address",
        "data",
        "blockHash",
        "blockNumber",
        "transactionHash",
        "transactionIndex",
        "logIndex",
    ]);
    prop_oneof![
        Just(Change::DropReceipt),
        Just(Change::DropLog),
        Just(Change::DoubleLog),
        Just(Change::SwapReceipts),
        (field, any::<Index>()).prop_map(|(field, at)| Change::Hex(field, at)),
        (log_field, any::<Index>()).prop_map(|(field, at)| Change::LogHex(field, at)),
        any::<Index>().prop_map(Change::Topic),
        Just(Change::DropTopic),
    ]
}

/// Changes one hex digit of a text to another.
fn flip(value: &mut Value, at: &Index) {
    let mut text: Vec<u8> = value.as_str().unwrap().bytes().collect();
    if text.len() > 2 {
        let digit = 2 + at.index(text.len() - 2);
        text[digit] = if text[digit] == b'1' { b'2' } else { b'1' };
    } else {
        text.extend(b"01");
    }
    *value = json!(String::from_utf8(text).unwrap());
}

/// Makes the change at some place of the receipts; false where there is nothing to change.
fn make(change: &Change, receipts: &mut Vec<Value>, place: &Index, log_place: &Index) -> bool {
    let at = place.index(receipts.len());
    let with_logs: Vec<usize> = (0..receipts.len())
        .filter(|n| !receipts[*n]["logs"].as_array().unwrap().is_empty())
        .collect();
    let logs_at = with_logs[place.index(with_logs.len())];
    let log_at = log_place.index(receipts[logs_at]["logs"].as_array().unwrap().len());
    let log = |receipts: &mut Vec<Value>| receipts[logs_at]["logs"][log_at].clone();
    match change {
        Change::DropReceipt => drop(receipts.remove(at)),
        Change::DropLog => {
            receipts[logs_at]["logs"].as_array_mut().unwrap().remove(log_at);
        }
        Change::DoubleLog => {
            let copy = log(receipts);
            receipts[logs_at]["logs"].as_array_mut().unwrap().insert(log_at, copy);
        }
        Change::SwapReceipts => {
            let other = log_place.index(receipts.len());
            receipts.swap(at, other);
            return at != other;
        }
        Change::Hex(field, digit) => flip(&mut receipts[at][*field], digit),
        Change::LogHex(field, digit) => flip(&mut receipts[logs_at]["logs"][log_at][*field], digit),
        Change::Topic(digit) => flip(&mut receipts[logs_at]["logs"][log_at]["topics"][1], digit),
        Change::DropTopic => {
            receipts[logs_at]["logs"][log_at]["topics"].as_array_mut().unwrap().pop();
        }
    }
    true
}

proptest! {
    #[test]
    fn receipts_with_any_change_are_refused_f3_f5(
        change in change(), place: Index, log_place: Index
    ) {
        let file = golden(MIXED);
        let mut receipts = file["receipts"].as_array().unwrap().clone();
        prop_assume!(make(&change, &mut receipts, &place, &log_place));
        let result = prove_receipts(&file["block"], &file["hashes"], &json!(receipts));
        prop_assert!(result.is_err(), "{change:?} was taken");
    }

    #[test]
    fn transactions_with_any_change_are_refused_f5(
        field in prop::sample::select(vec!["hash", "to", "value", "input", "nonce", "gas", "r", "s"]),
        place: Index, digit: Index,
    ) {
        let mut block = golden(MIXED)["block"].clone();
        let count = block["transactions"].as_array().unwrap().len();
        let transaction = &mut block["transactions"][place.index(count)];
        prop_assume!(transaction[field].is_string());
        flip(&mut transaction[field], &digit);
        prop_assert!(prove_transactions(&block).is_err(), "{field} was taken");
    }

    #[test]
    fn headers_with_any_change_are_refused(
        field in prop::sample::select(vec![
            "hash", "parentHash", "sha3Uncles", "miner", "stateRoot", "transactionsRoot",
            "receiptsRoot", "logsBloom", "difficulty", "number", "gasLimit", "gasUsed",
            "timestamp", "extraData", "mixHash", "nonce", "baseFeePerGas", "withdrawalsRoot",
            "blobGasUsed", "excessBlobGas", "parentBeaconBlockRoot", "requestsHash",
        ]),
        digit: Index,
    ) {
        let mut block = golden(MIXED)["block"].clone();
        flip(&mut block[field], &digit);
        prop_assert!(header_of(&block).is_err(), "{field} was taken");
    }

    #[test]
    fn logs_out_of_place_are_refused_whole_f5(
        field in prop::sample::select(vec![
            "blockHash", "blockNumber", "transactionHash", "transactionIndex",
        ]),
        place: Index, digit: Index,
    ) {
        let file = golden(MIXED);
        let mut logs = file["logs"].clone();
        let count = logs.as_array().unwrap().len();
        flip(&mut logs[place.index(count)][field], &digit);
        prop_assert!(check_logs(&file, &logs).is_err(), "{field} was taken");
    }

    #[test]
    fn unordered_doubled_and_removed_logs_are_refused_whole_f5(a: Index, b: Index) {
        let file = golden(MIXED);
        let logs = file["logs"].as_array().unwrap().clone();
        let (a, b) = (a.index(logs.len()), b.index(logs.len()));

        let mut doubled = logs.clone();
        doubled.insert(b, logs[a].clone());
        prop_assert!(check_logs(&file, &json!(doubled)).is_err());

        let mut removed = logs.clone();
        removed[a]["removed"] = json!(true);
        prop_assert!(check_logs(&file, &json!(removed)).is_err());

        prop_assume!(a != b);
        let mut swapped = logs;
        swapped.swap(a, b);
        prop_assert!(check_logs(&file, &json!(swapped)).is_err());
    }

    #[test]
    fn cut_and_overwritten_json_never_panics_f20(
        cut: Index, at: Index, junk in prop::collection::vec(any::<u8>(), 0..40)
    ) {
        let file = golden(MIXED);
        for part in ["block", "receipts", "logs"] {
            let mut text = bytes(&file[part]);
            let at = at.index(text.len());
            let end = (at + junk.len()).min(text.len());
            text.splice(at..end, junk.iter().copied());
            text.truncate(cut.index(text.len()) + 1);
            let _ = header::read::<Transaction<'_>>(&text);
            let _ = header::read::<B256>(&text);
            let _ = serde_json::from_slice::<Vec<Receipt<'_>>>(&text);
            let _ = serde_json::from_slice::<Vec<Log<'_>>>(&text);
        }
    }
}

#[test]
fn only_real_transfers_are_read_from_logs_f24() {
    let file = golden(MIXED);
    let receipts = bytes(&file["receipts"]);
    let receipts: Vec<Receipt<'_>> = serde_json::from_slice(&receipts).unwrap();
    let watched: Address = file["watched"].as_str().unwrap().parse().unwrap();
    let token: Address = file["token"].as_str().unwrap().parse().unwrap();
    let to_us: Vec<U256> = receipts
        .iter()
        .flat_map(|receipt| &receipt.logs)
        .filter_map(|log| log.transfer().unwrap())
        .filter(|transfer| transfer.to == watched && transfer.token == token)
        .map(|transfer| transfer.amount)
        .collect();
    let mut expected = vec![U256::from(1); 3];
    expected.extend([U256::from(12_500_000), U256::from(1) << 255]);
    let mut sorted = to_us.clone();
    sorted.sort();
    assert_eq!(sorted, expected, "{to_us:?}");
}
