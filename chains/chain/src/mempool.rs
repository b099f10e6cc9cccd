//! What is on its way into a block, where a network shows that.
//!
//! A transaction without a block proves nothing: it may be replaced, or never be mined. It is worth
//! a word to whoever waits for it, and no more. That it will *not* be mined is known only when
//! another transaction spends what it spends: that it is missing from a mempool proves nothing
//! either, since each node has its own.
//!
//! So whoever was told of an unconfirmed transaction watches the outpoints that it spends, as keys
//! of the same [`WatchSet`](crate::WatchSet), until it is deep enough or replaced. Every spending
//! of such a key is then shown as a [`Spend`], in blocks and in the mempool:
//!
//! - the same transaction spends it: nothing happened;
//! - another one does, and pays the same: nothing to tell;
//! - another one does, and does not: the first was replaced.

use std::fmt;

use crate::{TransactionId, Transfer, WatchKey};

/// A network's mempool as far as it concerns the watches: everything that is in it now and was
/// read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mempool {
    /// The transactions that pay a watched address.
    pub payments: Vec<Unconfirmed>,
    /// Which transactions spend watched outpoints, the paying ones among them.
    pub spends: Vec<Spend>,
    /// Whether all of it was read. A large one is read in portions, so that blocks need not wait:
    /// who gets a part asks again at once.
    pub is_complete: bool,
}

/// A transaction that is in no block and pays a watched address. What it says of itself is true;
/// that it is in a mempool, and what it pays for that, is what a provider says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unconfirmed {
    /// Its transfers that hit a watch, in the order in which they stand in it; never empty.
    pub transfers: Vec<Transfer>,
    /// A key for each outpoint that it spends.
    pub spends: Vec<WatchKey>,
    /// What it pays for being mined, where a provider says that.
    pub fee_rate: Option<FeeRate>,
    /// Whether it says of itself that it may be replaced (BIP-125), or rests on one that does.
    /// Nodes replace others too.
    pub replaceable: bool,
}

impl Unconfirmed {
    /// The transaction.
    #[must_use]
    pub fn transaction(&self) -> Option<&TransactionId> {
        self.transfers.first().map(|transfer| &transfer.id.transaction)
    }
}

/// A watched outpoint was spent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spend {
    /// The outpoint's key.
    pub watch: WatchKey,
    /// The transaction that spends it.
    pub by: TransactionId,
}

/// A fee in base units for 1,000 virtual bytes, rounded down: a thousandth of a satoshi per
/// virtual byte is its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FeeRate(pub u64);

impl FeeRate {
    /// Of this fee in base units for so many virtual bytes; none for none.
    #[must_use]
    pub fn new(fee: u64, virtual_bytes: u64) -> Option<Self> {
        let rate = (u128::from(fee) * 1_000).checked_div(u128::from(virtual_bytes))?;
        Some(Self(u64::try_from(rate).unwrap_or(u64::MAX)))
    }
}

/// Base units per virtual byte, with as many decimals as it takes: `1`, `12.5`, `0.101`.
impl fmt::Display for FeeRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, fraction) = (self.0 / 1_000, format!("{:03}", self.0 % 1_000));
        match fraction.trim_end_matches('0') {
            "" => write!(f, "{whole}"),
            fraction => write!(f, "{whole}.{fraction}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fee_rate_is_exact_to_a_thousandth() {
        let cases = [
            (141, 141, "1"),
            (1_000, 80, "12.5"),
            (101, 1_000, "0.101"),
            (2, 3, "0.666"),
            (0, 5, "0"),
        ];
        for (fee, size, expected) in cases {
            assert_eq!(
                FeeRate::new(fee, size).map(|rate| rate.to_string()).as_deref(),
                Some(expected)
            );
        }
        assert_eq!(FeeRate::new(1, 0), None);
        assert_eq!(FeeRate::new(u64::MAX, 1), Some(FeeRate(u64::MAX)));
    }
}
