//! From logs and transactions to the contract's transfers.

use alloy_primitives::map::HashSet;
use alloy_primitives::{Address, B256, U256};
use confirmd_chain::{
    Amount, Asset, TransactionId, Transfer, TransferId, TransferIndex, WatchView,
};

use crate::Refusal;
use crate::address::{canonical, watch_key};
use crate::logs::Log;
use crate::receipts::Receipt;
use crate::transactions::Transaction;

/// One credit to a watched address, and where in the block it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Credit {
    /// The place of its transaction in the block.
    pub(crate) at: u64,
    /// Its transaction.
    pub(crate) transaction: B256,
    /// What moved: none for the native coin, else the token.
    token: Option<Address>,
    /// The place among the transaction's logs; none for its value.
    log: Option<u32>,
    from: Address,
    to: Address,
    amount: U256,
}

impl Credit {
    /// Its order in the block: a transaction's value moves before its logs are written.
    pub(crate) fn order(&self) -> (u64, Option<u32>) {
        (self.at, self.log)
    }

    pub(crate) fn into_transfer(self) -> Transfer {
        Transfer {
            id: TransferId {
                transaction: TransactionId::new(self.transaction.to_string()),
                index: self.log.map_or(TransferIndex::Value, TransferIndex::Log),
            },
            asset: self.token.map_or(Asset::Native, |token| Asset::Token(canonical(&token))),
            from: Some(canonical(&self.from)),
            to: canonical(&self.to),
            watch: watch_key(&self.to),
            amount: Amount::from_base_units(self.amount),
            memo: None,
            references: Vec::new(),
        }
    }
}

/// Whether anybody waits for what this address receives. Nobody holds the zero address: what goes
/// there is burnt.
fn is_watched(to: &Address, watches: &WatchView<'_>) -> bool {
    watches.contains(&watch_key(to)) && !to.is_zero()
}

/// Whether a log moves a registered token to a watched address. Does not allocate.
pub(crate) fn is_hit(log: &Log<'_>, tokens: &HashSet<Address>, watches: &WatchView<'_>) -> bool {
    log.receiver().is_some_and(|to| tokens.contains(&log.address) && is_watched(&to, watches))
}

/// The token credits of these receipts. A failed transaction credits nothing (I11).
pub(crate) fn of_receipts<'r>(
    receipts: impl IntoIterator<Item = &'r Receipt<'r>>,
    tokens: &HashSet<Address>,
    watches: &WatchView<'_>,
) -> Result<Vec<Credit>, Refusal> {
    let mut credits = Vec::new();
    for receipt in receipts {
        if receipt.failed() {
            continue;
        }
        for (position, log) in (0_u32..).zip(&receipt.logs) {
            if !is_hit(log, tokens, watches) {
                continue;
            }
            if let Some(moved) = log.transfer()? {
                credits.push(Credit {
                    at: receipt.index(),
                    transaction: receipt.transaction_hash,
                    token: Some(moved.token),
                    log: Some(position),
                    from: moved.from,
                    to: moved.to,
                    amount: moved.amount,
                });
            }
        }
    }
    Ok(credits)
}

/// Whether a transaction, if it succeeds, moves native coin to a watched address.
pub(crate) fn may_credit(transaction: &Transaction<'_>, watches: &WatchView<'_>) -> bool {
    !transaction.value.is_zero() && transaction.to.is_some_and(|to| is_watched(&to, watches))
}

/// The native credit of a transaction that succeeded; none where it pays its own sender.
pub(crate) fn of_value(at: u64, transaction: &Transaction<'_>) -> Result<Option<Credit>, Refusal> {
    let Some(to) = transaction.to else { return Ok(None) };
    let from = transaction.sender()?;
    Ok((from != to && !transaction.value.is_zero()).then_some(Credit {
        at,
        transaction: transaction.hash,
        token: None,
        log: None,
        from,
        to,
        amount: transaction.value,
    }))
}
