//! The transactions of a mempool, as far as they were read.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use confirmd_chain::FeeRate;
use tokio::sync::Mutex;

use crate::Hash256;

/// The transactions of a mempool that were read, as they are in it now.
#[derive(Debug, Default)]
pub(crate) struct Pending(pub(crate) Mutex<Held>);

#[derive(Debug, Default)]
pub(crate) struct Held {
    pub(crate) transactions: HashMap<Hash256, Arc<Pend>>,
    pub(crate) bytes: usize,
}

#[derive(Debug)]
pub(crate) struct Pend {
    /// Without witnesses. Kept instead of what it pays and spends, which is most of it, so that a
    /// watch which comes later finds it too.
    pub(crate) bytes: Box<[u8]>,
    /// What its node says of it, once it hit a watch.
    pub(crate) told: OnceLock<Told>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Told {
    pub(crate) fee_rate: Option<FeeRate>,
    pub(crate) replaceable: bool,
}

impl Held {
    /// Forgets what is not in the mempool any more; answers what of it was not read yet.
    pub(crate) fn keep(&mut self, ids: &[Hash256]) -> Vec<Hash256> {
        let present: HashSet<&Hash256> = ids.iter().collect();
        self.transactions.retain(|id, held| {
            let stays = present.contains(id);
            self.bytes -= if stays { 0 } else { held.bytes.len() };
            stays
        });
        ids.iter().filter(|id| !self.transactions.contains_key(*id)).copied().collect()
    }

    pub(crate) fn insert(&mut self, id: Hash256, bytes: Box<[u8]>) {
        self.bytes += bytes.len();
        let pend = Pend { bytes, told: OnceLock::new() };
        self.transactions.insert(id, Arc::new(pend));
    }
}
