//! Who gets which event.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::watch;
use url::Url;

use crate::config::Endpoint;
use crate::settlement::{Event, EventKind, Intent};
use crate::store::NewDelivery;

/// The endpoints, by name. Cheap to clone; all clones see a change.
#[derive(Clone, Debug)]
pub struct Endpoints(watch::Sender<Arc<Directory>>);

#[derive(Debug, Default)]
struct Directory {
    endpoints: BTreeMap<String, Arc<Endpoint>>,
    ops: Option<String>,
}

impl Endpoints {
    /// These endpoints; `ops_endpoint` is the one that gets every event of every intent.
    #[must_use]
    pub fn new(endpoints: BTreeMap<String, Endpoint>, ops_endpoint: Option<String>) -> Self {
        Self(watch::Sender::new(Arc::new(directory(endpoints, ops_endpoint))))
    }

    /// Takes other endpoints in place of the present ones.
    pub fn replace(&self, endpoints: BTreeMap<String, Endpoint>, ops_endpoint: Option<String>) {
        self.0.send_replace(Arc::new(directory(endpoints, ops_endpoint)));
    }

    /// The endpoint of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Arc<Endpoint>> {
        self.0.borrow().endpoints.get(name).cloned()
    }

    /// All names, in order.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.0.borrow().endpoints.keys().cloned().collect()
    }

    pub(super) fn changes(&self) -> Changes {
        Changes(self.0.subscribe())
    }

    /// Whether one of these endpoints asks for an event for every further confirmation.
    #[must_use]
    pub fn wants_progress(&self, names: &[String]) -> bool {
        let directory = Arc::clone(&self.0.borrow());
        names.iter().chain(&directory.ops).any(|name| {
            let filter = directory.endpoints.get(name).and_then(|e| e.events.as_ref());
            filter.is_some_and(|events| events.contains(&EventKind::PaymentConfirming))
        })
    }

    /// What each endpoint is to get of an event, rendered once and for all (I7).
    #[must_use]
    pub fn route(&self, intent: &Intent, event: &Event) -> Vec<NewDelivery> {
        self.route_to(&intent.endpoints, event)
    }

    /// As [`Self::route`], for an event that is no intent's and goes to these endpoints.
    #[must_use]
    pub fn route_to(&self, endpoints: &[String], event: &Event) -> Vec<NewDelivery> {
        let directory = Arc::clone(&self.0.borrow());
        let names: BTreeSet<&String> = endpoints.iter().chain(&directory.ops).collect();
        names.into_iter().filter_map(|name| directory.delivery(name, event)).collect()
    }
}

/// Tells that the endpoints are others now.
pub(super) struct Changes(watch::Receiver<Arc<Directory>>);

impl Changes {
    /// Returns once they are; never again when the last [`Endpoints`] is gone.
    pub(super) async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

fn directory(endpoints: BTreeMap<String, Endpoint>, ops: Option<String>) -> Directory {
    let endpoints = endpoints.into_iter().map(|(name, e)| (name, Arc::new(e))).collect();
    Directory { endpoints, ops }
}

impl Directory {
    fn delivery(&self, name: &str, event: &Event) -> Option<NewDelivery> {
        let Some(endpoint) = self.endpoints.get(name) else {
            tracing::warn!(endpoint = name, event = %event.id, "an endpoint is not configured");
            return None;
        };
        let wanted = self.ops.as_deref() == Some(name)
            || match &endpoint.events {
                Some(events) => events.contains(&event.kind),
                None => event.kind.on_by_default(),
            };
        let body = wanted.then(|| endpoint.dialect.body(event)).flatten()?;
        Some(NewDelivery { endpoint: name.to_owned(), body })
    }
}

/// A URL as people may see it: without credentials, query and fragment, which may hold secrets
/// (I12).
#[must_use]
pub fn shown_url(url: &Url) -> String {
    let origin = url.origin().ascii_serialization();
    format!("{origin}{}", url.path())
}
