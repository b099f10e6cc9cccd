//! Transfers that hit a watch, each with its one allocation.

use std::collections::BTreeSet;

use confirmd_chain::{
    Address, Amount, Asset, BlockHash, Confirmations, Header, Height, Timestamp, TransactionId,
    Transfer, TransferId,
};
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use super::database::{
    Result, Store, StoreError, Transaction, column, json, number, optional_number, parsed, signed,
    to_json,
};
use super::matching::{AMBIGUOUS, Owner};
use super::unconfirmed;
use crate::settlement::{
    Credit, NetworkId, OrphanReason, OrphanState, OrphanView, Place, Resolution, Role,
};

/// `pays:0`, `orphan:late`, `seen:0`, `gone`.
fn role_text(role: Role) -> String {
    match role {
        Role::Pays(rail) => format!("pays:{rail}"),
        Role::Orphan(reason) => format!("orphan:{}", reason.as_str()),
        Role::Seen(rail) => format!("seen:{rail}"),
        Role::Gone => "gone".to_owned(),
    }
}

fn read_role(text: &str) -> Result<Role> {
    let error = || StoreError::corrupt("role", text);
    match text.split_once(':') {
        None if text == "gone" => Ok(Role::Gone),
        Some(("pays", rail)) => rail.parse().map(Role::Pays).map_err(|_| error()),
        Some(("seen", rail)) => rail.parse().map(Role::Seen).map_err(|_| error()),
        Some(("orphan", reason)) => {
            OrphanReason::from_name(reason).map(Role::Orphan).ok_or_else(error)
        }
        _ => Err(error()),
    }
}

pub(super) fn credit(row: &AnyRow) -> Result<Credit> {
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
    Ok(Credit {
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
        amount: parsed::<Amount>(row, "amount")?,
        references: json(row, "carried")?,
        is_ambiguous: column::<String>(row, "allocation")? == AMBIGUOUS,
        maturity: Confirmations(number(row, "maturity")?),
        place,
        sighting: unconfirmed::sighting(row)?,
        credit_time: Timestamp(column(row, "credit_time")?),
        role: read_role(&column::<String>(row, "role")?)?,
        confirmed_at: column::<Option<i64>>(row, "confirmed_at")?.map(Timestamp),
        orphan: json(row, "orphan")?,
        resolution: resolution(row)?,
    })
}

fn resolution(row: &AnyRow) -> Result<Option<Resolution>> {
    let is_made = column::<Option<String>>(row, "resolution")?.is_some();
    is_made.then(|| json(row, "resolution")).transpose()
}

pub(super) async fn of_intent(connection: &mut AnyConnection, key: &str) -> Result<Vec<Credit>> {
    let rows = sqlx::query("SELECT * FROM transfers WHERE intent = $1 ORDER BY network, tx, idx")
        .bind(key)
        .fetch_all(connection)
        .await?;
    rows.iter().map(credit).collect()
}

/// What the store has of a transfer that was seen before.
struct Known {
    owner: Owner,
    asset: String,
    receiver: String,
    amount: String,
    references: Vec<String>,
    credit_time: Timestamp,
    stands: bool,
    /// How far the network was followed when it was reported as an orphan.
    reported_at: Option<Height>,
    /// Whether an admin decided whose it is, or that it is nobody's.
    is_resolved: bool,
}

impl Known {
    fn read(row: &AnyRow) -> Result<Self> {
        let orphan: OrphanState = json(row, "orphan")?;
        Ok(Self {
            owner: Owner::read(row)?,
            asset: column(row, "asset")?,
            receiver: column(row, "receiver")?,
            amount: column(row, "amount")?,
            references: json(row, "carried")?,
            credit_time: Timestamp(column(row, "credit_time")?),
            stands: optional_number::<u64>(row, "height")?.is_some(),
            reported_at: orphan.reported.map(|told| told.height),
            is_resolved: resolution(row)?.is_some(),
        })
    }

    fn goes_to_the_same(&self, transfer: &Transfer) -> bool {
        self.asset == transfer.asset.to_string() && self.receiver == transfer.to.as_str()
    }

    fn is_the_same(&self, transfer: &Transfer) -> bool {
        self.amount == transfer.amount.to_string() && self.references == transfer.references
    }
}

/// A transfer as a block shows it, with what the registry says of its asset.
#[derive(Clone, Debug)]
pub struct Found<'a> {
    /// The transfer.
    pub transfer: &'a Transfer,
    /// Its block.
    pub header: &'a Header,
    /// Its order among the block's transfers that hit a watch.
    pub position: u32,
    /// The asset's symbol.
    pub symbol: &'a str,
    /// The asset's digits behind the point.
    pub decimals: u8,
}

