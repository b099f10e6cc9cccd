//! The orphan inbox: transfers that settle no intent.

use confirmd_chain::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{Any, AssertSqlSafe};

use super::{Result, Store, StoreError, column, number, transfers};
use crate::settlement::{IntentKey, NetworkId, OrphanReason, OrphanView, Role};

/// A transfer that settles no intent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orphan {
    /// The account whose address it came to.
    pub account: String,
    /// The orphan.
    pub view: OrphanView,
    /// Whether it is deep enough to have been reported.
    pub reported: bool,
    /// The earlier of its block's time and first sight.
    pub credit_time: Timestamp,
}

/// Which orphans are listed. Empty fields match all.
#[derive(Clone, Debug, Default)]
pub struct OrphanFilter {
    /// The account; every one where empty.
    pub account: Option<String>,
    /// The intent to whose address it came.
    pub intent: Option<String>,
    /// The network.
    pub network: Option<NetworkId>,
    /// Why it settles nothing.
    pub reason: Option<OrphanReason>,
}

/// Four parameters, each empty (NULL) where it does not matter.
const FILTER: &str = "
    FROM transfers JOIN intents ON intents.intent = transfers.intent
    WHERE transfers.height IS NOT NULL
        AND transfers.role LIKE COALESCE(CAST($4 AS TEXT), 'orphan:%')
        AND (CAST($1 AS TEXT) IS NULL OR intents.account = $1)
        AND (CAST($2 AS TEXT) IS NULL OR intents.id = $2)
        AND (CAST($3 AS TEXT) IS NULL OR transfers.network = $3)";

type AnyQuery<'q> = sqlx::query::Query<'q, Any, sqlx::any::AnyArguments>;

fn bind<'q>(query: AnyQuery<'q>, filter: &OrphanFilter) -> AnyQuery<'q> {
    query
        .bind(filter.account.clone())
        .bind(filter.intent.clone())
        .bind(filter.network.as_ref().map(ToString::to_string))
        .bind(filter.reason.map(|reason| format!("orphan:{}", reason.as_str())))
}

fn orphan(row: &AnyRow) -> Result<Orphan> {
    let credit = transfers::credit(row)?;
    let Role::Orphan(reason) = credit.role else {
        return Err(StoreError::corrupt("role", credit.name()));
    };
    let key = IntentKey { account: column(row, "account")?, id: column(row, "intent_id")? };
    Ok(Orphan {
        view: OrphanView::of(&key, &credit, reason),
        account: key.account,
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
            "SELECT transfers.*, intents.account, intents.id AS intent_id {FILTER}
                 AND (credit_time < $5 OR (credit_time = $5 AND orphan_id < $6))
             ORDER BY credit_time DESC, orphan_id DESC LIMIT $7"
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
        let text = format!("SELECT COUNT(*) AS n {FILTER}");
        let row = bind(sqlx::query(AssertSqlSafe(text)), filter).fetch_one(&self.read).await?;
        number(&row, "n")
    }
}
