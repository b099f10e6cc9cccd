//! Solana: USDC with a memo that says what it is for, until the network calls it final.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use solana_keypair::{Keypair, Signer};
use solana_pubkey::Pubkey;
use tokio::time::timeout;
use xtask::{
    Error, Result,
    surfpool::{MemoProgram, Mint, MintOptions, SOL, Surfpool, SurfpoolOptions, memo},
};

use super::story::{Story, Teller, shortened};

/// Slots until a block is final, and one that is open.
const FINAL_AFTER: u64 = 33;
const FINAL_WITHIN: Duration = Duration::from_secs(20);
const MEMO: &str = "wihngo:order-surfpool";
const USDC: u64 = 1_000_000;

pub(super) struct Solana {
    surfpool: &'static Surfpool,
    usdc: Mint<'static>,
    shop: Pubkey,
    buyer: Keypair,
}

impl Solana {
    pub(super) async fn start() -> Result<Self> {
        let surfpool: &'static Surfpool =
            Box::leak(Box::new(Surfpool::start(SurfpoolOptions::default()).await?));
        let usdc = Mint::create(surfpool, MintOptions::default()).await?;
        let (shop, buyer) = (Keypair::new().pubkey(), Keypair::new());
        surfpool.airdrop(&buyer.pubkey(), SOL).await?;
        usdc.mint_to(&buyer.pubkey(), 1_000 * USDC).await?;
        surfpool.mine(2).await?;
        Ok(Self { surfpool, usdc, shop, buyer })
    }

    /// Waits until the daemon knows that a slot is final.
    async fn until_final(&self, teller: &Teller, slot: u64) -> Result<()> {
        let known = async {
            loop {
                let status = teller.api.get("/scanner/status").await?;
                let networks = status["networks"].as_array().cloned().unwrap_or_default();
                let ours = networks.iter().find(|network| network["network"] == self.network());
                let finalized = ours.and_then(|network| network["finalized"].as_u64());
                if finalized >= Some(slot) {
                    return Ok(());
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(FINAL_WITHIN, known).await.unwrap_or_else(|_| {
            let what = format!("slot {slot} becoming final");
            Err(Error::TimedOut { what, within: FINAL_WITHIN, output: String::new() })
        })
    }
}

#[async_trait]
impl Story for Solana {
    fn cast(&self) -> Vec<String> {
        vec![
            format!("surfpool, a Solana node, at {}", self.surfpool.url()),
            format!("a USDC mint (SPL Token) at {}", self.usdc.address),
        ]
    }

    fn network(&self) -> &'static str {
        "surfpool"
    }

    fn registry(&self) -> String {
        format!(
            r#"# A local cluster with one token.
id = "surfpool"
name = "Surfpool (local)"
short_name = "LSOL"
family = "solana"
caip2 = "solana:localnet"
block_time = "400ms"
confirmations = {{ default = 3, floor = 1 }}
finality = {{ tag = "finalized" }}
native = {{ symbol = "SOL", name = "Solana (local)", decimals = 9, slip44 = 501 }}

[[tokens]]
symbol = "USDC"
name = "USD Coin"
address = "{}"
decimals = 6
"#,
            self.usdc.address
        )
    }

    fn configuration(&self) -> String {
        format!(
            r#"[networks.surfpool]
poll_interval = "100ms"

[[networks.surfpool.providers]]
name = "surfpool"
url = "{}"
ws = "{}"
"#,
            self.surfpool.url(),
            self.surfpool.ws_url()
        )
    }

    async fn tell(&self, teller: &mut Teller) -> Result<()> {
        let rail = json!({ "network": "surfpool", "asset": "USDC", "amount": "12.5",
            "address": self.shop.to_string(), "memo": MEMO });
        teller.expect(rail, &format!("12.5 USDC with the memo `{MEMO}`")).await?;

        let pay = self.usdc.transferring(&self.buyer.pubkey(), &self.shop, 12_500_000);
        let instructions = [self.usdc.opening(&self.shop), pay, memo(MemoProgram::V2, MEMO)];
        let signature = self.surfpool.send(&instructions, &[&self.buyer]).await?;
        let id = shortened(&signature);
        teller.line("the buyer", &format!("pays 12.5 USDC and says what for in {id}"));
        self.surfpool.mine(2).await?;
        let slot = self.surfpool.slot_of(&signature).await?;
        teller.webhook("payment.detected").await?;
        self.surfpool.mine(2).await?;
        teller.webhook("payment.confirmed").await?;
        self.surfpool.mine(FINAL_AFTER).await?;
        self.until_final(teller, slot).await?;
        teller.line("the network", &format!("calls slot {slot} final: nothing takes it back"));
        teller.ends("confirmed").await
    }
}
