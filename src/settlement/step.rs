//! A step of one network, as far as it touches an intent, and the moments in it.

use std::collections::{BTreeMap, BTreeSet};

use confirmd_chain::{Height, Timestamp};

use super::credit::{Credit, deep_at};
use super::ids::NetworkId;
use super::intent::{Intent, required_of};
use super::kinds::Retraction;

/// How far each network was followed when something happened, and when that was.
pub(super) struct Moment {
    pub(super) cursors: BTreeMap<NetworkId, Height>,
    pub(super) time: Timestamp,
}

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

impl Change<'_> {
    /// The network's new cursor.
    pub(super) fn cursor(&self) -> Height {
        self.cursors.get(self.network).copied().unwrap_or(self.from)
    }

    /// The step when the network had been followed up to `height`.
    pub(super) fn moment(&self, height: Height) -> Moment {
        let mut cursors = self.cursors.clone();
        cursors.insert(self.network.clone(), height);
        Moment { cursors, time: self.time_at(height) }
    }

    fn time_at(&self, height: Height) -> Timestamp {
        let known = self.times.range(height..).next().map(|(_, time)| *time);
        known.unwrap_or(self.now)
    }
}

/// The heights at which something may change for an intent: where a transfer stands, where it
/// becomes deep enough, and the network's cursor. Ascending, none below `from`.
#[must_use]
pub fn step_heights(
    intent: &Intent,
    credits: &[Credit],
    network: &NetworkId,
    from: Height,
    cursor: Height,
) -> BTreeSet<Height> {
    let mut heights = BTreeSet::from([cursor]);
    for credit in credits.iter().filter(|credit| credit.network == *network) {
        let Some(place) = &credit.place else { continue };
        let deep = deep_at(place.height, required_of(intent, credit));
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
