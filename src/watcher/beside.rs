//! How what is done beside the blocks goes: the mempool's reading, and the look-back.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use confirmd_chain::Timestamp;

use crate::store::BesideStatus;

/// What the status shows of one such task; nothing until it did or failed something.
#[derive(Clone, Debug, Default)]
pub(super) struct Board(Arc<Mutex<Option<BesideStatus>>>);

impl Board {
    /// As it is now.
    pub(super) fn shown(&self) -> Option<BesideStatus> {
        self.lock().clone()
    }

    pub(super) fn show(&self, reason: Option<String>, now: Timestamp) {
        let mut shown = self.lock();
        let was_failing = shown.as_ref().map(|shown| shown.reason.is_some());
        let since = match &*shown {
            Some(shown) if was_failing == Some(reason.is_some()) => shown.since,
            _ => now,
        };
        *shown = Some(BesideStatus { reason, since });
    }

    fn lock(&self) -> MutexGuard<'_, Option<BesideStatus>> {
        // A panic elsewhere cannot leave a status half written.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_shown_since_it_began() {
        let board = Board::default();
        assert_eq!(board.shown(), None);
        for (reason, now, since) in
            [(None, 1, 1), (Some("a"), 2, 2), (Some("b"), 3, 2), (None, 4, 4), (None, 5, 4)]
        {
            let reason = reason.map(str::to_owned);
            board.show(reason.clone(), Timestamp(now));
            assert_eq!(board.shown(), Some(BesideStatus { reason, since: Timestamp(since) }));
        }
    }
}
