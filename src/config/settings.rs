//! The configuration and the registry, merged into what is followed.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use confirmd_chain::{Amount, Asset, Confirmations, Height};
use confirmd_evm::Traces;

use super::{
    Config, ConfigError, NetworkConfig, Problem, Provider, TokenConfig, Verify, list_of, nearest,
};
use crate::registry::{AssetInfo, Family, Network, Registry};
use crate::settlement::NetworkId;

/// Everything that the daemon starts from.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The configuration file.
    pub config: Config,
    /// Every network that could be followed.
    pub registry: Registry,
    /// The networks that are followed, by id.
    pub networks: Vec<Followed>,
    /// What was taken otherwise than it is written, or is worth knowing.
    pub warnings: Vec<Problem>,
}

/// One network that is followed: the registry's facts and how the configuration wants it.
#[derive(Clone, Debug, PartialEq)]
pub struct Followed {
    /// The registry's facts.
    pub network: Arc<Network>,
    /// The confirmations that an intent needs here, never below the floor. An admin may change it
    /// at run time.
    pub threshold: Confirmations,
    /// Where the threshold comes from.
    pub threshold_source: ThresholdSource,
    /// How answers are proven.
    pub verify: Verify,
    /// Whether call traces are used.
    pub traces: Traces,
    /// How many providers must name a block's hash.
    pub quorum: usize,
    /// The time between two looks at the head.
    pub poll_interval: Duration,
    /// The time between two looks at the mempool, where there is one.
    pub mempool_interval: Duration,
    /// Whom to ask; never empty.
    pub providers: Vec<Provider>,
    /// What can be paid with, the native coin first.
    pub assets: Vec<FollowedAsset>,
    /// The first height to scan where no cursor is stored; else the newest irreversible block of that moment.
    pub start: Option<Height>,
}

/// Where a network's threshold comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThresholdSource {
    /// The registry's default.
    Default,
    /// The configuration file.
    Config,
    /// An admin, at run time.
    Admin,
}

/// One asset of a network that is followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowedAsset {
    /// The registry's facts.
    pub info: AssetInfo,
    /// The smallest amount that an intent may ask for, in base units. A part of it counts; a deposit to
    /// a wallet that is smaller is reported as `below_minimum`.
    pub minimum: Amount,
    /// The confirmations that it needs, never below the network's floor; none where the network's
    /// threshold applies.
    pub confirmations: Option<Confirmations>,
}

impl Settings {
    /// Reads a configuration file and the registry folders that it names, and merges them.
    ///
    /// # Errors
    /// With everything that is wrong with them.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let config = Config::load(path)?;
        let registry = Registry::load(&config.registry)?;
        Self::merge(config, registry)
    }

    /// Reads again what a reload takes anew: the registry, and from the configuration file which
    /// networks are followed and how. All else is as it was at the start.
    ///
    /// # Errors
    /// As [`Self::load`]; also for mistakes in what is not taken.
    pub fn read_again(&self) -> Result<Self, ConfigError> {
        let Config { registry, networks, .. } = Config::load(&self.config.file)?;
        let found = Registry::load(&registry)?;
        Self::merge(Config { registry, networks, ..self.config.clone() }, found)
    }

    /// Merges what is read.
    ///
    /// # Errors
    /// Where the configuration asks of a network what the registry does not allow.
    pub fn merge(config: Config, registry: Registry) -> Result<Self, ConfigError> {
        let mut merger = Merger::default();
        let networks = config
            .networks
            .iter()
            .filter(|(_, wanted)| wanted.enabled)
            .filter_map(|(id, wanted)| merger.network(id, wanted, &registry))
            .collect();
        let Merger { problems, warnings } = merger;
        if !problems.is_empty() {
            return Err(ConfigError { problems });
        }
        Ok(Self { config, registry, networks, warnings })
    }
}

impl Settings {
    /// A network that is followed, by its registry id.
    #[must_use]
    pub fn followed(&self, id: &str) -> Option<&Followed> {
        self.networks.iter().find(|followed| followed.network.id == id)
    }

