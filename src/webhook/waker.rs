//! What tells the courier that there may be something new.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Tells the courier that there may be something new. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Waker(Arc<Mutex<BTreeMap<String, Arc<Notify>>>>);

impl Waker {
    /// After a commit that wrote deliveries, or made some due.
    pub fn wake(&self) {
        for bell in self.bells().values() {
            bell.notify_one();
        }
    }

    pub(super) fn wake_endpoint(&self, name: &str) {
        if let Some(bell) = self.bells().get(name) {
            bell.notify_one();
        }
    }

    pub(super) fn bells(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Notify>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
