//! From facts to events: what to tell, and what was told that does not hold any more.

use std::collections::{BTreeMap, BTreeSet};

use confirmd_chain::{Height, Timestamp};

use super::advance::{Change, required_of, step_heights};
use super::assess::{Assessment, assess, deep_at};
use super::credit::{Credit, OrphanReason, ReportedOrphan, Role};
use super::event::{Event, EventId, EventKind, Retraction, derived_id};
use super::intent::{Closed, Confirmed, Intent, Milestone, NetworkId, Rank, Status};
use super::unconfirmed::with_first_sights;
use super::view::{IntentView, OrphanView};

/// The most events that one retraction names; more make a second, since a body has its limit.
const MAX_RETRACTS: usize = 100;

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

/// How far each network was followed when something happened, and when that was.
pub(super) struct Moment {
    pub(super) cursors: BTreeMap<NetworkId, Height>,
    pub(super) time: Timestamp,
}

/// What one network has to tell of an intent at one moment.
struct Tale {
    rank: Rank,
    /// A digest of the transfers that it rests on.
    told: String,
    /// Where the newest of them stands.
    newest: Option<Height>,
    /// Whether it is worth an event: parts of a payment that something else settled are not.
    is_news: bool,
}

impl Milestone {
    fn tells(&self, network: &NetworkId, tale: &Tale) -> bool {
        self.network == *network && self.rank == tale.rank && self.told == tale.told
    }
}

/// An intent on its way from one state to the next, and the events on that way.
pub(super) struct Settler {
    pub(super) intent: Intent,
    pub(super) credits: Vec<Credit>,
    events: Vec<Event>,
    now: Timestamp,
    before: (Status, Vec<Role>),
}

impl Settler {
    pub(super) fn new(intent: Intent, credits: Vec<Credit>, now: Timestamp) -> Self {
        let credits = with_first_sights(credits);
        let before = (intent.state.status, credits.iter().map(|credit| credit.role).collect());
        Self { intent, credits, events: Vec::new(), now, before }
    }

    pub(super) fn finish(mut self) -> Outcome {
        let (status, roles) = &self.before;
        let same = *status == self.intent.state.status
            && std::iter::zip(&self.credits, roles).all(|(credit, role)| credit.role == *role);
        if !same {
            self.intent.state.updated_at = self.now;
        }
        Outcome { intent: self.intent, credits: self.credits, events: self.events }
    }

    pub(super) fn networks(&self) -> BTreeSet<NetworkId> {
        self.intent.networks().into_iter().cloned().collect()
    }

    pub(super) fn heights(&self, change: &Change<'_>) -> BTreeSet<Height> {
        let cursor = change.cursor();
        step_heights(&self.intent, &self.credits, change.network, change.from, cursor)
    }

    /// Ends the wait for money, by a command or by the clock.
    pub(super) fn close(&mut self, closed: Closed, kind: EventKind, moment: &Moment) {
        self.intent.state.closed = Some(closed);
        self.observe(moment);
        self.emit(kind, moment);
    }

    /// Tells what is new on a network at a moment, by the highest event that applies.
    pub(super) fn reach(&mut self, network: &NetworkId, moment: &Moment, is_last: bool) {
        let before: Vec<Role> = self.credits.iter().map(|credit| credit.role).collect();
        let now = self.observe(moment);
        let tale = self.tale(network, &now);
        if matches!(now.status, Status::Pending | Status::Partial) {
            let turned_wrong = std::iter::zip(before, &now.roles).any(|(before, now)| {
                matches!(before, Role::Pays(_)) && *now == Role::Orphan(OrphanReason::WrongAmount)
            });
            self.take_back_wrong_totals(network, tale.as_ref(), turned_wrong, moment);
        }
        let Some(tale) = tale else { return };
        if let Some(known) = self.known(network, &tale) {
            self.tell_progress(known, &now, moment);
            return;
        }
        if !self.is_due(network, &tale, moment, is_last) {
            return;
        }
        let Some(kind) = tale.rank.event() else { return };
        let event = self.emit(kind, moment).id.clone();
        self.intent.state.reported.push(Milestone {
            event,
            network: network.clone(),
            height: moment.cursors.get(network).copied().unwrap_or(Height(0)),
            rank: tale.rank,
            told: tale.told,
            progress: BTreeMap::new(),
        });
    }

