//! Receivers that break, flood, or lead astray; and secrets that stay where they are.

use confirmd::clock::Clock;
use confirmd::config::{AmnSignature, Dialect, Endpoint, SignatureEncoding};
use confirmd::store::DeliveryState;

use crate::log;
use crate::receiver::{Receiver, Reply};
use crate::support::{SECRET, START, Work, commit, endpoint, on_both, only, orders};

#[tokio::test]
async fn what_a_receiver_took_before_the_connection_broke_comes_again_alike_f16() {
    on_both(async |store| {
        let receiver = Receiver::start(|_, number| match number {
            1 => Reply::Reset,
            _ => Reply::Status(200),
        })
        .await;
        let work =
            Work::start(&store, &Clock::manual(START), [("backend", endpoint(&receiver.url()))]);
        commit(&store, "backend", orders(1)).await;
        work.waker.wake();
        let (failed, attempts) = work.delivery("order-0", |d| d.attempts == 1).await;
        assert!(failed.last_error.is_some());
        assert_eq!(attempts[0].1.status_code, None);
        work.advance_to(failed.next_at);
        work.delivery("order-0", |d| d.state == DeliveryState::Taken).await;
        let requests = receiver.requests();
        assert_eq!(requests.len(), 2);
        assert_eq!(requests[0].body, requests[1].body);
        assert_eq!(requests[0].header("webhook-id"), requests[1].header("webhook-id"));
        work.stop().await;
    })
    .await;
}

#[tokio::test]
async fn of_an_endless_answer_little_is_read_and_less_is_kept_f12() {
    on_both(async |store| {
        let receiver = Receiver::start(|_, _| Reply::Endless).await;
        let work =
            Work::start(&store, &Clock::manual(START), [("backend", endpoint(&receiver.url()))]);
        commit(&store, "backend", orders(1)).await;
        work.waker.wake();
        let (_, attempts) = work.delivery("order-0", |d| d.state == DeliveryState::Taken).await;
        assert_eq!(attempts[0].1.answer.as_ref().map(String::len), Some(4_096));
        work.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_private_address_is_refused_before_anything_is_sent_f18() {
    on_both(async |store| {
        let receiver = Receiver::always(200).await;
        let hosts = ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433"];
        let list = ["a", "b", "c", "d"];
        let astray = |host: &str| Endpoint {
            allow_private: false,
            ..endpoint(&format!("https://{host}:{}/", receiver.port()))
        };
        let work = Work::start(
            &store,
            &Clock::manual(START),
            [0, 1, 2, 3].map(|i| (list[i], astray(hosts[i]))),
        );
        for name in list {
            commit(&store, name, [(name.to_owned(), 1)]).await;
        }
        work.waker.wake();
        for name in list {
            let (delivery, _) = work.delivery(name, |d| d.attempts == 1).await;
            let error = delivery.last_error.unwrap();
            assert!(error.starts_with("refused: "), "{error}");
            assert_eq!(delivery.state, DeliveryState::Waiting);
        }
        assert!(receiver.requests().is_empty());
        work.stop().await;
    })
    .await;
}

#[tokio::test]
async fn amn_is_signed_with_the_first_secret_in_the_header_that_is_configured_f19() {
    on_both(async |store| {
        let receiver = Receiver::always(202).await;
        let signature = AmnSignature {
            header: "X-Signature".into(),
            prefix: "sha256=".into(),
            encoding: SignatureEncoding::Hex,
        };
        let plain = Endpoint {
            dialect: Dialect::Amn(AmnSignature::default()),
            secrets: vec!["first".into(), "second".into()],
            ..endpoint(&receiver.url())
        };
        let other = Endpoint { dialect: Dialect::Amn(signature), ..plain.clone() };
        let list = [("plain", plain), ("other", other)];
        let work = Work::start(&store, &Clock::manual(START), list);
        commit(&store, "plain", [("one".to_owned(), 1)]).await;
        commit(&store, "other", [("two".to_owned(), 1)]).await;
        work.waker.wake();
        for request in receiver.wait_for(2).await {
            let expected = hmac_hex("first", &request.body);
            let signature = match request.body.contains("\"one\"") {
                true => request.header("x-amn-signature").to_owned(),
                false => request.header("x-signature").replace("sha256=", ""),
            };
            assert_eq!(signature, expected);
            let event = only(&store, if request.body.contains("\"one\"") { "one" } else { "two" });
            assert_eq!(request.header("x-amn-delivery"), event.await.0.event);
        }
        work.stop().await;
    })
    .await;
}

/// By another implementation than ours.
fn hmac_hex(key: &str, message: &str) -> String {
    use alloy_primitives::hex;
    use sha2::{Digest, Sha256};
    let pad = |with: u8| {
        let mut block = [with; 64];
        block.iter_mut().zip(key.bytes()).for_each(|(byte, key)| *byte ^= key);
        block
    };
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(message).finalize();
    hex::encode(Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize())
}

#[tokio::test]
async fn no_secret_is_logged_or_kept_whatever_fails_i12_f19() {
    on_both(async |store| {
        let gone = Receiver::always(200).await.port();
        let answers = Receiver::start(|_, number| match number {
            1 => Reply::Reset,
            2 => Reply::Status(410),
            _ => Reply::Status(500),
        })
        .await;
        let token = |port| endpoint(&format!("http://127.0.0.1:{port}/T0KEN-path?k=T0KEN-query"));
        let bad = Endpoint { secrets: vec!["whsec_S3CRET!".into()], ..token(gone) };
        let list = [("gone", token(gone)), ("answers", token(answers.port())), ("bad", bad)];
        let names = ["gone", "answers", "bad"];
        let clock = Clock::manual(START);
        let work = Work::start(&store, &clock, list);
        for name in names {
            commit(&store, name, [(name.to_owned(), 1)]).await;
        }
        work.waker.wake();
        for name in names {
            let kept = work.delivery(name, |d| d.attempts == 1).await;
            assert_no_secret(&format!("{kept:?}"));
            assert_no_secret(&format!("{:?}", work.endpoints.get(name)));
        }
        work.advance_to(START.plus_ms(5_500));
        work.delivery("answers", |d| d.attempts == 2).await;
        work.stop().await;
    })
    .await;
    // Of all tests that ran so far, and of this one for certain.
    let logged = log::everything();
    assert!(logged.contains("endpoint=\"gone\""), "attempts are logged");
    assert_no_secret(&logged);
}

fn assert_no_secret(text: &str) {
    for secret in [SECRET, &SECRET["whsec_".len()..], "S3CRET", "T0KEN"] {
        assert!(!text.contains(secret), "{secret} is in {text}");
    }
}
