//! From logs and transactions to the contract's transfers.

use alloy_primitives::map::HashSet;
use alloy_primitives::{Address, B256, U256};
use confirmd_chain::{
    Amount, Asset, Confirmations, TransactionId, Transfer, TransferId, TransferIndex, WatchView,
};

use crate::Refusal;
use crate::address::{canonical, watch_key};
use crate::logs::{Log, TRANSFER};
use crate::receipts::Receipt;
use crate::references::{self, NATIVE_PAYMENT};
use crate::traces::InternalTransfer;
use crate::transactions::Transaction;

/// The contracts whose logs say that something was paid.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources {
    /// The registered tokens.
    pub(crate) tokens: HashSet<Address>,
    /// Request Network's proxy for tokens.
    pub(crate) token_proxy: Option<Address>,
    /// Its proxy for the native coin, where that is looked for.
    pub(crate) native_proxy: Option<Address>,
}

impl Sources {
    /// Whether a log is one that credits something, to anybody. What only labels is not.
    pub(crate) fn credits(&self, log: &Log<'_>) -> bool {
        match log.topics.as_slice().first() {
            Some(&TRANSFER) => self.tokens.contains(&log.address),
            Some(&NATIVE_PAYMENT) => self.native_proxy == Some(log.address),
            _ => false,
        }
    }

    /// Whether a log moves a registered token, or the native coin, to a watched address. Does not
    /// allocate.
    pub(crate) fn is_hit(&self, log: &Log<'_>, watches: &WatchView<'_>) -> bool {
        if !self.credits(log) {
            return false;
        }
        match references::native_payment(log) {
            Ok(Some(paid)) => is_watched(&paid.to, watches),
            Ok(None) => log.receiver().is_some_and(|to| is_watched(&to, watches)),
            // Looked at more closely, it is refused.
            Err(_) => true,
        }
    }
}

/// One credit to a watched address, and where in the block it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Credit {
    /// The place of its transaction in the block.
    pub(crate) at: u64,
    /// Its transaction.
    pub(crate) transaction: B256,
    place: Place,
    /// What moved: none for the native coin, else the token.
    token: Option<Address>,
    from: Option<Address>,
    to: Address,
    amount: U256,
    reference: Option<B256>,
}

/// A credit's place in its transaction, in order: a transaction's value moves before what it calls
/// does, and those before its logs, whatever the true order is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// It is the transaction's own value.
    Value,
    /// The call at this trace address moves it.
    Call(Vec<u32>),
    /// The n-th log tells it.
    Log(u32),
}

impl Credit {
    /// The order of two credits of one block.
    pub(crate) fn in_order(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, &self.place).cmp(&(other.at, &other.place))
    }

    pub(crate) fn into_transfer(self) -> Transfer {
        Transfer {
            id: TransferId {
                transaction: TransactionId::new(self.transaction.to_string()),
                index: match self.place {
                    Place::Value => TransferIndex::Value,
                    Place::Call(path) => TransferIndex::Trace(path),
                    Place::Log(n) => TransferIndex::Log(n),
                },
            },
            asset: self.token.map_or(Asset::Native, |token| Asset::Token(canonical(&token))),
            from: self.from.as_ref().map(canonical),
            to: canonical(&self.to),
            watch: watch_key(&self.to),
            amount: Amount::from_base_units(self.amount),
            memo: None,
            references: self.reference.iter().map(ToString::to_string).collect(),
            maturity: Confirmations::default(),
        }
    }
}

/// Whether anybody waits for what this address receives. Nobody holds the zero address: what goes
/// there is burnt.
fn is_watched(to: &Address, watches: &WatchView<'_>) -> bool {
    watches.contains(&watch_key(to)) && !to.is_zero()
}

/// The credits that the logs of these receipts tell. A failed transaction credits nothing (I11).
pub(crate) fn of_receipts<'r>(
    receipts: impl IntoIterator<Item = &'r Receipt<'r>>,
    sources: &Sources,
    watches: &WatchView<'_>,
) -> Result<Vec<Credit>, Refusal> {
    let mut credits = Vec::new();
    for receipt in receipts {
        if receipt.failed() {
            continue;
        }
        let before = credits.len();
        for (position, log) in (0_u32..).zip(&receipt.logs) {
            if sources.is_hit(log, watches) {
                credits.extend(of_log(receipt, position, log)?);
            }
        }
        label(&mut credits[before..], &receipt.logs, sources)?;
    }
    Ok(credits)
}

