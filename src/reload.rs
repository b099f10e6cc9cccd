//! Reading the registry again while the daemon runs: how that is asked for, and what comes of it.

use tokio::sync::{mpsc, oneshot};

use crate::config::{Changes, ConfigError, Problem};
use crate::store::StoreError;

/// What a reload did.
#[derive(Clone, Debug)]
pub struct Reloaded {
    /// What it changed.
    pub changes: Changes,
    /// What was taken otherwise than it is written, or is worth knowing.
    pub warnings: Vec<Problem>,
}

/// Why a reload changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The files cannot be used.
    #[error("{0}")]
    Files(ConfigError),
    /// What the files leave out or change is still needed; never empty.
    #[error("{0}")]
    InUse(ConfigError),
    /// The store failed.
    #[error("the store: {0}")]
    Store(#[from] StoreError),
    /// The daemon stops.
    #[error("the daemon stops")]
    Stopping,
}

impl From<ConfigError> for ReloadError {
    fn from(error: ConfigError) -> Self {
        Self::Files(error)
    }
}

/// Whoever waits for the outcome of a reload.
pub type Asker = oneshot::Sender<Result<Reloaded, ReloadError>>;

/// Asks for reloads. They are done one after the other, and to the end, whoever stops waiting.
#[derive(Clone, Debug)]
pub struct Reloads(mpsc::Sender<Asker>);

impl Reloads {
    /// Who asks, and where it is heard.
    #[must_use]
    pub fn channel() -> (Self, mpsc::Receiver<Asker>) {
        let (sender, receiver) = mpsc::channel(1);
        (Self(sender), receiver)
    }

    /// Has the registry and the networks' configuration read again, all or nothing.
    ///
    /// # Errors
    /// When nothing was changed, with the reason.
    pub async fn ask(&self) -> Result<Reloaded, ReloadError> {
        let (asker, outcome) = oneshot::channel();
        self.0.send(asker).await.map_err(|_| ReloadError::Stopping)?;
        outcome.await.map_err(|_| ReloadError::Stopping)?
    }
}
