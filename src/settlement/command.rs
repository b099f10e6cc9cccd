//! What people and the clock do to an intent.

use std::collections::BTreeMap;

use confirmd_chain::{Height, Timestamp};

use super::assess::assess;
use super::credit::Credit;
use super::ids::NetworkId;
use super::intent::{Closed, Intent, Rank, Status};
use super::kinds::EventKind;
use super::rail::Rail;
use super::settler::{Outcome, Settler};
use super::step::Moment;

/// The intent cannot be cancelled: money was seen, or its time ran out before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("money was already seen for this intent, or it is over")]
pub struct MoneySeen;

/// The first event of a new intent.
#[must_use]
pub fn created(intent: Intent) -> Outcome {
    let now = intent.created_at;
    let mut settler = Settler::new(intent, Vec::new(), now);
    settler.emit(EventKind::PaymentCreated, &Moment { cursors: BTreeMap::new(), time: now });
    settler.finish()
}

/// Cancels an intent that nobody paid yet. May be repeated: the second time nothing happens.
///
/// # Errors
/// When any transfer was ever given to it, or it is expired.
pub fn cancel(
    intent: Intent,
    credits: Vec<Credit>,
    cursors: &BTreeMap<NetworkId, Height>,
    now: Timestamp,
) -> Result<Outcome, MoneySeen> {
    let mut settler = Settler::new(intent, credits, now);
    if matches!(settler.intent.state.closed, Some(Closed::Cancelled(_))) {
        return Ok(settler.finish());
    }
    if is_money_seen(&settler.intent, &settler.credits) {
        return Err(MoneySeen);
    }
    settler.close(
        Closed::Cancelled(now),
        EventKind::PaymentCancelled,
        &Moment { cursors: cursors.clone(), time: now },
    );
    Ok(settler.finish())
}

/// Looks at an intent again, at the cursors of now, after a command changed what is asked of it: a
/// lower requirement may confirm it at once, a higher one never un-confirms it.
#[must_use]
pub fn look_again(
    intent: Intent,
    credits: Vec<Credit>,
    cursors: &BTreeMap<NetworkId, Height>,
    now: Timestamp,
) -> Outcome {
    let mut settler = Settler::new(intent, credits, now);
    settler.settle_at(&Moment { cursors: cursors.clone(), time: now });
    settler.finish()
}

/// Whether anything was ever paid. What came to a shared address and cannot be told whose it is,
/// is nobody's payment.
fn is_money_seen(intent: &Intent, credits: &[Credit]) -> bool {
    intent.state.status != Status::Pending || credits.iter().any(|credit| !credit.is_ambiguous)
}

/// What is to be otherwise about an intent. Empty fields stay as they are.
#[derive(Clone, Debug, Default)]
pub struct Patch {
    /// All its rails.
    pub rails: Option<Vec<Rail>>,
    /// Until when a payment is in time.
    pub expires_at: Option<Timestamp>,
    /// The backend's own data.
    pub metadata: Option<serde_json::Value>,
}

/// Why an intent stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// Money was seen.
    #[error("money was already seen for this intent")]
    MoneySeen,
    /// It is cancelled or expired.
    #[error("the intent is over")]
    Closed,
    /// Those that were replaced count too.
    #[error("an intent has at most {MAX_RAILS_EVER} rails in its life")]
    TooManyRails,
}

/// The most rails that an intent has in its life.
const MAX_RAILS_EVER: usize = 64;

/// Changes an intent that nobody paid yet. A rail that asks for the same as before stays; the
/// others are replaced, and what takes their places comes after them. Nothing where the intent is
/// as asked for already, whatever came of it.
///
/// # Errors
/// When any transfer was ever given to it, it is over, or it had too many rails.
pub fn patch(
    mut intent: Intent,
    credits: &[Credit],
    patch: Patch,
    now: Timestamp,
) -> Result<Option<Intent>, PatchError> {
    let before = intent.clone();
    if let Some(rails) = patch.rails {
        repoint(&mut intent, rails, now);
    }
    intent.expires_at = patch.expires_at.unwrap_or(intent.expires_at);
    intent.metadata = patch.metadata.unwrap_or(intent.metadata);
    if intent == before {
        return Ok(None);
    }
    if matches!(intent.state.status, Status::Expired | Status::Cancelled) {
        return Err(PatchError::Closed);
    }
    if is_money_seen(&intent, credits) {
        return Err(PatchError::MoneySeen);
    }
    if intent.rails.len() > MAX_RAILS_EVER {
        return Err(PatchError::TooManyRails);
    }
    intent.state.updated_at = now;
    Ok(Some(intent))
}

fn repoint(intent: &mut Intent, rails: Vec<Rail>, now: Timestamp) {
    let stand = |rail: &Rail| rail.replaced_at.is_none();
    for rail in intent.rails.iter_mut().filter(|rail| stand(rail)) {
        if !rails.iter().any(|new| new.asks_like(rail)) {
            rail.replaced_at = Some(now);
        }
    }
    for new in rails {
        if !intent.rails.iter().any(|rail| stand(rail) && new.asks_like(rail)) {
            let rail_id = format!("r{}", intent.rails.len() + 1);
            intent.rails.push(Rail { rail_id, ..new });
        }
    }
}

/// Whether nothing can come in time any more: the wall clock is past the expiry, and so is, on
/// every network that can pay the intent, the time of a linked block that is itself deep enough.
/// On the network of a rail that was replaced the replacement is what has to be past.
///
/// `deep_times` holds per network the time of the block that has the required depth now. An
/// unconfirmed payment that was seen in time holds the intent, unless no mempool has shown it for
/// [`FORGOTTEN_AFTER_MS`](super::FORGOTTEN_AFTER_MS).
#[must_use]
pub fn may_expire(
    intent: &Intent,
    credits: &[Credit],
    deep_times: &BTreeMap<NetworkId, Timestamp>,
    now: Timestamp,
) -> bool {
    intent.state.closed.is_none()
        && matches!(intent.state.status, Status::Pending | Status::Partial)
        && now > intent.expires_at
        && !credits.iter().any(|credit| credit.holds_at(now))
        && intent.rails.iter().all(|rail| {
            let until = rail.replaced_at.map_or(intent.expires_at, |at| at.min(intent.expires_at));
            deep_times.get(&rail.network).is_some_and(|time| *time > until)
        })
}

/// Expires an intent whose time is over, unless money says otherwise. Whether every network was
/// followed far enough past the expiry is [`may_expire`]'s to say.
#[must_use]
pub fn expire(
    intent: Intent,
    credits: Vec<Credit>,
    cursors: &BTreeMap<NetworkId, Height>,
    now: Timestamp,
) -> Outcome {
    let enough = assess(&intent, &credits, cursors).rank >= Rank::Detected;
    let mut settler = Settler::new(intent, credits, now);
    if settler.intent.state.closed.is_some() || enough {
        return settler.finish();
    }
    let time = settler.intent.expires_at;
    let moment = Moment { cursors: cursors.clone(), time };
    settler.close(Closed::Expired(now), EventKind::PaymentExpired, &moment);
    settler.tell_orphans(&moment);
    settler.finish()
}
