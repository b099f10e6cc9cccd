//! Credits by difference: what an owner has after a transaction, less what it had before.
//!
//! So it does not matter by which program, how deep, or how often something moved, and what a fee
//! took on the way is not credited (I11). What an owner moves between accounts of its own is no
//! credit either:
//!
//! - of tokens, what its other accounts of the mint lost is taken off what its accounts gained;
//! - of the native coin, what its token accounts lost is taken off: closing one gives its rent
//!   back, and unwraps coin that was wrapped in it.
//!
//! A token account's own coin is its rent: who pays for it pays nobody. Rewards are no part of any
//! transaction, so they are no payments. Confidential transfers (Token-2022) show no amounts, and
//! are not seen.

use confirmd_chain::Address;
use serde::Deserialize;

use crate::Refusal;
use crate::block::Key;
use crate::json::digits;

/// The balance of one token account.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TokenBalance<'a> {
    account_index: usize,
    pub(crate) mint: &'a str,
    #[serde(borrow, default)]
    owner: Option<&'a str>,
    ui_token_amount: Units,
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct Units {
    #[serde(deserialize_with = "digits")]
    amount: u64,
}

impl<'a> TokenBalance<'a> {
    /// Nodes of before 2022 showed none.
    pub(crate) fn owner(&self) -> Result<&'a str, Refusal> {
        self.owner.ok_or_else(|| Refusal::unproven("a token balance without its owner"))
    }

    fn amount(&self) -> u64 {
        self.ui_token_amount.amount
    }

    fn belongs_to(&self, owner: &str, mint: &str) -> bool {
        self.owner == Some(owner) && self.mint == mint
    }
}

/// The balances of all of a transaction's accounts, before and after.
#[derive(Clone, Copy)]
pub(crate) struct Balances<'t, 'a> {
    pub(crate) keys: &'t [Key<'a>],
    pub(crate) before: &'t [u64],
    pub(crate) after: &'t [u64],
    pub(crate) tokens_before: &'t [TokenBalance<'a>],
    pub(crate) tokens_after: &'t [TokenBalance<'a>],
    /// What the first account paid for the transaction.
    pub(crate) fee: u64,
}

/// What an account of a transaction was credited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Credit<'a> {
    /// The account's place in the transaction.
    pub(crate) index: u32,
    /// Its owner; of the native coin, itself.
    pub(crate) to: &'a str,
    /// The token; none for the native coin.
    pub(crate) mint: Option<Address>,
    /// The one who paid, where there is one alone.
    pub(crate) from: Option<&'a str>,
    pub(crate) amount: u64,
}

