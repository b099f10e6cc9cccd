//! Tokens on the node.

use serde::Deserialize;
use serde_json::json;
use solana_instruction::Instruction;
use solana_keypair::{Keypair, Signer};
use solana_pubkey::Pubkey;

use super::{
    Surfpool, TokenProgram,
    instructions::{self, NewMint, Route},
};
use crate::{Error, Result};

/// What Token-2022 keeps back of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fee {
    /// Hundredths of a percent of the amount.
    pub basis_points: u16,
    /// The most, in base units.
    pub maximum: u64,
}

/// How a mint is made.
#[derive(Debug, Clone, Copy)]
pub struct MintOptions {
    /// Whose it is.
    pub program: TokenProgram,
    /// Decimals of its amounts.
    pub decimals: u8,
    /// Kept back of each transfer; Token-2022 alone knows such.
    pub fee: Option<Fee>,
}

impl Default for MintOptions {
    /// Like USDC.
    fn default() -> Self {
        Self { program: TokenProgram::Token, decimals: 6, fee: None }
    }
}

/// A token; the node's own key is its authority.
#[derive(Debug)]
pub struct Mint<'a> {
    node: &'a Surfpool,
    options: MintOptions,
    /// Its address.
    pub address: Pubkey,
}

impl<'a> Mint<'a> {
    /// Makes one.
    ///
    /// # Errors
    /// [`Error::Unexpected`] where the program does not take the options.
    pub async fn create(node: &'a Surfpool, options: MintOptions) -> Result<Self> {
        let key = Keypair::new();
        let new = NewMint {
            program: options.program,
            address: key.pubkey(),
            authority: node.purse().pubkey(),
            decimals: options.decimals,
            fee: options.fee,
        };
        let rent = json!([new.bytes()]);
        let rent = node.call("getMinimumBalanceForRentExemption", rent).await?;
        let instructions = new.instructions(&node.purse().pubkey(), rent);
        node.send(&instructions, &[&key]).await?;
        Ok(Self { node, options, address: new.address })
    }

    /// The account that holds an owner's tokens.
    pub fn account_of(&self, owner: &Pubkey) -> Pubkey {
        instructions::account_of(owner, &self.address, self.options.program)
    }

    /// Makes an owner's account where it is not there yet; the node's own key pays for it.
    pub fn opening(&self, owner: &Pubkey) -> Instruction {
        let payer = self.node.purse().pubkey();
        instructions::open_account(&payer, owner, &self.address, self.options.program)
    }

    /// A transfer between the accounts of two owners, of which `from` signs and `to` has one.
    pub fn transferring(&self, from: &Pubkey, to: &Pubkey, amount: u64) -> Instruction {
        let route = Route { from: self.account_of(from), owner: *from, to: self.account_of(to) };
        let MintOptions { program, decimals, .. } = self.options;
        instructions::transfer(program, &self.address, decimals, &route, amount)
    }

    /// A transfer by an inner instruction: what lies in the account of `owner`'s account goes to
    /// `owner`'s account, and the former is closed. `owner` signs.
    ///
    /// Another account is opened beside it: where a transaction leaves fewer token accounts than
    /// there were, surfpool forgets to show as many of the balances before it.
    pub fn recovering(&self, owner: &Pubkey) -> [Instruction; 2] {
        let recover = instructions::recover_nested(owner, &self.address, self.options.program);
        [self.opening(&Pubkey::new_unique()), recover]
    }

    /// Gives an owner new tokens.
    pub async fn mint_to(&self, owner: &Pubkey, amount: u64) -> Result<String> {
        let authority = self.node.purse().pubkey();
        let (program, account) = (self.options.program, self.account_of(owner));
        let mint = instructions::mint_to(program, &self.address, &account, &authority, amount);
        self.node.send(&[self.opening(owner), mint], &[]).await
    }

    /// Pays an owner, whose account is made on the way where it is not there yet.
    pub async fn pay(&self, from: &Keypair, to: &Pubkey, amount: u64) -> Result<String> {
        let transfer = self.transferring(&from.pubkey(), to, amount);
        self.node.send(&[self.opening(to), transfer], &[from]).await
    }

    /// Base units that an owner's account holds.
    pub async fn balance_of(&self, owner: &Pubkey) -> Result<u64> {
        #[derive(Deserialize)]
        struct Answer {
            value: Balance,
        }
        #[derive(Deserialize)]
        struct Balance {
            amount: String,
        }
        let account = self.account_of(owner).to_string();
        let params = json!([account, { "commitment": "processed" }]);
        let answer: Answer = self.node.call("getTokenAccountBalance", params).await?;
        let amount = answer.value.amount;
        amount.parse().map_err(|error| Error::unexpected(format!("amount {amount}"), &error))
    }
}
