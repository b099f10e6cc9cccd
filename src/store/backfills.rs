//! Ranges to be looked at again for watches that came after their blocks were decoded (I13).

use confirmd_chain::{Height, Timestamp, WatchVersion};
use sqlx::any::AnyRow;

use super::database::{Result, Store, Transaction, column, optional_number, signed};
use crate::settlement::NetworkId;

/// A range to be looked at again, for one intent on one network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backfill {
    /// Its id.
    pub id: String,
    /// The intent whose watches came later, as `account/id`.
    pub intent: String,
    /// The block time from which to look.
    pub from_time: Timestamp,
    /// The next height to look at, once the first one is known.
    pub next: Option<Height>,
    /// The last height to look at.
    pub to: Height,
}

fn backfill(row: &AnyRow) -> Result<Option<Backfill>> {
    let Some(to) = optional_number(row, "to_height")? else { return Ok(None) };
    Ok(Some(Backfill {
        id: column(row, "id")?,
        intent: column(row, "intent")?,
        from_time: Timestamp(column(row, "from_time")?),
        next: optional_number(row, "next_height")?.map(Height),
        to: Height(to),
    }))
}

impl Store {
    /// The backfills of a network whose range is known, oldest watch first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn backfills(&self, network: &NetworkId, limit: u32) -> Result<Vec<Backfill>> {
        let rows = sqlx::query(
            "SELECT * FROM backfills WHERE network = $1 AND to_height IS NOT NULL
             ORDER BY version, id LIMIT $2",
        )
        .bind(network.as_str())
        .bind(i64::from(limit))
        .fetch_all(&self.read)
        .await?;
        rows.iter().filter_map(|row| backfill(row).transpose()).collect()
    }

    /// Whether a network has watches for which no block was decoded yet.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn has_unsealed_backfills(&self, network: &NetworkId) -> Result<bool> {
        let row =
            sqlx::query("SELECT 1 FROM backfills WHERE network = $1 AND to_height IS NULL LIMIT 1")
                .bind(network.as_str())
                .fetch_optional(&self.read)
                .await?;
        Ok(row.is_some())
    }
}

impl Store {
    /// Whether the chain is still to be looked at again for an intent on a network.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn is_looked_for(&self, network: &NetworkId, intent: &str) -> Result<bool> {
        let row = sqlx::query("SELECT 1 FROM backfills WHERE network = $1 AND intent = $2 LIMIT 1")
            .bind(network.as_str())
            .bind(intent)
            .fetch_optional(&self.read)
            .await?;
        Ok(row.is_some())
    }
}

impl Transaction {
    pub(super) async fn insert_backfill(
        &mut self,
        id: &str,
        network: &NetworkId,
        intent: &str,
        version: i64,
        from_time: Timestamp,
    ) -> Result<()> {
        sqlx::query(
            "INSERT INTO backfills (id, network, intent, version, from_time)
             VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(id)
        .bind(network.as_str())
        .bind(intent)
        .bind(version)
        .bind(from_time.0)
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// Ends the range of every backfill whose watches the follower knows from now on: it has
    /// looked for them in no block up to `height`, and does in every later one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn seal_backfills(
        &mut self,
        network: &NetworkId,
        version: WatchVersion,
        height: Height,
    ) -> Result<()> {
        sqlx::query(
            "UPDATE backfills SET to_height = $3
             WHERE network = $1 AND version <= $2 AND to_height IS NULL",
        )
        .bind(network.as_str())
        .bind(signed(version.0))
        .bind(signed(height.0))
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// Notes how far a backfill came; one that is through is forgotten.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn advance_backfill(&mut self, id: &str, next: Height) -> Result<()> {
        sqlx::query("UPDATE backfills SET next_height = $2 WHERE id = $1")
            .bind(id)
            .bind(signed(next.0))
            .execute(&mut *self.inner)
            .await?;
        sqlx::query("DELETE FROM backfills WHERE id = $1 AND next_height > to_height")
            .bind(id)
            .execute(&mut *self.inner)
            .await?;
        Ok(())
    }

    /// The height below which an intent's newest watches on a network are looked for by a backfill;
    /// from there on every block was decoded with them.
    pub(super) async fn backfilled_to(
        &mut self,
        network: &NetworkId,
        intent: &str,
    ) -> Result<Option<Height>> {
        let row = sqlx::query(
            "SELECT to_height FROM backfills WHERE network = $1 AND intent = $2
             ORDER BY version DESC LIMIT 1",
        )
        .bind(network.as_str())
        .bind(intent)
        .fetch_optional(&mut *self.inner)
        .await?;
        let to = row.map(|row| optional_number(&row, "to_height")).transpose()?.flatten();
        Ok(to.map(Height))
    }

    /// Whether an intent's past was not looked through yet.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn has_backfill(&mut self, intent: &str) -> Result<bool> {
        let row = sqlx::query("SELECT 1 FROM backfills WHERE intent = $1 LIMIT 1")
            .bind(intent)
            .fetch_optional(&mut *self.inner)
            .await?;
        Ok(row.is_some())
    }
}
