//! What a daemon knows in the end, and what of it two runs must agree on.
//!
//! A disturbed run and its oracle must know the same in the end, but for the times of commands.
//! They must have told the same, too, event by event, but where the disturbed run saw what the
//! oracle cannot have seen:
//!
//! - a branch that was lost: it told, took back and told again, so its numbers run ahead. A payment
//!   that stands on both branches makes no noise: its event keeps the block that it was told with.
//!   What was not taken back must be what the oracle told.
//!   So does one whose neighbours moved: it tells of those that stood there when it was told.
//! - a payment after a later one, because its intent came while its block was on its way (I13).
//!   Where the two lead must be where the oracle is.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::instance::Instance;

/// What one daemon knows.
pub(crate) struct Ledger {
    intents: BTreeMap<String, Value>,
    orphans: BTreeMap<String, Value>,
    /// The log of events, by id.
    pub(crate) events: BTreeMap<String, Value>,
}

impl Ledger {
    /// Reads it once the daemon has scanned the chain and told everything, and, where there is an
    /// oracle, its intents stand as the oracle's.
    pub(crate) async fn of(daemon: &mut Instance, within: Duration, oracle: Option<&Self>) -> Self {
        let began = Instant::now();
        let mut looks = tokio::time::interval(Duration::from_millis(100));
        loop {
            looks.tick().await;
            let late = began.elapsed() > within;
            if late || is_done(daemon).await {
                let ledger = Self::read(daemon).await;
                if oracle.is_none_or(|oracle| ledger.intents == oracle.intents) {
                    assert!(!late, "it never comes to an end: {}", daemon.log());
                    return ledger;
                }
                if late {
                    ledger.must_hold_as(oracle.expect("else it would be equal"));
                }
            }
            daemon.retry().await;
        }
    }

