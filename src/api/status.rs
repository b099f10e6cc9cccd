//! The status, built from the store: any instance shows the same.

use std::collections::{BTreeMap, BTreeSet};

use confirmd_chain::{Height, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use super::context::Context;
use super::endpoints::EndpointState;
use super::status_problem::StatusProblem;
use crate::config::Followed;
use crate::settlement::{NetworkId, WalletKey, rfc3339};
use crate::store::{
    BesideStatus, EndpointCounts, FollowerState, FollowerStatus, NetworkRow, OrphanFilter,
    ProviderState, Result, Store,
};

/// A follower writes its status far more often than this; one that did not is gone.
const SILENT_MS: i64 = 120_000;

/// How confirmd is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct StatusAnswer {
    /// Always true: the status could be built.
    success: bool,
    /// confirmd's version.
    version: &'static str,
    /// Since when this instance runs.
    started_at: String,
    /// Which instance answers.
    instance: String,
    /// What somebody should look at, and what to do about it.
    problems: Vec<StatusProblem>,
    /// The store.
    store: StoreAnswer,
    /// The networks that are followed, by id.
    networks: Vec<NetworkAnswer>,
    /// Open intents of every account, by status.
    #[schema(value_type = BTreeMap<String, u64>)]
    intents: BTreeMap<&'static str, u64>,
    /// The orphan inbox.
    orphans: OrphansAnswer,
    /// What is on its way to endpoints.
    webhooks: WebhooksAnswer,
}

/// The store.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StoreAnswer {
    /// `sqlite` or `postgres`.
    kind: &'static str,
    /// The version of its tables.
    schema: usize,
}

impl StoreAnswer {
    pub(super) const fn of(store: &Store) -> Self {
        Self { kind: store.kind().as_str(), schema: store.schema() }
    }
}

/// How a network is followed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NetworkStatus)]
#[serde(rename_all = "camelCase")]
pub(super) struct NetworkAnswer {
    /// Its id.
    pub(super) network: String,
    chain_id: Option<u64>,
    caip2: String,
    /// Which instance follows it; none for a moment while it changes hands.
    instance: Option<String>,
    /// Whether it is followed.
    pub(super) state: FollowerState,
    /// Why it is not.
    reason: Option<String>,
    /// The newest height that its providers name.
    head: Option<u64>,
    /// The newest height that is irreversible.
    finalized: Option<u64>,
    /// The newest height that was scanned.
    scanned: Option<u64>,
    lag_blocks: Option<u64>,
    lag_seconds: f64,
    /// How answers are proven: `receipts`, `logs`, `work` or `links`.
    verify: String,
    /// The confirmations that an intent needs unless it says otherwise.
    threshold: u32,
    /// How many addresses are watched.
    watches: u64,
    /// Its providers. Their URLs are never shown.
    providers: Vec<ProviderState>,
    /// How its mempool is read; left out where it has none, or nobody waits for anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    mempool: Option<MempoolAnswer>,
    #[serde(skip)]
    look_back: Option<BesideStatus>,
    #[serde(skip)]
    since: Option<Timestamp>,
}

/// How a network's mempool is read, beside the blocks.
#[derive(Debug, Serialize, ToSchema)]
struct MempoolAnswer {
    /// Whether it is read.
    state: MempoolState,
    /// Why it is not.
    reason: Option<String>,
    #[serde(skip)]
    since: Timestamp,
}

/// Whether a mempool is read.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
enum MempoolState {
    /// It is.
    Following,
    /// No look succeeds at present; it is tried again for ever.
    Stalled,
}

impl From<BesideStatus> for MempoolAnswer {
    fn from(BesideStatus { reason, since }: BesideStatus) -> Self {
        let state = match reason {
            None => MempoolState::Following,
            Some(_) => MempoolState::Stalled,
        };
        Self { state, reason, since }
    }
}

/// The orphan inbox.
#[derive(Debug, Serialize, ToSchema)]
struct OrphansAnswer {
    /// How many are open.
    open: u64,
}

/// What is on its way to endpoints.
#[derive(Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct WebhooksAnswer {
    waiting: u64,
    in_flight: u64,
    dead: u64,
    /// How long the oldest event has waited.
    oldest_waiting_seconds: i64,
    endpoints: Vec<EndpointAnswer>,
}

/// An endpoint.
#[derive(Debug, Serialize, ToSchema)]
struct EndpointAnswer {
    name: String,
    state: EndpointState,
    waiting: u64,
}

