//! What an intent's transfers amount to, told and taken back.

use std::collections::{BTreeMap, BTreeSet};

use confirmd_chain::Height;

use super::assess::{Assessment, assess};
use super::credit::{OrphanReason, Role};
use super::ids::{EventId, NetworkId, derived_id};
use super::intent::{Confirmed, Milestone, Rank, Status};
use super::kinds::{EventKind, Retraction};
use super::settler::Settler;
use super::step::{Change, Moment};

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

impl Settler {
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

    /// The surviving branch is walked first:
    /// what it tells too was told already and stays.
    pub(super) fn take_back_payments(&mut self, ancestor: Height, change: &Change<'_>) {
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

    /// As [`Self::take_back_replaced`], in a step of a network.
    pub(super) fn take_back_replaced_in(&mut self, change: &Change<'_>) {
        let ids = self.forget_replaced();
        if !ids.is_empty() {
            let before = self.before_news(change);
            self.retract(&ids, Retraction::Replaced, &before);
        }
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
}
