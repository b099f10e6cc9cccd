//! Parts of the daemon that outlive their own faults.

use std::fmt::Display;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use futures_util::FutureExt;
use tokio_util::sync::CancellationToken;
use tracing::error;

const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// Runs a part of the daemon until it ends by itself. One that panics begins anew after a pause
/// that grows: all that counts is in the store, and the other parts do not notice.
pub(crate) async fn lasting<F>(
    part: impl Display,
    stop: CancellationToken,
    mut begin: impl FnMut(CancellationToken) -> F,
) where
    F: Future<Output = ()>,
{
    let pauses = ExponentialBuilder::default().with_max_delay(LONGEST_PAUSE).without_max_times();
    let mut pauses = pauses.build();
    while AssertUnwindSafe(begin(stop.clone())).catch_unwind().await.is_err() {
        let pause = pauses.next().unwrap_or(LONGEST_PAUSE);
        error!(%part, ?pause, "panicked and begins anew: a fault of confirmd's, please report it");
        metrics::counter!("confirmd_panics_total", "part" => part.to_string()).increment(1);
        if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_part_that_panics_begins_anew_until_it_ends_by_itself() {
        let begun = AtomicU32::new(0);
        let begin = |_| async {
            assert!(begun.fetch_add(1, Ordering::Relaxed) >= 2, "one of the first two");
        };
        lasting("a test", CancellationToken::new(), begin).await;
        assert_eq!(begun.into_inner(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_that_always_panics_ends_when_the_daemon_stops() {
        let stop = CancellationToken::new();
        let (begun, last) = (AtomicU32::new(0), stop.clone());
        let begin = |_| async {
            if begun.fetch_add(1, Ordering::Relaxed) == 4 {
                last.cancel();
            }
            panic!("always");
        };
        lasting("a test", stop, begin).await;
        assert_eq!(begun.into_inner(), 5);
    }
}
