//! Webhooks: what each endpoint is told of an event, and how it gets there.

mod dialect;
mod endpoints;
mod guard;
mod signature;

pub use endpoints::{Endpoints, shown_url};
pub use guard::{UrlError, check_url, is_public};