impl<'t, 'a> Balances<'t, 'a> {
    /// Refuses lists that do not agree with each other.
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        let accounts = self.keys.len();
        for list in [self.tokens_before, self.tokens_after] {
            let mut seen = vec![false; accounts];
            for balance in list {
                match seen.get_mut(balance.account_index) {
                    Some(seen) if !*seen => *seen = true,
                    _ => return Err(Refusal::unproven("a token balance of no account, or two")),
                }
            }
        }
        Ok(())
    }

    /// The owners whose coin rose, token accounts apart.
    pub(crate) fn richer(&self) -> impl Iterator<Item = &'a str> {
        let balances = *self;
        (0..self.keys.len())
            .filter(move |n| balances.after[*n] > balances.before[*n])
            .filter(move |n| !balances.is_token_account(*n))
            .map(move |n| balances.keys[n].text)
    }

    /// Each owner with tokens after the transaction, once for each of its mints.
    pub(crate) fn holdings(&self) -> Result<Vec<(&'a str, &'a str)>, Refusal> {
        let mut holdings = Vec::new();
        for balance in self.tokens_after {
            let holding = (balance.owner()?, balance.mint);
            if !holdings.contains(&holding) {
                holdings.push(holding);
            }
        }
        Ok(holdings)
    }

    /// The native coin that an owner was credited.
    pub(crate) fn of_coin(&self, owner: &str) -> Option<Credit<'a>> {
        let n = self.keys.iter().position(|key| key.text == owner)?;
        let gained = self.after[n].checked_sub(self.before[n])?;
        let own = self.tokens_before.iter().filter(|balance| balance.owner == Some(owner));
        let lost = |balance: &TokenBalance<'_>| {
            let n = balance.account_index;
            self.before[n].saturating_sub(self.after[n])
        };
        let returned = own.map(lost).fold(0, u64::saturating_add);
        let amount = gained.checked_sub(returned).filter(|amount| *amount > 0)?;
        let index = u32::try_from(n).ok()?;
        let (to, from) = (self.keys[n].text, self.payer_of_coin());
        Some(Credit { index, to, mint: None, from, amount })
    }

    /// The tokens of a mint that an owner was credited, by account. What its other accounts lost is
    /// taken off the first of those that gained.
    pub(crate) fn of_token(
        &self,
        owner: &'a str,
        mint: &str,
        known: &Address,
    ) -> Result<Vec<Credit<'a>>, Refusal> {
        let owned = |list: &'t [TokenBalance<'a>]| {
            list.iter().filter(move |balance| balance.belongs_to(owner, mint))
        };
        let amount_in = |list, n| {
            let mut found = owned(list).filter(|balance| balance.account_index == n);
            found.next().map_or(0, TokenBalance::amount)
        };
        let lost = owned(self.tokens_before).map(|balance| {
            balance.amount().saturating_sub(amount_in(self.tokens_after, balance.account_index))
        });
        let mut lost = lost.fold(0, u64::saturating_add);
        let mut gained: Vec<(usize, u64)> = owned(self.tokens_after)
            .map(|balance| {
                let n = balance.account_index;
                (n, balance.amount().saturating_sub(amount_in(self.tokens_before, n)))
            })
            .collect();
        gained.sort_unstable();
        let from = self.payer_of_token(mint)?.filter(|payer| *payer != owner);
        let mut credits = Vec::new();
        for (n, gained) in gained {
            let amount = gained.saturating_sub(lost);
            lost -= gained - amount;
            let index = u32::try_from(n).map_err(|_| Refusal::malformed("too many accounts"))?;
            let mint = Some(known.clone());
            credits.push(Credit { index, to: owner, mint, from, amount });
        }
        credits.retain(|credit| credit.amount > 0);
        Ok(credits)
    }

    /// The accounts that have no part in what moves: whose coin stays as it is, that have no tokens
    /// and are nobody's who has.
    pub(crate) fn bystanders(&self) -> impl Iterator<Item = &'t Key<'a>> {
        let balances = *self;
        let all = move || balances.tokens_before.iter().chain(balances.tokens_after);
        let is_party = move |text: &str| {
            all().any(|balance| balance.owner == Some(text) || balance.mint == text)
        };
        (0..self.keys.len())
            .filter(move |n| balances.after[*n] == balances.before[*n])
            .filter(move |n| !balances.is_token_account(*n))
            .map(move |n| &balances.keys[n])
            .filter(move |key| !is_party(key.text))
    }

    fn is_token_account(&self, n: usize) -> bool {
        let mut all = self.tokens_before.iter().chain(self.tokens_after);
        all.any(|balance| balance.account_index == n)
    }

    /// The one whose coin fell, the fee apart: its own, or that of token accounts of its.
    fn payer_of_coin(&self) -> Option<&'a str> {
        let fee = |n: usize| if n == 0 { self.fee } else { 0 };
        let owner = |n: usize| {
            let mut own = self.tokens_before.iter().filter(|balance| balance.account_index == n);
            own.next().and_then(|balance| balance.owner).unwrap_or(self.keys[n].text)
        };
        let mut payers = (0..self.keys.len())
            .filter(|n| self.after[*n].saturating_add(fee(*n)) < self.before[*n])
            .map(owner);
        let first = payers.next()?;
        payers.all(|other| other == first).then_some(first)
    }

    /// The one owner who has less of a mint than before.
    fn payer_of_token(&self, mint: &str) -> Result<Option<&'a str>, Refusal> {
        let total = |list: &[TokenBalance<'_>], owner| {
            let owned = list.iter().filter(|balance| balance.belongs_to(owner, mint));
            owned.map(|balance| u128::from(balance.amount())).sum::<u128>()
        };
        let mut payer = None;
        for balance in self.tokens_before.iter().filter(|balance| balance.mint == mint) {
            let owner = balance.owner()?;
            let fell = total(self.tokens_after, owner) < total(self.tokens_before, owner);
            match payer {
                _ if !fell => {}
                None => payer = Some(owner),
                Some(other) if other == owner => {}
                Some(_) => return Ok(None),
            }
        }
        Ok(payer)
    }
}
