//! The linked blocks of the kept window.

use std::collections::BTreeMap;

use confirmd_chain::{BlockHash, Header, Height, Timestamp, Work};
use sqlx::any::AnyRow;

use super::database::{Result, Store, Transaction, column, number, parsed, signed};
use crate::settlement::NetworkId;

fn header(row: &AnyRow) -> Result<Header> {
    Ok(Header {
        height: Height(number(row, "height")?),
        hash: BlockHash::new(column::<String>(row, "hash")?),
        parent: BlockHash::new(column::<String>(row, "parent")?),
        parent_height: Height(number(row, "parent_height")?),
        time: Timestamp(column(row, "time")?),
        mined_at: Timestamp(column(row, "mined_at")?),
        work: parsed(row, "work")?,
    })
}

impl Store {
    /// The block that we hold at a height.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn block(&self, network: &NetworkId, height: Height) -> Result<Option<Header>> {
        let row = sqlx::query("SELECT * FROM blocks WHERE network = $1 AND height = $2")
            .bind(network.as_str())
            .bind(signed(height.0))
            .fetch_optional(&self.read)
            .await?;
        row.as_ref().map(header).transpose()
    }

    /// The lowest block that we hold with a time of at least `time`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn block_since(
        &self,
        network: &NetworkId,
        time: Timestamp,
    ) -> Result<Option<Header>> {
        let row = sqlx::query(
            "SELECT * FROM blocks WHERE network = $1 AND time >= $2 ORDER BY height LIMIT 1",
        )
        .bind(network.as_str())
        .bind(time.0)
        .fetch_optional(&self.read)
        .await?;
        row.as_ref().map(header).transpose()
    }

    /// The lowest block that we hold.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn oldest_block(&self, network: &NetworkId) -> Result<Option<Header>> {
        let row = sqlx::query("SELECT * FROM blocks WHERE network = $1 ORDER BY height LIMIT 1")
            .bind(network.as_str())
            .fetch_optional(&self.read)
            .await?;
        row.as_ref().map(header).transpose()
    }
}

impl Store {
    /// What our blocks above a height weigh together.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn work_above(&self, network: &NetworkId, height: Height) -> Result<Work> {
        let rows = sqlx::query("SELECT work FROM blocks WHERE network = $1 AND height > $2")
            .bind(network.as_str())
            .bind(signed(height.0))
            .fetch_all(&self.read)
            .await?;
        rows.iter().map(|row| parsed::<Work>(row, "work")).sum()
    }
}

impl Transaction {
    /// Keeps blocks.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn insert_blocks<'h>(
        &mut self,
        network: &NetworkId,
        headers: impl Iterator<Item = &'h Header>,
    ) -> Result<()> {
        for header in headers {
            sqlx::query(
                "INSERT INTO blocks (network, height, hash, parent, parent_height, time,
                     mined_at, work)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            )
            .bind(network.as_str())
            .bind(signed(header.height.0))
            .bind(header.hash.as_str())
            .bind(header.parent.as_str())
            .bind(signed(header.parent_height.0))
            .bind(header.time.0)
            .bind(header.mined_at.0)
            .bind(header.work.to_string())
            .execute(&mut *self.inner)
            .await?;
        }
        Ok(())
    }

    /// Forgets the blocks above a height: the undo of [`Self::insert_blocks`].
    ///
    /// # Errors
    /// When the database fails.
    pub async fn remove_blocks_above(&mut self, network: &NetworkId, height: Height) -> Result<()> {
        sqlx::query("DELETE FROM blocks WHERE network = $1 AND height > $2")
            .bind(network.as_str())
            .bind(signed(height.0))
            .execute(&mut *self.inner)
            .await?;
        Ok(())
    }

    /// Forgets the blocks below a height: they left the kept window.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn prune_blocks_below(&mut self, network: &NetworkId, height: Height) -> Result<()> {
        sqlx::query("DELETE FROM blocks WHERE network = $1 AND height < $2")
            .bind(network.as_str())
            .bind(signed(height.0))
            .execute(&mut *self.inner)
            .await?;
        Ok(())
    }

    /// Whether a block is on our branch: we hold it, or it stands below all that we hold. Where we
    /// hold none in between, the network skipped the height.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn is_ours(&mut self, network: &NetworkId, header: &Header) -> Result<bool> {
        let row = sqlx::query(
            "SELECT hash FROM blocks WHERE network = $1 AND height <= $2
             ORDER BY height DESC LIMIT 1",
        )
        .bind(network.as_str())
        .bind(signed(header.height.0))
        .fetch_optional(&mut *self.inner)
        .await?;
        let Some(row) = row else { return Ok(true) };
        Ok(header.hash.as_str() == column::<String>(&row, "hash")?)
    }

    /// The times of the kept blocks at these heights.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn block_times(
        &mut self,
        network: &NetworkId,
        heights: impl Iterator<Item = Height>,
    ) -> Result<BTreeMap<Height, Timestamp>> {
        let mut times = BTreeMap::new();
        for height in heights {
            let row = sqlx::query("SELECT * FROM blocks WHERE network = $1 AND height = $2")
                .bind(network.as_str())
                .bind(signed(height.0))
                .fetch_optional(&mut *self.inner)
                .await?;
            if let Some(row) = row {
                times.insert(height, header(&row)?.time);
            }
        }
        Ok(times)
    }
}
