//! Tokens on a node: OpenZeppelin's published ERC-20, and one that misbehaves on request.

use std::fs;

use alloy_primitives::{Address, B256, Bytes, U256, hex, keccak256};
use alloy_sol_types::{SolType, SolValue, abi::TokenSeq};
use serde_json::{Value, json};

use crate::{
    Error, Result,
    anvil::{Anvil, Transaction},
    npm,
    process::on_blocking_thread,
    solidity,
};

const CONTRACTS: &str = "@openzeppelin/contracts@4.9.6";
const ARTIFACT: &str = "@openzeppelin/contracts/build/contracts/ERC20PresetFixedSupply.json";
const TEST_CONTRACTS: &str = include_str!("../contracts/tokens.sol");

/// What a [`Erc20::deploy_variant`] token is like.
#[derive(Debug, Clone)]
pub struct TokenOptions {
    /// Its name.
    pub name: String,
    /// Its symbol.
    pub symbol: String,
    /// Its decimals.
    pub decimals: u8,
    /// Hundredths of a percent that each transfer loses on its way.
    pub fee_basis_points: u64,
    /// Base units, all for the owner.
    pub supply: U256,
}

impl Default for TokenOptions {
    fn default() -> Self {
        Self {
            name: "USD Coin".into(),
            symbol: "USDC".into(),
            decimals: 6,
            fee_basis_points: 0,
            supply: U256::from(10).pow(U256::from(18)),
        }
    }
}

/// A token contract on a node.
#[derive(Debug, Clone)]
pub struct Erc20<'a> {
    anvil: &'a Anvil,
    /// The contract.
    pub address: Address,
    /// Who was given the whole supply.
    pub owner: Address,
}

impl<'a> Erc20<'a> {
    /// Deploys OpenZeppelin's `ERC20PresetFixedSupply` (18 decimals) from its published bytecode,
    /// with `supply` base units for the node's first account.
    ///
    /// # Errors
    /// What stands in the way of installing the artifact or deploying it.
    pub async fn deploy(anvil: &'a Anvil, name: &str, symbol: &str, supply: U256) -> Result<Self> {
        let code = on_blocking_thread(published_bytecode).await?;
        let owner = anvil.accounts()[0];
        let arguments = (name.to_owned(), symbol.to_owned(), supply, owner).abi_encode_params();
        Self::create(anvil, owner, code, &arguments).await
    }

    /// Deploys a token of our own: with other decimals, with a fee on transfer, one that can be
    /// frozen, one that makes several transfers in a transaction.
    ///
    /// # Errors
    /// What stands in the way of compiling it or deploying it.
    pub async fn deploy_variant(anvil: &'a Anvil, options: TokenOptions) -> Result<Self> {
        let code = on_blocking_thread(|| solidity::compile(TEST_CONTRACTS, "TestToken")).await?;
        let owner = anvil.accounts()[0];
        let TokenOptions { name, symbol, decimals, fee_basis_points, supply } = options;
        let (decimals, fee) = (U256::from(decimals), U256::from(fee_basis_points));
        let arguments = (name, symbol, decimals, fee, supply, owner).abi_encode_params();
        Self::create(anvil, owner, code, &arguments).await
    }

    async fn create(
        anvil: &'a Anvil,
        owner: Address,
        code: Bytes,
        arguments: &[u8],
    ) -> Result<Self> {
        let address = anvil.deploy(owner, [&code, arguments].concat().into()).await?;
        Ok(Self { anvil, address, owner })
    }

    /// A token that was deployed before, by the node's first account.
    pub fn at(anvil: &'a Anvil, address: Address) -> Self {
        Self { anvil, address, owner: anvil.accounts()[0] }
    }

    /// Sends `amount` base units from the owner; [`Anvil::send`] says when it returns.
    pub async fn transfer(&self, to: Address, amount: U256) -> Result<B256> {
        self.transfer_as(self.owner, to, amount).await
    }

