//! Whose a transfer is.

use confirmd_chain::{Timestamp, Transfer};
use sqlx::any::AnyRow;
use sqlx::{Any, AssertSqlSafe};

use super::database::{Result, StoreError, Transaction, column};
use super::rails;
use crate::settlement::NetworkId;

/// It is what a rail waits for, or was given to the intent by an admin.
pub(super) const RAIL: &str = "rail";
/// It came to an address of the intent, and is not what any rail there waits for.
const STRAY: &str = "stray";
/// So it did, and several intents could have meant it.
pub(super) const AMBIGUOUS: &str = "ambiguous";

/// The most references of a transfer that are looked up: more than a payment has use for.
const MAX_REFERENCES: usize = 256;

/// Who has a transfer, and why.
#[derive(Clone, Debug)]
pub(super) struct Owner {
    /// The intent, as `account/id`.
    pub(super) intent: String,
    /// One of [`RAIL`], [`STRAY`] and [`AMBIGUOUS`].
    pub(super) allocation: &'static str,
    by_reference: bool,
}

impl Owner {
    /// Reads it from the transfer's row.
    pub(super) fn read(row: &AnyRow) -> Result<Self> {
        let text: String = column(row, "allocation")?;
        let known = [RAIL, STRAY, AMBIGUOUS].into_iter().find(|known| *known == text);
        let allocation = known.ok_or_else(|| StoreError::corrupt("allocation", text))?;
        Ok(Self { intent: column(row, "intent")?, allocation, by_reference: false })
    }

    /// Whether it is what a rail waits for.
    pub(super) fn is_matched(&self) -> bool {
        self.allocation == RAIL
    }

    /// Whether a reference tells that it is.
    pub(super) const fn is_by_reference(&self) -> bool {
        self.by_reference
    }
}

/// What discriminated rails may wait for in this transfer, and plain ones.
fn discriminators(transfer: &Transfer) -> Vec<String> {
    let references = transfer.references.iter().take(MAX_REFERENCES);
    let references = references.map(|carried| rails::by_reference(carried));
    references.chain([rails::by_amount(transfer.amount), String::new()]).collect()
}

/// `$from, $from+1, …`, as many as there are.
fn placeholders(from: usize, count: usize) -> String {
    (from..from + count).map(|n| format!("${n}")).collect::<Vec<_>>().join(", ")
}

type AnyQuery<'q> = sqlx::query::Query<'q, Any, sqlx::any::AnyArguments>;

fn bind_place<'q>(query: AnyQuery<'q>, network: &NetworkId, transfer: &Transfer) -> AnyQuery<'q> {
    query.bind(network.to_string()).bind(transfer.to.to_string())
}

impl Transaction {
    /// Who is to have a transfer: whoever waits for it, else whoever did, else whoever watches
    /// the address, and then it is a stray.
    pub(super) async fn owner(
        &mut self,
        network: &NetworkId,
        transfer: &Transfer,
        credit_time: Timestamp,
    ) -> Result<Option<Owner>> {
        if let Some(owner) = self.matched(network, transfer, credit_time).await? {
            return Ok(Some(owner));
        }
        if let Some(owner) = self.named(network, transfer).await? {
            return Ok(Some(owner));
        }
        self.stray(network, transfer).await
    }

    /// The intent whose rail it pays: by its reference, else by its amount or the address alone.
    /// Of these the one whose rail was replaced after it was paid, else the one that waits, else
    /// the newest that did and still watches.
    pub(super) async fn matched(
        &mut self,
        network: &NetworkId,
        transfer: &Transfer,
        credit_time: Timestamp,
    ) -> Result<Option<Owner>> {
        let wanted = discriminators(transfer);
        let text = format!(
            "SELECT rails.intent, rails.matching
             FROM rails JOIN intents ON intents.intent = rails.intent
             WHERE rails.network = $1 AND rails.address = $2 AND rails.asset = $3
                 AND rails.watching = 1 AND rails.discriminator IN ({})
             ORDER BY CASE WHEN rails.matching IN ('reference', 'memo') THEN 0 ELSE 1 END,
                 CASE WHEN rails.replaced_at > $4
                          AND intents.status IN ('pending', 'partial', 'confirming') THEN 0
                      WHEN rails.waiting = 1 THEN 1 ELSE 2 END,
                 rails.version DESC, rails.intent
             LIMIT 1",
            placeholders(5, wanted.len())
        );
        let query = bind_place(sqlx::query(AssertSqlSafe(text)), network, transfer);
        let query = query.bind(transfer.asset.to_string()).bind(credit_time.0);
        let query = wanted.into_iter().fold(query, AnyQuery::bind);
        let row = query.fetch_optional(&mut *self.inner).await?;
        row.map(|row| {
            let matching = column::<String>(&row, "matching")?;
            let by_reference = matching == "reference" || matching == "memo";
            Ok(Owner { intent: column(&row, "intent")?, allocation: RAIL, by_reference })
        })
        .transpose()
    }

