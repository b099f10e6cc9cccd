//! The outbox alone: order, claims, and sending again.

use confirmd::settlement::EventKind;
use confirmd::store::{Attempt, Claimed, DeliveryFilter, DeliveryState, Next, Retry, Store};
use confirmd_chain::Timestamp;
use xtask::postgres::Database;

use crate::support::{START, commit, event, intent, on_both, only, orders};

const MINUTE: i64 = 60_000;

fn attempt(at: Timestamp, status: u16) -> Attempt {
    let error = (status >= 300).then(|| format!("answered {status}"));
    Attempt { at, status_code: Some(status), latency_ms: 7, error, answer: None }
}

async fn claim(store: &Store, now: Timestamp) -> Vec<Claimed> {
    claim_of(store, "backend", now).await
}

async fn claim_of(store: &Store, endpoint: &str, now: Timestamp) -> Vec<Claimed> {
    store.claim_deliveries(endpoint, 1_000, now, now.plus_ms(MINUTE)).await.unwrap()
}

async fn record(store: &Store, claimed: Claimed, status: u16, next: Next, now: Timestamp) {
    let outcome = claimed.outcome(attempt(now, status), next);
    store.record_attempts(&[outcome], now).await.unwrap();
}

fn again(at: Timestamp, passable: bool) -> Next {
    Next::Again { at, step: 1, resume_at: None, passable }
}

async fn count(store: &Store, state: DeliveryState) -> u64 {
    let filter = DeliveryFilter { state: Some(state), ..DeliveryFilter::default() };
    store.count_deliveries(&filter).await.unwrap()
}

#[tokio::test]
async fn a_first_attempt_waits_for_earlier_events_unless_they_are_taken_refused_or_dead() {
    on_both(async |store| {
        let later = START.plus_ms(MINUTE);
        let cases = [
            ("taken", 200, Next::Taken, true),
            ("dead", 500, Next::Dead, true),
            ("refused", 400, again(later, true), true),
            ("failed", 500, again(later, false), false),
        ];
        for (name, status, next, goes) in cases {
            commit(&store, name, [1, 2].map(|sequence| (name.to_owned(), sequence))).await;
            let mut first = claim_of(&store, name, START).await;
            assert_eq!(first.len(), 1, "{name}: the second waits while the first is under way");
            record(&store, first.remove(0), status, next, START).await;
            let due = store.next_due(name).await.unwrap();
            assert_eq!(due, Some(if goes { START } else { later }), "{name}");
            let second = claim_of(&store, name, START).await;
            assert_eq!(second.len(), usize::from(goes), "{name}");
        }
        assert_eq!(claim_of(&store, "failed", later).await.len(), 1, "the first again");
    })
    .await;
}

