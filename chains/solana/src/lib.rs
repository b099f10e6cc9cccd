//! The Solana family.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `config` | [`SolanaConfig`]: what is true of one cluster |
//! | `address` | base58 addresses, token accounts; private keys are refused |
//! | `json` | lists that end where no honest one goes on |
//! | `block` | blocks as they are answered, taken apart without being copied |
//! | `credits` | what a transaction credits: balances after it, less those before |
//! | `memo` | memos, and Solana Pay's reference keys |
//! | `scan` | what in a block hits a watch |
//! | `calls` | one provider's answers, its cluster held against ours; Agave's error codes |
//! | `slots` | blocks by slot, and which slots were skipped |
//! | `witness` | what the others say of a block (`quorum`) |
//! | `network` | [`Solana`]: a cluster, and what is kept of it |
//! | `lookup` | where a transaction stands |
//! | `chain` | the contract |
//! | `probe` | a live look at every provider |
//! | `uri` | payment URIs (Solana Pay) |
//!
//! The modules up to `scan` are pure functions over borrowed JSON. A height is a slot, and not each
//! has a block. A chain of blocks proves itself by each one's parent, by slot and by hash, and so
//! which slots were skipped; what is in a block, no hash of it proves, so that is the provider's
//! word, or that of several (`quorum`).

mod address;
pub mod block;
mod calls;
mod chain;
mod config;
mod credits;
mod json;
mod lookup;
mod memo;
mod network;
mod probe;
pub mod scan;
mod slots;
mod uri;
mod witness;

pub use address::{TokenProgram, parse_address};
pub use config::{FINAL_DEPTH, SolanaConfig, Token};
pub use confirmd_rpc::Refusal;
pub use network::Solana;