    /// A run of transfers that makes more than an exact rail takes is no part of the payment any
    /// more. What was told of it is taken back, down to what holds still (I7).
    fn take_back_wrong_totals(
        &mut self,
        network: &NetworkId,
        tale: Option<&Tale>,
        turned_wrong: bool,
        moment: &Moment,
    ) {
        let told_at = match tale.map(|tale| (tale.newest, self.known(network, tale))) {
            Some((_, Some(known))) => Some(self.intent.state.reported[known].height),
            // What was told of it was lost in a reorg, so it is told anew.
            Some((newest, None)) if turned_wrong => newest,
            Some((_, None)) => return,
            None => None,
        };
        let reached = moment.cursors.get(network).copied();
        let reported = std::mem::take(&mut self.intent.state.reported);
        let (wrong, kept): (Vec<_>, Vec<_>) = reported.into_iter().partition(|told| {
            // Nothing is less than any height: where nothing holds, all of it is wrong.
            let height = Some(told.height);
            told.network == *network && told_at < height && height <= reached
        });
        self.intent.state.reported = kept;
        let ids: Vec<_> = wrong.iter().flat_map(|told| self.ids_of(told)).collect();
        self.retract(&ids, Retraction::WrongAmount, moment);
    }

    /// Tells which events do not hold any more, and what does.
    pub(super) fn retract(&mut self, ids: &[EventId], reason: Retraction, moment: &Moment) {
        for ids in ids.chunks(MAX_RETRACTS) {
            let event = self.emit(EventKind::PaymentReverted, moment);
            event.data.retracts = ids.to_vec();
            event.data.reason = Some(reason);
        }
    }

    fn known(&self, network: &NetworkId, tale: &Tale) -> Option<usize> {
        self.intent.state.reported.iter().position(|milestone| milestone.tells(network, tale))
    }

    /// Whether an event may tell it now. What lies below something told already (the order changed
    /// in a reorg, a backfill found an early part) is not told any more, so that the newest event
    /// is always right (I7); the last moment of a step is always told.
    fn is_due(&self, network: &NetworkId, tale: &Tale, moment: &Moment, is_last: bool) -> bool {
        let here = self.intent.state.reported.iter().filter(|told| told.network == *network);
        let newest = here.map(|milestone| milestone.height).max();
        tale.is_news && (is_last || newest < moment.cursors.get(network).copied())
    }

    /// Tells a further confirmation to whoever wants every one.
    fn tell_progress(&mut self, known: usize, now: &Assessment, moment: &Moment) {
        let depth = now.confirmations.0;
        let told = self.intent.state.reported[known].progress.keys().max().copied().unwrap_or(1);
        let cursor = moment.cursors.get(&self.intent.state.reported[known].network);
        let is_later = cursor > Some(&self.intent.state.reported[known].height);
        if self.intent.wants_progress && now.rank == Rank::Detected && is_later && depth > told {
            let sequence = self.emit(EventKind::PaymentConfirming, moment).sequence;
            self.intent.state.reported[known].progress.insert(depth, sequence);
        }
    }

    /// What a network's transfers amount to. A partial payment stays one when another rail, or
    /// nothing, settles the intent in the end: that is no reason to take back what was told of it.
    fn tale(&self, network: &NetworkId, now: &Assessment) -> Option<Tale> {
        let settles = now.rank >= Rank::Detected && self.intent.rails[now.rail].network == *network;
        let mut parts = BTreeSet::new();
        let (mut is_news, mut newest) = (false, None);
        for (credit, role) in std::iter::zip(&self.credits, &now.roles) {
            let counts = match role {
                Role::Pays(_) => true,
                Role::Orphan(OrphanReason::OtherRail | OrphanReason::Underpaid) => !settles,
                Role::Orphan(_) | Role::Seen(_) | Role::Gone => false,
            };
            if let Some(rail) = self.intent.rail_for(credit)
                && counts
                && credit.network == *network
            {
                is_news |= matches!(role, Role::Pays(_));
                newest = newest.max(credit.place.as_ref().map(|place| place.height));
                parts.insert(format!("{} {rail} {}", credit.name(), credit.amount));
            }
        }
        let parts: Vec<_> = parts.iter().map(String::as_str).collect();
        let rank = if settles { now.rank } else { Rank::Partial };
        (!parts.is_empty()).then(|| Tale { rank, told: derived_id("", &parts), newest, is_news })
    }

    /// Brings status, roles and the confirmation up to a moment.
    fn observe(&mut self, moment: &Moment) -> Assessment {
        let now = assess(&self.intent, &self.credits, &moment.cursors);
        self.intent.state.status = now.status;
        for (index, role) in now.roles.iter().enumerate() {
            let deep = self.deep_since(&self.credits[index], &moment.cursors);
            let credit = &mut self.credits[index];
            credit.role = *role;
            credit.confirmed_at = deep.map(|_| credit.confirmed_at.unwrap_or(moment.time));
        }
        let required = self.intent.required_by(now.rail);
        let confirmed = &mut self.intent.state.confirmed;
        if let (Rank::Confirmed, Some(height), None) = (now.rank, now.confirmed_height, &confirmed)
        {
            *confirmed = Some(Confirmed { rail: now.rail, height, at: moment.time, required });
        }
        now
    }

