//! The database under the store: which one it is, how it is read and written, and why it may fail.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Instant;

use confirmd_chain::{Height, Timestamp};
use sqlx::any::AnyRow;
use sqlx::{Any, AnyPool, Row};

use super::tally::Tally;
use crate::settlement::{Event, NetworkId};

/// Which database holds the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One file; one process.
    Sqlite,
    /// A server; several processes.
    Postgres,
}

impl Kind {
    /// As the status shows it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }

    /// The database's own clock, in milliseconds since the epoch.
    pub(super) const fn now(self) -> &'static str {
        match self {
            Self::Sqlite => "CAST(unixepoch('subsec') * 1000 AS INTEGER)",
            Self::Postgres => "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)",
        }
    }
}

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The URL is neither `sqlite://…` nor `postgres://…`.
    #[error("store.url: expected sqlite://<file> or postgres://user:password@host/database")]
    Url,
    /// Another confirmd holds the SQLite file.
    #[error(
        "{0} is in use by another confirmd; stop that one first, or give this one a file of its own"
    )]
    InUse(PathBuf),
    /// The SQLite file's folder or lock file cannot be made.
    #[error("cannot open {path}: {error}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The tables could not be brought up to date.
    #[error("the database's tables could not be brought up to date: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// The network is followed by another instance now; nothing was written.
    #[error("another instance follows this network now")]
    Fenced,
    /// A row holds what confirmd never writes.
    #[error("a row of the store cannot be read: {0}")]
    Corrupt(String),
    /// The database failed; trying again may help.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
}

impl StoreError {
    /// Whether another transaction wrote the same at the same time: looking again tells what.
    #[must_use]
    pub fn is_collision(&self) -> bool {
        let Self::Database(error) = self else { return false };
        error.as_database_error().is_some_and(|error| {
            error.is_unique_violation() || error.code().as_deref() == Some(DEADLOCK)
        })
    }

    pub(super) fn corrupt(what: &str, value: impl std::fmt::Display) -> Self {
        Self::Corrupt(format!("{what}: {value}"))
    }
}

/// PostgreSQL's `deadlock_detected`: one of two transactions was undone for the other.
const DEADLOCK: &str = "40P01";

/// A `Result` of the store.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// The store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    /// SQLite: one connection, so that writers queue here and not in the file's lock.
    pub(super) write: AnyPool,
    pub(super) read: AnyPool,
    pub(super) kind: Kind,
    pub(super) instance: Arc<str>,
    /// Held while this process uses the SQLite file.
    pub(super) lock: Option<Arc<File>>,
}

/// A transaction that writes.
pub struct Transaction {
    pub(super) inner: sqlx::Transaction<'static, Any>,
    pub(super) kind: Kind,
    pub(super) tally: Tally,
    /// What the commit adds to the log, and when it was recorded.
    pub(super) events: Vec<(Event, Timestamp)>,
}

impl Store {
    /// Which database it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The name of whoever opened this store: no two are called the same.
    #[must_use]
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> Result<()> {
        sqlx::query("SELECT 1").execute(&self.read).await?;
        Ok(())
    }

    /// Begins a transaction that writes. Nothing in it may wait for the network.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn begin(&self) -> Result<Transaction> {
        let inner = match self.kind {
            Kind::Sqlite => self.write.begin_with("BEGIN IMMEDIATE").await?,
            Kind::Postgres => self.write.begin().await?,
        };
        Ok(Transaction { inner, kind: self.kind, tally: Tally::default(), events: Vec::new() })
    }

    /// Begins to read what belongs together as it stood at one moment.
    pub(super) async fn snapshot(&self) -> Result<sqlx::Transaction<'static, Any>> {
        let begin = match self.kind {
            Kind::Sqlite => "BEGIN DEFERRED",
            Kind::Postgres => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        };
        Ok(self.read.begin_with(begin).await?)
    }

    /// Waits for open work and closes the connections. Another process, or this one, may open the
    /// store again.
    pub async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
        // Not by dropping the file: a task that ends a moment later may still hold it.
        if let Some(Err(error)) = self.lock.as_ref().map(|lock| lock.unlock()) {
            tracing::warn!(%error, "the SQLite file stays locked until this process ends");
        }
    }
}

impl Transaction {
    /// Makes everything written in it durable, together.
    ///
    /// # Errors
    /// When the database fails; then nothing of it was written.
    pub async fn commit(mut self) -> Result<()> {
        let began = Instant::now();
        self.append_events().await?;
        self.inner.commit().await?;
        metrics::histogram!("confirmd_store_commit_duration_seconds").record(began.elapsed());
        self.tally.publish();
        Ok(())
    }

    /// The ids that a statement answers, given a network and a height.
    pub(super) async fn ids_at(
        &mut self,
        statement: &'static str,
        network: &NetworkId,
        height: Height,
    ) -> Result<BTreeSet<String>> {
        let rows: Vec<(String,)> = sqlx::query_as(statement)
            .bind(network.as_str())
            .bind(signed(height.0))
            .fetch_all(&mut *self.inner)
            .await?;
        Ok(rows.into_iter().map(|(id,)| id).collect())
    }

    /// Ends a `SELECT` whose rows this transaction will change, though not their keys: whoever
    /// adds a row that refers to one of them need not wait. Two networks' followers may each have
    /// added a transfer to an intent before they lock it.
    pub(super) const fn for_update(&self) -> &'static str {
        match self.kind {
            Kind::Sqlite => "",
            Kind::Postgres => " FOR NO KEY UPDATE",
        }
    }

    /// Ends a `SELECT` of rows that any instance may take, but not two at once.
    pub(super) const fn skip_locked(&self) -> &'static str {
        match self.kind {
            Kind::Sqlite => "",
            Kind::Postgres => " FOR UPDATE SKIP LOCKED",
        }
    }
}

impl std::fmt::Debug for Transaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transaction").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// A column of a row.
pub(super) fn column<'r, T>(row: &'r AnyRow, name: &str) -> Result<T>
where
    T: sqlx::Decode<'r, Any> + sqlx::Type<Any>,
{
    Ok(row.try_get(name)?)
}

/// A column that holds a number that is never negative.
pub(super) fn number<T: TryFrom<i64>>(row: &AnyRow, name: &str) -> Result<T> {
    let value: i64 = column(row, name)?;
    T::try_from(value).map_err(|_| StoreError::corrupt(name, value))
}

/// A column that may be empty, else holds a number that is never negative.
pub(super) fn optional_number<T: TryFrom<i64>>(row: &AnyRow, name: &str) -> Result<Option<T>> {
    let value: Option<i64> = column(row, name)?;
    value.map(|value| T::try_from(value).map_err(|_| StoreError::corrupt(name, value))).transpose()
}

/// A column that holds text of a form of our own.
pub(super) fn parsed<T: FromStr>(row: &AnyRow, name: &str) -> Result<T> {
    let text: String = column(row, name)?;
    text.parse().map_err(|_| StoreError::corrupt(name, text))
}

/// A column that holds JSON.
pub(super) fn json<T: serde::de::DeserializeOwned>(row: &AnyRow, name: &str) -> Result<T> {
    let text: String = column(row, name)?;
    serde_json::from_str(&text).map_err(|error| StoreError::corrupt(name, error))
}

/// A value as JSON text.
pub(super) fn to_json<T: serde::Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|error| StoreError::corrupt("json", error))
}

/// A height, count or limit as the database's signed integer.
pub(super) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
