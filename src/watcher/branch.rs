//! Another branch: how it is held against ours, and how its blocks are fetched.

use confirmd_chain::{At, Block, Chain, ChainError, Header, Height, WatchSet};

use super::followed::KEPT_BLOCKS;
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
                 irreversible; find out which of them is right; if ours is, take the wrong \
                 providers out and reload"
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
                 that are kept; find out which chain is right; if ours is, take the wrong \
                 providers out and reload"
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use alloy_primitives::U256;
    use async_trait::async_trait;
    use confirmd_chain::{
        Address, AddressError, BlockHash, Heads, Inclusion, ProbeReport, ProviderStatus, Timestamp,
        TransactionId, WatchKey, Work,
    };

    use super::*;

    /// A chain of headers that keeps to what it saw first until something weighs more, as
    /// Bitcoin's does.
    struct Headers(BTreeMap<BlockHash, Header>);

    #[async_trait]
    impl Chain for Headers {
        async fn heads(&self) -> Result<Heads, ChainError> {
            Err(ChainError::NotFound)
        }

        async fn header(&self, at: At) -> Result<Header, ChainError> {
            let At::Block { hash, .. } = at else { return Err(ChainError::NotFound) };
            self.0.get(&hash).cloned().ok_or(ChainError::NotFound)
        }

        async fn block(&self, _: At, _: &WatchSet) -> Result<Block, ChainError> {
            Err(ChainError::NotFound)
        }

        async fn blocks(
            &self,
            _: Height,
            _: Height,
            _: &WatchSet,
        ) -> Result<Vec<Block>, ChainError> {
            Err(ChainError::NotFound)
        }

        async fn transaction(&self, _: &TransactionId) -> Result<Option<Inclusion>, ChainError> {
            Ok(None)
        }

        fn prefers(&self, new: Work, ours: Work) -> bool {
            new > ours
        }

        fn parse_address(&self, text: &str) -> Result<Address, AddressError> {
            Err(AddressError::Malformed(text.to_owned()))
        }

        fn watch_key(&self, _: &Address) -> WatchKey {
            WatchKey::from([0; 20])
        }

        fn providers(&self) -> Vec<ProviderStatus> {
            Vec::new()
        }

        async fn probe(&self) -> Vec<ProbeReport> {
            Vec::new()
        }
    }

    /// Blocks above block 10, by name: the heights that they stand at, and what each weighs.
    fn branch(name: &str, blocks: &[(u64, u64)]) -> Vec<Header> {
        let mut below = (Height(10), BlockHash::new("root"));
        let link = |&(height, work): &(u64, u64)| {
            let hash = BlockHash::new(format!("{name}{height}"));
            let (parent_height, parent) =
                std::mem::replace(&mut below, (Height(height), hash.clone()));
            let (height, time) = (Height(height), Timestamp(0));
            let work = Work::new(U256::from(work));
            Header { height, hash, parent, parent_height, time, mined_at: time, work }
        };
        blocks.iter().map(link).collect()
    }

    #[tokio::test]
    async fn a_branch_is_followed_for_its_work_and_not_its_length_f7() {
        type Blocks = &'static [(u64, u64)];
        let cases: [(&str, Blocks, Blocks, bool); 6] = [
            ("as heavy", &[(11, 4)], &[(11, 4)], false),
            ("longer and lighter", &[(11, 4), (12, 4)], &[(11, 2), (12, 2), (13, 2)], false),
            ("longer and as heavy", &[(11, 4)], &[(11, 2), (12, 2)], false),
            ("shorter and heavier", &[(11, 2), (12, 2), (13, 2)], &[(11, 4), (12, 4)], true),
            ("longer and heavier", &[(11, 4)], &[(11, 4), (12, 1)], true),
            // The network skipped heights on both sides.
            ("over skipped heights", &[(12, 2), (15, 3)], &[(11, 1), (16, 5)], true),
        ];
        for (name, ours, theirs, is_preferred) in cases {
            let folder = tempfile::tempdir().expect("a folder");
            let file = folder.path().join("confirmd.db");
            let url = format!("sqlite://{}", file.display());
            let store = Store::open(&url).await.expect("a store");
            let network = NetworkId::from("n");
            let mut root = branch("root", &[(10, 1)]);
            root[0].hash = BlockHash::new("root");
            let ours = branch("ours", ours);
            let mut tx = store.begin().await.expect("begins");
            tx.insert_blocks(&network, root.iter().chain(&ours)).await.expect("is kept");
            tx.commit().await.expect("commits");
            let theirs = branch("theirs", theirs);
            let chain = Headers(theirs.iter().map(|h| (h.hash.clone(), h.clone())).collect());
            let cursor = Cursor::from(ours.last().expect("a block"));
            let held = Ours {
                store: &store,
                chain: &chain,
                network: &network,
                cursor: &cursor,
                finalized: None,
            };
            let weighed = held.weigh(theirs.last().expect("a block")).await.expect("weighs");
            let weighed = weighed.expect("it meets ours");
            assert_eq!(weighed.is_preferred, is_preferred, "{name}");
            let met = weighed.branch.expect("it meets ours");
            assert_eq!(met.ancestor.height, Height(10), "{name}");
            assert_eq!(met.above.len(), theirs.len(), "{name}");
        }
    }
}
