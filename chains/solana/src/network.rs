//! [`Solana`]: a cluster, and what is kept of it.

use std::sync::Once;

use confirmd_chain::{Asset, ChainError};
use confirmd_rpc::Pool;

use crate::config::{SolanaConfig, Token};
use crate::scan::Rules;

/// A cluster of Solana.
#[derive(Debug)]
pub struct Solana {
    pub(crate) config: SolanaConfig,
    pub(crate) pool: Pool,
    pub(crate) rules: Rules,
    pub(crate) subscribed: Once,
}

impl Solana {
    /// A cluster, asked of these providers.
    ///
    /// # Errors
    /// [`ChainError::Misconfigured`] where the configuration cannot be kept; it says why.
    pub fn new(config: SolanaConfig, pool: Pool) -> Result<Self, ChainError> {
        if let Some(problem) = config.problem() {
            return Err(ChainError::Misconfigured(problem));
        }
        Ok(Self { rules: Rules::new(&config), config, pool, subscribed: Once::new() })
    }

    /// What the cluster was configured with.
    #[must_use]
    pub fn config(&self) -> &SolanaConfig {
        &self.config
    }

    /// A token that counts, by its mint.
    pub(crate) fn token(&self, asset: &Asset) -> Option<&Token> {
        match asset {
            Asset::Native => None,
            Asset::Token(mint) => self.config.tokens.iter().find(|token| token.mint == *mint),
        }
    }
}
