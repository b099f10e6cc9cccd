//! What is on its way into a block, looked at beside the blocks: a task of its own, so that no
//! mempool, however large, slow or wrong, delays a block (I9).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use confirmd_chain::{
    Chain, ChainError, Height, Mempool, Spend, Timestamp, TransactionId, Unconfirmed, WatchKey,
    WatchSet, WatchVersion,
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::beside::Board;
use super::commit::Committer;
use super::followed::back_off;
use super::sightings::Sightings;
use crate::store::{Fence, StoreError};

/// How often it is written anew that a transaction is still shown.
const NOTED_FOR_MS: i64 = 3_600_000;
/// How much is written in one transaction: blocks are committed in between.
const BATCH: usize = 256;

/// Looks at one network's mempool.
#[derive(Clone)]
pub(super) struct MempoolWatcher {
    pub(super) committer: Committer,
    pub(super) chain: Arc<dyn Chain>,
    pub(super) fence: Fence,
    /// The follower's, which keeps them up to date.
    pub(super) watches: Arc<WatchSet>,
    /// The time between two looks.
    pub(super) interval: Duration,
    pub(super) board: Board,
    pub(super) noted: Noted,
}

/// What a look found.
enum Look {
    /// There is no mempool.
    Nothing,
    /// Some of it: the rest may be asked for at once.
    Part,
    /// All of it, or nobody waits for anything.
    Whole,
}

#[derive(Debug, thiserror::Error)]
enum LookError {
    #[error(transparent)]
    Chain(#[from] ChainError),
    #[error("the store fails: {0}")]
    Store(#[from] StoreError),
}

impl MempoolWatcher {
    /// Looks until it is stopped, or until another instance follows the network.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut waits = back_off();
        loop {
            let looked = tokio::select! {
                () = stop.cancelled() => return,
                looked = self.look() => looked,
            };
            let pause = match looked {
                Ok(Look::Nothing) | Err(LookError::Store(StoreError::Fenced)) => return,
                Ok(Look::Part) => continue,
                Ok(Look::Whole) => {
                    waits = back_off();
                    self.interval
                }
                Err(error) => {
                    warn!(network = %self.committer.network, %error, "the mempool is not read");
                    self.board.show(Some(error.to_string()), self.committer.clock.now());
                    waits.next().unwrap_or(Duration::from_mins(1)).max(self.interval)
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.committer.clock.sleep(pause) => {}
            }
        }
    }

    async fn look(&mut self) -> Result<Look, LookError> {
        let network = self.committer.network.clone();
        // Before the look: a block that is committed while it lasts may know better.
        let row = self.committer.store.network(&network).await?;
        let Some(cursor) = row.and_then(|row| row.cursor) else { return Ok(Look::Whole) };
        let version = {
            let watches = self.watches.view();
            if watches.is_empty() {
                return Ok(Look::Whole);
            }
            watches.version()
        };
        let Some(mempool) = self.chain.unconfirmed(&self.watches).await? else {
            return Ok(Look::Nothing);
        };
        self.note(&mempool, version, cursor.height).await?;
        self.board.show(None, self.committer.clock.now());
        Ok(if mempool.is_complete { Look::Whole } else { Look::Part })
    }

    /// Writes what is new, a little at a time.
    async fn note(
        &mut self,
        mempool: &Mempool,
        version: WatchVersion,
        looked_from: Height,
    ) -> Result<(), StoreError> {
        let now = self.committer.clock.now();
        let payments = mempool.payments.iter();
        let news: Vec<_> =
            payments.filter(|payment| self.noted.is_news(payment, version, now)).collect();
        for payments in portions(&news) {
            let sightings = Sightings { payments, spends: &[], looked_from };
            let taken = self.committer.commit_sightings(&self.fence, &sightings).await?;
            for transaction in payments.iter().filter_map(|payment| payment.transaction()) {
                let is_taken = taken.contains(transaction);
                let noted = NotedPayment { is_taken, version, at: now };
                self.noted.payments.insert(transaction.clone(), noted);
            }
        }
        let spends = mempool.spends.iter();
        let news: Vec<_> =
            spends.filter(|spend| self.noted.is_spend_news(spend)).cloned().collect();
        for spends in news.chunks(BATCH) {
            let sightings = Sightings { payments: &[], spends, looked_from };
            self.committer.commit_sightings(&self.fence, &sightings).await?;
            self.noted.spends.extend(spends.iter().map(|spend| (spend.watch, spend.by.clone())));
        }
        if mempool.is_complete {
            self.noted.keep(mempool);
        }
        Ok(())
    }
}

/// As many payments together as have not too many inputs.
fn portions<'a, 'p>(
    payments: &'a [&'p Unconfirmed],
) -> impl Iterator<Item = &'a [&'p Unconfirmed]> {
    let mut rest = payments;
    std::iter::from_fn(move || {
        let mut inputs = 0;
        let fits = rest.iter().take_while(|payment| {
            inputs += payment.spends.len().max(1);
            inputs <= BATCH
        });
        let count = fits.count().max(1).min(rest.len());
        let (portion, after) = rest.split_at(count);
        rest = after;
        (!portion.is_empty()).then_some(portion)
    })
}

/// What of a mempool was written, so that it is not written at every look. Only a memory: what is
/// written twice changes nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Noted {
    payments: HashMap<TransactionId, NotedPayment>,
    spends: HashSet<(WatchKey, TransactionId)>,
}

#[derive(Clone, Debug)]
struct NotedPayment {
    /// Whether it pays an open intent. Where not, one may come yet.
    is_taken: bool,
    /// The watches of that moment.
    version: WatchVersion,
    at: Timestamp,
}

impl Noted {
    fn is_news(&self, payment: &Unconfirmed, version: WatchVersion, now: Timestamp) -> bool {
        let noted = payment.transaction().and_then(|id| self.payments.get(id));
        noted.is_none_or(|noted| {
            now.0.saturating_sub(noted.at.0) >= NOTED_FOR_MS
                || (!noted.is_taken && noted.version < version)
        })
    }

    /// What a payment spends is noted with it.
    fn is_spend_news(&self, spend: &Spend) -> bool {
        !self.payments.contains_key(&spend.by)
            && !self.spends.contains(&(spend.watch, spend.by.clone()))
    }

    /// Forgets what is not in the mempool any more: it would be news again.
    fn keep(&mut self, mempool: &Mempool) {
        let present: HashSet<_> =
            mempool.payments.iter().filter_map(Unconfirmed::transaction).collect();
        self.payments.retain(|id, _| present.contains(id));
        let present: HashSet<_> =
            mempool.spends.iter().map(|spend| (spend.watch, spend.by.clone())).collect();
        self.spends.retain(|spend| present.contains(spend));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payment(inputs: usize) -> Unconfirmed {
        let spends = vec![WatchKey::from([0; 20]); inputs];
        Unconfirmed { transfers: Vec::new(), spends, fee_rate: None, replaceable: false }
    }

    #[test]
    fn a_flood_of_payments_is_written_a_little_at_a_time() {
        let sizes = [1, 255, 1, 1_000, 2, 0, 254];
        let payments: Vec<_> = sizes.into_iter().map(payment).collect();
        let payments: Vec<_> = payments.iter().collect();
        let counts: Vec<_> = portions(&payments).map(<[_]>::len).collect();
        assert_eq!(counts, [2, 1, 1, 2, 1]);
        assert_eq!(portions(&[]).count(), 0);
    }
}
