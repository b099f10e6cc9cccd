//! Reading the registry again, all or nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use confirmd_chain::Chain;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::networks::Networks;
use crate::api;
use crate::config::{Changes, ConfigError, Followed, Problem, Settings};
use crate::families;
use crate::registry::Network;
use crate::reload::{Asker, ReloadError, Reloaded};
use crate::settlement::NetworkId;
use crate::store::{Awaited, Store, Transaction};
use crate::watcher::Exempt;

/// Reloads when it is asked to, one after the other.
pub(super) struct Reloader {
    pub(super) store: Store,
    pub(super) networks: Networks,
    /// What the API serves by.
    pub(super) live: watch::Sender<api::Context>,
    /// Assets to which no threshold applies.
    pub(super) exempt: watch::Sender<Exempt>,
    pub(super) asked: mpsc::Receiver<Asker>,
}

/// The networks whose follower starts anew, with what reads them from then on.
type Built = Vec<(Followed, Arc<dyn Chain>)>;

impl Reloader {
    /// Reloads when it is asked to, until it is stopped.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        loop {
            let asker = tokio::select! {
                () = stop.cancelled() => return,
                asker = self.asked.recv() => asker,
            };
            let Some(asker) = asker else { return };
            let outcome = self.reload().await;
            match &outcome {
                Ok(Reloaded { changes: Changes { added, changed, removed }, .. }) => {
                    let (added, changed, removed) = (added.len(), changed.len(), removed.len());
                    info!(added, changed, removed, "the registry was reloaded");
                }
                Err(error) => warn!(%error, "nothing was reloaded"),
            }
            // Whoever asked may have gone; it is done all the same.
            let _ = asker.send(outcome);
        }
    }

    /// Builds everything that is new in full, makes sure that nothing is taken away that is
    /// needed, and only then changes anything.
    async fn reload(&mut self) -> Result<Reloaded, ReloadError> {
        let before = self.live.borrow().settings.clone();
        let read = {
            let before = before.clone();
            tokio::task::spawn_blocking(move || before.read_again()).await
        };
        let settings = read.map_err(|_| ReloadError::Stopping)??;
        let changes = Changes::between(&before, &settings);
        let built = build(&before, &settings)?;
        // Its locks keep intents from being created on what goes, until it is gone.
        let mut transaction = self.store.begin().await?;
        permit(&mut transaction, &before, &settings).await?;
        let warnings = settings.warnings.clone();
        self.swap(&before, settings, built);
        drop(transaction);
        Ok(Reloaded { changes, warnings })
    }

    /// Puts the new in the place of the old. Followers are told to stop before anybody can create
    /// an intent that only their successors know how to look for.
    fn swap(&mut self, before: &Settings, settings: Settings, built: Built) {
        for old in &before.networks {
            if settings.followed(&old.network.id).is_none() {
                self.networks.leave(&NetworkId::from(old.network.id.as_str()));
            }
        }
        for (followed, chain) in built {
            self.networks.follow(&followed, chain);
        }
        self.exempt.send_replace(settings.own_confirmations());
        self.live.send_modify(|context| {
            context.settings = Arc::new(settings);
            context.chains = Arc::new(self.networks.chains());
            context.wakes = Arc::new(self.networks.wakes());
            std::mem::take(&mut context.replaced).cancel();
        });
    }
}

/// Makes what reads each network that is followed in another way than before, or was not.
fn build(before: &Settings, settings: &Settings) -> Result<Built, ReloadError> {
    let mut built = Vec::new();
    let mut problems = Vec::new();
    for followed in &settings.networks {
        let id = &followed.network.id;
        if before.followed(id).is_some_and(|old| old.is_same_as(followed)) {
            continue;
        }
        match families::build(followed) {
            Ok(chain) => built.push((followed.clone(), chain)),
            Err(error) => problems.push(settings.problem_of(id, error.to_string())),
        }
    }
    if problems.is_empty() { Ok(built) } else { Err(ConfigError { problems }.into()) }
}

/// Refuses to take away what is still needed. Locks the networks that lose something.
async fn permit(
    transaction: &mut Transaction,
    before: &Settings,
    settings: &Settings,
) -> Result<(), ReloadError> {
    let after: BTreeMap<&str, &Arc<Network>> =
        settings.registry.networks().map(|network| (network.id.as_str(), network)).collect();
    let mut problems = Vec::new();
    for old in before.registry.networks() {
        let id = NetworkId::from(old.id.as_str());
        if let Some(new) = after.get(old.id.as_str())
            && !new.is_same_chain_as(old)
        {
            transaction.lock_network(&id).await?;
            if transaction.is_known(&id).await? {
                problems.push(another_chain(old, new));
            }
        }
        let Some(followed) = before.followed(&old.id) else { continue };
        let Some(new) = settings.followed(&old.id) else {
            transaction.lock_network(&id).await?;
            if transaction.is_waited_for(&id, Awaited::Anything).await? {
                problems.push(before.problem_of(&old.id, LEFT_OUT.to_owned()));
            }
            continue;
        };
        problems.extend(kept_facts(transaction, followed, new).await?);
    }
    if problems.is_empty() { Ok(()) } else { Err(ReloadError::InUse(ConfigError { problems })) }
}

const LEFT_OUT: &str = "is not followed any more, though intents wait for payments there, or are \
                        watched for late ones; expected it to stay until they are over";

fn another_chain(old: &Network, new: &Network) -> Problem {
    new.origin.problem_at(
        "caip2",
        format!(
            "expected `{}` of the family `{}`, which was followed under this id; a chain that is \
             another one needs an id of its own",
            old.caip2, old.family
        ),
    )
}

/// Assets that go, or whose amounts would be read in another way, though intents wait for them; the
/// same for fee proxies.
async fn kept_facts(
    transaction: &mut Transaction,
    before: &Followed,
    after: &Followed,
) -> Result<Vec<Problem>, ReloadError> {
    let id = NetworkId::from(before.network.id.as_str());
    let mut problems = Vec::new();
    for old in &before.network.assets {
        let new = after.network.asset_info(&old.asset);
        if new.is_some_and(|new| new.decimals == old.decimals) {
            continue;
        }
        transaction.lock_network(&id).await?;
        if transaction.is_waited_for(&id, Awaited::Asset(&old.asset)).await? {
            let (symbol, asset, decimals) = (&old.symbol, &old.asset, old.decimals);
            let message = format!(
                "expected {symbol} ({asset}) with {decimals} decimals: intents wait for it, or are \
                 watched for late payments of it"
            );
            problems.push(after.network.origin.problem_at("tokens", message));
        }
    }
    if before.network.fee_proxies != after.network.fee_proxies {
        transaction.lock_network(&id).await?;
        if transaction.is_waited_for(&id, Awaited::References).await? {
            let message = "expected them to stay as they are: intents wait for payments through \
                           them, or are watched for late ones";
            problems.push(after.network.origin.problem_at("fee_proxies", message));
        }
    }
    Ok(problems)
}
