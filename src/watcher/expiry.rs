//! Intents whose time is over.

use std::collections::BTreeMap;
use std::time::Duration;

use confirmd_chain::{Height, Timestamp};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::clock::Clock;
use crate::settlement::{Event, Intent, NetworkId, expire, may_expire};
use crate::store::{Actor, Recording, Result, Store, Transaction};
use crate::webhook::{Endpoints, Waker};

const BATCH: u32 = 256;

/// Expires what nobody paid in time.
#[derive(Clone)]
pub struct Expirer {
    /// The store.
    pub store: Store,
    /// Who gets which event.
    pub endpoints: Endpoints,
    /// How long an address is watched after its intent closed.
    pub late_window: Duration,
    /// The time.
    pub clock: Clock,
    /// Woken when there is something to deliver.
    pub courier: Waker,
}

impl std::fmt::Debug for Expirer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Expirer").finish_non_exhaustive()
    }
}

impl Expirer {
    /// Looks once a second until it is stopped.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            if let Err(error) = self.look().await {
                warn!(%error, "expiry waits for the store");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.clock.sleep(Duration::from_secs(1)) => {}
            }
        }
    }

    /// Expires every intent for which nothing can come in time any more. Answers how many.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn look(&self) -> Result<usize> {
        let now = self.clock.now();
        let mut expired = 0;
        for key in self.store.overdue(now, BATCH).await? {
            let mut tx = self.store.begin().await?;
            if self.expire_one(&mut tx, &key, now).await? {
                tx.commit().await?;
                self.courier.wake();
                expired += 1;
            }
        }
        Ok(expired)
    }

    async fn expire_one(&self, tx: &mut Transaction, key: &str, now: Timestamp) -> Result<bool> {
        let Some((intent, credits)) = tx.lock_intent(key).await? else { return Ok(false) };
        // Read after the lock: not older than what others settled the intent with.
        let cursors = tx.cursors().await?;
        if tx.has_backfill(key).await? {
            return Ok(false);
        }
        let deep_times = deep_times(tx, &intent, &cursors).await?;
        if !may_expire(&intent, &credits, &deep_times, now) {
            return Ok(false);
        }
        let outcome = expire(intent, credits, &cursors, now);
        let actor = Actor { kind: "clock".to_owned(), name: "expiry".to_owned() };
        let route = |intent: &Intent, event: &Event| self.endpoints.route(intent, event);
        let recording = Recording {
            cursors: &cursors,
            route: &route,
            actor: &actor,
            late_window: self.late_window,
            now,
        };
        tx.record_outcome(&outcome, &recording).await?;
        Ok(true)
    }
}

/// Per network of the intent the time of the block that has the required depth now.
async fn deep_times(
    tx: &mut Transaction,
    intent: &Intent,
    cursors: &BTreeMap<NetworkId, Height>,
) -> Result<BTreeMap<NetworkId, Timestamp>> {
    let mut times = BTreeMap::new();
    for rail in &intent.rails {
        let Some(cursor) = cursors.get(&rail.network) else { continue };
        let required = u64::from(intent.required_on(&rail.network).0.max(1));
        let deep = cursor.minus(required - 1);
        let found = tx.block_times(&rail.network, std::iter::once(deep)).await?;
        times.extend(found.values().map(|time| (rail.network.clone(), *time)));
    }
    Ok(times)
}
