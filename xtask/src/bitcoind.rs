//! bitcoind on regtest, a Bitcoin node whose chain a test can bend: mine, pay, replace,
//! double-spend, reorganise.
//!
//! The node has no wallet: `coins.rs` holds the one key that the payments come from.

use std::{
    path::PathBuf,
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use bitcoin::{Address, BlockHash, Transaction, Txid, consensus::encode::serialize_hex};
use nix::sys::signal::Signal;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    Error, Result,
    process::{Server, free_port, on_blocking_thread},
    rpc::JsonRpc,
};

mod build;
mod coins;

pub use build::{VERSION, binary};
use coins::Purse;
pub use coins::{Coin, Payment};

const USER: &str = "confirmd";
const PASSWORD: &str = "regtest";
const READY_WITHIN: Duration = Duration::from_secs(60);
/// Other processes may take the free ports before the node does.
const PORT_TRIES: u32 = 5;
/// A coinbase may be spent in the block that is so many higher.
const MATURITY: u32 = 100;

/// How a node behaves.
#[derive(Debug, Clone, Default)]
pub struct BitcoindOptions {
    /// Finds any transaction by its id, not only those of the mempool.
    pub txindex: bool,
    /// More of its command line.
    pub arguments: Vec<String>,
}

/// A running node on regtest, killed when dropped.
#[derive(Debug)]
pub struct Bitcoind {
    server: Server,
    home: Home,
    rpc: JsonRpc,
    purse: Purse,
    /// Tells the blocks of one branch from those of another.
    branches: AtomicU32,
}

/// What outlives a restart.
#[derive(Debug)]
struct Home {
    program: PathBuf,
    data: TempDir,
    options: BitcoindOptions,
    rpc_port: u16,
    zmq_port: u16,
}

#[derive(Deserialize)]
struct Made {
    hash: BlockHash,
}

impl Bitcoind {
    /// Compiles bitcoind where it is not there yet (minutes), starts it on free ports with an
    /// empty chain and waits until it answers.
    ///
    /// # Errors
    /// What stands in the way of compiling or starting it.
    pub async fn start(options: BitcoindOptions) -> Result<Self> {
        let program = on_blocking_thread(binary).await?;
        let data = TempDir::with_prefix("confirmd-bitcoind-")
            .map_err(Error::io("a temporary folder for bitcoind"))?;
        let mut home = Home { program, data, options, rpc_port: 0, zmq_port: 0 };
        let mut tries = 0;
        let (server, rpc) = loop {
            (home.rpc_port, home.zmq_port) = (free_port()?, free_port()?);
            tries += 1;
            match home.serve().await {
                Err(Error::Failed { .. }) if tries < PORT_TRIES => {}
                outcome => break outcome?,
            }
        };
        Ok(Self { server, home, rpc, purse: Purse::new()?, branches: AtomicU32::new(0) })
    }

    /// Where its JSON-RPC answers over HTTP, user and password included.
    pub fn url(&self) -> String {
        self.home.url()
    }

    /// Where it answers REST requests, without a password.
    pub fn rest_url(&self) -> String {
        format!("http://127.0.0.1:{}/rest", self.home.rpc_port)
    }

    /// Where it publishes `hashblock` and `sequence` over ZMQ.
    pub fn zmq_url(&self) -> String {
        self.home.zmq_url()
    }

    /// Any other method.
    ///
    /// # Errors
    /// As [`JsonRpc::call`].
    pub async fn call<T: DeserializeOwned>(&self, method: &str, params: Value) -> Result<T> {
        self.rpc.call(method, params).await
    }

    /// The newest block's height.
    pub async fn height(&self) -> Result<u32> {
        self.call("getblockcount", json!([])).await
    }

    /// The hash of the block at `height`.
    pub async fn block_hash(&self, height: u32) -> Result<BlockHash> {
        self.call("getblockhash", json!([height])).await
    }

    /// The address of the node's own key, which payments come from.
    pub fn address(&self) -> &Address {
        self.purse.address()
    }

    /// Makes blocks until `coins` coinbases of the node's own key can be spent.
    pub async fn fund(&self, coins: u32) -> Result<()> {
        self.mine((coins + MATURITY).saturating_sub(1)).await.map(drop)
    }

    /// Makes blocks, the first of which takes what waits in the mempool.
    pub async fn mine(&self, blocks: u32) -> Result<Vec<BlockHash>> {
        self.mine_to(self.purse.address(), blocks).await
    }

    /// Like [`Bitcoind::mine`], with coinbases that pay `address`.
    pub async fn mine_to(&self, address: &Address, blocks: u32) -> Result<Vec<BlockHash>> {
        self.call("generatetoaddress", json!([blocks, address])).await
    }

    /// Makes a block of these transactions, and of nothing that waits in the mempool.
    ///
    /// # Errors
    /// [`Error::Rpc`] where such a block is not valid.
    pub async fn mine_only(&self, transactions: &[Transaction]) -> Result<BlockHash> {
        self.generate(&self.purse.address().to_string(), transactions).await
    }

