//! The networks that are followed: each by a task that can be replaced.

use std::collections::BTreeMap;
use std::sync::Arc;

use confirmd_chain::Chain;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::Parts;
use crate::config;
use crate::lasting::lasting;
use crate::settlement::NetworkId;
use crate::watcher::{Committer, DepositPolicy, Followed, Follower, Sharing};

/// The networks that are followed.
pub(super) struct Networks {
    parts: Parts,
    sharing: Sharing,
    running: BTreeMap<NetworkId, Running>,
}

/// A network that is followed.
struct Running {
    chain: Arc<dyn Chain>,
    new_watches: Arc<Notify>,
    stop: CancellationToken,
    follower: JoinHandle<()>,
}

impl Networks {
    /// None yet.
    pub(super) const fn new(parts: Parts, sharing: Sharing) -> Self {
        Self { parts, sharing, running: BTreeMap::new() }
    }

    /// Follows a network. A follower that it has already ends first; the new one goes on from the
    /// cursor, and the lease stays where it is.
    pub(super) fn follow(&mut self, network: &config::Followed, chain: Arc<dyn Chain>) {
        let id = NetworkId::from(network.network.id.as_str());
        let before = self.running.remove(&id);
        let (new_watches, before) = match before {
            Some(running) => {
                running.stop.cancel();
                (running.new_watches, Some(running.follower))
            }
            None => (Arc::default(), None),
        };
        let stop = self.parts.stop.child_token();
        let looked = probe(id.clone(), chain.clone());
        self.parts.tasks.spawn(stop.clone().run_until_cancelled_owned(looked));
        let follower = self.follower(network, chain.clone(), Arc::clone(&new_watches));
        let part = format!("follower of {id}");
        let run = lasting(part, stop.clone(), move |stop| follower().run(stop));
        let follower = self.parts.tasks.spawn(async move {
            if let Some(before) = before {
                // Its panic is its own; this one starts from what was committed.
                let _ = before.await;
            }
            run.await;
        });
        self.running.insert(id, Running { chain, new_watches, stop, follower });
    }

    /// Follows a network no more.
    pub(super) fn leave(&mut self, network: &NetworkId) {
        if let Some(running) = self.running.remove(network) {
            running.stop.cancel();
            self.sharing.leave(network);
        }
    }

    /// What reads each network.
    pub(super) fn chains(&self) -> BTreeMap<NetworkId, Arc<dyn Chain>> {
        self.running.iter().map(|(id, running)| (id.clone(), running.chain.clone())).collect()
    }

    /// What wakes each network's follower when it has a new watch.
    pub(super) fn wakes(&self) -> BTreeMap<NetworkId, Arc<Notify>> {
        self.running.iter().map(|(id, running)| (id.clone(), running.new_watches.clone())).collect()
    }

    /// Makes a follower of a network, each time from what is stored.
    fn follower(
        &self,
        network: &config::Followed,
        chain: Arc<dyn Chain>,
        new_watches: Arc<Notify>,
    ) -> impl Fn() -> Follower + Send + use<> {
        let id = NetworkId::from(network.network.id.as_str());
        let infos = network.assets.iter().map(|asset| &asset.info);
        let assets: BTreeMap<_, _> =
            infos.map(|info| (info.asset.clone(), (info.symbol.clone(), info.decimals))).collect();
        let grant = self.sharing.grant(&id);
        let committer = Committer {
            store: self.parts.store.clone(),
            network: id,
            assets: Arc::new(assets),
            endpoints: self.parts.endpoints.clone(),
            deposits: deposit_policy(network),
            late_window: self.parts.config.defaults.late_window,
            clock: self.parts.clock.clone(),
            courier: self.parts.courier.clone(),
        };
        let followed = Followed {
            chain,
            poll_interval: network.poll_interval,
            mempool_interval: network.mempool_interval,
            start: network.start,
            threshold: network.threshold,
            verify: network.verified_by(),
            new_watches,
        };
        let instance = self.parts.instance.clone();
        move || Follower::new(followed.clone(), committer.clone(), instance.clone(), grant.clone())
    }
}

/// Looks at every provider once: what is wrong with one is said at the start, not when it is asked
/// for something.
async fn probe(network: NetworkId, chain: Arc<dyn Chain>) {
    for report in chain.probe().await {
        if let Some(problem) = report.problem {
            warn!(%network, provider = %report.provider, %problem, "the provider has a problem");
        }
    }
}

fn deposit_policy(network: &config::Followed) -> DepositPolicy {
    let own = network.assets.iter().filter_map(|asset| {
        asset.confirmations.map(|confirmations| (asset.info.asset.clone(), confirmations))
    });
    let minimums = network.assets.iter().map(|asset| (asset.info.asset.clone(), asset.minimum));
    DepositPolicy {
        threshold: network.threshold,
        floor: network.network.floor,
        own: own.collect(),
        minimums: minimums.collect(),
    }
}
