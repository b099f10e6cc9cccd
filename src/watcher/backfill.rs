//! Looking again, off the tip's path, for watches that came after their blocks were decoded.

use std::sync::Arc;
use std::time::Duration;

use confirmd_chain::{At, Block, Chain, ChainError, Height, Timestamp, WatchSet, WatchVersion};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::commit::Committer;
use super::followed::back_off;
use crate::store::{Backfill, Fence, StoreError};

/// How many backfills are merged into one look.
const MERGED: u32 = 256;
/// How many blocks one look takes at most.
const CHUNK: u64 = 256;

/// One network's backfills.
pub(super) struct Backfiller {
    pub(super) committer: Committer,
    pub(super) chain: Arc<dyn Chain>,
    pub(super) fence: Fence,
    /// Woken when a backfill's range becomes known.
    pub(super) sealed: Arc<Notify>,
}

#[derive(Debug, thiserror::Error)]
enum BackfillError {
    #[error(transparent)]
    Chain(#[from] ChainError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the chain changed while it was read")]
    Changed,
}

impl Backfiller {
    /// Works until it is stopped, or until another instance follows the network.
    pub(super) async fn run(self, stop: CancellationToken) {
        let mut waits = back_off();
        loop {
            let pause = match self.look().await {
                Ok(true) => {
                    waits = back_off();
                    continue;
                }
                Ok(false) => Duration::from_secs(30),
                Err(BackfillError::Store(StoreError::Fenced)) => return,
                Err(error) => {
                    warn!(network = %self.committer.network, %error, "backfill waits");
                    waits.next().unwrap_or(Duration::from_secs(60))
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.sealed.notified() => {}
                () = self.committer.clock.sleep(pause) => {}
            }
        }
    }

    /// Takes one look for all backfills that can share it. Answers whether there was one to take.
    async fn look(&self) -> Result<bool, BackfillError> {
        let store = &self.committer.store;
        let network = &self.committer.network;
        let mut jobs = store.backfills(network, MERGED).await?;
        if jobs.is_empty() {
            return Ok(false);
        }
        for job in &mut jobs {
            if job.next.is_none() {
                job.next = Some(self.height_at(job.from_time, job.to).await?);
            }
        }
        let next = |job: &Backfill| job.next.unwrap_or(job.to);
        let Some(from) = jobs.iter().map(next).min() else { return Ok(false) };
        // Those that begin later join when the look reaches them.
        let later = jobs.iter().map(next).filter(|&start| start > from).min();
        jobs.retain(|job| next(job) == from);
        let end = jobs.iter().map(|job| job.to).max().unwrap_or(from);
        let mut to = end.min(from.plus(CHUNK - 1));
        if let Some(later) = later.and_then(Height::previous) {
            to = to.min(later.max(from));
        }
        let blocks = if from > to { Vec::new() } else { self.blocks(&jobs, from, to).await? };
        let next = blocks.last().map_or(to.next(), |block| block.header.height.next());
        debug!(%network, %from, %next, jobs = jobs.len(), "looked back");
        if self.committer.commit_backfill(&self.fence, &jobs, &blocks, next).await? {
            Ok(true)
        } else {
            Err(BackfillError::Changed)
        }
    }

    /// Blocks `from..` of our own branch, up to `to`, with the transfers that these jobs look for.
    async fn blocks(
        &self,
        jobs: &[Backfill],
        from: Height,
        to: Height,
    ) -> Result<Vec<Block>, BackfillError> {
        let store = &self.committer.store;
        let network = &self.committer.network;
        let keys = store.watches_of(network, jobs.iter().map(|job| job.intent.as_str())).await?;
        let watches = WatchSet::new(keys, WatchVersion::default());
        watches.want_references(store.wants_references(network).await?);
        let finalized = store.network(network).await?.and_then(|row| row.finalized);
        if finalized.is_some_and(|finalized| from <= finalized) {
            let to = finalized.map_or(to, |finalized| to.min(finalized));
            return Ok(self.chain.blocks(from, to, &watches).await?);
        }
        let (mut blocks, mut next) = (Vec::<Block>::new(), from);
        while next <= to {
            // A block that we do not hold stands below the kept window, is being replaced, or the
            // network skipped its height.
            let ours = store.block(network, next).await?.map(|ours| ours.at());
            let block = self.chain.block(ours.unwrap_or(At::Height(next)), &watches).await?;
            next = block.header.height.next();
            if block.header.height <= to {
                blocks.push(block);
            }
        }
        Ok(blocks)
    }

    /// The lowest height up to `to` whose block is not older than `time`; above `to` when all are.
    async fn height_at(&self, time: Timestamp, to: Height) -> Result<Height, BackfillError> {
        let network = &self.committer.network;
        if let Some(oldest) = self.committer.store.oldest_block(network).await?
            && oldest.time < time
        {
            let held = self.committer.store.block_since(network, time).await?;
            return Ok(held.map_or(to.next(), |held| held.height));
        }
        // Times are not asked of every block: look twice as far back until it is far enough.
        let mut low = to;
        let mut span = 64;
        while low.0 > 0 && self.time_of(low).await? >= time {
            low = to.minus(span);
            span *= 2;
        }
        let mut high = to.next();
        while low < high {
            let middle = Height(low.0 + (high.0 - low.0) / 2);
            if self.time_of(middle).await? >= time {
                high = middle;
            } else {
                low = middle.next();
            }
        }
        Ok(low)
    }

    async fn time_of(&self, height: Height) -> Result<Timestamp, ChainError> {
        Ok(self.chain.header(At::Height(height)).await?.time)
    }
}
