//! Handing addresses out, to wallets' owners and to intents.

use confirmd_chain::{Chain, Timestamp};

use crate::api::context::Context;
use crate::api::problem::Problem;
use crate::settlement::{NetworkId, WalletKey};
use crate::store::{Wallet, WalletAddress, Which};
use crate::watcher::extend_wallet;

/// Hands an address out; the same again to whoever asks by the same name.
pub(in crate::api) async fn hand_out(
    key: &WalletKey,
    which: Which,
    name: Option<&str>,
    context: &Context,
) -> Result<(Wallet, WalletAddress), Problem> {
    let gone = || Problem::NotFound("wallet");
    let wallet = context.store.wallet(key).await?.ok_or_else(gone)?;
    let chain = chain_of(&wallet.network, context)?;
    let mut transaction = context.store.begin().await?;
    // As a follower does: the network is held before anything of it is locked.
    transaction.lock_network(&wallet.network).await?;
    let wallet = transaction.lock_wallet(key).await?.ok_or_else(gone)?;
    if let Some(name) = name
        && let Some(known) = transaction.address_called(key, name).await?
    {
        return match which {
            Which::Index(index) if index != known.index => Err(Problem::AddressTaken),
            _ => Ok((wallet, known)),
        };
    }
    refuse_beyond_gap(&wallet, which)?;
    if let (Some(_), Which::Index(index)) = (&wallet.public_keys, which) {
        let from = look_back_from(context);
        extend_wallet(&mut transaction, chain, &wallet, index, from).await?;
    }
    let handed = transaction.hand_out(&wallet, which, name, context.clock.now()).await?;
    let handed = handed.ok_or(match which {
        Which::Next => Problem::WalletEmpty,
        Which::Index(_) => Problem::AddressTaken,
    })?;
    let wallet = transaction.lock_wallet(key).await?.ok_or_else(gone)?;
    if wallet.public_keys.is_some() {
        let from = look_back_from(context);
        extend_wallet(&mut transaction, chain, &wallet, wallet.next_index, from).await?;
    }
    transaction.commit().await?;
    context.wake(&wallet.network);
    Ok((wallet, handed))
}

/// Wallets that are restored from a seed look for payments only so far behind the last one.
fn refuse_beyond_gap(wallet: &Wallet, which: Which) -> Result<(), Problem> {
    let is_beyond = match which {
        Which::Next => unpaid_allowed(wallet) == 0,
        Which::Index(index) => {
            index >= wallet.used_end.saturating_add(wallet.gap_limit).max(wallet.next_index)
        }
    };
    match wallet.public_keys {
        Some(_) if is_beyond => Err(Problem::GapLimit(wallet.gap_limit)),
        _ => Ok(()),
    }
}

/// How many more addresses may be handed out until one of them is paid.
pub(super) fn unpaid_allowed(wallet: &Wallet) -> u32 {
    wallet.used_end.saturating_add(wallet.gap_limit).saturating_sub(wallet.next_index)
}

pub(super) fn look_back_from(context: &Context) -> Timestamp {
    let look_back = context.settings.config.defaults.look_back;
    context.clock.now().plus_ms(-i64::try_from(look_back.as_millis()).unwrap_or(i64::MAX))
}

pub(super) fn chain_of<'c>(
    network: &NetworkId,
    context: &'c Context,
) -> Result<&'c dyn Chain, Problem> {
    let chain = context.chains.get(network).ok_or(Problem::NotFound("followed network"))?;
    Ok(chain.as_ref())
}