    /// A problem of a network's section in the configuration file.
    #[must_use]
    pub fn problem_of(&self, id: &str, message: String) -> Problem {
        match self.config.networks.get(id) {
            Some(wanted) => wanted.origin.problem(message),
            None => Problem {
                file: self.config.file.display().to_string(),
                line: None,
                key: format!("networks.{id}"),
                message,
            },
        }
    }

    /// The assets that need confirmations of their own, so that no threshold is theirs.
    #[must_use]
    pub fn own_confirmations(&self) -> BTreeMap<NetworkId, Vec<Asset>> {
        let of = |followed: &Followed| {
            let own = followed.assets.iter().filter(|asset| asset.confirmations.is_some());
            let assets = own.map(|asset| asset.info.asset.clone()).collect();
            (NetworkId::from(followed.network.id.as_str()), assets)
        };
        self.networks.iter().map(of).collect()
    }

    /// The same with the thresholds that admins set at run time.
    #[must_use]
    pub fn with_thresholds(&self, set: &BTreeMap<NetworkId, Confirmations>) -> Self {
        let mut settings = self.clone();
        for followed in &mut settings.networks {
            if let Some(threshold) = followed.set_threshold(set) {
                followed.threshold = threshold;
                followed.threshold_source = ThresholdSource::Admin;
            }
        }
        settings
    }

    /// Whether [`Self::with_thresholds`] of this set made it, or would change nothing.
    #[must_use]
    pub fn has_thresholds(&self, set: &BTreeMap<NetworkId, Confirmations>) -> bool {
        self.networks.iter().all(|followed| match followed.set_threshold(set) {
            Some(threshold) => followed.threshold == threshold,
            None => followed.threshold_source != ThresholdSource::Admin,
        })
    }
}

impl Followed {
    /// How its blocks are proven, in a word for the status.
    #[must_use]
    pub fn verified_by(&self) -> &'static str {
        match self.network.family {
            Family::Evm => self.verify.as_str(),
            // Proof of work, and the merkle root over all transactions.
            Family::Bitcoin => "work",
            Family::Solana => "links",
        }
    }

    /// What an admin set for this network, never below the floor.
    fn set_threshold(&self, set: &BTreeMap<NetworkId, Confirmations>) -> Option<Confirmations> {
        let set = set.get(&NetworkId::from(self.network.id.as_str()));
        set.map(|threshold| (*threshold).max(self.network.floor))
    }

    /// Whether it is followed in the same way, wherever that is written.
    #[must_use]
    pub fn is_same_as(&self, other: &Self) -> bool {
        self.network.is_same_as(&other.network)
            && *self == Self { network: Arc::clone(&self.network), ..other.clone() }
    }

    /// An asset by `native`, symbol, token address or CAIP-19 id.
    #[must_use]
    pub fn asset(&self, name: &str) -> Option<&FollowedAsset> {
        let info = self.network.asset(name)?;
        self.assets.iter().find(|asset| asset.info.asset == info.asset)
    }
}

#[derive(Default)]
struct Merger {
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
}

impl Merger {
    fn network(
        &mut self,
        id: &str,
        wanted: &NetworkConfig,
        registry: &Registry,
    ) -> Option<Followed> {
        let Some(network) = registry.networks().find(|network| network.id == id) else {
            self.unknown_network(id, wanted, registry);
            return None;
        };
        let (threshold, threshold_source) = match wanted.threshold {
            Some(asked) => {
                let origin = wanted.origin.problem_at("threshold", "");
                (self.at_least_floor(asked, network, origin), ThresholdSource::Config)
            }
            None => (network.confirmations, ThresholdSource::Default),
        };
        let providers = self.providers(wanted, network);
        let poll_interval = wanted.poll_interval.unwrap_or_else(|| usual_poll(network.block_time));
        self.check_tokens(wanted, network);
        self.check_family(wanted, network);
        Some(Followed {
            network: Arc::clone(network),
            threshold,
            threshold_source,
            verify: self.verify(wanted, network),
            traces: match wanted.traces.or(network.traces) {
                Some(true) => Traces::Always,
                Some(false) => Traces::Never,
                None => Traces::WhereOffered,
            },
            quorum: wanted.quorum,
            poll_interval,
            mempool_interval: self.mempool_interval(wanted, network).unwrap_or(poll_interval),
            providers,
            assets: network.assets.iter().map(|info| self.asset(info, wanted, network)).collect(),
            start: wanted.start,
        })
    }

