//! Thresholds that admins set at run time, and who set them.

use std::collections::{BTreeMap, BTreeSet};

use confirmd_chain::{Asset, Confirmations, Timestamp};
use sqlx::any::AnyRow;

use super::database::{Result, Store, Transaction, column, number};
use super::events::Actor;
use crate::settlement::NetworkId;

/// A change of a network's threshold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThresholdChange {
    /// Its id.
    pub id: String,
    /// The network.
    pub network: NetworkId,
    /// What it was.
    pub before: Confirmations,
    /// What it is since.
    pub after: Confirmations,
    /// Who changed it.
    pub actor: Actor,
    /// The name of the API key that was used.
    pub api_key: String,
    /// When.
    pub changed_at: Timestamp,
}

/// What open intents are to require on a network unless they or their asset say otherwise.
#[derive(Clone, Copy, Debug)]
pub struct Required<'a> {
    /// The network.
    pub network: &'a NetworkId,
    /// The threshold.
    pub threshold: Confirmations,
    /// The assets that need confirmations of their own.
    pub exempt: &'a [Asset],
}

fn change(row: &AnyRow) -> Result<ThresholdChange> {
    Ok(ThresholdChange {
        id: column(row, "id")?,
        network: column::<String>(row, "network")?.as_str().into(),
        before: Confirmations(number(row, "before")?),
        after: Confirmations(number(row, "after")?),
        actor: Actor { kind: column(row, "actor_type")?, name: column(row, "actor_name")? },
        api_key: column(row, "api_key")?,
        changed_at: Timestamp(column(row, "changed_at")?),
    })
}

fn threshold(row: &AnyRow) -> Result<(NetworkId, Confirmations)> {
    let network = column::<String>(row, "network")?.as_str().into();
    Ok((network, Confirmations(number(row, "threshold")?)))
}

/// Rails of open intents that follow their network's threshold and do not require it yet. `$1`:
/// network, `$2`: threshold, `$3`: exempt assets, `$4`: the intents after this one.
const FOLLOWING: &str = "
    network = $1 AND required <> $2 AND $3 NOT LIKE '%,' || asset || ',%' AND intent > $4
    AND EXISTS (SELECT 1 FROM intents WHERE intents.intent = rails.intent
        AND intents.confirmations IS NULL
        AND intents.status IN ('pending', 'partial', 'confirming'))";

impl Store {
    /// The thresholds that admins set.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn thresholds(&self) -> Result<BTreeMap<NetworkId, Confirmations>> {
        let rows = sqlx::query("SELECT network, threshold FROM thresholds").fetch_all(&self.read);
        rows.await?.iter().map(threshold).collect()
    }

    /// Those of them that open intents do not all follow yet.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn new_thresholds(&self) -> Result<BTreeMap<NetworkId, Confirmations>> {
        let rows = sqlx::query("SELECT network, threshold FROM thresholds WHERE applied = 0")
            .fetch_all(&self.read)
            .await?;
        rows.iter().map(threshold).collect()
    }

    /// Changes of thresholds, newest first, after the given `(changed_at, id)`; of every network
    /// where none is given.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn threshold_changes(
        &self,
        network: Option<&NetworkId>,
        after: Option<(Timestamp, &str)>,
        limit: u32,
    ) -> Result<Vec<ThresholdChange>> {
        let (time, last) = after.unwrap_or((Timestamp(i64::MAX), ""));
        let rows = sqlx::query(
            "SELECT * FROM threshold_changes
             WHERE (CAST($1 AS TEXT) IS NULL OR network = $1)
                 AND (changed_at < $2 OR (changed_at = $2 AND id < $3))
             ORDER BY changed_at DESC, id DESC LIMIT $4",
        )
        .bind(network.map(ToString::to_string))
        .bind(time.0)
        .bind(last)
        .bind(i64::from(limit))
        .fetch_all(&self.read)
        .await?;
        rows.iter().map(change).collect()
    }

    /// How many changes there were.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_threshold_changes(&self, network: Option<&NetworkId>) -> Result<u64> {
        let row = sqlx::query(
            "SELECT COUNT(*) AS n FROM threshold_changes
             WHERE CAST($1 AS TEXT) IS NULL OR network = $1",
        )
        .bind(network.map(ToString::to_string))
        .fetch_one(&self.read)
        .await?;
        number(&row, "n")
    }
}

