//! Errors, sorted by what the caller can do.

use std::time::Duration;

use confirmd_chain::ChainError;

/// What a provider said is wrong, in its own code; the message is free of URL and credentials.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} (code {code})")]
pub struct RpcError {
    /// JSON-RPC's or the family's code.
    pub code: i64,
    /// The provider's words.
    pub message: String,
}

/// Why a call has no answer. No variant holds a URL or a credential (I12).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// No connection, no answer in time, a status of 5xx, credentials refused.
    #[error("unreachable: {0}")]
    Unreachable(String),
    /// An answer came, but it is not JSON-RPC, or not to what was asked, or cannot be decoded.
    #[error("malformed answer: {0}")]
    Malformed(String),
    /// The provider wants fewer requests.
    #[error("rate limited: {words}")]
    RateLimited {
        /// The provider's words.
        words: String,
        /// How long it asks to be left alone, cut to [`crate::Limits::max_retry_after`].
        retry_after: Option<Duration>,
    },
    /// Too many blocks, logs or bytes at once.
    #[error("too much at once: {0}")]
    TooMuch(String),
    /// The provider does not have the method, or not for us.
    #[error("unsupported: {0}")]
    Unsupported(String),
    /// The provider does not have the block or transaction; another may.
    #[error("not there: {0}")]
    Missing(RpcError),
    /// The provider failed in words that have no meaning here. The family may know the code.
    #[error("refused: {0}")]
    Refused(RpcError),
    /// The request itself is wrong: a mistake of ours.
    #[error("invalid request: {0}")]
    Invalid(RpcError),
}

/// What to do about a [`CallError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Ask another provider.
    Elsewhere,
    /// Ask for less.
    Shrink,
    /// Leave this provider alone for a while.
    Wait,
    /// Asking again, here or elsewhere, does not help.
    GiveUp,
}

impl CallError {
    /// What the caller can do.
    #[must_use]
    pub const fn remedy(&self) -> Remedy {
        match self {
            Self::Unreachable(_)
            | Self::Malformed(_)
            | Self::Unsupported(_)
            | Self::Missing(_)
            | Self::Refused(_) => Remedy::Elsewhere,
            Self::TooMuch(_) => Remedy::Shrink,
            Self::RateLimited { .. } => Remedy::Wait,
            Self::Invalid(_) => Remedy::GiveUp,
        }
    }

    /// The same for a request that cannot be made smaller: another provider must be asked.
    #[must_use]
    pub fn indivisible(self) -> Self {
        match self {
            Self::TooMuch(words) => Self::Unreachable(format!("too much at once: {words}")),
            other => other,
        }
    }

    /// How it is counted in `confirmd_provider_requests_total`.
    pub(crate) const fn outcome(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "unreachable",
            Self::Malformed(_) => "malformed",
            Self::RateLimited { .. } => "rate_limited",
            Self::TooMuch(_) => "too_much",
            Self::Unsupported(_) => "unsupported",
            Self::Missing(_) => "missing",
            Self::Refused(_) => "refused",
            Self::Invalid(_) => "invalid",
        }
    }

    /// Whether it concerns the whole exchange with the provider, not the one call.
    pub(crate) const fn concerns_provider(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Malformed(_) | Self::RateLimited { .. })
    }
}

/// What a provider can be guilty of. The names are those of the status and the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// It wants fewer requests.
    RateLimited,
    /// It is behind the others, or behind what it said before.
    Stale,
    /// What it said does not agree with itself, or cannot be proven.
    Unproven,
    /// It does not answer, or only with failures.
    Unreachable,
    /// Its answer cannot be read.
    Malformed,
    /// It serves another network.
    WrongChain,
    /// It serves another branch than the one that is followed, and that others serve.
    Forked,
}

impl FaultKind {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::RateLimited,
        Self::Stale,
        Self::Unproven,
        Self::Unreachable,
        Self::Malformed,
        Self::WrongChain,
        Self::Forked,
    ];

    /// Its name in the status and the metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RateLimited => "rate_limited",
            Self::Stale => "stale",
            Self::Unproven => "unproven",
            Self::Unreachable => "unreachable",
            Self::Malformed => "malformed",
            Self::WrongChain => "wrong_chain",
            Self::Forked => "forked",
        }
    }
}

