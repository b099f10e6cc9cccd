//! Receipts: read, encoded, and held against the root that the header commits to.

use alloy_primitives::{B256, Bloom, BloomInput, U64};
use alloy_rlp::Encodable;
use serde::Deserialize;

use crate::Refusal;
use crate::config::ReceiptEncoding;
use crate::header::ProvenHeader;
use crate::logs::Log;
use crate::rlp::{self, Items};

/// A receipt as `eth_getBlockReceipts` and `eth_getTransactionReceipt` have it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Receipt<'a> {
    /// The transaction's hash. Not part of the receipt's encoding, so no receipts root proves it.
    pub transaction_hash: B256,
    transaction_index: U64,
    block_hash: B256,
    block_number: U64,
    #[serde(rename = "type")]
    kind: Option<U64>,
    status: Option<U64>,
    /// Before Byzantium, the state root in the place of the status.
    #[serde(borrow)]
    root: Option<&'a str>,
    cumulative_gas_used: U64,
    logs_bloom: Bloom,
    /// The logs, in order.
    #[serde(borrow)]
    pub logs: Vec<Log<'a>>,
    /// OP stack: the nonce of a deposit's sender, since Regolith.
    deposit_nonce: Option<U64>,
    /// OP stack: the version of the encoding, since Canyon.
    deposit_receipt_version: Option<U64>,
}

/// The type of an OP stack deposit transaction.
pub(crate) const DEPOSIT: u64 = 0x7e;

impl Receipt<'_> {
    /// Whether the transaction did what it was to do (I11). Receipts from before Byzantium do not
    /// say so.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.status == Some(U64::from(1))
    }

    /// Whether the transaction was undone. One from before Byzantium that was has no logs.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.status.is_some() && !self.succeeded()
    }

    /// The place of the transaction in the block.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.transaction_index.to()
    }

    /// Refuses a receipt, or a log in it, that says it belongs elsewhere (F5).
    ///
    /// # Errors
    /// When one does.
    pub fn belongs_to(
        &self,
        header: &ProvenHeader,
        index: u64,
        hash: &B256,
    ) -> Result<(), Refusal> {
        let number: u64 = self.block_number.to();
        if self.block_hash != header.hash || number != header.number {
            return Err(Refusal::unproven(format!(
                "a receipt of block {number} among those of block {}",
                header.number
            )));
        }
        if self.index() != index || self.transaction_hash != *hash {
            return Err(Refusal::unproven(format!(
                "receipt {index} of block {number} is not of the transaction that stands there"
            )));
        }
        for log in &self.logs {
            log.belongs_to(header)?;
            if log.transaction_hash != *hash || log.transaction_index() != index {
                return Err(Refusal::unproven(format!(
                    "receipt {index} of block {number} has a log of another transaction"
                )));
            }
        }
        Ok(())
    }

    fn encode(&self, encoding: ReceiptEncoding, out: &mut Vec<u8>) -> Result<(), Refusal> {
        let kind: u64 = self.kind.unwrap_or_default().to();
        if kind != 0 {
            let kind = u8::try_from(kind).ok().filter(|kind| *kind < 0x80);
            out.push(kind.ok_or_else(|| Refusal::malformed("a receipt type above 0x7f"))?);
        }
        rlp::list(out, |out| {
            match (self.status, self.root) {
                (Some(status), _) => status.encode(out),
                (None, Some(root)) => rlp::hex_string(root, out)?,
                (None, None) => return Err(Refusal::malformed("a receipt without status")),
            }
            self.cumulative_gas_used.encode(out);
            self.logs_bloom.encode(out);
            rlp::list(out, |out| self.logs.iter().try_for_each(|log| log.encode(out)))?;
            if encoding == ReceiptEncoding::Optimism && kind == DEPOSIT {
                // Between Regolith and Canyon the nonce was shown, but not committed to.
                if let Some(version) = self.deposit_receipt_version {
                    self.deposit_nonce.unwrap_or_default().encode(out);
                    version.encode(out);
                }
            }
            Ok(())
        })
    }
}

/// Holds a block's receipts against its transactions (one each, in order) and refuses logs of
/// other blocks and wrong indexes (F5). Proves nothing yet.
///
/// # Errors
/// When one is out of place; the whole answer is to be refused then.
pub fn check_order(
    header: &ProvenHeader,
    hashes: &[B256],
    receipts: &[Receipt<'_>],
) -> Result<(), Refusal> {
    if receipts.len() != hashes.len() {
        return Err(Refusal::unproven(format!(
            "block {} has {} transactions and {} receipts",
            header.number,
            hashes.len(),
            receipts.len()
        )));
    }
    let mut next_log = 0;
    for ((index, hash), receipt) in (0_u64..).zip(hashes).zip(receipts) {
        receipt.belongs_to(header, index, hash)?;
        for log in &receipt.logs {
            if log.index() != next_log {
                return Err(Refusal::unproven(format!(
                    "block {} has log {} where {next_log} belongs",
                    header.number,
                    log.index()
                )));
            }
            next_log += 1;
        }
    }
    Ok(())
}

/// Rebuilds the receipts root: no log can be hidden, invented or altered.
///
/// # Errors
/// When the root is not the header's.
pub fn prove(
    header: &ProvenHeader,
    receipts: &[Receipt<'_>],
    encoding: ReceiptEncoding,
) -> Result<(), Refusal> {
    let items = Items::encode(receipts, |_, receipt, out| receipt.encode(encoding, out))?;
    if items.root() == header.receipts_root {
        return Ok(());
    }
    Err(Refusal::unproven(format!(
        "the receipts of block {} do not hash to its receipts root",
        header.number
    )))
}

/// Rebuilds the header's bloom from the logs. Weaker than [`prove`], for networks whose encoding
/// is not known: a hidden log leaves a bit of the bloom unexplained, unless others set it too.
///
/// # Errors
/// When the bloom is not the header's.
pub fn explain_bloom(header: &ProvenHeader, receipts: &[Receipt<'_>]) -> Result<(), Refusal> {
    if bloom_of(receipts) == header.bloom { Ok(()) } else { Err(unexplained(header)) }
}

/// The same for blocks whose header does not commit to all that nodes show: what it commits to has
/// to be there.
///
/// # Errors
/// When a bit of the header's bloom is not explained.
pub fn cover_bloom(header: &ProvenHeader, receipts: &[Receipt<'_>]) -> Result<(), Refusal> {
    if bloom_of(receipts).contains(&header.bloom) { Ok(()) } else { Err(unexplained(header)) }
}

fn bloom_of(receipts: &[Receipt<'_>]) -> Bloom {
    let mut bloom = Bloom::ZERO;
    for log in receipts.iter().flat_map(|receipt| &receipt.logs) {
        bloom.accrue(BloomInput::Raw(log.address.as_slice()));
        log.topics.as_slice().iter().for_each(|t| bloom.accrue(BloomInput::Raw(t.as_slice())));
    }
    bloom
}

fn unexplained(header: &ProvenHeader) -> Refusal {
    let number = header.number;
    Refusal::unproven(format!("the logs of block {number} do not add up to its bloom"))
}
