//! An intent on its way from one state to the next: what is seen of it at a moment, and the events
//! that tell it.

use std::collections::{BTreeMap, BTreeSet};

use confirmd_chain::{Height, Timestamp};

use super::assess::{Assessment, assess};
use super::credit::{Credit, Role, deep_at, with_first_sights};
use super::event::Event;
use super::ids::{EventId, NetworkId};
use super::intent::{Closed, Confirmed, Intent, Rank, Status, required_of};
use super::kinds::{EventKind, Retraction};
use super::step::{Change, Moment, step_heights};
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
    /// Whether the intent was over before, and is open again.
    pub reopened: bool,
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
        let reopened = !status.is_open() && self.intent.state.status.is_open();
        let same = *status == self.intent.state.status
            && std::iter::zip(&self.credits, roles).all(|(credit, role)| credit.role == *role);
        if !same {
            self.intent.state.updated_at = self.now;
        }
        Outcome { intent: self.intent, credits: self.credits, events: self.events, reopened }
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

    /// Tells which events do not hold any more, and what does.
    pub(super) fn retract(&mut self, ids: &[EventId], reason: Retraction, moment: &Moment) {
        for ids in ids.chunks(MAX_RETRACTS) {
            let event = self.emit(EventKind::PaymentReverted, moment);
            event.data.retracts = ids.to_vec();
            event.data.reason = Some(reason);
        }
    }

    /// Brings status, roles and the confirmation up to a moment.
    pub(super) fn observe(&mut self, moment: &Moment) -> Assessment {
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

    /// The height of the cursor that made a transfer deep enough, if it is.
    pub(super) fn deep_since(
        &self,
        credit: &Credit,
        cursors: &BTreeMap<NetworkId, Height>,
    ) -> Option<Height> {
        let place = credit.place.as_ref()?;
        let deep = deep_at(place.height, required_of(&self.intent, credit));
        (deep <= *cursors.get(&credit.network)?).then_some(deep)
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
