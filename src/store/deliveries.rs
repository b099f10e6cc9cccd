//! Deliveries: events on their way to endpoints, as the log shows them.

use std::collections::BTreeMap;

use confirmd_chain::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe};

use super::database::{Result, Store, Transaction, column, number, optional_number, parsed};

/// Where a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, utoipa::ToSchema, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// For its time, its turn, or a paused endpoint.
    Waiting,
    /// An attempt is under way.
    InFlight,
    /// The endpoint took it.
    Taken,
    /// Given up: the dead-letter list.
    Dead,
    /// Overtaken by a later event, in a dialect that could not say so.
    Superseded,
}

impl DeliveryState {
    /// Every state.
    pub const ALL: [Self; 5] =
        [Self::Waiting, Self::InFlight, Self::Taken, Self::Dead, Self::Superseded];

    /// As in the API and the tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::InFlight => "in_flight",
            Self::Taken => "taken",
            Self::Dead => "dead",
            Self::Superseded => "superseded",
        }
    }
}

impl std::str::FromStr for DeliveryState {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or(())
    }
}

/// A delivery as the log shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// `dlv_` and a ULID.
    pub id: String,
    /// The event's id.
    pub event: String,
    /// The event's type.
    pub kind: String,
    /// Whose it is.
    pub account: String,
    /// What the event is about: an intent's id, or an orphan's.
    pub subject: String,
    /// The intent that it belongs to.
    pub intent: Option<String>,
    /// The event's number among its subject's.
    pub sequence: u32,
    /// The endpoint's name.
    pub endpoint: String,
    /// What is posted, the same at every attempt (I7).
    pub body: String,
    /// Where it stands.
    pub state: DeliveryState,
    /// How many attempts were made.
    pub attempts: u32,
    /// The time of the next attempt; of use only while it waits.
    pub next_at: Timestamp,
    /// The status code of the last answer.
    pub last_status: Option<u16>,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// When the event was recorded.
    pub created_at: Timestamp,
    /// When it was taken or given up.
    pub finished_at: Option<Timestamp>,
}

/// One attempt to deliver, as it went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// When it began.
    pub at: Timestamp,
    /// The answer's status code, if one came.
    pub status_code: Option<u16>,
    /// How long it took.
    pub latency_ms: u64,
    /// Why it failed, if it did.
    pub error: Option<String>,
    /// The first 4 KiB of the answer.
    pub answer: Option<String>,
}

/// An attempt of the log: its number, from 1, and how it went.
pub type NumberedAttempt = (u32, Attempt);

/// Which deliveries are listed. Empty fields match all.
#[derive(Clone, Debug, Default)]
pub struct DeliveryFilter {
    /// The account; every one where empty.
    pub account: Option<String>,
    /// The endpoint's name.
    pub endpoint: Option<String>,
    /// The state.
    pub state: Option<DeliveryState>,
    /// The intent's id.
    pub intent: Option<String>,
    /// The event's id.
    pub event: Option<String>,
}

/// Whose deliveries are to be sent again.
#[derive(Clone, Copy, Debug)]
pub enum Retry<'a> {
    /// Every dead or waiting one of an account.
    Account(&'a str),
    /// Every dead or waiting one of an intent.
    Intent {
        /// The account.
        account: &'a str,
        /// The backend's own id.
        id: &'a str,
    },
    /// One, by its id, in whatever state: also one that was taken. One that is under way is left
    /// alone.
    One(&'a str),
}

/// How many deliveries an endpoint has in each unfinished state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointCounts {
    /// Waiting.
    pub waiting: u64,
    /// An attempt is under way.
    pub in_flight: u64,
    /// Given up.
    pub dead: u64,
    /// When the oldest event was recorded that the endpoint has not taken yet.
    pub oldest_waiting: Option<Timestamp>,
    /// Since when and why it is not called, if so.
    pub paused: Option<(Timestamp, String)>,
}

const COLUMNS: &str = "id, event, type, account, subject, intent, sequence, endpoint, body, state, \
     attempts, next_at, last_status, last_error, created_at, finished_at";

/// Five parameters, each empty (NULL) where it does not matter.
const FILTER: &str = "
    (CAST($1 AS TEXT) IS NULL OR account = $1) AND (CAST($2 AS TEXT) IS NULL OR endpoint = $2)
    AND (CAST($3 AS TEXT) IS NULL OR state = $3) AND (CAST($4 AS TEXT) IS NULL OR intent = $4)
    AND (CAST($5 AS TEXT) IS NULL OR event = $5)";

