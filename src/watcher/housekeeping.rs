//! Pruning: what grows without end has a retention. Intents, allocations, and whatever is not
//! final are never pruned.

use std::time::Duration;

use confirmd_chain::Timestamp;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::clock::Clock;
use crate::store::{Result, Store};

/// How many rows one transaction prunes, so that no writer waits long.
const BATCH: u32 = 1_000;

/// Prunes the event log, the delivery log and the scan ledger.
#[derive(Clone, Debug)]
pub struct Housekeeper {
    /// The store.
    pub store: Store,
    /// The time.
    pub clock: Clock,
    /// How long deliveries that are done are kept.
    pub deliveries: Duration,
    /// How long events are kept.
    pub events: Duration,
    /// How long the scan ledger is kept.
    pub ledger: Duration,
}

impl Housekeeper {
    /// Prunes once an hour until it is stopped.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            if let Err(error) = self.prune().await {
                warn!(%error, "pruning waits for the store");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.clock.sleep(Duration::from_hours(1)) => {}
            }
        }
    }

    /// Prunes what is older than its retention.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn prune(&self) -> Result<()> {
        let before = |retention: Duration| {
            let ms = i64::try_from(retention.as_millis()).unwrap_or(i64::MAX);
            Timestamp(self.clock.now().0.saturating_sub(ms))
        };
        loop {
            let mut tx = self.store.begin().await?;
            let deliveries = tx.prune_deliveries(before(self.deliveries), BATCH).await?;
            let events = tx.prune_events(before(self.events), BATCH).await?;
            let scans = tx.prune_scans(before(self.ledger), BATCH).await?;
            tx.commit().await?;
            if deliveries.max(events).max(scans) < u64::from(BATCH) {
                return Ok(());
            }
        }
    }
}
