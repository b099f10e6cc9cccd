//! What is true of one network of this family, as the registry says it.

use confirmd_chain::{Confirmations, Height};

use crate::Hash256;
use crate::address::AddressFormat;
use crate::wallet::WalletRules;
use crate::work::{Bits, Difficulty};

/// One network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BitcoinConfig {
    /// The registry's id, for messages.
    pub network: String,
    /// A block that every provider must have: by it the network is known. Networks that share
    /// their first blocks need one above the fork.
    pub identity: Identity,
    /// With so many blocks on it a block is irreversible.
    pub final_depth: u64,
    /// The rules of proof of work.
    pub proof_of_work: ProofOfWork,
    /// How addresses are written.
    pub addresses: AddressFormat,
    /// Which extended keys are the network's.
    pub wallets: WalletRules,
    /// The confirmations before a coinbase's outputs can be spent.
    pub coinbase_maturity: Confirmations,
    /// From this height on every coinbase tells its block's height (BIP-34).
    pub heights_from: Height,
}

/// A block of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its height.
    pub height: Height,
    /// Its hash.
    pub hash: Hash256,
}

/// Which proof of work a block must carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProofOfWork {
    /// The easiest target.
    pub limit: Bits,
    /// How the target of the next block is set.
    pub difficulty: Difficulty,
}
