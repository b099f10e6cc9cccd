//! Intents and their rails.

use std::collections::{BTreeMap, BTreeSet};

use confirmd_chain::{Confirmations, Timestamp, WatchKey};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe};

use super::database::{
    Kind, Result, Store, StoreError, Transaction, column, json, number, optional_number, parsed,
    to_json,
};
use super::{rails, transfers};
use crate::settlement::{
    Credit, FORGOTTEN_AFTER_MS, Intent, IntentKey, NetworkId, Rail, State, Status,
};

/// An intent to be created.
#[derive(Clone, Debug)]
pub struct NewIntent {
    /// The intent.
    pub intent: Intent,
    /// What decoders look up for each of its rails, in their order.
    pub watches: Vec<WatchKey>,
    /// The API key that asks, whose limit it counts against.
    pub api_key: String,
    /// How many open intents the key may have.
    pub max_open: u64,
    /// SHA-256 of the normalised request, in hex.
    pub request_hash: String,
    /// The block time from which on payments are looked for.
    pub look_back_from: Timestamp,
}

/// Why an intent was not created. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The very same request was made before.
    #[error("the intent exists")]
    Exists,
    /// Another request was made under this id.
    #[error("another intent has this id")]
    IdConflict,
    /// Another open intent waits for the same as a rail; the rail's place.
    #[error("another open intent waits for the same as rail {0}")]
    AddressInUse(usize),
    /// A threshold or the registry is another than when the request was read.
    #[error("a threshold or the registry was changed meanwhile")]
    Outdated,
    /// The key has as many open intents as it may.
    #[error("the key has {0} open intents, as many as it may")]
    TooManyOpen(u64),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for CreateError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Which intents are listed. Empty fields match all.
#[derive(Clone, Debug, Default)]
pub struct IntentFilter {
    /// The account; every one where empty.
    pub account: Option<String>,
    /// The status.
    pub status: Option<Status>,
    /// A rail's network.
    pub network: Option<NetworkId>,
    /// A rail's address, canonical.
    pub address: Option<String>,
    /// An endpoint that gets its events.
    pub endpoint: Option<String>,
    /// Created at or after.
    pub created_from: Option<Timestamp>,
    /// Created before.
    pub created_to: Option<Timestamp>,
}

fn intent(row: &AnyRow, rails: Vec<Rail>) -> Result<Intent> {
    let wish: Option<u32> = optional_number(row, "confirmations")?;
    Ok(Intent {
        key: IntentKey { account: column(row, "account")?, id: column(row, "id")? },
        rails,
        created_at: Timestamp(column(row, "created_at")?),
        expires_at: Timestamp(column(row, "expires_at")?),
        tolerance: parsed(row, "tolerance")?,
        confirmations: wish.map(Confirmations),
        endpoints: json(row, "endpoints")?,
        wants_progress: column::<i64>(row, "wants_progress")? == 1,
        metadata: json(row, "metadata")?,
        dialect_data: json(row, "dialect_data")?,
        state: json::<State>(row, "state")?,
    })
}

/// Reads an intent with its rails and transfers.
async fn load(
    connection: &mut AnyConnection,
    key: &str,
    lock: &str,
) -> Result<Option<(Intent, Vec<Credit>)>> {
    let text = format!("SELECT * FROM intents WHERE intent = $1{lock}");
    let row = sqlx::query(AssertSqlSafe(text)).bind(key).fetch_optional(&mut *connection).await?;
    let Some(row) = row else { return Ok(None) };
    let rows = sqlx::query("SELECT * FROM rails WHERE intent = $1 ORDER BY position")
        .bind(key)
        .fetch_all(&mut *connection)
        .await?;
    let intent = intent(&row, rows.iter().map(rails::rail).collect::<Result<_>>()?)?;
    let credits = transfers::of_intent(connection, key).await?;
    Ok(Some((intent, credits)))
}

