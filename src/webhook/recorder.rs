//! Writes outcomes in groups: the commit is what costs, so all that came while the last one was
//! under way share the next.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::sync::mpsc;

use super::waker::Waker;
use crate::clock::Clock;
use crate::store::{AttemptOutcome, Store};

/// The most outcomes in one commit.
const GROUP: usize = 256;
/// Between two tries while the store fails.
const PAUSE: Duration = Duration::from_secs(1);

/// Where attempts leave their outcomes. It is bounded: while the store fails, attempts wait here,
/// and their endpoints claim no more (F15).
pub(super) type Outcomes = mpsc::Sender<AttemptOutcome>;

pub(super) fn channel() -> (Outcomes, mpsc::Receiver<AttemptOutcome>) {
    mpsc::channel(GROUP)
}

/// Ends once every sender is gone and everything is written.
pub(super) async fn run(
    store: Store,
    clock: Clock,
    waker: Waker,
    mut outcomes: mpsc::Receiver<AttemptOutcome>,
) {
    let mut group = Vec::with_capacity(GROUP);
    while outcomes.recv_many(&mut group, GROUP).await > 0 {
        while let Err(error) = store.record_attempts(&group, clock.now()).await {
            tracing::error!(%error, "outcomes of deliveries cannot be written; trying again");
            tokio::time::sleep(PAUSE).await;
        }
        let endpoints: BTreeSet<&str> = group.iter().map(AttemptOutcome::endpoint).collect();
        for endpoint in endpoints {
            waker.wake_endpoint(endpoint);
        }
        group.clear();
    }
}
