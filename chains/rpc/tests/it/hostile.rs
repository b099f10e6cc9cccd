//! Servers that mean harm (F12), or are simply broken.

use std::io::Write;
use std::time::Duration;

use confirmd_rpc::{CallError, Limits, Request};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use tokio::net::TcpListener;
use wiremock::ResponseTemplate;

use crate::support::{provider, raw_server, server, write};

const MIB: usize = 1 << 20;

fn small() -> Limits {
    Limits { max_answer_bytes: MIB, ..Limits::default() }
}

async fn fails(url: &str, limits: Limits) -> CallError {
    provider(url, limits).call("eth_chainId", ()).await.expect_err("no usable answer")
}

#[tokio::test]
async fn an_endless_body_is_cut_at_the_cap_f12() {
    let url = raw_server(|mut connection| async move {
        let chunk = [b"10000\r\n", vec![b' '; 0x10000].as_slice(), b"\r\n"].concat();
        write(&mut connection, b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
        while write(&mut connection, &chunk).await {}
    })
    .await;
    let error = fails(&url, small()).await;
    assert_eq!(error, CallError::TooMuch(format!("an answer of more than {MIB} bytes")));
}

#[tokio::test]
async fn an_announced_body_over_the_cap_is_not_even_read_f12() {
    let url = raw_server(|mut connection| async move {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", 1_u64 << 30);
        write(&mut connection, head.as_bytes()).await;
        std::future::pending::<()>().await;
    })
    .await;
    assert!(matches!(fails(&url, small()).await, CallError::TooMuch(_)));
}

#[tokio::test]
async fn a_gzip_bomb_counts_by_what_comes_out_of_it_f12() {
    let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
    let spaces = vec![b' '; MIB];
    for _ in 0..64 {
        bomb.write_all(&spaces).expect("memory");
    }
    let bomb = bomb.finish().expect("memory");
    assert!(bomb.len() < MIB / 4, "it fits the cap many times over as it is sent");
    let server = server(move |_| {
        let answer = ResponseTemplate::new(200).insert_header("content-encoding", "gzip");
        answer.set_body_bytes(bomb.clone())
    })
    .await;
    assert!(matches!(fails(&server.uri(), small()).await, CallError::TooMuch(_)));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_drips_for_ever_ends_at_the_total_deadline_f12() {
    let url = raw_server(|mut connection| async move {
        write(&mut connection, b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
        while write(&mut connection, b"1\r\n \r\n").await {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    })
    .await;
    let began = tokio::time::Instant::now();
    let error = fails(&url, Limits::default()).await;
    assert_eq!(error, CallError::Unreachable("no whole answer within 15s".to_owned()));
    assert!(began.elapsed() < Duration::from_secs(16), "each byte buys no more time");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_ends_at_the_total_deadline_f12() {
    let url = raw_server(|connection| async move {
        let _open = connection;
        std::future::pending::<()>().await;
    })
    .await;
    assert!(matches!(fails(&url, Limits::default()).await, CallError::Unreachable(_)));
}

#[tokio::test]
async fn a_connection_that_breaks_is_unreachable() {
    let url = raw_server(|mut connection| async move {
        write(&mut connection, b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"id\":").await;
    })
    .await;
    assert!(matches!(fails(&url, Limits::default()).await, CallError::Unreachable(_)));
}

#[tokio::test]
async fn a_port_that_nobody_listens_on_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let error = fails(&format!("http://{address}"), Limits::default()).await;
    assert!(matches!(error, CallError::Unreachable(_)), "{error}");
    assert!(!error.to_string().contains(&address.to_string()), "{error}");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = server(|_| ResponseTemplate::new(200)).await;
    let target = elsewhere.uri();
    let server =
        server(move |_| ResponseTemplate::new(307).insert_header("location", target.as_str()))
            .await;
    assert!(matches!(fails(&server.uri(), Limits::default()).await, CallError::Unreachable(_)));
    assert!(elsewhere.received_requests().await.expect("recorded").is_empty());
}

#[tokio::test]
async fn a_flood_of_tiny_answers_is_refused_before_it_is_stored_f12() {
    let flood = format!("[{}{{}}]", r#"{"id":1,"result":1},"#.repeat(50_000));
    let server = server(move |_| ResponseTemplate::new(200).set_body_string(flood.clone())).await;
    let calls = [Request::new("a", &()).expect("a call"), Request::new("b", &()).expect("a call")];
    let provider = provider(&server.uri(), Limits::default());
    let error = provider.batch(&calls).await.expect_err("refused");
    assert!(error.to_string().contains("more answers than calls"), "{error}");
}

#[tokio::test]
async fn json_that_nests_without_end_is_refused_f12() {
    let deep = format!(r#"{{"id":1,"result":{}"#, "[".repeat(MIB));
    let server = server(move |_| ResponseTemplate::new(200).set_body_string(deep.clone())).await;
    let provider = provider(&server.uri(), Limits::default());
    let answer = provider.call("eth_blockNumber", ()).await.expect("what has yet to be read");
    assert!(matches!(answer.decode::<Value>(), Err(CallError::Malformed(_))));
    assert!(matches!(answer.json(), Err(CallError::Malformed(_))));
}
