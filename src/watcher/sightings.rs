//! What a look at a mempool writes, in one transaction.

use std::collections::BTreeSet;

use confirmd_chain::{Height, Spend, Timestamp, TransactionId, Unconfirmed};

use super::commit::Committer;
use crate::settlement::{Event, Intent, look_again};
use crate::store::{Actor, Fence, Recording, Result, Sighted, Transaction};

/// A part of what a mempool shows.
#[derive(Clone, Copy, Debug)]
pub struct Sightings<'a> {
    /// Transactions that pay watched addresses.
    pub payments: &'a [&'a Unconfirmed],
    /// Which other transactions spend watched outpoints.
    pub spends: &'a [Spend],
    /// The cursor before the look: blocks above it may hold what the mempool conflicts with.
    pub looked_from: Height,
}

impl Committer {
    /// Commits what a mempool shows, and what follows from it. Answers the transactions that
    /// intents have.
    ///
    /// # Errors
    /// When the database fails, or another instance follows the network now; then nothing was
    /// written.
    pub async fn commit_sightings(
        &self,
        fence: &Fence,
        sightings: &Sightings<'_>,
    ) -> Result<BTreeSet<TransactionId>> {
        let now = self.clock.now();
        let mut tx = self.store.begin().await?;
        tx.hold(fence).await?;
        let (mut touched, mut taken) = (BTreeSet::new(), BTreeSet::new());
        for payment in sightings.payments {
            let Some(id) = payment.transaction() else { continue };
            for watch in &payment.spends {
                let spend = Spend { watch: *watch, by: id.clone() };
                touched.extend(tx.replace_by(&self.network, &spend, None).await?);
            }
            let owners = self.sight(&mut tx, payment, now).await?;
            taken.extend((!owners.is_empty()).then(|| id.clone()));
            touched.extend(owners);
        }
        for spend in sightings.spends {
            touched.extend(tx.replace_by(&self.network, spend, None).await?);
        }
        let inputs = sightings.payments.iter().filter_map(|payment| {
            let id = payment.transaction().filter(|id| taken.contains(id))?;
            Some(payment.spends.iter().map(move |watch| (id, watch)))
        });
        let inputs: Vec<_> = inputs.flatten().collect();
        tx.watch_outpoints(&self.network, &inputs, sightings.looked_from, now).await?;
        let reported = self.settle_sightings(&mut tx, touched, now).await?;
        tx.commit().await?;
        if reported {
            self.courier.wake();
        }
        Ok(taken)
    }

    /// Notes a transaction's transfers; answers the intents that have them.
    async fn sight(
        &self,
        tx: &mut Transaction,
        payment: &Unconfirmed,
        now: Timestamp,
    ) -> Result<BTreeSet<String>> {
        let mut owners = BTreeSet::new();
        for transfer in &payment.transfers {
            // The chain decodes registered assets only, so an unknown one cannot come.
            let Some((symbol, decimals)) = self.assets.get(&transfer.asset) else { continue };
            let Unconfirmed { fee_rate, replaceable, .. } = *payment;
            let sighted = Sighted { transfer, fee_rate, replaceable, symbol, decimals: *decimals };
            owners.extend(tx.sight_transfer(&self.network, &sighted, now).await?);
        }
        Ok(owners)
    }

    /// Locks every touched intent in the order of their keys, settles it afresh, and writes what
    /// came of it. Answers whether there is anything to deliver.
    async fn settle_sightings(
        &self,
        tx: &mut Transaction,
        touched: BTreeSet<String>,
        now: Timestamp,
    ) -> Result<bool> {
        let intents = tx.lock_intents(&touched).await?;
        // Read after the locks, as in a block's step.
        let cursors = tx.cursors().await?;
        let actor = Actor { kind: "chain".to_owned(), name: self.network.to_string() };
        let route = |intent: &Intent, event: &Event| self.endpoints.route(intent, event);
        let recording = Recording {
            cursors: &cursors,
            route: &route,
            actor: &actor,
            late_window: self.late_window,
            now,
        };
        let mut reported = false;
        for (intent, credits) in intents {
            let outcome = look_again(intent, credits, &cursors, now);
            reported |= !outcome.events.is_empty();
            tx.record_outcome(&outcome, &recording).await?;
        }
        Ok(reported)
    }
}
