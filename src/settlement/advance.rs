//! From facts to events: what is new, and what has to be taken back.

use std::collections::{BTreeMap, BTreeSet};

use confirmd_chain::{Amount, Confirmations, Height, Timestamp};

use super::assess::{Assessment, assess, deep_at};
use super::event::{Event, EventId, EventKind, Retraction};
use super::intent::{
    Closed, Confirmed, Credit, Intent, Milestone, NetworkId, OrphanReason, Rank, ReportedOrphan,
    Role, Status,
};
use super::view::{IntentView, OrphanView};

/// A step of one network, as far as it touches an intent.
#[derive(Clone, Debug)]
pub struct Change<'a> {
    /// The network that moved.
    pub network: &'a NetworkId,
    /// Where the surviving chain begins, if blocks above it were taken back.
    pub rolled_back_to: Option<Height>,
    /// The first height at which something may be new.
    pub from: Height,
    /// How far each network is followed now, this step included.
    pub cursors: &'a BTreeMap<NetworkId, Height>,
    /// Times of this network's blocks; of [`step_heights`] at least.
    pub times: &'a BTreeMap<Height, Timestamp>,
    /// What took a payment back, if one is gone.
    pub retraction: Retraction,
    /// The wall time.
    pub now: Timestamp,
}

/// What became of an intent and its transfers.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The intent with its new state.
    pub intent: Intent,
    /// Its transfers with their new roles, in the order given.
    pub credits: Vec<Credit>,
    /// What the backend must learn of, in order.
    pub events: Vec<Event>,
}

/// The intent cannot be cancelled: money was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("money was already seen for this intent")]
pub struct MoneySeen;

/// The heights at which something may change for an intent: where a transfer stands, and where it
/// becomes deep enough. Ascending, from `from` up to the network's cursor.
#[must_use]
pub fn step_heights(
    intent: &Intent,
    credits: &[Credit],
    network: &NetworkId,
    from: Height,
    cursor: Height,
) -> BTreeSet<Height> {
    let mut heights = BTreeSet::new();
    for credit in credits.iter().filter(|credit| credit.network == *network) {
        let Some(place) = &credit.place else { continue };
        let required = required_of(intent, credit);
        let deep = deep_at(place.height, required);
        heights.extend([place.height, deep]);
        if intent.wants_progress {
            heights.extend((place.height.0..deep.0).map(Height));
        }
    }
    heights.retain(|height| (from..=cursor).contains(height));
    heights
}

/// The height of the cursor at which a transfer is to be looked at again, if it is: where it
/// becomes deep enough, or, for an endpoint that wants every confirmation, the next block.
#[must_use]
pub fn wake_height(intent: &Intent, credit: &Credit, cursor: Height) -> Option<Height> {
    let place = credit.place.as_ref()?;
    let deep = deep_at(place.height, required_of(intent, credit));
    let next = if intent.wants_progress { cursor.next().min(deep) } else { deep };
    (deep > cursor).then_some(next)
}

/// How deep a transfer must be before it is final: as its rail says, else its network's deepest.
#[must_use]
pub fn required_of(intent: &Intent, credit: &Credit) -> Confirmations {
    intent
        .rail_for(credit)
        .map_or_else(|| intent.required_on(&credit.network), |rail| intent.rails[rail].required)
}

