//! Where providers show another branch than ours: which one is followed.

use confirmd_chain::{At, BlockHash, Header, Heads};
use tracing::warn;

use super::{Follower, Post, Progress};
use crate::store::Cursor;
use crate::watcher::branch::{Branch, Ours};
use crate::watcher::dispute::{Place, Ruling};
use crate::watcher::step::StepError;

/// How many branches are remembered to have lost against ours, so as not to weigh them again.
const LOST_BRANCHES: usize = 64;
impl Follower {
    /// Our block at the height of the one that is shown, where it is another.
    pub(super) async fn ours_instead_of(
        &self,
        shown: &Header,
        cursor: &Cursor,
    ) -> Result<Option<Place>, StepError> {
        if shown.hash == cursor.hash {
            return Ok(None);
        }
        let ours = self.committer.store.block(&self.committer.network, shown.height).await?;
        let other = ours.filter(|ours| ours.hash != shown.hash);
        Ok(other.map(|ours| Place { height: ours.height, hash: ours.hash }))
    }

    /// Where providers show another block in the place of ours: who is right.
    pub(super) async fn settle(
        &mut self,
        post: &Post,
        ours: &Place,
        theirs: &BlockHash,
    ) -> Result<Ruling, StepError> {
        let (store, network) = (&self.committer.store, &self.committer.network);
        let irreversible = match post.finalized {
            Some(height) => store.block(network, height).await?,
            None => None,
        };
        let irreversible =
            irreversible.map(|header| Place { height: header.height, hash: header.hash });
        let now = self.committer.clock.now();
        let chain = self.followed.chain.as_ref();
        Ok(self.dispute.settle(chain, ours, theirs, irreversible.as_ref(), now).await)
    }

    /// Follows the first of the branches that end in `tips` that is to be followed, if one is.
    pub(super) async fn leave_for(
        &mut self,
        post: &mut Post,
        cursor: &Cursor,
        tips: &[&Header],
        heads: &Heads,
        is_agreed: bool,
    ) -> Result<Progress, StepError> {
        for tip in tips {
            if let Some(branch) = self.better_branch(post, cursor, tip, heads, is_agreed).await? {
                return self.switch_branch(post, cursor, branch).await;
            }
        }
        Ok(Progress::AtTip)
    }

    /// The providers' branch that ends in `tip`, where it is another one and to be followed: the
    /// family prefers it by its weight (a lower head alone is no reorg, the provider may be
    /// behind), several providers agree on it, or the network calls a block on it irreversible
    /// that is not ours.
    async fn better_branch(
        &self,
        post: &mut Post,
        cursor: &Cursor,
        tip: &Header,
        heads: &Heads,
        is_agreed: bool,
    ) -> Result<Option<Branch>, StepError> {
        let (store, network) = (&self.committer.store, &self.committer.network);
        let ours = store.block(network, tip.height).await?;
        if ours.is_some_and(|ours| ours.hash == tip.hash) {
            return Ok(None);
        }
        let is_due = is_agreed || self.is_irreversible_elsewhere(post, heads).await?;
        if post.lost.contains(&tip.hash) && !is_due {
            return Ok(None);
        }
        let chain = self.followed.chain.as_ref();
        let ours = Ours { store, chain, network, cursor, finalized: post.finalized };
        match ours.weigh(tip).await? {
            Some(weighed) if weighed.is_preferred || is_due => {
                weighed.branch.map(Some).map_err(StepError::Stopped)
            }
            _ => {
                if post.lost.len() >= LOST_BRANCHES {
                    post.lost.clear();
                }
                post.lost.insert(tip.hash.clone());
                Ok(None)
            }
        }
    }

    /// Whether the network calls a block irreversible that stands where one of ours does.
    async fn is_irreversible_elsewhere(
        &self,
        post: &Post,
        heads: &Heads,
    ) -> Result<bool, StepError> {
        let Some(named) = heads.finalized.filter(|named| Some(*named) > post.finalized) else {
            return Ok(false);
        };
        let (store, network) = (&self.committer.store, &self.committer.network);
        let Some(ours) = store.block(network, named).await? else { return Ok(false) };
        let theirs = self.followed.chain.header(At::Height(named)).await?;
        Ok(ours.hash != theirs.hash)
    }

    /// Puts a branch in the place of ours.
    async fn switch_branch(
        &mut self,
        post: &mut Post,
        cursor: &Cursor,
        branch: Branch,
    ) -> Result<Progress, StepError> {
        let network = self.committer.network.clone();
        let blocks = branch.fetch(self.followed.chain.as_ref(), &self.watches).await?;
        let ancestor = branch.ancestor.height;
        let depth = cursor.height.0.saturating_sub(ancestor.0);
        let tip = blocks.last().map(|block| block.header.height.0);
        warn!(%network, depth, ancestor = ancestor.0, tip, "reorganisation");
        self.commit(post, &blocks, Some(ancestor)).await?;
        let depth = u32::try_from(depth).unwrap_or(u32::MAX);
        metrics::histogram!("confirmd_reorg_depth_blocks", "network" => network.to_string())
            .record(f64::from(depth));
        Ok(Progress::Moved)
    }
}
