//! What the others say of a block. No hash of it commits to its transactions, so they have to show
//! the same ones, not only the same hash: who shows less would make us miss a payment.

use std::sync::Arc;

use confirmd_chain::{At, Block, Header, WatchSet};
use confirmd_rpc::{Failure, Fault, FaultKind, Provider, Says};

use crate::network::Solana;
use crate::slots::Fetched;

impl Solana {
    /// Whether the others show the same block with the same in it: as many as the pool's quorum.
    /// They are asked for as much of it as the first one was.
    pub(crate) async fn agree_on(
        &self,
        block: &Block,
        fetched: &Fetched<'_>,
        watches: &WatchSet,
    ) -> Result<(), Failure> {
        let at = &At::Height(block.header.height);
        let witness = |provider: Arc<Provider>| async move {
            let theirs = self.fetch(&provider, at, fetched.wanted).await?;
            self.compare(block, fetched, &theirs, watches)
        };
        self.pool.agree(&block.header, fetched.provider, witness).await
    }

    fn compare(
        &self,
        block: &Block,
        fetched: &Fetched<'_>,
        theirs: &Fetched<'_>,
        watches: &WatchSet,
    ) -> Result<Says, Failure> {
        let view = watches.view();
        let their = self.read(theirs, &view)?.block;
        if let Some(fault) = elsewhere(&block.header, &their.header) {
            return Ok(Says::Otherwise(fault));
        }
        if holds_same(block, &their) {
            return Ok(Says::TheSame);
        }
        // It was read before watches came or went: under the same ones it may hold the same.
        let again = self.read(fetched, &view)?.block;
        if holds_same(&again, &their) {
            return Ok(Says::TheSame);
        }
        let count = |block: &Block| (block.transfers.len(), block.examined);
        let ((ours, examined), (theirs, of)) = (count(&again), count(&their));
        let words = format!(
            "shows other transfers in {}: {theirs} in {of} credits, not {ours} in {examined}",
            block.header.height
        );
        Ok(Says::Otherwise(Fault::new(FaultKind::Unproven, words)))
    }
}

/// Another block, or the same at another place. Its time is each provider's own word.
fn elsewhere(header: &Header, theirs: &Header) -> Option<Fault> {
    let slot = header.height;
    if (slot, &header.hash) != (theirs.height, &theirs.hash) {
        let words = format!("names {} at {slot}", theirs.hash);
        return Some(Fault::new(FaultKind::Forked, words));
    }
    let (parent, at) = (&theirs.parent, theirs.parent_height);
    ((&header.parent, header.parent_height) != (parent, at)).then(|| {
        let words = format!("says that {slot} stands on {parent} at {at}");
        Fault::new(FaultKind::Unproven, words)
    })
}

/// The transfers, and how many owners' balances rose at all: who leaves out what is not for us may
/// leave out what is.
fn holds_same(block: &Block, theirs: &Block) -> bool {
    block.transfers == theirs.transfers && block.examined == theirs.examined
}
