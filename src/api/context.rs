//! What the routes need, and how a reload puts another in its place.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::FromRef;
use confirmd_chain::{Chain, Confirmations, Timestamp};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::looks::Looks;
use super::status_problem::StatusProblem;
use crate::clock::Clock;
use crate::config::{ApiKey, Followed, Settings};
use crate::reload::Reloads;
use crate::settlement::NetworkId;
use crate::store::{Store, StoreError};
use crate::webhook::{Endpoints, Trials, Waker};

/// What the routes need. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    /// The store.
    pub store: Store,
    /// The time.
    pub clock: Clock,
    /// The configuration and the registry.
    pub settings: Arc<Settings>,
    /// Where events go.
    pub endpoints: Endpoints,
    /// The networks that are followed: reads their addresses and looks at their providers.
    pub chains: Arc<BTreeMap<NetworkId, Arc<dyn Chain>>>,
    /// Wakes a network's follower when it has a new watch.
    pub wakes: Arc<BTreeMap<NetworkId, Arc<Notify>>>,
    /// Has the registry read again.
    pub reloads: Reloads,
    /// Cancelled once a reload has put another context in the place of this one.
    pub replaced: CancellationToken,
    /// When whoever waits for an intent last had its networks looked at.
    pub looks: Looks,
    /// Wakes the courier when something is due.
    pub courier: Waker,
    /// Tries endpoints out.
    pub trials: Trials,
    /// The metrics.
    pub metrics: PrometheusHandle,
    /// Since when this instance runs.
    pub started_at: Timestamp,
    /// This instance's name.
    pub instance: Arc<str>,
    /// What is known since the start that somebody should look at.
    pub problems: Arc<[StatusProblem]>,
}

/// The context that stands. A reload puts another in its place; a request goes on with the one that
/// it began with.
#[derive(Clone, Debug)]
pub struct Live(watch::Receiver<Context>);

impl From<watch::Receiver<Context>> for Live {
    fn from(receiver: watch::Receiver<Context>) -> Self {
        Self(receiver)
    }
}

/// One that stays.
impl From<Context> for Live {
    fn from(context: Context) -> Self {
        Self(watch::channel(context).1)
    }
}

impl FromRef<Live> for Context {
    fn from_ref(live: &Live) -> Self {
        live.0.borrow().clone()
    }
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("instance", &self.instance).finish_non_exhaustive()
    }
}

impl Context {
    pub(super) fn keys(&self) -> &[ApiKey] {
        &self.settings.config.keys
    }

    /// A network that is followed, by its id, CAIP-2 id or EVM chain id.
    pub(super) fn followed(&self, name: &str) -> Option<&Followed> {
        let id = &self.settings.registry.network(name)?.id;
        self.settings.networks.iter().find(|followed| followed.network.id == *id)
    }

    /// The same with the thresholds that stand in the store now: any instance may have set them.
    pub(super) async fn current(&self) -> Result<Self, StoreError> {
        let set = self.store.thresholds().await?;
        if set.is_empty() {
            return Ok(self.clone());
        }
        let settings = Arc::new(self.settings.with_thresholds(&set));
        Ok(Self { settings, ..self.clone() })
    }

    /// Whether a reload or an admin's thresholds have overtaken it.
    pub(super) fn is_outdated(&self, set: &BTreeMap<NetworkId, Confirmations>) -> bool {
        self.replaced.is_cancelled() || !self.settings.has_thresholds(set)
    }

    pub(super) fn wake(&self, network: &NetworkId) {
        if let Some(bell) = self.wakes.get(network) {
            bell.notify_one();
        }
    }
}
