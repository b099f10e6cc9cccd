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

    /// Whether the provider itself asked to be left alone until later.
    pub(crate) fn is_resting(&self, now: Instant) -> bool {
        self.aside.is_some_and(|aside| aside.strict && now < aside.until)
    }

    /// From when on it may be asked where nobody else is left.
    pub(crate) fn last_resort_at(&self) -> Option<Instant> {
        self.aside.map(|aside| match aside.strict {
            true => aside.until,
            false => aside.until.min(aside.since + LAST_RESORT),
        })
    }

    /// Records a fault for which the provider is not put aside.
    pub(crate) fn note(&mut self, fault: &Fault) {
        self.counts[fault.kind as usize] += 1;
        self.last_fault = Some(fault.to_string());
    }

    /// Records a fault in an attempt that began at `started`, and puts the provider aside. An
    /// attempt that began before the provider was put aside is the same outage seen again: it
    /// counts, but prolongs nothing, unless the provider itself asks for more time.
    pub(crate) fn fault(&mut self, fault: &Fault, started: Instant, now: Instant) {
        self.note(fault);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn unproven() -> Fault {
        Fault::new(FaultKind::Unproven, "receipts root")
    }

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    /// Lets it fail as soon as it is back, and says how long it was put aside each time.
    fn put_aside_for(health: &mut Health, now: &mut Instant, times: usize) -> Vec<u64> {
        let once = || {
            health.fault(&unproven(), *now, *now);
            let began = *now;
            while health.is_aside(*now) {
                *now += seconds(1);
            }
            now.duration_since(began).as_secs()
        };
        std::iter::repeat_with(once).take(times).collect()
    }

    #[test]
    fn the_time_aside_doubles_from_one_second_to_five_minutes() {
        let (mut health, mut now) = (Health::default(), Instant::now());
        assert!(!health.is_aside(now));
        let times = put_aside_for(&mut health, &mut now, 11);
        assert_eq!(times, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(health.counts()["unproven"], 11);
        assert_eq!(health.last_fault(), Some("unproven: receipts root"));
    }

    #[test]
    fn a_provider_that_came_back_stands_behind_the_others_for_a_minute() {
        let (mut health, mut now) = (Health::default(), Instant::now());
        put_aside_for(&mut health, &mut now, 3);
        assert_eq!(health.demerits(now), 3);
        assert_eq!(health.demerits(now + seconds(59)), 3);
        assert_eq!(health.demerits(now + seconds(60)), 0);
    }

    #[test]
    fn faults_are_forgotten_one_by_one() {
        let (mut health, mut now) = (Health::default(), Instant::now());
        put_aside_for(&mut health, &mut now, 5);
        now += PROBATION + 2 * FORGET_ONE;
        assert_eq!(put_aside_for(&mut health, &mut now, 1), [8], "three are left, and one more");
        now += PROBATION + 100 * FORGET_ONE;
        assert_eq!(put_aside_for(&mut health, &mut now, 1), [1]);
    }

    #[test]
    fn one_outage_seen_by_many_attempts_is_one_fault() {
        let (mut health, now) = (Health::default(), Instant::now());
        for _ in 0..50 {
            health.fault(&unproven(), now - seconds(1), now);
        }
        assert_eq!(health.counts()["unproven"], 50);
        assert_eq!(health.demerits(now), 1);
        assert!(!health.is_aside(now + seconds(1)));
    }

    #[test]
    fn what_the_provider_asks_for_is_kept_even_as_a_last_resort_f11() {
        let (mut health, now) = (Health::default(), Instant::now());
        let limited = |time| Fault {
            kind: FaultKind::RateLimited,
            words: "slow down".to_owned(),
            retry_after: Some(time),
        };
        health.fault(&limited(seconds(120)), now, now);
        assert_eq!(health.last_resort_at(), Some(now + seconds(120)));
        health.fault(&limited(seconds(200)), now - seconds(1), now + seconds(1));
        assert!(health.is_aside(now + seconds(200)), "a longer wish prolongs");
        assert!(!health.is_aside(now + seconds(201)));
        health.fault(&limited(seconds(5)), now - seconds(1), now + seconds(2));
        assert!(health.is_aside(now + seconds(200)), "a shorter one does not cut it");
    }

    #[test]
    fn the_last_one_left_is_asked_again_after_fifteen_seconds() {
        let (mut health, mut now) = (Health::default(), Instant::now());
        put_aside_for(&mut health, &mut now, 9);
        health.fault(&unproven(), now, now);
        assert!(health.is_aside(now + seconds(299)));
        assert_eq!(health.last_resort_at(), Some(now + LAST_RESORT));
    }
}
