//! Websocket subscriptions. Server and client share one runtime with a paused clock, so pauses
//! and silences pass at once.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use confirmd_rpc::{Limits, Pool, Request};
use futures_util::{SinkExt, StreamExt};
use secrecy::SecretString;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{
    ErrorResponse, Request as Upgrade, Response,
};

use crate::support::config;

const HEAD: &str = r#"{"jsonrpc":"2.0","method":"eth_subscription","params":{"result":{}}}"#;

/// A listener, and a pool that subscribes there.
async fn subscribed() -> (TcpListener, Pool) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let mut main = config("main", "http://127.0.0.1:1");
    main.ws = Some(SecretString::from(format!("ws://alice:p%40ss@{address}/v3/key?x=y")));
    let pool = Pool::new("testnet", &[main], Limits::default()).expect("a pool");
    pool.subscribe(&Request::new("eth_subscribe", &["newHeads"]).expect("a request"));
    (listener, pool)
}

/// Accepts a connection and its subscription; checks what was sent. A paused clock may run out on
/// a handshake, so it takes the first that succeeds.
async fn accept(listener: &TcpListener) -> WebSocketStream<TcpStream> {
    let expected = r#"{"jsonrpc":"2.0","id":1,"method":"eth_subscribe","params":["newHeads"]}"#;
    loop {
        let (connection, _) = listener.accept().await.expect("a connection");
        let handshake = tokio_tungstenite::accept_hdr_async(connection, check);
        let Ok(mut socket) = handshake.await else { continue };
        if let Some(Ok(subscribe)) = socket.next().await {
            assert_eq!(subscribe, Message::text(expected));
            return socket;
        }
    }
}

#[expect(clippy::result_large_err, reason = "the callback's type is tungstenite's")]
fn check(upgrade: &Upgrade, response: Response) -> Result<Response, ErrorResponse> {
    let expected = format!("Basic {}", BASE64_STANDARD.encode("alice:p@ss"));
    assert_eq!(upgrade.headers()["authorization"], expected);
    assert_eq!(upgrade.uri().to_string(), "/v3/key?x=y");
    Ok(response)
}

async fn say(socket: &mut WebSocketStream<TcpStream>, text: &'static str) {
    socket.send(Message::text(text)).await.expect("sent");
}

#[tokio::test(start_paused = true)]
async fn a_new_head_wakes_and_the_answer_to_subscribing_does_not() {
    let (listener, pool) = subscribed().await;
    let mut socket = accept(&listener).await;
    say(&mut socket, r#"{"jsonrpc":"2.0","id":1,"result":"0xcd0c"}"#).await;
    say(&mut socket, "not even JSON").await;
    let serve = async {
        // Answers pings until the test ends.
        while socket.next().await.is_some() {}
    };
    let quiet = std::time::Duration::from_mins(5);
    tokio::select! {
        () = pool.woken() => panic!("woken by nothing"),
        () = serve => panic!("the connection ended"),
        () = tokio::time::sleep(quiet) => {}
    }
    say(&mut socket, HEAD).await;
    pool.woken().await;
}

#[tokio::test(start_paused = true)]
async fn hints_while_nobody_waits_count_as_one() {
    let (listener, pool) = subscribed().await;
    let mut socket = accept(&listener).await;
    for _ in 0..3 {
        say(&mut socket, HEAD).await;
    }
    socket.send(Message::Ping("done".into())).await.expect("sent");
    let pong = Message::Pong("done".into());
    while socket.next().await.expect("open").expect("a message") != pong {}
    pool.woken().await;
    let second = tokio::time::timeout(std::time::Duration::from_secs(5), pool.woken());
    assert!(second.await.is_err(), "the follower looks once");
}

#[tokio::test(start_paused = true)]
async fn a_subscription_comes_back_after_the_connection_is_lost() {
    let (listener, pool) = subscribed().await;
    for _ in 0..5 {
        let mut socket = accept(&listener).await;
        say(&mut socket, HEAD).await;
        pool.woken().await;
        drop(socket);
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_has_gone_silent_is_replaced() {
    let (listener, pool) = subscribed().await;
    // Kept open, but never read: no pong comes from here.
    let _silent = accept(&listener).await;
    let mut socket = accept(&listener).await;
    say(&mut socket, HEAD).await;
    pool.woken().await;
}

#[tokio::test(start_paused = true)]
async fn a_dropped_pool_ends_its_subscriptions() {
    let (listener, pool) = subscribed().await;
    let mut socket = accept(&listener).await;
    drop(pool);
    while let Some(Ok(_)) = socket.next().await {}
}
