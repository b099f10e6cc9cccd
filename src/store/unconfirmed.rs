//! What mempools showed: transfers in no block, and what spends the same as they do.

use std::collections::BTreeSet;

use confirmd_chain::{
    Address, FeeRate, Height, Spend, Timestamp, TransactionId, Transfer, WatchKey,
};
use sqlx::any::AnyRow;

use super::database::{Result, Transaction, column, optional_number, signed, to_json};
use super::matching::RAIL;
use crate::settlement::{NetworkId, OrphanState, OrphanView, Sighting};

/// Whose backfills look for spent outpoints, where others have an intent or a wallet.
pub(super) const OUTPOINTS: &str = "//outpoints";

/// A transfer as a mempool shows it, with what the registry says of its asset.
#[derive(Clone, Copy, Debug)]
pub struct Sighted<'a> {
    /// The transfer.
    pub transfer: &'a Transfer,
    /// What its transaction pays for being mined, where that is known.
    pub fee_rate: Option<FeeRate>,
    /// Whether its transaction says that it may be replaced.
    pub replaceable: bool,
    /// The asset's symbol.
    pub symbol: &'a str,
    /// The asset's digits behind the point.
    pub decimals: u8,
}

/// What mempools showed of a transfer, from its row.
pub(super) fn sighting(row: &AnyRow) -> Result<Option<Sighting>> {
    let Some(shown_at) = column::<Option<i64>>(row, "shown_at")? else { return Ok(None) };
    Ok(Some(Sighting {
        fee_rate: optional_number(row, "fee_rate")?.map(FeeRate),
        replaceable: column::<i64>(row, "replaceable")? == 1,
        shown_at: Timestamp(shown_at),
        replaced_by: column::<Option<String>>(row, "replaced_by")?.map(TransactionId::new),
    }))
}

