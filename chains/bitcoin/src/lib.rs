//! The Bitcoin family: Bitcoin and what is built like it.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `config` | [`BitcoinConfig`]: what is true of one network |
//! | `address`, `cashaddr` | base58, bech32 and CashAddr addresses; private keys are refused |
//! | `script` | scriptPubKeys, and what OP_RETURN says |
//! | `wallet` | scripts from output descriptors and extended public keys |
//! | `receiving` | the addresses of these scripts |
//! | `hash` | double SHA-256, and the merkle root |
//! | `bytes`, `transaction` | the wire format, read without a copy |
//! | `work` | targets, and the rules by which networks set them |
//! | `header` | headers, proven by their hash |
//! | `block` | blocks, proven by their merkle root; what hits a watch |
//! | `headers` | headers in their place: heights, median times, targets |
//! | `calls` | one provider's answers, its chain held against ours |
//! | `recent`, `pending` | where our transactions stood; what was read of a mempool |
//! | `network` | [`Bitcoin`]: a network, and what is kept of it |
//! | `mempool` | unconfirmed transactions |
//! | `lookup` | where a transaction stands |
//! | `chain` | the contract |
//! | `zmq` | notifications that wake a follower early |
//! | `probe` | a live look at every provider |
//!
//! The modules up to `block` are pure functions over borrowed bytes. A provider is believed only
//! as far as its answer is proven: a block by proof of work under the network's own rules, by its
//! link to the block before, and by the merkle root over all of its transactions.

pub mod address;
pub mod block;
mod bytes;
mod calls;
mod cashaddr;
mod chain;
mod config;
pub mod hash;
pub mod header;
mod headers;
mod lookup;
mod mempool;
mod network;
mod pending;
mod probe;
mod receiving;
mod recent;
pub mod script;
pub mod transaction;
mod uri;
pub mod wallet;
pub mod work;
mod zmq;

pub use address::AddressFormat;
pub use config::{BitcoinConfig, Identity, ProofOfWork};
pub use confirmd_rpc::Refusal;
pub use hash::Hash256;
pub use network::Bitcoin;
pub use work::{Anchor, Bits, Difficulty};