/// Carries an intent over a step of one network. What both branches of a reorg hold makes no
/// noise; what only the lost one held is taken back first.
#[must_use]
pub fn apply(intent: Intent, credits: Vec<Credit>, change: &Change<'_>) -> Outcome {
    let mut settler = Settler { intent, credits, events: Vec::new() };
    settler.forget_lost_confirmation(change);
    settler.take_back(change);
    let cursor = change.cursors.get(change.network).copied().unwrap_or(change.from);
    let heights =
        step_heights(&settler.intent, &settler.credits, change.network, change.from, cursor);
    let mut cursors = change.cursors.clone();
    for height in heights {
        cursors.insert(change.network.clone(), height);
        settler.report(&cursors, time_at(change, height));
    }
    settler.settle(change.cursors, change.now);
    settler.report_orphans(change);
    Outcome { intent: settler.intent, credits: settler.credits, events: settler.events }
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
    let mut settler = Settler { intent, credits, events: Vec::new() };
    let assessment = assess(&settler.intent, &settler.credits, cursors);
    if settler.intent.state.closed.is_none() && assessment.rank < Rank::Detected {
        settler.intent.state.closed = Some(Closed::Expired(now));
        settler.settle(cursors, now);
        let timestamp = settler.intent.expires_at;
        let (id, sequence) = settler.next_id(EventKind::PaymentExpired);
        let view = IntentView::at(&settler.intent, &settler.credits, cursors, timestamp);
        settler.events.push(Event::of_intent(
            id,
            EventKind::PaymentExpired,
            &settler.intent.key,
            sequence,
            timestamp,
            view,
        ));
        let networks: BTreeSet<_> =
            settler.intent.rails.iter().map(|rail| rail.network.clone()).collect();
        for network in &networks {
            settler.report_orphans(&Change {
                network,
                rolled_back_to: None,
                from: Height(0),
                cursors,
                times: &BTreeMap::new(),
                retraction: Retraction::Reorg,
                now: timestamp,
            });
        }
    }
    Outcome { intent: settler.intent, credits: settler.credits, events: settler.events }
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

/// Cancels an intent that nobody paid yet. May be repeated: the second time nothing happens.
///
/// # Errors
/// When any transfer was ever given to it.
pub fn cancel(
    intent: Intent,
    credits: Vec<Credit>,
    cursors: &BTreeMap<NetworkId, Height>,
    now: Timestamp,
) -> Result<Outcome, MoneySeen> {
    let mut settler = Settler { intent, credits, events: Vec::new() };
    if settler.intent.state.status != Status::Cancelled {
        if settler.intent.state.status != Status::Pending || !settler.credits.is_empty() {
            return Err(MoneySeen);
        }
        settler.intent.state.closed = Some(Closed::Cancelled(now));
        settler.settle(cursors, now);
        let (id, sequence) = settler.next_id(EventKind::PaymentCancelled);
        let view = IntentView::at(&settler.intent, &settler.credits, cursors, now);
        let key = &settler.intent.key;
        let kind = EventKind::PaymentCancelled;
        settler.events.push(Event::of_intent(id, kind, key, sequence, now, view));
    }
    Ok(Outcome { intent: settler.intent, credits: settler.credits, events: settler.events })
}

/// The first event of a new intent.
#[must_use]
pub fn created(intent: Intent) -> Outcome {
    let mut settler = Settler { intent, credits: Vec::new(), events: Vec::new() };
    let now = settler.intent.created_at;
    let (id, sequence) = settler.next_id(EventKind::PaymentCreated);
    let view = IntentView::at(&settler.intent, &[], &BTreeMap::new(), now);
    let key = &settler.intent.key;
    settler.events.push(Event::of_intent(id, EventKind::PaymentCreated, key, sequence, now, view));
    Outcome { intent: settler.intent, credits: settler.credits, events: settler.events }
}

fn time_at(change: &Change<'_>, height: Height) -> Timestamp {
    let known = change.times.range(height..).next().map(|(_, time)| *time);
    known.unwrap_or(change.now)
}

struct Settler {
    intent: Intent,
    credits: Vec<Credit>,
    events: Vec<Event>,
}

impl Settler {
    fn next_id(&mut self, kind: EventKind) -> (EventId, u32) {
        self.intent.state.sequence += 1;
        let sequence = self.intent.state.sequence;
        let key = &self.intent.key;
        (EventId::derive(&key.account, &key.id, sequence, kind), sequence)
    }

    /// A confirmation that rested on lost blocks has to be reached again.
    fn forget_lost_confirmation(&mut self, change: &Change<'_>) {
        let state = &mut self.intent.state;
        if let (Some(ancestor), Some(confirmed)) = (change.rolled_back_to, &state.confirmed) {
            let rail = &self.intent.rails[confirmed.rail];
            if rail.network == *change.network && confirmed.height > ancestor {
                state.confirmed = None;
            }
        }
    }

    /// Retracts, by one event, what the facts no longer carry.
    fn take_back(&mut self, change: &Change<'_>) {
        let now = assess(&self.intent, &self.credits, change.cursors);
        let reported = std::mem::take(&mut self.intent.state.reported);
        let standing = self.standing();
        let (kept, lost): (Vec<_>, Vec<_>) =
            reported.into_iter().partition(|milestone| carries(&now, &standing, milestone));
        self.intent.state.reported = kept;
        if lost.is_empty() {
            return;
        }
        let cursor = change.cursors.get(change.network).copied().unwrap_or(change.from);
        let timestamp = time_at(change, cursor);
        self.remember(&now, timestamp);
        let (id, sequence) = self.next_id(EventKind::PaymentReverted);
        let view = IntentView::at(&self.intent, &self.credits, change.cursors, timestamp);
        let kind = EventKind::PaymentReverted;
        let mut event = Event::of_intent(id, kind, &self.intent.key, sequence, timestamp, view);
        event.data.retracts = lost.into_iter().map(|milestone| milestone.event).collect();
        event.data.reason = Some(change.retraction);
        self.events.push(event);
    }

    /// The transfers that stand on the surviving chain, and their amounts.
    fn standing(&self) -> BTreeMap<String, Amount> {
        let on_chain = self.credits.iter().filter(|credit| credit.place.is_some());
        on_chain.map(|credit| (credit.name(), credit.amount)).collect()
    }

    /// Reports what is new at one height, by the highest event that applies.
    fn report(&mut self, cursors: &BTreeMap<NetworkId, Height>, timestamp: Timestamp) {
        let now = assess(&self.intent, &self.credits, cursors);
        self.remember(&now, timestamp);
        let paying = self.paying(&now);
        let reported = &self.intent.state.reported;
        let known = reported.iter().any(|milestone| {
            milestone.rank >= now.rank
                && milestone.rail == now.rail
                && paying.keys().all(|name| milestone.transfers.contains_key(name))
        });
        let kind = match now.rank {
            Rank::Nothing => return,
            Rank::Partial if !known => EventKind::PaymentPartial,
            Rank::Detected if !known => EventKind::PaymentDetected,
            Rank::Confirmed if !known => EventKind::PaymentConfirmed,
            Rank::Detected if self.intent.wants_progress && now.confirmations.0 > 1 => {
                EventKind::PaymentConfirming
            }
            _ => return,
        };
        let (id, sequence) = self.next_id(kind);
        let view = IntentView::at(&self.intent, &self.credits, cursors, timestamp);
        if kind != EventKind::PaymentConfirming {
            self.intent.state.reported.push(Milestone {
                event: id.clone(),
                rank: now.rank,
                rail: now.rail,
                transfers: paying,
            });
        }
        let key = &self.intent.key;
        self.events.push(Event::of_intent(id, kind, key, sequence, timestamp, view));
    }

    fn paying(&self, now: &Assessment) -> BTreeMap<String, Amount> {
        std::iter::zip(&self.credits, &now.roles)
            .filter(|(_, role)| **role == Role::Pays(now.rail))
            .map(|(credit, _)| (credit.name(), credit.amount))
            .collect()
    }

    fn remember(&mut self, now: &Assessment, timestamp: Timestamp) {
        let state = &mut self.intent.state;
        state.status = now.status;
        for (credit, role) in std::iter::zip(&mut self.credits, &now.roles) {
            credit.role = *role;
        }
        match (now.rank, now.confirmed_height) {
            (Rank::Confirmed, Some(height)) if state.confirmed.is_none() => {
                state.confirmed = Some(Confirmed { rail: now.rail, height, at: timestamp });
            }
            (Rank::Confirmed, _) => {}
            _ => state.confirmed = None,
        }
    }

    /// Brings status and roles up to the final facts.
    fn settle(&mut self, cursors: &BTreeMap<NetworkId, Height>, now: Timestamp) {
        let assessment = assess(&self.intent, &self.credits, cursors);
        self.remember(&assessment, now);
        self.intent.state.updated_at = now;
    }

    /// Reports orphans once they are deep enough that nobody refunds what a reorg takes away, and
    /// takes back those that are none any more.
    fn report_orphans(&mut self, change: &Change<'_>) {
        let Some(&cursor) = change.cursors.get(change.network) else { return };
        for index in 0..self.credits.len() {
            if self.credits[index].network != *change.network {
                continue;
            }
            let required = required_of(&self.intent, &self.credits[index]);
            let credit = &self.credits[index];
            let standing = match (credit.role, &credit.place) {
                (Role::Orphan(reason), Some(place)) => Some((reason, place.height)),
                _ => None,
            };
            if let Some(reported) = credit.orphan.reported.clone() {
                let holds = standing.is_some_and(|(reason, _)| {
                    reason == reported.reason && credit.amount == reported.amount
                });
                if holds {
                    continue;
                }
                let timestamp = time_at(change, cursor);
                self.orphan_event(index, reported.reason, timestamp, Some(&reported), change);
            }
            if let Some((reason, height)) = standing
                && Confirmations::count(height, cursor, required) >= required
            {
                let deep = deep_at(height, required);
                self.orphan_event(index, reason, time_at(change, deep), None, change);
            }
        }
    }

    fn orphan_event(
        &mut self,
        index: usize,
        reason: OrphanReason,
        timestamp: Timestamp,
        taken_back: Option<&ReportedOrphan>,
        change: &Change<'_>,
    ) {
        let credit = &mut self.credits[index];
        credit.orphan.sequence += 1;
        let kind = match taken_back {
            None => EventKind::OrphanReceived,
            Some(_) => EventKind::OrphanReverted,
        };
        let orphan = OrphanView::of(&self.intent.key, credit, reason);
        let account = &self.intent.key.account;
        let id = EventId::derive(account, &orphan.id, credit.orphan.sequence, kind);
        credit.orphan.reported = taken_back.is_none().then(|| ReportedOrphan {
            event: id.clone(),
            reason,
            amount: credit.amount,
        });
        let sequence = credit.orphan.sequence;
        let view = IntentView::at(&self.intent, &self.credits, change.cursors, timestamp);
        let key = &self.intent.key;
        let mut event = Event::of_orphan(id, kind, key, sequence, timestamp, orphan, view);
        if let Some(reported) = taken_back {
            event.data.retracts = vec![reported.event.clone()];
            event.data.reason = Some(change.retraction);
        }
        self.events.push(event);
    }
}

/// Whether the facts still carry what a milestone told: its transfers stand with their amounts,
/// and, beyond a partial payment, the intent is still that far on that rail.
fn carries(now: &Assessment, standing: &BTreeMap<String, Amount>, milestone: &Milestone) -> bool {
    let stand = milestone.transfers.iter().all(|(name, amount)| standing.get(name) == Some(amount));
    let as_far = milestone.rank <= Rank::Partial
        || (now.rank >= milestone.rank && now.rail == milestone.rail);
    stand && as_far
}
