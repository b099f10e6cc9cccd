//! Blocks, and how deep they are.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use alloy_primitives::U256;
use serde::{Deserialize, Serialize};

use crate::{At, Spend, Transfer, WatchVersion};

/// A block's height (EVM: number, Solana: slot).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Height(pub u64);

impl Height {
    /// The height above.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The height below, none below zero.
    #[must_use]
    pub const fn previous(self) -> Option<Self> {
        match self.0 {
            0 => None,
            height => Some(Self(height - 1)),
        }
    }

    /// `n` blocks below, at least zero.
    #[must_use]
    pub const fn minus(self, n: u64) -> Self {
        Self(self.0.saturating_sub(n))
    }

    /// `n` blocks above.
    #[must_use]
    pub const fn plus(self, n: u64) -> Self {
        Self(self.0.saturating_add(n))
    }
}

impl fmt::Display for Height {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How many linked blocks stand on a transfer, its own included. Always capped by what is
/// required (I6), so it never grows without end.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Confirmations(pub u32);

impl Confirmations {
    /// `min(cursor - height + 1, required)`; none where the block is above the cursor.
    #[must_use]
    pub fn count(height: Height, cursor: Height, required: Self) -> Self {
        let depth = (cursor.0 + 1).saturating_sub(height.0);
        Self(u32::try_from(depth).map_or(required.0, |depth| depth.min(required.0)))
    }
}

impl fmt::Display for Confirmations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A block's hash in its family's usual text (EVM: 0x and lower-case hex, Solana: base58).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BlockHash(Arc<str>);

impl BlockHash {
    /// From the family's canonical text.
    #[must_use]
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BlockHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Milliseconds since 1970-01-01 UTC.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// From whole seconds, as most chains give block times; saturates.
    #[must_use]
    pub fn from_seconds(seconds: u64) -> Self {
        Self(i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000))
    }

    /// Later by so many milliseconds (earlier when negative); saturates.
    #[must_use]
    pub const fn plus_ms(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }
}

/// What blocks weigh when two branches are held against each other. Exact, and it adds up.
///
/// Where the chain has no such notion every block weighs [`Self::ONE`], so that the longer branch
/// is the heavier one. Bitcoin: the hashes that were to be expected for the block's proof of work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Work(U256);

impl Work {
    /// The weight of a block where all weigh the same.
    pub const ONE: Self = Self(U256::ONE);

    /// A weight of so many units.
    #[must_use]
    pub const fn new(units: U256) -> Self {
        Self(units)
    }
}

/// The sum, at most 2^256 - 1: no chain comes near.
impl std::iter::Sum for Work {
    fn sum<I: Iterator<Item = Self>>(works: I) -> Self {
        Self(works.fold(U256::ZERO, |sum, work| sum.saturating_add(work.0)))
    }
}

/// Decimal digits.
impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The text is no weight.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a whole number below 2^256: {0:?}")]
pub struct WorkError(String);

/// Reads decimal digits.
impl FromStr for Work {
    type Err = WorkError;

    fn from_str(text: &str) -> Result<Self, WorkError> {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let units = digits.then(|| U256::from_str_radix(text, 10).ok()).flatten();
        units.map(Self).ok_or_else(|| WorkError(text.to_owned()))
    }
}

/// A block's place in its chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its height.
    pub height: Height,
    /// Its hash.
    pub hash: BlockHash,
    /// The hash of the block before it.
    pub parent: BlockHash,
    /// The height of the block before it, which proves that the network skipped those between.
    /// The first block of a chain names its own.
    pub parent_height: Height,
    /// Its time as the chain counts it, which never goes back (Bitcoin: the median time past of
    /// BIP-113, about an hour behind).
    pub time: Timestamp,
    /// The time that its maker wrote into it: when its payments were made. Bitcoin's are in order
    /// only roughly; elsewhere it is [`Header::time`].
    pub mined_at: Timestamp,
    /// What it adds to its branch's weight.
    pub work: Work,
}

impl Header {
    /// This very block.
    #[must_use]
    pub fn at(&self) -> At {
        At::Block { height: self.height, hash: self.hash.clone() }
    }

    /// The block before it.
    #[must_use]
    pub fn parent_at(&self) -> At {
        At::Block { height: self.parent_height, hash: self.parent.clone() }
    }
}

/// How a block's transfers are known to be complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// Rebuilt from the block's own commitment (receipts root, merkle root): nothing can be hidden.
    /// (EVM: but for coin that contracts send, which nothing commits to.)
    Commitment,
    /// Queried by block hash and held against the header's bloom: what the provider said, checked
    /// for emptiness only.
    Logs,
    /// What the provider said of a block that links to those before and after it. Nothing in it
    /// commits to its transactions (Solana).
    Links,
}

/// A block with those of its transfers that hit a watch.
#[derive(Clone, Debug, Eq)]
pub struct Block {
    /// Its place in the chain.
    pub header: Header,
    /// The transfers that hit a watch, in the order in which they stand in the block.
    pub transfers: Vec<Transfer>,
    /// The outpoints that are watched and that this block spends, in the order of their spending.
    pub spends: Vec<Spend>,
    /// How their completeness is known.
    pub proof: Proof,
    /// Who showed it: a provider's name in the configuration.
    pub provider: Arc<str>,
    /// How much in it was held against the watches (EVM: logs, values and calls; Bitcoin: outputs);
    /// nothing where the header alone tells that there is nothing for them.
    pub examined: u64,
    /// The version of the watch set that it was decoded with.
    pub watches: WatchVersion,
}

/// Blocks are equal that say the same, whoever showed them and however much it took to read them.
impl PartialEq for Block {
    fn eq(&self, other: &Self) -> bool {
        let Self { header, transfers, spends, proof, watches, provider: _, examined: _ } = self;
        *header == other.header
            && *transfers == other.transfers
            && *spends == other.spends
            && *proof == other.proof
            && *watches == other.watches
    }
}

/// What a network's providers say of its tip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heads {
    /// The newest block.
    pub latest: Header,
    /// The newest height that the network calls irreversible, where it is known.
    pub finalized: Option<Height>,
    /// Why many blocks above `latest` are not to be followed yet, in words, where that is so.
    pub held_back: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_adds_up_exactly_and_reads_back_as_written() {
        let hardest = Work::new(U256::MAX - U256::ONE);
        assert_eq!([hardest, Work::ONE].into_iter().sum::<Work>(), Work::new(U256::MAX));
        assert_eq!([hardest, hardest].into_iter().sum::<Work>(), Work::new(U256::MAX));
        for work in [Work::default(), Work::ONE, hardest] {
            assert_eq!(work.to_string().parse(), Ok(work));
        }
        for wrong in ["", "-1", "0x1", "1.0", &"9".repeat(78)] {
            assert!(wrong.parse::<Work>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn confirmations_are_counted_over_linked_blocks_and_capped_i6() {
        let required = Confirmations(3);
        let cases = [(10, 9, 0), (10, 10, 1), (10, 11, 2), (10, 12, 3), (10, 1_000_000, 3)];
        for (height, cursor, expected) in cases {
            assert_eq!(
                Confirmations::count(Height(height), Height(cursor), required),
                Confirmations(expected),
                "height {height}, cursor {cursor}"
            );
        }
        assert_eq!(Confirmations::count(Height(0), Height(u64::MAX - 1), required), required);
    }
}
