//! Headers, proven by their hash.

use alloy_primitives::U256;

use crate::bytes::Reader;
use crate::config::ProofOfWork;
use crate::work::Bits;
use crate::{Hash256, Refusal};

/// A header's length.
pub const HEADER_BYTES: usize = 80;

/// A header, known by its own hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawHeader {
    /// The hash of its 80 bytes.
    pub hash: Hash256,
    /// The hash of the header before.
    pub parent: Hash256,
    /// What the block's transactions hash to.
    pub merkle_root: Hash256,
    /// The time that it gives, in seconds since 1970.
    pub time: u32,
    /// The target that its hash is to meet.
    pub bits: Bits,
}

impl RawHeader {
    /// Reads the 80 bytes.
    #[must_use]
    pub fn read(bytes: &[u8; HEADER_BYTES]) -> Self {
        let part = |at: usize| {
            let mut part = [0; 32];
            part.copy_from_slice(&bytes[at..at + 32]);
            Hash256(part)
        };
        let number = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        Self {
            hash: Hash256::of(&[bytes]),
            parent: part(4),
            merkle_root: part(36),
            time: number(68),
            bits: Bits(number(72)),
        }
    }

    pub(crate) fn take(reader: &mut Reader<'_>) -> Result<Self, Refusal> {
        reader.array().map(Self::read)
    }

    /// Checks that the hash meets the header's target, and the target the network's limit.
    ///
    /// # Errors
    /// When it does not.
    pub fn check_work(&self, rules: &ProofOfWork) -> Result<(), Refusal> {
        let limit = rules.limit.target().unwrap_or(U256::ZERO);
        let target = self.bits.target().filter(|target| *target <= limit);
        match target {
            None => {
                let bits = self.bits.0;
                Err(Refusal::unproven(format!("the target {bits:08x} is none of this network")))
            }
            Some(target) if self.hash.to_number() > target => {
                Err(Refusal::unproven(format!("block {} lacks its proof of work", self.hash)))
            }
            Some(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::work::Difficulty;
    use alloy_primitives::hex;

    const GENESIS: &str = "0100000000000000000000000000000000000000000000000000000000000000000000003ba3edfd7a7b12b27ac72c3e67768f617fc81bc3888a51323a9fb8aa4b1e5e4a29ab5f49ffff001d1dac2b7c";

    fn rules(limit: u32) -> ProofOfWork {
        ProofOfWork { limit: Bits(limit), difficulty: Difficulty::Periods }
    }

    #[test]
    fn the_first_block_proves_itself_and_with_any_bit_changed_does_not() {
        let bytes: [u8; HEADER_BYTES] = hex::decode(GENESIS).unwrap().try_into().unwrap();
        let header = RawHeader::read(&bytes);
        assert_eq!(
            header.hash.to_string(),
            "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f"
        );
        assert_eq!(header.parent, Hash256::default());
        assert_eq!((header.time, header.bits), (1_231_006_505, Bits(0x1d00_ffff)));
        assert_eq!(header.check_work(&rules(0x1d00_ffff)), Ok(()));
        assert!(header.check_work(&rules(0x1c00_ffff)).is_err(), "easier than the limit");
        for at in (0..HEADER_BYTES).filter(|at| !(72..76).contains(at)) {
            let mut changed = bytes;
            changed[at] ^= 1;
            assert!(RawHeader::read(&changed).check_work(&rules(0x1d00_ffff)).is_err(), "at {at}");
        }
    }
}
