//! A node's ZMQ notifications: they wake a follower early, and are nothing more.
//!
//! Of ZeroMQ this takes what a subscriber needs: ZMTP 3.0 (RFC 23) over TCP, without encryption.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinSet;

const CONNECT: Duration = Duration::from_secs(10);
/// After so long without a word the connection is made anew: blocks are rarely so far apart, and
/// a connection that was lost on the way says nothing.
const SILENCE: Duration = Duration::from_mins(60);
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// Notifications have some fifty bytes.
const LONGEST_FRAME: usize = 65_536;

const MORE: u8 = 1;
const LONG: u8 = 2;
const COMMAND: u8 = 4;
/// A block is the new tip; the same with every block that is put on the chain or taken off it,
/// and every transaction of the mempool.
const HASH_BLOCK: &[u8] = b"hashblock";
const SEQUENCE: &[u8] = b"sequence";

/// The nodes that are listened to.
#[derive(Debug, Default)]
pub(crate) struct Zmq {
    /// `host:port`, by provider.
    addresses: Vec<(String, String)>,
    notify: Arc<Notify>,
    /// Ends the tasks when it is dropped.
    tasks: Mutex<JoinSet<()>>,
}

impl Zmq {
    /// Listens to these from [`Self::listen`] on.
    pub(crate) fn new(addresses: Vec<(String, String)>) -> Self {
        Self { addresses, ..Self::default() }
    }

    /// Starts one task for each; once, within a runtime.
    pub(crate) fn listen(&self, network: &str) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        for (provider, address) in &self.addresses {
            let (network, provider) = (network.to_owned(), provider.clone());
            let (address, notify) = (address.clone(), Arc::clone(&self.notify));
            tasks.spawn(async move { follow(&network, &provider, &address, &notify).await });
        }
    }

    /// Returns at the next notification of a block. Those that came while nobody waited are one.
    pub(crate) async fn woken(&self) {
        self.notify.notified().await;
    }
}

/// Connects, subscribes, wakes; and again, for ever, with growing pauses.
async fn follow(network: &str, provider: &str, address: &str, notify: &Notify) {
    let mut pause = SHORTEST_PAUSE;
    loop {
        let ended = subscribe(address, || {
            pause = SHORTEST_PAUSE;
            notify.notify_one();
        });
        let error = ended.await.err().map(|error| error.to_string());
        tracing::debug!(network, provider, error, "ZMQ subscription ended");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// One connection, from its opening to its end.
async fn subscribe(address: &str, mut wake: impl FnMut()) -> std::io::Result<()> {
    let connect = tokio::time::timeout(CONNECT, shake_hands(address));
    let mut socket = connect.await.map_err(|_| std::io::ErrorKind::TimedOut)??;
    // What was announced before we listened is not repeated.
    wake();
    loop {
        let message = tokio::time::timeout(SILENCE, message(&mut socket));
        let message = message.await.map_err(|_| std::io::ErrorKind::TimedOut)??;
        if announces_block(&message) {
            wake();
        }
    }
}

async fn shake_hands(address: &str) -> std::io::Result<TcpStream> {
    let mut socket = TcpStream::connect(address).await?;
    // Signature, version 3.0, the mechanism NULL, a client.
    let mut greeting = [0; 64];
    greeting[0] = 0xff;
    greeting[9] = 0x7f;
    greeting[10] = 3;
    greeting[12..16].copy_from_slice(b"NULL");
    socket.write_all(&greeting).await?;
    let mut theirs = [0; 64];
    socket.read_exact(&mut theirs).await?;
    if theirs[0] != 0xff || theirs[9] != 0x7f || theirs[10] < 3 || theirs[12..17] != *b"NULL\0" {
        return Err(std::io::Error::other("not ZMTP 3 without encryption"));
    }
    socket.write_all(b"\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x03SUB").await?;
    for topic in [HASH_BLOCK, SEQUENCE] {
        // A message whose first byte is 1 subscribes. Topics are short.
        let length = u8::try_from(topic.len() + 1).unwrap_or_default();
        socket.write_all(&[&[0, length, 1], topic].concat()).await?;
    }
    Ok(socket)
}

/// The frames of the next message; commands are left out.
async fn message(socket: &mut TcpStream) -> std::io::Result<Vec<Vec<u8>>> {
    let mut frames = Vec::new();
    loop {
        let flags = socket.read_u8().await?;
        let length = match flags & LONG {
            0 => u64::from(socket.read_u8().await?),
            _ => socket.read_u64().await?,
        };
        let length = usize::try_from(length).ok().filter(|length| *length <= LONGEST_FRAME);
        let length = length.ok_or_else(|| std::io::Error::other("a frame that is too long"))?;
        let mut frame = vec![0; length];
        socket.read_exact(&mut frame).await?;
        if flags & COMMAND != 0 {
            continue;
        }
        frames.push(frame);
        if flags & MORE == 0 {
            return Ok(frames);
        }
        if frames.len() > 8 {
            return Err(std::io::Error::other("a message of too many frames"));
        }
    }
}

/// Whether a message tells of a block: of `sequence`, those that are connected and disconnected.
fn announces_block(message: &[Vec<u8>]) -> bool {
    match message {
        [topic, ..] if topic == HASH_BLOCK => true,
        [topic, body, ..] if topic == SEQUENCE => matches!(body.get(32), Some(b'C' | b'D')),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_blocks_wake() {
        let sequence = |label: u8| vec![SEQUENCE.to_vec(), [&[7; 32][..], &[label]].concat()];
        assert!(announces_block(&[HASH_BLOCK.to_vec(), vec![7; 32], vec![0; 4]]));
        assert!(announces_block(&sequence(b'C')) && announces_block(&sequence(b'D')));
        assert!(!announces_block(&sequence(b'A')) && !announces_block(&sequence(b'R')));
        assert!(!announces_block(&[SEQUENCE.to_vec()]) && !announces_block(&[]));
    }
}
