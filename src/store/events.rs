//! The durable log of events, and the outbox that is written with it.

use confirmd_chain::Timestamp;
use sqlx::AssertSqlSafe;
use sqlx::any::AnyRow;

use super::database::{Kind, Result, Store, Transaction, column, number, signed};
use crate::settlement::Event;

/// An event for one endpoint, rendered in its dialect once and for all (I7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDelivery {
    /// The endpoint's name.
    pub endpoint: String,
    /// The body, the same at every attempt.
    pub body: String,
}

/// An event of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedEvent {
    /// Its position: it only rises.
    pub position: i64,
    /// Its id.
    pub id: String,
    /// Its type.
    pub kind: String,
    /// The intent it belongs to.
    pub intent: Option<String>,
    /// Its sequence among the subject's events.
    pub sequence: u32,
    /// When it was recorded.
    pub created_at: Timestamp,
    /// The native body.
    pub body: String,
}

/// Who did something to an intent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// `chain`, `threshold`, `clock`, `key` or `person`.
    pub kind: String,
    /// The network, the key's name, or the person's.
    pub name: String,
}

/// One line of an intent's history, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimelineEntry {
    /// Its id.
    pub id: String,
    /// The event's type, or the command's name.
    pub kind: String,
    /// What happened, in words.
    pub message: String,
    /// Who did it.
    pub actor: Actor,
    /// When.
    pub created_at: Timestamp,
    /// More, as JSON.
    pub data: String,
}

fn logged_event(row: &AnyRow) -> Result<LoggedEvent> {
    Ok(LoggedEvent {
        position: column(row, "position")?,
        id: column(row, "id")?,
        kind: column(row, "type")?,
        intent: column(row, "intent")?,
        sequence: number(row, "sequence")?,
        created_at: Timestamp(column(row, "created_at")?),
        body: column(row, "body")?,
    })
}

impl Store {
    /// Events after a position, oldest first. Empty filters match all.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn events(
        &self,
        account: Option<&str>,
        after: i64,
        kind: Option<&str>,
        intent: Option<&str>,
        limit: u32,
    ) -> Result<Vec<LoggedEvent>> {
        let rows = sqlx::query(
            "SELECT * FROM events WHERE position > $1
                 AND (CAST($2 AS TEXT) IS NULL OR account = $2)
                 AND (CAST($3 AS TEXT) IS NULL OR type = $3)
                 AND (CAST($4 AS TEXT) IS NULL OR intent = $4)
             ORDER BY position LIMIT $5",
        )
        .bind(after)
        .bind(account)
        .bind(kind)
        .bind(intent)
        .bind(i64::from(limit))
        .fetch_all(&self.read)
        .await?;
        rows.iter().map(logged_event).collect()
    }

    /// How many events match.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_events(
        &self,
        account: Option<&str>,
        kind: Option<&str>,
        intent: Option<&str>,
    ) -> Result<u64> {
        let row = sqlx::query(
            "SELECT COUNT(*) AS n FROM events WHERE
                 (CAST($1 AS TEXT) IS NULL OR account = $1)
                 AND (CAST($2 AS TEXT) IS NULL OR type = $2)
                 AND (CAST($3 AS TEXT) IS NULL OR intent = $3)",
        )
        .bind(account)
        .bind(kind)
        .bind(intent)
        .fetch_one(&self.read)
        .await?;
        number(&row, "n")
    }

    /// The position of an event in the log, if it is there.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn event_position(&self, account: Option<&str>, id: &str) -> Result<Option<i64>> {
        let row = sqlx::query(
            "SELECT position FROM events
             WHERE id = $1 AND (CAST($2 AS TEXT) IS NULL OR account = $2)",
        )
        .bind(id)
        .bind(account)
        .fetch_optional(&self.read)
        .await?;
        row.map(|row| column(&row, "position")).transpose()
    }

    /// How many lines an intent's history has.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_timeline(&self, intent: &str) -> Result<u64> {
        let row = sqlx::query("SELECT COUNT(*) AS n FROM timeline WHERE intent = $1")
            .bind(intent)
            .fetch_one(&self.read)
            .await?;
        number(&row, "n")
    }

    /// An intent's history, newest first, after the given `(created_at, id)`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn timeline(
        &self,
        intent: &str,
        after: Option<(Timestamp, &str)>,
        limit: u32,
    ) -> Result<Vec<TimelineEntry>> {
        let (time, last) = after.unwrap_or((Timestamp(i64::MAX), ""));
        let rows = sqlx::query(
            "SELECT * FROM timeline WHERE intent = $1
                 AND (created_at < $2 OR (created_at = $2 AND id < $3))
             ORDER BY created_at DESC, id DESC LIMIT $4",
        )
        .bind(intent)
        .bind(time.0)
        .bind(last)
        .bind(i64::from(limit))
        .fetch_all(&self.read)
        .await?;
        let entry = |row: &AnyRow| {
            Ok(TimelineEntry {
                id: column(row, "id")?,
                kind: column(row, "type")?,
                message: column(row, "message")?,
                actor: Actor { kind: column(row, "actor_type")?, name: column(row, "actor_name")? },
                created_at: Timestamp(column(row, "created_at")?),
                data: column(row, "data")?,
            })
        };
        rows.iter().map(entry).collect()
    }
}

