//! Which networks this instance follows, where several share one database.
//!
//! Each instance says a few times per lease that it lives, and renews its leases with that. What
//! nobody has is taken by whoever follows the fewest networks; whoever follows two more than
//! another gives one up. So no instance needs to know how many there are meant to be, a network
//! that only some are configured for is shared among those, and nobody passes one back and forth.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::settlement::NetworkId;
use crate::store::{Leases, Result, Store};

/// How often a lease is renewed while it lasts.
const RENEWED_PER_LEASE: u32 = 3;
/// The least time between two looks at the leases.
const LEAST_PAUSE: Duration = Duration::from_millis(100);
/// Between two tries while the store fails.
const FAILED_PAUSE: Duration = Duration::from_millis(500);

/// Keeps this instance's leases. Its waits are the machine's own: leases run by the database's
/// clock, which no test moves.
#[derive(Clone, Debug)]
pub struct Sharing {
    store: Store,
    instance: String,
    lease: Duration,
    grants: Arc<Mutex<BTreeMap<NetworkId, watch::Sender<bool>>>>,
    /// Woken when the networks are others.
    changed: Arc<Notify>,
}

/// Whether a network is this instance's to follow.
#[derive(Clone, Debug)]
pub struct Grant(watch::Receiver<bool>);

impl Grant {
    /// Whether it is.
    pub(super) fn is_given(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns once it is.
    pub(super) async fn given(&mut self) {
        // Without a sender it never will be: the daemon stops.
        if self.0.wait_for(|given| *given).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Returns once it is not.
    pub(super) async fn withdrawn(&self) {
        let _ = self.0.clone().wait_for(|given| !given).await;
    }
}

impl Sharing {
    /// For the instance of this name; it is gone when it was not heard of for a `lease`.
    #[must_use]
    pub fn new(store: Store, instance: String, lease: Duration) -> Self {
        Self { store, instance, lease, grants: Arc::default(), changed: Arc::default() }
    }

    /// The grant of a network that this instance can follow from now on, if it could not before.
    #[must_use]
    pub fn grant(&self, network: &NetworkId) -> Grant {
        self.changed.notify_one();
        let mut grants = self.grants();
        Grant(
            grants.entry(network.clone()).or_insert_with(|| watch::Sender::new(false)).subscribe(),
        )
    }

    /// Takes back a network that this instance can follow no more; its lease is given up.
    pub fn leave(&self, network: &NetworkId) {
        self.grants().remove(network);
        self.changed.notify_one();
    }

    fn grants(&self) -> MutexGuard<'_, BTreeMap<NetworkId, watch::Sender<bool>>> {
        self.grants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps leases until it is stopped, and gives them back then.
    pub async fn run(self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let pause = match self.look().await {
                Ok(pause) => pause,
                Err(error) => {
                    warn!(%error, "leases wait for the store");
                    FAILED_PAUSE
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.changed.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        if let Err(error) = self.store.give_up_leases(&self.instance).await {
            warn!(%error, "leases are not given back; they run out");
        }
    }

    /// Renews, takes and gives up leases. Answers how long nothing is to be done.
    async fn look(&self) -> Result<Duration> {
        let networks: BTreeSet<NetworkId> = self.grants().keys().cloned().collect();
        let leases = self.store.renew_leases(&self.instance, &networks, self.lease).await?;
        let mut shares = Shares::new(&self.instance, &leases);
        for network in shares.ours_but_not(&networks) {
            self.store.give_up_lease(&network, &self.instance).await?;
            shares.gave_up(&network);
        }
        for network in &networks {
            if shares.is_ours_to_take(network)
                && self.store.take_lease(network, &self.instance, self.lease).await?
            {
                shares.took(network);
            }
        }
        if let Some(network) = shares.one_too_many() {
            info!(%network, "given up to an instance that follows fewer");
            self.store.give_up_lease(&network, &self.instance).await?;
            shares.gave_up(&network);
        }
        for (network, grant) in &*self.grants() {
            let ours = shares.is_ours(network);
            grant.send_if_modified(|given| std::mem::replace(given, ours) != ours);
        }
        let others = leases.held.values().filter(|lease| lease.instance != self.instance);
        let runs_out = others.map(|lease| lease.remaining).min().unwrap_or(self.lease);
        Ok(runs_out.min(self.lease / RENEWED_PER_LEASE).max(LEAST_PAUSE))
    }
}

/// The leases as one instance sees them.
struct Shares<'a> {
    us: &'a str,
    /// The living instances: what each can follow, and what it does.
    able: &'a BTreeMap<String, BTreeSet<NetworkId>>,
    held: BTreeMap<NetworkId, &'a str>,
}

impl<'a> Shares<'a> {
    fn new(us: &'a str, leases: &'a Leases) -> Self {
        let held = leases.held.iter();
        let held = held.map(|(network, lease)| (network.clone(), lease.instance.as_str()));
        Self { us, able: &leases.instances, held: held.collect() }
    }

    fn is_ours(&self, network: &NetworkId) -> bool {
        self.held.get(network) == Some(&self.us)
    }

    /// What this instance has and can follow no more.
    fn ours_but_not(&self, networks: &BTreeSet<NetworkId>) -> Vec<NetworkId> {
        let ours = self.held.keys().filter(|network| self.is_ours(network));
        ours.filter(|network| !networks.contains(*network)).cloned().collect()
    }

    fn took(&mut self, network: &NetworkId) {
        self.held.insert(network.clone(), self.us);
    }

    fn gave_up(&mut self, network: &NetworkId) {
        self.held.remove(network);
    }

    fn load(&self, instance: &str) -> usize {
        self.held.values().filter(|holder| **holder == instance).count()
    }

    /// How many the least loaded other instance follows that could follow this network.
    fn least_other(&self, network: &NetworkId) -> Option<usize> {
        let others = self.able.iter().filter(|(instance, _)| *instance != self.us);
        let able = others.filter(|(_, networks)| networks.contains(network));
        able.map(|(instance, _)| self.load(instance)).min()
    }

    /// Nobody has it, and nobody who could have it follows fewer.
    fn is_ours_to_take(&self, network: &NetworkId) -> bool {
        let load = self.load(self.us);
        !self.held.contains_key(network)
            && self.least_other(network).is_none_or(|least| load <= least)
    }

    /// One that an instance could have which would still not follow more than this one.
    fn one_too_many(&self) -> Option<NetworkId> {
        let load = self.load(self.us);
        let ours = self.held.keys().rev().filter(|network| self.is_ours(network));
        let mut excess =
            ours.filter(|network| self.least_other(network).is_some_and(|least| least + 2 <= load));
        excess.next().cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Lease;

    /// What `a` does, given who can follow what and who follows what: `instance:networks`, a
    /// letter each.
    fn plan(able: &str, held: &str) -> (String, Option<String>) {
        let parts = |text: &str| -> Vec<(String, Vec<NetworkId>)> {
            let parts = text.split_whitespace().filter_map(|part| part.split_once(':'));
            parts
                .map(|(who, what)| {
                    let ids = what.chars().map(|id| id.to_string().as_str().into());
                    (who.to_owned(), ids.collect())
                })
                .collect()
        };
        let lease =
            |instance: &str| Lease { instance: instance.to_owned(), remaining: Duration::ZERO };
        let held = parts(held).into_iter().flat_map(|(who, what)| {
            what.into_iter().map(move |network| (network, lease(&who))).collect::<Vec<_>>()
        });
        let instances =
            parts(able).into_iter().map(|(who, what)| (who, what.into_iter().collect()));
        let leases = Leases { instances: instances.collect(), held: held.collect() };
        let mut shares = Shares::new("a", &leases);
        let mut taken = String::new();
        for network in &leases.instances["a"] {
            if shares.is_ours_to_take(network) {
                taken.push_str(network.as_str());
                shares.took(network);
            }
        }
        (taken, shares.one_too_many().map(|network| network.to_string()))
    }

    #[test]
    fn networks_are_shared_fairly_and_without_passing_them_back_and_forth() {
        for (story, able, held, take, give_up) in [
            ("alone, it takes all", "a:xyz", "", "xyz", None),
            ("what a dead one's lease covers is not free", "a:xyz", "dead:x", "yz", None),
            ("beside another it takes a fair part", "a:xyz b:xyz", "", "x", None),
            ("the least loaded takes what is free", "a:xyz b:xyz", "b:xy", "z", None),
            ("the more loaded leaves it", "a:xyz b:xyz", "a:xy", "", Some("y")),
            ("one more is no reason to give up", "a:xyz b:xyz", "a:xy b:z", "", None),
            ("two more is", "a:wxyz b:wxyz", "a:xyz b:w", "", Some("z")),
            ("only one who can follow it counts", "a:xyz b:x", "a:yz b:x", "", None),
            (
                "of three, the one without any gets one",
                "a:xyz b:xyz c:xyz",
                "a:xy b:z",
                "",
                Some("y"),
            ),
            ("what no other can follow is taken at any load", "a:wxyz b:x", "a:wy b:x", "z", None),
        ] {
            let (taken, excess) = plan(able, held);
            assert_eq!((taken.as_str(), excess.as_deref()), (take, give_up), "{story}");
        }
    }
}