    fn mempool_interval(&mut self, wanted: &NetworkConfig, network: &Network) -> Option<Duration> {
        if wanted.mempool_interval.is_some() && network.family != Family::Bitcoin {
            let message = format!("is for the family `bitcoin`; this one is `{}`", network.family);
            self.problems.push(wanted.origin.problem_at("mempool_interval", message));
        }
        wanted.mempool_interval
    }

    /// What only other families have would be taken for granted, and do nothing.
    fn check_family(&mut self, wanted: &NetworkConfig, network: &Network) {
        let family = network.family;
        if wanted.traces.is_some() && family != Family::Evm {
            let message = format!("is for the family `evm`; this one is `{family}`");
            self.problems.push(wanted.origin.problem_at("traces", message));
        }
        for provider in &wanted.providers {
            let foreign = match family {
                Family::Bitcoin => {
                    provider.ws.as_ref().map(|_| ("ws", "families `evm` and `solana`"))
                }
                Family::Evm | Family::Solana => {
                    provider.zmq.as_ref().map(|_| ("zmq", "family `bitcoin`"))
                }
            };
            if let Some((option, others)) = foreign {
                let name = &provider.name;
                let message =
                    format!("`{option}` of `{name}` is for the {others}; this one is `{family}`");
                self.problems.push(wanted.origin.problem_at("providers", message));
            }
        }
    }

    fn unknown_network(&mut self, id: &str, wanted: &NetworkConfig, registry: &Registry) {
        let ids: Vec<&str> = registry.networks().map(|network| network.id.as_str()).collect();
        let hint = match nearest(id, ids.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there is {}", list_of(ids)),
        };
        let message = format!("no registry file has the id `{id}`; {hint}");
        self.problems.push(wanted.origin.problem(message));
    }

    /// `place` is a problem without a message yet: it knows file, line and key.
    fn at_least_floor(
        &mut self,
        asked: Confirmations,
        network: &Network,
        place: Problem,
    ) -> Confirmations {
        if asked < network.floor {
            let (id, floor) = (&network.id, network.floor);
            let message = format!("{asked} is below the floor of {id}, so {floor} is used");
            self.warnings.push(Problem { message, ..place });
        }
        asked.max(network.floor)
    }

    fn providers(&mut self, wanted: &NetworkConfig, network: &Network) -> Vec<Provider> {
        let named = !wanted.providers.is_empty();
        let providers = if named { &wanted.providers } else { &network.providers };
        if providers.is_empty() {
            let message = "is missing, and the registry names no public ones; expected \
                           `[[networks.<id>.providers]]` with name and url";
            self.problems.push(wanted.origin.problem_at("providers", message));
        } else if !named && !providers.iter().all(is_local) {
            let message = "names none, so the registry's public ones are asked: fine to try \
                           things out, too slow and too limited for payments";
            self.warnings.push(wanted.origin.problem_at("providers", message));
        }
        if wanted.quorum > providers.len() && !providers.is_empty() {
            let message = format!(
                "expected at most the number of providers, {}, found {}",
                providers.len(),
                wanted.quorum
            );
            self.problems.push(wanted.origin.problem_at("quorum", message));
        }
        for provider in wanted.providers.iter().filter(|p| super::read::is_plain_remote(&p.url)) {
            let message = format!(
                "`{}` is asked in plain text over the network; https keeps its key and answers \
                 from being read and changed on the way",
                provider.name
            );
            self.warnings.push(wanted.origin.problem_at("providers", message));
        }
        providers.clone()
    }