impl Store {
    /// An intent with its transfers.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn intent(&self, key: &IntentKey) -> Result<Option<(Intent, Vec<Credit>)>> {
        let mut connection = self.snapshot().await?;
        load(&mut connection, &key.to_string(), "").await
    }

    /// The hash of the request that made an intent, if there is one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn request_hash(&self, key: &IntentKey) -> Result<Option<String>> {
        let row = sqlx::query("SELECT request_hash FROM intents WHERE intent = $1")
            .bind(key.to_string())
            .fetch_optional(&self.read)
            .await?;
        row.map(|row| column(&row, "request_hash")).transpose()
    }

    /// How many open intents there are in each status.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn open_intents(&self) -> Result<BTreeMap<&'static str, u64>> {
        let rows = sqlx::query(
            "SELECT status, COUNT(*) AS n FROM intents
             WHERE status IN ('pending', 'partial', 'confirming') GROUP BY status",
        )
        .fetch_all(&self.read)
        .await?;
        let open = Status::ALL.into_iter().filter(|status| status.is_open());
        let mut counts: BTreeMap<_, _> = open.map(|status| (status.as_str(), 0)).collect();
        for row in &rows {
            counts.insert(parsed::<Status>(row, "status")?.as_str(), number(row, "n")?);
        }
        Ok(counts)
    }

    /// The accounts that have an intent of this id.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn accounts_with(&self, id: &str) -> Result<Vec<String>> {
        let rows: Vec<(String,)> =
            sqlx::query_as("SELECT account FROM intents WHERE id = $1 ORDER BY account LIMIT 2")
                .bind(id)
                .fetch_all(&self.read)
                .await?;
        Ok(rows.into_iter().map(|(account,)| account).collect())
    }

    /// Intents that match, newest first, after the given `(created_at, account/id)`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn intents(
        &self,
        filter: &IntentFilter,
        after: Option<(Timestamp, &str)>,
        limit: u32,
    ) -> Result<Vec<(Intent, Vec<Credit>)>> {
        let mut connection = self.snapshot().await?;
        let text = format!(
            "SELECT intent FROM intents WHERE {FILTER} AND (created_at < $8
                 OR (created_at = $8 AND intent < $9)) ORDER BY created_at DESC, intent DESC
             LIMIT $10"
        );
        let (time, last) = after.unwrap_or((Timestamp(i64::MAX), ""));
        let rows = bind(sqlx::query(AssertSqlSafe(text)), filter)
            .bind(time.0)
            .bind(last)
            .bind(i64::from(limit))
            .fetch_all(&mut *connection)
            .await?;
        let mut intents = Vec::with_capacity(rows.len());
        for row in &rows {
            intents.extend(load(&mut connection, &column::<String>(row, "intent")?, "").await?);
        }
        Ok(intents)
    }

    /// How many intents match.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_intents(&self, filter: &IntentFilter) -> Result<u64> {
        let text = format!("SELECT COUNT(*) AS n FROM intents WHERE {FILTER}");
        let row = bind(sqlx::query(AssertSqlSafe(text)), filter).fetch_one(&self.read).await?;
        number(&row, "n")
    }

    /// Open intents whose time is over: by the clock, by a deep enough block of every network that
    /// can pay them (past its replacement, for a replaced rail's), with their past looked through,
    /// and not held by what a mempool shows. As `account/id`, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn overdue(&self, now: Timestamp, limit: u32) -> Result<Vec<String>> {
        let rows: Vec<(String,)> = sqlx::query_as(
            "SELECT intent FROM intents
             WHERE status IN ('pending', 'partial') AND expires_at < $1
                 AND NOT EXISTS (
                     SELECT 1 FROM rails JOIN networks ON networks.network = rails.network
                     LEFT JOIN blocks ON blocks.network = rails.network
                         AND blocks.height = networks.cursor_height - rails.required + 1
                     WHERE rails.intent = intents.intent
                         AND COALESCE(blocks.time, 0) <= CASE
                             WHEN rails.replaced_at < intents.expires_at THEN rails.replaced_at
                             ELSE intents.expires_at END)
                 AND NOT EXISTS (
                     SELECT 1 FROM backfills WHERE backfills.intent = intents.intent)
                 AND NOT EXISTS (
                     SELECT 1 FROM transfers WHERE transfers.intent = intents.intent
                         AND transfers.role LIKE 'seen:%' AND transfers.shown_at > $3)
             ORDER BY expires_at LIMIT $2",
        )
        .bind(now.0)
        .bind(i64::from(limit))
        .bind(now.plus_ms(-FORGOTTEN_AFTER_MS).0)
        .fetch_all(&self.read)
        .await?;
        Ok(rows.into_iter().map(|(intent,)| intent).collect())
    }
}

/// Seven parameters, each empty (NULL) where it does not matter.
const FILTER: &str = "
    (CAST($1 AS TEXT) IS NULL OR account = $1) AND (CAST($2 AS TEXT) IS NULL OR status = $2)
    AND (CAST($3 AS TEXT) IS NULL OR EXISTS (
        SELECT 1 FROM rails WHERE rails.intent = intents.intent AND rails.network = $3))
    AND (CAST($4 AS TEXT) IS NULL OR EXISTS (
        SELECT 1 FROM rails WHERE rails.intent = intents.intent AND rails.address = $4))
    AND (CAST($5 AS TEXT) IS NULL OR endpoints LIKE $5)
    AND created_at >= $6 AND created_at < $7";

type AnyQuery<'q> = sqlx::query::Query<'q, sqlx::Any, sqlx::any::AnyArguments>;

fn bind<'q>(query: AnyQuery<'q>, filter: &IntentFilter) -> AnyQuery<'q> {
    query
        .bind(filter.account.clone())
        .bind(filter.status.map(Status::as_str))
        .bind(filter.network.as_ref().map(ToString::to_string))
        .bind(filter.address.clone())
        .bind(filter.endpoint.as_ref().map(|name| format!("%\"{name}\"%")))
        .bind(filter.created_from.map_or(i64::MIN, |time| time.0))
        .bind(filter.created_to.map_or(i64::MAX, |time| time.0))
}

