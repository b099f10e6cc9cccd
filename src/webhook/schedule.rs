//! What comes after an attempt.

use std::time::Duration;

use confirmd_chain::Timestamp;
use reqwest::StatusCode;

use super::client::Answer;
use crate::config::Dialect;
use crate::store::{Claimed, Next};

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

/// How long to wait after each failed attempt, in milliseconds; after the last one the delivery
/// is given up.
pub(super) const RETRY_AFTER_MS: [i64; 10] = [
    5 * SECOND,
    30 * SECOND,
    2 * MINUTE,
    10 * MINUTE,
    30 * MINUTE,
    HOUR,
    3 * HOUR,
    6 * HOUR,
    12 * HOUR,
    24 * HOUR,
];

/// The longest that an endpoint may ask us to wait.
const LONGEST_WISH_MS: i64 = 24 * HOUR;

/// Decides what comes after an attempt that began at `began` and is over `now`. `random` spreads
/// the retries of what failed together.
pub(super) fn next(
    claimed: &Claimed,
    dialect: &Dialect,
    answer: &Answer,
    began: Timestamp,
    now: Timestamp,
    random: u64,
) -> Next {
    match answer.status {
        Some(status) if answer.error.is_none() && dialect.takes(status) => return Next::Taken,
        Some(StatusCode::GONE) => {
            return Next::Pause { reason: "the endpoint answered 410 Gone".to_owned() };
        }
        _ => {}
    }
    let wish = answer.retry_after.map(|wish| now.plus_ms(ms(wish).min(LONGEST_WISH_MS)));
    let passable = answer.status.is_some_and(refuses_the_event);
    // An attempt that was brought forward leaves the schedule as it is.
    if let Some(resume_at) = claimed.resume_at.filter(|resume_at| *resume_at > began) {
        let at = resume_at.max(wish.unwrap_or(now));
        return Next::Again { at, step: claimed.step, resume_at: Some(at), passable };
    }
    let step = usize::try_from(claimed.step).unwrap_or(usize::MAX);
    let Some(delay) = RETRY_AFTER_MS.get(step) else { return Next::Dead };
    let at = now.plus_ms(with_jitter(*delay, random));
    let at = wish.map_or(at, |wish| wish.max(at));
    Next::Again { at, step: claimed.step + 1, resume_at: wish.map(|_| at), passable }
}

/// Whether the endpoint says that this event will not do, rather than that it cannot take one now.
fn refuses_the_event(status: StatusCode) -> bool {
    let later = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_EARLY, StatusCode::TOO_MANY_REQUESTS];
    status.is_client_error() && !later.contains(&status)
}

/// Up to a tenth more or less.
fn with_jitter(delay_ms: i64, random: u64) -> i64 {
    let tenth = delay_ms / 10;
    let span = tenth.unsigned_abs() * 2 + 1;
    delay_ms - tenth + i64::try_from(random % span).unwrap_or_default()
}

fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
