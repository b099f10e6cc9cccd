//! The scan ledger: which blocks were committed, and how they were proven.

use confirmd_chain::{Block, BlockHash, Height, Proof, Timestamp};
use sqlx::any::AnyRow;

use super::database::{Result, Store, StoreError, Transaction, column, number, signed};
use crate::settlement::NetworkId;

/// The most blocks that one row tells of.
const LONGEST: u64 = 256;

/// Linked blocks that were committed one after the other, shown by one provider and proven alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    /// The lowest of them.
    pub first: (Height, BlockHash),
    /// The highest.
    pub last: (Height, BlockHash),
    /// How they were proven.
    pub proof: Proof,
    /// Who showed them: a provider's name in the configuration.
    pub provider: String,
    /// How much in them was held against the watches ([`Block::examined`]).
    pub examined: u64,
    /// How many transfers in them hit a watch.
    pub matched: u64,
    /// When the first of them was committed.
    pub began_at: Timestamp,
    /// When the last of them was.
    pub committed_at: Timestamp,
}

const fn proof_text(proof: Proof) -> &'static str {
    match proof {
        Proof::Commitment => "commitment",
        Proof::Logs => "logs",
        Proof::Links => "links",
    }
}

fn scan(row: &AnyRow) -> Result<Scan> {
    let block = |height: &str, hash: &str| -> Result<(Height, BlockHash)> {
        Ok((Height(number(row, height)?), BlockHash::new(column::<String>(row, hash)?)))
    };
    Ok(Scan {
        first: block("first_height", "first_hash")?,
        last: block("last_height", "last_hash")?,
        proof: match column::<String>(row, "proof")?.as_str() {
            "commitment" => Proof::Commitment,
            "logs" => Proof::Logs,
            "links" => Proof::Links,
            other => return Err(StoreError::corrupt("proof", other)),
        },
        provider: column(row, "provider")?,
        examined: number(row, "examined")?,
        matched: number(row, "matched")?,
        began_at: Timestamp(column(row, "began_at")?),
        committed_at: Timestamp(column(row, "committed_at")?),
    })
}

impl Store {
    /// The row of the ledger that tells of a height, if it was committed and the row not pruned.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn scan_of(&self, network: &NetworkId, height: Height) -> Result<Option<Scan>> {
        let row = sqlx::query(
            "SELECT * FROM scans WHERE network = $1 AND first_height <= $2
                 AND last_height BETWEEN $2 AND $3
             ORDER BY position DESC LIMIT 1",
        )
        .bind(network.as_str())
        .bind(signed(height.0))
        .bind(signed(height.plus(LONGEST).0))
        .fetch_optional(&self.read)
        .await?;
        row.as_ref().map(scan).transpose()
    }
}

impl Transaction {
    /// Notes that linked blocks are committed. At the tip, where they come one by one, they extend
    /// the newest row.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn record_scans(
        &mut self,
        network: &NetworkId,
        blocks: &[Block],
        now: Timestamp,
    ) -> Result<()> {
        let alike =
            blocks.chunk_by(|one, next| (one.proof, &one.provider) == (next.proof, &next.provider));
        for blocks in alike.flat_map(|alike| alike.chunks(usize::try_from(LONGEST).unwrap_or(1))) {
            if !self.extend_scan(network, blocks, now).await? {
                self.insert_scan(network, blocks, now).await?;
            }
        }
        Ok(())
    }

    async fn extend_scan(
        &mut self,
        network: &NetworkId,
        blocks: &[Block],
        now: Timestamp,
    ) -> Result<bool> {
        let (Some(first), Some(last)) = (blocks.first(), blocks.last()) else { return Ok(true) };
        let done = sqlx::query(
            "UPDATE scans SET last_height = $2, last_hash = $3, matched = matched + $4,
                 committed_at = $5, examined = examined + $10
             WHERE position = (SELECT MAX(position) FROM scans WHERE network = $1)
                 AND proof = $6 AND last_hash = $7 AND first_height > $8 AND provider = $9",
        )
        .bind(network.as_str())
        .bind(signed(last.header.height.0))
        .bind(last.header.hash.as_str())
        .bind(signed(matched(blocks)))
        .bind(now.0)
        .bind(proof_text(first.proof))
        .bind(first.header.parent.as_str())
        .bind(signed(last.header.height.0) - signed(LONGEST))
        .bind(&*first.provider)
        .bind(signed(examined(blocks)))
        .execute(&mut *self.inner)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    async fn insert_scan(
        &mut self,
        network: &NetworkId,
        blocks: &[Block],
        now: Timestamp,
    ) -> Result<()> {
        let (Some(first), Some(last)) = (blocks.first(), blocks.last()) else { return Ok(()) };
        sqlx::query(
            "INSERT INTO scans (network, first_height, first_hash, last_height, last_hash, proof,
                 matched, began_at, committed_at, provider, examined)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9, $10)",
        )
        .bind(network.as_str())
        .bind(signed(first.header.height.0))
        .bind(first.header.hash.as_str())
        .bind(signed(last.header.height.0))
        .bind(last.header.hash.as_str())
        .bind(proof_text(first.proof))
        .bind(signed(matched(blocks)))
        .bind(now.0)
        .bind(&*first.provider)
        .bind(signed(examined(blocks)))
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// Forgets rows of the ledger whose blocks were committed before a time.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn prune_scans(&mut self, before: Timestamp, limit: u32) -> Result<u64> {
        let done = sqlx::query(
            "DELETE FROM scans WHERE position IN (
                 SELECT position FROM scans WHERE committed_at < $1 ORDER BY position LIMIT $2)",
        )
        .bind(before.0)
        .bind(i64::from(limit))
        .execute(&mut *self.inner)
        .await?;
        Ok(done.rows_affected())
    }
}

fn examined(blocks: &[Block]) -> u64 {
    blocks.iter().map(|block| block.examined).sum()
}

fn matched(blocks: &[Block]) -> u64 {
    blocks.iter().map(|block| block.transfers.len() as u64).sum()
}
