//! What the status says that somebody should look at.

use confirmd_chain::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::settlement::rfc3339;

/// Something that somebody should look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StatusProblem {
    /// What kind of problem, for programs.
    pub code: String,
    /// Which network, provider, endpoint or wallet.
    pub subject: String,
    /// Since when, where that is known.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(serialize_with = "optional_time")]
    pub since: Option<Timestamp>,
    /// What to do about it, in words.
    pub action: String,
}

fn optional_time<S: serde::Serializer>(
    time: &Option<Timestamp>,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    time.map(rfc3339).serialize(serializer)
}
