//! Wallets and their addresses: handed out, or watched ahead of that.

use confirmd_chain::{Address, Confirmations, Timestamp, WatchKey};
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use super::database::{Result, Store, Transaction, column, json, number, optional_number, to_json};
use crate::settlement::{NetworkId, WalletKey};

/// A registered wallet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wallet {
    /// Whose, and which.
    pub key: WalletKey,
    /// Its network.
    pub network: NetworkId,
    /// SHA-256 of the normalised request that made it, in hex.
    pub request_hash: String,
    /// What its addresses are derived from; none for an imported list.
    pub public_keys: Option<String>,
    /// Where its deposits are reported.
    pub endpoints: Vec<String>,
    /// The confirmations that its deposits need; else the asset's or network's threshold.
    pub confirmations: Option<Confirmations>,
    /// How many addresses in a row may be handed out without one of them being paid.
    pub gap_limit: u32,
    /// The first index that was neither handed out nor paid, nor stands below such a one.
    pub next_index: u32,
    /// The first index behind the last that was paid.
    pub used_end: u32,
    /// The first index that is not watched yet.
    pub derived_end: u32,
    /// When it was registered.
    pub created_at: Timestamp,
}

/// One of a wallet's addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalletAddress {
    /// The address.
    pub address: Address,
    /// Its derivation index, or its place in the list.
    pub index: u32,
    /// How its key is derived, where that is known.
    pub path: Option<String>,
    /// What the backend calls it.
    pub external_id: Option<String>,
    /// When it was handed out.
    pub handed_at: Timestamp,
}

/// An address to be watched.
#[derive(Clone, Debug)]
pub struct NewAddress {
    /// The address.
    pub address: Address,
    /// Its derivation index, or its place in the list.
    pub index: u32,
    /// How its key is derived.
    pub path: Option<String>,
    /// What decoders look up.
    pub watch: WatchKey,
}

/// Which address is handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The next that was neither handed out nor paid.
    Next,
    /// The one of this index.
    Index(u32),
}

fn wallet(row: &AnyRow) -> Result<Wallet> {
    Ok(Wallet {
        key: WalletKey { account: column(row, "account")?, id: column(row, "id")? },
        network: column::<String>(row, "network")?.as_str().into(),
        request_hash: column(row, "request_hash")?,
        public_keys: column(row, "public_keys")?,
        endpoints: json(row, "endpoints")?,
        confirmations: optional_number(row, "confirmations")?.map(Confirmations),
        gap_limit: number(row, "gap_limit")?,
        next_index: number(row, "next_index")?,
        used_end: number(row, "used_end")?,
        derived_end: number(row, "derived_end")?,
        created_at: Timestamp(column(row, "created_at")?),
    })
}

fn address(row: &AnyRow) -> Result<WalletAddress> {
    Ok(WalletAddress {
        address: Address::from_canonical(column::<String>(row, "address")?),
        index: number(row, "idx")?,
        path: column(row, "path")?,
        external_id: column(row, "external_id")?,
        handed_at: Timestamp(column(row, "handed_at")?),
    })
}

async fn load(
    connection: &mut AnyConnection,
    key: &WalletKey,
    lock: &str,
) -> Result<Option<Wallet>> {
    let text = format!("SELECT * FROM wallets WHERE wallet = $1{lock}");
    let row = sqlx::query(sqlx::AssertSqlSafe(text))
        .bind(key.to_string())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(wallet).transpose()
}