fn delivery(row: &AnyRow) -> Result<Delivery> {
    Ok(Delivery {
        id: column(row, "id")?,
        event: column(row, "event")?,
        kind: column(row, "type")?,
        account: column(row, "account")?,
        subject: column(row, "subject")?,
        intent: column(row, "intent")?,
        sequence: number(row, "sequence")?,
        endpoint: column(row, "endpoint")?,
        body: column(row, "body")?,
        state: parsed(row, "state")?,
        attempts: number(row, "attempts")?,
        next_at: Timestamp(column(row, "next_at")?),
        last_status: optional_number(row, "last_status")?,
        last_error: column(row, "last_error")?,
        created_at: Timestamp(column(row, "created_at")?),
        finished_at: column::<Option<i64>>(row, "finished_at")?.map(Timestamp),
    })
}

fn attempt(row: &AnyRow) -> Result<NumberedAttempt> {
    let attempt = Attempt {
        at: Timestamp(column(row, "at")?),
        status_code: optional_number(row, "status_code")?,
        latency_ms: number(row, "latency_ms")?,
        error: column(row, "error")?,
        answer: column(row, "answer")?,
    };
    Ok((number(row, "number")?, attempt))
}

type AnyQuery<'q> = sqlx::query::Query<'q, sqlx::Any, sqlx::any::AnyArguments>;

fn bind<'q>(query: AnyQuery<'q>, filter: &DeliveryFilter) -> AnyQuery<'q> {
    query
        .bind(filter.account.clone())
        .bind(filter.endpoint.clone())
        .bind(filter.state.map(DeliveryState::as_str))
        .bind(filter.intent.clone())
        .bind(filter.event.clone())
}

impl Store {
    /// Deliveries that match, newest first, after the given id.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn deliveries(
        &self,
        filter: &DeliveryFilter,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Delivery>> {
        let text = format!(
            "SELECT {COLUMNS} FROM deliveries WHERE {FILTER}
                 AND (CAST($6 AS TEXT) IS NULL OR id < $6)
             ORDER BY id DESC LIMIT $7"
        );
        let rows = bind(sqlx::query(AssertSqlSafe(text)), filter)
            .bind(after)
            .bind(i64::from(limit))
            .fetch_all(&self.read)
            .await?;
        rows.iter().map(delivery).collect()
    }

