//! One network, block by block.

mod branches;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use backon::ExponentialBackoff;
use confirmd_chain::{
    At, Block, BlockHash, ChainError, Heads, Height, Timestamp, WatchSet, WatchVersion,
};
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::backfill::Backfiller;
use super::commit::{Committer, Step};
use super::dispute::{Dispute, Place, Ruling};
use super::followed::{Followed, back_off};
use super::mempool::{MempoolWatcher, Noted};
use super::progress::StatusBoard;
use super::sharing::Grant;
use super::step::{BATCH, StepError};
use crate::lasting::lasting;
use crate::store::{Cursor, Fence};

/// How many irreversible blocks are asked for at once, and committed together.
const RANGE: u64 = 256;
/// How many blocks of a [`BATCH`] are asked for at the same time.
const AHEAD: usize = 4;
/// How far below the head a network is first scanned at most, where irreversible blocks are older.
const FIRST_CATCH_UP: u64 = 1_000;
/// How often watches are looked at that need no more watching.
const TIDY_EVERY_MS: i64 = 60_000;

/// Follows one network. Whatever fails, it does not skip: it shows what is wrong and asks again,
/// for ever (I3).
pub struct Follower {
    followed: Followed,
    committer: Committer,
    instance: String,
    grant: Grant,
    watches: Arc<WatchSet>,
    sealed: Arc<Notify>,
    board: StatusBoard,
    tidied: Timestamp,
    dispute: Dispute,
}

/// What a follower holds while it owns its network.
struct Post {
    fence: Fence,
    cursor: Option<Cursor>,
    finalized: Option<Height>,
    /// The next irreversible blocks, asked for while the last ones are committed.
    ahead: Option<ReadAhead>,
    /// The ends of branches that lost against ours as it is now.
    lost: BTreeSet<BlockHash>,
}

/// The height at which it begins, and the blocks as they come.
type ReadAhead = (Height, JoinHandle<Result<Vec<Block>, ChainError>>);

/// Whether there may be more to do at once.
#[derive(PartialEq)]
enum Progress {
    Moved,
    AtTip,
}

impl Follower {
    /// A follower of one network, while it is granted to this `instance`.
    #[must_use]
    pub fn new(followed: Followed, committer: Committer, instance: String, grant: Grant) -> Self {
        Self {
            board: StatusBoard::new(&followed, &committer),
            tidied: committer.clock.now(),
            followed,
            committer,
            instance,
            grant,
            watches: Arc::default(),
            sealed: Arc::default(),
            dispute: Dispute::default(),
        }
    }