    /// Takes the newest `depth` blocks away and makes one block for each element of `branch`, of
    /// its transactions alone. The branch may be shorter than what it replaces.
    ///
    /// The transactions that were taken away wait in the mempool again (those of the newest ten
    /// blocks), except where the branch spends the same coin.
    ///
    /// # Errors
    /// [`Error::Rpc`] where a block of the branch is not valid.
    pub async fn reorg(&self, depth: u32, branch: &[&[Transaction]]) -> Result<Vec<BlockHash>> {
        let first_lost = (self.height().await? + 1).saturating_sub(depth);
        self.invalidate(self.block_hash(first_lost).await?).await?;
        let mut made = Vec::with_capacity(branch.len());
        for transactions in branch {
            // Another coinbase, else the block could be the one that was just taken away.
            let number = self.branches.fetch_add(1, Ordering::Relaxed);
            made.push(self.generate(&format!("raw(6a04{number:08x})"), transactions).await?);
        }
        Ok(made)
    }

    /// Takes a block, and what stands on it, off the chain for good.
    pub async fn invalidate(&self, block: BlockHash) -> Result<()> {
        self.call("invalidateblock", json!([block])).await
    }

    /// Takes [`Bitcoind::invalidate`] back: the branch is followed again where it has more work.
    pub async fn reconsider(&self, block: BlockHash) -> Result<()> {
        self.call("reconsiderblock", json!([block])).await
    }

    /// The ids of the transactions that wait for a block.
    pub async fn mempool(&self) -> Result<Vec<Txid>> {
        self.call("getrawmempool", json!([])).await
    }

    /// Whether a transaction waits for a block.
    pub async fn in_mempool(&self, transaction: Txid) -> Result<bool> {
        Ok(self.mempool().await?.contains(&transaction))
    }

    /// Offers a transaction to the mempool.
    ///
    /// # Errors
    /// [`Error::Rpc`] where the mempool does not take it.
    pub async fn send(&self, transaction: &Transaction) -> Result<Txid> {
        self.call("sendrawtransaction", json!([serialize_hex(transaction), 0])).await
    }

    /// The time that the node takes for now, in seconds since the epoch; 0 for the clock's.
    pub async fn set_time(&self, seconds: u64) -> Result<()> {
        self.call("setmocktime", json!([seconds])).await
    }

    /// Stops answering, as a node that hangs: connections are taken, requests wait.
    pub fn pause(&self) -> Result<()> {
        self.server.signal(Signal::SIGSTOP)
    }

    /// Goes on after [`Bitcoind::pause`].
    pub fn resume(&self) -> Result<()> {
        self.server.signal(Signal::SIGCONT)
    }

    /// Stops it in good order: connections are refused from now on.
    ///
    /// # Errors
    /// [`Error::TimedOut`] where it does not end.
    pub async fn stop(&mut self) -> Result<()> {
        self.server.signal(Signal::SIGTERM)?;
        self.server.ended(READY_WITHIN).await.map(drop)
    }

    /// Starts it again after [`Bitcoind::stop`], at the same addresses with the same chain; its
    /// mempool is empty.
    ///
    /// # Errors
    /// As [`Bitcoind::start`].
    pub async fn restart(&mut self) -> Result<()> {
        (self.server, self.rpc) = self.home.serve().await?;
        Ok(())
    }

    async fn generate(&self, output: &str, transactions: &[Transaction]) -> Result<BlockHash> {
        let raw: Vec<_> = transactions.iter().map(serialize_hex).collect();
        let made: Made = self.call("generateblock", json!([output, raw])).await?;
        Ok(made.hash)
    }
}

impl Home {
    fn url(&self) -> String {
        format!("http://{USER}:{PASSWORD}@127.0.0.1:{}", self.rpc_port)
    }

    fn zmq_url(&self) -> String {
        format!("tcp://127.0.0.1:{}", self.zmq_port)
    }

    async fn serve(&self) -> Result<(Server, JsonRpc)> {
        let mut server = Server::start("bitcoind", &mut self.command(), Signal::SIGKILL)?;
        let rpc = JsonRpc::new(self.url())?;
        server
            .until("an answer", READY_WITHIN, async || {
                rpc.call::<u32>("getblockcount", json!([])).await.ok()
            })
            .await?;
        Ok((server, rpc))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("-regtest").arg(format!("-datadir={}", self.data.path().display()));
        // Nobody to talk to, and nothing to keep.
        command.args(["-listen=0", "-connect=0", "-dnsseed=0", "-persistmempool=0"]);
        command.args(["-server", "-rest", "-rpcbind=127.0.0.1", "-rpcallowip=127.0.0.1"]);
        command.arg(format!("-rpcport={}", self.rpc_port));
        command.arg(format!("-rpcuser={USER}")).arg(format!("-rpcpassword={PASSWORD}"));
        for topic in ["hashblock", "sequence"] {
            command.arg(format!("-zmqpub{topic}={}", self.zmq_url()));
        }
        if self.options.txindex {
            command.arg("-txindex");
        }
        command.args(&self.options.arguments);
        command
    }
}
