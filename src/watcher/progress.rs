//! What a follower shows of itself: its network's status, and the gauges.

use std::sync::Arc;

use confirmd_chain::{Chain, ChainError, Heads, Height, Timestamp};
use tracing::{error, warn};

use super::beside::Board;
use super::commit::Committer;
use super::followed::Followed;
use super::step::{BATCH, StepError};
use crate::settlement::NetworkId;
use crate::store::{Cursor, Fence, FollowerState, FollowerStatus, StoreError};

/// How often the status is written while nothing in it changes but numbers.
const STATUS_EVERY_MS: i64 = 2_000;
/// How long a named block may be missing before that is shown as a stall.
const MISSING_FOR_MS: i64 = 30_000;

/// Writes a network's status when its state changes, else now and then.
pub(super) struct StatusBoard {
    committer: Committer,
    chain: Arc<dyn Chain>,
    /// Of the last post; none once another instance took over.
    pub(super) fence: Option<Fence>,
    /// What the mempool's watcher says.
    pub(super) mempool: Board,
    /// What the backfills say.
    pub(super) look_back: Board,
    status: FollowerStatus,
    written: Timestamp,
    behind_since: Option<Timestamp>,
}

impl StatusBoard {
    pub(super) fn new(followed: &Followed, committer: &Committer) -> Self {
        let status = FollowerStatus {
            state: FollowerState::CatchingUp,
            since: committer.clock.now(),
            verify: followed.verify.to_owned(),
            threshold: followed.threshold.0,
            ..FollowerStatus::default()
        };
        Self {
            committer: committer.clone(),
            chain: followed.chain.clone(),
            fence: None,
            mempool: Board::default(),
            look_back: Board::default(),
            status,
            written: Timestamp(0),
            behind_since: None,
        }
    }

    /// A step was made; the providers are at `heads`.
    pub(super) async fn show_progress(
        &mut self,
        cursor: Option<&Cursor>,
        finalized: Option<Height>,
        heads: &Heads,
    ) -> Result<(), StoreError> {
        let now = self.committer.clock.now();
        let scanned = cursor.map(|cursor| cursor.height);
        let behind = scanned < Some(heads.latest.height);
        self.behind_since = if behind { self.behind_since.or(Some(now)) } else { None };
        let lag = self.behind_since.map_or(0, |since| now.0.saturating_sub(since.0));
        self.status.head = Some(heads.latest.height);
        self.status.finalized = finalized;
        self.status.lag_ms = u64::try_from(lag).unwrap_or(0);
        let far = heads.latest.height.0.saturating_sub(scanned.map_or(0, |height| height.0));
        let (state, reason) = match &heads.held_back {
            _ if far > BATCH => (FollowerState::CatchingUp, None),
            Some(words) if !behind => (FollowerState::Stalled, Some(words.clone())),
            _ => (FollowerState::Following, None),
        };
        gauges(&self.committer.network, cursor, heads);
        self.show(state, reason).await
    }

    /// A step failed.
    pub(super) async fn show_failure(&mut self, failed: &StepError) {
        let network = &self.committer.network;
        let state = match failed {
            StepError::Stopped(_) => {
                error!(%network, reason = %failed, "stopped: an operator has to look");
                FollowerState::Stopped
            }
            // A block that was just announced is often not there yet.
            StepError::Chain(ChainError::NotFound) if !self.is_late() => return,
            StepError::Store(StoreError::Fenced) => {
                warn!(%network, "another instance took over; nothing more is written by this one");
                self.fence = None;
                return;
            }
            StepError::Chain(_) | StepError::Store(_) | StepError::UnknownAsset(_) => {
                warn!(%network, reason = %failed, "stalled");
                FollowerState::Stalled
            }
        };
        if let Err(unwritten) = self.show(state, Some(failed.to_string())).await {
            warn!(network = %self.committer.network, error = %unwritten, "status not written");
        }
    }

    /// Whether the providers have named blocks for a while that nobody hands over.
    fn is_late(&self) -> bool {
        let now = self.committer.clock.now();
        self.behind_since.is_some_and(|since| now.0 - since.0 >= MISSING_FOR_MS)
    }

    async fn show(
        &mut self,
        state: FollowerState,
        reason: Option<String>,
    ) -> Result<(), StoreError> {
        let now = self.committer.clock.now();
        let (mempool, look_back) = (self.mempool.shown(), self.look_back.shown());
        let changed = self.status.state != state
            || self.status.reason != reason
            || self.status.mempool != mempool
            || self.status.look_back != look_back;
        if self.status.state != state {
            self.status.since = now;
        }
        self.status.state = state;
        self.status.reason = reason;
        self.status.mempool = mempool;
        self.status.look_back = look_back;
        if !changed && now.0 - self.written.0 < STATUS_EVERY_MS {
            return Ok(());
        }
        let Some(fence) = &self.fence else { return Ok(()) };
        let providers = self.chain.providers();
        self.status.providers = providers.into_iter().map(Into::into).collect();
        self.committer.store.write_status(fence, &self.status, now).await?;
        self.written = now;
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float; heights stay below 2^53")]
fn gauges(network: &NetworkId, cursor: Option<&Cursor>, heads: &Heads) {
    let network = || network.to_string();
    metrics::gauge!("confirmd_network_head_height", "network" => network())
        .set(heads.latest.height.0 as f64);
    if let Some(cursor) = cursor {
        metrics::gauge!("confirmd_network_scanned_height", "network" => network())
            .set(cursor.height.0 as f64);
        metrics::gauge!("confirmd_network_scanned_timestamp_seconds", "network" => network())
            .set((cursor.time.0 / 1_000) as f64);
    }
}
