//! Everything wired together.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use confirmd_chain::Chain;
use secrecy::ExposeSecret;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use crate::api;
use crate::clock::Clock;
use crate::config::{self, Settings};
use crate::families::{self, FamilyError};
use crate::settlement::NetworkId;
use crate::store::{Store, StoreError};
use crate::telemetry;
use crate::watcher::{
    Adjuster, Committer, Expirer, Followed, Follower, Grant, Housekeeper, Sharing,
};
use crate::webhook::{Courier, CourierError, Endpoints, Trials, Waker};

/// How long a stop may take; what is not done by then is done at the next start.
const STOP_WITHIN: Duration = Duration::from_secs(9);
/// How much of that deliveries under way may take.
const DELIVERIES_END_WITHIN: Duration = Duration::from_secs(6);

/// A running daemon.
#[derive(Debug)]
pub struct Daemon {
    address: SocketAddr,
    store: Store,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// Why the daemon does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store cannot be opened.
    #[error("the store: {0}")]
    Store(#[from] StoreError),
    /// A network cannot be followed as configured.
    #[error(transparent)]
    Family(#[from] FamilyError),
    /// Webhooks cannot be sent.
    #[error(transparent)]
    Courier(#[from] CourierError),
    /// The API's address cannot be had.
    #[error("server.listen = \"{address}\": {error}; choose another address or port")]
    Listen {
        /// As configured.
        address: SocketAddr,
        /// What the system said.
        error: std::io::Error,
    },
}

impl Daemon {
    /// Opens the store, follows the networks, delivers, and serves the API.
    ///
    /// # Errors
    /// When the store, a network or the address cannot be had as configured.
    pub async fn start(settings: Settings, clock: Clock) -> Result<Self, StartError> {
        let store = Store::open(settings.config.store.url.expose_secret()).await?;
        let listen = settings.config.server.listen;
        let failed = |error| StartError::Listen { address: listen, error };
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;

        let config = &settings.config;
        let endpoints =
            Endpoints::new(config.endpoints.clone(), config.defaults.ops_endpoint.clone());
        let courier = Courier::new(store.clone(), endpoints.clone(), clock.clone())?;
        let parts = Parts {
            instance: store.instance().to_owned(),
            settings: Arc::new(settings),
            store: store.clone(),
            endpoints,
            clock,
            courier: courier.waker(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        let lease = parts.settings.config.store.lease;
        let mut sharing = Sharing::new(store.clone(), parts.instance.clone(), lease);
        let mut chains = BTreeMap::new();
        let mut wakes = BTreeMap::new();
        for network in &parts.settings.networks {
            let id = NetworkId::from(network.network.id.as_str());
            let chain = families::build(network)?;
            let new_watches = Arc::new(Notify::new());
            let grant = sharing.network(id.clone());
            parts.follow(network, chain.clone(), new_watches.clone(), grant);
            chains.insert(id.clone(), chain);
            wakes.insert(id, new_watches);
        }
        parts.tasks.spawn(sharing.run(parts.stop.clone()));
        parts.keep_time();
        let Parts { stop, tasks, .. } = parts.clone();

        tasks.spawn(courier.run(stop.clone(), DELIVERIES_END_WITHIN));
        let trials = Trials::new(parts.clock.clone())?;
        let router = api::router(parts.api(chains, wakes, trials));
        let shutdown = stop.clone().cancelled_owned();
        tasks.spawn(async move {
            if let Err(error) = api::serve(listener, router, shutdown).await {
                error!(%error, "the API ended");
            }
        });
        info!(%address, store = store.kind().as_str(), "serving");
        Ok(Self { address, store, stop, tasks })
    }

    /// Where the API is served.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops: no new work, what is under way ends, within ten seconds.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(STOP_WITHIN, self.tasks.wait()).await.is_err() {
            warn!("some work did not end in time; it is taken up again at the next start");
        }
        self.store.close().await;
        info!("stopped");
    }
}

/// What the parts of the daemon share.
#[derive(Clone)]
struct Parts {
    instance: String,
    settings: Arc<Settings>,
    store: Store,
    endpoints: Endpoints,
    clock: Clock,
    courier: Waker,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Parts {
    fn follow(
        &self,
        network: &config::Followed,
        chain: Arc<dyn Chain>,
        new_watches: Arc<Notify>,
        grant: Grant,
    ) {
        let infos = network.assets.iter().map(|asset| &asset.info);
        let assets: BTreeMap<_, _> =
            infos.map(|info| (info.asset.clone(), (info.symbol.clone(), info.decimals))).collect();
        let committer = Committer {
            store: self.store.clone(),
            network: network.network.id.as_str().into(),
            assets: Arc::new(assets),
            endpoints: self.endpoints.clone(),
            late_window: self.settings.config.defaults.late_window,
            clock: self.clock.clone(),
            courier: self.courier.clone(),
        };
        let followed = Followed {
            chain,
            poll_interval: network.poll_interval,
            start: network.start,
            threshold: network.threshold,
            verify: network.verify.as_str(),
            new_watches,
        };
        let follower = Follower::new(followed, committer, self.instance.clone(), grant);
        self.tasks.spawn(follower.run(self.stop.clone()));
    }

    fn keep_time(&self) {
        let expirer = Expirer {
            store: self.store.clone(),
            endpoints: self.endpoints.clone(),
            late_window: self.settings.config.defaults.late_window,
            clock: self.clock.clone(),
            courier: self.courier.clone(),
        };
        self.tasks.spawn(expirer.run(self.stop.clone()));
        let adjuster = Adjuster {
            store: self.store.clone(),
            endpoints: self.endpoints.clone(),
            exempt: Arc::new(self.settings.own_confirmations()),
            late_window: self.settings.config.defaults.late_window,
            clock: self.clock.clone(),
            courier: self.courier.clone(),
        };
        self.tasks.spawn(adjuster.run(self.stop.clone()));
        let housekeeper = Housekeeper {
            store: self.store.clone(),
            clock: self.clock.clone(),
            deliveries: self.settings.config.retention.deliveries,
            events: self.settings.config.retention.events,
            ledger: self.settings.config.retention.ledger,
        };
        self.tasks.spawn(housekeeper.run(self.stop.clone()));
    }

    fn api(
        self,
        chains: BTreeMap<NetworkId, Arc<dyn Chain>>,
        wakes: BTreeMap<NetworkId, Arc<Notify>>,
        trials: Trials,
    ) -> api::Context {
        api::Context {
            started_at: self.clock.now(),
            store: self.store,
            clock: self.clock,
            settings: self.settings,
            endpoints: self.endpoints,
            chains: Arc::new(chains),
            wakes: Arc::new(wakes),
            courier: self.courier,
            trials,
            metrics: telemetry::metrics(),
            instance: self.instance.into(),
            problems: Arc::default(),
        }
    }
}
