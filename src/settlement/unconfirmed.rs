//! Transactions that are in no block: what is told of them, and when that is taken back.
//!
//! They count for nothing, and hold an intent that would expire. That a transaction is missing from
//! a mempool proves nothing, so it is taken back only where another one spends what it spends; and
//! not even then, where that one pays the same.

use std::collections::{BTreeMap, BTreeSet};

use confirmd_chain::{Amount, FeeRate, Height, Timestamp, TransactionId};
use serde::{Deserialize, Serialize};

use super::advance::Change;
use super::assess::{Assessment, candidate};
use super::credit::{Credit, Role};
use super::event::{EventId, EventKind, Retraction};
use super::intent::{AmountPolicy, Intent, NetworkId, Rank};
use super::settler::{Moment, Settler};

/// After so long without being shown, nodes have forgotten a transaction (`-mempoolexpiry`), and it
/// holds no intent any more: two weeks.
pub const FORGOTTEN_AFTER_MS: i64 = 14 * 24 * 3_600_000;

/// What mempools showed of a transfer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// What its transaction pays for being mined, where that is known.
    pub fee_rate: Option<FeeRate>,
    /// Whether its transaction says that it may be replaced (BIP-125).
    pub replaceable: bool,
    /// When a mempool showed it last, give or take an hour.
    pub shown_at: Timestamp,
    /// The transaction that spends what this one spends, where one showed up after it.
    pub replaced_by: Option<TransactionId>,
}

/// An unconfirmed transaction that was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToldSighting {
    /// The event's id.
    pub event: EventId,
    /// The network.
    pub network: NetworkId,
    /// The transaction; the newest, where others took its place that pay the same.
    pub transaction: TransactionId,
}

impl Credit {
    /// Whether it keeps its intent from expiring.
    pub(super) fn holds_at(&self, now: Timestamp) -> bool {
        let shown_at = self.sighting.as_ref().map(|sighting| sighting.shown_at);
        matches!(self.role, Role::Seen(_))
            && shown_at.is_some_and(|at| now.0.saturating_sub(at.0) < FORGOTTEN_AFTER_MS)
    }

    fn is_of(&self, network: &NetworkId, transaction: &TransactionId) -> bool {
        self.network == *network && self.id.transaction == *transaction
    }
}

/// Finds the transfers that would pay a rail once they are mined.
pub(super) fn mark_seen(
    intent: &Intent,
    credits: &[Credit],
    cursors: &BTreeMap<NetworkId, Height>,
    now: &mut Assessment,
) {
    let takes = |rail: usize| match now.completed_by {
        None => true,
        // What comes once it is complete counts as well, until it is confirmed.
        Some(_) => {
            now.rail == rail
                && now.rank < Rank::Confirmed
                && intent.rails[rail].policy == AmountPolicy::AtLeast
        }
    };
    let waiting = (0..credits.len()).filter(|&index| {
        let credit = &credits[index];
        credit.waits_at(cursors.get(&credit.network).copied())
    });
    let seen: Vec<_> = waiting
        .filter_map(|index| Some((index, candidate(intent, &credits[index]).ok()?)))
        .filter(|(_, rail)| takes(*rail))
        .collect();
    for (index, rail) in seen {
        now.roles[index] = Role::Seen(rail);
    }
}

/// A transfer that took the place of one that was the same was first seen with that one: who pays
/// in time and raises the fee later has paid in time.
pub(super) fn with_first_sights(mut credits: Vec<Credit>) -> Vec<Credit> {
    let replaced = |credit: &Credit| Some((credit.clone(), credit.replaced_by()?.clone()));
    let replaced: Vec<_> = credits.iter().filter_map(replaced).collect();
    // Each round reaches one replacement further, from the first to the last.
    for _ in 0..replaced.len() {
        for (old, by) in &replaced {
            let is_old = |credit: &&Credit| credit.network == old.network && credit.id == old.id;
            let first = credits.iter().find(is_old);
            let first = first.map_or(old.credit_time, |first| first.credit_time);
            let same = |new: &&mut Credit| {
                new.is_of(&old.network, by)
                    && (&new.to, &new.asset, new.amount) == (&old.to, &old.asset, old.amount)
                    && new.references == old.references
            };
            for new in credits.iter_mut().filter(same) {
                new.credit_time = new.credit_time.min(first);
            }
        }
    }
    credits
}

