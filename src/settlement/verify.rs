//! Whether one transaction pays an intent, for whoever asks about a payment that a payer claims.

use confirmd_chain::{Amount, Timestamp, Transfer, TransferId};
use serde::Serialize;

use super::credit::OrphanReason;
use super::ids::NetworkId;
use super::intent::{Intent, Status};
use super::rail::{AmountPolicy, Matching, Rail};

/// What a transaction moved.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// The network on which it stands.
    pub network: &'a NetworkId,
    /// Its transfers to addresses of the intent.
    pub transfers: &'a [Transfer],
    /// Those of them that something else was given.
    pub used: &'a [TransferId],
    /// Why the intent set it aside, where it did: then it pays nothing, whatever it looks like by
    /// itself.
    pub set_aside: Option<OrphanReason>,
    /// When it was paid.
    pub credit_time: Timestamp,
}

/// Why a transaction does not pay an intent. The first that applies is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Mismatch {
    /// No provider knows it in a block.
    TransactionNotFound,
    /// It failed, so it credits nothing.
    TransactionFailed,
    /// It credits no address of the intent, in no asset that the registry knows.
    InvalidDestination,
    /// It pays the address in another asset.
    InvalidToken,
    /// It carries another memo or reference, or none.
    MemoMismatch,
    /// It moves another amount than asked for, or too little.
    AmountMismatch,
    /// It was given to something else, or something else paid the intent before.
    AlreadyUsed,
    /// It came after the expiry, or the intent was cancelled.
    Expired,
}

impl From<OrphanReason> for Mismatch {
    fn from(reason: OrphanReason) -> Self {
        match reason {
            OrphanReason::WrongAsset => Self::InvalidToken,
            OrphanReason::Ambiguous => Self::MemoMismatch,
            OrphanReason::WrongAmount | OrphanReason::Underpaid => Self::AmountMismatch,
            OrphanReason::Surplus | OrphanReason::OtherRail => Self::AlreadyUsed,
            OrphanReason::Late | OrphanReason::Cancelled => Self::Expired,
        }
    }
}

/// The rail that a transaction pays by itself, by its place in the intent's list.
///
/// # Errors
/// Says why it pays none: what its transfers have most in common with a rail tells.
pub fn verify(intent: &Intent, claim: &Claim<'_>) -> Result<usize, Mismatch> {
    let takes = |rail: &Rail| {
        rail.network == *claim.network && rail.replaced_at.is_none_or(|at| claim.credit_time < at)
    };
    let rails = intent.rails.iter().enumerate().filter(|(_, rail)| takes(rail));
    let judged = rails.map(|(place, rail)| judge(intent, rail, claim).map(|()| place));
    // Of two rails the one that it comes closest to says why.
    let best = judged.reduce(|best, next| match (best, next) {
        (Ok(place), _) | (_, Ok(place)) => Ok(place),
        (Err(best), Err(next)) => Err(best.max(next)),
    });
    let place = best.unwrap_or(Err(Mismatch::InvalidDestination))?;
    claim.set_aside.map_or(Ok(place), |reason| Err(reason.into()))
}

fn judge(intent: &Intent, rail: &Rail, claim: &Claim<'_>) -> Result<(), Mismatch> {
    let mut found: Vec<&Transfer> = claim.transfers.iter().collect();
    let mut keep = |mismatch: Mismatch, fits: &dyn Fn(&Transfer) -> bool| {
        found.retain(|transfer| fits(transfer));
        if found.is_empty() { Err(mismatch) } else { Ok(found.clone()) }
    };
    keep(Mismatch::InvalidDestination, &|transfer| transfer.to == rail.address)?;
    keep(Mismatch::InvalidToken, &|transfer| transfer.asset == rail.asset)?;
    let carries = |transfer: &Transfer| {
        let carried = rail.matching.carried();
        carried.is_none_or(|carried| transfer.references.iter().any(|shown| shown == carried))
    };
    let paid = keep(Mismatch::MemoMismatch, &carries)?;
    if !is_enough(intent, rail, &paid) {
        return Err(Mismatch::AmountMismatch);
    }
    let unused = keep(Mismatch::AlreadyUsed, &|transfer| !claim.used.contains(&transfer.id))?;
    if !is_enough(intent, rail, &unused) || is_paid(intent, rail) {
        return Err(Mismatch::AlreadyUsed);
    }
    let is_late = claim.credit_time > intent.expires_at;
    if is_late || intent.state.status == Status::Cancelled {
        return Err(Mismatch::Expired);
    }
    Ok(())
}

/// Whether the rail takes nothing more. Until it is confirmed, what is paid beyond an amount that is
/// not exact counts as overpaid.
fn is_paid(intent: &Intent, rail: &Rail) -> bool {
    match intent.state.status {
        Status::Confirmed => true,
        Status::Confirming => {
            rail.policy == AmountPolicy::Exact || rail.matching == Matching::ExactAmount
        }
        _ => false,
    }
}

fn is_enough(intent: &Intent, rail: &Rail, paid: &[&Transfer]) -> bool {
    let total: Amount = paid.iter().map(|transfer| transfer.amount).sum();
    match (&rail.matching, rail.policy) {
        (Matching::ExactAmount, _) => paid.iter().any(|transfer| transfer.amount == rail.amount),
        (_, AmountPolicy::Exact) => total == rail.amount,
        (_, AmountPolicy::AtLeast) => total >= intent.tolerance.needed(rail.amount),
    }
}
