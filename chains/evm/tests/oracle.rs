//! Our encodings against alloy's, for every type of transaction and receipt that it knows.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use alloy_consensus::proofs::{calculate_receipt_root, calculate_transaction_root};
use alloy_consensus::transaction::SignerRecoverable;
use alloy_consensus::{
    Eip658Value, Header, Receipt, ReceiptEnvelope, ReceiptWithBloom, TxEnvelope,
};
use alloy_primitives::{Address, B256, Bytes, Log, LogData, U256};
use confirmd_evm::header::{self, ProvenHeader};
use confirmd_evm::transactions::{Transaction, Transactions};
use confirmd_evm::{ReceiptEncoding, receipts};
use proptest::prelude::*;
use serde_json::{Value, json};

fn word() -> impl Strategy<Value = B256> {
    any::<[u8; 32]>().prop_map(B256::new)
}

/// Small numbers too, since those are encoded without leading zeros.
fn number() -> impl Strategy<Value = U256> {
    (word(), 0_usize..256).prop_map(|(word, shift)| U256::from_be_bytes(word.0) >> shift)
}

fn address() -> impl Strategy<Value = Address> {
    any::<[u8; 20]>().prop_map(Address::new)
}

fn bytes(most: usize) -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..most).prop_map(Bytes::from)
}

prop_compose! {
    fn access_list()(
        items in prop::collection::vec((address(), prop::collection::vec(word(), 0..3)), 0..3)
    ) -> Value {
        let item = |(address, keys)| json!({ "address": address, "storageKeys": keys });
        json!(items.into_iter().map(item).collect::<Vec<_>>())
    }
}

prop_compose! {
    fn authorizations()(
        items in prop::collection::vec((any::<u32>(), address(), any::<u32>(), word()), 1..3)
    ) -> Value {
        let item = |(chain, address, nonce, word): (u32, Address, u32, B256)| json!({
            "chainId": format!("{chain:#x}"), "address": address, "nonce": format!("{nonce:#x}"),
            "yParity": "0x1", "r": U256::from_be_bytes(word.0), "s": "0x7",
        });
        json!(items.into_iter().map(item).collect::<Vec<_>>())
    }
}

prop_compose! {
    fn transaction()(
        kind in 0_u8..=4, to in prop::option::of(address()), value in number(),
        input in bytes(300), fees: (u32, u32, u32), nonce: u16, gas: u32, parity: bool,
        signature in (word(), word()), chain in prop::option::of(1_u32..1_000_000),
        access in access_list(), authorizations in authorizations(),
        blobs in prop::collection::vec(word(), 1..3),
    ) -> Value {
        // The types from EIP-4844 on cannot create contracts.
        let to = if kind >= 3 { Some(to.unwrap_or(Address::repeat_byte(1))) } else { to };
        // Below half of the curve's order, as every signature since Homestead.
        let scalar = |word: B256| (U256::from_be_bytes(word.0) >> 2) + U256::from(1);
        let fee = |fee: u32| format!("{fee:#x}");
        let mut fields = json!({
            "type": format!("{kind:#x}"), "nonce": fee(nonce.into()), "gas": fee(gas), "to": to,
            "value": value, "input": input, "hash": B256::ZERO, "from": Address::ZERO,
            "r": scalar(signature.0), "s": scalar(signature.1),
        });
        if kind == 0 {
            let v = chain.map_or(27, |chain| 35 + 2 * u64::from(chain)) + u64::from(parity);
            fields["v"] = json!(format!("{v:#x}"));
            fields["gasPrice"] = json!(fee(fees.0));
            if let Some(chain) = chain {
                fields["chainId"] = json!(fee(chain));
            }
            return fields;
        }
        fields["chainId"] = json!(fee(chain.unwrap_or(1)));
        fields["yParity"] = json!(fee(parity.into()));
        fields["v"] = fields["yParity"].clone();
        fields["accessList"] = access;
        fields["gasPrice"] = json!(fee(fees.0));
        if kind >= 2 {
            fields["maxFeePerGas"] = json!(fee(fees.0));
            fields["maxPriorityFeePerGas"] = json!(fee(fees.1));
        }
        if kind == 3 {
            fields["maxFeePerBlobGas"] = json!(fee(fees.2));
            fields["blobVersionedHashes"] = json!(blobs);
        }
        if kind == 4 {
            fields["authorizationList"] = authorizations;
        }
        fields
    }
}

/// A block whose header commits to these roots.
fn block(header: &Header, transactions: &[Value]) -> Vec<u8> {
    let mut block = serde_json::to_value(header).unwrap();
    block["hash"] = json!(header.hash_slow());
    block["transactions"] = json!(transactions);
    serde_json::to_vec(&block).unwrap()
}