impl Transaction {
    /// Notes that a mempool shows a transfer. One that nobody has yet goes to the open intent whose
    /// rail it would pay; what would be an orphan or a deposit waits for its block. Answers the
    /// intent that has it, if one does.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sight_transfer(
        &mut self,
        network: &NetworkId,
        sighted: &Sighted<'_>,
        now: Timestamp,
    ) -> Result<Option<String>> {
        if let Some(allocation) = self.sight_again(network, sighted, now).await? {
            return Ok(allocation);
        }
        if self.is_known_deposit(network, sighted.transfer).await? {
            return Ok(None);
        }
        let owner = self.matched(network, sighted.transfer, now).await?;
        match owner {
            Some(owner) if self.is_open(&owner.intent).await? => {
                self.insert_sighted(network, sighted, &owner.intent, now).await?;
                Ok(Some(owner.intent))
            }
            _ => Ok(None),
        }
    }

    /// Notes it of one that is known, and answers the intent that has it, unless as an orphan. That
    /// it was replaced holds no more, unless by what stands in a block.
    async fn sight_again(
        &mut self,
        network: &NetworkId,
        sighted: &Sighted<'_>,
        now: Timestamp,
    ) -> Result<Option<Option<String>>> {
        let id = &sighted.transfer.id;
        let row = sqlx::query(
            "UPDATE transfers SET shown_at = $4, fee_rate = COALESCE($5, fee_rate),
                 replaceable = $6,
                 credit_time = CASE WHEN credit_time < $4 THEN credit_time ELSE $4 END,
                 replaced_by = CASE WHEN replaced_height IS NULL THEN NULL ELSE replaced_by END
             WHERE network = $1 AND tx = $2 AND idx = $3 RETURNING intent, allocation",
        )
        .bind(network.as_str())
        .bind(id.transaction.as_str())
        .bind(id.index.to_string())
        .bind(now.0)
        .bind(sighted.fee_rate.map(|rate| signed(rate.0)))
        .bind(i64::from(sighted.replaceable))
        .fetch_optional(&mut *self.inner)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let is_matched = column::<String>(&row, "allocation")? == RAIL;
        let intent: String = column(&row, "intent")?;
        Ok(Some(is_matched.then_some(intent)))
    }

    async fn is_known_deposit(&mut self, network: &NetworkId, transfer: &Transfer) -> Result<bool> {
        let row = sqlx::query("SELECT 1 FROM deposits WHERE network = $1 AND tx = $2 AND idx = $3")
            .bind(network.as_str())
            .bind(transfer.id.transaction.as_str())
            .bind(transfer.id.index.to_string())
            .fetch_optional(&mut *self.inner)
            .await?;
        Ok(row.is_some())
    }

    async fn is_open(&mut self, intent: &str) -> Result<bool> {
        let row = sqlx::query(
            "SELECT 1 FROM intents
             WHERE intent = $1 AND status IN ('pending', 'partial', 'confirming')",
        )
        .bind(intent)
        .fetch_optional(&mut *self.inner)
        .await?;
        Ok(row.is_some())
    }

    async fn insert_sighted(
        &mut self,
        network: &NetworkId,
        sighted: &Sighted<'_>,
        intent: &str,
        now: Timestamp,
    ) -> Result<()> {
        let Sighted { transfer, fee_rate, replaceable, symbol, decimals } = sighted;
        let (tx, index) = (transfer.id.transaction.as_str(), transfer.id.index.to_string());
        sqlx::query(
            "INSERT INTO transfers (network, tx, idx, intent, asset, symbol, decimals, sender,
                 receiver, amount, carried, allocation, maturity, credit_time, role, orphan,
                 orphan_id, shown_at, fee_rate, replaceable)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, 'gone', $15, $16,
                 $14, $17, $18)",
        )
        .bind(network.as_str())
        .bind(tx)
        .bind(&index)
        .bind(intent)
        .bind(transfer.asset.to_string())
        .bind(*symbol)
        .bind(i64::from(*decimals))
        .bind(transfer.from.as_ref().map(Address::as_str))
        .bind(transfer.to.as_str())
        .bind(transfer.amount.to_string())
        .bind(to_json(&transfer.references)?)
        .bind(RAIL)
        .bind(i64::from(transfer.maturity.0))
        .bind(now.0)
        .bind(to_json(&OrphanState::default())?)
        .bind(OrphanView::id(network, tx, &index))
        .bind(fee_rate.map(|rate| signed(rate.0)))
        .bind(i64::from(*replaceable))
        .execute(&mut *self.inner)
        .await?;
        self.tally.transfers.push((network.clone(), "seen", 1));
        Ok(())
    }

    /// Watches what transactions spend, from a new watch version on; blocks above `looked_from`
    /// that were decoded without are looked at again. The caller holds the network.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn watch_outpoints(
        &mut self,
        network: &NetworkId,
        spends: &[(&TransactionId, &WatchKey)],
        looked_from: Height,
        now: Timestamp,
    ) -> Result<()> {
        let mut version = None;
        for (transaction, watch) in spends {
            if self.is_watched_outpoint(network, transaction, watch).await? {
                continue;
            }
            let version = match version {
                Some(version) => version,
                None => *version.insert(self.raise_watch_version(network).await?),
            };
            sqlx::query(
                "INSERT INTO outpoints (network, watch, tx, version) VALUES ($1, $2, $3, $4)",
            )
            .bind(network.as_str())
            .bind(watch.as_bytes().to_vec())
            .bind(transaction.as_str())
            .bind(version)
            .execute(&mut *self.inner)
            .await?;
        }
        let Some(version) = version else { return Ok(()) };
        let id = format!("bkf_{}", ulid::Ulid::new());
        self.insert_backfill(&id, network, OUTPOINTS, version, now).await?;
        self.advance_backfill(&id, looked_from.next()).await
    }

    async fn is_watched_outpoint(
        &mut self,
        network: &NetworkId,
        transaction: &TransactionId,
        watch: &WatchKey,
    ) -> Result<bool> {
        let row =
            sqlx::query("SELECT 1 FROM outpoints WHERE network = $1 AND watch = $2 AND tx = $3")
                .bind(network.as_str())
                .bind(watch.as_bytes().to_vec())
                .bind(transaction.as_str())
                .fetch_optional(&mut *self.inner)
                .await?;
        Ok(row.is_some())
    }

    /// Notes which transaction spends an outpoint: all others that would have to, and are in no
    /// block, are replaced. In a block (of this height) or, without one, in a mempool, which does
    /// not prevail over a block. Answers the intents that have the replaced ones.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn replace_by(
        &mut self,
        network: &NetworkId,
        spend: &Spend,
        height: Option<Height>,
    ) -> Result<BTreeSet<String>> {
        let rows: Vec<(String,)> = sqlx::query_as(
            "UPDATE transfers SET replaced_by = $3, replaced_height = $4
             WHERE network = $1 AND tx <> $3 AND height IS NULL AND shown_at IS NOT NULL
                 AND ($4 IS NOT NULL OR replaced_height IS NULL)
                 AND tx IN (SELECT tx FROM outpoints WHERE network = $1 AND watch = $2)
             RETURNING intent",
        )
        .bind(network.as_str())
        .bind(spend.watch.as_bytes().to_vec())
        .bind(spend.by.as_str())
        .bind(height.map(|height| signed(height.0)))
        .fetch_all(&mut *self.inner)
        .await?;
        if !rows.is_empty() {
            self.tally.transfers.push((network.clone(), "replaced", rows.len() as u64));
        }
        Ok(rows.into_iter().map(|(intent,)| intent).collect())
    }

    /// What blocks above this height replaced, mempools replace now, until one says otherwise.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_replacing_blocks_above(
        &mut self,
        network: &NetworkId,
        height: Height,
    ) -> Result<()> {
        sqlx::query(
            "UPDATE transfers SET replaced_height = NULL
             WHERE network = $1 AND replaced_height IS NOT NULL AND replaced_height > $2",
        )
        .bind(network.as_str())
        .bind(signed(height.0))
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// Ends the watching of what transactions spend that are irreversible, or are no watched
    /// intent's; answers the watches that no other transaction needs.
    pub(super) async fn end_watching_outpoints(
        &mut self,
        network: &NetworkId,
        finalized: Height,
    ) -> Result<Vec<WatchKey>> {
        let rows: Vec<(Vec<u8>,)> = sqlx::query_as(
            "DELETE FROM outpoints WHERE network = $1 AND NOT EXISTS (
                 SELECT 1 FROM transfers
                 JOIN rails ON rails.intent = transfers.intent AND rails.network = transfers.network
                 WHERE transfers.network = $1 AND transfers.tx = outpoints.tx
                     AND (transfers.height IS NULL OR transfers.height > $2)
                     AND rails.watching = 1)
             RETURNING watch",
        )
        .bind(network.as_str())
        .bind(signed(finalized.0))
        .fetch_all(&mut *self.inner)
        .await?;
        let mut ended = Vec::new();
        for (raw,) in rows {
            let other =
                sqlx::query("SELECT 1 FROM outpoints WHERE network = $1 AND watch = $2 LIMIT 1")
                    .bind(network.as_str())
                    .bind(raw.clone())
                    .fetch_optional(&mut *self.inner)
                    .await?;
            if other.is_none() {
                ended.extend(WatchKey::new(&raw));
            }
        }
        Ok(ended)
    }
}
