//! Unconfirmed transactions: a mempool read in portions, and looked through whole.

use std::sync::Arc;

use confirmd_chain::{FeeRate, Mempool, Unconfirmed, WatchSet};
use confirmd_rpc::{Failure, Provider};

use crate::block::{Found, outpoint_key};
use crate::network::Bitcoin;
use crate::pending::{Held, Pend, Told};
use crate::transaction::Transaction;
use crate::{Hash256, calls};

/// How many transactions are fetched in one look: a fraction of a second, after which blocks and
/// the caller have their turn.
const PORTION: usize = 5_000;
/// How many of them are asked for in one batch.
const BATCH: usize = 100;
/// The most that is held, without witnesses: a full mempool of a node's default size has a third
/// of it.
const MOST_BYTES: usize = 256 << 20;
/// How many held transactions are looked through before other tasks have their turn.
const TURN: usize = 1_000;

impl Bitcoin {
    /// Reads on in the provider's mempool, and looks through all that was read.
    pub(crate) async fn pending_from(
        &self,
        provider: &Provider,
        watches: &WatchSet,
    ) -> Result<Mempool, Failure> {
        calls::check_chain(provider, &self.config).await?;
        let mut held = self.pending.0.lock().await;
        let ids = calls::mempool(provider).await?;
        let missing = held.keep(&ids);
        let is_full = held.bytes >= MOST_BYTES;
        if is_full && !missing.is_empty() {
            let (network, left_out) = (&self.config.network, missing.len());
            tracing::warn!(%network, left_out, "the mempool is larger than what is held of it");
        }
        let portion = &missing[..missing.len().min(if is_full { 0 } else { PORTION })];
        for batch in portion.chunks(BATCH) {
            read(provider, batch, &mut held).await?;
        }
        let is_complete = is_full || portion.len() == missing.len();
        // In the mempool's own order, which is the same at every look.
        let known = ids.iter().filter_map(|id| Some((*id, held.transactions.get(id)?.clone())));
        let known: Vec<(Hash256, Arc<Pend>)> = known.collect();
        drop(held);
        let (mut hits, mut mempool) = (Vec::new(), Mempool::default());
        for turn in known.chunks(TURN) {
            self.look(turn, watches, &mut hits, &mut mempool);
            tokio::task::yield_now().await;
        }
        self.ask_fees(provider, &hits).await?;
        mempool.payments = hits.into_iter().map(Hit::told).collect();
        mempool.is_complete = is_complete;
        Ok(mempool)
    }

    fn look(
        &self,
        known: &[(Hash256, Arc<Pend>)],
        watches: &WatchSet,
        hits: &mut Vec<Hit>,
        mempool: &mut Mempool,
    ) {
        let view = watches.view();
        for (id, held) in known {
            // It was read before, so it can be read again.
            let Ok(transaction) = Transaction::parse(&held.bytes) else { continue };
            let mut found = Found::default();
            found.look(&transaction, *id, &self.config, &view);
            mempool.spends.append(&mut found.spends);
            if found.transfers.is_empty() {
                continue;
            }
            let payment = Unconfirmed {
                transfers: found.transfers,
                spends: transaction.inputs().map(|input| outpoint_key(input.outpoint)).collect(),
                fee_rate: None,
                replaceable: transaction.is_replaceable(),
            };
            hits.push(Hit { id: *id, held: Arc::clone(held), payment });
        }
    }

    /// Asks for what only the node knows: the fee, for which the spent outputs' values are needed,
    /// and whether a transaction rests on a replaceable one. Once for each.
    async fn ask_fees(&self, provider: &Provider, hits: &[Hit]) -> Result<(), Failure> {
        let unasked: Vec<&Hit> = hits.iter().filter(|hit| hit.held.told.get().is_none()).collect();
        for batch in unasked.chunks(BATCH) {
            let ids: Vec<Hash256> = batch.iter().map(|hit| hit.id).collect();
            for (hit, entry) in batch.iter().zip(calls::entries(provider, &ids).await?) {
                // One that is gone by now has no fee any more.
                let Some(entry) = entry else { continue };
                let fee_rate = entry.fee().and_then(|(fee, size)| FeeRate::new(fee, size));
                let replaceable = entry.bip125_replaceable;
                hit.held.told.get_or_init(|| Told { fee_rate, replaceable });
            }
        }
        Ok(())
    }
}

/// A transaction that pays a watched address.
struct Hit {
    id: Hash256,
    held: Arc<Pend>,
    payment: Unconfirmed,
}

impl Hit {
    /// With what its node says of it.
    fn told(self) -> Unconfirmed {
        let mut payment = self.payment;
        if let Some(told) = self.held.told.get() {
            payment.fee_rate = told.fee_rate;
            payment.replaceable |= told.replaceable;
        }
        payment
    }
}

/// Fetches some transactions, each proven by its id.
async fn read(provider: &Provider, ids: &[Hash256], held: &mut Held) -> Result<(), Failure> {
    let fetched = calls::transactions(provider, ids).await?;
    for (id, bytes) in ids.iter().zip(fetched) {
        // It may have been mined or replaced since it was named.
        let Some(bytes) = bytes else { continue };
        let transaction = Transaction::parse(&bytes)?;
        if transaction.id() != *id {
            return Err(Failure::unproven(format!("answers with another transaction than {id}")));
        }
        held.insert(*id, transaction.without_witness());
    }
    Ok(())
}
