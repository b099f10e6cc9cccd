//! Networks: who follows them, and how far.

use std::collections::BTreeMap;

use confirmd_chain::{Asset, BlockHash, Header, Height, Timestamp, WatchKey, WatchVersion};
use sqlx::AssertSqlSafe;
use sqlx::any::AnyRow;

use super::database::{
    Result, Store, StoreError, Transaction, column, number, optional_number, signed, to_json,
};
use super::status::FollowerStatus;
use super::unconfirmed;
use crate::settlement::NetworkId;

/// The newest committed block of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Its height.
    pub height: Height,
    /// Its hash.
    pub hash: BlockHash,
    /// Its time.
    pub time: Timestamp,
}

impl From<&Header> for Cursor {
    fn from(header: &Header) -> Self {
        Self { height: header.height, hash: header.hash.clone(), time: header.time }
    }
}

/// The right to write for a network. A newer follower's makes it void.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fence {
    /// The network.
    pub network: NetworkId,
    /// Rises with every follower.
    pub epoch: i64,
}

/// What intents may wait for on a network.
#[derive(Clone, Copy, Debug)]
pub enum Awaited<'a> {
    /// Whatever.
    Anything,
    /// One asset.
    Asset(&'a Asset),
    /// Payments with a reference or a memo.
    References,
}

/// A network as the store knows it.
#[derive(Clone, Debug)]
pub struct NetworkRow {
    /// Its id.
    pub network: NetworkId,
    /// The instance that follows it, if one does.
    pub instance: Option<String>,
    /// How far it was followed.
    pub cursor: Option<Cursor>,
    /// The newest irreversible height that was seen.
    pub finalized: Option<Height>,
    /// What its follower last said of itself, if it did.
    pub status: Option<FollowerStatus>,
    /// When it said so.
    pub updated_at: Timestamp,
}

fn network_row(row: &AnyRow) -> Result<NetworkRow> {
    let height: Option<u64> = optional_number(row, "cursor_height")?;
    let cursor = match height {
        None => None,
        Some(height) => Some(Cursor {
            height: Height(height),
            hash: BlockHash::new(column::<String>(row, "cursor_hash")?),
            time: Timestamp(column(row, "cursor_time")?),
        }),
    };
    Ok(NetworkRow {
        network: column::<String>(row, "network")?.as_str().into(),
        instance: column(row, "instance")?,
        cursor,
        finalized: optional_number(row, "finalized_height")?.map(Height),
        status: follower_status(&column::<String>(row, "status")?),
        updated_at: Timestamp(column(row, "updated_at")?),
    })
}

/// One that cannot be read was written by another version, and is soon written anew.
fn follower_status(text: &str) -> Option<FollowerStatus> {
    if text == "{}" { None } else { serde_json::from_str(text).ok() }
}

impl Store {
    /// Takes over a network that this instance has the lease of: whoever followed it before
    /// cannot write for it any more. Waits for a step of that one that is being committed.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] when another instance has the lease.
    pub async fn take_over(&self, network: &NetworkId, instance: &str) -> Result<Fence> {
        let epoch: Option<(i64,)> = sqlx::query_as(
            "INSERT INTO networks (network, epoch) SELECT network, 1 FROM leases
                 WHERE network = $1 AND instance = $2
             ON CONFLICT (network) DO UPDATE SET epoch = networks.epoch + 1 RETURNING epoch",
        )
        .bind(network.as_str())
        .bind(instance)
        .fetch_optional(&self.write)
        .await?;
        let (epoch,) = epoch.ok_or(StoreError::Fenced)?;
        Ok(Fence { network: network.clone(), epoch })
    }

