//! One error for all starters: what was tried, and what the reader can do about it.

use std::{io, path::Path, time::Duration};

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why something could not be installed, started or asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// A program that cannot be installed from here is missing.
    #[error("{program} is missing: {install}")]
    Missing {
        /// The program.
        program: String,
        /// What to install, as a command where there is one.
        install: String,
    },
    /// A program ran and failed.
    #[error("{command} failed ({status}):\n{output}")]
    Failed {
        /// The command line.
        command: String,
        /// Its exit status.
        status: String,
        /// The end of what it printed.
        output: String,
    },
    /// Something did not happen in time.
    #[error("{what} did not happen within {within:?}:\n{output}")]
    TimedOut {
        /// What was waited for.
        what: String,
        /// How long.
        within: Duration,
        /// What was seen instead.
        output: String,
    },
    /// The node could not be reached, or its answer was not JSON-RPC.
    #[error("{method}: {source}")]
    Http {
        /// The JSON-RPC method.
        method: String,
        /// What went wrong.
        source: reqwest::Error,
    },
    /// The node answered with a JSON-RPC error.
    #[error("{method}: {message} ({code})")]
    Rpc {
        /// The JSON-RPC method.
        method: String,
        /// JSON-RPC 2.0 error code.
        code: i64,
        /// The node's words.
        message: String,
    },
    /// Something answered, but not in the shape that its documentation promises.
    #[error("{what}: {detail}")]
    Unexpected {
        /// What was looked at.
        what: String,
        /// What is wrong with it.
        detail: String,
    },
}

impl Error {
    /// For `map_err`: the system refused to do `what`.
    pub fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    /// For `map_err`: the system refused to do `what` with `path`.
    pub fn path(what: &str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        Self::io(format!("{what} {}", path.display()))
    }

    /// An answer that is not what was promised.
    pub fn unexpected(what: impl Into<String>, detail: &(impl ToString + ?Sized)) -> Self {
        Self::Unexpected { what: what.into(), detail: detail.to_string() }
    }
}
