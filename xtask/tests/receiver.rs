//! The stock verifier, held against a published test vector.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use std::time::Duration;

use xtask::{receiver::Receiver, rpc::http_client};

/// From the reference implementation's own tests.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
const TIMESTAMP: u64 = 1_614_265_330;
const BODY: &str = r#"{"test": 2432232314}"#;
const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

const SOON: Duration = Duration::from_secs(10);

async fn post(receiver: &Receiver, body: &str) -> u16 {
    let request = http_client()
        .unwrap()
        .post(receiver.url())
        .header("webhook-id", ID)
        .header("webhook-timestamp", TIMESTAMP)
        .header("webhook-signature", SIGNATURE)
        .body(body.to_owned());
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn a_published_test_vector_is_verified_and_a_forged_body_is_not() {
    let mut receiver = Receiver::start_at(SECRET, TIMESTAMP + 60).await.unwrap();

    assert_eq!(post(&receiver, BODY).await, 204);
    let received = receiver.next(SOON).await.unwrap();
    assert!(received.verified, "{received:?}");
    assert_eq!(received.id.as_deref(), Some(ID));
    assert_eq!(received.event["test"], 2_432_232_314_u64);

    assert_eq!(post(&receiver, r#"{"test": 2432232315}"#).await, 401);
    let forged = receiver.next(SOON).await.unwrap();
    assert!(!forged.verified);
    assert_eq!(forged.error.as_deref(), Some("No matching signature found"));
}

#[tokio::test]
async fn an_old_webhook_played_again_is_refused() {
    let mut receiver = Receiver::start(SECRET).await.unwrap();
    assert_eq!(post(&receiver, BODY).await, 401);
    let replayed = receiver.next(SOON).await.unwrap();
    assert_eq!(replayed.error.as_deref(), Some("Message timestamp too old"));
}
