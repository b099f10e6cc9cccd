//! Which providers show call traces.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use confirmd_rpc::Provider;

use crate::traces::TraceMethod;

/// A provider that had no traces is asked for them again after so long.
const ASK_AGAIN_AFTER: Duration = Duration::from_mins(10);

/// What is known of each provider, by name.
#[derive(Debug, Default)]
pub(crate) struct Tracers(Mutex<BTreeMap<String, Ability>>);

#[derive(Clone, Copy, Debug)]
pub(crate) enum Ability {
    /// It answered with traces.
    Has(TraceMethod),
    /// It had none then.
    Lacks(Instant),
}

impl Tracers {
    /// Whether any provider showed traces.
    pub(crate) fn any(&self) -> bool {
        self.with(|known| known.values().any(|ability| matches!(ability, Ability::Has(_))))
    }

    /// A provider answered a probe with traces.
    pub(crate) fn seen(&self, provider: &Provider, method: TraceMethod) {
        if !matches!(self.of(provider), Some(Ability::Has(_))) {
            self.note(provider, Ability::Has(method));
        }
    }

    /// The provider is asked afresh.
    pub(crate) fn forget(&self, provider: &Provider) {
        self.with(|known| known.remove(provider.name()));
    }

    pub(crate) fn note(&self, provider: &Provider, ability: Ability) {
        self.with(|known| known.insert(provider.name().to_owned(), ability));
    }

    pub(crate) fn of(&self, provider: &Provider) -> Option<Ability> {
        let known = self.with(|known| known.get(provider.name()).copied());
        known.filter(|ability| match ability {
            Ability::Has(_) => true,
            Ability::Lacks(since) => since.elapsed() < ASK_AGAIN_AFTER,
        })
    }

    fn with<T>(&self, look: impl FnOnce(&mut BTreeMap<String, Ability>) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
