//! When payers who wait had the chain looked at.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use confirmd_chain::Timestamp;

use crate::settlement::IntentKey;

/// How often one intent's networks are looked at.
const LOOK_EVERY_MS: i64 = 5_000;

/// When each intent's networks were last looked at.
#[derive(Clone, Debug, Default)]
pub struct Looks(Arc<Mutex<BTreeMap<IntentKey, Timestamp>>>);

impl Looks {
    /// Whether it is time for another look, which is taken then.
    pub(super) fn is_due(&self, key: &IntentKey, now: Timestamp) -> bool {
        let mut looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        looks.retain(|_, at| now.0 - at.0 < LOOK_EVERY_MS);
        let is_due = !looks.contains_key(key);
        if is_due {
            looks.insert(key.clone(), now);
        }
        is_due
    }
}
