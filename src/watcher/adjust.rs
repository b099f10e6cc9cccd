//! Open intents follow a threshold that an admin changed.

use std::collections::BTreeMap;
use std::time::Duration;

use confirmd_chain::{Asset, Confirmations};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::clock::Clock;
use crate::settlement::{Event, Intent, NetworkId, look_again};
use crate::store::{Actor, Recording, Required, Result, Store, Transaction};
use crate::webhook::{Endpoints, Waker};

/// How many intents one transaction changes, so that a network's follower never waits long.
const BATCH: u32 = 256;

/// Assets that need confirmations of their own, by network.
pub type Exempt = BTreeMap<NetworkId, Vec<Asset>>;

/// Carries changed thresholds over to the open intents that have no wish of their own. Whatever
/// ends it early, the next look goes on.
#[derive(Clone)]
pub struct Adjuster {
    /// The store.
    pub store: Store,
    /// Who gets which event.
    pub endpoints: Endpoints,
    /// Assets that need confirmations of their own, by network; a reload may change them.
    pub exempt: watch::Receiver<Exempt>,
    /// How long an address is watched after its intent closed.
    pub late_window: Duration,
    /// The time.
    pub clock: Clock,
    /// Woken when there is something to deliver.
    pub courier: Waker,
}

impl std::fmt::Debug for Adjuster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Adjuster").finish_non_exhaustive()
    }
}

impl Adjuster {
    /// Looks once a second until it is stopped.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            if let Err(error) = self.look().await {
                warn!(%error, "a changed threshold waits for the store");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.clock.sleep(Duration::from_secs(1)) => {}
            }
        }
    }

    /// Makes every open intent require what its network's threshold says.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn look(&self) -> Result<()> {
        for (network, threshold) in self.store.new_thresholds().await? {
            self.adjust(&network, threshold).await?;
            info!(%network, %threshold, "open intents follow the threshold");
        }
        Ok(())
    }

    async fn adjust(&self, network: &NetworkId, threshold: Confirmations) -> Result<()> {
        let exempt = self.exempt.borrow().get(network).cloned().unwrap_or_default();
        let required = Required { network, threshold, exempt: &exempt };
        let mut after = String::new();
        loop {
            let mut tx = self.store.begin().await?;
            // Behind the follower's step, or before it; and before an intent that is made by
            // the new threshold.
            tx.lock_network(network).await?;
            if tx.thresholds().await?.get(network) != Some(&threshold) {
                return Ok(());
            }
            let Some((last, paid)) = tx.require(&required, &after, BATCH).await? else {
                tx.threshold_applied(network, threshold).await?;
                return tx.commit().await;
            };
            let mut reported = false;
            for key in &paid {
                reported |= self.settle(&mut tx, key, network).await?;
            }
            tx.commit().await?;
            if reported {
                self.courier.wake();
            }
            after = last;
        }
    }

    /// Settles an intent by what it requires now; answers whether there is anything to deliver.
    async fn settle(&self, tx: &mut Transaction, key: &str, network: &NetworkId) -> Result<bool> {
        let Some((intent, credits)) = tx.lock_intent(key).await? else { return Ok(false) };
        let cursors = tx.cursors().await?;
        let now = self.clock.now();
        let outcome = look_again(intent, credits, &cursors, now);
        let actor = Actor { kind: "threshold".to_owned(), name: network.to_string() };
        let route = |intent: &Intent, event: &Event| self.endpoints.route(intent, event);
        let recording = Recording {
            cursors: &cursors,
            route: &route,
            actor: &actor,
            late_window: self.late_window,
            now,
        };
        tx.record_outcome(&outcome, &recording).await?;
        Ok(!outcome.events.is_empty())
    }
}
