//! Networks and their assets, as the registry files have them.
//!
//! A registry file holds what is true of a network for everyone. The shipped ones are in
//! `config/networks`; an operator adds networks and tokens in a folder of his own, and a later
//! folder's file replaces an earlier one of the same id, whole.

mod bitcoin;
mod load;
mod read;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use confirmd_bitcoin::BitcoinConfig;
use confirmd_chain::{Amount, Asset, Confirmations, Height};
use confirmd_evm::{FeeProxies, Finality, ReceiptEncoding};
use confirmd_solana::TokenProgram;

use crate::config::{ConfigError, Origin, Provider};

/// Every network that could be followed.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    networks: BTreeMap<String, Arc<Network>>,
}

/// One network as its registry file has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// Its id in the API and the configuration (`bsc`).
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// Its name where there is little room.
    pub short_name: String,
    /// The family whose chain follows it.
    pub family: Family,
    /// Its CAIP-2 id (`eip155:56`).
    pub caip2: String,
    /// Its EVM chain id; none in other families.
    pub chain_id: Option<u64>,
    /// The usual time between two blocks.
    pub block_time: Duration,
    /// The confirmations that an intent needs where nobody says otherwise.
    pub confirmations: Confirmations,
    /// The fewest confirmations that anybody may ask for.
    pub floor: Confirmations,
    /// From when on a block is irreversible.
    pub finality: Finality,
    /// How the receipts root is encoded; none where it is not known.
    pub receipts: Option<ReceiptEncoding>,
    /// The lowest height at which `verify = "receipts"` can hold.
    pub verify_from: Height,
    /// Whether the headers' blooms are always zero, so that they tell nothing.
    pub zero_bloom: bool,
    /// Whether call traces are used; else where a provider shows them.
    pub traces: Option<bool>,
    /// What is true of a network of Bitcoin's family; none in other families.
    pub bitcoin: Option<BitcoinConfig>,
    /// Links for people.
    pub explorer: Option<Explorer>,
    /// Request Network's fee proxies.
    pub fee_proxies: FeeProxies,
    /// Public providers, used where the configuration names none.
    pub providers: Vec<Provider>,
    /// Its assets: the native coin first, then the tokens.
    pub assets: Vec<AssetInfo>,
    /// Where it is written.
    pub origin: Origin,
}

/// A kind of chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Ethereum and what speaks its RPC.
    Evm,
    /// Bitcoin and what speaks its RPC.
    Bitcoin,
    /// Solana.
    Solana,
}

impl Family {
    /// The family's name in registry files and the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Evm => "evm",
            Self::Bitcoin => "bitcoin",
            Self::Solana => "solana",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Links for people; `{}` stands for the id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explorer {
    transaction: String,
    address: String,
}

impl Explorer {
    /// The page of a transaction.
    #[must_use]
    pub fn transaction(&self, id: &str) -> String {
        self.transaction.replace("{}", id)
    }

    /// The page of an address.
    #[must_use]
    pub fn address(&self, address: &str) -> String {
        self.address.replace("{}", address)
    }
}

/// What can be paid with on a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssetInfo {
    /// What the chain knows it by.
    pub asset: Asset,
    /// Its symbol (`USDT`).
    pub symbol: String,
    /// Its name for people.
    pub name: String,
    /// Digits behind the point: one unit is 10^decimals base units.
    pub decimals: u8,
    /// Its CAIP-19 id (`eip155:56/erc20:0x…`, `eip155:1/slip44:60`).
    pub caip19: String,
    /// The smallest amount that an intent may ask for, in base units. A part of it counts; a deposit to
    /// a wallet that is smaller is reported as `below_minimum`.
    pub min_deposit: Amount,
    /// Solana: the program that keeps the token. Others have one alone.
    pub program: TokenProgram,
}

impl Registry {
    /// Reads every registry file (`*.toml`) of the folders, later folders over earlier ones.
    ///
    /// # Errors
    /// With everything that is wrong with the files.
    pub fn load(folders: &[PathBuf]) -> Result<Self, ConfigError> {
        load::registry(folders).map_err(|problems| ConfigError { problems })
    }

    /// All networks, by id.
    pub fn networks(&self) -> impl Iterator<Item = &Arc<Network>> {
        self.networks.values()
    }

    /// A network by its id (`bsc`), CAIP-2 id (`eip155:56`) or EVM chain id (`56`).
    #[must_use]
    pub fn network(&self, name: &str) -> Option<&Arc<Network>> {
        self.networks.get(name).or_else(|| {
            let chain_id = name.parse::<u64>().ok();
            self.networks.values().find(|network| {
                network.caip2 == name || (chain_id.is_some() && network.chain_id == chain_id)
            })
        })
    }
}

impl Network {
    /// Whether the files say the same of it, wherever it stands in them.
    #[must_use]
    pub fn is_same_as(&self, other: &Self) -> bool {
        *self == Self { origin: self.origin.clone(), ..other.clone() }
    }

    /// Whether it is the same chain.
    #[must_use]
    pub fn is_same_chain_as(&self, other: &Self) -> bool {
        (self.family, &self.caip2) == (other.family, &other.caip2)
    }

    /// An asset by `native`, symbol, token address (EVM: in any case) or CAIP-19 id.
    #[must_use]
    pub fn asset(&self, name: &str) -> Option<&AssetInfo> {
        self.assets.iter().find(|info| info.symbol == name || self.is_called(info, name))
    }

    /// What is known of an asset that the chain names.
    #[must_use]
    pub fn asset_info(&self, asset: &Asset) -> Option<&AssetInfo> {
        self.assets.iter().find(|info| info.asset == *asset)
    }

    fn is_called(&self, info: &AssetInfo, name: &str) -> bool {
        let same = |one: &str, other: &str| match self.family {
            Family::Evm => one.eq_ignore_ascii_case(other),
            Family::Bitcoin | Family::Solana => one == other,
        };
        let known_as = match &info.asset {
            Asset::Native => name == "native",
            Asset::Token(address) => same(address.as_str(), name),
        };
        known_as || same(&info.caip19, name)
    }
}

#[cfg(test)]
mod tests;
