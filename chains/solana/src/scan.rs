//! What in a block hits a watch.

use std::collections::HashSet;

use alloy_primitives::map::HashMap;
use confirmd_chain::{
    Address, Amount, Asset, Confirmations, TransactionId, Transfer, TransferId, TransferIndex,
    WatchView,
};

use crate::block::{Detail, Key, Keys, Meta, RawBlock, Transaction};
use crate::config::SolanaConfig;
use crate::credits::{Balances, Credit, TokenBalance};
use crate::json::{add_list, read_list};
use crate::{Refusal, address, memo};

/// What counts on a network.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The registered mints by their text.
    mints: HashMap<Box<str>, Address>,
    /// Whether the native coin counts.
    native: bool,
}

impl Rules {
    /// As the network is configured.
    #[must_use]
    pub fn new(config: &SolanaConfig) -> Self {
        let mints = config.tokens.iter().map(|token| (token.mint.as_str().into(), &token.mint));
        let mints = mints.map(|(text, mint)| (text, mint.clone())).collect();
        Self { mints, native: config.native }
    }
}

/// What hit a watch.
#[derive(Debug, Default)]
pub struct Found {
    /// The transfers to watched owners, in the order of the block.
    pub transfers: Vec<Transfer>,
    /// How many owners whose balance rose were held against the watches.
    pub examined: u64,
}

/// Looks through a block for credits to watched owners. Memos and references are read where
/// `discriminates` says that somebody waits for them, and then memos need [`Detail::Full`].
///
/// A transaction in which nobody's balance rises is passed over, as votes are; where none hits,
/// nothing is allocated for any but a few lists for all of them.
///
/// # Errors
/// When something that must be there is not, or does not agree with itself: then there is no
/// telling what else is wrong.
pub fn scan(
    block: &RawBlock<'_>,
    detail: Detail,
    discriminates: bool,
    rules: &Rules,
    watches: &WatchView<'_>,
) -> Result<Found, Refusal> {
    let mut scan = Scan {
        detail,
        discriminates,
        rules,
        watches,
        lists: Lists::default(),
        hits: HashSet::new(),
        found: Found::default(),
    };
    if !watches.is_empty() {
        for transaction in &block.transactions {
            scan.look(transaction)?;
        }
    }
    Ok(scan.found)
}

struct Scan<'s, 'a> {
    detail: Detail,
    discriminates: bool,
    rules: &'s Rules,
    watches: &'s WatchView<'s>,
    lists: Lists<'a>,
    /// The ids of transactions that hit.
    hits: HashSet<&'a str>,
    found: Found,
}

/// Of the transaction that is looked at; each is read where it is needed.
#[derive(Default)]
struct Lists<'a> {
    keys: Vec<Key<'a>>,
    before: Vec<u64>,
    after: Vec<u64>,
    tokens_before: Vec<TokenBalance<'a>>,
    tokens_after: Vec<TokenBalance<'a>>,
}

impl<'a> Lists<'a> {
    fn read_coin(&mut self, meta: &Meta<'a>) -> Result<(), Refusal> {
        read_list(meta.pre_balances, &mut self.before)?;
        read_list(meta.post_balances, &mut self.after)?;
        match self.before.len() == self.after.len() {
            true => Ok(()),
            false => Err(Refusal::unproven("balances of more accounts before than after, or less")),
        }
    }

    fn read_keys(&mut self, transaction: &Transaction<'a>) -> Result<(), Refusal> {
        match transaction.keys()? {
            Keys::Listed(keys) => read_list(keys, &mut self.keys)?,
            Keys::Signed(message) => {
                read_list(message.account_keys, &mut self.keys)?;
                let signers = self.keys.iter_mut().take(message.header.num_required_signatures);
                signers.for_each(|key| key.is_signer = true);
                if let Some(loaded) = &transaction.meta()?.loaded_addresses {
                    add_list(loaded.writable, &mut self.keys)?;
                    add_list(loaded.readonly, &mut self.keys)?;
                }
            }
        }
        match self.keys.len() == self.before.len() {
            true => Ok(()),
            false => Err(Refusal::unproven("not as many accounts as balances")),
        }
    }
}