impl Transaction {
    /// The thresholds that admins set.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn thresholds(&mut self) -> Result<BTreeMap<NetworkId, Confirmations>> {
        let rows = sqlx::query("SELECT network, threshold FROM thresholds");
        rows.fetch_all(&mut *self.inner).await?.iter().map(threshold).collect()
    }

    /// Sets a network's threshold and notes who did. The network is to be locked before, so that
    /// no intent is created by the old one meanwhile.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn set_threshold(&mut self, change: &ThresholdChange) -> Result<()> {
        sqlx::query(
            "INSERT INTO thresholds (network, threshold, applied) VALUES ($1, $2, 0)
             ON CONFLICT (network) DO UPDATE SET threshold = $2, applied = 0",
        )
        .bind(change.network.as_str())
        .bind(i64::from(change.after.0))
        .execute(&mut *self.inner)
        .await?;
        sqlx::query(
            "INSERT INTO threshold_changes (id, network, before, after, actor_type, actor_name,
                 api_key, changed_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(&change.id)
        .bind(change.network.as_str())
        .bind(i64::from(change.before.0))
        .bind(i64::from(change.after.0))
        .bind(&change.actor.kind)
        .bind(&change.actor.name)
        .bind(&change.api_key)
        .bind(change.changed_at.0)
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// Makes the next open intents after one require what their network's threshold says; answers
    /// the last of them, and those that have transfers: they are to be settled anew. None where no
    /// intent is left.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn require(
        &mut self,
        required: &Required<'_>,
        after: &str,
        limit: u32,
    ) -> Result<Option<(String, BTreeSet<String>)>> {
        let Required { network, threshold, exempt } = *required;
        let exempt: String = exempt.iter().map(|asset| format!("{asset},")).collect();
        let exempt = format!(",{exempt}");
        let text =
            format!("SELECT DISTINCT intent FROM rails WHERE {FOLLOWING} ORDER BY intent LIMIT $5");
        let rows: Vec<(String,)> = sqlx::query_as(sqlx::AssertSqlSafe(text))
            .bind(network.as_str())
            .bind(i64::from(threshold.0))
            .bind(&exempt)
            .bind(after)
            .bind(i64::from(limit))
            .fetch_all(&mut *self.inner)
            .await?;
        let Some((last,)) = rows.last().cloned() else { return Ok(None) };
        let text = format!("UPDATE rails SET required = $2 WHERE {FOLLOWING} AND intent <= $5");
        sqlx::query(sqlx::AssertSqlSafe(text))
            .bind(network.as_str())
            .bind(i64::from(threshold.0))
            .bind(&exempt)
            .bind(after)
            .bind(&last)
            .execute(&mut *self.inner)
            .await?;
        let paid: Vec<(String,)> = sqlx::query_as(
            "SELECT DISTINCT intent FROM transfers WHERE intent > $1 AND intent <= $2",
        )
        .bind(after)
        .bind(&last)
        .fetch_all(&mut *self.inner)
        .await?;
        let changed: BTreeSet<_> = rows.into_iter().map(|(intent,)| intent).collect();
        let paid = paid.into_iter().map(|(intent,)| intent);
        Ok(Some((last, paid.filter(|intent| changed.contains(intent)).collect())))
    }

    /// Notes that every open intent follows a threshold, unless it is another one by now.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn threshold_applied(
        &mut self,
        network: &NetworkId,
        threshold: Confirmations,
    ) -> Result<()> {
        sqlx::query("UPDATE thresholds SET applied = 1 WHERE network = $1 AND threshold = $2")
            .bind(network.as_str())
            .bind(i64::from(threshold.0))
            .execute(&mut *self.inner)
            .await?;
        Ok(())
    }
}
