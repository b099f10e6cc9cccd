//! Deposits: transfers that were given to a wallet.

use std::collections::BTreeSet;

use confirmd_chain::{
    Address, Amount, Asset, BlockHash, Confirmations, Height, Timestamp, TransactionId, TransferId,
};
use sqlx::any::AnyRow;
use sqlx::{Any, AssertSqlSafe};

use super::database::{
    Result, Store, Transaction, column, json, number, optional_number, parsed, signed, to_json,
};
use super::events::NewDelivery;
use super::transfers::Found;
use crate::settlement::{
    Deposit, DepositMemory, DepositStatus, Event, NetworkId, Place, WalletKey,
};

/// A deposit, and where its events go.
#[derive(Clone, Debug)]
pub struct WalletDeposit {
    /// The deposit.
    pub deposit: Deposit,
    /// Its wallet's endpoints.
    pub endpoints: Vec<String>,
}

/// Which deposits are listed. Empty fields match all.
#[derive(Clone, Debug, Default)]
pub struct DepositFilter {
    /// The account; every one where empty.
    pub account: Option<String>,
    /// The wallet's id.
    pub wallet: Option<String>,
    /// The network.
    pub network: Option<NetworkId>,
    /// Where they stand.
    pub status: Option<DepositStatus>,
    /// What the backend calls the address.
    pub external_id: Option<String>,
}

const COLUMNS: &str = "deposits.*, wallets.account, wallets.id AS wallet_id, wallets.endpoints,
    wallet_addresses.idx AS address_index, wallet_addresses.path, wallet_addresses.external_id,
    wallets.public_keys";
const TABLES: &str = "FROM deposits JOIN wallets ON wallets.wallet = deposits.wallet
    JOIN wallet_addresses ON wallet_addresses.network = deposits.network
        AND wallet_addresses.address = deposits.receiver";
/// Five parameters, each empty (NULL) where it does not matter.
const FILTER: &str = "(CAST($1 AS TEXT) IS NULL OR wallets.account = $1)
    AND (CAST($2 AS TEXT) IS NULL OR wallets.id = $2)
    AND (CAST($3 AS TEXT) IS NULL OR deposits.network = $3)
    AND (CAST($4 AS TEXT) IS NULL OR deposits.status = $4)
    AND (CAST($5 AS TEXT) IS NULL OR wallet_addresses.external_id = $5)";

type AnyQuery<'q> = sqlx::query::Query<'q, Any, sqlx::any::AnyArguments>;

fn bind<'q>(query: AnyQuery<'q>, filter: &DepositFilter) -> AnyQuery<'q> {
    query
        .bind(filter.account.clone())
        .bind(filter.wallet.clone())
        .bind(filter.network.as_ref().map(ToString::to_string))
        .bind(filter.status.map(DepositStatus::as_str))
        .bind(filter.external_id.clone())
}

fn deposit(row: &AnyRow) -> Result<WalletDeposit> {
    let place = match optional_number(row, "height")? {
        None => None,
        Some(height) => Some(Place {
            height: Height(height),
            hash: BlockHash::new(column::<String>(row, "block_hash")?),
            time: Timestamp(column(row, "block_time")?),
            position: number(row, "position")?,
        }),
    };
    let sender: Option<String> = column(row, "sender")?;
    let deposit = Deposit {
        wallet: WalletKey { account: column(row, "account")?, id: column(row, "wallet_id")? },
        network: column::<String>(row, "network")?.as_str().into(),
        id: TransferId {
            transaction: TransactionId::new(column::<String>(row, "tx")?),
            index: parsed(row, "idx")?,
        },
        asset: Asset::from(column::<String>(row, "asset")?.as_str()),
        symbol: column(row, "symbol")?,
        decimals: number(row, "decimals")?,
        from: sender.map(Address::from_canonical),
        to: Address::from_canonical(column::<String>(row, "receiver")?),
        address_index: optional_number(row, "address_index")?,
        path: column(row, "path")?,
        external_id: column(row, "external_id")?,
        amount: parsed::<Amount>(row, "amount")?,
        minimum: parsed::<Amount>(row, "minimum")?,
        place,
        credit_time: Timestamp(column(row, "credit_time")?),
        required: Confirmations(number(row, "required")?),
        memory: json::<DepositMemory>(row, "memory")?,
    };
    Ok(WalletDeposit { deposit, endpoints: json(row, "endpoints")? })
}

