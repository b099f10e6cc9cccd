//! What is true of one Solana cluster, as the registry says it.

use confirmd_chain::{Address, Confirmations};

use crate::address::{self, TokenProgram, WRAPPED_COIN};

/// A block with so many confirmations is final, once the cluster calls it so.
pub const FINAL_DEPTH: Confirmations = Confirmations(32);

/// One cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SolanaConfig {
    /// The registry's id, for messages.
    pub network: String,
    /// How the hash of the cluster's first block begins, by which providers are known (CAIP-2: its
    /// first 32 characters); none where any cluster will do, as for a local one.
    pub genesis: Option<String>,
    /// The tokens that count.
    pub tokens: Vec<Token>,
    /// Whether the native coin counts.
    pub native: bool,
}

/// A token by its mint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// The mint.
    pub mint: Address,
    /// Digits behind the point.
    pub decimals: u8,
    /// The program that the mint belongs to.
    pub program: TokenProgram,
}

impl SolanaConfig {
    /// Why the cluster cannot be followed as configured, if it cannot.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        let network = &self.network;
        self.tokens.iter().find_map(|Token { mint, .. }| {
            if mint.as_str() == WRAPPED_COIN {
                // Whoever wraps coin of his own would be told that he was paid.
                return Some(format!(
                    "{network}: {mint} is the native coin in a wrapping; leave it out of the \
                     tokens, since what its owner wraps looks like what others send"
                ));
            }
            address::raw(mint).is_none().then(|| format!("{network}: {mint} is no mint's address"))
        })
    }
}