    /// Follows the network while it is granted to this instance, until it is stopped.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut waits = back_off();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.grant.given() => {}
            }
            let beside = stop.child_token();
            let ended = self.hold_post(&stop, &beside, &mut waits).await;
            beside.cancel();
            self.watches = Arc::default();
            let Err(failed) = ended else { continue };
            self.board.show_failure(&failed).await;
            let pause = waits.next().unwrap_or(Duration::from_mins(1));
            self.pause(&stop, pause).await;
        }
    }

    /// Takes the network over and follows it; only a store that fails, or a newer follower, ends
    /// it before it is stopped or the network is granted to another instance.
    async fn hold_post(
        &mut self,
        stop: &CancellationToken,
        beside: &CancellationToken,
        waits: &mut ExponentialBackoff,
    ) -> Result<(), StepError> {
        let network = self.committer.network.clone();
        let fence = self.committer.store.take_over(&network, &self.instance).await?;
        self.board.fence = Some(fence.clone());
        let row = self.committer.store.network(&network).await?;
        self.watches = Arc::default();
        self.refresh_watches().await?;
        let mut post = Post {
            fence,
            cursor: row.as_ref().and_then(|row| row.cursor.clone()),
            finalized: row.and_then(|row| row.finalized),
            ahead: None,
            lost: BTreeSet::new(),
        };
        info!(%network, cursor = post.cursor.as_ref().map(|c| c.height.0), "following");
        self.work_beside(&post.fence, beside);
        while !stop.is_cancelled() && self.grant.is_given() {
            let pause = match self.step(&mut post, stop).await {
                Ok(progress) => {
                    *waits = back_off();
                    if progress == Progress::Moved {
                        continue;
                    }
                    self.followed.poll_interval
                }
                Err(StepError::Store(failed)) => return Err(failed.into()),
                Err(failed) => {
                    post.ahead = None;
                    self.board.show_failure(&failed).await;
                    waits.next().unwrap_or(Duration::from_mins(1))
                }
            };
            self.pause(stop, pause).await;
        }
        info!(%network, "not following");
        Ok(())
    }

    /// Looks back, and at the mempool, until the post ends.
    fn work_beside(&self, fence: &Fence, end: &CancellationToken) {
        let network = &self.committer.network;
        let backfiller = Backfiller {
            committer: self.committer.clone(),
            chain: self.followed.chain.clone(),
            fence: fence.clone(),
            sealed: self.sealed.clone(),
            board: self.board.look_back.clone(),
            aside: HashMap::new(),
        };
        tokio::spawn(lasting(format!("look-back on {network}"), end.clone(), move |stop| {
            backfiller.clone().run(stop)
        }));
        let mempool = MempoolWatcher {
            committer: self.committer.clone(),
            chain: self.followed.chain.clone(),
            fence: fence.clone(),
            watches: self.watches.clone(),
            interval: self.followed.mempool_interval,
            board: self.board.mempool.clone(),
            noted: Noted::default(),
        };
        tokio::spawn(lasting(format!("mempool of {network}"), end.clone(), move |stop| {
            mempool.clone().run(stop)
        }));
    }

    /// Waits, but not when there may be news.
    async fn pause(&self, stop: &CancellationToken, pause: Duration) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.grant.withdrawn() => {}
            () = self.followed.chain.woken() => {}
            () = self.followed.new_watches.notified() => {}
            () = self.committer.clock.sleep(pause) => {}
        }
    }

    /// One look at the chain: fetches what comes after the cursor, proves that it links, commits.
    async fn step(
        &mut self,
        post: &mut Post,
        stop: &CancellationToken,
    ) -> Result<Progress, StepError> {
        let version = self.refresh_watches().await?;
        if stop.is_cancelled() {
            // What was new may be for the follower in this one's place, which knows other assets.
            return Ok(Progress::AtTip);
        }
        let heads = self.followed.chain.heads().await?;
        let Some(cursor) = post.cursor.clone() else {
            return self.begin(post, &heads).await;
        };
        self.raise_finalized(post, &cursor, &heads).await?;
        let progress = if heads.latest.height > cursor.height {
            self.move_up(post, &cursor, &heads).await?
        } else {
            self.stay(post, &cursor, &heads, version).await?
        };
        self.board.show_progress(post.cursor.as_ref(), post.finalized, &heads).await?;
        self.tidy(post).await?;
        Ok(progress)
    }

    /// Knows every watch that the store knows, before the next block is decoded.
    ///
    /// It does not learn of them while it cannot decode an asset that they wait for: without it no
    /// block would be decoded in full (I3). Another instance's registry is newer then.
    async fn refresh_watches(&self) -> Result<WatchVersion, StepError> {
        let since = self.watches.view().version();
        let (store, network) = (&self.committer.store, &self.committer.network);
        let (keys, version) = store.watches_since(network, since).await?;
        if version > since {
            let known = self.committer.assets.keys();
            if let Some(asset) = store.asset_beyond(network, known, since).await? {
                return Err(StepError::UnknownAsset(asset));
            }
            // First the need, then the version: a block that is decoded meanwhile and says that it
            // knows a watch has read what that waits for.
            self.watches.want_references(store.wants_references(network).await?);
            self.watches.add(keys, version);
        }
        Ok(version)
    }

    /// The very first block of a network: the configured one, else the newest irreversible one, so
    /// that a reorg right after the start finds a block that both branches share.
    async fn begin(&self, post: &mut Post, heads: &Heads) -> Result<Progress, StepError> {
        let lowest = heads.latest.height.minus(FIRST_CATCH_UP);
        let newest_final = heads.finalized.unwrap_or(Height(0)).max(lowest);
        let first = self.followed.start.unwrap_or(newest_final);
        let block = self.followed.chain.block(At::Height(first), &self.watches).await?;
        post.finalized = heads.finalized.filter(|finalized| *finalized >= first).map(|_| first);
        self.commit(post, std::slice::from_ref(&block), None).await?;
        Ok(Progress::Moved)
    }

    /// The newest irreversible height, once the block there is ours. It only rises.
    async fn raise_finalized(
        &self,
        post: &mut Post,
        cursor: &Cursor,
        heads: &Heads,
    ) -> Result<(), StepError> {
        let Some(named) = heads.finalized.filter(|named| Some(*named) > post.finalized) else {
            return Ok(());
        };
        if named > cursor.height {
            return Ok(());
        }
        let network = &self.committer.network;
        let Some(ours) = self.committer.store.block(network, named).await? else {
            return Ok(());
        };
        let theirs = self.followed.chain.header(At::Height(named)).await?;
        if theirs.hash == ours.hash {
            post.finalized = Some(named);
        }
        Ok(())
    }

    /// The providers are ahead: takes the next blocks, or another branch if they do not link.
    async fn move_up(
        &mut self,
        post: &mut Post,
        cursor: &Cursor,
        heads: &Heads,
    ) -> Result<Progress, StepError> {
        let next = cursor.height.next();
        let mut blocks = match heads.finalized {
            Some(finalized) if finalized >= next => self.range(post, next, finalized).await?,
            _ => self.batch(next, heads.latest.height).await?,
        };
        let Some(first) = blocks.first() else { return Ok(Progress::AtTip) };
        if first.header.parent != cursor.hash {
            let next = blocks.swap_remove(0).header;
            post.ahead = None;
            let ours = Place { height: cursor.height, hash: cursor.hash.clone() };
            return match self.settle(post, &ours, &next.parent).await? {
                Ruling::Leave { is_agreed } => {
                    // Where the branch up to there does not outweigh ours, all of it may.
                    let tips = [&next, &heads.latest];
                    self.leave_for(post, cursor, &tips, heads, is_agreed).await
                }
                Ruling::Wait | Ruling::Stand { .. } => Ok(Progress::AtTip),
            };
        }
        self.commit(post, &blocks, None).await?;
        Ok(Progress::Moved)
    }

    /// The providers are not ahead: at the tip, behind us, or on another branch.
    async fn stay(
        &mut self,
        post: &mut Post,
        cursor: &Cursor,
        heads: &Heads,
        version: WatchVersion,
    ) -> Result<Progress, StepError> {
        if let Some(ours) = self.ours_instead_of(&heads.latest, cursor).await? {
            match self.settle(post, &ours, &heads.latest.hash).await? {
                Ruling::Leave { is_agreed } => {
                    let tips = [&heads.latest];
                    if self.leave_for(post, cursor, &tips, heads, is_agreed).await?
                        == Progress::Moved
                    {
                        return Ok(Progress::Moved);
                    }
                }
                Ruling::Wait | Ruling::Stand { .. } => return Ok(Progress::AtTip),
            }
        }
        if self.committer.store.has_unsealed_backfills(&self.committer.network).await? {
            // They may have been decoded before these watches came.
            post.ahead = None;
            self.committer.seal_at(&post.fence, version, cursor.height).await?;
            self.sealed.notify_one();
        }
        Ok(Progress::AtTip)
    }

    /// Irreversible blocks from `next` on; the ones after them are asked for meanwhile.
    async fn range(
        &self,
        post: &mut Post,
        next: Height,
        finalized: Height,
    ) -> Result<Vec<Block>, StepError> {
        let ask = |from: Height| {
            let (chain, watches) = (self.followed.chain.clone(), self.watches.clone());
            let to = finalized.min(from.plus(RANGE - 1));
            async move { chain.blocks(from, to, &watches).await }
        };
        let blocks = match post.ahead.take() {
            Some((from, task)) if from == next => task.await.unwrap_or_else(|failed| {
                Err(ChainError::Unavailable(format!("the read-ahead ended: {failed}")))
            })?,
            _ => ask(next).await?,
        };
        if let Some(after) = blocks.last().map(|block| block.header.height.next())
            && after <= finalized
        {
            post.ahead = Some((after, tokio::spawn(ask(after))));
        }
        linked(blocks)
    }

    /// Blocks from `next` on that may still be taken back, a few at a time.
    async fn batch(&self, next: Height, latest: Height) -> Result<Vec<Block>, StepError> {
        let chain = &self.followed.chain;
        let heights = chain.heights(next, latest, BATCH).await?;
        let mut blocks: Vec<Block> = stream::iter(heights)
            .map(|height| chain.block(At::Height(height), &self.watches))
            .buffered(AHEAD)
            .try_collect()
            .await?;
        // Where a height turns out to be skipped, the first block above it is shown.
        blocks.retain(|block| block.header.height <= latest);
        // They were asked for by height: where the chain changed meanwhile, the lower ones serve.
        let links =
            blocks.windows(2).take_while(|pair| pair[1].header.parent == pair[0].header.hash);
        let linked = links.count() + 1;
        Ok(blocks.into_iter().take(linked).collect())
    }

    async fn commit(
        &self,
        post: &mut Post,
        blocks: &[Block],
        rolled_back_to: Option<Height>,
    ) -> Result<(), StepError> {
        let Some(last) = blocks.last() else { return Ok(()) };
        let finalized = post.finalized;
        self.committer.commit(&post.fence, Step { blocks, rolled_back_to, finalized }).await?;
        post.cursor = Some(Cursor::from(&last.header));
        post.lost.clear();
        self.sealed.notify_one();
        Ok(())
    }

    /// Stops watching where the late window is over, by the clock and in the blocks that were
    /// scanned, and every transfer is irreversible. Between the store's word and the removal no
    /// watch is added: only this task does that.
    async fn tidy(&mut self, post: &Post) -> Result<(), StepError> {
        let now = self.committer.clock.now();
        let Some(finalized) = post.finalized.filter(|_| now.0 - self.tidied.0 >= TIDY_EVERY_MS)
        else {
            return Ok(());
        };
        self.tidied = now;
        let mut tx = self.committer.store.begin().await?;
        tx.hold(&post.fence).await?;
        let scanned = post.cursor.as_ref().map_or(now, |cursor| cursor.time.min(now));
        let ended = tx.end_watching(&self.committer.network, scanned, finalized).await?;
        tx.commit().await?;
        self.watches.remove(&ended);
        let (store, network) = (&self.committer.store, &self.committer.network);
        self.watches.want_references(store.wants_references(network).await?);
        Ok(())
    }
}

/// Irreversible blocks come linked; one that does not link is the provider's fault.
fn linked(blocks: Vec<Block>) -> Result<Vec<Block>, StepError> {
    let breaks = blocks.windows(2).find(|pair| pair[1].header.parent != pair[0].header.hash);
    match breaks {
        None => Ok(blocks),
        Some(pair) => Err(ChainError::Unproven(format!(
            "block {} does not link to the one before it",
            pair[1].header.height
        ))
        .into()),
    }
}
