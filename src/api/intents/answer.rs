//! An intent as the API answers it.

use std::collections::BTreeMap;

use confirmd_chain::Height;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::context::Context;
use crate::api::fields::Note;
use crate::api::problem::Problem;
use crate::settlement::{Credit, Intent, IntentKey, IntentView, NetworkId};

/// An intent as the API answers it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct IntentAnswer {
    /// Whose it is.
    pub(super) account: String,
    /// What was taken otherwise than asked for, or is worth knowing; only when an intent is created
    /// or changed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) notes: Vec<Note>,
    #[serde(flatten)]
    pub(super) intent: IntentView,
}

pub(super) fn answer(
    intent: &Intent,
    credits: &[Credit],
    cursors: &BTreeMap<NetworkId, Height>,
    context: &Context,
) -> IntentAnswer {
    let view = IntentView::at(intent, credits, cursors, context.clock.now());
    IntentAnswer { account: intent.key.account.clone(), notes: Vec::new(), intent: view }
}

pub(super) async fn show(key: &IntentKey, context: &Context) -> Result<IntentAnswer, Problem> {
    // First the cursors: an intent read after them is never behind them.
    let cursors = context.store.cursors().await?;
    let found = context.store.intent(key).await?;
    let (intent, credits) = found.ok_or(Problem::NotFound("intent"))?;
    Ok(answer(&intent, &credits, &cursors, context))
}
