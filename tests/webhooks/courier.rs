//! What CONTRACTS.md says of delivery, with an injected clock.

use std::sync::Arc;
use std::time::Duration;

use confirmd::clock::Clock;
use confirmd::config::Endpoint;
use confirmd::store::{DeliveryFilter, DeliveryState, Retry};
use confirmd_chain::Timestamp;
use tokio::sync::Barrier;
use xtask::receiver::Receiver as StockReceiver;

use crate::receiver::{Receiver, Reply};
use crate::support::{OLD_SECRET, SECRET, START, Work, commit, endpoint, on_both, orders};

/// Seconds after each failed attempt.
const SCHEDULE: [i64; 10] = [5, 30, 120, 600, 1_800, 3_600, 10_800, 21_600, 43_200, 86_400];

fn in_state(state: DeliveryState) -> DeliveryFilter {
    DeliveryFilter { state: Some(state), ..DeliveryFilter::default() }
}

fn assert_about(at: Timestamp, from: Timestamp, seconds: i64) {
    let (delay, exact) = (at.0 - from.0, seconds * 1_000);
    assert!((delay - exact).abs() <= exact / 10, "{delay} ms is not about {seconds} s");
}

#[tokio::test]
async fn a_receiver_that_fails_ten_times_and_then_takes_gets_one_event_eleven_times_i7() {
    on_both(async |store| {
        let receiver = Receiver::start(|_, number| match number {
            11 => Reply::Status(204),
            _ => Reply::Full(503, String::new(), "not\0now".into()),
        })
        .await;
        let clock = Clock::manual(START);
        let work = Work::start(&store, &clock, [("backend", endpoint(&receiver.url()))]);
        commit(&store, "backend", orders(1)).await;
        work.waker.wake();
        for (failed, seconds) in (1..).zip(SCHEDULE) {
            let (delivery, _) = work.delivery("order-0", |d| d.attempts == failed).await;
            assert_eq!(delivery.state, DeliveryState::Waiting);
            assert_about(delivery.next_at, clock.now(), seconds);
            assert_eq!(store.next_due("backend").await.unwrap(), Some(delivery.next_at));
            work.advance_to(delivery.next_at);
        }
        let (delivery, attempts) =
            work.delivery("order-0", |d| d.state == DeliveryState::Taken).await;
        assert_eq!((delivery.attempts, attempts.len()), (11, 11));
        assert_eq!(attempts[0].1.answer.as_deref(), Some("not\u{fffd}now"));
        assert_eq!(attempts[0].1.status_code, Some(503));
        assert_eq!(attempts[10].1.error, None);

        let requests = receiver.requests();
        assert_eq!(requests.len(), 11);
        for request in &requests {
            assert_eq!(request.body, delivery.body);
            assert_eq!(request.header("webhook-id"), delivery.event);
        }
        let mut signatures: Vec<_> =
            requests.iter().map(|request| request.header("webhook-signature")).collect();
        signatures.dedup();
        assert_eq!(signatures.len(), 11, "signed afresh each time");
        work.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_delivery_that_fails_eleven_times_is_dead_until_somebody_retries_it_i7() {
    on_both(async |store| {
        let receiver = Receiver::start(|_, number| match number {
            12 => Reply::Status(200),
            _ => Reply::Status(302),
        })
        .await;
        let clock = Clock::manual(START);
        let work = Work::start(&store, &clock, [("backend", endpoint(&receiver.url()))]);
        commit(&store, "backend", orders(1)).await;
        work.waker.wake();
        for failed in 1..=10 {
            let (delivery, _) = work.delivery("order-0", |d| d.attempts == failed).await;
            work.advance_to(delivery.next_at);
        }
        let (dead, _) = work.delivery("order-0", |d| d.state == DeliveryState::Dead).await;
        let reason = dead.last_error.unwrap();
        assert!(
            reason.contains("302") && reason.contains("redirects are not followed"),
            "{reason}"
        );
        assert_eq!(store.next_due("backend").await.unwrap(), None);

        let account = Retry::Account("default");
        assert_eq!(store.retry_deliveries(account, clock.now()).await.unwrap(), 1);
        work.waker.wake();
        let (_, attempts) = work.delivery("order-0", |d| d.state == DeliveryState::Taken).await;
        assert_eq!(attempts.len(), 12);
        work.stop().await;
    })
    .await;
}

#[tokio::test]
async fn one_that_never_answers_delays_only_itself_i8_f25() {
    on_both(async |store| {
        let silent = Receiver::start(|_, _| Reply::Silence).await;
        let quick = Receiver::always(200).await;
        let few = Endpoint { max_in_flight: 8, ..endpoint(&silent.url()) };
        let clock = Clock::manual(START);
        let list = [("silent", few), ("quick", endpoint(&quick.url()))];
        let work = Work::start(&store, &clock, list);
        commit(&store, "silent", (0..50).map(|i| (format!("silent-{i}"), 1))).await;
        work.waker.wake();
        silent.wait_for(8).await;
        commit(&store, "quick", (0..300).map(|i| (format!("quick-{i}"), 1))).await;
        work.waker.wake();
        work.count(&in_state(DeliveryState::Taken), 300).await;
        assert_eq!(silent.requests().len(), 8, "no more at once than it may have");
        assert_eq!(store.delivery_counts().await.unwrap()["silent"].in_flight, 8);
        work.stop().await;

        // What was cut off is made again once the claims have run out, here by a better receiver.
        clock.advance(Duration::from_secs(60));
        let work = Work::start(&store, &clock, [("silent", endpoint(&quick.url()))]);
        work.count(&in_state(DeliveryState::Taken), 350).await;
        work.stop().await;
    })
    .await;
}

#[tokio::test]
async fn an_endpoint_that_answers_410_is_paused_and_its_deliveries_are_held() {
    on_both(async |store| {
        let receiver = Receiver::start(|_, number| match number {
            1 => Reply::Status(410),
            _ => Reply::Status(200),
        })
        .await;
        let clock = Clock::manual(START);
        let work = Work::start(&store, &clock, [("backend", endpoint(&receiver.url()))]);
        commit(&store, "backend", [1, 2, 3].map(|n| ("order-0".to_owned(), n))).await;
        work.waker.wake();
        receiver.wait_for(1).await;
        work.count(&in_state(DeliveryState::Waiting), 3).await;
        let counts = store.delivery_counts().await.unwrap();
        let (since, reason) = counts["backend"].paused.clone().unwrap();
        assert_eq!((since, reason.as_str()), (START, "the endpoint answered 410 Gone"));

        clock.advance(Duration::from_secs(7 * 86_400));
        work.waker.wake();
        assert_eq!(store.next_due("backend").await.unwrap(), None);
        store.retry_deliveries(Retry::Account("default"), clock.now()).await.unwrap();
        assert_eq!(store.next_due("backend").await.unwrap(), None, "a retry does not resume it");

        assert!(store.resume_endpoint("backend").await.unwrap());
        work.waker.wake();
        work.count(&in_state(DeliveryState::Taken), 3).await;
        let sequences: Vec<u64> =
            receiver.requests().iter().map(crate::receiver::Request::sequence).collect();
        assert_eq!(sequences, [1, 1, 2, 3]);
        work.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_refused_event_is_overtaken_and_tried_again_beside_the_later_ones() {
    on_both(async |store| {
        let receiver = Receiver::start(|request, number| match request.sequence() {
            1 if number == 1 => Reply::Status(422),
            _ => Reply::Status(200),
        })
        .await;
        let clock = Clock::manual(START);
        let work = Work::start(&store, &clock, [("backend", endpoint(&receiver.url()))]);
        commit(&store, "backend", [1, 2].map(|n| ("order-0".to_owned(), n))).await;
        work.waker.wake();
        // The success of the second brings the first forward: no need to move the clock.
        work.count(&in_state(DeliveryState::Taken), 2).await;
        let sequences: Vec<u64> =
            receiver.requests().iter().map(crate::receiver::Request::sequence).collect();
        assert_eq!(sequences, [1, 2, 1]);
        work.stop().await;
    })
    .await;
}

#[tokio::test]
async fn an_endpoint_says_when_it_wants_to_be_called_again_up_to_a_day() {
    on_both(async |store| {
        let receiver = Receiver::start(|_, number| {
            let wish = ["3600", "9999999", "1"][(number - 1).min(2)];
            Reply::Full(429, format!("retry-after: {wish}\r\n"), String::new())
        })
        .await;
        let clock = Clock::manual(START);
        let work = Work::start(&store, &clock, [("backend", endpoint(&receiver.url()))]);
        commit(&store, "backend", orders(1)).await;
        work.waker.wake();
        for (attempts, seconds) in [(1, 3_600), (2, 86_400)] {
            let (delivery, _) = work.delivery("order-0", |d| d.attempts == attempts).await;
            assert_eq!(delivery.next_at, clock.now().plus_ms(seconds * 1_000));
            work.advance_to(delivery.next_at);
        }
        // A wish for less than the schedule's pause changes nothing.
        let (delivery, _) = work.delivery("order-0", |d| d.attempts == 3).await;
        assert_about(delivery.next_at, clock.now(), 120);
        work.stop().await;
    })
    .await;
}

#[tokio::test]
async fn three_hundred_deliveries_are_under_way_at_once() {
    on_both(async |store| {
        let all = Arc::new(Barrier::new(300));
        let receiver = Receiver::start(move |_, _| Reply::Together(Arc::clone(&all))).await;
        let many = Endpoint { max_in_flight: 300, ..endpoint(&receiver.url()) };
        let work = Work::start(&store, &Clock::manual(START), [("backend", many)]);
        commit(&store, "backend", orders(300)).await;
        work.waker.wake();
        work.count(&in_state(DeliveryState::Taken), 300).await;
        work.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_stop_lets_attempts_under_way_end_and_starts_no_others() {
    on_both(async |store| {
        let both = Arc::new(Barrier::new(2));
        let gate = Arc::clone(&both);
        let receiver = Receiver::start(move |_, _| Reply::Together(Arc::clone(&gate))).await;
        let single = Endpoint { max_in_flight: 1, ..endpoint(&receiver.url()) };
        let (clock, grace) = (Clock::manual(START), Duration::from_secs(10));
        let work = Work::start_with_grace(&store, &clock, [("backend", single)], grace);
        commit(&store, "backend", orders(2)).await;
        work.waker.wake();
        receiver.wait_for(1).await;
        work.ask_to_stop();
        both.wait().await;
        work.stop().await;
        let counts = store.delivery_counts().await.unwrap();
        assert_eq!((counts["backend"].waiting, counts["backend"].in_flight), (1, 0));
    })
    .await;
}

#[tokio::test]
async fn endpoints_may_come_and_change_while_the_courier_works() {
    on_both(async |store| {
        let receiver = Receiver::always(200).await;
        let work = Work::start(&store, &Clock::manual(START), []);
        commit(&store, "late", orders(2)).await;
        let list = crate::support::endpoints([("late", endpoint(&receiver.url()))]);
        work.endpoints.replace(list, None);
        work.count(&in_state(DeliveryState::Taken), 2).await;
        work.stop().await;
    })
    .await;
}

#[tokio::test]
async fn while_rotating_a_stock_verifier_takes_either_secret_f19() {
    on_both(async |store| {
        let now_s = u64::try_from(START.0 / 1_000).unwrap();
        let mut with_old = StockReceiver::start_at(OLD_SECRET, now_s).await.unwrap();
        let mut with_new = StockReceiver::start_at(SECRET, now_s).await.unwrap();
        let rotating = |url: &str| Endpoint {
            secrets: vec![SECRET.into(), OLD_SECRET.into()],
            ..endpoint(url)
        };
        let list = [("old", rotating(&with_old.url())), ("new", rotating(&with_new.url()))];
        let work = Work::start(&store, &Clock::manual(START), list);
        commit(&store, "old", [("one".to_owned(), 1)]).await;
        commit(&store, "new", [("two".to_owned(), 1)]).await;
        work.waker.wake();
        work.count(&in_state(DeliveryState::Taken), 2).await;
        for (receiver, intent) in [(&mut with_old, "one"), (&mut with_new, "two")] {
            let received = receiver.next(Duration::from_secs(10)).await.unwrap();
            assert!(received.verified, "{received:?}");
            assert_eq!(received.event["data"]["intent"]["id"], intent);
        }
        work.stop().await;
    })
    .await;
}
