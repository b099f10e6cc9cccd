//! When a provider is put aside, for how long, and when it is as good as new.
//!
//! Pure: the time is passed in. A provider's record is its streak of faults. Each fault puts it
//! aside for 1, 2, 4 … 300 s; for a minute after its return it is asked only when the others
//! fail; and every five minutes without a fault take one off the streak.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::{Fault, FaultKind};

const FIRST_ASIDE: Duration = Duration::from_secs(1);
const LONGEST_ASIDE: Duration = Duration::from_mins(5);
/// How long a provider stands behind the others after its return.
const PROBATION: Duration = Duration::from_mins(1);
/// What takes one fault off the record.
const FORGET_ONE: Duration = Duration::from_mins(5);
/// Where nobody else is left, a provider is asked again after this long at the latest.
const LAST_RESORT: Duration = Duration::from_secs(15);

/// A provider's record.
#[derive(Debug, Default)]
pub(crate) struct Health {
    streak: u32,
    aside: Option<Aside>,
    counts: [u64; FaultKind::ALL.len()],
    last_fault: Option<String>,
}

#[derive(Clone, Copy, Debug)]
struct Aside {
    since: Instant,
    until: Instant,
    /// The provider itself asked to be left alone: not even as a last resort.
    strict: bool,
}

impl Health {
    /// Whether the provider is put aside.
    pub(crate) fn is_aside(&self, now: Instant) -> bool {
        self.aside.is_some_and(|aside| now < aside.until)
    }

    /// How bad its record is: zero after the probation, else the streak. Lower is asked first.
    pub(crate) fn demerits(&self, now: Instant) -> u32 {
        match self.aside {
            Some(aside) if now < aside.until + PROBATION => self.streak,
            _ => 0,
        }
    }

    /// From when on it may be asked where nobody else is left.
    pub(crate) fn last_resort_at(&self) -> Option<Instant> {
        self.aside.map(|aside| match aside.strict {
            true => aside.until,
            false => aside.until.min(aside.since + LAST_RESORT),
        })
    }

    /// Records a fault in an attempt that began at `started`, and puts the provider aside. An
    /// attempt that began before the provider was put aside is the same outage seen again: it
    /// counts, but prolongs nothing, unless the provider itself asks for more time.
    pub(crate) fn fault(&mut self, fault: &Fault, started: Instant, now: Instant) {
        self.counts[fault.kind as usize] += 1;
        self.last_fault = Some(fault.to_string());
        let seen_before = self.aside.is_some_and(|aside| started < aside.since);
        if !seen_before {
            self.streak = self.streak_at(now).saturating_add(1);
        }
        let growing = FIRST_ASIDE.saturating_mul(1 << (self.streak - 1).min(16)).min(LONGEST_ASIDE);
        let until = now + fault.retry_after.unwrap_or(growing);
        let prolongs = self.aside.is_none_or(|aside| until > aside.until);
        if !seen_before || (prolongs && fault.retry_after.is_some()) {
            let strict = fault.kind == FaultKind::RateLimited;
            self.aside = Some(Aside { since: now, until, strict });
        }
    }

    /// How often each kind was seen.
    pub(crate) fn counts(&self) -> BTreeMap<&'static str, u64> {
        FaultKind::ALL.iter().map(|kind| (kind.as_str(), self.counts[*kind as usize])).collect()
    }

    /// The last fault in words.
    pub(crate) fn last_fault(&self) -> Option<&str> {
        self.last_fault.as_deref()
    }

    /// The streak less what was forgotten since.
    fn streak_at(&self, now: Instant) -> u32 {
        let Some(aside) = self.aside else { return 0 };
        let good = now.saturating_duration_since(aside.until + PROBATION);
        let forgotten = good.as_secs() / FORGET_ONE.as_secs();
        self.streak.saturating_sub(u32::try_from(forgotten).unwrap_or(u32::MAX))
    }
}