    /// Every network that was ever followed.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn networks(&self) -> Result<Vec<NetworkRow>> {
        let text = format!("{} ORDER BY networks.network", self.select_networks());
        let rows = sqlx::query(AssertSqlSafe(text)).fetch_all(&self.read);
        rows.await?.iter().map(network_row).collect()
    }

    /// One network, if it was ever followed.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn network(&self, network: &NetworkId) -> Result<Option<NetworkRow>> {
        let text = format!("{} WHERE networks.network = $1", self.select_networks());
        let row = sqlx::query(AssertSqlSafe(text))
            .bind(network.as_str())
            .fetch_optional(&self.read)
            .await?;
        row.as_ref().map(network_row).transpose()
    }

    fn select_networks(&self) -> String {
        format!(
            "SELECT networks.*, leases.instance FROM networks
             LEFT JOIN leases ON leases.network = networks.network AND leases.until > {}",
            self.kind.now()
        )
    }

    /// How far each network is followed.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn cursors(&self) -> Result<BTreeMap<NetworkId, Height>> {
        let rows = self.networks().await?;
        Ok(rows.into_iter().filter_map(|row| Some((row.network, row.cursor?.height))).collect())
    }

    /// The watches of a network that came after `since`, and the version that stands.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn watches_since(
        &self,
        network: &NetworkId,
        since: WatchVersion,
    ) -> Result<(Vec<WatchKey>, WatchVersion)> {
        let version = sqlx::query("SELECT watch_version FROM networks WHERE network = $1")
            .bind(network.as_str())
            .fetch_optional(&self.read)
            .await?;
        let version = version.map_or(Ok(0), |row| number(&row, "watch_version"))?;
        if version <= since.0 {
            return Ok((Vec::new(), since));
        }
        let rows: Vec<(Vec<u8>,)> = sqlx::query_as(
            "SELECT watch FROM rails
             WHERE network = $1 AND version > $2 AND version <= $3 AND watching = 1
             UNION ALL SELECT watch FROM wallet_addresses
             WHERE network = $1 AND version > $2 AND version <= $3
             UNION ALL SELECT watch FROM outpoints
             WHERE network = $1 AND version > $2 AND version <= $3",
        )
        .bind(network.as_str())
        .bind(signed(since.0))
        .bind(signed(version))
        .fetch_all(&self.read)
        .await?;
        let keys = rows.iter().map(|(raw,)| {
            WatchKey::new(raw).ok_or_else(|| StoreError::corrupt("watch", raw.len()))
        });
        Ok((keys.collect::<Result<_>>()?, WatchVersion(version)))
    }

    /// Whether any watch of a network needs memos or references to be read.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn wants_references(&self, network: &NetworkId) -> Result<bool> {
        let row = sqlx::query(
            "SELECT 1 FROM rails
             WHERE network = $1 AND watching = 1 AND matching IN ('reference', 'memo') LIMIT 1",
        )
        .bind(network.as_str())
        .fetch_optional(&self.read)
        .await?;
        Ok(row.is_some())
    }

    /// An asset that watches of a network which came after `since` wait for, and that is not one of
    /// these.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn asset_beyond(
        &self,
        network: &NetworkId,
        known: impl Iterator<Item = &Asset>,
        since: WatchVersion,
    ) -> Result<Option<Asset>> {
        let known: String = known.map(|asset| format!("{asset},")).collect();
        let row: Option<(String,)> = sqlx::query_as(
            "SELECT asset FROM rails WHERE network = $1 AND version > $2 AND watching = 1
                 AND $3 NOT LIKE '%,' || asset || ',%' LIMIT 1",
        )
        .bind(network.as_str())
        .bind(signed(since.0))
        .bind(format!(",{known}"))
        .fetch_optional(&self.read)
        .await?;
        Ok(row.map(|(asset,)| Asset::from(asset.as_str())))
    }

    /// What decoders look up on a network for these intents, given as `account/id`, and for the
    /// addresses of these wallets (`account//id`) whose past is still to be looked through; and so
    /// for what unconfirmed transactions spend (`//outpoints`).
    ///
    /// # Errors
    /// When the database fails.
    pub async fn watches_of(
        &self,
        network: &NetworkId,
        intents: impl Iterator<Item = &str>,
    ) -> Result<Vec<WatchKey>> {
        let mut keys = Vec::new();
        for intent in intents {
            let rows: Vec<(Vec<u8>,)> = sqlx::query_as(
                "SELECT watch FROM rails WHERE network = $1 AND intent = $2
                     UNION ALL SELECT watch FROM wallet_addresses
                     WHERE network = $1 AND wallet = $2 AND version IN
                         (SELECT version FROM backfills WHERE network = $1 AND intent = $2)
                     UNION ALL SELECT watch FROM outpoints
                     WHERE network = $1 AND $2 = $3 AND version IN
                         (SELECT version FROM backfills WHERE network = $1 AND intent = $2)",
            )
            .bind(network.as_str())
            .bind(intent)
            .bind(unconfirmed::OUTPOINTS)
            .fetch_all(&self.read)
            .await?;
            for (raw,) in rows {
                keys.extend(WatchKey::new(&raw));
            }
        }
        Ok(keys)
    }

    /// How many watches a network has.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn watch_count(&self, network: &NetworkId) -> Result<u64> {
        let row = sqlx::query(
            "SELECT COUNT(*) AS n FROM (
                 SELECT address FROM rails WHERE network = $1 AND watching = 1
                 UNION SELECT address FROM wallet_addresses WHERE network = $1) AS watched",
        )
        .bind(network.as_str())
        .fetch_one(&self.read)
        .await?;
        number(&row, "n")
    }

    /// Writes what a follower says of itself.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] when another instance follows the network now.
    pub async fn write_status(
        &self,
        fence: &Fence,
        status: &FollowerStatus,
        now: Timestamp,
    ) -> Result<()> {
        let done = sqlx::query(
            "UPDATE networks SET status = $3, updated_at = $4 WHERE network = $1 AND epoch = $2",
        )
        .bind(fence.network.as_str())
        .bind(fence.epoch)
        .bind(to_json(status)?)
        .bind(now.0)
        .execute(&self.write)
        .await?;
        if done.rows_affected() == 1 { Ok(()) } else { Err(StoreError::Fenced) }
    }
}

