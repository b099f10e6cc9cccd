//! Writing an intent that was changed before anybody paid it.

use std::collections::BTreeMap;

use confirmd_chain::{Timestamp, WatchKey};

use super::database::{Transaction, to_json};
use super::intents::CreateError;
use crate::settlement::{Intent, NetworkId};

/// An intent that was changed before anybody paid it.
#[derive(Clone, Debug)]
pub struct Repoint<'a> {
    /// The intent as it is now.
    pub intent: &'a Intent,
    /// The places of its new rails, and what decoders look up for each.
    pub added: Vec<(usize, WatchKey)>,
    /// The watch versions that bring them, by network.
    pub versions: &'a BTreeMap<NetworkId, i64>,
    /// The block time from which on payments to the new rails are looked for.
    pub look_back_from: Timestamp,
}

impl Transaction {
    /// Writes an intent that was changed while it was locked. Its replaced rails wait no more, so
    /// their addresses are free, but are watched as long as the intent is; its new ones leave
    /// backfills, as those of a new intent do (I13).
    ///
    /// # Errors
    /// [`CreateError::AddressInUse`] names the new rail's place in the intent; the transaction is
    /// then to be dropped.
    pub async fn repoint(&mut self, change: &Repoint<'_>) -> Result<(), CreateError> {
        let intent = change.intent;
        let key = intent.key.to_string();
        sqlx::query(
            "UPDATE intents SET expires_at = $2, metadata = $3, state = $4, updated_at = $5
             WHERE intent = $1",
        )
        .bind(&key)
        .bind(intent.expires_at.0)
        .bind(intent.metadata.to_string())
        .bind(to_json(&intent.state)?)
        .bind(intent.state.updated_at.0)
        .execute(&mut *self.inner)
        .await?;
        for rail in intent.rails.iter().filter(|rail| rail.replaced_at.is_some()) {
            sqlx::query(
                "UPDATE rails SET waiting = 0, replaced_at = $3 WHERE intent = $1 AND rail_id = $2",
            )
            .bind(&key)
            .bind(&rail.rail_id)
            .bind(rail.replaced_at.map(|at| at.0))
            .execute(&mut *self.inner)
            .await?;
        }
        let mut networks = BTreeMap::new();
        for (place, watch) in &change.added {
            let rail = &intent.rails[*place];
            let version = change.versions.get(&rail.network).copied().unwrap_or(0);
            if !self.insert_rail(&key, *place, rail, watch, version).await? {
                return Err(CreateError::AddressInUse(*place));
            }
            networks.insert(rail.network.clone(), version);
        }
        self.look_back(&key, &networks, change.look_back_from).await?;
        Ok(())
    }
}
