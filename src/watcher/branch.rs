//! How a new branch is fetched, down to the block that it shares with ours.

use confirmd_chain::{At, Block, BlockHash, Chain, ChainError, Header, Height, WatchSet};

use super::KEPT_BLOCKS;
use crate::settlement::NetworkId;
use crate::store::{Store, StoreError};

/// A branch that takes the place of ours.
#[derive(Debug)]
pub(super) struct Branch {
    /// The newest block that both share.
    pub(super) ancestor: Header,
    /// Its blocks above the ancestor, oldest first.
    pub(super) blocks: Vec<Block>,
}

/// Why a branch cannot be followed.
#[derive(Debug, thiserror::Error)]
pub(super) enum BranchError {
    /// It would take back what is irreversible, or more than is kept: an operator has to look.
    #[error("{0}")]
    TooDeep(String),
    /// The providers failed.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Fetches the branch that ends in `tip`, block by block, until it meets ours. Nothing is written,
/// so a failure half-way costs nothing.
pub(super) async fn fetch(
    store: &Store,
    chain: &dyn Chain,
    network: &NetworkId,
    tip: BlockHash,
    finalized: Option<Height>,
    watches: &WatchSet,
) -> Result<Branch, BranchError> {
    let mut blocks = Vec::new();
    let mut wanted = tip;
    loop {
        let block = chain.block(At::Hash(wanted), watches).await?;
        let height = block.header.height;
        wanted = block.header.parent.clone();
        blocks.push(block);
        let Some(below) = height.previous() else {
            return Err(BranchError::TooDeep(format!(
                "{network}: the providers serve another chain down to its first block; \
                 check that they belong to this network"
            )));
        };
        let ours = store.block(network, below).await?;
        if let Some(ancestor) = ours.as_ref().filter(|ours| ours.hash == wanted) {
            blocks.reverse();
            return Ok(Branch { ancestor: ancestor.clone(), blocks });
        }
        if finalized.is_some_and(|finalized| below <= finalized) {
            return Err(BranchError::TooDeep(format!(
                "{network}: the providers' chain differs from ours at block {below}, which was \
                 irreversible; find out which of them is right, then restart confirmd"
            )));
        }
        let kept_none_below = match ours {
            Some(_) => false,
            None => store.oldest_block(network).await?.is_none_or(|oldest| oldest.height > below),
        };
        if kept_none_below || blocks.len() as u64 >= KEPT_BLOCKS {
            return Err(BranchError::TooDeep(format!(
                "{network}: a reorganisation reaches below block {below}, deeper than the blocks \
                 that are kept; find out which chain is right, then restart confirmd"
            )));
        }
    }
}