    /// Tells whatever holds at a moment and was not told, and takes back orphans that are none.
    pub(super) fn settle_at(&mut self, moment: &Moment) {
        self.take_back_replaced(moment);
        for network in self.networks() {
            self.reach(&network, moment, true);
        }
        self.take_back_untrue_orphans(moment, None, |_, _| false);
        self.tell_orphans(moment);
        self.tell_seen(moment);
    }

    /// Retracts, payments and orphans, what only the lost branch carried (I4).
    pub(super) fn take_back(&mut self, ancestor: Height, change: &Change<'_>) {
        self.take_back_payments(ancestor, change);
        self.observe(&change.moment(change.cursor()));
        self.take_back_orphans(change);
    }

    /// The surviving branch is walked first:
    /// what it tells too was told already and stays.
    fn take_back_payments(&mut self, ancestor: Height, change: &Change<'_>) {
        self.forget_lost_confirmation(ancestor, change.network);
        let reported = std::mem::take(&mut self.intent.state.reported);
        let (mut lost, kept): (Vec<_>, Vec<_>) = reported
            .into_iter()
            .partition(|told| told.network == *change.network && told.height > ancestor);
        self.intent.state.reported = kept;
        for height in self.heights(change) {
            let now = self.observe(&change.moment(height));
            if let Some(tale) = self.tale(change.network, &now)
                && let Some(found) = lost.iter().position(|told| told.tells(change.network, &tale))
            {
                let stays = Milestone { height, ..lost.remove(found) };
                self.intent.state.reported.push(stays);
            }
        }
        // Where a payment was replaced on the surviving branch, that is why it is gone for good.
        let mut ids = self.forget_replaced();
        let reason = if ids.is_empty() { change.retraction } else { Retraction::Replaced };
        ids.extend(lost.iter().flat_map(|told| self.ids_of(told)));
        ids.extend(self.lost_progress(change));
        if ids.is_empty() {
            return;
        }
        let moment = self.before_news(change);
        self.observe(&moment);
        self.retract(&ids, reason, &moment);
    }

    /// The moment before the next news: the one whose state a retraction tells.
    pub(super) fn before_news(&self, change: &Change<'_>) -> Moment {
        let news = self.heights(change).into_iter().find(|&height| self.has_news(height, change));
        change.moment(news.and_then(Height::previous).unwrap_or(change.cursor()))
    }

    /// Confirmations that rested on lost blocks have to be reached again.
    fn forget_lost_confirmation(&mut self, ancestor: Height, network: &NetworkId) {
        let rests_on_lost = |confirmed: &Confirmed| {
            self.intent.rails[confirmed.rail].network == *network && confirmed.height > ancestor
        };
        if self.intent.state.confirmed.as_ref().is_some_and(rests_on_lost) {
            self.intent.state.confirmed = None;
        }
        self.walk_from(network, ancestor.next());
    }

    /// What a network's blocks from here on confirm is to be found out by looking at them in order.
    pub(super) fn walk_from(&mut self, network: &NetworkId, from: Height) {
        for credit in self.credits.iter_mut().filter(|credit| credit.network == *network) {
            let place = credit.place.as_ref();
            let required = required_of(&self.intent, credit);
            if place.is_none_or(|place| deep_at(place.height, required) >= from) {
                credit.confirmed_at = None;
            }
        }
    }

    fn has_news(&self, height: Height, change: &Change<'_>) -> bool {
        let moment = change.moment(height);
        let now = assess(&self.intent, &self.credits, &moment.cursors);
        self.tale(change.network, &now).is_some_and(|tale| {
            self.known(change.network, &tale).is_none()
                && self.is_due(change.network, &tale, &moment, height == change.cursor())
        })
    }

    fn ids_of(&self, milestone: &Milestone) -> Vec<EventId> {
        let progress = milestone.progress.values().map(|sequence| self.progress_id(*sequence));
        std::iter::once(milestone.event.clone()).chain(progress).collect()
    }

    fn progress_id(&self, sequence: u32) -> EventId {
        let key = &self.intent.key;
        EventId::derive(&key.account, &key.id, sequence, EventKind::PaymentConfirming)
    }

