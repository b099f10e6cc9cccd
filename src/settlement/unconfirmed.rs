//! Transactions that are in no block: what is told of them, and when that is taken back.
//!
//! They count for nothing, and hold an intent that would expire. That a transaction is missing from
//! a mempool proves nothing, so it is taken back only where another one spends what it spends; and
//! not even then, where that one pays the same.

use std::collections::BTreeSet;

use confirmd_chain::{Amount, TransactionId};

use super::credit::{Credit, Role};
use super::ids::{EventId, NetworkId};
use super::kinds::{EventKind, Retraction};
use super::settler::Settler;
use super::sighting::ToldSighting;
use super::step::Moment;

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
