//! A follower's step: how many blocks it takes at most, and why it may fail.

use confirmd_chain::{Asset, ChainError};

use super::branch::BranchError;
use crate::store::StoreError;

/// How many blocks above the irreversible ones are fetched and committed together.
pub(super) const BATCH: u64 = 32;

#[derive(Debug, thiserror::Error)]
pub(super) enum StepError {
    #[error(transparent)]
    Chain(#[from] ChainError),
    #[error("the store fails: {0}")]
    Store(#[from] StoreError),
    /// Only an operator can help (I5).
    #[error("{0}")]
    Stopped(String),
    /// The registry that this instance has read is too old.
    #[error(
        "intents wait for {0}, which this instance's registry does not name; put it there and \
         reload it"
    )]
    UnknownAsset(Asset),
}

impl From<BranchError> for StepError {
    fn from(error: BranchError) -> Self {
        match error {
            BranchError::Chain(error) => Self::Chain(error),
            BranchError::Store(error) => Self::Store(error),
        }
    }
}