impl Store {
    /// Deposits, newest first, after the given `(credit_time, id)`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn deposits(
        &self,
        filter: &DepositFilter,
        after: Option<(Timestamp, &str)>,
        limit: u32,
    ) -> Result<Vec<WalletDeposit>> {
        let text = format!(
            "SELECT {COLUMNS} {TABLES} WHERE {FILTER}
                 AND (deposits.credit_time < $6
                     OR (deposits.credit_time = $6 AND deposits.deposit < $7))
             ORDER BY deposits.credit_time DESC, deposits.deposit DESC LIMIT $8"
        );
        let (time, last) = after.unwrap_or((Timestamp(i64::MAX), ""));
        let rows = bind(sqlx::query(AssertSqlSafe(text)), filter)
            .bind(time.0)
            .bind(last)
            .bind(i64::from(limit))
            .fetch_all(&self.read)
            .await?;
        rows.iter().map(deposit).collect()
    }

    /// How many deposits match.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_deposits(&self, filter: &DepositFilter) -> Result<u64> {
        let text = format!("SELECT COUNT(*) AS n {TABLES} WHERE {FILTER}");
        let row = bind(sqlx::query(AssertSqlSafe(text)), filter).fetch_one(&self.read).await?;
        number(&row, "n")
    }

    /// The transfers of a transaction that are deposits of a wallet.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn deposited_in(
        &self,
        network: &NetworkId,
        transaction: &TransactionId,
    ) -> Result<Vec<TransferId>> {
        let rows = sqlx::query("SELECT idx FROM deposits WHERE network = $1 AND tx = $2")
            .bind(network.as_str())
            .bind(transaction.as_str())
            .fetch_all(&self.read)
            .await?;
        let id = |row: &AnyRow| {
            Ok(TransferId { transaction: transaction.clone(), index: parsed(row, "idx")? })
        };
        rows.iter().map(id).collect()
    }
}