impl Store {
    /// A wallet.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn wallet(&self, key: &WalletKey) -> Result<Option<Wallet>> {
        let mut connection = self.snapshot().await?;
        load(&mut connection, key, "").await
    }

    /// Wallets, newest first, after the given `(created_at, key)`; every account's where none is
    /// named.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn wallets(
        &self,
        account: Option<&str>,
        after: Option<(Timestamp, &str)>,
        limit: u32,
    ) -> Result<Vec<Wallet>> {
        let (time, last) = after.unwrap_or((Timestamp(i64::MAX), ""));
        let rows = sqlx::query(
            "SELECT * FROM wallets
             WHERE (CAST($1 AS TEXT) IS NULL OR account = $1)
                 AND (created_at < $2 OR (created_at = $2 AND wallet < $3))
             ORDER BY created_at DESC, wallet DESC LIMIT $4",
        )
        .bind(account)
        .bind(time.0)
        .bind(last)
        .bind(i64::from(limit))
        .fetch_all(&self.read)
        .await?;
        rows.iter().map(wallet).collect()
    }

    /// How many wallets an account has; all where none is named.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_wallets(&self, account: Option<&str>) -> Result<u64> {
        let row = sqlx::query(
            "SELECT COUNT(*) AS n FROM wallets WHERE CAST($1 AS TEXT) IS NULL OR account = $1",
        )
        .bind(account)
        .fetch_one(&self.read)
        .await?;
        number(&row, "n")
    }

    /// How many of an imported list's addresses were neither handed out nor paid.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn free_addresses(&self, key: &WalletKey) -> Result<u64> {
        let row = sqlx::query(
            "SELECT COUNT(*) AS n FROM wallet_addresses
             WHERE wallet = $1 AND handed_at IS NULL AND used_at IS NULL",
        )
        .bind(key.to_string())
        .fetch_one(&self.read)
        .await?;
        number(&row, "n")
    }

    /// The imported lists with fewer free addresses than `few`, and how many they have.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn low_lists(&self, few: u64) -> Result<Vec<(WalletKey, u64)>> {
        let rows = sqlx::query(
            "SELECT wallets.account, wallets.id,
                 (SELECT COUNT(*) FROM wallet_addresses AS free
                  WHERE free.wallet = wallets.wallet
                      AND free.handed_at IS NULL AND free.used_at IS NULL) AS n
             FROM wallets WHERE public_keys IS NULL ORDER BY wallets.wallet",
        )
        .fetch_all(&self.read)
        .await?;
        let mut low = Vec::new();
        for row in &rows {
            let left: u64 = number(row, "n")?;
            if left < few {
                low.push((
                    WalletKey { account: column(row, "account")?, id: column(row, "id")? },
                    left,
                ));
            }
        }
        Ok(low)
    }

    /// The addresses that were handed out, highest index first, below the given one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn handed_out(
        &self,
        key: &WalletKey,
        below: Option<i64>,
        limit: u32,
    ) -> Result<Vec<WalletAddress>> {
        let rows = sqlx::query(
            "SELECT * FROM wallet_addresses
             WHERE wallet = $1 AND handed_at IS NOT NULL AND idx < $2
             ORDER BY idx DESC LIMIT $3",
        )
        .bind(key.to_string())
        .bind(below.unwrap_or(i64::MAX))
        .bind(i64::from(limit))
        .fetch_all(&self.read)
        .await?;
        rows.iter().map(address).collect()
    }

    /// How many addresses were handed out.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_handed_out(&self, key: &WalletKey) -> Result<u64> {
        let row = sqlx::query(
            "SELECT COUNT(*) AS n FROM wallet_addresses
             WHERE wallet = $1 AND handed_at IS NOT NULL",
        )
        .bind(key.to_string())
        .fetch_one(&self.read)
        .await?;
        number(&row, "n")
    }

    /// Wallets with public keys of which fewer than `ahead` addresses are watched beyond the next.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn wallets_to_extend(&self, ahead: u32, limit: u32) -> Result<Vec<WalletKey>> {
        let rows = sqlx::query(
            "SELECT account, id FROM wallets
             WHERE public_keys IS NOT NULL AND derived_end < next_index + $1
             ORDER BY wallet LIMIT $2",
        )
        .bind(i64::from(ahead))
        .bind(i64::from(limit))
        .fetch_all(&self.read)
        .await?;
        let key = |row: &AnyRow| {
            Ok(WalletKey { account: column(row, "account")?, id: column(row, "id")? })
        };
        rows.iter().map(key).collect()
    }
}

impl Transaction {
    /// Registers a wallet without addresses; false where the account has one of this id.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn create_wallet(&mut self, new: &Wallet) -> Result<bool> {
        let done = sqlx::query(
            "INSERT INTO wallets (wallet, account, id, network, request_hash, public_keys,
                 endpoints, confirmations, gap_limit, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING",
        )
        .bind(new.key.to_string())
        .bind(&new.key.account)
        .bind(&new.key.id)
        .bind(new.network.as_str())
        .bind(&new.request_hash)
        .bind(new.public_keys.as_deref())
        .bind(to_json(&new.endpoints)?)
        .bind(new.confirmations.map(|wish| i64::from(wish.0)))
        .bind(i64::from(new.gap_limit))
        .bind(new.created_at.0)
        .execute(&mut *self.inner)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Reads a wallet afresh and locks it until the end of the transaction.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn lock_wallet(&mut self, key: &WalletKey) -> Result<Option<Wallet>> {
        let lock = self.for_update();
        load(&mut self.inner, key, lock).await
    }

