//! What a header's bloom rules out. A bloom has no false negatives, so a proven header's bloom
//! proves absence; its "maybe" proves nothing.

use alloy_primitives::{Bloom, BloomInput, keccak256};
use confirmd_chain::WatchView;

use crate::credits::Sources;
use crate::logs::TRANSFER;
use crate::references::NATIVE_PAYMENT;

/// Above so many watches, some receiver is nearly always "maybe there": asking costs more than
/// it saves.
pub(crate) const MAX_RECEIVERS: usize = 64;

/// The contracts whose logs credit, ready for asking blooms.
#[derive(Clone, Debug)]
pub(crate) struct SourceBlooms {
    tokens: Vec<Bloom>,
    transfer: Bloom,
    /// The native coin's proxy and its event, in one.
    native_payment: Option<Bloom>,
}

impl SourceBlooms {
    /// For these contracts.
    pub(crate) fn new(sources: &Sources) -> Self {
        let native_payment = sources.native_proxy.map(|proxy| {
            let mut both = one(proxy.as_slice());
            both.accrue_bloom(&one(NATIVE_PAYMENT.as_slice()));
            both
        });
        Self {
            tokens: sources.tokens.iter().map(|token| one(token.as_slice())).collect(),
            transfer: one(TRANSFER.as_slice()),
            native_payment,
        }
    }

    /// Whether the block may hold a log that credits something, to anybody.
    pub(crate) fn may_hold_credit(&self, block: &Bloom) -> bool {
        self.may_hold_transfer(block) || self.may_hold_native_payment(block)
    }

    /// Whether it may hold one to a watched address, as far as asking that is worth it. The event
    /// of a native payment does not show its receiver to the bloom.
    pub(crate) fn may_hold_hit(&self, block: &Bloom, watches: &WatchView<'_>) -> bool {
        if watches.is_empty() {
            return false;
        }
        let to_us = |block: &Bloom| {
            watches.len() > MAX_RECEIVERS
                || watches.keys().any(|key| {
                    let mut topic = [0; 32];
                    let address = key.as_bytes();
                    let Some(start) = topic.len().checked_sub(address.len()) else { return false };
                    topic[start..].copy_from_slice(address);
                    block.contains(&one(&topic))
                })
        };
        self.may_hold_native_payment(block) || (self.may_hold_transfer(block) && to_us(block))
    }

    fn may_hold_transfer(&self, block: &Bloom) -> bool {
        block.contains(&self.transfer) && self.tokens.iter().any(|token| block.contains(token))
    }

    fn may_hold_native_payment(&self, block: &Bloom) -> bool {
        self.native_payment.is_some_and(|payment| block.contains(&payment))
    }
}

/// The bloom of one address or topic.
fn one(value: &[u8]) -> Bloom {
    let mut bloom = Bloom::ZERO;
    bloom.accrue(BloomInput::Hash(keccak256(value)));
    bloom
}
