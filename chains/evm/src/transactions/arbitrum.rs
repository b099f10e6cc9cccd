//! What Arbitrum Nitro itself puts into a block: messages from the L1, and their redemptions.
//!
//! Nobody signed these; sender and value are part of what is encoded, in the order in which
//! Nitro's `arb_types.go` declares them. Type 0x78, transactions from before Nitro, is not known:
//! they keep the hashes that they had on the chain before.

use alloy_rlp::Encodable;

use super::Transaction;
use crate::{Refusal, rlp};

/// Coin that came from the L1, to its receiver.
const DEPOSIT: u64 = 0x64;
/// A call that an L1 account made.
const UNSIGNED: u64 = 0x65;
/// A call that an L1 contract made.
const CONTRACT: u64 = 0x66;
/// A ticket is redeemed: the call that it stands for.
const RETRY: u64 = 0x68;
/// A ticket is made. It moves nothing to whom it calls; that does its redemption.
const SUBMIT: u64 = 0x69;
/// The first of each block.
const INTERNAL: u64 = 0x6a;

/// Whether this version encodes the type here.
pub(super) fn is_known(kind: u64) -> bool {
    has_value(kind) || matches!(kind, SUBMIT | INTERNAL)
}

/// Whether value and receiver are part of what is encoded.
pub(super) fn has_value(kind: u64) -> bool {
    matches!(kind, DEPOSIT | UNSIGNED | CONTRACT | RETRY)
}

impl Transaction<'_> {
    pub(super) fn arbitrum_fields(&self, kind: u64, out: &mut Vec<u8>) -> Result<(), Refusal> {
        self.given(self.chain_id, "chainId")?.encode(out);
        match kind {
            DEPOSIT => self.deposit_of_arbitrum(out),
            UNSIGNED | CONTRACT => self.call_from_l1(kind, out),
            RETRY => self.redemption(out),
            SUBMIT => self.ticket(out),
            _ => rlp::hex_string(self.input, out),
        }
    }

    fn deposit_of_arbitrum(&self, out: &mut Vec<u8>) -> Result<(), Refusal> {
        self.given(self.request_id, "requestId")?.encode(out);
        self.given(self.from, "from")?.encode(out);
        self.given(self.to, "to")?.encode(out);
        self.value.encode(out);
        Ok(())
    }

    fn call_from_l1(&self, kind: u64, out: &mut Vec<u8>) -> Result<(), Refusal> {
        let from = self.given(self.from, "from")?;
        if kind == UNSIGNED {
            from.encode(out);
            self.nonce.encode(out);
        } else {
            self.given(self.request_id, "requestId")?.encode(out);
            from.encode(out);
        }
        self.encode_fee_cap(out)?;
        self.payload(out)
    }

    fn redemption(&self, out: &mut Vec<u8>) -> Result<(), Refusal> {
        self.nonce.encode(out);
        self.given(self.from, "from")?.encode(out);
        self.encode_fee_cap(out)?;
        self.payload(out)?;
        self.given(self.ticket_id, "ticketId")?.encode(out);
        self.given(self.refund_to, "refundTo")?.encode(out);
        self.given(self.max_refund, "maxRefund")?.encode(out);
        self.given(self.submission_fee_refund, "submissionFeeRefund")?.encode(out);
        Ok(())
    }

    fn ticket(&self, out: &mut Vec<u8>) -> Result<(), Refusal> {
        self.given(self.request_id, "requestId")?.encode(out);
        self.given(self.from, "from")?.encode(out);
        self.given(self.l1_base_fee, "l1BaseFee")?.encode(out);
        self.given(self.deposit_value, "depositValue")?.encode(out);
        self.encode_fee_cap(out)?;
        self.gas.encode(out);
        Self::encode_address(self.retry_to, out);
        self.given(self.retry_value, "retryValue")?.encode(out);
        self.given(self.beneficiary, "beneficiary")?.encode(out);
        self.given(self.max_submission_fee, "maxSubmissionFee")?.encode(out);
        self.given(self.refund_to, "refundTo")?.encode(out);
        rlp::hex_string(self.given(self.retry_data, "retryData")?, out)
    }

    /// Some nodes show it as `gasPrice` only.
    fn encode_fee_cap(&self, out: &mut Vec<u8>) -> Result<(), Refusal> {
        self.given(self.max_fee_per_gas.or(self.gas_price), "maxFeePerGas")?.encode(out);
        Ok(())
    }
}