/// Something that a provider did wrong, for which it is put aside.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {words}", kind.as_str())]
pub struct Fault {
    /// Of which kind.
    pub kind: FaultKind,
    /// In words, without URL or credentials.
    pub words: String,
    /// How long the provider itself asks to be left alone.
    pub retry_after: Option<Duration>,
}

impl Fault {
    /// A fault in words, which may not hold a URL or a credential.
    #[must_use]
    pub fn new(kind: FaultKind, words: impl Into<String>) -> Self {
        Self { kind, words: words.into(), retry_after: None }
    }
}

/// Why an attempt with one provider did not end with a usable, verified answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The provider is at fault: it is put aside and the next one is asked.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// It does not have what was asked for, which is no fault. The next one is asked.
    #[error("not there: {0}")]
    Missing(String),
    /// Others say otherwise, and it is not known who is wrong. The next one is asked.
    #[error("{0}")]
    Contested(String),
    /// It lacks a method. The next one is asked.
    #[error("unsupported: {0}")]
    Unsupported(String),
    /// It finds the request wrong. Another may understand it, so the next one is asked.
    #[error("invalid request: {0}")]
    Invalid(String),
    /// Ask for less; no other provider is asked.
    #[error("too much at once: {0}")]
    TooMuch(String),
    /// Asking elsewhere does not help; no other provider is asked.
    #[error("{0}")]
    GiveUp(String),
}

impl Failure {
    /// The provider's answer is not proven.
    #[must_use]
    pub fn unproven(words: impl Into<String>) -> Self {
        Fault::new(FaultKind::Unproven, words).into()
    }

    /// The provider is behind.
    #[must_use]
    pub fn stale(words: impl Into<String>) -> Self {
        Fault::new(FaultKind::Stale, words).into()
    }

    /// The provider serves another network.
    #[must_use]
    pub fn wrong_chain(words: impl Into<String>) -> Self {
        Fault::new(FaultKind::WrongChain, words).into()
    }

    /// The provider's answer cannot be read.
    #[must_use]
    pub fn malformed(words: impl Into<String>) -> Self {
        Fault::new(FaultKind::Malformed, words).into()
    }

    /// The same where less cannot be asked for: the provider is at fault, and the next is asked.
    #[must_use]
    pub fn indivisible(self) -> Self {
        match self {
            Self::TooMuch(words) => CallError::TooMuch(words).indivisible().into(),
            other => other,
        }
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Unreachable(words) => Fault::new(FaultKind::Unreachable, words).into(),
            CallError::Refused(error) => {
                Fault::new(FaultKind::Unreachable, error.to_string()).into()
            }
            CallError::Malformed(words) => Self::malformed(words),
            CallError::RateLimited { words, retry_after } => {
                Fault { kind: FaultKind::RateLimited, words, retry_after }.into()
            }
            CallError::TooMuch(words) => Self::TooMuch(words),
            CallError::Unsupported(words) => Self::Unsupported(words),
            CallError::Missing(error) => Self::Missing(error.to_string()),
            CallError::Invalid(error) => Self::Invalid(error.to_string()),
        }
    }
}

/// Why no provider of a network gave a usable, verified answer. The words name the providers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// Some say that they do not have it, and none says what could not be proven.
    #[error("not there: {0}")]
    Missing(String),
    /// Some answered, but could not prove it.
    #[error("{0}")]
    Unproven(String),
    /// None answered, or all are put aside.
    #[error("{0}")]
    Unavailable(String),
    /// None has the method.
    #[error("{0}")]
    Unsupported(String),
    /// Ask for less.
    #[error("too much at once: {0}")]
    TooMuch(String),
    /// Asking again does not help: all find the request wrong, or serve another network.
    #[error("{0}")]
    GiveUp(String),
}

impl AskError {
    /// Nothing, where providers say that they do not have it; for what need not be there.
    ///
    /// # Errors
    /// Itself, where it says anything else.
    pub fn absent<T>(self) -> Result<Option<T>, Self> {
        match self {
            Self::Missing(_) => Ok(None),
            other => Err(other),
        }
    }
}

impl From<AskError> for ChainError {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Missing(_) => Self::NotFound,
            AskError::Unproven(words) => Self::Unproven(words),
            AskError::Unavailable(words) => Self::Unavailable(words),
            AskError::TooMuch(_) => Self::Unavailable(error.to_string()),
            AskError::Unsupported(words) | AskError::GiveUp(words) => Self::Misconfigured(words),
        }
    }
}
