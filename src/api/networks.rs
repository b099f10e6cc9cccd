//! Networks: what can be paid on, and a live look at who serves it.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use confirmd_chain::{Asset, ContractProbe, ProbeReport};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::{Admin, Reader};
use super::context::{Context, Live};
use super::fields::ActorBody;
use super::input::{OptionalBody, Parameters, Path, read_actor};
use super::page::{Page, Paging};
use super::problem::{FieldError, Problem};
use crate::config::{Followed, FollowedAsset, NetworkChange};
use crate::registry::Network;
use crate::reload::Reloaded;
use crate::settlement::NetworkId;

/// All providers are asked at once, each with its own deadlines below this one.
const PROBE_DEADLINE: Duration = Duration::from_secs(25);

pub(super) fn routes() -> OpenApiRouter<Live> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(probe)).routes(routes!(reload))
}

/// A network of the registry.
#[derive(Debug, Serialize, ToSchema)]
struct NetworkAnswer {
    /// Its id.
    id: String,
    /// Its name for people.
    name: String,
    /// Its name where there is little room.
    short_name: String,
    /// Its family: `evm`, `bitcoin` or `solana`.
    family: &'static str,
    /// Its CAIP-2 id.
    caip2: String,
    /// Its EVM chain id.
    chain_id: Option<u64>,
    /// The usual time between two blocks, in milliseconds.
    block_time_ms: u64,
    /// Whether this confirmd follows it: intents can only be paid on networks that are followed.
    followed: bool,
    /// The confirmations that an intent needs unless it says otherwise.
    threshold: u32,
    /// The fewest confirmations that anybody may ask for.
    floor: u32,
    /// What can be paid with, the native coin first.
    assets: Vec<AssetAnswer>,
    /// Pages for people.
    explorer: Option<ExplorerAnswer>,
}

/// What can be paid with.
#[derive(Debug, Serialize, ToSchema)]
struct AssetAnswer {
    /// Its symbol.
    symbol: String,
    /// Its name for people.
    name: String,
    /// Its contract or mint; null for the native coin.
    address: Option<String>,
    /// Its CAIP-19 id.
    caip19: String,
    /// Its digits behind the point.
    decimals: u8,
    /// The smallest amount that an intent may ask for, as a decimal. A part of it counts; a deposit to
    /// a wallet that is smaller is reported as `below_minimum`.
    minimum: String,
    /// The confirmations that it needs, where they are not the network's.
    confirmations: Option<u32>,
}

/// Pages for people; `{}` stands for the id.
#[derive(Debug, Serialize, ToSchema)]
struct ExplorerAnswer {
    /// A transaction's page.
    transaction: String,
    /// An address's page.
    address: String,
}

/// List networks
///
/// Every network of the registry, by id. Scope: `read`.
#[utoipa::path(get, path = "/v1/networks", tag = "networks", params(Paging),
    responses((status = 200, body = Page<NetworkAnswer>)))]
async fn list(
    State(context): State<Context>,
    _: Reader,
    mut parameters: Parameters,
) -> Result<Json<Page<NetworkAnswer>>, Problem> {
    let paging = Paging::read(&mut parameters);
    parameters.end()?;
    let context = context.current().await?;
    let networks = context.settings.registry.networks();
    let networks = networks.map(|network| show(network, context.followed(&network.id)));
    Ok(Json(paging.of_all(networks, |network| &network.id)))
}

fn show(network: &Network, followed: Option<&Followed>) -> NetworkAnswer {
    let assets = match followed {
        Some(followed) => followed.assets.iter().map(show_asset).collect(),
        None => {
            let as_registered = |info: &crate::registry::AssetInfo| FollowedAsset {
                info: info.clone(),
                minimum: info.min_deposit,
                confirmations: None,
            };
            network.assets.iter().map(|info| show_asset(&as_registered(info))).collect()
        }
    };
    NetworkAnswer {
        id: network.id.clone(),
        name: network.name.clone(),
        short_name: network.short_name.clone(),
        family: network.family.as_str(),
        caip2: network.caip2.clone(),
        chain_id: network.chain_id,
        block_time_ms: u64::try_from(network.block_time.as_millis()).unwrap_or(u64::MAX),
        followed: followed.is_some(),
        threshold: followed.map_or(network.confirmations, |followed| followed.threshold).0,
        floor: network.floor.0,
        assets,
        explorer: network.explorer.as_ref().map(|explorer| ExplorerAnswer {
            transaction: explorer.transaction("{}"),
            address: explorer.address("{}"),
        }),
    }
}

fn show_asset(asset: &FollowedAsset) -> AssetAnswer {
    let FollowedAsset { info, minimum, confirmations } = asset;
    AssetAnswer {
        symbol: info.symbol.clone(),
        name: info.name.clone(),
        address: match &info.asset {
            Asset::Native => None,
            Asset::Token(address) => Some(address.to_string()),
        },
        caip19: info.caip19.clone(),
        decimals: info.decimals,
        minimum: minimum.to_decimal(info.decimals),
        confirmations: confirmations.map(|own| own.0),
    }
}

/// What a live look at a network found.
#[derive(Debug, Serialize, ToSchema)]
struct ProbeAnswer {
    /// The network's id.
    network: String,
    /// Its providers.
    providers: Vec<ProviderProbe>,
}

