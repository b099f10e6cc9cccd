//! What development needs around confirmd: real nodes, a real database and a stock receiver,
//! each installed on first use into a cache outside the checkout and stopped when dropped.
//!
//! | module | what it starts or installs |
//! | --- | --- |
//! | [`anvil`] | an EVM node, with the calls that tests need (mine, reorg, drop, …) |
//! | [`bitcoind`] | a Bitcoin node, with the keys, payments and double spends that tests need |
//! | [`surfpool`] | a Solana node, with the tokens, memos and slots that tests need |
//! | [`erc20`] | tokens on it: OpenZeppelin's published one, and ones that misbehave |
//! | [`fee_proxy`] | Request Network's contracts for payments with a reference |
//! | [`postgres`] | a private PostgreSQL, and databases on it |
//! | [`receiver`] | a webhook receiver with the stock Standard Webhooks verifier |
//! | [`rpc`] | plain JSON-RPC, so that a test does not trust the client that it tests |
//! | [`npm`], [`solidity`], [`apt`] | packages, Solidity's compiler among them |
//! | [`cache`] | where all of that is kept, by version |
//! | [`process`] | child processes that never outlive us |

pub mod anvil;
pub mod apt;
pub mod bitcoind;
pub mod cache;
pub mod erc20;
pub mod error;
pub mod fee_proxy;
pub mod npm;
pub mod postgres;
pub mod process;
pub mod progress;
pub mod receiver;
pub mod rpc;
pub mod solidity;
pub mod surfpool;

pub use error::{Error, Result};

/// Installs everything at once, so that no test and no demo waits for it later.
///
/// # Errors
/// What stands in the way; [`Error::Missing`] says what to install by hand.
pub fn install_all() -> Result<()> {
    anvil::binary()?;
    bitcoind::binary()?;
    surfpool::binary()?;
    erc20::install()?;
    fee_proxy::install()?;
    receiver::install()?;
    postgres::programs()?;
    Ok(())
}