impl Transaction {
    /// Creates an intent: its watches raise their networks' versions, and a backfill for each
    /// network finds what was paid before or while it was made (I13).
    ///
    /// # Errors
    /// Says why it was refused; the transaction is then to be dropped.
    pub async fn create_intent(&mut self, new: &NewIntent) -> Result<(), CreateError> {
        let key = new.intent.key.to_string();
        let versions = self.raise_watch_versions(new.intent.rails.iter()).await?;
        self.refuse_known_id(&key, &new.request_hash).await?;
        self.refuse_over_limit(&new.api_key, new.max_open).await?;
        self.insert_intent(&key, new).await?;
        let added = std::iter::zip(&new.intent.rails, &new.watches).enumerate();
        for (position, (rail, watch)) in added {
            let version = versions.get(&rail.network).copied().unwrap_or(0);
            if !self.insert_rail(&key, position, rail, watch, version).await? {
                return Err(CreateError::AddressInUse(position));
            }
        }
        self.look_back(&key, &versions, new.look_back_from).await?;
        Ok(())
    }

    async fn refuse_known_id(&mut self, key: &str, request_hash: &str) -> Result<(), CreateError> {
        let row = sqlx::query("SELECT request_hash FROM intents WHERE intent = $1")
            .bind(key)
            .fetch_optional(&mut *self.inner)
            .await?;
        match row {
            None => Ok(()),
            Some(row) if column::<String>(&row, "request_hash")? == request_hash => {
                Err(CreateError::Exists)
            }
            Some(_) => Err(CreateError::IdConflict),
        }
    }

    /// Keeps others from creating with a key until the end of the transaction: each of them would
    /// count what is committed, and together they would exceed its limit.
    async fn lock_key(&mut self, api_key: &str) -> Result<()> {
        match self.kind {
            // One transaction writes at a time.
            Kind::Sqlite => Ok(()),
            Kind::Postgres => {
                sqlx::query("SELECT 1 FROM pg_advisory_xact_lock(hashtextextended($1, 0))")
                    .bind(api_key)
                    .execute(&mut *self.inner)
                    .await?;
                Ok(())
            }
        }
    }

    async fn refuse_over_limit(&mut self, api_key: &str, max: u64) -> Result<(), CreateError> {
        self.lock_key(api_key).await?;
        let row = sqlx::query(
            "SELECT COUNT(*) AS n FROM intents
             WHERE api_key = $1 AND status IN ('pending', 'partial', 'confirming')",
        )
        .bind(api_key)
        .fetch_one(&mut *self.inner)
        .await?;
        let open: u64 = number(&row, "n")?;
        if open < max { Ok(()) } else { Err(CreateError::TooManyOpen(open)) }
    }

    async fn insert_intent(&mut self, key: &str, new: &NewIntent) -> Result<()> {
        let intent = &new.intent;
        sqlx::query(
            "INSERT INTO intents (intent, account, id, api_key, request_hash, status, created_at,
                 updated_at, expires_at, tolerance, confirmations, endpoints, wants_progress,
                 metadata, dialect_data, state)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
        )
        .bind(key)
        .bind(&intent.key.account)
        .bind(&intent.key.id)
        .bind(&new.api_key)
        .bind(&new.request_hash)
        .bind(intent.state.status.as_str())
        .bind(intent.created_at.0)
        .bind(intent.expires_at.0)
        .bind(intent.tolerance.to_string())
        .bind(intent.confirmations.map(|wish| i64::from(wish.0)))
        .bind(to_json(&intent.endpoints)?)
        .bind(i64::from(intent.wants_progress))
        .bind(intent.metadata.to_string())
        .bind(intent.dialect_data.to_string())
        .bind(to_json(&intent.state)?)
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// Reads an intent afresh and locks it until the end of the transaction. Several are locked
    /// in the order of their keys.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn lock_intent(&mut self, key: &str) -> Result<Option<(Intent, Vec<Credit>)>> {
        let lock = self.for_update();
        load(&mut self.inner, key, lock).await
    }

    /// Does that for all that are named, in the order of their keys.
    ///
    /// # Errors
    /// When the database fails, or one is not there.
    pub async fn lock_intents(
        &mut self,
        keys: &BTreeSet<String>,
    ) -> Result<Vec<(Intent, Vec<Credit>)>> {
        let mut intents = Vec::with_capacity(keys.len());
        for key in keys {
            let missing = || StoreError::Corrupt(format!("a transfer names no intent: {key}"));
            intents.push(self.lock_intent(key).await?.ok_or_else(missing)?);
        }
        Ok(intents)
    }

    /// Writes what became of an intent. `watch_until`: the end of its late window, once closed.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn save_intent(
        &mut self,
        intent: &Intent,
        watch_until: Option<Timestamp>,
    ) -> Result<()> {
        let key = intent.key.to_string();
        sqlx::query(
            "UPDATE intents SET status = $2, state = $3, updated_at = $4, watch_until = $5
             WHERE intent = $1",
        )
        .bind(&key)
        .bind(intent.state.status.as_str())
        .bind(to_json(&intent.state)?)
        .bind(intent.state.updated_at.0)
        .bind(watch_until.map(|time| time.0))
        .execute(&mut *self.inner)
        .await?;
        if !intent.state.status.is_open() {
            self.wait_no_more(&key).await?;
        }
        Ok(())
    }
}