impl Transaction {
    /// Puts a transfer that was a deposit before at its place in the chain; answers its id, or
    /// none where it was none, or goes to another address or asset now.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn place_deposit_again(
        &mut self,
        network: &NetworkId,
        found: &Found<'_>,
    ) -> Result<Option<String>> {
        let Found { transfer, header, position, .. } = found;
        let row = sqlx::query(
            "UPDATE deposits SET amount = $6, height = $7, block_hash = $8, block_time = $9,
                 position = $10, sender = $11,
                 credit_time = CASE WHEN credit_time < $9 THEN credit_time ELSE $9 END
             WHERE network = $1 AND tx = $2 AND idx = $3 AND asset = $4 AND receiver = $5
             RETURNING deposit",
        )
        .bind(network.as_str())
        .bind(transfer.id.transaction.as_str())
        .bind(transfer.id.index.to_string())
        .bind(transfer.asset.to_string())
        .bind(transfer.to.as_str())
        .bind(transfer.amount.to_string())
        .bind(signed(header.height.0))
        .bind(header.hash.as_str())
        .bind(header.mined_at.0)
        .bind(i64::from(*position))
        .bind(transfer.from.as_ref().map(Address::as_str))
        .fetch_optional(&mut *self.inner)
        .await?;
        row.map(|row| column(&row, "deposit")).transpose()
    }

    /// Gives a transfer that nobody has to the wallet of its address; answers the deposit's id, or
    /// none where no wallet has the address. `minimum` and `required` say what is asked of it,
    /// the latter given the wallet's own wish.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn place_new_deposit(
        &mut self,
        network: &NetworkId,
        found: &Found<'_>,
        minimum: Amount,
        required: impl FnOnce(Option<Confirmations>) -> Confirmations,
        now: Timestamp,
    ) -> Result<Option<String>> {
        let Found { transfer, header, position, symbol, decimals } = found;
        let row = sqlx::query(
            "SELECT wallets.wallet, wallets.confirmations FROM wallet_addresses
             JOIN wallets ON wallets.wallet = wallet_addresses.wallet
             WHERE wallet_addresses.network = $1 AND wallet_addresses.address = $2",
        )
        .bind(network.as_str())
        .bind(transfer.to.as_str())
        .fetch_optional(&mut *self.inner)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let wish = optional_number(&row, "confirmations")?.map(Confirmations);
        let id = Deposit::id(network, &transfer.id);
        sqlx::query(
            "INSERT INTO deposits (network, tx, idx, deposit, wallet, asset, symbol, decimals,
                 sender, receiver, amount, height, block_hash, block_time, position, credit_time,
                 required, status, memory, minimum)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17,
                 'confirming', $18, $19)
             ON CONFLICT (network, tx, idx) DO UPDATE SET wallet = $5, asset = $6, symbol = $7,
                 decimals = $8, sender = $9, receiver = $10, amount = $11, height = $12,
                 block_hash = $13, block_time = $14, position = $15, required = $17, minimum = $19",
        )
        .bind(network.as_str())
        .bind(transfer.id.transaction.as_str())
        .bind(transfer.id.index.to_string())
        .bind(&id)
        .bind(column::<String>(&row, "wallet")?)
        .bind(transfer.asset.to_string())
        .bind(*symbol)
        .bind(i64::from(*decimals))
        .bind(transfer.from.as_ref().map(Address::as_str))
        .bind(transfer.to.as_str())
        .bind(transfer.amount.to_string())
        .bind(signed(header.height.0))
        .bind(header.hash.as_str())
        .bind(header.mined_at.0)
        .bind(i64::from(*position))
        .bind(header.mined_at.0.min(now.0))
        .bind(i64::from(required(wish).0))
        .bind(to_json(&DepositMemory::default())?)
        .bind(minimum.to_string())
        .execute(&mut *self.inner)
        .await?;
        Ok(Some(id))
    }

    /// Whether a transfer is a deposit that stands on the chain.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn is_deposited(&mut self, network: &NetworkId, id: &TransferId) -> Result<bool> {
        let row = sqlx::query(
            "SELECT 1 FROM deposits
             WHERE network = $1 AND tx = $2 AND idx = $3 AND height IS NOT NULL",
        )
        .bind(network.as_str())
        .bind(id.transaction.as_str())
        .bind(id.index.to_string())
        .fetch_optional(&mut *self.inner)
        .await?;
        Ok(row.is_some())
    }

    /// Takes the deposits above a height off the chain: the undo of placing them. Answers them.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn displace_deposits_above(
        &mut self,
        network: &NetworkId,
        height: Height,
    ) -> Result<BTreeSet<String>> {
        self.ids_at(
            "UPDATE deposits SET height = NULL, block_hash = NULL, block_time = NULL,
                 position = NULL, wake_height = NULL
             WHERE network = $1 AND height > $2 RETURNING deposit",
            network,
            height,
        )
        .await
    }

    /// The deposits that become deep enough at or below this cursor.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn woken_deposits(
        &mut self,
        network: &NetworkId,
        cursor: Height,
    ) -> Result<BTreeSet<String>> {
        self.ids_at(
            "SELECT deposit FROM deposits
             WHERE network = $1 AND wake_height IS NOT NULL AND wake_height <= $2",
            network,
            cursor,
        )
        .await
    }

    /// The deposits that stand at or below a height and were confirmed by a block above it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn matured_deposits_above(
        &mut self,
        network: &NetworkId,
        height: Height,
    ) -> Result<BTreeSet<String>> {
        self.ids_at(
            "SELECT deposit FROM deposits
             WHERE network = $1 AND height IS NOT NULL AND height <= $2 AND height > $2 - required",
            network,
            height,
        )
        .await
    }

    /// Reads a deposit afresh. Its network's row, which the caller holds, locks it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn deposit(&mut self, id: &str) -> Result<Option<WalletDeposit>> {
        let text = format!("SELECT {COLUMNS} {TABLES} WHERE deposits.deposit = $1");
        let row =
            sqlx::query(AssertSqlSafe(text)).bind(id).fetch_optional(&mut *self.inner).await?;
        row.as_ref().map(deposit).transpose()
    }

    /// Writes what became of a deposit, and its events.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn record_deposit(
        &mut self,
        deposit: &Deposit,
        cursor: Height,
        events: &[(Event, Vec<NewDelivery>)],
        now: Timestamp,
    ) -> Result<()> {
        sqlx::query(
            "UPDATE deposits SET status = $2, memory = $3, wake_height = $4 WHERE deposit = $1",
        )
        .bind(Deposit::id(&deposit.network, &deposit.id))
        .bind(deposit.status().as_str())
        .bind(to_json(&deposit.memory)?)
        .bind(deposit.wake_height(cursor).map(|height| signed(height.0)))
        .execute(&mut *self.inner)
        .await?;
        for (event, deliveries) in events {
            self.record_event(event, deliveries, now).await?;
        }
        Ok(())
    }
}
