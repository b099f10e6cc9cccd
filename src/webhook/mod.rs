//! Webhooks: what each endpoint is told of an event, and how it gets there.
//!
//! [`Endpoints`] renders an event for every endpoint that is to learn of it; the store writes that
//! into the outbox with the event itself. The [`Courier`] takes due deliveries from there, signs
//! and posts them, and has the outcomes recorded in groups.
//!
//! | module | what it knows |
//! | --- | --- |
//! | `endpoints` | who gets which event |
//! | `dialect` | bodies, headers and what counts as taken, for each dialect |
//! | `signature` | Standard Webhooks and plain HMAC |
//! | `guard` | which addresses a name may lead to |
//! | `client` | one attempt, within its limits |
//! | `schedule` | what comes after an attempt |
//! | `courier`, `recorder` | the tasks: one an endpoint (I8), and one that writes outcomes |
//! | `waker` | tells the courier that there may be something new |
//! | `trial` | an endpoint tried out, beside the log |
//! | `gauges` | the metrics of what waits |

mod client;
mod courier;
mod dialect;
mod endpoints;
mod gauges;
mod guard;
mod recorder;
mod schedule;
mod signature;
mod trial;
mod waker;

pub use client::CourierError;
pub use courier::Courier;
pub use endpoints::{Endpoints, shown_url};
pub use trial::{NoWord, Trials};
pub use waker::Waker;
