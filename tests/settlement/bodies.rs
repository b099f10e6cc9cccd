//! What an event's body shows, and how long it may be.

use confirmd::settlement::{Event, EventKind, MAX_BODY_BYTES};
use serde_json::Value;

use super::sim::{Pay, Sim, blocks, intent, rail};
use super::{Intent, plain};

fn body(event: &Event) -> Value {
    let text = event.body();
    assert!(text.len() <= MAX_BODY_BYTES, "{} bytes", text.len());
    serde_json::from_str(&text).expect("a body is JSON")
}

#[test]
fn a_body_tells_the_whole_state_i7() {
    let mut sim = Sim::new(Intent { metadata: serde_json::json!({ "order": 7 }), ..plain() });
    sim.extend("a", &blocks("t1=4 | t2=8 | - | -"));
    let confirmed = body(&sim.events[2]);
    assert_eq!(confirmed["type"], "payment.confirmed");
    assert_eq!(confirmed["sequence"], 3);
    assert_eq!(confirmed["timestamp"], "1970-01-01T00:00:04.000Z", "the time of its cause");
    assert_eq!(confirmed["id"], sim.events[2].id.as_str());
    let data = &confirmed["data"];
    assert_eq!(data["confirmations"], 3);
    assert_eq!(data["required_confirmations"], 3);
    assert_eq!(data["retracts"], serde_json::json!([]));
    assert_eq!(data["reason"], Value::Null);
    let of = |transfer: &Value| [&transfer["transaction"], &transfer["status"]].map(Value::clone);
    let transfers: Vec<_> = data["transfers"].as_array().expect("a list").iter().map(of).collect();
    assert_eq!(transfers, [["t2", "confirmed"], ["t1", "confirmed"]], "newest first");
    let view = &data["intent"];
    assert_eq!(view["status"], "confirmed");
    assert_eq!(view["settled_by"], "r1");
    assert_eq!(view["confirmed_at"], "1970-01-01T00:00:04.000Z");
    assert_eq!(view["overdue"], false);
    assert_eq!(view["metadata"], serde_json::json!({ "order": 7 }));
    assert_eq!(view["rails"][0]["received"], "12");
    assert_eq!(view["rails"][0]["overpaid_by"], "2");
    assert_eq!(view["transfers_total"], 2);
}

#[test]
fn an_event_of_many_blocks_at_once_does_not_know_what_came_later() {
    let mut sim = Sim::new(plain());
    sim.extend("a", &blocks("t1=4 | t2=8 | - | -"));
    let first = body(&sim.events[0]);
    assert_eq!(first["type"], "payment.partial");
    assert_eq!(first["data"]["intent"]["status"], "partial");
    assert_eq!(first["data"]["intent"]["transfers_total"], 1);
}

#[test]
fn a_body_stays_below_its_limit_whatever_happens() {
    let rails = (0..16).map(|n| rail(&format!("r{n}"), "a", &format!("USD{n}"), 1_000, 3));
    let mut sim = Sim::new(Intent {
        metadata: Value::String("m".repeat(4_094)),
        ..intent(rails.collect(), 1_000_000_000)
    });
    let pay = |n: usize| Pay {
        tx: format!("0x{n:064}"),
        asset: "USD0".to_owned(),
        amount: 1,
        ..Pay::default()
    };
    let paid: Vec<_> = (0..500).map(|n| vec![pay(n)]).collect();
    sim.extend("a", &paid);
    sim.reorg("a", 0, &[Vec::new()]);
    sim.check_numbers();
    assert_eq!(sim.events.iter().filter(|e| e.kind == EventKind::PaymentPartial).count(), 500);
    assert_eq!(body(&sim.events[499])["data"]["intent"]["transfers_total"], 500);
    let reverted = &sim.events[500..];
    assert!(reverted.iter().all(|event| event.kind == EventKind::PaymentReverted));
    let named: Vec<_> = reverted.iter().flat_map(|event| &event.data.retracts).collect();
    let told: Vec<_> = sim.events[..500].iter().map(|event| &event.id).collect();
    assert_eq!(named, told, "each is named once");
    for event in &sim.events {
        body(event);
    }
}
