//! Event logs, and which of them are transfers of a token.

use std::fmt;

use alloy_primitives::{Address, B256, U64, U256, b256};
use alloy_rlp::Encodable;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::header::ProvenHeader;
use crate::{Refusal, rlp};

/// `keccak256("Transfer(address,address,uint256)")`, the first topic of an ERC-20 transfer.
pub const TRANSFER: B256 =
    b256!("0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef");

/// A log as `eth_getLogs` and receipts have it. Its data stays hex until it is needed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Log<'a> {
    /// The contract that wrote it.
    pub address: Address,
    /// Its topics.
    pub topics: Topics,
    /// Its data, `0x…`.
    #[serde(borrow)]
    pub data: &'a str,
    block_hash: B256,
    block_number: U64,
    /// The transaction that it belongs to.
    pub transaction_hash: B256,
    transaction_index: U64,
    log_index: U64,
    #[serde(default)]
    removed: bool,
}

/// Up to four topics, in place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Topics {
    words: [B256; 4],
    length: usize,
}

impl Topics {
    /// The topics.
    #[must_use]
    pub fn as_slice(&self) -> &[B256] {
        &self.words[..self.length]
    }
}

impl<'de> Deserialize<'de> for Topics {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TopicsVisitor;
        impl<'de> Visitor<'de> for TopicsVisitor {
            type Value = Topics;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("up to four topics")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Topics, A::Error> {
                let mut topics = Topics::default();
                while let Some(word) = seq.next_element()? {
                    *topics
                        .words
                        .get_mut(topics.length)
                        .ok_or_else(|| A::Error::invalid_length(topics.length + 1, &self))? = word;
                    topics.length += 1;
                }
                Ok(topics)
            }
        }
        deserializer.deserialize_seq(TopicsVisitor)
    }
}

/// A token's movement as its log tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenTransfer {
    /// The token's contract.
    pub token: Address,
    /// The sender.
    pub from: Address,
    /// The receiver.
    pub to: Address,
    /// How much, in base units.
    pub amount: U256,
}

impl Log<'_> {
    /// Its place in the block, counted over all transactions.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.log_index.to()
    }

    /// The block that it says it belongs to.
    #[must_use]
    pub fn block_number(&self) -> u64 {
        self.block_number.to()
    }

    /// The place of its transaction in the block.
    #[must_use]
    pub fn transaction_index(&self) -> u64 {
        self.transaction_index.to()
    }

    /// The receiver, where this is an ERC-20 transfer by its shape: three topics and one word of
    /// data. ERC-721 has the same first topic and a fourth one.
    #[must_use]
    pub fn receiver(&self) -> Option<Address> {
        match self.topics.as_slice() {
            [TRANSFER, _, to] if self.data.len() == 2 + 64 => address_of(to),
            _ => None,
        }
    }

    /// The transfer, where it is one that moves something from one address to another.
    ///
    /// # Errors
    /// When the data is not hex.
    pub fn transfer(&self) -> Result<Option<TokenTransfer>, Refusal> {
        let [TRANSFER, from, _] = self.topics.as_slice() else { return Ok(None) };
        let (Some(from), Some(to)) = (address_of(from), self.receiver()) else { return Ok(None) };
        let mut word = [0; 32];
        let digits = self.data.strip_prefix("0x").unwrap_or_default();
        alloy_primitives::hex::decode_to_slice(digits, &mut word)
            .map_err(|_| Refusal::malformed("log data that is not hex"))?;
        let amount = U256::from_be_bytes(word);
        let moves = !amount.is_zero() && from != to;
        Ok(moves.then_some(TokenTransfer { token: self.address, from, to, amount }))
    }

    /// Refuses a log that says it belongs to another block, or was taken back (F5).
    ///
    /// # Errors
    /// When it does.
    pub fn belongs_to(&self, header: &ProvenHeader) -> Result<(), Refusal> {
        let number: u64 = self.block_number.to();
        if self.removed {
            return Err(Refusal::unproven(format!("block {number} has a removed log")));
        }
        if self.block_hash != header.hash || number != header.number {
            return Err(Refusal::unproven(format!(
                "a log of block {number} among those of block {}",
                header.number
            )));
        }
        Ok(())
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) -> Result<(), Refusal> {
        rlp::list(out, |out| {
            self.address.encode(out);
            rlp::list(out, |out| {
                self.topics.as_slice().iter().for_each(|topic| topic.encode(out));
                Ok(())
            })?;
            rlp::hex_string(self.data, out)
        })
    }
}

/// Holds a block's answer of `eth_getLogs` against its header and its transactions: each log is of
/// this block, of the transaction that it names, and they stand in order without doubles (F5).
///
/// # Errors
/// When one does not; the whole answer is to be refused then.
pub fn check_order(
    header: &ProvenHeader,
    hashes: &[B256],
    logs: &[Log<'_>],
) -> Result<(), Refusal> {
    let mut last: Option<(u64, u64)> = None;
    for log in logs {
        log.belongs_to(header)?;
        let (transaction, index) = (log.transaction_index(), log.index());
        let named = usize::try_from(transaction).ok().and_then(|at| hashes.get(at));
        if named != Some(&log.transaction_hash) {
            return Err(Refusal::unproven(format!(
                "log {index} of block {} names a transaction that does not stand there",
                header.number
            )));
        }
        if last.is_some_and(|(before, at)| at >= index || before > transaction) {
            return Err(Refusal::unproven(format!(
                "the logs of block {} are unordered or doubled at {index}",
                header.number
            )));
        }
        last = Some((transaction, index));
    }
    Ok(())
}

/// The address in a topic; none where the upper bytes are not zero, as no compiler writes them.
fn address_of(topic: &B256) -> Option<Address> {
    let (padding, address) = topic.split_at(12);
    padding.iter().all(|byte| *byte == 0).then(|| Address::from_slice(address))
}
