//! What each dialect says of each event, held against golden files, and who gets it.

use std::path::Path;

use confirmd::config::{AmnSignature, Dialect, Endpoint};
use confirmd::settlement::{
    Closed, Event, EventKind, Intent, OrphanReason, OrphanView, Retraction, Role, Sighting, Status,
};
use confirmd::webhook::{Endpoints, shown_url};
use confirmd_chain::FeeRate;

use crate::support::{START, credit, endpoint, endpoints, event, intent};

fn amn() -> Endpoint {
    let dialect = Dialect::Amn(AmnSignature::default());
    Endpoint { dialect, ..endpoint("https://shop.example/amn") }
}

fn standard() -> Endpoint {
    endpoint("https://shop.example/hook")
}

/// Names of the endpoints that get the event.
fn routed(endpoints: &Endpoints, intent: &Intent, event: &Event) -> Vec<String> {
    endpoints.route(intent, event).into_iter().map(|delivery| delivery.endpoint).collect()
}

/// Compares with the golden file; `UPDATE_GOLDEN=1` writes it.
fn assert_golden(name: &str, body: &str) {
    let value: serde_json::Value = serde_json::from_str(body).unwrap();
    let text = format!("{value:#}\n");
    let file = format!("{}/tests/golden/webhooks/{name}.json", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, &text).unwrap();
    }
    assert!(Path::new(&file).exists(), "{file} is missing");
    assert_eq!(text, std::fs::read_to_string(&file).unwrap(), "{name}");
}

/// One event of each kind, as it would come.
fn story() -> Vec<Event> {
    let plain = intent("order-1234", &["amn", "standard"]);
    let closed = |status, closed| {
        let mut intent = plain.clone();
        intent.state.status = status;
        intent.state.closed = Some(closed);
        intent
    };
    let paid = [credit(&plain, "12.5")];
    let some = [credit(&plain, "2.5")];
    let mut reverted = event(&plain, &[], 112, 6, EventKind::PaymentReverted);
    let confirmed = event(&plain, &paid, 111, 5, EventKind::PaymentConfirmed);
    reverted.data.retracts = vec![confirmed.id.clone()];
    reverted.data.reason = Some(Retraction::Reorg);
    let expired = closed(Status::Expired, Closed::Expired(START));
    let cancelled = closed(Status::Cancelled, Closed::Cancelled(START));
    let mut waiting = credit(&plain, "12.5");
    waiting.place = None;
    waiting.role = Role::Seen(0);
    waiting.sighting = Some(Sighting {
        fee_rate: FeeRate::new(1_410, 141),
        replaceable: true,
        shown_at: START,
        replaced_by: None,
    });
    let seen = event(&plain, std::slice::from_ref(&waiting), 99, 2, EventKind::PaymentSeen);
    let late = OrphanView::of(&plain.key, &some[0], OrphanReason::Late);
    let mut orphan = event(&plain, &some, 112, 1, EventKind::OrphanReceived);
    orphan.subject.clone_from(&late.id);
    orphan.data.orphan = Some(late);
    vec![
        event(&plain, &[], 99, 1, EventKind::PaymentCreated),
        seen,
        event(&plain, &some, 100, 2, EventKind::PaymentPartial),
        event(&plain, &paid, 100, 3, EventKind::PaymentDetected),
        event(&plain, &paid, 105, 4, EventKind::PaymentConfirming),
        confirmed,
        reverted,
        event(&expired, &[], 112, 7, EventKind::PaymentExpired),
        event(&cancelled, &[], 112, 8, EventKind::PaymentCancelled),
        orphan,
    ]
}

#[test]
fn each_event_is_said_as_the_dialect_says_it() {
    use EventKind::{OrphanReceived, PaymentCreated, PaymentSeen};
    let all = Some(EventKind::ALL.to_vec());
    let list = [
        ("amn", Endpoint { events: all.clone(), ..amn() }),
        ("standard", Endpoint { events: all, ..standard() }),
    ];
    let endpoints = Endpoints::new(endpoints(list), None);
    let plain = intent("order-1234", &["amn", "standard"]);
    for event in story() {
        let deliveries = endpoints.route(&plain, &event);
        let unsaid = matches!(event.kind, PaymentCreated | PaymentSeen | OrphanReceived);
        assert_eq!(deliveries.len(), if unsaid { 1 } else { 2 }, "{}", event.kind);
        for delivery in deliveries {
            assert_golden(&format!("{}-{}", delivery.endpoint, event.kind), &delivery.body);
        }
    }
}

