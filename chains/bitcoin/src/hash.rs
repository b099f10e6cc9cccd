//! Hashes: of blocks, transactions, and the nodes of the merkle tree.

use std::fmt;
use std::str::FromStr;

use alloy_primitives::{U256, hex};
use sha2::{Digest, Sha256};

/// A double SHA-256, in the order in which it is computed. Its text is the other way round, as
/// Bitcoin has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash256(pub [u8; 32]);

impl Hash256 {
    /// The hash of some parts, one after the other.
    #[must_use]
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut once = Sha256::new();
        for part in parts {
            once.update(part);
        }
        Self(Sha256::digest(once.finalize()).into())
    }

    /// As the number that proof of work compares.
    #[must_use]
    pub fn to_number(self) -> U256 {
        U256::from_le_bytes(self.0)
    }
}

impl fmt::Display for Hash256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut reversed = self.0;
        reversed.reverse();
        f.write_str(&hex::encode(reversed))
    }
}

/// The text is no hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected 64 hex digits")]
pub struct HashError;

/// Reads what [`Display`](fmt::Display) writes, and nothing else.
impl FromStr for Hash256 {
    type Err = HashError;

    fn from_str(text: &str) -> Result<Self, HashError> {
        let digits: &[u8; 64] = text.as_bytes().try_into().map_err(|_| HashError)?;
        let mut hash = [0; 32];
        for (byte, pair) in hash.iter_mut().rev().zip(digits.chunks_exact(2)) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Ok(Self(hash))
    }
}

/// A hex digit in lower case.
const fn nibble(digit: u8) -> Result<u8, HashError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(HashError),
    }
}

/// The root of the merkle tree over these transactions, in the order of the block.
///
/// None where two neighbours are equal. The tree repeats the last node of an odd row, so a list
/// whose end stands twice has the same root as the list without (CVE-2012-2459): no honest block
/// has equal neighbours, and which of the two was meant cannot be told.
#[must_use]
pub fn merkle_root(mut row: Vec<Hash256>) -> Option<Hash256> {
    while row.len() > 1 {
        if row.chunks_exact(2).any(|pair| pair[0] == pair[1]) {
            return None;
        }
        let count = row.len().div_ceil(2);
        for at in 0..count {
            let left = row[2 * at];
            let right = row.get(2 * at + 1).copied().unwrap_or(left);
            let mut pair = [0; 64];
            pair[..32].copy_from_slice(&left.0);
            pair[32..].copy_from_slice(&right.0);
            row[at] = Hash256::of(&[&pair]);
        }
        row.truncate(count);
    }
    row.first().copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitcoin::hashes::Hash as _;
    use proptest::prelude::*;

    fn leaf(n: u8) -> Hash256 {
        Hash256::of(&[&[n]])
    }

    #[test]
    fn a_hash_reads_back_as_written_and_in_one_form_only() {
        let text = "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f";
        let hash: Hash256 = text.parse().unwrap();
        assert_eq!(hash.to_string(), text);
        assert_eq!(hash.0[..2], [0x6f, 0xe2]);
        let upper = text.to_uppercase();
        for wrong in ["", "00", &text[1..], &format!("0{text}"), upper.as_str(), &"é".repeat(32)] {
            assert_eq!(wrong.parse::<Hash256>(), Err(HashError), "{wrong:?}");
        }
    }

    #[test]
    fn a_doubled_end_is_told_from_the_honest_list_cve_2012_2459() {
        let honest = vec![leaf(1), leaf(2), leaf(3)];
        assert!(merkle_root(honest.clone()).is_some());
        assert_eq!(merkle_root([&honest[..], &[leaf(3)]].concat()), None);
        let six: Vec<Hash256> = (1..=6).map(leaf).collect();
        assert_eq!(merkle_root([&six[..], &six[4..]].concat()), None);
        assert_eq!(merkle_root(Vec::new()), None);
    }

    proptest! {
        #[test]
        fn the_root_is_the_reference_clients(count in 1_u8..40) {
            let leaves: Vec<Hash256> = (0..count).map(leaf).collect();
            let theirs = leaves.iter().map(|hash| bitcoin::hashes::sha256d::Hash::from_byte_array(hash.0));
            let theirs = bitcoin::merkle_tree::calculate_root(theirs).unwrap();
            prop_assert_eq!(merkle_root(leaves), Some(Hash256(theirs.to_byte_array())));
        }
    }
}
