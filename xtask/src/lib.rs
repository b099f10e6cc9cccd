//! What development needs around confirmd: real nodes, a real database and a stock receiver,
//! each installed on first use into a cache outside the checkout and stopped when dropped.
//!
//! | module | what it starts or installs |
//! | --- | --- |
//! | [`anvil`] | an EVM node, with the calls that tests need (mine, reorg, drop, …) |
//! | [`erc20`] | tokens on it: OpenZeppelin's published one, and ones that misbehave |
//! | [`rpc`] | plain JSON-RPC, so that a test does not trust the client that it tests |
//! | [`npm`], [`solidity`] | packages of the npm registry, Solidity's compiler among them |
//! | [`cache`] | where all of that is kept, by version |
//! | [`process`] | child processes that never outlive us |

pub mod anvil;
pub mod cache;
pub mod erc20;
pub mod error;
pub mod npm;
pub mod process;
pub mod progress;
pub mod rpc;
pub mod solidity;

pub use error::{Error, Result};
