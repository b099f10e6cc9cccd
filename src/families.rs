//! Where the families of chains are built: a new one is one line here.

use std::num::NonZeroU32;
use std::sync::Arc;

use confirmd_bitcoin::Bitcoin;
use confirmd_chain::{Asset, Chain};
use confirmd_evm::{Evm, EvmConfig};
use confirmd_rpc::{Limits, Pool, ProviderConfig};
use confirmd_solana::{Solana, SolanaConfig, Token};

use crate::config::{Followed, Provider};
use crate::registry::Family;

/// Why a network cannot be followed as configured. Names the network and the key.
#[derive(Debug, thiserror::Error)]
pub enum FamilyError {
    /// Its providers cannot be asked.
    #[error("networks.{network}.providers: {problem}")]
    Providers {
        /// The network.
        network: String,
        /// What is wrong, without the URL (I12).
        problem: String,
    },
    /// Its chain cannot be read that way.
    #[error("networks.{network}: {problem}")]
    Chain {
        /// The network.
        network: String,
        /// What is wrong.
        problem: String,
    },
}

/// Makes what follows a network.
///
/// # Errors
/// When the network cannot be followed as configured.
pub fn build(followed: &Followed) -> Result<Arc<dyn Chain>, FamilyError> {
    match followed.network.family {
        Family::Evm => Ok(Arc::new(evm(followed)?)),
        Family::Bitcoin => Ok(Arc::new(bitcoin(followed)?)),
        Family::Solana => Ok(Arc::new(solana(followed)?)),
    }
}

fn evm(followed: &Followed) -> Result<Evm, FamilyError> {
    let network = &followed.network;
    let wrong = |problem: String| FamilyError::Chain { network: network.id.clone(), problem };
    let chain_id = network.chain_id.ok_or_else(|| wrong("has no chain_id".to_owned()))?;
    let tokens = followed.assets.iter().filter_map(|asset| match &asset.info.asset {
        Asset::Token(address) => Some(address.clone()),
        Asset::Native => None,
    });
    let config = EvmConfig {
        network: network.id.clone(),
        chain_id,
        finality: network.finality,
        receipts: network.receipts,
        verify_from: network.verify_from,
        verify: followed.verify,
        tokens: tokens.collect(),
        zero_bloom: network.zero_bloom,
        traces: followed.traces,
        fee_proxies: network.fee_proxies.clone(),
        native: followed.assets.iter().any(|asset| asset.info.asset == Asset::Native),
    };
    Evm::new(config, pool(followed)?).map_err(|error| wrong(error.to_string()))
}

fn bitcoin(followed: &Followed) -> Result<Bitcoin, FamilyError> {
    let network = &followed.network;
    let config = network.bitcoin.clone().ok_or_else(|| FamilyError::Chain {
        network: network.id.clone(),
        problem: "has no facts of Bitcoin's family".to_owned(),
    })?;
    let announces = |provider: &Provider| Some((provider.name.clone(), provider.zmq.clone()?));
    let nodes = followed.providers.iter().filter_map(announces).collect();
    Ok(Bitcoin::new(config, pool(followed)?).woken_by(nodes))
}

fn solana(followed: &Followed) -> Result<Solana, FamilyError> {
    let network = &followed.network;
    let wrong = |problem: String| FamilyError::Chain { network: network.id.clone(), problem };
    let tokens = followed.assets.iter().filter_map(|asset| match &asset.info.asset {
        Asset::Token(mint) => Some(Token {
            mint: mint.clone(),
            decimals: asset.info.decimals,
            program: asset.info.program,
        }),
        Asset::Native => None,
    });
    let config = SolanaConfig {
        network: network.id.clone(),
        genesis: genesis(&network.caip2).map(str::to_owned),
        tokens: tokens.collect(),
        native: followed.assets.iter().any(|asset| asset.info.asset == Asset::Native),
    };
    Solana::new(config, pool(followed)?).map_err(|error| wrong(error.to_string()))
}

/// The beginning of the hash of a cluster's first block, which CAIP-2 has in its name; a local one
/// has only a name there.
fn genesis(caip2: &str) -> Option<&str> {
    const CHARACTERS: usize = 32;
    let (_, reference) = caip2.split_once(':')?;
    Some(reference).filter(|reference| reference.len() == CHARACTERS)
}

fn pool(followed: &Followed) -> Result<Pool, FamilyError> {
    let providers: Vec<_> = followed.providers.iter().map(provider).collect();
    let pool = Pool::new(&followed.network.id, &providers, Limits::default());
    let pool = pool.map_err(|error| {
        let network = followed.network.id.clone();
        FamilyError::Providers { network, problem: error.to_string() }
    })?;
    Ok(pool.with_quorum(followed.quorum))
}

fn provider(provider: &Provider) -> ProviderConfig {
    ProviderConfig {
        name: provider.name.clone(),
        url: provider.url.clone(),
        ws: provider.ws.clone(),
        requests_per_second: provider.requests_per_second.and_then(NonZeroU32::new),
        batch_size: None,
    }
}