impl Store {
    /// What is known of a transaction: its transfers, each with the `account/id` of the intent that
    /// it was given to.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn transfers_in(&self, transaction: &str) -> Result<Vec<(String, Credit)>> {
        let rows = sqlx::query("SELECT * FROM transfers WHERE tx = $1 ORDER BY network, idx")
            .bind(transaction)
            .fetch_all(&self.read)
            .await?;
        rows.iter().map(|row| Ok((column(row, "intent")?, credit(row)?))).collect()
    }
}

impl Transaction {
    /// Puts a transfer at its place in the chain. One that was seen before keeps its allocation,
    /// unless it now is another payment (I2), or a rail turns up for one that had none. Answers
    /// the intents that it touches; none when nobody owns the address any more.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn place_transfer(
        &mut self,
        network: &NetworkId,
        found: &Found<'_>,
        now: Timestamp,
    ) -> Result<BTreeSet<String>> {
        let transfer = found.transfer;
        let credit_time = found.header.mined_at.min(now);
        let mut touched = BTreeSet::new();
        let known = self.known(network, &transfer.id).await?;
        let owner = match &known {
            None => self.owner(network, transfer, credit_time).await?,
            Some(known) => {
                touched.insert(known.owner.intent.clone());
                self.owner_of_known(network, transfer, known).await?
            }
        };
        if let Some(owner) = owner {
            self.write_transfer(network, found, &owner, credit_time).await?;
            touched.insert(owner.intent);
        }
        Ok(touched)
    }

    /// Who is to have a transfer that somebody had before.
    async fn owner_of_known(
        &mut self,
        network: &NetworkId,
        transfer: &Transfer,
        known: &Known,
    ) -> Result<Option<Owner>> {
        if !known.goes_to_the_same(transfer) {
            return self.owner(network, transfer, known.credit_time).await;
        }
        if known.is_resolved && known.is_the_same(transfer) {
            return Ok(Some(known.owner.clone()));
        }
        if !known.owner.is_matched() {
            let claimed = self.claim(network, transfer, known).await?;
            return Ok(Some(claimed.unwrap_or_else(|| known.owner.clone())));
        }
        let intent = &known.owner.intent;
        if known.is_the_same(transfer) || self.still_matches(network, transfer, intent).await? {
            return Ok(Some(known.owner.clone()));
        }
        self.owner(network, transfer, known.credit_time).await
    }

    /// A rail for a transfer that had none: an intent may be made after its payment came to an
    /// address that others share (I13). What was reported as an orphan before anybody looked for
    /// it may have been sent back by now; only a reference says beyond doubt whose it is.
    async fn claim(
        &mut self,
        network: &NetworkId,
        transfer: &Transfer,
        known: &Known,
    ) -> Result<Option<Owner>> {
        let matched = self.matched(network, transfer, known.credit_time).await?;
        let Some(owner) = matched else { return Ok(None) };
        let is_free = match known.reported_at {
            Some(reported) if !owner.is_by_reference() => {
                let since = self.backfilled_to(network, &owner.intent).await?;
                since.is_some_and(|since| reported > since)
            }
            _ => true,
        };
        Ok(is_free.then_some(owner))
    }

    /// Whether a backfill has to place a transfer: it is not known, not on the chain, or has found
    /// a rail only now.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn is_unplaced(&mut self, network: &NetworkId, transfer: &Transfer) -> Result<bool> {
        match self.known(network, &transfer.id).await? {
            Some(known) if known.stands && (known.owner.is_matched() || known.is_resolved) => {
                Ok(false)
            }
            Some(known) if known.stands => {
                Ok(self.claim(network, transfer, &known).await?.is_some())
            }
            _ => Ok(true),
        }
    }

    async fn known(&mut self, network: &NetworkId, id: &TransferId) -> Result<Option<Known>> {
        let row =
            sqlx::query("SELECT * FROM transfers WHERE network = $1 AND tx = $2 AND idx = $3")
                .bind(network.as_str())
                .bind(id.transaction.as_str())
                .bind(id.index.to_string())
                .fetch_optional(&mut *self.inner)
                .await?;
        row.as_ref().map(Known::read).transpose()
    }

    async fn write_transfer(
        &mut self,
        network: &NetworkId,
        found: &Found<'_>,
        owner: &Owner,
        credit_time: Timestamp,
    ) -> Result<()> {
        let Found { transfer, header, position, symbol, decimals } = found;
        let (tx, index) = (transfer.id.transaction.as_str(), transfer.id.index.to_string());
        sqlx::query(
            "INSERT INTO transfers (network, tx, idx, intent, asset, symbol, decimals, sender,
                 receiver, amount, height, block_hash, block_time, position, credit_time, role,
                 orphan, orphan_id, wake_height, carried, allocation, maturity)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, 'gone',
                 $16, $17, NULL, $18, $19, $20)
             ON CONFLICT (network, tx, idx) DO UPDATE SET
                 intent = $4, asset = $5, symbol = $6, decimals = $7, sender = $8, receiver = $9,
                 amount = $10, carried = $18, allocation = $19, maturity = $20,
                 resolution = CASE WHEN transfers.asset = $5 AND transfers.receiver = $9
                         AND transfers.amount = $10 AND transfers.carried = $18
                     THEN transfers.resolution END,
                 height = $11, block_hash = $12, block_time = $13, position = $14,
                 replaced_by = NULL, replaced_height = NULL,
                 credit_time = CASE WHEN transfers.credit_time < $15
                                    THEN transfers.credit_time ELSE $15 END",
        )
        .bind(network.as_str())
        .bind(tx)
        .bind(&index)
        .bind(&owner.intent)
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
        .bind(credit_time.0)
        .bind(to_json(&OrphanState::default())?)
        .bind(OrphanView::id(network, tx, &index))
        .bind(to_json(&transfer.references)?)
        .bind(owner.allocation)
        .bind(i64::from(transfer.maturity.0))
        .execute(&mut *self.inner)
        .await?;
        self.tally.transfers.push((network.clone(), "placed", 1));
        Ok(())
    }

    /// Takes the transfers above a height off the chain: the undo of [`Self::place_transfer`].
    /// Their allocation stays. Answers the intents that they belong to.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn displace_transfers_above(
        &mut self,
        network: &NetworkId,
        height: Height,
    ) -> Result<BTreeSet<String>> {
        let rows: Vec<(String,)> = sqlx::query_as(
            "UPDATE transfers SET height = NULL, block_hash = NULL, block_time = NULL,
                 position = NULL, wake_height = NULL
             WHERE network = $1 AND height > $2 RETURNING intent",
        )
        .bind(network.as_str())
        .bind(signed(height.0))
        .fetch_all(&mut *self.inner)
        .await?;
        self.tally.transfers.push((network.clone(), "displaced", rows.len() as u64));
        Ok(rows.into_iter().map(|(intent,)| intent).collect())
    }

    /// The intents that have a transfer which becomes deep enough at or below this cursor.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn woken_intents(
        &mut self,
        network: &NetworkId,
        cursor: Height,
    ) -> Result<BTreeSet<String>> {
        self.ids_at(
            "SELECT DISTINCT intent FROM transfers
             WHERE network = $1 AND wake_height IS NOT NULL AND wake_height <= $2",
            network,
            cursor,
        )
        .await
    }

    /// The intents that were confirmed, or have an orphan reported, by a block above this height:
    /// a rollback may reach them though their transfers stand below it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn matured_intents_above(
        &mut self,
        network: &NetworkId,
        height: Height,
    ) -> Result<BTreeSet<String>> {
        self.ids_at(
            "SELECT DISTINCT transfers.intent FROM transfers
             JOIN rails ON rails.intent = transfers.intent AND rails.network = transfers.network
             WHERE transfers.network = $1 AND transfers.height IS NOT NULL
                 AND transfers.height <= $2
                 AND (transfers.height + rails.required > $2
                     OR transfers.height + transfers.maturity > $2)",
            network,
            height,
        )
        .await
    }

    /// Writes what a transfer is to its intent now, and when to look again.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn save_credit(&mut self, credit: &Credit, wake: Option<Height>) -> Result<()> {
        sqlx::query(
            "UPDATE transfers SET role = $4, orphan = $5, wake_height = $6, resolution = $7,
                 confirmed_at = $8, credit_time = $9
             WHERE network = $1 AND tx = $2 AND idx = $3",
        )
        .bind(credit.network.as_str())
        .bind(credit.id.transaction.as_str())
        .bind(credit.id.index.to_string())
        .bind(role_text(credit.role))
        .bind(to_json(&credit.orphan)?)
        .bind(wake.map(|height| signed(height.0)))
        .bind(credit.resolution.as_ref().map(to_json).transpose()?)
        .bind(credit.confirmed_at.map(|at| at.0))
        .bind(credit.credit_time.0)
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }
}
