//! How many calls a provider grants.

use std::num::NonZeroU32;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tokio::time::Instant;

/// A provider's rate, on tokio's clock, so that tests can turn it.
pub(crate) struct RateLimit {
    limiter: RateLimiter<NotKeyed, InMemoryState, TokioClock, NoOpMiddleware<Nanos>>,
    clock: TokioClock,
    burst: NonZeroU32,
}

#[derive(Clone)]
struct TokioClock(Instant);

impl Clock for TokioClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.0.elapsed().into()
    }
}

impl RateLimit {
    pub(crate) fn new(per_second: NonZeroU32) -> Self {
        let clock = TokioClock(Instant::now());
        let limiter = RateLimiter::direct_with_clock(Quota::per_second(per_second), clock.clone());
        Self { limiter, clock, burst: per_second }
    }

    /// Waits until so many calls are granted; more than the burst count as the burst.
    pub(crate) async fn granted(&self, calls: NonZeroU32) {
        let calls = calls.min(self.burst);
        while let Ok(Err(until)) = self.limiter.check_n(calls) {
            tokio::time::sleep(until.wait_time_from(self.clock.now())).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn calls_wait_until_the_providers_rate_grants_them() {
        let ten = NonZeroU32::new(10).expect("not zero");
        let rate = RateLimit::new(ten);
        let began = Instant::now();
        for _ in 0..10 {
            rate.granted(NonZeroU32::MIN).await;
        }
        assert!(began.elapsed() < Duration::from_millis(10), "a burst passes at once");
        rate.granted(ten).await;
        rate.granted(ten).await;
        assert!(began.elapsed() >= Duration::from_secs(2), "batches count call by call");
        assert!(began.elapsed() < Duration::from_millis(2_100));
    }
}