#[test]
fn amn_statuses_are_those_of_the_contract() {
    let list = [("amn", Endpoint { events: Some(EventKind::ALL.to_vec()), ..amn() })];
    let endpoints = Endpoints::new(endpoints(list), None);
    let plain = intent("order-1234", &["amn"]);
    let statuses: Vec<(EventKind, String)> = story()
        .iter()
        .filter_map(|event| {
            let body = endpoints.route(&plain, event).pop()?.body;
            let body: serde_json::Value = serde_json::from_str(&body).unwrap();
            Some((event.kind, body["status"].as_str().unwrap().to_owned()))
        })
        .collect();
    let expected = [
        (EventKind::PaymentPartial, "processing"),
        (EventKind::PaymentDetected, "processing"),
        (EventKind::PaymentConfirming, "processing"),
        (EventKind::PaymentConfirmed, "confirmed"),
        (EventKind::PaymentReverted, "pending"),
        (EventKind::PaymentExpired, "failed"),
        (EventKind::PaymentCancelled, "cancelled"),
    ];
    assert_eq!(statuses, expected.map(|(kind, status)| (kind, status.to_owned())));
}

#[test]
fn an_endpoint_gets_what_its_filter_names_else_what_is_on_by_default() {
    let only = |kinds: &[EventKind]| Endpoint { events: Some(kinds.to_vec()), ..standard() };
    let list = [
        ("plain", standard()),
        ("created", only(&[EventKind::PaymentCreated])),
        ("confirmed", only(&[EventKind::PaymentConfirmed])),
        ("none", only(&[])),
    ];
    let endpoints = Endpoints::new(endpoints(list), None);
    let intent = intent("order-1234", &["plain", "created", "confirmed", "none", "unknown"]);
    let of = |kind| routed(&endpoints, &intent, &event(&intent, &[], 100, 1, kind));
    assert_eq!(of(EventKind::PaymentCreated), ["created"]);
    assert_eq!(of(EventKind::PaymentConfirmed), ["confirmed", "plain"]);
    assert_eq!(of(EventKind::PaymentConfirming), [""; 0]);
    assert_eq!(of(EventKind::PaymentReverted), ["plain"]);
}

#[test]
fn the_ops_endpoint_gets_every_event_once() {
    let list = [("amn", amn()), ("ops", standard())];
    let endpoints = Endpoints::new(endpoints(list), Some("ops".to_owned()));
    for names in [&["amn"][..], &["amn", "ops"]] {
        let intent = intent("order-1234", names);
        for event in story() {
            let got = routed(&endpoints, &intent, &event);
            let ops = got.iter().filter(|name| *name == "ops").count();
            assert_eq!(ops, 1, "{} to {got:?}", event.kind);
        }
    }
}

#[test]
fn progress_is_wanted_only_where_somebody_asks_for_it() {
    let progress = Endpoint { events: Some(vec![EventKind::PaymentConfirming]), ..standard() };
    let list = [("plain", standard()), ("progress", progress)];
    let wants = |ops: Option<&str>, names: &[&str]| {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        Endpoints::new(endpoints(list.clone()), ops.map(str::to_owned)).wants_progress(&names)
    };
    assert!(!wants(None, &["plain", "unknown"]));
    assert!(!wants(Some("plain"), &["plain"]));
    assert!(wants(None, &["plain", "progress"]));
    assert!(wants(Some("progress"), &["plain"]));
}

#[test]
fn a_url_is_shown_without_what_may_be_secret_i12() {
    let url = "https://user:pass@shop.example:8443/hook?token=abc#x".parse().unwrap();
    assert_eq!(shown_url(&url), "https://shop.example:8443/hook");
}
