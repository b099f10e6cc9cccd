//! Another branch: how it is held against ours, and how its blocks are fetched.

use confirmd_chain::{At, Block, Chain, ChainError, Header, Height, WatchSet};

use super::KEPT_BLOCKS;
use crate::settlement::NetworkId;
use crate::store::{Cursor, Store, StoreError};

/// A branch that shares a block with ours.
#[derive(Debug)]
pub(super) struct Branch {
    /// The newest block that both share.
    pub(super) ancestor: Header,
    /// Its blocks above the ancestor, newest first.
    above: Vec<At>,
}

/// A branch held against ours.
#[derive(Debug)]
pub(super) struct Weighed {
    /// Whether the family prefers it.
    pub(super) is_preferred: bool,
    /// Where it meets ours; else why following it needs an operator.
    pub(super) branch: Result<Branch, String>,
}

/// Why a branch cannot be weighed.
#[derive(Debug, thiserror::Error)]
pub(super) enum BranchError {
    /// The providers failed.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Our branch, and what it takes to hold another one against it.
pub(super) struct Ours<'a> {
    pub(super) store: &'a Store,
    pub(super) chain: &'a dyn Chain,
    pub(super) network: &'a NetworkId,
    pub(super) cursor: &'a Cursor,
    pub(super) finalized: Option<Height>,
}

impl Ours<'_> {
    /// Follows the branch that ends in `tip` down to ours, header by header, and weighs both. None
    /// where it ends below all that is kept: so does a provider that lags far behind.
    pub(super) async fn weigh(&self, tip: &Header) -> Result<Option<Weighed>, BranchError> {
        let Self { store, chain, network, .. } = self;
        let oldest = store.oldest_block(network).await?;
        if oldest.is_none_or(|oldest| tip.height < oldest.height) {
            return Ok(None);
        }
        let (mut above, mut works) = (Vec::new(), Vec::new());
        let mut header = tip.clone();
        let branch = loop {
            above.push(header.at());
            works.push(header.work);
            let below = header.parent_height;
            if below >= header.height {
                break Err(format!(
                    "{network}: the providers serve another chain down to its first block; \
                     check that they belong to this network"
                ));
            }
            let ours = store.block(network, below).await?;
            if let Some(ancestor) = ours.as_ref().filter(|ours| ours.hash == header.parent) {
                break Ok(Branch { ancestor: ancestor.clone(), above });
            }
            if let Some(reason) = self.too_deep(ours, below, above.len() as u64).await? {
                break Err(reason);
            }
            header = chain.header(header.parent_at()).await?;
        };
        let ours = store.work_above(network, header.parent_height).await?;
        let is_preferred = chain.prefers(works.into_iter().sum(), ours);
        Ok(Some(Weighed { is_preferred, branch }))
    }

    /// Why a branch that differs from ours at the height `below` is not to be followed further
    /// down, if it is not.
    async fn too_deep(
        &self,
        ours: Option<Header>,
        below: Height,
        depth: u64,
    ) -> Result<Option<String>, BranchError> {
        let network = self.network;
        if self.finalized.is_some_and(|finalized| below <= finalized) {
            return Ok(Some(format!(
                "{network}: the providers' chain differs from ours at block {below}, which was \
                 irreversible; find out which of them is right, then restart confirmd"
            )));
        }
        // What is above our cursor is not ours to keep.
        let kept_none_below = match ours {
            None if below <= self.cursor.height => {
                let oldest = self.store.oldest_block(network).await?;
                oldest.is_none_or(|oldest| oldest.height > below)
            }
            _ => false,
        };
        let too_deep = kept_none_below || depth >= KEPT_BLOCKS;
        Ok(too_deep.then(|| {
            format!(
                "{network}: a reorganisation reaches below block {below}, deeper than the blocks \
                 that are kept; find out which chain is right, then restart confirmd"
            )
        }))
    }
}

impl Branch {
    /// Its blocks above the ancestor, oldest first. Nothing is written, so a failure half-way
    /// costs nothing.
    pub(super) async fn fetch(
        &self,
        chain: &dyn Chain,
        watches: &WatchSet,
    ) -> Result<Vec<Block>, ChainError> {
        let mut blocks = Vec::with_capacity(self.above.len());
        for at in self.above.iter().rev() {
            blocks.push(chain.block(at.clone(), watches).await?);
        }
        Ok(blocks)
    }
}
