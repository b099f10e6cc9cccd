//! The orphan inbox: transfers that settle no intent.

use confirmd_chain::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;
use sqlx::{Any, AssertSqlSafe};

use super::database::{Result, Store, StoreError, Transaction, column, number};
use super::{matching, transfers};
use crate::settlement::{Credit, IntentKey, NetworkId, OrphanReason, OrphanView, Role};

/// A transfer that settles no intent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orphan {
    /// The account whose address it came to.
    pub account: String,
    /// The orphan.
    pub view: OrphanView,
    /// What became of it.
    pub status: OrphanStatus,
    /// Whether it is deep enough to have been reported.
    pub reported: bool,
    /// The earlier of its block's time and first sight.
    pub credit_time: Timestamp,
}

/// What became of an orphan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OrphanStatus {
    /// Nobody decided about it, or it settles nothing in spite of that.
    #[default]
    Open,
    /// It was given to an intent.
    Attached,
    /// It was dealt with elsewhere.
    Dismissed,
}

impl OrphanStatus {
    /// Every status.
    pub const ALL: [Self; 3] = [Self::Open, Self::Attached, Self::Dismissed];

    /// As in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Attached => "attached",
            Self::Dismissed => "dismissed",
        }
    }

    /// Which transfers, and of these the ones that were orphans for the reason `$4`.
    const fn condition(self) -> &'static str {
        match self {
            Self::Open => {
                "role LIKE COALESCE('orphan:' || CAST($4 AS TEXT), 'orphan:%')
                 AND COALESCE(resolution, '') NOT LIKE '{\"decision\":\"dismissed\"%'"
            }
            Self::Attached => {
                "role NOT LIKE 'orphan:%' AND resolution LIKE '{\"decision\":{\"attached\"%'
                 AND resolution LIKE COALESCE('%\"was\":\"' || CAST($4 AS TEXT) || '\"%', '%')"
            }
            Self::Dismissed => {
                "resolution LIKE '{\"decision\":\"dismissed\"%'
                 AND resolution LIKE COALESCE('%\"was\":\"' || CAST($4 AS TEXT) || '\"%', '%')"
            }
        }
    }
}

/// Which orphans are listed. Empty fields match all.
#[derive(Clone, Debug, Default)]
pub struct OrphanFilter {
    /// What became of them.
    pub status: OrphanStatus,
    /// The account; every one where empty.
    pub account: Option<String>,
    /// The intent that has it.
    pub intent: Option<String>,
    /// The network.
    pub network: Option<NetworkId>,
    /// Why it settles nothing.
    pub reason: Option<OrphanReason>,
}

/// Four parameters, each empty (NULL) where it does not matter.
fn from_where(status: OrphanStatus) -> String {
    let condition = status.condition();
    format!(
        "FROM transfers JOIN intents ON intents.intent = transfers.intent
         WHERE transfers.height IS NOT NULL AND {condition}
             AND (CAST($1 AS TEXT) IS NULL OR intents.account = $1)
             AND (CAST($2 AS TEXT) IS NULL OR intents.id = $2)
             AND (CAST($3 AS TEXT) IS NULL OR transfers.network = $3)"
    )
}

type AnyQuery<'q> = sqlx::query::Query<'q, Any, sqlx::any::AnyArguments>;

fn bind<'q>(query: AnyQuery<'q>, filter: &OrphanFilter) -> AnyQuery<'q> {
    query
        .bind(filter.account.clone())
        .bind(filter.intent.clone())
        .bind(filter.network.as_ref().map(ToString::to_string))
        .bind(filter.reason.map(OrphanReason::as_str))
}

/// Why a transfer is an orphan, or was before it was resolved.
fn reason(credit: &Credit) -> Option<OrphanReason> {
    match credit.role {
        Role::Orphan(reason) if credit.dismissed().is_none() => Some(reason),
        _ => credit.resolution.as_ref().map(|resolution| resolution.was),
    }
}

fn status(credit: &Credit) -> OrphanStatus {
    match (credit.dismissed(), credit.role) {
        (Some(_), _) => OrphanStatus::Dismissed,
        (None, Role::Orphan(_)) => OrphanStatus::Open,
        (None, Role::Pays(_) | Role::Seen(_) | Role::Gone) => OrphanStatus::Attached,
    }
}

fn orphan(row: &AnyRow) -> Result<Orphan> {
    let credit = transfers::credit(row)?;
    let reason = reason(&credit).ok_or_else(|| StoreError::corrupt("role", credit.name()))?;
    let key = IntentKey { account: column(row, "account")?, id: column(row, "intent_id")? };
    Ok(Orphan {
        view: OrphanView::of(&key, &credit, reason),
        account: key.account,
        status: status(&credit),
        reported: credit.orphan.reported.is_some(),
        credit_time: credit.credit_time,
    })
}

impl Store {
    /// Orphans that stand on the chain, newest first, after the given `(credit_time, id)`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn orphans(
        &self,
        filter: &OrphanFilter,
        after: Option<(Timestamp, &str)>,
        limit: u32,
    ) -> Result<Vec<Orphan>> {
        let text = format!(
            "SELECT transfers.*, intents.account, intents.id AS intent_id {}
                 AND (credit_time < $5 OR (credit_time = $5 AND orphan_id < $6))
             ORDER BY credit_time DESC, orphan_id DESC LIMIT $7",
            from_where(filter.status)
        );
        let (time, last) = after.unwrap_or((Timestamp(i64::MAX), ""));
        let rows = bind(sqlx::query(AssertSqlSafe(text)), filter)
            .bind(time.0)
            .bind(last)
            .bind(i64::from(limit))
            .fetch_all(&self.read)
            .await?;
        rows.iter().map(orphan).collect()
    }

    /// How many orphans match.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_orphans(&self, filter: &OrphanFilter) -> Result<u64> {
        let text = format!("SELECT COUNT(*) AS n {}", from_where(filter.status));
        let row = bind(sqlx::query(AssertSqlSafe(text)), filter).fetch_one(&self.read).await?;
        number(&row, "n")
    }
}

impl Transaction {
    /// The network of an orphan, and the intent that has it, as `account/id`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn holder_of_orphan(&mut self, id: &str) -> Result<Option<(NetworkId, String)>> {
        let row = sqlx::query("SELECT network, intent FROM transfers WHERE orphan_id = $1")
            .bind(id)
            .fetch_optional(&mut *self.inner)
            .await?;
        let read = |row: AnyRow| -> Result<_> {
            Ok((column::<String>(&row, "network")?.as_str().into(), column(&row, "intent")?))
        };
        row.map(read).transpose()
    }

    /// An orphan, whatever became of it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn orphan(&mut self, id: &str) -> Result<Option<Orphan>> {
        let row = sqlx::query(
            "SELECT transfers.*, intents.account, intents.id AS intent_id
             FROM transfers JOIN intents ON intents.intent = transfers.intent
             WHERE orphan_id = $1",
        )
        .bind(id)
        .fetch_optional(&mut *self.inner)
        .await?;
        row.as_ref().map(orphan).transpose()
    }

    /// Gives an orphan to an intent of its account, as a payment. The caller holds its network,
    /// the intent, and the one that had it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn give_orphan(&mut self, id: &str, to: &IntentKey) -> Result<()> {
        sqlx::query("UPDATE transfers SET intent = $2, allocation = $3 WHERE orphan_id = $1")
            .bind(id)
            .bind(to.to_string())
            .bind(matching::RAIL)
            .execute(&mut *self.inner)
            .await?;
        Ok(())
    }
}
