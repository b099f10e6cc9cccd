//! A range is read ahead: several blocks are under way at once, and come out in order.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use confirmd_chain::{Chain, Height};
use serde_json::Value;
use support::cluster::{Answering, Cluster};
use support::transaction::Transaction;
use support::{USDC, chain, key, watching};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

/// How many blocks are fetched at the same time.
const AT_ONCE: usize = 4;
const SOON: Duration = Duration::from_secs(20);

/// The slots of the blocks so far.
#[derive(Clone, Debug, Default)]
struct Seen {
    asked: BTreeSet<u64>,
    answered: BTreeSet<u64>,
    /// The most that were asked for and not answered yet.
    most: usize,
}

/// Whether a block may be answered, from its slot and what was seen.
type Gate = Arc<dyn Fn(u64, &Seen) -> bool + Send + Sync>;

/// A server that holds a block back until its gate opens.
struct Gated {
    url: String,
    seen: watch::Receiver<Seen>,
}

impl Gated {
    async fn start(answering: Answering, gate: Gate) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (note, seen) = watch::channel(Seen::default());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answering, gate) = (Arc::clone(&answering), Arc::clone(&gate));
                tokio::spawn(serve(stream, answering, gate, note.clone()));
            }
        });
        Self { url, seen }
    }
}

async fn serve(stream: TcpStream, answering: Answering, gate: Gate, note: watch::Sender<Seen>) {
    let mut stream = BufReader::new(stream);
    while let Some(posted) = request(&mut stream).await {
        let slot = (posted["method"] == "getBlock").then(|| posted["params"][0].as_u64().unwrap());
        if let Some(slot) = slot {
            note.send_modify(|seen| {
                seen.asked.insert(slot);
                seen.most = seen.most.max(seen.asked.len() - seen.answered.len());
            });
            note.subscribe().wait_for(|seen| gate(slot, seen)).await.unwrap();
        }
        let reply = answering(&posted).to_string();
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length";
        let reply = format!("{head}: {}\r\n\r\n{reply}", reply.len());
        // Before it is sent: what is asked for next is not under way at the same time.
        note.send_modify(|seen| seen.answered.extend(slot));
        stream.write_all(reply.as_bytes()).await.unwrap();
    }
}

/// What is posted next on a connection; nothing where it ends.
async fn request(stream: &mut BufReader<TcpStream>) -> Option<Value> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    serde_json::from_slice(&body).ok()
}

/// A range with a payment in each block, behind a gate; tells what the server saw.
async fn reads_in_order(gate: impl FnOnce(Vec<u64>) -> Gate) -> Seen {
    let cluster = Cluster::start().await;
    let pays = |n| vec![Transaction::of_tokens(n, USDC, &key(1), 5)];
    let slots: Vec<u64> = (0..12).map(|n| cluster.make(n % 3, pays(n))).collect();
    let gated = Gated::start(cluster.answering(), gate(slots.clone())).await;
    let chain = chain(std::slice::from_ref(&gated.url));
    let watches = watching(&[&key(1)]);
    let (from, to) = (Height(slots[0]), Height(slots[11]));
    let blocks = timeout(SOON, chain.blocks(from, to, &watches)).await.unwrap().unwrap();
    let heights: Vec<u64> = blocks.iter().map(|block| block.header.height.0).collect();
    assert_eq!(heights, slots, "in order");
    assert!(blocks.iter().all(|block| block.transfers.len() == 1), "with what is in each");
    gated.seen.borrow().clone()
}

#[tokio::test]
async fn the_blocks_of_a_range_are_asked_for_four_at_once() {
    // Who asked for one after the other would wait for ever.
    let seen = reads_in_order(|slots| {
        Arc::new(move |slot, seen| {
            let above = slots.iter().filter(|above| **above > slot).take(AT_ONCE - 1);
            above.into_iter().all(|above| seen.asked.contains(above))
        })
    })
    .await;
    assert_eq!(seen.most, AT_ONCE, "and no more");
}

#[tokio::test]
async fn a_block_that_comes_late_is_waited_for_while_those_above_it_come_i3() {
    let seen = reads_in_order(|slots| {
        let (first, next) = (slots[0], slots[1..AT_ONCE].to_vec());
        Arc::new(move |slot, seen| {
            slot != first || next.iter().all(|above| seen.answered.contains(above))
        })
    })
    .await;
    assert_eq!(seen.answered.len(), 12);
}
