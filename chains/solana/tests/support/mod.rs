//! Blocks as `getBlock` shows them, and a cluster that serves them.

#![allow(dead_code, unreachable_pub, reason = "each test uses a part")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

pub mod busy;
pub mod cluster;
pub mod transaction;

use confirmd_chain::{Address, Chain, WatchSet, WatchVersion};
use confirmd_rpc::{Limits, Pool, ProviderConfig};
use confirmd_solana::{Solana, SolanaConfig, Token, TokenProgram};
use serde_json::json;

/// A mint that is registered.
pub const USDC: &str = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v";
/// Another one, of Token-2022.
pub const PYUSD: &str = "2b1kV6DkPAnxd5ixfnxCpjxmKwqjjaYmCZfHsFu24GXo";
/// The native coin, wrapped.
pub const WRAPPED: &str = "So11111111111111111111111111111111111111112";
pub const SYSTEM: &str = "11111111111111111111111111111111";
pub const TOKEN: &str = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA";
pub const MEMO_1: &str = "Memo1UhkJRfHyvLMcVucJwxXeuD728EqVDDwQDxFMNo";
pub const MEMO_2: &str = "MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr";

/// The n-th key of nobody in particular.
pub fn key(n: u64) -> String {
    let mut bytes = [0x5b; 32];
    bytes[..8].copy_from_slice(&n.to_be_bytes());
    bs58::encode(bytes).into_string()
}

/// The n-th signature.
pub fn signature(n: u64) -> String {
    let mut bytes = [0x5b; 64];
    bytes[..8].copy_from_slice(&n.to_be_bytes());
    bs58::encode(bytes).into_string()
}

pub fn address(text: &str) -> Address {
    Address::from_canonical(text)
}

pub fn config() -> SolanaConfig {
    let token = |mint, program| Token { mint: address(mint), decimals: 6, program };
    SolanaConfig {
        network: "solana".to_owned(),
        genesis: Some(cluster::GENESIS[..32].to_owned()),
        tokens: vec![token(USDC, TokenProgram::Token), token(PYUSD, TokenProgram::Token2022)],
        native: true,
    }
}

/// A pool of providers at these URLs, named `first`, `second`, …
pub fn pool(urls: &[String]) -> Pool {
    let names = ["first", "second", "third"];
    let providers: Vec<ProviderConfig> = names
        .iter()
        .zip(urls)
        .map(|(name, url)| serde_json::from_value(json!({ "name": name, "url": url })).unwrap())
        .collect();
    Pool::new("solana", &providers, Limits::default()).unwrap()
}

pub fn chain(urls: &[String]) -> Solana {
    Solana::new(config(), pool(urls)).unwrap()
}

/// The watches on these owners.
pub fn watching(owners: &[&str]) -> WatchSet {
    let chain = chain(&["http://127.0.0.1:1".to_owned()]);
    let keys = owners.iter().map(|owner| chain.watch_key(&address(owner)));
    WatchSet::new(keys, WatchVersion(1))
}