impl Transaction {
    /// Writes what goes to each endpoint of an event, and the event to the log when the transaction
    /// is committed.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn record_event(
        &mut self,
        event: &Event,
        deliveries: &[NewDelivery],
        now: Timestamp,
    ) -> Result<()> {
        self.events.push((event.clone(), now));
        for delivery in deliveries {
            sqlx::query(
                "INSERT INTO deliveries (id, event, type, account, subject, intent, sequence,
                     endpoint, body, state, next_at, created_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'waiting', $10, $10)",
            )
            .bind(format!("dlv_{}", ulid::Ulid::new()))
            .bind(event.id.as_str())
            .bind(event.kind.as_str())
            .bind(&event.account)
            .bind(&event.subject)
            .bind(event.intent.as_deref())
            .bind(i64::from(event.sequence))
            .bind(&delivery.endpoint)
            .bind(&delivery.body)
            .bind(now.0)
            .execute(&mut *self.inner)
            .await?;
        }
        Ok(())
    }

    /// Writes the log's new events, last of all that a transaction writes. PostgreSQL hands out
    /// positions before a commit: whoever has one holds the log until then, so that none appears
    /// behind one that a reader has seen already.
    ///
    /// # Errors
    /// When the database fails; also when a subject already has an event of a sequence.
    pub(super) async fn append_events(&mut self) -> Result<()> {
        if !self.events.is_empty() && self.kind == Kind::Postgres {
            sqlx::query("SELECT 1 FROM pg_advisory_xact_lock(hashtextextended('events', 1))")
                .execute(&mut *self.inner)
                .await?;
        }
        for (event, now) in &self.events {
            sqlx::query(
                "INSERT INTO events (id, account, subject, intent, sequence, type, timestamp,
                     created_at, body)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            )
            .bind(event.id.as_str())
            .bind(&event.account)
            .bind(&event.subject)
            .bind(event.intent.as_deref())
            .bind(i64::from(event.sequence))
            .bind(event.kind.as_str())
            .bind(event.timestamp.0)
            .bind(now.0)
            .bind(event.body())
            .execute(&mut *self.inner)
            .await?;
            self.tally.events.push(event.kind);
        }
        Ok(())
    }

    /// Adds a line to an intent's history.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn record_timeline(
        &mut self,
        intent: &str,
        kind: &str,
        message: &str,
        actor: &Actor,
        data: &str,
        now: Timestamp,
    ) -> Result<()> {
        sqlx::query(
            "INSERT INTO timeline (id, intent, type, message, actor_type, actor_name, created_at,
                 data)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(format!("tml_{}", ulid::Ulid::new()))
        .bind(intent)
        .bind(kind)
        .bind(message)
        .bind(&actor.kind)
        .bind(&actor.name)
        .bind(now.0)
        .bind(data)
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// Forgets events recorded before a time, but those of intents that are still open.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn prune_events(&mut self, before: Timestamp, limit: u32) -> Result<u64> {
        let text = format!(
            "DELETE FROM events WHERE position IN (
                 SELECT position FROM events WHERE created_at < $1
                     AND NOT EXISTS (SELECT 1 FROM deliveries WHERE deliveries.event = events.id
                         AND deliveries.state IN ('waiting', 'in_flight'))
                 ORDER BY position LIMIT $2{})",
            self.skip_locked()
        );
        let done = sqlx::query(AssertSqlSafe(text))
            .bind(before.0)
            .bind(signed(u64::from(limit)))
            .execute(&mut *self.inner)
            .await?;
        Ok(done.rows_affected())
    }
}