    async fn read(daemon: &Instance) -> Self {
        let by = |field: &'static str, items: Vec<Value>| {
            let name = |item: &Value| item[field].as_str().expect("a name").to_owned();
            items.into_iter().map(|item| (name(&item), item)).collect::<BTreeMap<_, _>>()
        };
        let mut intents = by("id", daemon.list("/v1/intents").await);
        intents.values_mut().for_each(forget_the_lost);
        let mut orphans = by("id", daemon.list("/v1/orphans").await);
        for orphan in orphans.values_mut() {
            forget(orphan, &["credited_at"]);
        }
        let mut events = by("id", daemon.list("/v1/events").await);
        for event in events.values_mut() {
            forget(event, &["created_at"]);
        }
        let ledger = Self { intents, orphans, events };
        ledger.must_be_in_order();
        ledger
    }

    /// By what an event is ordered: the orphan that it is about, else the intent.
    pub(crate) fn subject(event: &Value) -> String {
        let data = &event["data"];
        let subject = data["orphan"]["id"].as_str().or_else(|| data["intent"]["id"].as_str());
        subject.expect("every event has a subject").to_owned()
    }

    /// How many events take others back.
    pub(crate) fn reverts(&self) -> usize {
        self.events.values().filter(|event| takes_back(event)).count()
    }

    /// Fails where so little happened that nothing is shown.
    pub(crate) fn must_tell_a_story(&self, payments: u64) {
        let kinds: BTreeSet<_> =
            self.events.values().filter_map(|event| event["type"].as_str()).collect();
        let expected = [
            "orphan.received",
            "payment.confirmed",
            "payment.confirming",
            "payment.created",
            "payment.detected",
            "payment.partial",
        ];
        // Too few payments may leave one of them out.
        if payments >= 100 {
            assert_eq!(kinds.into_iter().collect::<Vec<_>>(), expected, "and nothing is reverted");
        }
    }

    /// Fails where the two do not know the same.
    fn must_hold_as(&self, oracle: &Self) {
        assert_same("intent", &self.intents, &oracle.intents);
        assert_same("orphan", &self.orphans, &oracle.orphans);
    }

    /// Fails where the two differ in anything that may not differ. Others took the place of the
    /// blocks at the heights `replaced`.
    pub(crate) fn must_equal(&self, oracle: &Self, replaced: &BTreeSet<u64>) {
        self.must_hold_as(oracle);
        let places = oracle.places();
        let seen = self.by(|event| event["intent"].as_str().expect("an intent").to_owned());
        let (ours, theirs) = (self.by(Self::subject), oracle.by(Self::subject));
        let mut calm = 0;
        for subject in ours.keys().chain(theirs.keys()).collect::<BTreeSet<_>>() {
            let of = |events: &BTreeMap<String, Vec<&Value>>| {
                events.get(subject).cloned().unwrap_or_default().into_iter().cloned().collect()
            };
            let (ours, theirs): (Vec<Value>, Vec<Value>) = (of(&ours), of(&theirs));
            let intent = ours.iter().chain(&theirs).find_map(|event| event["intent"].as_str());
            let all = intent.and_then(|intent| seen.get(intent)).cloned().unwrap_or_default();
            let lines = |events: &[Value]| events.iter().map(comparable).collect::<Vec<_>>();
            let (what_ours, what_theirs) = (lines(&ours), lines(&theirs));
            if what_ours == what_theirs {
                calm += 1;
                continue;
            }
            let (what_ours, what_theirs) = if found_late(&all) {
                (last(standing(&ours)), last(standing(&theirs)))
            } else if saw_a_lost_branch(&all, &places) || stood_near(&all, replaced) {
                (standing(&ours), standing(&theirs))
            } else {
                (what_ours, what_theirs)
            };
            assert!(
                what_ours == what_theirs,
                "{subject}: {what_ours:#?}\nand the oracle's {what_theirs:#?}\nof {ours:#?}"
            );
        }
        assert!(calm * 2 > theirs.len(), "only {calm} of {} were compared whole", theirs.len());
    }

    /// In which block each transaction stands, as far as events tell.
    fn places(&self) -> BTreeMap<&str, &Value> {
        let transfers = self.events.values().flat_map(transfers);
        transfers.filter_map(|t| Some((t["transaction"].as_str()?, &t["block_hash"]))).collect()
    }

    /// Events by what `key` names, each list in the order in which they were recorded.
    fn by(&self, key: impl Fn(&Value) -> String) -> BTreeMap<String, Vec<&Value>> {
        let mut lists = BTreeMap::<String, Vec<&Value>>::new();
        for event in self.events.values() {
            lists.entry(key(event)).or_default().push(event);
        }
        for events in lists.values_mut() {
            events.sort_by_key(|event| event["position"].as_i64());
        }
        lists
    }

    /// Each subject's events are numbered from 1, in the order of the log, without a gap.
    fn must_be_in_order(&self) {
        for (subject, events) in self.by(Self::subject) {
            let numbers = events.iter().filter_map(|event| event["sequence"].as_u64());
            let all: Vec<_> = (1..=events.len() as u64).collect();
            assert_eq!(numbers.collect::<Vec<_>>(), all, "the numbers of {subject}");
        }
    }
}

/// Whether the node's newest block is scanned, and everything is delivered.
async fn is_done(daemon: &Instance) -> bool {
    let status = daemon.get("/scanner/status").await;
    let network = &status["networks"][0];
    let scanned = network["state"] == "following" && network["scanned"] == network["head"];
    let on_its_way = async |state| !daemon.list(state).await.is_empty();
    scanned
        && !on_its_way("/v1/deliveries?state=waiting").await
        && !on_its_way("/v1/deliveries?state=in_flight").await
}

fn takes_back(event: &Value) -> bool {
    event["type"] == "payment.reverted" || event["type"] == "orphan.reverted"
}

/// The transfers of its intent, as an event tells them.
fn transfers(event: &Value) -> impl Iterator<Item = &Value> {
    event["data"]["intent"]["transfers"].as_array().into_iter().flatten()
}

