//! What people and the clock do to an intent.

use std::collections::BTreeMap;

use confirmd_chain::{Height, Timestamp};

use super::assess::assess;
use super::event::EventKind;
use super::intent::{Closed, Credit, Intent, NetworkId, Rank, Status};
use super::settler::{Moment, Outcome, Settler};

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
    if settler.intent.state.status != Status::Pending || !settler.credits.is_empty() {
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

/// Whether nothing can come in time any more: the wall clock is past the expiry, and so is, on
/// every network that can pay the intent, the time of a linked block that is itself deep enough.
///
/// `deep_times` holds per network the time of the block that has the required depth now.
#[must_use]
pub fn may_expire(
    intent: &Intent,
    deep_times: &BTreeMap<NetworkId, Timestamp>,
    now: Timestamp,
) -> bool {
    let past = |time: Option<&Timestamp>| time.is_some_and(|time| *time > intent.expires_at);
    intent.state.closed.is_none()
        && matches!(intent.state.status, Status::Pending | Status::Partial)
        && past(Some(&now))
        && intent.rails.iter().all(|rail| past(deep_times.get(&rail.network)))
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
