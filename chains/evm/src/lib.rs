//! The EVM family: Ethereum and what is built like it.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `address` | EIP-55 addresses; private keys are refused |
//! | `config` | [`EvmConfig`]: what is true of one network |
//! | `header` | headers, proven by their hash |
//! | `receipts` | receipts, proven by the header's receipts root |
//! | `transactions` | transactions, proven by the header's transactions root |
//! | `logs` | event logs, and which of them move a token |
//! | `references` | payments with a reference, by Request Network's fee proxies |
//! | `traces` | coin that moved within transactions, by call traces |
//! | `bloom` | what a header's bloom rules out |
//! | `credits` | from all of these to the contract's transfers |
//! | `calls` | one provider's answers, its chain id held against ours |
//! | `tracers`, `window` | which providers show call traces; how many blocks they take at once |
//! | `network` | [`Evm`]: a network, and what is kept of it |
//! | `internal` | call traces, asked of the provider that shows them |
//! | `block` | one block, by receipts or by logs |
//! | `range` | many irreversible blocks |
//! | `agreement` | what a provider names at some heights, beside what others name there |
//! | `lookup` | where a transaction stands |
//! | `chain` | the contract |
//! | `probe` | a live look at every provider |
//! | `uri` | payment URIs (EIP-681) |
//! | `wallet` | addresses from extended public keys |
//!
//! The first nine are pure functions over borrowed JSON. A provider is believed only as far as
//! its answer hashes to what the header commits to, and the header to the hash by which the
//! follower links it.

mod address;
mod agreement;
mod block;
mod bloom;
mod calls;
mod chain;
mod config;
mod credits;
pub mod header;
mod internal;
pub mod logs;
mod lookup;
mod network;
mod probe;
mod range;
pub mod receipts;
pub mod references;
mod rlp;
mod tracers;
pub mod traces;
pub mod transactions;
mod uri;
mod wallet;
mod window;

pub use address::parse_address;
pub use config::{EvmConfig, FeeProxies, Finality, ReceiptEncoding, Tag, Traces, Verify};
pub use confirmd_rpc::Refusal;
pub use network::Evm;
pub use references::reference_topic;
pub use wallet::parse_wallet;
