//! In which blocks our transactions stood.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use confirmd_chain::TransactionId;

use crate::Hash256;

/// How many transactions of ours are remembered with their blocks.
const KEPT: usize = 10_000;

/// In which blocks transactions that hit a watch stood. Nodes keep no index of transactions unless
/// they are told to, but find one in a block that is named to them.
#[derive(Debug, Default)]
pub(crate) struct Recent(Mutex<Blocks>);

#[derive(Debug, Default)]
struct Blocks {
    of: HashMap<TransactionId, Hash256>,
    /// The oldest first.
    order: VecDeque<TransactionId>,
}

impl Recent {
    pub(crate) fn note<'t>(
        &self,
        block: Hash256,
        transactions: impl Iterator<Item = &'t TransactionId>,
    ) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for id in transactions {
            if known.of.insert(id.clone(), block).is_none() {
                known.order.push_back(id.clone());
            }
        }
        while known.order.len() > KEPT {
            let Some(oldest) = known.order.pop_front() else { break };
            known.of.remove(&oldest);
        }
    }

    pub(crate) fn block_of(&self, id: Hash256) -> Option<Hash256> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.of.get(&TransactionId::new(id.to_string())).copied()
    }
}
