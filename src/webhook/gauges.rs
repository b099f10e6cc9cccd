//! The metrics of what waits.

use std::collections::BTreeMap;

use confirmd_chain::Timestamp;
use metrics::gauge;

use crate::store::EndpointCounts;

/// Shows what each endpoint has not taken. Endpoints without anything are in `names`, so that
/// their numbers fall to zero.
pub(super) fn show(
    counts: &BTreeMap<String, EndpointCounts>,
    names: impl IntoIterator<Item = String>,
    now: Timestamp,
) {
    let nothing = EndpointCounts::default();
    for name in names {
        let of = counts.get(&name).unwrap_or(&nothing);
        let states = [("waiting", of.waiting), ("in_flight", of.in_flight), ("dead", of.dead)];
        for (state, n) in states {
            let labels = [("endpoint", name.clone()), ("state", state.to_owned())];
            gauge!("confirmd_deliveries", &labels).set(as_metric(n));
        }
        let age_ms = of.oldest_waiting.map_or(0, |oldest| now.0.saturating_sub(oldest.0).max(0));
        gauge!("confirmd_delivery_oldest_waiting_seconds", "endpoint" => name)
            .set(as_metric(age_ms.unsigned_abs() / 1_000));
    }
}

/// Metrics are floats; beyond 32 bits they need not be exact.
fn as_metric(n: u64) -> f64 {
    f64::from(u32::try_from(n).unwrap_or(u32::MAX))
}
