//! Looking again, off the tip's path, for watches that came after their blocks were decoded.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use confirmd_chain::{At, Block, Chain, ChainError, Height, Timestamp, WatchSet, WatchVersion};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::beside::Board;
use super::commit::Committer;
use super::followed::back_off;
use crate::store::{Backfill, Fence, StoreError};

/// How many backfills are merged into one look.
const MERGED: u32 = 256;
/// How many blocks one look takes at most.
const CHUNK: u64 = 256;
/// How long one that failed waits, at first and at most.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_mins(1);
/// Backfills may also be written by another instance.
const LOOK_AT_LEAST_EVERY: Duration = Duration::from_secs(30);

/// One network's backfills.
#[derive(Clone)]
pub(super) struct Backfiller {
    pub(super) committer: Committer,
    pub(super) chain: Arc<dyn Chain>,
    pub(super) fence: Fence,
    /// Woken when a backfill's range becomes known.
    pub(super) sealed: Arc<Notify>,
    pub(super) board: Board,
    /// Backfills that failed, by their id: they wait, and the others go on.
    pub(super) aside: HashMap<String, Aside>,
}

/// A backfill that failed.
#[derive(Clone, Debug)]
pub(super) struct Aside {
    until: Timestamp,
    waited: Duration,
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
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut waits = back_off();
        loop {
            let pause = match self.look().await {
                Ok(true) => {
                    waits = back_off();
                    continue;
                }
                Ok(false) => self.rest(),
                Err(StoreError::Fenced) => return,
                Err(error) => {
                    warn!(network = %self.committer.network, %error, "backfills wait for the store");
                    waits.next().unwrap_or(LONGEST_WAIT)
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
    async fn look(&mut self) -> Result<bool, StoreError> {
        let mut jobs = self.due().await?;
        let is_idle = jobs.is_empty();
        for job in &mut jobs {
            if job.next.is_none() {
                match self.height_at(job.from_time, job.to).await {
                    Ok(first) => job.next = Some(first.minus(self.chain.time_lag())),
                    Err(error) => self.put_aside(std::slice::from_ref(job), error)?,
                }
            }
        }
        jobs.retain(|job| job.next.is_some());
        let next = |job: &Backfill| job.next.unwrap_or(job.to);
        let Some(from) = jobs.iter().map(next).min() else { return Ok(!is_idle) };
        // Those that begin later join when the look reaches them.
        let later = jobs.iter().map(next).filter(|&start| start > from).min();
        jobs.retain(|job| next(job) == from);
        let end = jobs.iter().map(|job| job.to).max().unwrap_or(from);
        let mut to = end.min(from.plus(CHUNK - 1));
        if let Some(later) = later.and_then(Height::previous) {
            to = to.min(later.max(from));
        }
        match self.look_through(&jobs, from, to).await {
            Ok(()) => self.aside.retain(|id, _| jobs.iter().all(|job| job.id != *id)),
            Err(error) => self.put_aside(&jobs, error)?,
        }
        Ok(true)
    }

    /// The backfills that may be tried now.
    async fn due(&mut self) -> Result<Vec<Backfill>, StoreError> {
        let (store, network) = (&self.committer.store, &self.committer.network);
        let aside = u32::try_from(self.aside.len()).unwrap_or(u32::MAX);
        let mut jobs = store.backfills(network, MERGED.saturating_add(aside)).await?;
        self.aside.retain(|id, _| jobs.iter().any(|job| job.id == *id));
        let now = self.committer.clock.now();
        if self.aside.is_empty() {
            self.board.show(None, now);
        }
        jobs.retain(|job| self.aside.get(&job.id).is_none_or(|aside| aside.until <= now));
        Ok(jobs)
    }

    /// How long there is nothing to do.
    fn rest(&self) -> Duration {
        let now = self.committer.clock.now();
        let first = self.aside.values().map(|aside| aside.until.0.saturating_sub(now.0)).min();
        let first = first.and_then(|ms| u64::try_from(ms).ok()).map(Duration::from_millis);
        first.map_or(LOOK_AT_LEAST_EVERY, |first| first.min(LOOK_AT_LEAST_EVERY))
    }

    /// Lets those that failed wait, each time longer; not where the store did, which is none of
    /// their faults.
    fn put_aside(&mut self, jobs: &[Backfill], error: BackfillError) -> Result<(), StoreError> {
        let now = self.committer.clock.now();
        warn!(network = %self.committer.network, %error, jobs = jobs.len(), "backfills wait");
        match error {
            BackfillError::Store(error) => return Err(error),
            BackfillError::Chain(error) => self.board.show(Some(error.to_string()), now),
            BackfillError::Changed => {}
        }
        for job in jobs {
            let before = self.aside.get(&job.id).map(|aside| aside.waited);
            let waited = before.map_or(FIRST_WAIT, |before| (before * 2).min(LONGEST_WAIT));
            let until = now.plus_ms(i64::try_from(waited.as_millis()).unwrap_or(i64::MAX));
            self.aside.insert(job.id.clone(), Aside { until, waited });
        }
        Ok(())
    }

    async fn look_through(
        &self,
        jobs: &[Backfill],
        from: Height,
        to: Height,
    ) -> Result<(), BackfillError> {
        let network = &self.committer.network;
        let blocks = if from > to { Vec::new() } else { self.blocks(jobs, from, to).await? };
        let next = blocks.last().map_or(to.next(), |block| block.header.height.next());
        debug!(%network, %from, %next, jobs = jobs.len(), "looked back");
        if self.committer.commit_backfill(&self.fence, jobs, &blocks, next).await? {
            Ok(())
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
        let oldest = store.oldest_block(network).await?.map(|oldest| oldest.height);
        let (mut blocks, mut next) = (Vec::<Block>::new(), from);
        while next <= to {
            let at = match store.block(network, next).await? {
                Some(ours) => ours.at(),
                None if oldest.is_none_or(|oldest| next < oldest) => At::Height(next),
                // The network skipped this height, or its block is being replaced: by one that is
                // decoded with these watches.
                None => {
                    next = next.next();
                    continue;
                }
            };
            let block = self.chain.block(at, &watches).await?;
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
