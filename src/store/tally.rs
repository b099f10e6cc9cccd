//! What a transaction adds to the metrics once it is committed; one that is dropped adds nothing.

use crate::settlement::{EventKind, NetworkId};

#[derive(Default)]
pub(super) struct Tally {
    /// The events that were recorded.
    pub(super) events: Vec<EventKind>,
    /// Per network how many transfers were put on the chain, taken off it, seen before, replaced.
    pub(super) transfers: Vec<(NetworkId, &'static str, u64)>,
}

impl Tally {
    pub(super) fn publish(self) {
        for kind in self.events {
            metrics::counter!("confirmd_events_total", "type" => kind.as_str()).increment(1);
        }
        for (network, outcome, count) in self.transfers {
            let network = network.to_string();
            metrics::counter!(
                "confirmd_transfers_total", "network" => network, "outcome" => outcome
            )
            .increment(count);
        }
    }
}