    /// Sends `amount` base units from any unlocked account.
    pub async fn transfer_as(&self, from: Address, to: Address, amount: U256) -> Result<B256> {
        self.anvil.send(&self.transfer_transaction(from, to, amount)).await
    }

    /// The transaction of a transfer, for [`Anvil::reorg_with`].
    pub fn transfer_transaction(&self, from: Address, to: Address, amount: U256) -> Transaction {
        self.transaction(from, "transfer(address,uint256)", &(to, amount))
    }

    /// Makes several transfers in one transaction ([`Erc20::deploy_variant`] only).
    pub async fn transfer_many(&self, transfers: &[(Address, U256)]) -> Result<B256> {
        let signature = "transferMany(address[],uint256[])";
        let arguments: (Vec<Address>, Vec<U256>) = transfers.iter().copied().unzip();
        self.anvil.send(&self.transaction(self.owner, signature, &arguments)).await
    }

    /// Makes transfers revert from now on, or no longer ([`Erc20::deploy_variant`] only).
    pub async fn set_frozen(&self, frozen: bool) -> Result<B256> {
        self.anvil.send(&self.transaction(self.owner, "setFrozen(bool)", &(frozen,))).await
    }

    /// The transaction that makes transfers lose so many hundredths of a percent from then on
    /// ([`Erc20::deploy_variant`] only).
    pub fn fee_transaction(&self, from: Address, basis_points: u64) -> Transaction {
        self.transaction(from, "setFee(uint256)", &(U256::from(basis_points),))
    }

    /// The base units that `owner` holds.
    pub async fn balance_of(&self, owner: Address) -> Result<U256> {
        let data = call_data("balanceOf(address)", &(owner,));
        let call = json!([{ "to": self.address, "data": data }, "latest"]);
        self.anvil.call("eth_call", call).await
    }

    fn transaction<T: SolValue>(&self, from: Address, signature: &str, arguments: &T) -> Transaction
    where
        for<'t> <T::SolType as SolType>::Token<'t>: TokenSeq<'t>,
    {
        let data = call_data(signature, arguments);
        Transaction { from, to: Some(self.address), data, ..Transaction::default() }
    }
}

/// Deploys a contract that passes the native coin on, and pays `to` through it: no transaction's
/// `to` and `value` show that payment, only a call trace does.
///
/// # Errors
/// What stands in the way of compiling or deploying it.
pub async fn pay_through_contract(anvil: &Anvil, to: Address, wei: U256) -> Result<B256> {
    let code = on_blocking_thread(|| solidity::compile(TEST_CONTRACTS, "Forwarder")).await?;
    let from = anvil.accounts()[0];
    let contract = anvil.deploy(from, code).await?;
    let data = call_data("forward(address)", &(to,));
    anvil.send(&Transaction { from, to: Some(contract), value: wei, data }).await
}

/// Installs the published token and compiles ours, so that no test waits for that.
///
/// # Errors
/// What stands in the way.
pub fn install() -> Result<()> {
    published_bytecode()?;
    solidity::compile(TEST_CONTRACTS, "TestToken").map(drop)
}

fn published_bytecode() -> Result<Bytes> {
    let file = npm::install(&[CONTRACTS])?.join(ARTIFACT);
    let text = fs::read_to_string(&file).map_err(Error::path("read", &file))?;
    let artifact: Value =
        serde_json::from_str(&text).map_err(|error| Error::unexpected(ARTIFACT, &error))?;
    let code = artifact["bytecode"].as_str().unwrap_or_default();
    let code = hex::decode(code).map_err(|error| Error::unexpected(ARTIFACT, &error))?;
    Ok(code.into())
}

/// Function selector and arguments, as the Solidity ABI lays them out.
pub(crate) fn call_data<T: SolValue>(signature: &str, arguments: &T) -> Bytes
where
    for<'t> <T::SolType as SolType>::Token<'t>: TokenSeq<'t>,
{
    let selector = &keccak256(signature)[..4];
    [selector, &arguments.abi_encode_params()].concat().into()
}
