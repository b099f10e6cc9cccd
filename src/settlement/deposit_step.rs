//! A step of a deposit's network: what is new, and what has to be taken back.
//!
//! As with intents, what was told is remembered, and a reorg takes back what the surviving branch
//! does not tell too (I4).

use std::collections::{BTreeMap, BTreeSet};

use confirmd_chain::{Height, Timestamp};

use super::credit::deep_at;
use super::deposit::{Deposit, DepositView, Told};
use super::event::Event;
use super::ids::EventId;
use super::kinds::{EventKind, Retraction};

/// A step of the deposit's network.
#[derive(Clone, Copy, Debug)]
pub struct DepositChange<'a> {
    /// Where the surviving chain begins, if blocks above it were taken back.
    pub rolled_back_to: Option<Height>,
    /// The first height at which something may be new.
    pub from: Height,
    /// How far the network is followed now.
    pub cursor: Height,
    /// Times of its blocks; of [`deposit_heights`] at least.
    pub times: &'a BTreeMap<Height, Timestamp>,
    /// What took a deposit back, if it is gone.
    pub retraction: Retraction,
    /// The wall time.
    pub now: Timestamp,
}

impl DepositChange<'_> {
    fn time_at(&self, height: Height) -> Timestamp {
        self.times.get(&height).copied().unwrap_or(self.now)
    }
}

/// The heights at which something may change for a deposit: where it stands, where it becomes deep
/// enough, and the cursor. None below `from`.
#[must_use]
pub fn deposit_heights(deposit: &Deposit, from: Height, cursor: Height) -> BTreeSet<Height> {
    let mut heights = BTreeSet::from([cursor]);
    if let Some(place) = &deposit.place {
        heights.extend([place.height, deep_at(place.height, deposit.required)]);
    }
    heights.retain(|height| (from..=cursor).contains(height));
    heights
}

impl Deposit {
    /// Carries it over a step of its network: what must be taken back first, then what is new.
    #[must_use]
    pub fn settle(mut self, change: &DepositChange<'_>) -> (Self, Vec<Event>) {
        let mut events = Vec::new();
        let lost = self.forget_lost(change);
        if !lost.is_empty() {
            let mut event = self.event(EventKind::DepositReverted, change.cursor, change);
            event.data.retracts = lost;
            event.data.reason = Some(change.retraction);
            events.push(event);
        }
        for height in deposit_heights(&self, change.from, change.cursor) {
            events.extend(self.reach(height, change));
        }
        (self, events)
    }

    /// Tells what holds at a height and was not told, by the highest event that applies.
    fn reach(&mut self, height: Height, change: &DepositChange<'_>) -> Option<Event> {
        let place = self.place.as_ref()?;
        if height < place.height || self.memory.confirmed.is_some() {
            return None;
        }
        let is_deep = height >= deep_at(place.height, self.required);
        let kind = match (is_deep, &self.memory.detected) {
            (true, _) => EventKind::DepositConfirmed,
            (false, None) => EventKind::DepositDetected,
            (false, Some(_)) => return None,
        };
        let told =
            |event| Some(Told { event, height, at: change.time_at(height), amount: self.amount });
        let event = EventId::derive(
            &self.wallet.account,
            &Self::id(&self.network, &self.id),
            self.memory.sequence + 1,
            kind,
        );
        match is_deep {
            true => self.memory.confirmed = told(event),
            false => self.memory.detected = told(event),
        }
        Some(self.event(kind, height, change))
    }

    /// Forgets what was told and does not hold; answers the events. What the surviving branch
    /// tells too stays, at its new height.
    fn forget_lost(&mut self, change: &DepositChange<'_>) -> Vec<EventId> {
        let deep = self.place.as_ref().map(|place| deep_at(place.height, self.required));
        let stands = self.place.as_ref().map(|place| place.height);
        let is_lost = |told: &Told, reached: Option<Height>| {
            let is_on_lost_branch = change.rolled_back_to.is_some_and(|kept| told.height > kept);
            told.amount != self.amount
                || match reached {
                    None => true,
                    Some(reached) => is_on_lost_branch && reached > change.cursor,
                }
        };
        let mut lost = Vec::new();
        let memory = &mut self.memory;
        for (told, reached) in [(&mut memory.detected, stands), (&mut memory.confirmed, deep)] {
            match told {
                Some(event) if is_lost(event, reached) => {
                    lost.push(event.event.clone());
                    *told = None;
                }
                // On both branches: it happened where the surviving one has it.
                Some(event) if change.rolled_back_to.is_some_and(|kept| event.height > kept) => {
                    event.height = reached.unwrap_or(event.height);
                    event.at = change.time_at(event.height);
                }
                Some(_) | None => {}
            }
        }
        lost
    }

    /// The event of the next sequence number, with the whole state when the network is followed up
    /// to `height`.
    fn event(&mut self, kind: EventKind, height: Height, change: &DepositChange<'_>) -> Event {
        self.memory.sequence += 1;
        let view = DepositView::of(self, height);
        let id = EventId::derive(&self.wallet.account, &view.id, self.memory.sequence, kind);
        let time = change.time_at(height);
        Event::of_deposit(id, kind, &self.wallet, self.memory.sequence, time, view)
    }
}