prop_compose! {
    fn log()(
        address in address(), topics in prop::collection::vec(word(), 0..=4), data in bytes(100)
    ) -> Log {
        Log { address, data: LogData::new_unchecked(topics, data) }
    }
}

prop_compose! {
    fn receipt()(
        kind in 0_u8..=4, status: bool, root in prop::option::of(word()), gas: u32,
        logs in prop::collection::vec(log(), 0..4),
    ) -> (u8, ReceiptWithBloom<Receipt>) {
        let status = match root {
            Some(root) if kind == 0 => Eip658Value::PostState(root),
            _ => Eip658Value::Eip658(status),
        };
        (kind, Receipt { status, cumulative_gas_used: gas.into(), logs }.into())
    }
}

fn envelope(kind: u8, receipt: ReceiptWithBloom<Receipt>) -> ReceiptEnvelope {
    match kind {
        0 => ReceiptEnvelope::Legacy(receipt),
        1 => ReceiptEnvelope::Eip2930(receipt),
        2 => ReceiptEnvelope::Eip1559(receipt),
        3 => ReceiptEnvelope::Eip4844(receipt),
        _ => ReceiptEnvelope::Eip7702(receipt),
    }
}

/// As `eth_getBlockReceipts` has it.
fn receipt_json(
    header: &ProvenHeader,
    at: usize,
    kind: u8,
    receipt: &ReceiptWithBloom<Receipt>,
    first_log: usize,
) -> Value {
    let place = json!({
        "blockHash": header.hash, "blockNumber": format!("{:#x}", header.number),
        "transactionHash": B256::left_padding_from(&[kind]),
        "transactionIndex": format!("{at:#x}"),
    });
    let logs = receipt.receipt.logs.iter().enumerate().map(|(n, log)| {
        let mut json = place.clone();
        json["address"] = json!(log.address);
        json["topics"] = json!(log.topics());
        json["data"] = json!(log.data.data);
        json["logIndex"] = json!(format!("{:#x}", first_log + n));
        json
    });
    let mut json = place.clone();
    json["logs"] = json!(logs.collect::<Vec<_>>());
    json["type"] = json!(format!("{kind:#x}"));
    json["cumulativeGasUsed"] = json!(format!("{:#x}", receipt.receipt.cumulative_gas_used));
    json["logsBloom"] = json!(receipt.logs_bloom);
    match receipt.receipt.status {
        Eip658Value::Eip658(status) => json["status"] = json!(format!("{:#x}", u8::from(status))),
        Eip658Value::PostState(root) => json["root"] = json!(root),
    }
    json
}

proptest! {
    #[test]
    fn transactions_of_every_type_prove_and_name_their_sender(
        list in prop::collection::vec(transaction(), 1..5)
    ) {
        let envelopes: Vec<TxEnvelope> =
            list.iter().map(|json| serde_json::from_value(json.clone()).unwrap()).collect();
        let transactions_root = calculate_transaction_root(&envelopes);
        let json = block(&Header { transactions_root, ..Header::default() }, &list);
        let (header, ours) = header::read::<Transaction<'_>>(&json).unwrap();
        let ours = Transactions::prove(&header, ours, &[]).unwrap();
        for (ours, theirs) in ours.as_slice().iter().zip(&envelopes) {
            prop_assert_eq!(ours.sender().ok(), theirs.recover_signer_unchecked().ok());
        }
    }

    #[test]
    fn receipts_of_every_type_prove(list in prop::collection::vec(receipt(), 0..5)) {
        let envelopes: Vec<_> =
            list.iter().map(|(kind, receipt)| envelope(*kind, receipt.clone())).collect();
        let receipts_root = calculate_receipt_root(&envelopes);
        let json = block(&Header { receipts_root, number: 7, ..Header::default() }, &[]);
        let (header, _) = header::read::<B256>(&json).unwrap();
        let mut first_log = 0;
        let mut answer = Vec::new();
        for (at, (kind, receipt)) in list.iter().enumerate() {
            answer.push(receipt_json(&header, at, *kind, receipt, first_log));
            first_log += receipt.receipt.logs.len();
        }
        let hashes: Vec<B256> =
            list.iter().map(|(kind, _)| B256::left_padding_from(&[*kind])).collect();
        let answer = serde_json::to_vec(&answer).unwrap();
        let receipts: Vec<receipts::Receipt<'_>> = serde_json::from_slice(&answer).unwrap();
        receipts::check_order(&header, &hashes, &receipts).unwrap();
        receipts::prove(&header, &receipts, ReceiptEncoding::Ethereum).unwrap();
        for (ours, (_, theirs)) in receipts.iter().zip(&list) {
            let status = theirs.receipt.status;
            prop_assert_eq!(ours.succeeded(), status == Eip658Value::Eip658(true));
            prop_assert_eq!(ours.failed(), status == Eip658Value::Eip658(false));
        }
    }
}