#[tokio::test]
async fn another_intent_and_another_endpoint_wait_for_nobody_i8() {
    on_both(async |store| {
        commit(&store, "backend", [("a".to_owned(), 1), ("a".to_owned(), 2)]).await;
        commit(&store, "backend", [("b".to_owned(), 2)]).await;
        commit(&store, "other", [("c".to_owned(), 1), ("c".to_owned(), 2)]).await;
        assert_eq!(claim(&store, START).await.len(), 2);
        let other = store.claim_deliveries("other", 9, START, START.plus_ms(1)).await.unwrap();
        assert_eq!(other.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_claim_that_ran_out_is_made_again_with_the_same_id_and_body_f16() {
    on_both(async |store| {
        commit(&store, "backend", orders(1)).await;
        let lost = claim(&store, START).await.remove(0);
        assert!(claim(&store, START.plus_ms(MINUTE - 1)).await.is_empty());
        assert_eq!(store.next_due("backend").await.unwrap(), Some(START.plus_ms(MINUTE)));
        let now = START.plus_ms(MINUTE);
        let made_again = claim(&store, now).await.remove(0);
        assert_eq!((&made_again.event, &made_again.body), (&lost.event, &lost.body));

        record(&store, lost, 200, Next::Taken, now).await;
        assert_eq!(only(&store, "order-0").await.0.state, DeliveryState::InFlight);
        record(&store, made_again, 500, again(now.plus_ms(1), false), now).await;
        let (delivery, attempts) = only(&store, "order-0").await;
        assert_eq!((delivery.state, attempts.len()), (DeliveryState::Waiting, 1));
    })
    .await;
}

#[tokio::test]
async fn outcomes_of_many_attempts_are_written_together_or_not_at_all() {
    on_both(async |store| {
        commit(&store, "backend", orders(200)).await;
        let claimed = claim(&store, START).await;
        assert_eq!(claimed.len(), 200);
        let outcomes: Vec<_> = claimed
            .into_iter()
            .map(|claimed| claimed.outcome(attempt(START, 200), Next::Taken))
            .collect();
        store.record_attempts(&outcomes, START).await.unwrap();
        assert_eq!(count(&store, DeliveryState::Taken).await, 200);
        let (delivery, attempts) = only(&store, "order-199").await;
        assert_eq!((delivery.attempts, delivery.finished_at), (1, Some(START)));
        assert_eq!(attempts, [(1, attempt(START, 200))]);
    })
    .await;
}

#[tokio::test]
async fn a_success_brings_ten_retries_forward_and_each_only_once_between_its_tries() {
    on_both(async |store| {
        commit(&store, "backend", orders(16)).await;
        let far = START.plus_ms(600 * MINUTE);
        let mut claimed = claim(&store, START).await;
        let success = claimed.pop().unwrap();
        for claimed in claimed {
            record(&store, claimed, 503, again(far, false), START).await;
        }
        record(&store, success, 200, Next::Taken, START).await;
        let mut forward = claim(&store, START).await;
        assert_eq!(forward.len(), 10);
        assert!(forward.iter().all(|claimed| claimed.resume_at == Some(far)));

        let success = forward.pop().unwrap();
        for claimed in forward {
            let next = Next::Again { at: far, step: 1, resume_at: Some(far), passable: false };
            record(&store, claimed, 503, next, START).await;
        }
        record(&store, success, 200, Next::Taken, START).await;
        assert_eq!(claim(&store, START).await.len(), 5, "not the nine that failed again");
    })
    .await;
}

#[tokio::test]
async fn retries_reach_what_is_dead_or_waiting_and_keep_the_attempts_i7() {
    on_both(async |store| {
        let events = ["dead", "waiting", "taken", "under-way"].map(|id| (id.to_owned(), 1));
        commit(&store, "backend", events).await;
        let far = START.plus_ms(600 * MINUTE);
        for claimed in claim(&store, START).await {
            let (status, next) = match claimed.body.as_str() {
                body if body.contains("\"dead\"") => (500, Next::Dead),
                body if body.contains("\"waiting\"") => (500, again(far, false)),
                body if body.contains("\"taken\"") => (200, Next::Taken),
                _ => continue,
            };
            record(&store, claimed, status, next, START).await;
        }
        let retry = async |which: Retry<'_>| store.retry_deliveries(which, START).await.unwrap();
        assert_eq!(retry(Retry::Account("somebody else")).await, 0);
        let intent = |id| Retry::Intent { account: "default", id };
        assert_eq!(retry(intent("taken")).await, 0, "nothing to retry");
        assert_eq!(retry(Retry::Account("default")).await, 2);
        let (dead, attempts) = only(&store, "dead").await;
        assert_eq!((dead.state, dead.next_at), (DeliveryState::Waiting, START));
        assert_eq!((dead.finished_at, attempts.len()), (None, 1));
        let again = claim(&store, START).await;
        assert_eq!(again.len(), 2);
        let steps: Vec<_> = again.iter().map(|c| (c.step, c.resume_at)).collect();
        assert!(steps.contains(&(0, None)), "a fresh schedule for the dead one: {steps:?}");
        assert!(steps.contains(&(1, Some(far))), "the other keeps its place: {steps:?}");

        let one = async |intent: &str| {
            let id = only(&store, intent).await.0.id;
            store.retry_deliveries(Retry::One(&id), START).await.unwrap()
        };
        assert_eq!(one("taken").await, 1, "one that was taken may be sent again by its id");
        assert_eq!(one("under-way").await, 0, "one that is under way is left alone");
        assert_eq!(retry(Retry::One("dlv_unknown")).await, 0);
    })
    .await;
}

/// Writers of SQLite queue up, so there is but one there.
#[tokio::test]
async fn an_event_that_is_committed_later_stands_behind_what_was_read_on_postgresql() {
    let database = Database::create("webhooks").await.unwrap();
    let store = Store::open(database.url()).await.unwrap();
    let record = async |id: &str| {
        let event = event(&intent(id, &[]), &[], 100, 1, EventKind::PaymentDetected);
        let mut transaction = store.begin().await.unwrap();
        transaction.record_event(&event, &[], START).await.unwrap();
        transaction
    };
    let read = async |after| {
        let events = store.events(None, after, None, None, 10).await.unwrap();
        events.into_iter().map(|event| (event.position, event.intent.unwrap())).collect::<Vec<_>>()
    };
    let slow = record("slow").await;
    record("quick").await.commit().await.unwrap();
    let (position, first) = read(0).await.remove(0);
    assert_eq!(first, "quick");
    slow.commit().await.unwrap();
    let (_, second) = read(position).await.remove(0);
    assert_eq!(second, "slow");
    store.close().await;
}

#[tokio::test]
async fn the_log_is_listed_in_pages_and_counted_and_forgotten() {
    on_both(async |store| {
        commit(&store, "backend", orders(5)).await;
        let all = DeliveryFilter::default();
        let mut listed: Vec<String> = Vec::new();
        for expected in [2, 2, 1, 0] {
            let after = listed.last().map(String::as_str);
            let page = store.deliveries(&all, after, 2).await.unwrap();
            assert_eq!(page.len(), expected);
            listed.extend(page.into_iter().map(|delivery| delivery.id));
        }
        assert_eq!(listed.len(), 5);
        assert!(listed.is_sorted_by(|a, b| a > b), "newest first");

        let claimed = store.claim_deliveries("backend", 3, START, START.plus_ms(1)).await.unwrap();
        let nexts = [Next::Taken, Next::Dead];
        for (claimed, next) in claimed.into_iter().zip(nexts) {
            record(&store, claimed, 500, next, START).await;
        }
        store.pause_endpoint("backend", "410", START).await.unwrap();
        let counts = store.delivery_counts().await.unwrap();
        let of = &counts["backend"];
        assert_eq!((of.waiting, of.in_flight, of.dead), (2, 1, 1));
        assert_eq!(of.oldest_waiting, Some(START));
        assert_eq!(of.paused, Some((START, "410".to_owned())));
        assert!(store.resume_endpoint("backend").await.unwrap());
        assert!(!store.resume_endpoint("backend").await.unwrap());

        for (before, pruned) in [(START, 0), (START.plus_ms(1), 2)] {
            let mut transaction = store.begin().await.unwrap();
            assert_eq!(transaction.prune_deliveries(before, 100).await.unwrap(), pruned);
            transaction.commit().await.unwrap();
        }
        assert_eq!(store.count_deliveries(&all).await.unwrap(), 3);
    })
    .await;
}