impl Transaction {
    /// Moves a network's cursor; the first statement of every step, so that a former follower's
    /// step is refused before it writes anything.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] when another instance follows the network now.
    pub async fn advance(
        &mut self,
        fence: &Fence,
        cursor: &Cursor,
        finalized: Option<Height>,
    ) -> Result<()> {
        let done = sqlx::query(
            "UPDATE networks SET cursor_height = $3, cursor_hash = $4, cursor_time = $5,
                 finalized_height = CASE WHEN COALESCE(finalized_height, -1) < $6
                                         THEN $6 ELSE finalized_height END
             WHERE network = $1 AND epoch = $2",
        )
        .bind(fence.network.as_str())
        .bind(fence.epoch)
        .bind(signed(cursor.height.0))
        .bind(cursor.hash.as_str())
        .bind(cursor.time.0)
        .bind(finalized.map_or(-1, |height| signed(height.0)))
        .execute(&mut *self.inner)
        .await?;
        if done.rows_affected() == 1 { Ok(()) } else { Err(StoreError::Fenced) }
    }

    /// Makes sure that this instance still follows the network, and keeps others from moving it
    /// until the end of the transaction.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] when another instance follows the network now.
    pub async fn hold(&mut self, fence: &Fence) -> Result<()> {
        let done =
            sqlx::query("UPDATE networks SET epoch = epoch WHERE network = $1 AND epoch = $2")
                .bind(fence.network.as_str())
                .bind(fence.epoch)
                .execute(&mut *self.inner)
                .await?;
        if done.rows_affected() == 1 { Ok(()) } else { Err(StoreError::Fenced) }
    }

    /// Keeps every follower from moving a network until the end of the transaction.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn lock_network(&mut self, network: &NetworkId) -> Result<()> {
        sqlx::query(
            "INSERT INTO networks (network) VALUES ($1)
             ON CONFLICT (network) DO UPDATE SET epoch = networks.epoch",
        )
        .bind(network.as_str())
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// Whether a network was ever followed, or an intent could ever be paid there.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn is_known(&mut self, network: &NetworkId) -> Result<bool> {
        let row = sqlx::query(
            "SELECT 1 FROM networks WHERE network = $1 AND cursor_height IS NOT NULL
             UNION ALL SELECT 1 FROM rails WHERE network = $1 LIMIT 1",
        )
        .bind(network.as_str())
        .fetch_optional(&mut *self.inner)
        .await?;
        Ok(row.is_some())
    }

    /// Whether open intents wait for something on a network, or closed ones are still watched for
    /// it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn is_waited_for(&mut self, network: &NetworkId, what: Awaited<'_>) -> Result<bool> {
        let (which, asset) = match what {
            Awaited::Anything => ("$2 = ''", String::new()),
            Awaited::References => ("matching IN ('reference', 'memo') AND $2 = ''", String::new()),
            Awaited::Asset(asset) => ("asset = $2", asset.to_string()),
        };
        let text =
            format!("SELECT 1 FROM rails WHERE network = $1 AND watching = 1 AND {which} LIMIT 1");
        let row = sqlx::query(AssertSqlSafe(text))
            .bind(network.as_str())
            .bind(asset)
            .fetch_optional(&mut *self.inner)
            .await?;
        Ok(row.is_some())
    }

    /// Raises a network's watch version for a new watch, under the row's lock.
    pub(super) async fn raise_watch_version(&mut self, network: &NetworkId) -> Result<i64> {
        let version: (i64,) = sqlx::query_as(
            "INSERT INTO networks (network, watch_version) VALUES ($1, 1)
             ON CONFLICT (network) DO UPDATE SET watch_version = networks.watch_version + 1
             RETURNING watch_version",
        )
        .bind(network.as_str())
        .fetch_one(&mut *self.inner)
        .await?;
        Ok(version.0)
    }

    /// How far each network is followed, as this transaction sees it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn cursors(&mut self) -> Result<BTreeMap<NetworkId, Height>> {
        let rows = sqlx::query(
            "SELECT network, cursor_height FROM networks WHERE cursor_height IS NOT NULL",
        )
        .fetch_all(&mut *self.inner)
        .await?;
        let cursor = |row: &AnyRow| {
            let network: String = column(row, "network")?;
            Ok((network.as_str().into(), Height(number(row, "cursor_height")?)))
        };
        rows.iter().map(cursor).collect()
    }
}