    /// The mode that is asked for, else the strongest that the network allows.
    fn verify(&mut self, wanted: &NetworkConfig, network: &Network) -> Verify {
        if network.family != Family::Evm {
            // Work proves which block counts; votes are for others to have counted.
            if wanted.quorum > 1 && network.family == Family::Bitcoin {
                let message = "is for families whose blocks do not prove themselves; those of this \
                               one, `bitcoin`, do";
                self.problems.push(wanted.origin.problem_at("quorum", message));
            }
            if wanted.verify.is_some() {
                let message = format!("is for the family `evm`; this one is `{}`", network.family);
                self.problems.push(wanted.origin.problem_at("verify", message));
            }
            return Verify::Receipts;
        }
        let refusal = receipts_refusal(wanted, network);
        match (wanted.verify, refusal) {
            (Some(Verify::Receipts), Some(reason)) => {
                let message = format!("`receipts` is refused for {}: {reason}", network.id);
                self.problems.push(wanted.origin.problem_at("verify", message));
                Verify::Receipts
            }
            (None, Some(reason)) => {
                let message = format!(
                    "`logs` is used, since `receipts` is not possible: {reason}; a provider \
                     that leaves logs out may go unnoticed"
                );
                self.warnings.push(wanted.origin.problem_at("verify", message));
                Verify::Logs
            }
            (None, None) => Verify::Receipts,
            (Some(mode), _) => mode,
        }
    }

    fn check_tokens(&mut self, wanted: &NetworkConfig, network: &Network) {
        for (symbol, token) in &wanted.tokens {
            if network.assets.iter().any(|info| is_meant(symbol, info)) {
                continue;
            }
            let symbols = network.assets.iter().map(|info| info.symbol.as_str());
            let hint = match nearest(symbol, symbols.clone()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there is {}", list_of(symbols)),
            };
            let message = format!("{} has no asset `{symbol}`; {hint}", network.id);
            self.problems.push(token.origin.problem(message));
        }
    }

    fn asset(
        &mut self,
        info: &AssetInfo,
        wanted: &NetworkConfig,
        network: &Network,
    ) -> FollowedAsset {
        let token = wanted.tokens.iter().find(|(symbol, _)| is_meant(symbol, info));
        let token = token.map(|(_, token)| token);
        let confirmations = token.and_then(|token| token.confirmations.map(|own| (own, token)));
        FollowedAsset {
            info: info.clone(),
            minimum: self.minimum(info, token),
            confirmations: confirmations.map(|(own, token)| {
                self.at_least_floor(own, network, token.origin.problem_at("confirmations", ""))
            }),
        }
    }

    fn minimum(&mut self, info: &AssetInfo, token: Option<&TokenConfig>) -> Amount {
        let Some((token, text)) = token.and_then(|t| t.minimum.as_ref().map(|text| (t, text)))
        else {
            return info.min_deposit;
        };
        Amount::parse_decimal(text, info.decimals).unwrap_or_else(|error| {
            self.problems.push(token.origin.problem_at("minimum", error.to_string()));
            Amount::ZERO
        })
    }
}

fn is_meant(symbol: &str, info: &AssetInfo) -> bool {
    let native = info.asset == Asset::Native;
    info.symbol == symbol || (native && symbol == "native")
}

/// Why `verify = "receipts"` cannot hold on a network, by name; none where it can.
fn receipts_refusal(wanted: &NetworkConfig, network: &Network) -> Option<String> {
    match network.receipts {
        None => Some("the registry does not name its encoding of receipts".to_owned()),
        Some(_) => wanted.start.filter(|start| *start < network.verify_from).map(|start| {
            let from = network.verify_from;
            format!("`start = {start}` is below {from}, from where on the registry allows it")
        }),
    }
}

fn is_local(provider: &Provider) -> bool {
    use secrecy::ExposeSecret as _;
    let url = url::Url::parse(provider.url.expose_secret());
    url.is_ok_and(|url| matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]")))
}

/// Half a block's time finds a block soon after it is made; the bounds keep fast networks from
/// flooding their providers and slow ones from being looked at too rarely.
fn usual_poll(block_time: Duration) -> Duration {
    (block_time / 2).clamp(Duration::from_millis(500), Duration::from_secs(5))
}
