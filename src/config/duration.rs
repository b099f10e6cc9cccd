//! Durations as people write them.

use std::time::Duration;

/// Reads `"750ms"`, `"15s"`, `"2m"`, `"24h"`, `"90d"`: one whole number above zero and its unit.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number = number.parse::<u64>().ok().filter(|number| *number > 0)?;
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(unit_ms).filter(|ms| *ms <= MOST_MS).map(Duration::from_millis)
}

/// A hundred years: far beyond any use, and far below any overflow of times in milliseconds.
const MOST_MS: u64 = 100 * 365 * 86_400_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_their_unit() {
        for (text, expected) in [
            ("750ms", Some(750)),
            ("15s", Some(15_000)),
            ("2m", Some(120_000)),
            ("24h", Some(86_400_000)),
            ("90d", Some(7_776_000_000)),
            ("0s", None),
            ("15", None),
            ("s", None),
            ("1.5h", None),
            ("-1s", None),
            ("15 s", None),
            ("999999999999999999d", None),
        ] {
            assert_eq!(parse_duration(text), expected.map(Duration::from_millis), "{text}");
        }
    }
}