/// The whole status.
pub(super) async fn status(context: &Context) -> Result<StatusAnswer> {
    let networks = networks(context).await?;
    let mut counts = context.store.delivery_counts().await?;
    let configured: BTreeSet<String> = context.endpoints.names().into_iter().collect();
    for name in &configured {
        counts.entry(name.clone()).or_default();
    }
    let mut problems = context.problems.to_vec();
    networks.iter().for_each(|network| network.problems(&mut problems));
    problems.extend(left_out(context).await?);
    for (name, counts) in &counts {
        match configured.contains(name) {
            true => problems.extend(paused_endpoint(name, counts)),
            false => problems.extend(unknown_endpoint(name, counts)),
        }
        problems.extend(dead_deliveries(name, counts));
    }
    let low = context.store.low_lists(super::wallets::LOW).await?;
    problems.extend(low.into_iter().map(|(key, left)| low_list(&key, left)));
    Ok(StatusAnswer {
        success: true,
        version: env!("CARGO_PKG_VERSION"),
        started_at: rfc3339(context.started_at),
        instance: context.instance.to_string(),
        problems,
        store: StoreAnswer::of(&context.store),
        networks,
        intents: context.store.open_intents().await?,
        orphans: OrphansAnswer {
            open: context.store.count_orphans(&OrphanFilter::default()).await?,
        },
        webhooks: webhooks(&counts, context.clock.now()),
    })
}

/// How each network is followed, by id.
pub(super) async fn networks(context: &Context) -> Result<Vec<NetworkAnswer>> {
    let context = context.current().await?;
    let rows = context.store.networks().await?;
    let rows: BTreeMap<NetworkId, NetworkRow> =
        rows.into_iter().map(|row| (row.network.clone(), row)).collect();
    let mut networks = Vec::with_capacity(context.settings.networks.len());
    for followed in &context.settings.networks {
        let id = NetworkId::from(followed.network.id.as_str());
        let watches = context.store.watch_count(&id).await?;
        networks.push(network(followed, rows.get(&id), watches, context.clock.now()));
    }
    Ok(networks)
}

fn network(
    followed: &Followed,
    row: Option<&NetworkRow>,
    watches: u64,
    now: Timestamp,
) -> NetworkAnswer {
    let said = row.and_then(|row| Some((row.status.clone()?, row.updated_at)));
    let status = match said {
        Some((status, at)) if now.0.saturating_sub(at.0) > SILENT_MS => FollowerStatus {
            state: FollowerState::Stalled,
            reason: Some(format!("nobody has followed it since {}", rfc3339(at))),
            since: at,
            ..status
        },
        Some((status, _)) => status,
        None => FollowerStatus { since: now, ..FollowerStatus::default() },
    };
    let FollowerStatus {
        state,
        reason,
        since,
        head,
        finalized,
        lag_ms,
        providers,
        mempool,
        look_back,
        ..
    } = status;
    let scanned = row.and_then(|row| row.cursor.as_ref()).map(|cursor| cursor.height);
    let lag = |head: Height| scanned.map(|scanned| head.0.saturating_sub(scanned.0));
    NetworkAnswer {
        network: followed.network.id.clone(),
        chain_id: followed.network.chain_id,
        caip2: followed.network.caip2.clone(),
        instance: row.and_then(|row| row.instance.clone()),
        state,
        reason,
        head: head.map(|height| height.0),
        finalized: row.and_then(|row| row.finalized).max(finalized).map(|height| height.0),
        scanned: scanned.map(|height| height.0),
        lag_blocks: head.and_then(lag),
        lag_seconds: seconds(lag_ms),
        verify: followed.verified_by().to_owned(),
        threshold: followed.threshold.0,
        watches,
        providers,
        mempool: mempool.map(MempoolAnswer::from),
        look_back,
        since: Some(since).filter(|since| since.0 > 0),
    }
}

#[expect(clippy::float_arithmetic, reason = "for people to look at; no money")]
fn seconds(ms: u64) -> f64 {
    f64::from(u32::try_from(ms).unwrap_or(u32::MAX)) / 1_000.0
}