    /// Whether a transfer that was given to an intent as a payment is one still.
    pub(super) async fn still_matches(
        &mut self,
        network: &NetworkId,
        transfer: &Transfer,
        intent: &str,
    ) -> Result<bool> {
        let wanted = discriminators(transfer);
        let text = format!(
            "SELECT 1 FROM rails WHERE network = $1 AND address = $2 AND asset = $3
                 AND intent = $4 AND discriminator IN ({}) LIMIT 1",
            placeholders(5, wanted.len())
        );
        let query = bind_place(sqlx::query(AssertSqlSafe(text)), network, transfer);
        let query = query.bind(transfer.asset.to_string()).bind(intent.to_owned());
        let query = wanted.into_iter().fold(query, AnyQuery::bind);
        Ok(query.fetch_optional(&mut *self.inner).await?.is_some())
    }

    /// The intent that its reference names, though not in this asset.
    async fn named(&mut self, network: &NetworkId, transfer: &Transfer) -> Result<Option<Owner>> {
        let mut wanted = discriminators(transfer);
        wanted.truncate(wanted.len().saturating_sub(2));
        if wanted.is_empty() {
            return Ok(None);
        }
        let text = format!(
            "SELECT intent FROM rails
             WHERE network = $1 AND address = $2 AND watching = 1 AND discriminator IN ({})
             ORDER BY waiting DESC, version DESC, intent LIMIT 1",
            placeholders(3, wanted.len())
        );
        let query = bind_place(sqlx::query(AssertSqlSafe(text)), network, transfer);
        let query = wanted.into_iter().fold(query, AnyQuery::bind);
        let row = query.fetch_optional(&mut *self.inner).await?;
        let owner = |intent| Owner { intent, allocation: STRAY, by_reference: false };
        row.map(|row| Ok(owner(column(&row, "intent")?))).transpose()
    }

    /// Whoever watches the address: the newest of those who wait for the asset there, else of
    /// those who wait for or watch anything.
    async fn stray(&mut self, network: &NetworkId, transfer: &Transfer) -> Result<Option<Owner>> {
        let of_asset = "SELECT intent, waiting FROM rails
             WHERE network = $1 AND address = $2 AND asset = $3 AND watching = 1
             ORDER BY waiting DESC, version DESC LIMIT 2";
        let query = bind_place(sqlx::query(of_asset), network, transfer);
        let query = query.bind(transfer.asset.to_string());
        let mut rows = query.fetch_all(&mut *self.inner).await?;
        if rows.is_empty() {
            let of_any = "SELECT intent, waiting FROM rails
                 WHERE network = $1 AND address = $2 AND watching = 1
                 ORDER BY waiting DESC, version DESC LIMIT 2";
            let query = bind_place(sqlx::query(of_any), network, transfer);
            rows = query.fetch_all(&mut *self.inner).await?;
        }
        let read = |row: &AnyRow| -> Result<(String, i64)> {
            Ok((column(row, "intent")?, column(row, "waiting")?))
        };
        let candidates = rows.iter().map(read).collect::<Result<Vec<_>>>()?;
        Ok(match candidates.as_slice() {
            [] => None,
            [(first, waits), (second, as_well)] if first != second && waits == as_well => {
                let intent = first.clone();
                Some(Owner { intent, allocation: AMBIGUOUS, by_reference: false })
            }
            [(only, _), ..] => {
                Some(Owner { intent: only.clone(), allocation: STRAY, by_reference: false })
            }
        })
    }
}
