//! The contract between confirmd and the chains it follows.
//!
//! A [`Chain`] turns what providers answer into [`Block`]s with the [`Transfer`]s that hit a
//! [`WatchSet`]. It knows nothing of intents, databases or webhooks. Everything that a follower
//! believes comes through this contract, so what a chain hands over is proven as far as its
//! network allows, or it is an error: an unproven emptiness is never an empty block (I3).

mod amount;
mod block;
mod chain;
#[cfg(feature = "conformance")]
pub mod conformance;
mod mempool;
mod secret;
mod transfer;
mod wallet;
mod watch;

pub use amount::{Amount, AmountError};
pub use block::{
    Block, BlockHash, Confirmations, Header, Heads, Height, Proof, Timestamp, Work, WorkError,
};
pub use chain::{
    AddressError, At, Chain, ChainError, ContractProbe, Inclusion, ProbeReport, ProviderStatus,
    ReferenceError, Witness,
};
pub use mempool::{FeeRate, Mempool, Spend, Unconfirmed};
pub use secret::looks_secret;
pub use transfer::TransferIndexError;
pub use transfer::{Address, Asset, TransactionId, Transfer, TransferId, TransferIndex};
pub use wallet::{Derived, INDEX_END, Wallet, WalletError};
pub use watch::{WatchKey, WatchSet, WatchVersion, WatchView};
