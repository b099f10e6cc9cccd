//! Why an answer is not taken.

use confirmd_rpc::CallError;

/// Why a provider's answer is refused. The next provider is asked, and the fault is counted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is not what the method answers.
    #[error("malformed answer: {0}")]
    Malformed(String),
    /// It is well formed, but does not hold against what the block commits to.
    #[error("{0}")]
    Unproven(String),
}

impl Refusal {
    pub(crate) fn malformed(why: impl Into<String>) -> Self {
        Self::Malformed(why.into())
    }

    pub(crate) fn unproven(why: impl Into<String>) -> Self {
        Self::Unproven(why.into())
    }
}

impl From<serde_json::Error> for Refusal {
    fn from(error: serde_json::Error) -> Self {
        Self::Malformed(error.to_string())
    }
}

/// What reading an answer fails with.
impl From<CallError> for Refusal {
    fn from(error: CallError) -> Self {
        Self::Malformed(error.to_string())
    }
}
