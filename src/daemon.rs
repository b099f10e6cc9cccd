//! Everything wired together.

mod networks;
mod reload;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use self::networks::Networks;
use self::reload::Reloader;
use crate::api;
use crate::clock::Clock;
use crate::config::{Config, Settings};
use crate::families::{self, FamilyError};
use crate::lasting::lasting;
use crate::reload::{ReloadError, Reloaded, Reloads};
use crate::store::{Store, StoreError};
use crate::telemetry;
use crate::watcher::{Adjuster, Exempt, Expirer, Housekeeper, LookAhead, Sharing};
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
    reloads: Reloads,
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

        let config = Arc::new(settings.config.clone());
        let endpoints =
            Endpoints::new(config.endpoints.clone(), config.defaults.ops_endpoint.clone());
        let courier = Courier::new(store.clone(), endpoints.clone(), clock.clone())?;
        let parts = Parts {
            instance: store.instance().to_owned(),
            config,
            store: store.clone(),
            endpoints,
            clock,
            courier: courier.waker(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        let lease = parts.config.store.lease;
        let sharing = Sharing::new(store.clone(), parts.instance.clone(), lease);
        let mut networks = Networks::new(parts.clone(), sharing.clone());
        for network in &settings.networks {
            networks.follow(network, families::build(network)?);
        }
        let Parts { stop, tasks, .. } = parts.clone();
        parts.spawn("sharing", move |stop| sharing.clone().run(stop));
        let exempt = watch::Sender::new(settings.own_confirmations());
        parts.keep_time(exempt.subscribe());
        tasks.spawn(courier.run(stop.clone(), DELIVERIES_END_WITHIN));

        let (reloads, asked) = Reloads::channel();
        let trials = Trials::new(parts.clock.clone())?;
        let context = parts.clone().api(settings, &networks, trials, reloads.clone());
        tasks.spawn(telemetry::sum_up(context.metrics.clone(), stop.clone()));
        let live = watch::Sender::new(context);
        parts.look_ahead(live.subscribe());
        let router = api::router(live.subscribe());
        let reloader = Reloader { store: store.clone(), networks, live, exempt, asked };
        tasks.spawn(reloader.run(stop.clone()));
        let shutdown = stop.clone().cancelled_owned();
        tasks.spawn(async move {
            if let Err(error) = api::serve(listener, router, shutdown).await {
                error!(%error, "the API ended");
            }
        });
        info!(%address, store = store.kind().as_str(), "serving");
        Ok(Self { address, store, reloads, stop, tasks })
    }

    /// Where the API is served.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Reads the registry and the networks' configuration again, all or nothing.
    ///
    /// # Errors
    /// When nothing was changed, with the reason.
    pub async fn reload(&self) -> Result<Reloaded, ReloadError> {
        self.reloads.ask().await
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
    config: Arc<Config>,
    store: Store,
    endpoints: Endpoints,
    clock: Clock,
    courier: Waker,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Parts {
    /// Runs a part that nobody waits for.
    fn spawn<F>(
        &self,
        part: &'static str,
        begin: impl FnMut(CancellationToken) -> F + Send + 'static,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tasks.spawn(lasting(part, self.stop.clone(), begin));
    }

    fn look_ahead(&self, live: watch::Receiver<api::Context>) {
        let look_ahead = LookAhead {
            store: self.store.clone(),
            followed: Arc::new(move |network| {
                let context = live.borrow();
                let chain = context.chains.get(network)?.clone();
                Some((chain, context.wakes.get(network)?.clone()))
            }),
            look_back: self.config.defaults.look_back,
            clock: self.clock.clone(),
        };
        self.spawn("look-ahead", move |stop| look_ahead.clone().run(stop));
    }

    fn keep_time(&self, exempt: watch::Receiver<Exempt>) {
        let expirer = Expirer {
            store: self.store.clone(),
            endpoints: self.endpoints.clone(),
            late_window: self.config.defaults.late_window,
            clock: self.clock.clone(),
            courier: self.courier.clone(),
        };
        self.spawn("expirer", move |stop| expirer.clone().run(stop));
        let adjuster = Adjuster {
            store: self.store.clone(),
            endpoints: self.endpoints.clone(),
            exempt,
            late_window: self.config.defaults.late_window,
            clock: self.clock.clone(),
            courier: self.courier.clone(),
        };
        self.spawn("adjuster", move |stop| adjuster.clone().run(stop));
        let housekeeper = Housekeeper {
            store: self.store.clone(),
            clock: self.clock.clone(),
            deliveries: self.config.retention.deliveries,
            events: self.config.retention.events,
            ledger: self.config.retention.ledger,
        };
        self.spawn("housekeeper", move |stop| housekeeper.clone().run(stop));
    }

    fn api(
        self,
        settings: Settings,
        networks: &Networks,
        trials: Trials,
        reloads: Reloads,
    ) -> api::Context {
        api::Context {
            started_at: self.clock.now(),
            store: self.store,
            clock: self.clock,
            settings: Arc::new(settings),
            endpoints: self.endpoints,
            chains: Arc::new(networks.chains()),
            wakes: Arc::new(networks.wakes()),
            looks: api::Looks::default(),
            reloads,
            replaced: CancellationToken::new(),
            courier: self.courier,
            trials,
            metrics: telemetry::metrics(),
            instance: self.instance.into(),
            problems: Arc::default(),
        }
    }
}
