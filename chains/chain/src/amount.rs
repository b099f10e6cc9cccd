//! Exact amounts in base units.

use std::fmt;
use std::str::FromStr;

use alloy_primitives::U256;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A count of an asset's base units (wei, lamports, satoshis). Exact; never a float (I10).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(U256);

/// Why a decimal string is not an amount of an asset.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// Not digits with at most one point.
    #[error("expected a decimal string such as \"12.50\"")]
    Malformed,
    /// More digits behind the point than the asset has.
    #[error("has {found} decimals, the asset has {allowed}")]
    TooPrecise {
        /// Digits behind the point, without trailing zeros.
        found: usize,
        /// The asset's decimals.
        allowed: u8,
    },
    /// Larger than 2^256 - 1 base units.
    #[error("is too large")]
    TooLarge,
}

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(U256::ZERO);

    /// From base units.
    #[must_use]
    pub const fn from_base_units(units: U256) -> Self {
        Self(units)
    }

    /// The base units.
    #[must_use]
    pub const fn base_units(self) -> U256 {
        self.0
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self.0.is_zero()
    }

    /// Reads a decimal string (`"12.50"`) of an asset with `decimals` digits behind the point.
    ///
    /// # Errors
    /// When the text is no plain decimal, is more precise than the asset, or too large.
    pub fn parse_decimal(text: &str, decimals: u8) -> Result<Self, AmountError> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(fraction) {
            return Err(AmountError::Malformed);
        }
        let fraction = fraction.trim_end_matches('0');
        if fraction.len() > usize::from(decimals) {
            return Err(AmountError::TooPrecise { found: fraction.len(), allowed: decimals });
        }
        let width = usize::from(decimals);
        let units = format!("{whole}{fraction:0<width$}");
        U256::from_str_radix(&units, 10).map(Self).map_err(|_| AmountError::TooLarge)
    }

    /// Writes the amount as a decimal string without trailing zeros (`"12.5"`).
    #[must_use]
    pub fn to_decimal(self, decimals: u8) -> String {
        let width = usize::from(decimals) + 1;
        let digits = format!("{:0>width$}", self.0.to_string());
        let (whole, fraction) = digits.split_at(digits.len() - usize::from(decimals));
        match fraction.trim_end_matches('0') {
            "" => whole.to_owned(),
            fraction => format!("{whole}.{fraction}"),
        }
    }

    /// The sum, at most 2^256 - 1. A token's transfers to one address cannot exceed its supply,
    /// so the ceiling is out of reach of any real token.
    #[must_use]
    pub fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// What is left, at least nothing.
    #[must_use]
    pub fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// `floor(self × numerator / denominator)`, exact for any amount.
    ///
    /// # Panics
    /// When `denominator` is zero, or `numerator` exceeds it.
    #[must_use]
    pub fn share(self, numerator: u64, denominator: u64) -> Self {
        assert!(denominator > 0 && numerator <= denominator, "a share is at most the whole");
        let (numerator, denominator) = (U256::from(numerator), U256::from(denominator));
        let whole = self.0 / denominator * numerator;
        let rest = self.0 % denominator * numerator / denominator;
        Self(whole + rest)
    }
}

impl std::iter::Sum for Amount {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Self::saturating_add)
    }
}

impl From<u64> for Amount {
    fn from(units: u64) -> Self {
        Self(U256::from(units))
    }
}

/// Base units in decimal digits.
impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Reads base units in decimal digits.
impl FromStr for Amount {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        Self::parse_decimal(text, 0)
    }
}

/// As a string of base units, since JSON numbers lose digits.
impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn decimal_strings_are_read_exactly() {
        let cases: [(&str, u8, Result<u64, AmountError>); 10] = [
            ("12.50", 6, Ok(12_500_000)),
            ("0.000001", 6, Ok(1)),
            ("1", 0, Ok(1)),
            ("007", 0, Ok(7)),
            ("1.0000000", 6, Ok(1_000_000)),
            ("1.0000001", 6, Err(AmountError::TooPrecise { found: 7, allowed: 6 })),
            ("-1", 6, Err(AmountError::Malformed)),
            ("1e6", 6, Err(AmountError::Malformed)),
            (".5", 6, Err(AmountError::Malformed)),
            ("", 6, Err(AmountError::Malformed)),
        ];
        for (text, decimals, expected) in cases {
            assert_eq!(
                Amount::parse_decimal(text, decimals),
                expected.map(Amount::from),
                "{text:?} with {decimals} decimals"
            );
        }
        let huge = "9".repeat(80);
        assert_eq!(Amount::parse_decimal(&huge, 6), Err(AmountError::TooLarge));
    }

    proptest! {
        #[test]
        fn a_written_amount_reads_back(limbs: [u64; 4], decimals in 0_u8..=30) {
            let amount = Amount(U256::from_limbs(limbs));
            let text = amount.to_decimal(decimals);
            prop_assert_eq!(Amount::parse_decimal(&text, decimals), Ok(amount));
        }

        #[test]
        fn a_share_is_the_floor(units: u64, numerator in 0_u64..=1_000_000_000) {
            let exact = u128::from(units) * u128::from(numerator) / 1_000_000_000;
            let share = Amount::from(units).share(numerator, 1_000_000_000);
            prop_assert_eq!(share.to_string(), exact.to_string());
        }
    }
}
