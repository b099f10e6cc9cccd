//! Bitcoin: an invoice at a fresh address of a wallet, seen before it is mined, and a heavier
//! branch that does not have it.

use async_trait::async_trait;
use bitcoin::{Address, Amount, Denomination, Network, address::NetworkUnchecked};
use serde_json::{Value, json};
use xtask::{
    Error, Result,
    bitcoind::{Bitcoind, BitcoindOptions},
};

use super::story::{Story, Teller, shortened};

/// The public keys of the shop's wallet: what BIP-84 derives from the phrase that all wallets use
/// for examples.
const WALLET: &str = "wpkh([73c5da0a/84'/1'/0']tpubDC8msFGeGuwnKG9Upg7DM2b4DaRqg3CUZa5g8v2SRQ6K4\
    NSkxUgd7HsL2XVWbVm39yBA4LAxysQAm397zwQSQoQgewGiYZqrA9DsP4zbQ1M/<0;1>/*)";
const PRICE: &str = "0.0125";
const COINS: u32 = 3;

pub(super) struct Bitcoin {
    bitcoind: Bitcoind,
}

impl Bitcoin {
    pub(super) async fn start() -> Result<Self> {
        let bitcoind = Bitcoind::start(BitcoindOptions::default()).await?;
        bitcoind.fund(COINS).await?;
        Ok(Self { bitcoind })
    }
}

#[async_trait]
impl Story for Bitcoin {
    fn cast(&self) -> Vec<String> {
        vec![format!("bitcoind, a Bitcoin node on regtest, at {}", self.bitcoind.url())]
    }

    fn network(&self) -> &'static str {
        "regtest"
    }

    fn registry(&self) -> String {
        include_str!("../../../../config/networks/regtest.toml").to_owned()
    }

    fn configuration(&self) -> String {
        format!(
            r#"[networks.regtest]
poll_interval = "100ms"

[[networks.regtest.providers]]
name = "bitcoind"
url = "{}"
zmq = "{}"
"#,
            self.bitcoind.url(),
            self.bitcoind.zmq_url()
        )
    }

    async fn tell(&self, teller: &mut Teller) -> Result<()> {
        let wallet = json!({ "id": "till", "network": "regtest", "public_keys": WALLET });
        teller.api.post("/v1/wallets", &wallet).await?;
        teller.line("the shop", "registers its wallet: an output descriptor, public keys only");
        let rail = json!({ "network": "regtest", "asset": "native", "amount": PRICE,
            "wallet": "till" });
        let what = format!("{PRICE} rBTC at a fresh address, 3 confirmations deep");
        let script = address(&teller.expect(rail, &what).await?)?.script_pubkey();

        let amount = Amount::from_str_in(PRICE, Denomination::Bitcoin)
            .map_err(|error| Error::unexpected("the price", &error))?;
        let paid = self.bitcoind.pay_to(script, amount).await?;
        let id = shortened(&paid.compute_txid().to_string());
        teller.line("the buyer", &format!("pays {PRICE} rBTC in {id}"));
        teller.webhook("payment.seen").await?;
        self.bitcoind.mine(1).await?;
        teller.webhook("payment.detected").await?;
        self.bitcoind.mine(2).await?;
        teller.webhook("payment.confirmed").await?;

        self.bitcoind.reorg(3, &[&[], &[], &[], &[]]).await?;
        teller.line("the chain", "takes a heavier branch: the payment waits for a block again");
        teller.webhook("payment.reverted").await?;
        self.bitcoind.mine(1).await?;
        teller.webhook("payment.detected").await?;
        self.bitcoind.mine(2).await?;
        teller.webhook("payment.confirmed").await?;
        teller.ends("confirmed").await
    }
}

/// The address that the intent's rail was given.
fn address(intent: &Value) -> Result<Address> {
    let text = intent["rails"][0]["address"].as_str().unwrap_or_default();
    text.parse::<Address<NetworkUnchecked>>()
        .and_then(|address| address.require_network(Network::Regtest))
        .map_err(|error| Error::unexpected("the rail's address", &error))
}
