//! Why an answer is not taken.

use crate::{CallError, Failure};

/// Why a decoder does not take what a provider sent. It names no provider: the one that asked puts
/// it aside for it, and asks the next.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It cannot be read.
    #[error("malformed answer: {0}")]
    Malformed(String),
    /// It can be read, but does not agree with itself, or does not prove what it says.
    #[error("{0}")]
    Unproven(String),
}

impl Refusal {
    /// Something that cannot be read.
    pub fn malformed(why: impl Into<String>) -> Self {
        Self::Malformed(why.into())
    }

    /// Something that is not proven.
    pub fn unproven(why: impl Into<String>) -> Self {
        Self::Unproven(why.into())
    }
}

/// serde's words tell the place and what was expected there; what they quote is on the chain.
impl From<serde_json::Error> for Refusal {
    fn from(error: serde_json::Error) -> Self {
        Self::Malformed(error.to_string())
    }
}

/// What decoding an answer fails with.
impl From<CallError> for Refusal {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Malformed(words) => Self::Malformed(words),
            other => Self::Malformed(other.to_string()),
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Malformed(words) => Self::malformed(words),
            Refusal::Unproven(words) => Self::unproven(words),
        }
    }
}
