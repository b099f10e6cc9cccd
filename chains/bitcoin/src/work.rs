//! Proof of work: targets, and how the network sets them.

use alloy_primitives::{U256, U512};

/// The compact form of a target, as headers carry it (`nBits`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bits(pub u32);

impl Bits {
    /// The target that it stands for; none where it is negative, zero, or above 2^256.
    #[must_use]
    pub fn target(self) -> Option<U256> {
        let (size, mantissa) = (self.0 >> 24, U256::from(self.0 & 0x007f_ffff));
        let target = if size <= 3 {
            mantissa >> (8 * (3 - size))
        } else {
            let shift = usize::try_from(8 * (size - 3)).ok()?;
            if mantissa.bit_len() + shift > 256 {
                return None;
            }
            mantissa << shift
        };
        let is_negative = self.0 & 0x0080_0000 != 0;
        (!is_negative && !target.is_zero()).then_some(target)
    }

    /// The compact form of a target. It keeps the three highest bytes, so the rest is cut.
    #[must_use]
    pub fn of(target: U256) -> Self {
        let mut size = target.byte_len();
        let mut mantissa = match size {
            0..=3 => target << (8 * (3 - size)),
            _ => target >> (8 * (size - 3)),
        };
        // The highest bit is the sign's.
        if mantissa.bit(23) {
            mantissa >>= 8;
            size += 1;
        }
        // At most 23 bits are left of the mantissa, and a size is at most 33.
        let mantissa = u32::try_from(mantissa).unwrap_or(0);
        Self(u32::try_from(size).unwrap_or(0) << 24 | mantissa)
    }

    /// The hashes that are to be expected for one that meets the target: 2^256 / (target + 1),
    /// rounded down.
    #[must_use]
    pub fn work(self) -> U256 {
        self.target().map_or(U256::ZERO, |target| {
            // 2^256 does not fit, but 2^256 / (t + 1) is (2^256 - t - 1) / (t + 1) + 1.
            match target.checked_add(U256::ONE) {
                Some(above) => !target / above + U256::ONE,
                None => U256::ONE,
            }
        })
    }
}

/// A block as the rules of difficulty see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timed {
    /// Its height.
    pub height: u64,
    /// The time that it gives, in seconds since 1970.
    pub time: u32,
    /// Its target.
    pub bits: Bits,
}

/// How a network sets the next block's target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difficulty {
    /// It never changes (regtest).
    Constant,
    /// Every 2,016 blocks, for ten minutes a block (mainnet, signet).
    Periods,
    /// The same, from the target of the period's first block; and a block that comes 20 minutes
    /// after the one before it may meet the limit alone (testnet4, BIP-94).
    PeriodsWithPauses,
    /// With every block, by how far the chain is from its schedule (Bitcoin Cash, aserti3-2d).
    Asert(Anchor),
}

/// Where the schedule of [`Difficulty::Asert`] begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// The anchor block's height.
    pub height: u64,
    /// Its target.
    pub bits: Bits,
    /// The time of the block before it, in seconds since 1970.
    pub parent_time: u32,
}

/// So many blocks before the one that is judged have to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs(pub usize);

const PERIOD: u64 = 2_016;
const SPACING: i64 = 600;
const PERIOD_SECONDS: u64 = 2_016 * 600;
/// How long a block is waited for before one may meet the limit alone.
const PAUSE: u32 = 20 * 60;
/// Two days: a chain that is so much behind its schedule has twice the target.
const ASERT_HALF_LIFE: i64 = 172_800;

impl Difficulty {
    /// The target that a block of this height and time must have, by those before it, the newest
    /// first. The first block of a chain may have any.
    ///
    /// # Errors
    /// [`Needs`] where more of them have to be known.
    pub fn required(
        &self,
        limit: Bits,
        height: u64,
        time: u32,
        before: &[Timed],
    ) -> Result<Bits, Needs> {
        if height == 0 {
            return Ok(limit);
        }
        let parent = before.first().ok_or(Needs(1))?;
        match self {
            Self::Constant => Ok(parent.bits),
            Self::Periods if !height.is_multiple_of(PERIOD) => Ok(parent.bits),
            Self::PeriodsWithPauses if !height.is_multiple_of(PERIOD) => {
                after_pauses(limit, time, parent, before)
            }
            Self::Periods | Self::PeriodsWithPauses => {
                let count = usize::try_from(PERIOD).unwrap_or(usize::MAX);
                let first = before.get(count - 1).ok_or(Needs(count))?;
                let base = if *self == Self::Periods { parent.bits } else { first.bits };
                Ok(retargeted(limit, base, first.time, parent.time))
            }
            // Below its anchor the chain had other rules, which are not known here.
            Self::Asert(anchor) if height <= anchor.height => Ok(parent.bits),
            Self::Asert(anchor) => Ok(scheduled(limit, anchor, parent)),
        }
    }

