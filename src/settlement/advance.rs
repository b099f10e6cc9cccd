//! An intent is carried over a step of one network, or looked at as it is.

use confirmd_chain::Height;

use super::credit::Credit;
use super::intent::Intent;
use super::settler::{Outcome, Settler};
use super::step::{Change, Moment};

/// Carries an intent over a step of one network. What both branches of a reorg hold makes no
/// noise; what only the lost one held is taken back first.
///
/// The step is walked height by height, so that many blocks at once tell what they would have
/// told one by one.
#[must_use]
pub fn apply(intent: Intent, credits: Vec<Credit>, change: &Change<'_>) -> Outcome {
    let cursor = change.cursor();
    let mut settler = Settler::new(intent, credits, change.now);
    if let Some(ancestor) = change.rolled_back_to {
        settler.take_back(ancestor, change);
    }
    settler.take_back_replaced_in(change);
    settler.walk_from(change.network, change.from);
    for height in settler.heights(change) {
        let moment = change.moment(height);
        settler.reach(change.network, &moment, height == cursor);
        settler.tell_orphans(&moment);
    }
    // What this network gave or took may leave the intent to another one.
    let last = change.moment(cursor);
    for network in settler.networks() {
        settler.reach(&network, &last, true);
    }
    settler.take_back_orphans(change);
    settler.tell_orphans(&last);
    settler.tell_seen(&last);
    settler.finish()
}

impl Settler {
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
    fn take_back(&mut self, ancestor: Height, change: &Change<'_>) {
        self.take_back_payments(ancestor, change);
        self.observe(&change.moment(change.cursor()));
        self.take_back_orphans(change);
    }
}
