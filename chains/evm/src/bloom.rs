//! What a header's bloom rules out. A bloom has no false negatives, so a proven header's bloom
//! proves absence; its "maybe" proves nothing.

use alloy_primitives::{Address, Bloom, BloomInput, keccak256};
use confirmd_chain::WatchView;

use crate::logs::TRANSFER;

/// Above so many watches, some receiver is nearly always "maybe there": asking costs more than
/// it saves.
pub(crate) const MAX_RECEIVERS: usize = 64;

/// The registered tokens, ready for asking blooms.
#[derive(Clone, Debug)]
pub(crate) struct TokenBlooms {
    tokens: Vec<Bloom>,
    transfer: Bloom,
}

impl TokenBlooms {
    /// For these tokens.
    pub(crate) fn new<'a>(tokens: impl IntoIterator<Item = &'a Address>) -> Self {
        Self {
            tokens: tokens.into_iter().map(|token| one(token.as_slice())).collect(),
            transfer: one(TRANSFER.as_slice()),
        }
    }

    /// Whether the block may hold a `Transfer` log of a registered token.
    pub(crate) fn may_hold_transfer(&self, block: &Bloom) -> bool {
        block.contains(&self.transfer) && self.tokens.iter().any(|token| block.contains(token))
    }

    /// Whether it may hold one that goes to a watched address, as far as asking that is worth it.
    pub(crate) fn may_hold_hit(&self, block: &Bloom, watches: &WatchView<'_>) -> bool {
        self.may_hold_transfer(block)
            && (watches.len() > MAX_RECEIVERS
                || watches.keys().any(|key| {
                    let mut topic = [0; 32];
                    let address = key.as_bytes();
                    let Some(start) = topic.len().checked_sub(address.len()) else { return false };
                    topic[start..].copy_from_slice(address);
                    block.contains(&one(&topic))
                }))
    }
}

/// The bloom of one address or topic.
fn one(value: &[u8]) -> Bloom {
    let mut bloom = Bloom::ZERO;
    bloom.accrue(BloomInput::Hash(keccak256(value)));
    bloom
}