/// Whether one of an intent's events tells of a block that is not on the surviving branch, or
/// takes something back.
fn saw_a_lost_branch(events: &[&Value], places: &BTreeMap<&str, &Value>) -> bool {
    let lost = |transfer: &Value| {
        let name = transfer["transaction"].as_str().unwrap_or_default();
        places.get(name) != Some(&&transfer["block_hash"])
    };
    events.iter().any(|event| takes_back(event) || transfers(event).any(lost))
}

/// Whether a block was replaced between an intent's transfers, or before the last was deep enough.
fn stood_near(events: &[&Value], replaced: &BTreeSet<u64>) -> bool {
    let blocks =
        || events.iter().flat_map(|event| transfers(event)).filter_map(|t| t["block"].as_u64());
    let required = events.iter().filter_map(|e| e["data"]["required_confirmations"].as_u64()).max();
    let (Some(lowest), Some(highest)) = (blocks().min(), blocks().max()) else { return false };
    replaced.range(lowest..=highest + required.unwrap_or(0)).next().is_some()
}

/// Whether one of an intent's events tells of a new transfer in a block below one that an event
/// before it told of.
fn found_late(events: &[&Value]) -> bool {
    let mut told = BTreeSet::new();
    let mut highest = None;
    for event in events {
        let new = transfers(event).filter(|t| !told.contains(&t["transaction"].as_str()));
        if new.filter_map(|t| t["block"].as_u64()).any(|block| Some(block) < highest) {
            return true;
        }
        told.extend(transfers(event).map(|t| t["transaction"].as_str()));
        highest = highest.max(transfers(event).filter_map(|t| t["block"].as_u64()).max());
    }
    false
}

/// What was told and not taken back, in order. Single confirmations are told again and again
/// where a payment moved to another block, so they say nothing here.
fn standing(events: &[Value]) -> Vec<String> {
    let lists = events.iter().filter_map(|event| event["data"]["retracts"].as_array());
    let taken_back: BTreeSet<_> = lists.flatten().filter_map(Value::as_str).collect();
    let standing = events.iter().filter(|event| {
        !takes_back(event)
            && event["type"] != "payment.confirming"
            && !event["id"].as_str().is_some_and(|id| taken_back.contains(id))
    });
    standing.map(|event| event["type"].to_string()).collect()
}

fn last(mut list: Vec<String>) -> Vec<String> {
    list.split_off(list.len().saturating_sub(1))
}

/// A whole event, without the times of commands and of blocks that were replaced by others which
/// hold the same.
fn comparable(event: &Value) -> String {
    let mut event = event.clone();
    forget(&mut event, &["timestamp", "position"]);
    forget(&mut event["data"]["intent"], &["created_at", "updated_at", "confirmed_at"]);
    for transfers in ["/data/transfers", "/data/intent/transfers"] {
        let transfers = event.pointer_mut(transfers).and_then(Value::as_array_mut);
        transfers.into_iter().flatten().for_each(|transfer| forget(transfer, &["confirmed_at"]));
    }
    format!("{event:#}")
}

/// An intent without the times of commands, and without what is no more. When it was confirmed is
/// what its event told, also where the block that made it deep enough was replaced by another.
fn forget_the_lost(intent: &mut Value) {
    forget(intent, &["created_at", "updated_at", "confirmed_at", "transfers_total"]);
    if let Some(transfers) = intent["transfers"].as_array_mut() {
        transfers.retain(|transfer| transfer["status"] != "reverted");
    }
}

fn forget(value: &mut Value, fields: &[&str]) {
    if let Some(object) = value.as_object_mut() {
        fields.iter().for_each(|field| drop(object.remove(*field)));
    }
}

fn assert_same(what: &str, ours: &BTreeMap<String, Value>, theirs: &BTreeMap<String, Value>) {
    let names: BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
    for name in names {
        assert_eq!(ours.get(name), theirs.get(name), "{what} {name}: ours, and the oracle's");
    }
}
