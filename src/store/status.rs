//! What a network's follower says of itself, kept in the network's row so that any instance can
//! show it.

use std::collections::BTreeMap;

use confirmd_chain::{Height, ProviderStatus, Timestamp};
use serde::{Deserialize, Serialize};

/// Whether a network is followed.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum FollowerState {
    /// At the tip.
    Following,
    /// Below the tip and getting nearer.
    #[default]
    CatchingUp,
    /// No step succeeds at present; it is tried again for ever (I3).
    Stalled,
    /// Stopped until an operator acts (I5), and why.
    Stopped,
}

impl FollowerState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Following, Self::CatchingUp, Self::Stalled, Self::Stopped];

    /// As in the status and the metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Following => "following",
            Self::CatchingUp => "catching-up",
            Self::Stalled => "stalled",
            Self::Stopped => "stopped",
        }
    }
}

/// What a network's follower last said of itself. How far it came is the cursor's to say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FollowerStatus {
    /// Whether it follows.
    pub state: FollowerState,
    /// Why it does not, in words, without URL or credentials (I12).
    pub reason: Option<String>,
    /// Since when it is in this state.
    pub since: Timestamp,
    /// The newest height that its providers name.
    pub head: Option<Height>,
    /// The newest height that they call irreversible.
    pub finalized: Option<Height>,
    /// How long the head has been ahead of the cursor, in milliseconds; zero at the tip.
    pub lag_ms: u64,
    /// How answers are proven: `receipts`, `logs`, `work` or `links`.
    pub verify: String,
    /// The confirmations that an intent needs here unless it says otherwise.
    pub threshold: u32,
    /// The providers in the order of the configuration.
    pub providers: Vec<ProviderState>,
    /// How its mempool is read; none where that was not done, or the network has none.
    pub mempool: Option<BesideStatus>,
    /// How the look-back for watches that came later goes; none where there was none yet.
    pub look_back: Option<BesideStatus>,
}

/// How something that is done beside the blocks goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BesideStatus {
    /// Why it does not, in words, without URL or credentials (I12).
    pub reason: Option<String>,
    /// Since when that is so.
    pub since: Timestamp,
}

/// One provider as the status shows it; [`ProviderStatus`] as it reads back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ProviderState {
    /// Its name in the configuration.
    pub name: String,
    /// Whether it is asked now; false while it is put aside.
    pub healthy: bool,
    /// How long its last answer took, in milliseconds.
    pub latency_ms: u64,
    /// How often each kind of fault was seen since the start.
    pub faults: BTreeMap<String, u64>,
    /// The last fault in words, without URL or credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_fault: Option<String>,
}

impl From<ProviderStatus> for ProviderState {
    fn from(status: ProviderStatus) -> Self {
        let ProviderStatus { name, healthy, latency_ms, faults, last_fault } = status;
        let faults = faults.into_iter().map(|(kind, count)| (kind.to_owned(), count)).collect();
        Self { name, healthy, latency_ms, faults, last_fault }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_reads_back_as_written_and_an_older_one_with_defaults() {
        let status = FollowerStatus {
            state: FollowerState::Stalled,
            reason: Some("no provider answers".to_owned()),
            head: Some(Height(7)),
            providers: vec![ProviderState { name: "main".to_owned(), ..Default::default() }],
            ..FollowerStatus::default()
        };
        let text = serde_json::to_string(&status).expect("writes");
        assert_eq!(serde_json::from_str::<FollowerStatus>(&text).expect("reads"), status);
        let older: FollowerStatus =
            serde_json::from_str(r#"{"state":"following","gone":1}"#).expect("reads");
        assert_eq!(older.state, FollowerState::Following);
        for state in FollowerState::ALL {
            assert_eq!(serde_json::json!(state), state.as_str());
        }
    }
}
