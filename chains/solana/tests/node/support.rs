//! A node with mints, somebody who pays, and the chain that follows it.

use confirmd_chain::{
    Address, Asset, Block, Chain, Height, Transfer, WatchKey, WatchSet, WatchVersion,
};
use confirmd_rpc::{Limits, Pool, ProviderConfig};
use confirmd_solana::{Solana, SolanaConfig, Token, TokenProgram};
use serde_json::json;
use solana_keypair::{Keypair, Signer};
use solana_pubkey::Pubkey;
use xtask::surfpool::{self, Fee, Mint, MintOptions, SOL, Surfpool, SurfpoolOptions};

/// What most payments are worth, in base units of a token.
pub(crate) const PRICE: u64 = 12_500_000;
/// Token-2022 keeps back one hundredth.
pub(crate) const FEE: Fee = Fee { basis_points: 100, maximum: u64::MAX };

/// Everything that is on the node.
pub(crate) struct Node {
    pub(crate) surfpool: &'static Surfpool,
    /// Registered, of SPL Token.
    pub(crate) usdc: Mint<'static>,
    /// Registered, of Token-2022, with a fee.
    pub(crate) taxed: Mint<'static>,
    /// Not registered.
    pub(crate) fake: Mint<'static>,
    pub(crate) buyer: Keypair,
    pub(crate) chain: Solana,
}

impl Node {
    pub(crate) async fn start() -> Self {
        let surfpool = Surfpool::start(SurfpoolOptions::default()).await.unwrap();
        let surfpool: &'static Surfpool = Box::leak(Box::new(surfpool));
        let taxed = MintOptions {
            program: surfpool::TokenProgram::Token2022,
            fee: Some(FEE),
            ..MintOptions::default()
        };
        let usdc = Mint::create(surfpool, MintOptions::default()).await.unwrap();
        let taxed = Mint::create(surfpool, taxed).await.unwrap();
        let fake = Mint::create(surfpool, MintOptions::default()).await.unwrap();
        let buyer = Keypair::new();
        surfpool.airdrop(&buyer.pubkey(), 1_000 * SOL).await.unwrap();
        for mint in [&usdc, &taxed, &fake] {
            mint.mint_to(&buyer.pubkey(), 1_000 * PRICE).await.unwrap();
        }
        surfpool.mine(1).await.unwrap();
        let token =
            |mint: &Mint<'_>, program| Token { mint: address(&mint.address), decimals: 6, program };
        let config = SolanaConfig {
            network: "solana".to_owned(),
            genesis: None,
            tokens: vec![token(&usdc, TokenProgram::Token), token(&taxed, TokenProgram::Token2022)],
            native: true,
        };
        let chain = Solana::new(config, pool(&surfpool.url())).unwrap();
        Self { surfpool, usdc, taxed, fake, buyer, chain }
    }

    pub(crate) fn usdc(&self) -> Asset {
        Asset::Token(address(&self.usdc.address))
    }

    pub(crate) fn taxed(&self) -> Asset {
        Asset::Token(address(&self.taxed.address))
    }

    /// The watches on these owners; with what tells their payments apart, or without.
    pub(crate) fn watching(&self, owners: &[Pubkey], references: bool) -> WatchSet {
        let key = |owner: &Pubkey| -> WatchKey { self.chain.watch_key(&address(owner)) };
        let watches = WatchSet::new(owners.iter().map(key), WatchVersion(1));
        watches.want_references(references);
        watches
    }

    /// Closes the open slot.
    pub(crate) async fn mine(&self) {
        self.surfpool.mine(1).await.unwrap();
    }

    /// The blocks from `from` to the newest confirmed one.
    pub(crate) async fn blocks(&self, from: Height, watches: &WatchSet) -> Vec<Block> {
        let latest = self.chain.heads().await.unwrap().latest.height;
        let mut blocks = Vec::new();
        let mut next = from;
        while next <= latest {
            blocks.extend(self.chain.blocks(next, latest, watches).await.unwrap());
            next = blocks.last().map_or(next, |block| block.header.height.next());
        }
        blocks
    }

    /// What the whole chain credits.
    pub(crate) async fn transfers(&self, watches: &WatchSet) -> Vec<Transfer> {
        let blocks = self.blocks(FIRST, watches).await;
        blocks.into_iter().flat_map(|block| block.transfers).collect()
    }
}

/// The node's first slot.
pub(crate) const FIRST: Height = Height(0);

pub(crate) fn pool(url: &str) -> Pool {
    let provider: ProviderConfig =
        serde_json::from_value(json!({ "name": "first", "url": url })).unwrap();
    Pool::new("solana", &[provider], Limits::default()).unwrap()
}

pub(crate) fn address(key: &Pubkey) -> Address {
    Address::from_canonical(key.to_string())
}

/// What a transfer brings: its transaction, who gets it, what, how much.
pub(crate) fn facts(transfer: &Transfer) -> (String, String, String, u64) {
    let asset = match &transfer.asset {
        Asset::Native => "SOL".to_owned(),
        Asset::Token(mint) => mint.to_string(),
    };
    let amount = u64::try_from(transfer.amount.base_units()).unwrap();
    (transfer.id.transaction.to_string(), transfer.to.to_string(), asset, amount)
}
