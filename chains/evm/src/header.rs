//! Block headers: read, hashed, and held against the hash that they claim.

use alloy_consensus::Header as ConsensusHeader;
use alloy_primitives::{Address, B64, B256, Bloom, Bytes, U64, U256};
use confirmd_chain::{BlockHash, Header, Height, Timestamp, Work};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

use crate::Refusal;

/// What `eth_getBlockBy…` answers, with its transactions as `T`: hashes, or whole ones.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockJson<'a, T> {
    hash: Option<B256>,
    number: Option<U64>,
    parent_hash: B256,
    #[serde(rename = "sha3Uncles")]
    ommers_hash: B256,
    #[serde(rename = "miner")]
    beneficiary: Address,
    state_root: B256,
    transactions_root: B256,
    receipts_root: B256,
    logs_bloom: Bloom,
    #[serde(default)]
    difficulty: U256,
    gas_limit: U64,
    gas_used: U64,
    timestamp: U64,
    #[serde(borrow)]
    extra_data: &'a str,
    #[serde(default)]
    mix_hash: B256,
    #[serde(default)]
    nonce: Option<B64>,
    base_fee_per_gas: Option<U64>,
    withdrawals_root: Option<B256>,
    blob_gas_used: Option<U64>,
    excess_blob_gas: Option<U64>,
    parent_beacon_block_root: Option<B256>,
    requests_hash: Option<B256>,
    block_access_list_hash: Option<B256>,
    slot_number: Option<U64>,
    /// Null is refused by [`read`]: a block without transactions has an empty list (F4).
    #[serde(bound(deserialize = "T: Deserialize<'de>"))]
    transactions: Option<Vec<T>>,
}

/// Keys of a block that are no part of its header.
const NOT_HASHED: [&str; 13] = [
    "hash",
    "number",
    "size",
    "totalDifficulty",
    "transactions",
    "uncles",
    "withdrawals",
    "blockTimestamp",
    "author",
    "l1BlockNumber",
    "sendCount",
    "sendRoot",
    "milliTimestamp",
];

/// Keys that go into the hash.
const HASHED: [&str; 22] = [
    "parentHash",
    "sha3Uncles",
    "miner",
    "stateRoot",
    "transactionsRoot",
    "receiptsRoot",
    "logsBloom",
    "difficulty",
    "gasLimit",
    "gasUsed",
    "timestamp",
    "extraData",
    "mixHash",
    "nonce",
    "baseFeePerGas",
    "withdrawalsRoot",
    "blobGasUsed",
    "excessBlobGas",
    "parentBeaconBlockRoot",
    "requestsHash",
    "blockAccessListHash",
    "slotNumber",
];

/// A header whose hash was recomputed from its fields: all of them are what the hash commits to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenHeader {
    /// The hash.
    pub hash: B256,
    /// The hash of the block before.
    pub parent: B256,
    /// The number.
    pub number: u64,
    /// The time, in seconds since 1970.
    pub time: u64,
    /// What the block's receipts hash to.
    pub receipts_root: B256,
    /// What the block's transactions hash to.
    pub transactions_root: B256,
    /// The bloom filter over the addresses and topics of the block's logs.
    pub bloom: Bloom,
}

impl ProvenHeader {
    /// As the contract has it.
    #[must_use]
    pub fn to_chain(&self) -> Header {
        Header {
            height: Height(self.number),
            hash: block_hash(&self.hash),
            parent: block_hash(&self.parent),
            parent_height: Height(self.number).minus(1),
            time: Timestamp::from_seconds(self.time),
            mined_at: Timestamp::from_seconds(self.time),
            work: Work::ONE,
        }
    }
}

/// The contract's text of a hash.
pub(crate) fn block_hash(hash: &B256) -> BlockHash {
    BlockHash::new(hash.to_string())
}

/// Reads a block and proves its header: the hash of its fields is the hash that it claims.
///
/// # Errors
/// When the JSON is no block, is pending, lacks its list of transactions, or does not hash to its
/// hash.
pub fn read<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<(ProvenHeader, Vec<T>), Refusal> {
    let block: BlockJson<'a, T> = serde_json::from_slice(json)?;
    let (Some(claimed), Some(number)) = (block.hash, block.number) else {
        return Err(Refusal::malformed("a block without hash or number"));
    };
    let header = consensus_header(&block, number.to())?;
    if header.hash_slow() != claimed {
        return Err(wrong_hash(json, header.number));
    }
    let transactions = block
        .transactions
        .ok_or_else(|| Refusal::malformed(format!("block {number} has no transaction list")))?;
    let proven = ProvenHeader {
        hash: claimed,
        parent: header.parent_hash,
        number: header.number,
        time: header.timestamp,
        receipts_root: header.receipts_root,
        transactions_root: header.transactions_root,
        bloom: header.logs_bloom,
    };
    Ok((proven, transactions))
}

fn consensus_header<T>(block: &BlockJson<'_, T>, number: u64) -> Result<ConsensusHeader, Refusal> {
    let extra_data: Bytes =
        block.extra_data.parse().map_err(|_| Refusal::malformed("extraData that is not hex"))?;
    Ok(ConsensusHeader {
        parent_hash: block.parent_hash,
        ommers_hash: block.ommers_hash,
        beneficiary: block.beneficiary,
        state_root: block.state_root,
        transactions_root: block.transactions_root,
        receipts_root: block.receipts_root,
        logs_bloom: block.logs_bloom,
        difficulty: block.difficulty,
        number,
        gas_limit: block.gas_limit.to(),
        gas_used: block.gas_used.to(),
        timestamp: block.timestamp.to(),
        extra_data,
        mix_hash: block.mix_hash,
        nonce: block.nonce.unwrap_or_default(),
        base_fee_per_gas: block.base_fee_per_gas.map(|n| n.to()),
        withdrawals_root: block.withdrawals_root,
        blob_gas_used: block.blob_gas_used.map(|n| n.to()),
        excess_blob_gas: block.excess_blob_gas.map(|n| n.to()),
        parent_beacon_block_root: block.parent_beacon_block_root,
        requests_hash: block.requests_hash,
        block_access_list_hash: block.block_access_list_hash,
        slot_number: block.slot_number.map(|n| n.to()),
    })
}

/// Names what may be the cause: fields that this version does not know.
fn wrong_hash(json: &[u8], number: u64) -> Refusal {
    let keys: BTreeMap<&str, &RawValue> = serde_json::from_slice(json).unwrap_or_default();
    let known = |key: &&str| HASHED.contains(key) || NOT_HASHED.contains(key);
    let unknown: Vec<&str> = keys.into_keys().filter(|key| !known(key)).collect();
    let hint = if unknown.is_empty() {
        String::new()
    } else {
        format!("; it has fields that this version does not hash: {}", unknown.join(", "))
    };
    Refusal::unproven(format!("header {number} does not hash to its hash{hint}"))
}
