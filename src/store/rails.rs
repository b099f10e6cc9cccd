//! Rails: what intents wait for, and what decoders look up for them.

use std::collections::{BTreeMap, BTreeSet};

use confirmd_chain::{Address, Amount, Asset, Confirmations, Height, Timestamp, WatchKey};
use sqlx::any::AnyRow;

use super::database::{
    Result, StoreError, Transaction, column, number, optional_number, parsed, signed,
};
use crate::settlement::{AmountPolicy, Matching, NetworkId, Rail, ReferenceKind};

const REFERENCE: &str = "reference:";

/// What a transfer that carries this reference has.
pub(super) fn by_reference(carried: &str) -> String {
    format!("{REFERENCE}{carried}")
}

/// What a transfer of this amount has.
pub(super) fn by_amount(amount: Amount) -> String {
    format!("amount:{amount}")
}

/// What a payment must have to be this rail's.
fn discriminator(rail: &Rail) -> String {
    match &rail.matching {
        Matching::Address => String::new(),
        Matching::Reference { carried, .. } => by_reference(carried),
        Matching::ExactAmount => by_amount(rail.amount),
    }
}

const fn matching_text(matching: &Matching) -> &'static str {
    match matching {
        Matching::Address => "address",
        Matching::Reference { kind: ReferenceKind::Reference, .. } => "reference",
        Matching::Reference { kind: ReferenceKind::Memo, .. } => "memo",
        Matching::ExactAmount => "exact_amount",
    }
}

fn read_matching(row: &AnyRow) -> Result<Matching> {
    let text: String = column(row, "matching")?;
    match text.as_str() {
        "address" => Ok(Matching::Address),
        "exact_amount" => Ok(Matching::ExactAmount),
        "reference" | "memo" => {
            let kind = match text.as_str() {
                "memo" => ReferenceKind::Memo,
                _ => ReferenceKind::Reference,
            };
            let shown: String = column(row, "discriminator")?;
            let carried = shown.strip_prefix(REFERENCE);
            let carried = carried.ok_or_else(|| StoreError::corrupt("discriminator", &shown))?;
            let (given, carried) = (column(row, "reference")?, carried.to_owned());
            Ok(Matching::Reference { kind, given, carried })
        }
        _ => Err(StoreError::corrupt("matching", text)),
    }
}

pub(super) fn rail(row: &AnyRow) -> Result<Rail> {
    let replaced_at: Option<i64> = column(row, "replaced_at")?;
    Ok(Rail {
        rail_id: column(row, "rail_id")?,
        network: column::<String>(row, "network")?.as_str().into(),
        caip2: column(row, "caip2")?,
        chain_id: optional_number(row, "chain_id")?,
        asset: Asset::from(column::<String>(row, "asset")?.as_str()),
        caip19: column(row, "caip19")?,
        symbol: column(row, "symbol")?,
        decimals: number(row, "decimals")?,
        amount: parsed::<Amount>(row, "amount")?,
        address: Address::from_canonical(column::<String>(row, "address")?),
        token_account: column::<Option<String>>(row, "token_account")?.map(Address::from_canonical),
        payment_uri: column(row, "payment_uri")?,
        matching: read_matching(row)?,
        policy: match column::<String>(row, "policy")?.as_str() {
            "exact" => AmountPolicy::Exact,
            _ => AmountPolicy::AtLeast,
        },
        required: Confirmations(number(row, "required")?),
        replaced_at: replaced_at.map(Timestamp),
    })
}

