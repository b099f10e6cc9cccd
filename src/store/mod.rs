//! The store: every SQL statement of confirmd, for SQLite and PostgreSQL alike.
//!
//! One text of each query serves both databases; only lock clauses differ. A step's effects are
//! written in one [`Transaction`], so a crash falls before it or after it (I1).

mod backfills;
mod blocks;
mod deliveries;
mod deposits;
mod events;
mod intents;
mod leases;
mod matching;
mod networks;
mod orphans;
mod outbox;
mod outcome;
mod rails;
mod scans;
mod status;
mod tally;
mod thresholds;
mod transfers;
mod unconfirmed;
mod wallets;

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use confirmd_chain::Height;
use sqlx::any::{AnyConnectOptions, AnyPoolOptions, AnyRow};
use sqlx::migrate::Migrator;
use sqlx::{Any, AnyPool, Row};

pub use backfills::Backfill;
pub use deliveries::{
    Attempt, Delivery, DeliveryFilter, DeliveryState, EndpointCounts, NumberedAttempt, Retry,
};
pub use deposits::{DepositFilter, WalletDeposit};
pub use events::{Actor, LoggedEvent, NewDelivery, TimelineEntry};
pub use intents::{CreateError, IntentFilter, NewIntent};
pub use leases::{Lease, Leases};
pub use networks::{Awaited, Cursor, Fence, NetworkRow};
pub use orphans::{Orphan, OrphanFilter, OrphanStatus};
pub use outbox::{AttemptOutcome, Claimed, Next};
pub use outcome::Recording;
pub use rails::Repoint;
pub use scans::Scan;
pub use status::{FollowerState, FollowerStatus, MempoolStatus, ProviderState};
use tally::Tally;
pub use thresholds::{Required, ThresholdChange};
pub use transfers::Found;
pub use unconfirmed::Sighted;
pub use wallets::{NewAddress, Wallet, WalletAddress, Which};

use crate::settlement::NetworkId;

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
    const fn now(self) -> &'static str {
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

    fn corrupt(what: &str, value: impl std::fmt::Display) -> Self {
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
    write: AnyPool,
    read: AnyPool,
    kind: Kind,
    instance: Arc<str>,
    /// Held while this process uses the SQLite file.
    _lock: Option<Arc<File>>,
}

/// A transaction that writes.
pub struct Transaction {
    inner: sqlx::Transaction<'static, Any>,
    kind: Kind,
    tally: Tally,
}

/// No transaction waits for anything but the database. One that is idle belongs to a process that
/// stands still or whose machine is gone, and its locks would keep others from taking over.
const PAUSED_PROCESSES: &str = "SET idle_in_transaction_session_timeout = '10s'";

const MIGRATIONS: [(&str, &str, &str); 1] = [(
    "first",
    include_str!("../../migrations/sqlite/0001_first.sql"),
    include_str!("../../migrations/postgres/0001_first.sql"),
)];

impl Store {
    /// Opens the store and brings its tables up to date. A SQLite file and its folder are made
    /// where they are missing, and deliveries that a killed process had under way are due again.
    ///
    /// # Errors
    /// When the URL is malformed, the file is in use by another process, or the database fails.
    pub async fn open(url: &str) -> Result<Self> {
        sqlx::any::install_default_drivers();
        let kind = match url.split_once(':').map(|(scheme, _)| scheme) {
            Some("sqlite") => Kind::Sqlite,
            Some("postgres" | "postgresql") => Kind::Postgres,
            _ => return Err(StoreError::Url),
        };
        let store = match kind {
            Kind::Sqlite => Self::open_sqlite(url).await?,
            Kind::Postgres => Self::open_postgres(url).await?,
        };
        store.migrate().await?;
        if kind == Kind::Sqlite {
            // The file's lock is ours: whoever had claimed a delivery or a network is gone.
            store.return_every_claim().await?;
            store.forget_instances().await?;
        }
        Ok(store)
    }

