//! Why an answer is not believed.

use confirmd_rpc::Failure;

/// Why an answer of a provider is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It cannot be read.
    #[error("{0}")]
    Malformed(String),
    /// It can be read, but does not agree with itself, or with what is known.
    #[error("{0}")]
    Unproven(String),
}

impl Refusal {
    pub(crate) fn malformed(words: impl Into<String>) -> Self {
        Self::Malformed(words.into())
    }

    pub(crate) fn unproven(words: impl Into<String>) -> Self {
        Self::Unproven(words.into())
    }
}

/// serde's words tell the place and what was expected there; what it quotes is on the chain.
impl From<serde_json::Error> for Refusal {
    fn from(error: serde_json::Error) -> Self {
        Self::Malformed(error.to_string())
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