    /// Whether the rule that sets the target of this height is known.
    #[must_use]
    pub fn is_known_at(&self, height: u64) -> bool {
        !matches!(self, Self::Asert(anchor) if height <= anchor.height)
    }
}

fn after_pauses(limit: Bits, time: u32, parent: &Timed, before: &[Timed]) -> Result<Bits, Needs> {
    if time > parent.time.saturating_add(PAUSE) {
        return Ok(limit);
    }
    // The newest one that did not come after a pause. A period's first block never does.
    let regular = |block: &&Timed| block.height.is_multiple_of(PERIOD) || block.bits != limit;
    let found = before.iter().find(regular).map(|block| block.bits);
    found.ok_or(Needs(before.len() + 128))
}

fn retargeted(limit: Bits, base: Bits, first: u32, last: u32) -> Bits {
    let took = u64::from(last.saturating_sub(first));
    let took = took.clamp(PERIOD_SECONDS / 4, PERIOD_SECONDS * 4);
    let (base, highest) = (base.target().unwrap_or_default(), limit.target().unwrap_or_default());
    // Ten times what fits in 256 bits, where the limit is that of a test network.
    let next = U512::from(base) * U512::from(took) / U512::from(PERIOD_SECONDS);
    Bits::of(if next > U512::from(highest) { highest } else { U256::from(next) })
}

