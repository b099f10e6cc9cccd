//! Ethereum: a payment in two parts, and a reorganisation that takes the second part back.

use alloy_primitives::{Address, U256, address};
use async_trait::async_trait;
use serde_json::json;
use xtask::{
    Result,
    anvil::{Anvil, AnvilOptions},
    erc20::Erc20,
};

use super::story::{Story, Teller, shortened};

/// Where the shop wants its money.
const SHOP: Address = address!("0x5409ED021D9299bf6814279A6A1411A7e866A631");

pub(super) struct Evm {
    anvil: &'static Anvil,
    token: Erc20<'static>,
}

impl Evm {
    pub(super) async fn start() -> Result<Self> {
        let anvil: &'static Anvil =
            Box::leak(Box::new(Anvil::start(AnvilOptions::default()).await?));
        let token = Erc20::deploy(anvil, "USD Coin", "USDC", units(1_000_000)).await?;
        Ok(Self { anvil, token })
    }

    async fn pay(&self, teller: &Teller, usdc: u64) -> Result<()> {
        let hash = self.token.transfer(SHOP, units(usdc)).await?;
        teller.line("the buyer", &format!("pays {usdc} USDC in {}", shortened(&hash.to_string())));
        Ok(())
    }
}

#[async_trait]
impl Story for Evm {
    fn cast(&self) -> Vec<String> {
        vec![
            format!("anvil, an Ethereum node, at {}", self.anvil.url()),
            format!("an ERC-20 (OpenZeppelin's bytecode) at {}", self.token.address),
        ]
    }

    fn network(&self) -> &'static str {
        "anvil"
    }

    fn registry(&self) -> String {
        format!(
            r#"# A local chain with one token.
id = "anvil"
name = "Anvil (local)"
short_name = "ANVIL"
family = "evm"
caip2 = "eip155:31337"
chain_id = 31337
block_time = "1s"
confirmations = {{ default = 3, floor = 1 }}
finality = {{ tag = "finalized" }}
receipts = "ethereum"
verify_from = 0
native = {{ symbol = "ETH", name = "Ether", decimals = 18 }}

[[tokens]]
symbol = "USDC"
name = "USD Coin"
address = "{}"
decimals = 18
"#,
            self.token.address
        )
    }

    fn configuration(&self) -> String {
        format!(
            r#"[networks.anvil]
poll_interval = "100ms"

[[networks.anvil.providers]]
name = "anvil"
url = "{}"
ws = "{}"
"#,
            self.anvil.url(),
            self.anvil.ws_url()
        )
    }

    async fn tell(&self, teller: &mut Teller) -> Result<()> {
        let rail = json!({ "network": "anvil", "asset": "USDC", "amount": "10",
            "address": SHOP.to_string() });
        teller.expect(rail, "10 USDC, 3 confirmations deep").await?;
        self.pay(teller, 4).await?;
        teller.webhook("payment.partial").await?;
        self.anvil.mine(1).await?;
        self.pay(teller, 6).await?;
        teller.webhook("payment.detected").await?;
        self.anvil.mine(2).await?;
        teller.webhook("payment.confirmed").await?;

        self.anvil.reorg(3).await?;
        teller.line("the chain", "takes another branch: its newest three blocks are gone");
        self.anvil.mine(1).await?;
        teller.webhook("payment.reverted").await?;
        self.pay(teller, 6).await?;
        teller.webhook("payment.detected").await?;
        self.anvil.mine(2).await?;
        teller.webhook("payment.confirmed").await?;
        teller.ends("confirmed").await
    }
}

/// Whole USDC in base units: the published token has 18 decimals.
fn units(usdc: u64) -> U256 {
    U256::from(usdc) * U256::from(10).pow(U256::from(18))
}
