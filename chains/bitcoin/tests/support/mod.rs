//! A network of Bitcoin's family on a real node.

#![allow(dead_code, reason = "each test uses a part")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

pub(crate) mod proxy;

use async_trait::async_trait;
use bitcoin::{Amount as Satoshis, ScriptBuf, Transaction};
use confirmd_bitcoin::wallet::WalletRules;
use confirmd_bitcoin::{
    AddressFormat, Bitcoin, BitcoinConfig, Bits, Difficulty, Identity, ProofOfWork,
};
use confirmd_chain::conformance::Subject;
use confirmd_chain::{
    Address, Amount, Asset, At, Block, Chain, Confirmations, Height, TransactionId, WatchSet,
    WatchVersion,
};
use confirmd_rpc::{Limits, Pool, ProviderConfig};
use serde_json::json;
use xtask::bitcoind::{Bitcoind, BitcoindOptions};

/// Regtest, as the registry has it, but with a few blocks to finality.
pub(crate) fn config() -> BitcoinConfig {
    let genesis = "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206";
    BitcoinConfig {
        network: "regtest".to_owned(),
        identity: Identity { height: Height(0), hash: genesis.parse().unwrap() },
        final_depth: 12,
        proof_of_work: ProofOfWork { limit: Bits(0x207f_ffff), difficulty: Difficulty::Constant },
        addresses: AddressFormat {
            p2pkh: 111,
            p2sh: 196,
            bech32: Some("bcrt".to_owned()),
            cashaddr: None,
        },
        wallets: WalletRules::TEST,
        coinbase_maturity: Confirmations(100),
        heights_from: Height(1),
    }
}

/// A pool of providers at these URLs, named `first`, `second`, …
pub(crate) fn pool(urls: &[String], limits: Limits) -> Pool {
    let names = ["first", "second", "third"];
    let providers: Vec<ProviderConfig> = names
        .iter()
        .zip(urls)
        .map(|(name, url)| serde_json::from_value(json!({ "name": name, "url": url })).unwrap())
        .collect();
    Pool::new("regtest", &providers, limits).unwrap()
}

/// A node with coins to spend, and the chain that follows it.
pub(crate) struct Node {
    pub(crate) bitcoind: Bitcoind,
    pub(crate) chain: Bitcoin,
}

impl Node {
    pub(crate) async fn start(options: BitcoindOptions) -> Self {
        let bitcoind = Bitcoind::start(options).await.unwrap();
        bitcoind.fund(30).await.unwrap();
        let chain = Bitcoin::new(config(), pool(&[bitcoind.url()], Limits::default()));
        Self { bitcoind, chain }
    }

    /// The watches on these addresses.
    pub(crate) fn watching(&self, addresses: &[&Address]) -> WatchSet {
        let keys = addresses.iter().map(|address| self.chain.watch_key(address));
        WatchSet::new(keys, WatchVersion(1))
    }

    /// The newest block.
    pub(crate) async fn newest(&self, watches: &WatchSet) -> Block {
        let height = self.chain.heads().await.unwrap().latest.height;
        self.chain.block(At::Height(height), watches).await.unwrap()
    }

    /// A transaction that pays, in the mempool.
    pub(crate) async fn send(&self, to: &Address, satoshis: u64) -> Transaction {
        let script = self.script(to);
        self.bitcoind.pay_to(script, Satoshis::from_sat(satoshis)).await.unwrap()
    }

    pub(crate) fn script(&self, address: &Address) -> ScriptBuf {
        ScriptBuf::from_bytes(self.chain.watch_key(address).as_bytes().to_vec())
    }
}

/// The n-th address of each kind in turn, which nobody holds the key of.
pub(crate) fn address(n: u64) -> Address {
    use confirmd_bitcoin::script::Script;
    let (mut short, mut long) = ([0x5b; 20], [0x5b; 32]);
    short[..8].copy_from_slice(&n.to_be_bytes());
    long[..8].copy_from_slice(&n.to_be_bytes());
    let script = match n % 5 {
        0 => Script::P2wpkh(short),
        1 => Script::P2pkh(short),
        2 => Script::P2sh(short),
        3 => Script::P2wsh(long),
        _ => Script::P2tr(long),
    };
    config().addresses.text(&script).unwrap()
}

#[async_trait]
impl Subject for Node {
    fn chain(&self) -> &dyn Chain {
        &self.chain
    }

    fn assets(&self) -> Vec<Asset> {
        vec![Asset::Native]
    }

    fn address(&self, n: u64) -> Address {
        address(n)
    }

    fn private_keys(&self) -> Vec<String> {
        [
            "cMzLdeGd5vEqxB8B6VFQoRopQ3sLAAvEzDAoQgvX54xwofSWj1fx",
            "tprv8ZgxMBicQKsPeDgjzdC36fs6bMjGApWDNLR9erAXMs5skhMv36j9MV5ecvfavji5khqjWaWSFhN3YcCUUdiKH6isR4Pwy3U5y5egddBr16m",
            "4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318",
            "legal winner thank year wave sausage worth useful legal winner thank yellow",
        ]
        .map(str::to_owned)
        .to_vec()
    }

    async fn mine(&self, blocks: u64) {
        self.bitcoind.mine(u32::try_from(blocks).unwrap()).await.unwrap();
    }

    /// In a block of its own: the suite's amounts are dust, which no mempool takes.
    async fn pay(&self, _asset: &Asset, to: &Address, amount: Amount) -> TransactionId {
        let satoshis = u64::try_from(amount.base_units()).unwrap();
        let payment = xtask::bitcoind::Payment::to(self.script(to), Satoshis::from_sat(satoshis));
        let transaction = self.bitcoind.prepare(&payment).await.unwrap();
        self.bitcoind.mine_only(std::slice::from_ref(&transaction)).await.unwrap();
        TransactionId::new(transaction.compute_txid().to_string())
    }

    async fn reorg(&self, depth: u64) -> bool {
        let depth = u32::try_from(depth).unwrap();
        let branch = vec![&[][..]; usize::try_from(depth).unwrap() + 1];
        self.bitcoind.reorg(depth, &branch).await.unwrap();
        true
    }
}