/// The credit of a log that [`Sources::is_hit`] found; none where nothing moves.
fn of_log(receipt: &Receipt<'_>, n: u32, log: &Log<'_>) -> Result<Option<Credit>, Refusal> {
    let credit = |token, from, to, amount, reference| Credit {
        at: receipt.index(),
        transaction: receipt.transaction_hash,
        place: Place::Log(n),
        token,
        from,
        to,
        amount,
        reference,
    };
    if let Some(paid) = references::native_payment(log)? {
        let moves = !paid.amount.is_zero();
        return Ok(moves.then(|| credit(None, None, paid.to, paid.amount, Some(paid.reference))));
    }
    let moved = log.transfer()?;
    Ok(moved.map(|m| credit(Some(m.token), Some(m.from), m.to, m.amount, None)))
}

/// Gives a transaction's token credits the references that the fee proxy's events name. An event
/// is written right after its transfer, so it belongs to the nearest one before it of the same
/// token, receiver and amount that has none yet.
fn label(credits: &mut [Credit], logs: &[Log<'_>], sources: &Sources) -> Result<(), Refusal> {
    if credits.is_empty() || sources.token_proxy.is_none() {
        return Ok(());
    }
    for (position, log) in (0_u32..).zip(logs) {
        if sources.token_proxy != Some(log.address) {
            continue;
        }
        let Some(paid) = references::token_payment(log)? else { continue };
        let labelled = credits.iter_mut().rev().find(|credit| {
            credit.place < Place::Log(position)
                && credit.reference.is_none()
                && (credit.token, credit.to, credit.amount) == (paid.token, paid.to, paid.amount)
        });
        if let Some(credit) = labelled {
            credit.reference = Some(paid.reference);
        }
    }
    Ok(())
}

/// Whether a transaction, if it succeeds, moves native coin to a watched address.
pub(crate) fn may_credit(transaction: &Transaction<'_>, watches: &WatchView<'_>) -> bool {
    !transaction.carries().is_zero()
        && transaction.receiver().is_some_and(|to| is_watched(&to, watches))
}

/// The native credit of a transaction that succeeded; none where it pays its own sender.
pub(crate) fn of_value(at: u64, transaction: &Transaction<'_>) -> Result<Option<Credit>, Refusal> {
    let Some(to) = transaction.receiver() else { return Ok(None) };
    let (from, amount) = (transaction.sender()?, transaction.carries());
    Ok((from != to && !amount.is_zero()).then_some(Credit {
        at,
        transaction: transaction.hash,
        place: Place::Value,
        token: None,
        from: Some(from),
        to,
        amount,
        reference: None,
    }))
}

/// Whether coin that moved within a transaction went to a watched address.
pub(crate) fn is_internal_hit(moved: &InternalTransfer, watches: &WatchView<'_>) -> bool {
    is_watched(&moved.to, watches)
}

/// The credits of coin that moved within a transaction that succeeded. `told` has those that its
/// logs tell: what the native coin's proxy sent stands there already, once for each event (I2).
pub(crate) fn of_internal<'t>(
    transaction: B256,
    moved: impl IntoIterator<Item = &'t InternalTransfer>,
    told: &[Credit],
    sources: &Sources,
) -> Vec<Credit> {
    let mut credits = Vec::new();
    let mut told: Vec<&Credit> = told
        .iter()
        .filter(|credit| credit.transaction == transaction && credit.token.is_none())
        .filter(|credit| matches!(credit.place, Place::Log(_)))
        .collect();
    for moved in moved {
        let same = |credit: &&Credit| (credit.to, credit.amount) == (moved.to, moved.amount);
        let known = told.iter().position(same).filter(|_| sources.native_proxy == Some(moved.from));
        if let Some(known) = known {
            told.remove(known);
            continue;
        }
        credits.push(Credit {
            at: moved.at as u64,
            transaction,
            place: Place::Call(moved.path.clone()),
            token: None,
            from: Some(moved.from),
            to: moved.to,
            amount: moved.amount,
            reference: None,
        });
    }
    credits
}