    /// Watches addresses of a wallet from now on, and back to a time by a backfill (I13). The
    /// network is to be held before the wallet is locked, as a follower does. Answers the places of
    /// those that are another wallet's, and stay so.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn watch_addresses(
        &mut self,
        key: &WalletKey,
        network: &NetworkId,
        addresses: &[NewAddress],
        look_back_from: Timestamp,
    ) -> Result<Vec<usize>> {
        let mut in_use = Vec::new();
        let Some(end) = addresses.iter().map(|new| new.index + 1).max() else {
            return Ok(in_use);
        };
        let version = self.raise_watch_version(network).await?;
        for (place, new) in addresses.iter().enumerate() {
            let done = sqlx::query(
                "INSERT INTO wallet_addresses (network, address, wallet, idx, path, watch, version)
                 VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
            )
            .bind(network.as_str())
            .bind(new.address.as_str())
            .bind(key.to_string())
            .bind(i64::from(new.index))
            .bind(new.path.as_deref())
            .bind(new.watch.as_bytes().to_vec())
            .bind(version)
            .execute(&mut *self.inner)
            .await?;
            if done.rows_affected() == 0 {
                in_use.push(place);
            }
        }
        sqlx::query("UPDATE wallets SET derived_end = $2 WHERE wallet = $1 AND derived_end < $2")
            .bind(key.to_string())
            .bind(i64::from(end))
            .execute(&mut *self.inner)
            .await?;
        let id = format!("bkf_{}", ulid::Ulid::new());
        self.insert_backfill(&id, network, &key.to_string(), version, look_back_from).await?;
        Ok(in_use)
    }

    /// Whether a wallet has an address, handed out or not.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn has_address(&mut self, key: &WalletKey, address: &Address) -> Result<bool> {
        let row = sqlx::query("SELECT 1 FROM wallet_addresses WHERE wallet = $1 AND address = $2")
            .bind(key.to_string())
            .bind(address.as_str())
            .fetch_optional(&mut *self.inner)
            .await?;
        Ok(row.is_some())
    }

    /// The address that the backend calls by this name, where it was handed out as such.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn address_called(
        &mut self,
        key: &WalletKey,
        external_id: &str,
    ) -> Result<Option<WalletAddress>> {
        let row = sqlx::query(
            "SELECT * FROM wallet_addresses
             WHERE wallet = $1 AND external_id = $2 AND handed_at IS NOT NULL",
        )
        .bind(key.to_string())
        .bind(external_id)
        .fetch_optional(&mut *self.inner)
        .await?;
        row.as_ref().map(address).transpose()
    }

    /// Hands out an address that is watched; none where there is no such, or, of an index that was
    /// asked for, where it goes by another name already. One that was handed out before without a
    /// name keeps its time. The wallet is locked.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn hand_out(
        &mut self,
        wallet: &Wallet,
        which: Which,
        external_id: Option<&str>,
        now: Timestamp,
    ) -> Result<Option<WalletAddress>> {
        let choice = match which {
            Which::Next => {
                "idx = (SELECT MIN(idx) FROM wallet_addresses
                     WHERE wallet = $1 AND handed_at IS NULL AND used_at IS NULL AND idx >= $2)"
            }
            Which::Index(_) => {
                "idx = $2 AND (external_id IS NULL OR CAST($4 AS TEXT) IS NULL
                     OR external_id = $4)"
            }
        };
        let index = match which {
            Which::Next if wallet.public_keys.is_some() => wallet.next_index,
            Which::Next => 0,
            Which::Index(index) => index,
        };
        let text = format!(
            "UPDATE wallet_addresses SET handed_at = COALESCE(handed_at, $3),
                 external_id = COALESCE(CAST($4 AS TEXT), external_id)
             WHERE wallet = $1 AND {choice} RETURNING *"
        );
        let row = sqlx::query(sqlx::AssertSqlSafe(text))
            .bind(wallet.key.to_string())
            .bind(i64::from(index))
            .bind(now.0)
            .bind(external_id)
            .fetch_optional(&mut *self.inner)
            .await?;
        let handed = row.as_ref().map(address).transpose()?;
        if let Some(handed) = &handed {
            sqlx::query("UPDATE wallets SET next_index = $2 WHERE wallet = $1 AND next_index < $2")
                .bind(wallet.key.to_string())
                .bind(i64::from(handed.index) + 1)
                .execute(&mut *self.inner)
                .await?;
        }
        Ok(handed)
    }

    /// Notes that an address was paid, where it is a wallet's: it is not handed out any more, nor
    /// is one below it, which somebody else may have handed out.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn address_paid(
        &mut self,
        network: &NetworkId,
        address: &Address,
        now: Timestamp,
    ) -> Result<()> {
        let row = sqlx::query(
            "UPDATE wallet_addresses SET used_at = $3
             WHERE network = $1 AND address = $2 AND used_at IS NULL RETURNING wallet, idx",
        )
        .bind(network.as_str())
        .bind(address.as_str())
        .bind(now.0)
        .fetch_optional(&mut *self.inner)
        .await?;
        let Some(row) = row else { return Ok(()) };
        let end = number::<u32>(&row, "idx")?.saturating_add(1);
        sqlx::query(
            "UPDATE wallets SET used_end = CASE WHEN used_end < $2 THEN $2 ELSE used_end END,
                 next_index = CASE WHEN next_index < $2 THEN $2 ELSE next_index END
             WHERE wallet = $1",
        )
        .bind(column::<String>(&row, "wallet")?)
        .bind(i64::from(end))
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// Whether a wallet watches for this key on a network.
    pub(super) async fn is_watched_by_wallet(
        &mut self,
        network: &NetworkId,
        watch: &[u8],
    ) -> Result<bool> {
        let row =
            sqlx::query("SELECT 1 FROM wallet_addresses WHERE network = $1 AND watch = $2 LIMIT 1")
                .bind(network.as_str())
                .bind(watch.to_vec())
                .fetch_optional(&mut *self.inner)
                .await?;
        Ok(row.is_some())
    }
}