impl Settler {
    /// Tells of each unconfirmed transaction that pays the intent while that is open, once.
    pub(super) fn tell_seen(&mut self, moment: &Moment) {
        if !self.intent.state.status.is_open() {
            return;
        }
        let is_told = |credit: &Credit| {
            let told = &self.intent.state.seen;
            told.iter().any(|told| credit.is_of(&told.network, &told.transaction))
        };
        let seen = self.credits.iter().filter(|credit| matches!(credit.role, Role::Seen(_)));
        let news: BTreeSet<_> = seen
            .filter(|credit| !is_told(credit))
            .map(|credit| (credit.network.clone(), credit.id.transaction.clone()))
            .collect();
        for (network, transaction) in news {
            let event = self.emit(EventKind::PaymentSeen, moment).id.clone();
            self.intent.state.seen.push(ToldSighting { event, network, transaction });
        }
    }

    /// Takes back what was told of transactions that were replaced.
    pub(super) fn take_back_replaced(&mut self, moment: &Moment) {
        let ids = self.forget_replaced();
        self.retract(&ids, Retraction::Replaced, moment);
    }

    /// As [`Self::take_back_replaced`], in a step of a network.
    pub(super) fn take_back_replaced_in(&mut self, change: &Change<'_>) {
        let ids = self.forget_replaced();
        if !ids.is_empty() {
            let before = self.before_news(change);
            self.retract(&ids, Retraction::Replaced, &before);
        }
    }

    /// Forgets the unconfirmed transactions that were replaced, and answers the events that told
    /// of them. Where the replacement pays the same, what was told holds for it.
    pub(super) fn forget_replaced(&mut self) -> Vec<EventId> {
        let mut lost = Vec::new();
        let told = std::mem::take(&mut self.intent.state.seen);
        for told in told {
            match self.heir(&told) {
                Some(transaction) => {
                    self.intent.state.seen.push(ToldSighting { transaction, ..told });
                }
                None => lost.push(told.event),
            }
        }
        lost
    }

    /// The transaction for which holds what was told: the same, or what took its place and pays
    /// the same.
    fn heir(&self, told: &ToldSighting) -> Option<TransactionId> {
        let mut heir = told.transaction.clone();
        let payload = self.payload(&told.network, &heir);
        // Evidence of a replacement is taken back when the replaced one shows up again, so there is
        // no circle; if there were one, this would end all the same.
        for _ in 0..=self.credits.len() {
            let Some(by) = self.replacement(&told.network, &heir) else { return Some(heir) };
            if self.payload(&told.network, by) != payload {
                return None;
            }
            heir = by.clone();
        }
        None
    }

    fn replacement(
        &self,
        network: &NetworkId,
        transaction: &TransactionId,
    ) -> Option<&TransactionId> {
        let mut of_it = self.credits.iter().filter(|credit| credit.is_of(network, transaction));
        of_it.find_map(Credit::replaced_by)
    }

    /// What a transaction pays: how much for which rails.
    fn payload(&self, network: &NetworkId, transaction: &TransactionId) -> Vec<(usize, Amount)> {
        let of_it = self.credits.iter().filter(|credit| credit.is_of(network, transaction));
        let pays = |credit: &Credit| Some((self.intent.rail_for(credit)?, credit.amount));
        let mut payload: Vec<_> = of_it.filter_map(pays).collect();
        payload.sort_unstable();
        payload
    }
}