/// The schedule's target, by the specification's own approximation of 2^x.
fn scheduled(limit: Bits, anchor: &Anchor, parent: &Timed) -> Bits {
    let highest = limit.target().unwrap_or_default();
    let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let late = i64::from(parent.time) - i64::from(anchor.parent_time);
    let due = SPACING.saturating_mul(signed(parent.height) - signed(anchor.height) + 1);
    let exponent = late.saturating_sub(due).saturating_mul(65_536) / ASERT_HALF_LIFE;
    let fraction = U256::from(exponent & 0xffff);
    let squared = fraction * fraction;
    let factor = U256::from(65_536)
        + ((U256::from(195_766_423_245_049_u64) * fraction
            + U256::from(971_821_376_u64) * squared
            + U256::from(5_127_u64) * squared * fraction
            + (U256::ONE << 47))
            >> 48);
    let exact = U512::from(anchor.bits.target().unwrap_or_default()) * U512::from(factor);
    let shift = (exponent >> 16) - 16;
    let distance = usize::try_from(shift.unsigned_abs()).unwrap_or(usize::MAX).min(512);
    // A target has 256 bits at most and the factor 17, so what is lost above would be over the
    // limit anyway.
    let next = match shift {
        ..=0 => exact >> distance,
        _ if exact.bit_len() + distance > 512 => U512::MAX,
        _ => exact << distance,
    };
    if next > U512::from(highest) {
        return Bits::of(highest);
    }
    Bits::of(U256::from(next).max(U256::ONE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MAINNET: Bits = Bits(0x1d00_ffff);
    const BCH: Anchor =
        Anchor { height: 661_647, bits: Bits(0x1804_dafe), parent_time: 1_605_447_844 };

    fn block(height: u64, time: u32, bits: u32) -> Timed {
        Timed { height, time, bits: Bits(bits) }
    }

    #[test]
    fn compact_targets_are_read_as_the_reference_client_reads_them() {
        let cases = [
            (0x1d00_ffff, Some(U256::from(0xffff) << 208)),
            (0x207f_ffff, Some(U256::from(0x7f_ffff) << 232)),
            (0x0300_0001, Some(U256::ONE)),
            (0x0200_8000, Some(U256::from(0x80))),
            (0x0000_0000, None),
            (0x0100_0000, None),
            (0x1d80_ffff, None),
            (0xff12_3456, None),
            (0x2200_00ff, Some(U256::from(0xff) << 248)),
            (0x2200_0100, None),
        ];
        for (bits, expected) in cases {
            assert_eq!(Bits(bits).target(), expected, "{bits:08x}");
        }
    }

    #[test]
    fn work_is_the_expected_number_of_hashes() {
        assert_eq!(MAINNET.work(), U256::from(0x1_0001_0001_u64));
        assert_eq!(Bits(0x207f_ffff).work(), U256::from(2));
        assert_eq!(Bits(0).work(), U256::ZERO);
    }

    #[test]
    fn a_period_that_took_too_little_time_raises_the_difficulty() {
        // The first change on mainnet: block 32,256.
        let mut before = vec![block(32_255, 1_262_152_739, 0x1d00_ffff); 2_015];
        before.push(block(30_240, 1_261_130_161, 0x1d00_ffff));
        let rule = Difficulty::Periods;
        assert_eq!(rule.required(MAINNET, 32_256, 0, &before), Ok(Bits(0x1d00_d86a)));
        assert_eq!(rule.required(MAINNET, 32_256, 0, &before[..2_015]), Err(Needs(2_016)));
        assert_eq!(rule.required(MAINNET, 32_257, 0, &before), Ok(Bits(0x1d00_ffff)));
        assert_eq!(rule.required(MAINNET, 32_257, 0, &[]), Err(Needs(1)));
    }

    #[test]
    fn a_change_is_at_most_fourfold_and_never_over_the_limit() {
        let change = |base: u32, took: u32| retargeted(MAINNET, Bits(base), 1_000, 1_000 + took);
        assert_eq!(change(0x1d00_ffff, 1_209_600), MAINNET);
        assert_eq!(change(0x1d00_ffff, u32::MAX - 1_000), MAINNET);
        assert_eq!(change(0x1d00_ffff, 0), Bits(0x1c3f_ffc0));
        assert_eq!(change(0x1c3f_ffc0, u32::MAX - 1_000), Bits(0x1d00_ffff));
        assert_eq!(retargeted(MAINNET, MAINNET, 2_000, 1_000), Bits(0x1c3f_ffc0), "time runs back");
    }

    #[test]
    fn on_testnet4_a_late_block_is_easy_and_the_next_one_is_not() {
        let rule = Difficulty::PeriodsWithPauses;
        let before = [
            block(12, 5_000, 0x1d00_ffff),
            block(11, 3_000, 0x1d00_ffff),
            block(10, 1_000, 0x1c12_3456),
        ];
        let required = |time, known: usize| rule.required(MAINNET, 13, time, &before[..known]);
        assert_eq!(required(6_201, 1), Ok(MAINNET));
        assert_eq!(required(6_200, 3), Ok(Bits(0x1c12_3456)));
        assert_eq!(required(6_200, 2), Err(Needs(130)));
        let at_start = [block(2_016, 5_000, 0x1d00_ffff)];
        assert_eq!(rule.required(MAINNET, 2_017, 5_001, &at_start), Ok(MAINNET));
        let mut period = vec![block(4_031, 1_210_600, 0x1d00_ffff); 2_015];
        period.push(block(2_016, 1_000, 0x1c12_3456));
        assert_eq!(rule.required(MAINNET, 4_032, u32::MAX, &period), Ok(Bits(0x1c12_3456)));
    }

    #[test]
    fn aserti3_2d_keeps_doubles_and_halves_by_its_schedule() {
        let parent = |late: i64| {
            let time = i64::from(BCH.parent_time) + 600 * 101 + late;
            block(BCH.height + 100, u32::try_from(time).unwrap(), 0)
        };
        let next = |late: i64| scheduled(MAINNET, &BCH, &parent(late));
        assert_eq!(next(0), BCH.bits);
        assert_eq!(next(172_800), Bits(0x1809_b5fc));
        assert!(next(-60_600).target() < BCH.bits.target());
        let halved = scheduled(
            MAINNET,
            &Anchor { parent_time: BCH.parent_time, ..BCH },
            &block(BCH.height + 287, BCH.parent_time, 0),
        );
        assert_eq!(halved, Bits(0x1802_6d7f));
        assert_eq!(next(i64::from(u32::MAX - BCH.parent_time) - 60_600), MAINNET, "never over");
        let rule = Difficulty::Asert(BCH);
        assert!(!rule.is_known_at(BCH.height) && rule.is_known_at(BCH.height + 1));
    }

    proptest! {
        #[test]
        fn compact_targets_are_the_reference_clients(bits: u32) {
            let theirs = bitcoin::Target::from_compact(bitcoin::CompactTarget::from_consensus(bits));
            if let Some(target) = Bits(bits).target() {
                prop_assert_eq!(target.to_be_bytes::<32>(), theirs.to_be_bytes());
                prop_assert_eq!(Bits::of(target).0, theirs.to_compact_lossy().to_consensus());
                prop_assert_eq!(Bits(bits).work().to_be_bytes::<32>(), theirs.to_work().to_be_bytes());
            }
        }
    }
}