    /// Confirmations told that the surviving branch does not have (yet).
    fn lost_progress(&mut self, change: &Change<'_>) -> Vec<EventId> {
        let now = assess(&self.intent, &self.credits, change.cursors);
        if self.intent.rails[now.rail].network != *change.network {
            return Vec::new();
        }
        let mut lost = Vec::new();
        for milestone in &mut self.intent.state.reported {
            if milestone.network == *change.network {
                lost.extend(milestone.progress.split_off(&(now.confirmations.0 + 1)).into_values());
            }
        }
        lost.into_iter().map(|sequence| self.progress_id(sequence)).collect()
    }

    /// Adds an event that tells the intent as it is at a moment.
    pub(super) fn emit(&mut self, kind: EventKind, moment: &Moment) -> &mut Event {
        let state = &mut self.intent.state;
        state.updated_at = self.now;
        state.sequence += 1;
        let sequence = state.sequence;
        let key = &self.intent.key;
        let id = EventId::derive(&key.account, &key.id, sequence, kind);
        let view = IntentView::at(&self.intent, &self.credits, &moment.cursors, moment.time);
        let event = Event::of_intent(id, kind, key, sequence, moment.time, view);
        self.events.push(event);
        let last = self.events.len() - 1;
        &mut self.events[last]
    }

    /// Reports orphans once they are deep enough that nobody refunds what a reorg takes away.
    pub(super) fn tell_orphans(&mut self, moment: &Moment) {
        for index in 0..self.credits.len() {
            let credit = &self.credits[index];
            let amount = credit.amount;
            if let (Role::Orphan(reason), None) = (credit.role, &credit.orphan.reported)
                && credit.dismissed().is_none()
                && let Some(height) = self.deep_since(credit, &moment.cursors)
            {
                let event = self.emit_orphan(index, EventKind::OrphanReceived, reason, moment);
                let event = event.id.clone();
                self.credits[index].orphan.reported =
                    Some(ReportedOrphan { event, reason, amount, height });
            }
        }
    }

    /// Takes back the orphans that are none any more, or others than was told. A reorg also takes
    /// back those that are not deep enough any more.
    pub(super) fn take_back_orphans(&mut self, change: &Change<'_>) {
        let moment = change.moment(change.cursor());
        let reason = change.rolled_back_to.is_some().then_some(change.retraction);
        self.take_back_untrue_orphans(&moment, reason, |credit, told| {
            let lost = |ancestor| credit.network == *change.network && told.height > ancestor;
            change.rolled_back_to.is_some_and(lost)
        });
    }

    fn take_back_untrue_orphans(
        &mut self,
        moment: &Moment,
        reason: Option<Retraction>,
        lost: impl Fn(&Credit, &ReportedOrphan) -> bool,
    ) {
        for index in 0..self.credits.len() {
            let credit = &self.credits[index];
            let Some(told) = credit.orphan.reported.clone() else { continue };
            let is_as_deep =
                self.deep_since(credit, &moment.cursors).is_some() || !lost(credit, &told);
            let is_as_told =
                credit.role == Role::Orphan(told.reason) && credit.amount == told.amount;
            if is_as_told && is_as_deep {
                continue;
            }
            let event = self.emit_orphan(index, EventKind::OrphanReverted, told.reason, moment);
            event.data.retracts = vec![told.event];
            event.data.reason = reason;
            self.credits[index].orphan.reported = None;
        }
    }

    /// The height of the cursor that made a transfer deep enough, if it is.
    fn deep_since(&self, credit: &Credit, cursors: &BTreeMap<NetworkId, Height>) -> Option<Height> {
        let place = credit.place.as_ref()?;
        let deep = deep_at(place.height, required_of(&self.intent, credit));
        (deep <= *cursors.get(&credit.network)?).then_some(deep)
    }

    fn emit_orphan(
        &mut self,
        index: usize,
        kind: EventKind,
        reason: OrphanReason,
        moment: &Moment,
    ) -> &mut Event {
        self.credits[index].orphan.sequence += 1;
        let credit = &self.credits[index];
        let sequence = credit.orphan.sequence;
        let orphan = OrphanView::of(&self.intent.key, credit, reason);
        self.emit_of(orphan, sequence, kind, moment)
    }

    /// Adds an event about an orphan that the intent has, or had.
    pub(super) fn emit_of(
        &mut self,
        orphan: OrphanView,
        sequence: u32,
        kind: EventKind,
        moment: &Moment,
    ) -> &mut Event {
        self.intent.state.updated_at = self.now;
        let key = &self.intent.key;
        let id = EventId::derive(&key.account, &orphan.id, sequence, kind);
        let view = IntentView::at(&self.intent, &self.credits, &moment.cursors, moment.time);
        let event = Event::of_orphan(id, kind, key, sequence, moment.time, orphan, view);
        self.events.push(event);
        let last = self.events.len() - 1;
        &mut self.events[last]
    }
}