impl<'a> Scan<'_, 'a> {
    fn look(&mut self, transaction: &Transaction<'a>) -> Result<(), Refusal> {
        let meta = transaction.meta()?;
        if meta.failed() {
            return Ok(());
        }
        let hits_coin = self.rules.native && self.coin_hits(transaction, meta)?;
        if hits_coin || self.tokens_hit(meta)? {
            self.credit(transaction, meta)?;
        }
        Ok(())
    }

    /// Whether the coin of a watched owner rises.
    fn coin_hits(
        &mut self,
        transaction: &Transaction<'a>,
        meta: &Meta<'a>,
    ) -> Result<bool, Refusal> {
        self.lists.read_coin(meta)?;
        let rises = |lists: &Lists<'_>, n: usize| lists.after[n] > lists.before[n];
        let Some(first) = (0..self.lists.after.len()).find(|n| rises(&self.lists, *n)) else {
            return Ok(false);
        };
        self.lists.read_keys(transaction)?;
        let mut hits = false;
        for n in first..self.lists.after.len() {
            if rises(&self.lists, n) {
                self.found.examined += 1;
                hits |= self.is_watched(self.lists.keys[n].text)?;
            }
        }
        Ok(hits)
    }

    /// Whether a watched owner has a token account of a registered mint after the transaction, and
    /// any token account's balance changed.
    fn tokens_hit(&mut self, meta: &Meta<'a>) -> Result<bool, Refusal> {
        if !meta.moves_tokens()? || self.rules.mints.is_empty() {
            return Ok(false);
        }
        read_list(meta.tokens_after()?, &mut self.lists.tokens_after)?;
        let mut hits = false;
        for balance in &self.lists.tokens_after {
            if self.rules.mints.contains_key(balance.mint) {
                self.found.examined += 1;
                hits |= self.is_watched(balance.owner()?)?;
            }
        }
        Ok(hits)
    }

    fn is_watched(&self, owner: &str) -> Result<bool, Refusal> {
        let bytes = address::bytes(owner);
        let bytes = bytes.ok_or_else(|| Refusal::malformed("an account's key that is none"))?;
        Ok(self.watches.contains(&address::watch_key(&bytes)))
    }

    /// Notes what a transaction credits to watched owners; it may be nothing after all.
    fn credit(&mut self, transaction: &Transaction<'a>, meta: &Meta<'a>) -> Result<(), Refusal> {
        self.lists.read_coin(meta)?;
        self.lists.read_keys(transaction)?;
        read_list(meta.tokens_before()?, &mut self.lists.tokens_before)?;
        read_list(meta.tokens_after()?, &mut self.lists.tokens_after)?;
        let lists = &self.lists;
        let balances = Balances {
            keys: &lists.keys,
            before: &lists.before,
            after: &lists.after,
            tokens_before: &lists.tokens_before,
            tokens_after: &lists.tokens_after,
            fee: meta.fee,
        };
        balances.check()?;
        let mut credits = Vec::new();
        if self.rules.native {
            for owner in balances.richer() {
                if self.is_watched(owner)? {
                    credits.extend(balances.of_coin(owner));
                }
            }
        }
        for (owner, mint) in balances.holdings()? {
            if let Some(known) = self.rules.mints.get(mint)
                && self.is_watched(owner)?
            {
                credits.extend(balances.of_token(owner, mint, known)?);
            }
        }
        if credits.is_empty() {
            return Ok(());
        }
        credits.sort_unstable_by_key(|credit| credit.index);
        let (memo, references) = self.discriminators(transaction, &balances)?;
        let id = transaction.signature()?;
        if !self.hits.insert(id) {
            return Err(Refusal::unproven(format!("transaction {id} is there twice")));
        }
        let id = TransactionId::new(id);
        for credit in credits {
            let transfer = transfer(&id, credit, memo.clone(), references.clone())?;
            self.found.transfers.push(transfer);
        }
        Ok(())
    }

    /// The transaction's first memo, and all by which it may be told from others.
    fn discriminators(
        &self,
        transaction: &Transaction<'a>,
        balances: &Balances<'_, 'a>,
    ) -> Result<(Option<String>, Vec<String>), Refusal> {
        if !self.discriminates {
            return Ok((None, Vec::new()));
        }
        let memos = match self.detail {
            Detail::Full => memo::memos(transaction, &self.lists.keys)?,
            Detail::Accounts | Detail::Header => Vec::new(),
        };
        let carried = memos.iter().filter_map(|memo| memo::parse_memo(memo));
        let keys = memo::references(balances.bystanders()).map(str::to_owned);
        let references = carried.chain(keys).collect();
        Ok((memos.into_iter().next(), references))
    }
}

fn transfer(
    transaction: &TransactionId,
    credit: Credit<'_>,
    memo: Option<String>,
    references: Vec<String>,
) -> Result<Transfer, Refusal> {
    let owner = address::bytes(credit.to);
    let owner = owner.ok_or_else(|| Refusal::malformed("an owner that is no key"))?;
    Ok(Transfer {
        id: TransferId {
            transaction: transaction.clone(),
            index: TransferIndex::Account(credit.index),
        },
        asset: credit.mint.map_or(Asset::Native, Asset::Token),
        from: credit.from.map(Address::from_canonical),
        to: Address::from_canonical(credit.to),
        watch: address::watch_key(&owner),
        amount: Amount::from(credit.amount),
        memo,
        references,
        maturity: Confirmations::default(),
    })
}
