//! Addresses are watched ahead of those that were handed out, so that a payment to a later one is
//! seen: another program may hand out addresses of the same keys.

use std::sync::Arc;
use std::time::Duration;

use confirmd_chain::{Chain, INDEX_END, Timestamp, WalletError};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::clock::Clock;
use crate::settlement::{NetworkId, WalletKey};
use crate::store::{NewAddress, Result, Store, StoreError, Transaction, Wallet};

/// How many addresses behind the next one are watched, at most and at least: not each one that is
/// handed out is to bring a new watch.
const AHEAD: u32 = 100;
const AHEAD_AT_LEAST: u32 = 50;
/// How many wallets one look extends.
const BATCH: u32 = 100;

/// Watches a wallet's addresses up to well behind an index, if they are not yet. The network is
/// held and the wallet locked. Answers how many of them are another wallet's, and stay so.
///
/// # Errors
/// When the database fails.
pub async fn extend_wallet(
    transaction: &mut Transaction,
    chain: &dyn Chain,
    wallet: &Wallet,
    index: u32,
    look_back_from: Timestamp,
) -> Result<usize> {
    let Some(text) = &wallet.public_keys else { return Ok(0) };
    let index = index.max(wallet.next_index);
    if wallet.derived_end > index.saturating_add(AHEAD_AT_LEAST) {
        return Ok(0);
    }
    let unreadable =
        |error: WalletError| StoreError::Corrupt(format!("wallet {}: {error}", wallet.key));
    let keys = chain.parse_wallet(text).map_err(unreadable)?;
    let end = index.saturating_add(AHEAD).min(INDEX_END);
    let mut addresses = Vec::new();
    for index in wallet.derived_end..end {
        let derived = keys.derive(index).map_err(unreadable)?;
        addresses.push(NewAddress {
            watch: chain.watch_key(&derived.address),
            address: derived.address,
            index,
            path: Some(derived.path),
        });
    }
    let (key, network) = (&wallet.key, &wallet.network);
    let in_use = transaction.watch_addresses(key, network, &addresses, look_back_from).await?;
    Ok(in_use.len())
}

/// What derives the addresses of a network that is followed now, and wakes its follower.
pub type Lookup = dyn Fn(&NetworkId) -> Option<(Arc<dyn Chain>, Arc<Notify>)> + Send + Sync;

/// Extends wallets of which a later address was paid.
#[derive(Clone)]
pub struct LookAhead {
    /// The store.
    pub store: Store,
    /// What derives the addresses of a network that is followed now, and wakes its follower.
    pub followed: Arc<Lookup>,
    /// How far back a new address is looked for.
    pub look_back: Duration,
    /// The time.
    pub clock: Clock,
}

impl std::fmt::Debug for LookAhead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LookAhead").finish_non_exhaustive()
    }
}

impl LookAhead {
    /// Looks once a second until it is stopped.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            if let Err(error) = self.look().await {
                warn!(%error, "a wallet's later addresses wait for the store");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.clock.sleep(Duration::from_secs(1)) => {}
            }
        }
    }

    /// Extends what needs it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn look(&self) -> Result<()> {
        let wallets = self.store.wallets_to_extend(AHEAD_AT_LEAST, BATCH).await?;
        for key in wallets {
            self.extend(&key).await?;
        }
        Ok(())
    }

    async fn extend(&self, key: &WalletKey) -> Result<()> {
        let Some(wallet) = self.store.wallet(key).await? else { return Ok(()) };
        // A network that is not followed any more derives nothing.
        let Some((chain, bell)) = (self.followed)(&wallet.network) else { return Ok(()) };
        let look_back = i64::try_from(self.look_back.as_millis()).unwrap_or(i64::MAX);
        let from = self.clock.now().plus_ms(-look_back);
        let mut transaction = self.store.begin().await?;
        transaction.lock_network(&wallet.network).await?;
        if let Some(wallet) = transaction.lock_wallet(key).await? {
            extend_wallet(&mut transaction, chain.as_ref(), &wallet, 0, from).await?;
        }
        transaction.commit().await?;
        bell.notify_one();
        Ok(())
    }
}
