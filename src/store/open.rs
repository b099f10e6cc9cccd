//! Opening the store: its connections, its tables, and what a killed process left.

use std::fs::File;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::Connection;
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::migrate::Migrator;

use super::database::{Kind, Result, Store, StoreError};

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
                // SQLite itself undoes a transaction that a full disk or a failing one breaks.
                // sqlx still counts it then and begins no other, so the connection is replaced.
                .before_acquire(|connection, _| {
                    Box::pin(async move { Ok(!connection.is_in_transaction()) })
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
            lock: Some(Arc::new(lock)),
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
            lock: None,
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

    /// The version of its tables.
    #[must_use]
    pub const fn schema(&self) -> usize {
        MIGRATIONS.len()
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

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: &str = "INSERT INTO instances (instance, networks, until) VALUES ($1, $2, 0)";

    /// Writes a row of a mebibyte.
    async fn write(store: &Store, name: &str) -> Result<()> {
        let mut transaction = store.begin().await?;
        let row = sqlx::query(ROW).bind(name).bind("x".repeat(1 << 20));
        row.execute(&mut *transaction.inner).await?;
        transaction.commit().await
    }

    #[tokio::test]
    async fn a_store_that_had_no_room_writes_again_once_it_has() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("confirmd.db");
        let store = Store::open(&format!("sqlite://{}", file.display())).await.expect("opens");
        write(&store, "before").await.expect("has room");

        // Less than it holds already: it may not grow.
        let limit = sqlx::raw_sql("PRAGMA max_page_count = 1").execute(&store.write);
        limit.await.expect("is set");
        let failed = write(&store, "meanwhile").await.expect_err("has no room");
        assert!(failed.to_string().contains("full"), "{failed}");

        let limit = sqlx::raw_sql("PRAGMA max_page_count = 1073741823").execute(&store.write);
        limit.await.expect("is set");
        write(&store, "after").await.expect("has room again");
        store.close().await;
    }
}