impl NetworkAnswer {
    fn problems(&self, problems: &mut Vec<StatusProblem>) {
        let reason = self.reason.as_deref().unwrap_or("no reason is known");
        let (code, action) = match self.state {
            FollowerState::Following | FollowerState::CatchingUp => (None, String::new()),
            FollowerState::Stalled => (
                Some("network-stalled"),
                format!(
                    "Payments are not seen at present: {reason}. It is tried again for ever; look \
                     at the providers, or add another one."
                ),
            ),
            FollowerState::Stopped => (
                Some("network-stopped"),
                format!("The network is not followed until an operator acts: {reason}."),
            ),
        };
        let problem = |code: &str, subject: String, action| StatusProblem {
            code: code.to_owned(),
            subject,
            since: self.since,
            action,
        };
        problems.extend(code.map(|code| problem(code, self.network.clone(), action)));
        if let Some(MempoolAnswer { reason: Some(reason), since, .. }) = &self.mempool {
            let action = format!(
                "Payments are seen in blocks only at present, not in the mempool: {reason}. It is \
                 tried again for ever; look at the providers."
            );
            let subject = self.network.clone();
            let since = Some(*since);
            problems.push(StatusProblem { since, ..problem("mempool-stalled", subject, action) });
        }
        if let Some(BesideStatus { reason: Some(reason), since }) = &self.look_back {
            let action = format!(
                "Payments from before their intents were created are not found at present, and \
                 these intents do not expire: {reason}. It is tried again for ever; add a provider \
                 that has older blocks."
            );
            let subject = self.network.clone();
            let since = Some(*since);
            problems.push(StatusProblem { since, ..problem("look-back-stalled", subject, action) });
        }
        for provider in self.providers.iter().filter(|provider| !provider.healthy) {
            let fault = provider.last_fault.as_deref().unwrap_or("it failed a check");
            let action = format!(
                "The provider is put aside for a while: {fault}. If this lasts, ask whoever runs \
                 it, or take another one."
            );
            let subject = format!("{}/{}", self.network, provider.name);
            let since = None;
            problems.push(StatusProblem { since, ..problem("provider-at-fault", subject, action) });
        }
    }
}

/// Networks that nobody follows any more, though somebody waits for payments there.
async fn left_out(context: &Context) -> Result<Vec<StatusProblem>> {
    let mut problems = Vec::new();
    for row in context.store.networks().await? {
        let id = row.network.as_str();
        let is_followed = context.settings.followed(id).is_some() || row.instance.is_some();
        if is_followed || context.store.watch_count(&row.network).await? == 0 {
            continue;
        }
        problems.push(StatusProblem {
            code: "network-unknown".to_owned(),
            subject: id.to_owned(),
            since: None,
            action: format!(
                "Addresses are watched on this network, but it is not configured: payments there \
                 are not seen, and its intents do not expire. Configure it again as \
                 [networks.{id}], and reload."
            ),
        });
    }
    Ok(problems)
}

fn low_list(key: &WalletKey, left: u64) -> StatusProblem {
    let WalletKey { account, id } = key;
    StatusProblem {
        code: "wallet-low".to_owned(),
        subject: format!("{account}/{id}"),
        since: None,
        action: format!(
            "{left} addresses of the imported list are left. POST /v1/wallets/{id}/import adds \
             more; without any, no deposit address can be handed out."
        ),
    }
}

fn paused_endpoint(name: &str, counts: &EndpointCounts) -> Option<StatusProblem> {
    let (since, reason) = counts.paused.as_ref()?;
    Some(StatusProblem {
        code: "endpoint-paused".to_owned(),
        subject: name.to_owned(),
        since: Some(*since),
        action: format!(
            "It asked not to be called ({reason}), so {} deliveries are held. Put it right, then \
             POST /v1/endpoints/{name}/resume.",
            counts.waiting
        ),
    })
}

fn dead_deliveries(name: &str, counts: &EndpointCounts) -> Option<StatusProblem> {
    (counts.dead > 0).then(|| StatusProblem {
        code: "deliveries-dead".to_owned(),
        subject: name.to_owned(),
        since: None,
        action: format!(
            "{} deliveries were given up. GET /v1/deliveries?state=dead&endpoint={name} says why; \
             once it is put right, POST /scanner/webhooks/retry sends them again.",
            counts.dead
        ),
    })
}

/// What nobody sends any more, since its endpoint went out of the configuration.
fn unknown_endpoint(name: &str, counts: &EndpointCounts) -> Option<StatusProblem> {
    let left = counts.waiting + counts.in_flight;
    (left > 0).then(|| StatusProblem {
        code: "endpoint-unknown".to_owned(),
        subject: name.to_owned(),
        since: counts.oldest_waiting,
        action: format!(
            "No endpoint of this name is configured, so {left} deliveries are not sent. Configure \
             it again as [endpoints.{name}] and start confirmd anew, or leave them: their events \
             stay in GET /v1/events."
        ),
    })
}

fn webhooks(counts: &BTreeMap<String, EndpointCounts>, now: Timestamp) -> WebhooksAnswer {
    let mut answer = WebhooksAnswer::default();
    for (name, of) in counts {
        answer.waiting += of.waiting;
        answer.in_flight += of.in_flight;
        answer.dead += of.dead;
        let age_ms = of.oldest_waiting.map_or(0, |oldest| now.0.saturating_sub(oldest.0));
        answer.oldest_waiting_seconds = answer.oldest_waiting_seconds.max(age_ms / 1_000);
        let (name, state) = (name.clone(), EndpointState::of(of));
        answer.endpoints.push(EndpointAnswer { name, state, waiting: of.waiting });
    }
    answer
}