/// What a live look at a provider found.
#[derive(Debug, Serialize, ToSchema)]
struct ProviderProbe {
    /// The provider's name. Its URL is never shown.
    provider: String,
    /// Whether it answered.
    reachable: bool,
    /// Whether it serves this network (EVM: its chain id agrees).
    chain_agrees: bool,
    /// Its newest height.
    head: Option<u64>,
    /// How long it took to answer, in milliseconds.
    latency_ms: u64,
    /// Which methods work.
    methods: BTreeMap<String, bool>,
    /// What stands at the addresses of Request Network's fee proxies, by their names in the registry
    /// (`erc20`).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    fee_proxies: BTreeMap<String, ContractAnswer>,
    /// What is wrong, in words.
    problem: Option<String>,
}

/// What a live look at a contract's address found.
#[derive(Debug, Serialize, ToSchema)]
struct ContractAnswer {
    /// Whether there is a contract.
    has_code: bool,
    /// Whether it takes a payment of nothing in a registered token.
    call_valid: bool,
}

/// Look at a network's providers now
///
/// `{id}` is a registry id, CAIP-2 id or EVM chain id. Scope: `admin`.
#[utoipa::path(post, path = "/v1/networks/{id}/probe", tag = "networks",
    params(("id" = String, Path, description = "A network that is followed")),
    request_body(content = Option<ActorBody>),
    responses((status = 200, body = ProbeAnswer)))]
async fn probe(
    State(context): State<Context>,
    _: Admin,
    Path(id): Path<String>,
    parameters: Parameters,
    OptionalBody(body): OptionalBody,
) -> Result<Json<ProbeAnswer>, Problem> {
    parameters.end()?;
    read_actor(&body)?;
    let followed = context.followed(&id).ok_or(Problem::NotFound("network that is followed"))?;
    let network = NetworkId::from(followed.network.id.as_str());
    let chain =
        context.chains.get(&network).ok_or(Problem::NotFound("network that is followed"))?;
    let reports = tokio::time::timeout(PROBE_DEADLINE, chain.probe()).await;
    let reports = reports.map_err(|_| Problem::TooSlow(PROBE_DEADLINE.as_secs()))?;
    let providers = reports.into_iter().map(show_probe).collect();
    Ok(Json(ProbeAnswer { network: network.to_string(), providers }))
}

fn show_contract((name, found): (&'static str, ContractProbe)) -> (String, ContractAnswer) {
    let ContractProbe { has_code, call_valid } = found;
    (name.to_owned(), ContractAnswer { has_code, call_valid })
}

fn show_probe(report: ProbeReport) -> ProviderProbe {
    ProviderProbe {
        provider: report.provider,
        reachable: report.reachable,
        chain_agrees: report.chain_agrees,
        head: report.head.map(|height| height.0),
        latency_ms: report.latency_ms,
        methods: report.methods,
        fee_proxies: report.fee_proxies.into_iter().map(show_contract).collect(),
        problem: report.problem,
    }
}

/// What a reload changed. All three lists are empty where the files say what they said before.
#[derive(Debug, Serialize, ToSchema)]
struct ReloadAnswer {
    /// Networks that were not there before.
    added: Vec<NetworkChangeAnswer>,
    /// Networks that are there in another way. Where they are followed, their followers start
    /// anew from their cursors.
    changed: Vec<NetworkChangeAnswer>,
    /// Networks that are not there any more.
    removed: Vec<NetworkChangeAnswer>,
    /// What was taken otherwise than it is written, or is worth knowing.
    warnings: Vec<FieldError>,
}

/// What a reload changed of one network.
#[derive(Debug, Serialize, ToSchema)]
struct NetworkChangeAnswer {
    /// Its id.
    network: String,
    /// Whether it is followed now.
    followed: bool,
    /// Symbols of assets that were not there before.
    assets_added: Vec<String>,
    /// Symbols of assets whose facts differ.
    assets_changed: Vec<String>,
    /// Symbols of assets that are not there any more.
    assets_removed: Vec<String>,
}

/// Reload the registry
///
/// Reads the registry's folders and the configuration's networks from disk again, on this instance.
/// All or nothing: 422 `invalid-registry` where a file cannot be used, 409 `registry-in-use` where
/// something goes or becomes another chain that intents still need; `errors` then name file, line
/// and key as `pointer`, and nothing changes. Networks that are as before do not notice. Scope:
/// `admin`.
#[utoipa::path(post, path = "/v1/networks/reload", tag = "networks",
    request_body(content = Option<ActorBody>),
    responses((status = 200, body = ReloadAnswer)))]
async fn reload(
    State(context): State<Context>,
    Admin(caller): Admin,
    parameters: Parameters,
    OptionalBody(body): OptionalBody,
) -> Result<Json<ReloadAnswer>, Problem> {
    parameters.end()?;
    let actor = caller.actor(read_actor(&body)?);
    tracing::info!(actor = actor.name, key = caller.name(), "a reload is asked for");
    let Reloaded { changes, warnings } = context.reloads.ask().await?;
    let list = |changes: Vec<NetworkChange>| changes.into_iter().map(Into::into).collect();
    Ok(Json(ReloadAnswer {
        added: list(changes.added),
        changed: list(changes.changed),
        removed: list(changes.removed),
        warnings: warnings.iter().map(FieldError::of_file).collect(),
    }))
}

impl From<NetworkChange> for NetworkChangeAnswer {
    fn from(change: NetworkChange) -> Self {
        let NetworkChange { network, followed, assets_added, assets_changed, assets_removed } =
            change;
        Self { network, followed, assets_added, assets_changed, assets_removed }
    }
}
