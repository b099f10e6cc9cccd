//! How times are written, in the API and in events.

use confirmd_chain::Timestamp;
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

const RFC_3339_MS: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// A time in RFC 3339, UTC, with milliseconds and `Z`.
#[must_use]
pub fn rfc3339(time: Timestamp) -> String {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(time.0) * 1_000_000)
        .ok()
        .and_then(|time| time.format(RFC_3339_MS).ok())
        .unwrap_or_else(|| "9999-12-31T23:59:59.999Z".to_owned())
}