impl Transaction {
    /// Raises the watch versions of these rails' networks, and holds the networks until the end
    /// of the transaction: no two transactions that take addresses of one network run at once.
    /// Networks are held before intents are locked, as a follower does.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn raise_watch_versions(
        &mut self,
        rails: impl Iterator<Item = &Rail>,
    ) -> Result<BTreeMap<NetworkId, i64>> {
        let networks: BTreeSet<_> = rails.map(|rail| rail.network.clone()).collect();
        // In the order of their ids, as every transaction that locks several of them.
        let mut versions = BTreeMap::new();
        for network in networks {
            let version = self.raise_watch_version(&network).await?;
            versions.insert(network, version);
        }
        Ok(versions)
    }

    /// Leaves a backfill on each of these networks.
    pub(super) async fn look_back(
        &mut self,
        key: &str,
        versions: &BTreeMap<NetworkId, i64>,
        from: Timestamp,
    ) -> Result<()> {
        for (network, version) in versions {
            let id = format!("bkf_{}", ulid::Ulid::new());
            self.insert_backfill(&id, network, key, *version, from).await?;
        }
        Ok(())
    }

    /// Whether the rail could be taken: no other open intent waits for the same, nor tells its
    /// payments at this address apart in another way, and the address is no other account's
    /// wallet's. The caller holds the network.
    pub(super) async fn insert_rail(
        &mut self,
        key: &str,
        position: usize,
        rail: &Rail,
        watch: &WatchKey,
        version: i64,
    ) -> Result<bool> {
        if self.is_otherwise_in_use(rail).await? || self.is_anothers(key, rail).await? {
            return Ok(false);
        }
        let reference = match &rail.matching {
            Matching::Reference { given, .. } => Some(given.as_str()),
            Matching::Address | Matching::ExactAmount => None,
        };
        let done = sqlx::query(
            "INSERT INTO rails (intent, position, rail_id, network, caip2, chain_id, asset, caip19,
                 symbol, decimals, amount, address, token_account, payment_uri, matching, reference,
                 discriminator, policy, required, waiting, watch, version, watching)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17,
                 $18, $19, 1, $20, $21, 1)
             ON CONFLICT DO NOTHING",
        )
        .bind(key)
        .bind(signed(position as u64))
        .bind(&rail.rail_id)
        .bind(rail.network.as_str())
        .bind(&rail.caip2)
        .bind(rail.chain_id.map(signed))
        .bind(rail.asset.to_string())
        .bind(&rail.caip19)
        .bind(&rail.symbol)
        .bind(i64::from(rail.decimals))
        .bind(rail.amount.to_string())
        .bind(rail.address.as_str())
        .bind(rail.token_account.as_ref().map(Address::as_str))
        .bind(rail.payment_uri.as_deref())
        .bind(matching_text(&rail.matching))
        .bind(reference)
        .bind(discriminator(rail))
        .bind(match rail.policy {
            AmountPolicy::AtLeast => "at_least",
            AmountPolicy::Exact => "exact",
        })
        .bind(i64::from(rail.required.0))
        .bind(watch.as_bytes().to_vec())
        .bind(version)
        .execute(&mut *self.inner)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Whether payments to the rail's address have something to tell them apart, and its own do
    /// not, or the other way round.
    async fn is_otherwise_in_use(&mut self, rail: &Rail) -> Result<bool> {
        let other = match rail.matching {
            Matching::Address => "discriminator <> ''",
            Matching::Reference { .. } | Matching::ExactAmount => "discriminator = ''",
        };
        let text = format!(
            "SELECT 1 FROM rails
             WHERE network = $1 AND asset = $2 AND address = $3 AND waiting = 1 AND {other} LIMIT 1"
        );
        let row = sqlx::query(sqlx::AssertSqlSafe(text))
            .bind(rail.network.as_str())
            .bind(rail.asset.to_string())
            .bind(rail.address.as_str())
            .fetch_optional(&mut *self.inner)
            .await?;
        Ok(row.is_some())
    }

    /// Whether the rail's address belongs to a wallet of another account than the intent's: its
    /// deposits would be taken from it.
    async fn is_anothers(&mut self, key: &str, rail: &Rail) -> Result<bool> {
        let row = sqlx::query(
            "SELECT 1 FROM wallet_addresses
             JOIN wallets ON wallets.wallet = wallet_addresses.wallet
             JOIN intents ON intents.intent = $1
             WHERE wallet_addresses.network = $2 AND wallet_addresses.address = $3
                 AND wallets.account <> intents.account",
        )
        .bind(key)
        .bind(rail.network.as_str())
        .bind(rail.address.as_str())
        .fetch_optional(&mut *self.inner)
        .await?;
        Ok(row.is_some())
    }

    /// The rails of an intent that is over wait no more: what they waited for is free.
    pub(super) async fn wait_no_more(&mut self, key: &str) -> Result<()> {
        sqlx::query("UPDATE rails SET waiting = 0 WHERE intent = $1 AND waiting = 1")
            .bind(key)
            .execute(&mut *self.inner)
            .await?;
        Ok(())
    }

    /// The rails of an intent that is open again wait again. What another open intent has come to
    /// wait for meanwhile stays that one's, as [`Self::insert_rail`] has it.
    pub(super) async fn wait_for_rails(&mut self, key: &str) -> Result<()> {
        sqlx::query(
            "UPDATE rails SET waiting = 1
             WHERE intent = $1 AND waiting = 0 AND replaced_at IS NULL
                 AND NOT EXISTS (SELECT 1 FROM rails AS other
                     WHERE other.network = rails.network AND other.asset = rails.asset
                         AND other.address = rails.address AND other.waiting = 1
                         AND (other.discriminator = rails.discriminator
                             OR other.discriminator = '' OR rails.discriminator = ''))",
        )
        .bind(key)
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// Ends the watching of closed intents whose late window is over and whose transfers on the
    /// network are final, those included that were attached to another intent, and of what
    /// unconfirmed transactions spend that are final or nobody's by now; answers the watches that
    /// nobody else has.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn end_watching(
        &mut self,
        network: &NetworkId,
        now: Timestamp,
        finalized: Height,
    ) -> Result<Vec<WatchKey>> {
        let rows: Vec<(Vec<u8>,)> = sqlx::query_as(
            "UPDATE rails SET watching = 0
             WHERE network = $1 AND watching = 1
                 AND intent IN (SELECT intent FROM intents
                     WHERE watch_until IS NOT NULL AND watch_until < $2)
                 AND NOT EXISTS (SELECT 1 FROM transfers
                     WHERE transfers.network = $1 AND transfers.height > $3
                         AND (transfers.intent = rails.intent
                             OR transfers.receiver = rails.address
                                 AND transfers.resolution IS NOT NULL))
             RETURNING watch",
        )
        .bind(network.as_str())
        .bind(now.0)
        .bind(signed(finalized.0))
        .fetch_all(&mut *self.inner)
        .await?;
        let mut ended = Vec::new();
        for (raw,) in rows {
            let other = sqlx::query(
                "SELECT 1 FROM rails WHERE network = $1 AND watch = $2 AND watching = 1 LIMIT 1",
            )
            .bind(network.as_str())
            .bind(raw.clone())
            .fetch_optional(&mut *self.inner)
            .await?;
            if other.is_none() && !self.is_watched_by_wallet(network, &raw).await? {
                ended.extend(WatchKey::new(&raw));
            }
        }
        ended.extend(self.end_watching_outpoints(network, finalized).await?);
        Ok(ended)
    }
}
