//! Why an answer is not believed.

use confirmd_rpc::Failure;

/// Why bytes that a provider sent are not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// They cannot be read.
    #[error("{0}")]
    Malformed(String),
    /// They can be read, but do not prove what they say.
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

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Malformed(words) => Self::malformed(words),
            Refusal::Unproven(words) => Self::unproven(words),
        }
    }
}