    /// How many deliveries match.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_deliveries(&self, filter: &DeliveryFilter) -> Result<u64> {
        let text = format!("SELECT COUNT(*) AS n FROM deliveries WHERE {FILTER}");
        let row = bind(sqlx::query(AssertSqlSafe(text)), filter).fetch_one(&self.read).await?;
        number(&row, "n")
    }

    /// A delivery with its attempts, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delivery(&self, id: &str) -> Result<Option<(Delivery, Vec<NumberedAttempt>)>> {
        let text = format!("SELECT {COLUMNS} FROM deliveries WHERE id = $1");
        let row = sqlx::query(AssertSqlSafe(text)).bind(id).fetch_optional(&self.read).await?;
        let Some(row) = row else { return Ok(None) };
        let rows = sqlx::query("SELECT * FROM attempts WHERE delivery = $1 ORDER BY number")
            .bind(id)
            .fetch_all(&self.read)
            .await?;
        Ok(Some((delivery(&row)?, rows.iter().map(attempt).collect::<Result<_>>()?)))
    }

    /// What each endpoint has not taken, by the endpoint's name. One that has nothing unfinished
    /// and is not paused is not listed.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delivery_counts(&self) -> Result<BTreeMap<String, EndpointCounts>> {
        let mut counts = BTreeMap::<String, EndpointCounts>::new();
        // One query a state, so that each is answered from its partial index.
        for state in [DeliveryState::Waiting, DeliveryState::InFlight, DeliveryState::Dead] {
            let text = format!(
                "SELECT endpoint, COUNT(*) AS n, MIN(created_at) AS oldest FROM deliveries
                 WHERE state = '{}' GROUP BY endpoint",
                state.as_str()
            );
            for row in sqlx::query(AssertSqlSafe(text)).fetch_all(&self.read).await? {
                let of = counts.entry(column(&row, "endpoint")?).or_default();
                let n = number(&row, "n")?;
                match state {
                    DeliveryState::Waiting => of.waiting = n,
                    DeliveryState::InFlight => of.in_flight = n,
                    _ => of.dead = n,
                }
                if state != DeliveryState::Dead {
                    let oldest = Timestamp(column(&row, "oldest")?);
                    let other = of.oldest_waiting.unwrap_or(oldest);
                    of.oldest_waiting = Some(oldest.min(other));
                }
            }
        }
        let paused = sqlx::query("SELECT * FROM paused_endpoints").fetch_all(&self.read).await?;
        for row in &paused {
            let of = counts.entry(column(row, "endpoint")?).or_default();
            of.paused = Some((Timestamp(column(row, "since")?), column(row, "reason")?));
        }
        Ok(counts)
    }

    /// Makes deliveries due now, with a fresh schedule where they had been given up. Answers how
    /// many. Those of a paused endpoint are held all the same.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn retry_deliveries(&self, which: Retry<'_>, now: Timestamp) -> Result<u64> {
        let (condition, first, second) = match which {
            Retry::Account(account) => {
                ("account = $2 AND state IN ('waiting', 'dead')", account, "")
            }
            Retry::Intent { account, id } => {
                ("account = $2 AND intent = $3 AND state IN ('waiting', 'dead')", account, id)
            }
            Retry::One(id) => ("id = $2 AND state <> 'in_flight'", id, ""),
        };
        // A waiting one keeps its place in the schedule, so that impatience does not kill it.
        let text = format!(
            "UPDATE deliveries SET
                 resume_at = CASE WHEN state <> 'waiting' THEN NULL
                     WHEN next_at > $1 THEN next_at ELSE resume_at END,
                 step = CASE WHEN state = 'waiting' THEN step ELSE 0 END,
                 passable = CASE WHEN state = 'waiting' THEN passable ELSE 1 END,
                 state = 'waiting', next_at = $1, finished_at = NULL
             WHERE {condition} AND CAST($3 AS TEXT) IS NOT NULL"
        );
        let mut transaction = self.begin().await?;
        let done = sqlx::query(AssertSqlSafe(text))
            .bind(now.0)
            .bind(first)
            .bind(second)
            .execute(&mut *transaction.inner)
            .await?;
        transaction.commit().await?;
        Ok(done.rows_affected())
    }

    /// Calls a paused endpoint again. Answers whether it was paused.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn resume_endpoint(&self, endpoint: &str) -> Result<bool> {
        let mut transaction = self.begin().await?;
        let done = sqlx::query("DELETE FROM paused_endpoints WHERE endpoint = $1")
            .bind(endpoint)
            .execute(&mut *transaction.inner)
            .await?;
        transaction.commit().await?;
        Ok(done.rows_affected() > 0)
    }

    /// Calls an endpoint no more until it is resumed; its deliveries are held.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn pause_endpoint(&self, endpoint: &str, reason: &str, now: Timestamp) -> Result<()> {
        let mut transaction = self.begin().await?;
        pause(&mut transaction.inner, endpoint, reason, now).await?;
        transaction.commit().await
    }
}

impl Transaction {
    /// Forgets deliveries that were finished before a time, and their attempts.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn prune_deliveries(&mut self, before: Timestamp, limit: u32) -> Result<u64> {
        let text = format!(
            "DELETE FROM deliveries WHERE id IN (
                 SELECT id FROM deliveries WHERE finished_at < $1 ORDER BY finished_at LIMIT $2{})
             RETURNING id",
            self.skip_locked()
        );
        let rows: Vec<(String,)> = sqlx::query_as(AssertSqlSafe(text))
            .bind(before.0)
            .bind(i64::from(limit))
            .fetch_all(&mut *self.inner)
            .await?;
        for (id,) in &rows {
            sqlx::query("DELETE FROM attempts WHERE delivery = $1")
                .bind(id)
                .execute(&mut *self.inner)
                .await?;
        }
        Ok(rows.len() as u64)
    }
}

pub(super) async fn pause(
    connection: &mut AnyConnection,
    endpoint: &str,
    reason: &str,
    now: Timestamp,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO paused_endpoints (endpoint, since, reason) VALUES ($1, $2, $3)
         ON CONFLICT DO NOTHING",
    )
    .bind(endpoint)
    .bind(now.0)
    .bind(reason)
    .execute(connection)
    .await?;
    Ok(())
}
