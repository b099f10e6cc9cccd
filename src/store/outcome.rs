//! What settlement decided, written down: state, roles, events, and the outbox.

use std::collections::BTreeMap;
use std::time::Duration;

use confirmd_chain::{Height, Timestamp};

use super::database::{Result, Transaction};
use super::events::{Actor, NewDelivery};
use crate::settlement::{Event, Intent, NetworkId, Outcome, wake_height};

/// What is needed to write an outcome beside the outcome itself.
#[derive(Clone, Copy)]
pub struct Recording<'a> {
    /// How far each network is followed.
    pub cursors: &'a BTreeMap<NetworkId, Height>,
    /// Says what each of the intent's endpoints is to get of an event.
    pub route: &'a (dyn Fn(&Intent, &Event) -> Vec<NewDelivery> + Sync),
    /// Who caused it.
    pub actor: &'a Actor,
    /// How long an address is watched after its intent closed.
    pub late_window: Duration,
    /// The wall time.
    pub now: Timestamp,
}

impl std::fmt::Debug for Recording<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recording").field("actor", self.actor).finish_non_exhaustive()
    }
}

impl Transaction {
    /// Writes what became of an intent, its transfers and its events, in one go.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn record_outcome(
        &mut self,
        outcome: &Outcome,
        recording: &Recording<'_>,
    ) -> Result<()> {
        let Outcome { intent, credits, events, reopened } = outcome;
        let window = i64::try_from(recording.late_window.as_millis()).unwrap_or(i64::MAX);
        let closed = !intent.state.status.is_open();
        let since = intent.state.updated_at.max(intent.expires_at);
        self.save_intent(intent, closed.then(|| since.plus_ms(window))).await?;
        if *reopened {
            self.wait_for_rails(&intent.key.to_string()).await?;
        }
        for credit in credits {
            let cursor = recording.cursors.get(&credit.network).copied();
            let wake = cursor.and_then(|cursor| wake_height(intent, credit, cursor));
            self.save_credit(credit, wake).await?;
        }
        for event in events {
            let deliveries = (recording.route)(intent, event);
            self.record_event(event, &deliveries, recording.now).await?;
            self.record_timeline(
                &intent.key.to_string(),
                event.kind.as_str(),
                &event.headline(),
                recording.actor,
                &serde_json::json!({ "event": event.id, "sequence": event.sequence }).to_string(),
                recording.now,
            )
            .await?;
        }
        Ok(())
    }
}