    async fn open_sqlite(url: &str) -> Result<Self> {
        let path = url.strip_prefix("sqlite://").ok_or(StoreError::Url)?;
        let path = Path::new(path.split('?').next().unwrap_or(path));
        let lock = lock_file(path)?;
        let options = AnyConnectOptions::from_str(&format!("sqlite://{}?mode=rwc", path.display()))
            .map_err(|_| StoreError::Url)?;
        let pool = |connections: u32, pragmas: &'static str| {
            AnyPoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(Duration::from_secs(30))
                .after_connect(move |connection, _| {
                    Box::pin(
                        async move { sqlx::raw_sql(pragmas).execute(connection).await.map(|_| ()) },
                    )
                })
        };
        let write = pool(
            1,
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; \
             PRAGMA busy_timeout = 10000; PRAGMA cache_size = -64000",
        )
        .connect_with(options.clone())
        .await?;
        let read = pool(4, "PRAGMA query_only = ON; PRAGMA busy_timeout = 10000")
            .connect_with(options)
            .await?;
        Ok(Self {
            write,
            read,
            kind: Kind::Sqlite,
            instance: instance(),
            _lock: Some(Arc::new(lock)),
        })
    }

    async fn open_postgres(url: &str) -> Result<Self> {
        let options = AnyConnectOptions::from_str(url).map_err(|_| StoreError::Url)?;
        let pool = AnyPoolOptions::new()
            .max_connections(16)
            .acquire_timeout(Duration::from_secs(5))
            .after_connect(|connection, _| {
                Box::pin(async move {
                    sqlx::raw_sql(PAUSED_PROCESSES).execute(connection).await.map(|_| ())
                })
            })
            .connect_with(options)
            .await?;
        Ok(Self {
            write: pool.clone(),
            read: pool,
            kind: Kind::Postgres,
            instance: instance(),
            _lock: None,
        })
    }

    async fn migrate(&self) -> Result<()> {
        let migrations = (1..).zip(MIGRATIONS).map(|(version, (name, sqlite, postgres))| {
            let sql = match self.kind {
                Kind::Sqlite => sqlite,
                Kind::Postgres => postgres,
            };
            sqlx::migrate::Migration::new(
                version,
                name.into(),
                sqlx::migrate::MigrationType::Simple,
                sqlx::SqlStr::from_static(sql),
                false,
            )
        });
        Migrator::with_migrations(migrations.collect()).run(&self.write).await?;
        Ok(())
    }

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

    /// The version of its tables.
    #[must_use]
    pub const fn schema(&self) -> usize {
        MIGRATIONS.len()
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
        Ok(Transaction { inner, kind: self.kind, tally: Tally::default() })
    }

    /// Begins to read what belongs together as it stood at one moment.
    async fn snapshot(&self) -> Result<sqlx::Transaction<'static, Any>> {
        let begin = match self.kind {
            Kind::Sqlite => "BEGIN DEFERRED",
            Kind::Postgres => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        };
        Ok(self.read.begin_with(begin).await?)
    }

    /// Waits for open work and closes the connections.
    pub async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }
}

impl Transaction {
    /// Makes everything written in it durable, together.
    ///
    /// # Errors
    /// When the database fails; then nothing of it was written.
    pub async fn commit(self) -> Result<()> {
        let began = Instant::now();
        self.inner.commit().await?;
        metrics::histogram!("confirmd_store_commit_duration_seconds").record(began.elapsed());
        self.tally.publish();
        Ok(())
    }

    /// The ids that a statement answers, given a network and a height.
    async fn ids_at(
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
    const fn for_update(&self) -> &'static str {
        match self.kind {
            Kind::Sqlite => "",
            Kind::Postgres => " FOR NO KEY UPDATE",
        }
    }

    /// Ends a `SELECT` of rows that any instance may take, but not two at once.
    const fn skip_locked(&self) -> &'static str {
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

fn instance() -> Arc<str> {
    format!("{}-{}", std::process::id(), ulid::Ulid::new()).into()
}

/// SQLite's own locks are held for moments only; this one as long as the process lives.
fn lock_file(database: &Path) -> Result<File> {
    let failed = |error| StoreError::File { path: database.to_owned(), error };
    if let Some(folder) = database.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut name = database.as_os_str().to_owned();
    name.push(".lock");
    let file = File::create(name).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(StoreError::InUse(database.to_owned())),
        Err(std::fs::TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// A column of a row.
fn column<'r, T>(row: &'r AnyRow, name: &str) -> Result<T>
where
    T: sqlx::Decode<'r, Any> + sqlx::Type<Any>,
{
    Ok(row.try_get(name)?)
}

/// A column that holds a number that is never negative.
fn number<T: TryFrom<i64>>(row: &AnyRow, name: &str) -> Result<T> {
    let value: i64 = column(row, name)?;
    T::try_from(value).map_err(|_| StoreError::corrupt(name, value))
}

/// A column that may be empty, else holds a number that is never negative.
fn optional_number<T: TryFrom<i64>>(row: &AnyRow, name: &str) -> Result<Option<T>> {
    let value: Option<i64> = column(row, name)?;
    value.map(|value| T::try_from(value).map_err(|_| StoreError::corrupt(name, value))).transpose()
}

/// A column that holds text of a form of our own.
fn parsed<T: FromStr>(row: &AnyRow, name: &str) -> Result<T> {
    let text: String = column(row, name)?;
    text.parse().map_err(|_| StoreError::corrupt(name, text))
}

/// A column that holds JSON.
fn json<T: serde::de::DeserializeOwned>(row: &AnyRow, name: &str) -> Result<T> {
    let text: String = column(row, name)?;
    serde_json::from_str(&text).map_err(|error| StoreError::corrupt(name, error))
}

/// A value as JSON text.
fn to_json<T: serde::Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|error| StoreError::corrupt("json", error))
}

/// A height, count or limit as the database's signed integer.
fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
