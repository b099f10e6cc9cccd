//! An EVM network on a real node.

#![allow(dead_code, reason = "each test uses a part")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

pub(crate) mod scripted;

use alloy_primitives::{Address as Raw, B256, U256, keccak256};
use async_trait::async_trait;
use confirmd_chain::conformance::Subject;
use confirmd_chain::{Address, Amount, Asset, Chain, Height, TransactionId};
use confirmd_evm::{
    Evm, EvmConfig, FeeProxies, Finality, ReceiptEncoding, Tag, Traces, Verify, parse_address,
};
use confirmd_rpc::{Limits, Pool, ProviderConfig};
use serde_json::json;
use xtask::anvil::{Anvil, AnvilOptions, Transaction};
use xtask::erc20::Erc20;

/// anvil's chain id.
pub(crate) const CHAIN_ID: u64 = 31_337;

/// A configuration for anvil: everything proven by receipts, native coin included.
pub(crate) fn config(tokens: Vec<Address>) -> EvmConfig {
    EvmConfig {
        network: "anvil".to_owned(),
        chain_id: CHAIN_ID,
        finality: Finality::Tag(Tag::Finalized),
        receipts: Some(ReceiptEncoding::Ethereum),
        verify_from: Height(0),
        verify: Verify::Receipts,
        tokens,
        zero_bloom: false,
        native: true,
        fee_proxies: FeeProxies::default(),
        traces: Traces::default(),
    }
}

/// A pool of providers at these URLs, named `first`, `second`, …
pub(crate) fn pool(urls: &[String]) -> Pool {
    let names = ["first", "second", "third"];
    let providers: Vec<ProviderConfig> = names
        .iter()
        .zip(urls)
        .map(|(name, url)| serde_json::from_value(json!({ "name": name, "url": url })).unwrap())
        .collect();
    Pool::new("anvil", &providers, Limits::default()).unwrap()
}

/// The canonical text of an address.
pub(crate) fn text(address: Raw) -> Address {
    parse_address(&address.to_string()).unwrap()
}

/// An address back from its text.
pub(crate) fn raw(address: &Address) -> Raw {
    address.as_str().parse().unwrap()
}

/// A node with a token on it, followed as `config` says.
pub(crate) struct Node {
    pub(crate) anvil: Anvil,
    pub(crate) token: Raw,
    pub(crate) evm: Evm,
}

impl Node {
    /// Starts it; `change` changes the configuration.
    pub(crate) async fn start(change: impl FnOnce(&mut EvmConfig)) -> Self {
        let options = AnvilOptions { slots_in_an_epoch: 2, ..AnvilOptions::default() };
        let anvil = Anvil::start(options).await.unwrap();
        let supply = U256::from(1_000_000_000_u64);
        let token = Erc20::deploy(&anvil, "USD Coin", "USDC", supply).await.unwrap().address;
        let mut config = config(vec![text(token)]);
        change(&mut config);
        let evm = Evm::new(config, pool(&[anvil.url()])).unwrap();
        Self { anvil, token, evm }
    }

    /// Sends tokens from the first account, which owns them all.
    pub(crate) async fn transfer(&self, to: Raw, amount: U256) -> B256 {
        self.anvil.send(&self.transfer_from(self.anvil.accounts()[0], to, amount)).await.unwrap()
    }

    /// The transaction that sends tokens.
    pub(crate) fn transfer_from(&self, from: Raw, to: Raw, amount: U256) -> Transaction {
        let selector = &keccak256("transfer(address,uint256)")[..4];
        let data = [selector, &to.into_word()[..], &amount.to_be_bytes::<32>()].concat();
        Transaction { from, to: Some(self.token), data: data.into(), value: U256::ZERO }
    }
}

#[async_trait]
impl Subject for Node {
    fn chain(&self) -> &dyn Chain {
        &self.evm
    }

    fn assets(&self) -> Vec<Asset> {
        let token = Asset::Token(text(self.token));
        if self.evm.config().native { vec![token, Asset::Native] } else { vec![token] }
    }

    fn address(&self, n: u64) -> Address {
        text(Raw::left_padding_from(&(0x51b0_0000 + n).to_be_bytes()))
    }

    fn private_keys(&self) -> Vec<String> {
        let key = "4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318";
        let words = "legal winner thank year wave sausage worth useful legal winner thank yellow";
        vec![key.to_owned(), format!("0x{key}"), words.to_owned()]
    }

    async fn mine(&self, blocks: u64) {
        self.anvil.mine(blocks).await.unwrap();
    }

    async fn pay(&self, asset: &Asset, to: &Address, amount: Amount) -> TransactionId {
        let hash = match asset {
            Asset::Native => {
                let from = self.anvil.accounts()[0];
                self.anvil.pay(from, raw(to), amount.base_units()).await.unwrap()
            }
            Asset::Token(_) => self.transfer(raw(to), amount.base_units()).await,
        };
        TransactionId::new(hash.to_string())
    }

    async fn reorg(&self, depth: u64) -> bool {
        self.anvil.reorg(depth).await.unwrap();
        true
    }
}
