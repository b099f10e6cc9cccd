//! Transfers that settle nothing, told and taken back.

use super::credit::{Credit, OrphanReason, ReportedOrphan, Role};
use super::event::Event;
use super::kinds::{EventKind, Retraction};
use super::settler::Settler;
use super::step::{Change, Moment};
use super::view::OrphanView;

impl Settler {
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

    pub(super) fn take_back_untrue_orphans(
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
}
