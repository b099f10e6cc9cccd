//! Request Network's fee proxies on a node, from the bytecode that they publish.

use std::fs;

use alloy_primitives::{Address, B256, Bytes, U256, hex};

use crate::{
    Error, Result,
    anvil::{Anvil, Transaction},
    erc20::{Erc20, call_data},
    npm,
    process::on_blocking_thread,
};

const PACKAGE: &str = "@requestnetwork/smart-contracts@0.47.0";
const FACTORIES: &str = "@requestnetwork/smart-contracts/types/factories/src/contracts";

/// `ERC20FeeProxy` and `EthereumFeeProxy`.
#[derive(Debug)]
pub struct FeeProxies<'a> {
    anvil: &'a Anvil,
    /// The proxy for tokens.
    pub erc20: Address,
    /// The proxy for the native coin.
    pub native: Address,
}

impl<'a> FeeProxies<'a> {
    /// Deploys both.
    ///
    /// # Errors
    /// What stands in the way of installing or deploying them.
    pub async fn deploy(anvil: &'a Anvil) -> Result<Self> {
        let owner = anvil.accounts()[0];
        let code = |contract| on_blocking_thread(move || published_bytecode(contract));
        let erc20 = anvil.deploy(owner, code("ERC20FeeProxy").await?).await?;
        let native = anvil.deploy(owner, code("EthereumFeeProxy").await?).await?;
        Ok(Self { anvil, erc20, native })
    }

    /// Pays `amount` of a token from its owner, without a fee, and says what for.
    ///
    /// # Errors
    /// Where the node refuses; a payment that reverts is none.
    pub async fn pay_token(
        &self,
        token: &Erc20<'_>,
        to: Address,
        amount: U256,
        reference: &[u8],
    ) -> Result<B256> {
        let approval = call_data("approve(address,uint256)", &(self.erc20, amount));
        self.send(token.owner, token.address, U256::ZERO, approval).await?;
        let payment = call_data(
            "transferFromWithReferenceAndFee(address,address,uint256,bytes,uint256,address)",
            &(token.address, to, amount, bytes(reference), U256::ZERO, Address::ZERO),
        );
        self.send(token.owner, self.erc20, U256::ZERO, payment).await
    }

    /// Pays `wei` from the node's first account, without a fee, and says what for.
    ///
    /// # Errors
    /// Where the node refuses; a payment that reverts is none.
    pub async fn pay_coin(&self, to: Address, wei: U256, reference: &[u8]) -> Result<B256> {
        let payment = call_data(
            "transferWithReferenceAndFee(address,bytes,uint256,address)",
            &(to, bytes(reference), U256::ZERO, Address::ZERO),
        );
        self.send(self.anvil.accounts()[0], self.native, wei, payment).await
    }

    async fn send(&self, from: Address, to: Address, value: U256, data: Bytes) -> Result<B256> {
        self.anvil.send(&Transaction { from, to: Some(to), value, data }).await
    }
}

/// Fetches the contracts, so that no test waits for that.
///
/// # Errors
/// What stands in the way.
pub fn install() -> Result<()> {
    published_bytecode("ERC20FeeProxy").map(drop)
}

/// The creation code in a contract's generated factory.
fn published_bytecode(contract: &str) -> Result<Bytes> {
    let file = npm::install(&[PACKAGE])?.join(FACTORIES).join(format!("{contract}__factory.js"));
    let text = fs::read_to_string(&file).map_err(Error::path("read", &file))?;
    let line = text.lines().find_map(|line| line.trim().strip_prefix("const _bytecode = \""));
    let code = line.and_then(|line| line.split('"').next()).unwrap_or_default();
    match hex::decode(code) {
        Ok(code) if !code.is_empty() => Ok(code.into()),
        _ => Err(Error::unexpected(contract, &"its factory has no bytecode")),
    }
}

fn bytes(reference: &[u8]) -> Bytes {
    Bytes::copy_from_slice(reference)
}
