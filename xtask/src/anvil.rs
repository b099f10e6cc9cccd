//! anvil, an EVM node whose chain a test can bend: mine, reorganise, drop, pause.

use std::{
    env,
    path::PathBuf,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use alloy_primitives::{Address, B256, Bytes, U64, U256};
use nix::sys::signal::Signal;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    Error, Result, npm,
    process::{Server, on_blocking_thread},
    rpc::JsonRpc,
};

/// The pinned version.
pub const VERSION: &str = "1.7.1";

const READY_WITHIN: Duration = Duration::from_secs(20);
const MINED_WITHIN: Duration = Duration::from_secs(20);
/// Enough for what tests do. A fixed limit also gets a reverting transaction into a block, where
/// an estimate would refuse it.
const GAS_LIMIT: u64 = 5_000_000;

/// How a node behaves.
#[derive(Debug, Clone)]
pub struct AnvilOptions {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// `safe` is this many blocks behind `latest`, and `finalized` twice as many.
    pub slots_in_an_epoch: u64,
    /// A block each whole second(s), whether there are transactions or not.
    pub block_time: Option<Duration>,
    /// A block for each transaction as it comes. Without it and without `block_time`, blocks are
    /// made by [`Anvil::mine`] alone.
    pub automine: bool,
    /// Time of block 0, in seconds since the epoch; the node's own clock where there is none.
    pub genesis_timestamp: Option<u64>,
    /// The URL of a node whose chain it goes on from, and the last block that both share.
    pub fork: Option<(String, u64)>,
}

impl Default for AnvilOptions {
    fn default() -> Self {
        Self {
            chain_id: 31_337,
            slots_in_an_epoch: 32,
            block_time: None,
            automine: true,
            genesis_timestamp: None,
            fork: None,
        }
    }
}

/// A transaction for one of the node's unlocked accounts to send.
#[derive(Debug, Clone, Default)]
pub struct Transaction {
    /// The sender; [`Anvil::accounts`] are unlocked.
    pub from: Address,
    /// The receiver; none makes a contract of `data`.
    pub to: Option<Address>,
    /// Wei.
    pub value: U256,
    /// Call data, or a contract's creation code.
    pub data: Bytes,
}

impl Transaction {
    fn to_json(&self) -> Value {
        let mut fields = json!({
            "from": self.from, "value": self.value, "data": self.data, "gas": U64::from(GAS_LIMIT),
        });
        if let Some(to) = self.to {
            fields["to"] = json!(to);
        }
        fields
    }
}

/// What became of a mined transaction.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    /// Its hash.
    pub transaction_hash: B256,
    /// Its place in the block.
    pub transaction_index: U64,
    /// Height of its block.
    pub block_number: U64,
    /// Hash of its block.
    pub block_hash: B256,
    /// The contract that it made.
    pub contract_address: Option<Address>,
    status: U64,
}

impl Receipt {
    /// False for a reverted transaction, which changes nothing but its sender's gas and nonce.
    pub fn succeeded(&self) -> bool {
        self.status == U64::from(1)
    }

    /// Height of its block.
    pub fn height(&self) -> u64 {
        self.block_number.to()
    }
}

/// A running node, killed when dropped.
#[derive(Debug)]
pub struct Anvil {
    server: Server,
    rpc: JsonRpc,
    port: u16,
    accounts: Vec<Address>,
    automine: AtomicBool,
}

impl Anvil {
    /// Installs anvil where it is not yet, starts it on a free port and waits until it answers.
    ///
    /// # Errors
    /// What stands in the way of installing or starting it.
    pub async fn start(options: AnvilOptions) -> Result<Self> {
        let mut command = Command::new(on_blocking_thread(binary).await?);
        command.args(["--host", "127.0.0.1", "--port", "0"]);
        command.args(["--chain-id", &options.chain_id.to_string()]);
        command.args(["--slots-in-an-epoch", &options.slots_in_an_epoch.to_string()]);
        match options.block_time {
            Some(time) => command.args(["--block-time", &time.as_secs().max(1).to_string()]),
            None if !options.automine => command.arg("--no-mining"),
            None => &mut command,
        };
        if let Some(seconds) = options.genesis_timestamp {
            command.args(["--timestamp", &seconds.to_string()]);
        }
        if let Some((url, height)) = &options.fork {
            command.args(["--fork-url", url, "--fork-block-number", &height.to_string()]);
        }
        let mut server = Server::start("anvil", &mut command, Signal::SIGKILL)?;
        let port = loop {
            let line = server.line(READY_WITHIN).await?;
            if let Some(address) = line.strip_prefix("Listening on 127.0.0.1:") {
                break address.trim().parse().map_err(|e| Error::unexpected(&line, &e))?;
            }
        };
        let rpc = JsonRpc::new(format!("http://127.0.0.1:{port}"))?;
        let accounts = server
            .until("an answer", READY_WITHIN, async || {
                rpc.call::<Vec<Address>>("eth_accounts", json!([])).await.ok()
            })
            .await?;
        let automine = AtomicBool::new(options.automine && options.block_time.is_none());
        Ok(Self { server, rpc, port, accounts, automine })
    }

    /// Where its JSON-RPC answers over HTTP.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Where its JSON-RPC answers over a websocket, subscriptions included.
    pub fn ws_url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port)
    }

    /// Ten unlocked accounts with 10,000 ether each.
    pub fn accounts(&self) -> &[Address] {
        &self.accounts
    }

    /// Any other method.
    ///
    /// # Errors
    /// As [`JsonRpc::call`].
    pub async fn call<T: DeserializeOwned>(&self, method: &str, params: Value) -> Result<T> {
        self.rpc.call(method, params).await
    }

    /// The newest block's height.
    pub async fn block_number(&self) -> Result<u64> {
        let height: U64 = self.call("eth_blockNumber", json!([])).await?;
        Ok(height.to())
    }

    /// The hash of the block at `height`.
    pub async fn block_hash(&self, height: u64) -> Result<B256> {
        let params = json!([U64::from(height), false]);
        let block: Value = self.call("eth_getBlockByNumber", params).await?;
        serde_json::from_value(block["hash"].clone())
            .map_err(|error| Error::unexpected(format!("block {height}"), &error))
    }

    /// Makes `blocks` blocks; the first takes what waits in the pool.
    pub async fn mine(&self, blocks: u64) -> Result<()> {
        self.call::<Value>("anvil_mine", json!([U64::from(blocks)])).await.map(drop)
    }

    /// Replaces the newest `depth` blocks by as many others. Their transactions vanish, and do not
    /// come back to the pool.
    pub async fn reorg(&self, depth: u64) -> Result<()> {
        self.reorg_with(depth, &[]).await
    }

    /// Like [`Anvil::reorg`], with transactions in the new blocks: each at its block's place on
    /// the new branch, counted from 0.
    pub async fn reorg_with(&self, depth: u64, transactions: &[(Transaction, u64)]) -> Result<()> {
        let placed: Vec<_> = transactions
            .iter()
            .map(|(transaction, at)| json!([transaction.to_json(), at]))
            .collect();
        self.call::<Value>("anvil_reorg", json!([depth, placed])).await.map(drop)
    }

    /// Like [`Anvil::reorg_with`], with transactions that were mined before: they come back as
    /// they are, under their own hashes.
    pub async fn reorg_again(&self, depth: u64, transactions: &[(B256, u64)]) -> Result<()> {
        let mut placed = Vec::with_capacity(transactions.len());
        for (hash, at) in transactions {
            let raw: Bytes = self.call("debug_getRawTransaction", json!([hash])).await?;
            placed.push(json!([raw, at]));
        }
        self.call::<Value>("anvil_reorg", json!([depth, placed])).await.map(drop)
    }

    /// Takes the newest `depth` blocks away: the head goes backwards.
    pub async fn rollback(&self, depth: u64) -> Result<()> {
        self.call::<Value>("anvil_rollback", json!([depth])).await.map(drop)
    }

    /// Whether each transaction gets a block as it comes.
    pub async fn set_automine(&self, on: bool) -> Result<()> {
        self.call::<Value>("evm_setAutomine", json!([on])).await?;
        self.automine.store(on, Ordering::SeqCst);
        Ok(())
    }

    /// The time of the next block, in seconds since the epoch; later than the newest block's.
    pub async fn set_next_block_timestamp(&self, seconds: u64) -> Result<()> {
        self.call::<Value>("evm_setNextBlockTimestamp", json!([seconds])).await.map(drop)
    }

    /// Remembers the chain as it is, for [`Anvil::revert`].
    pub async fn snapshot(&self) -> Result<U256> {
        self.call("evm_snapshot", json!([])).await
    }

    /// Goes back to a snapshot, which is used up by that.
    ///
    /// # Errors
    /// [`Error::Unexpected`] where there is no such snapshot.
    pub async fn revert(&self, snapshot: U256) -> Result<()> {
        match self.call("evm_revert", json!([snapshot])).await? {
            true => Ok(()),
            false => Err(Error::unexpected("evm_revert", &format!("no snapshot {snapshot}"))),
        }
    }

    /// Removes a transaction from the pool; false where it is not in it.
    pub async fn drop_transaction(&self, hash: B256) -> Result<bool> {
        let dropped: Option<B256> = self.call("anvil_dropTransaction", json!([hash])).await?;
        Ok(dropped.is_some())
    }

    /// The receipt, where the transaction stands in a block of the present chain.
    pub async fn receipt(&self, hash: B256) -> Result<Option<Receipt>> {
        self.call("eth_getTransactionReceipt", json!([hash])).await
    }

    /// Waits for the receipt.
    ///
    /// # Errors
    /// [`Error::TimedOut`] where no block takes the transaction.
    pub async fn mined(&self, hash: B256) -> Result<Receipt> {
        let wait = async {
            loop {
                if let Some(receipt) = self.receipt(hash).await? {
                    return Ok(receipt);
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(MINED_WITHIN, wait).await.unwrap_or_else(|_| {
            let what = format!("anvil: a block with {hash}");
            Err(Error::TimedOut { what, within: MINED_WITHIN, output: self.server.output() })
        })
    }

    /// Sends a transaction and gives its hash: with automine once it stands in a block (reverted
    /// or not), else at once.
    pub async fn send(&self, transaction: &Transaction) -> Result<B256> {
        let hash = self.call("eth_sendTransaction", json!([transaction.to_json()])).await?;
        if self.automine.load(Ordering::SeqCst) {
            self.mined(hash).await?;
        }
        Ok(hash)
    }

    /// Sends `wei` of the native coin.
    pub async fn pay(&self, from: Address, to: Address, wei: U256) -> Result<B256> {
        let to = Some(to);
        self.send(&Transaction { from, to, value: wei, ..Transaction::default() }).await
    }

    /// The balance of the native coin, in wei.
    pub async fn balance_of(&self, owner: Address) -> Result<U256> {
        self.call("eth_getBalance", json!([owner, "latest"])).await
    }

    /// Deploys a contract from `creation_code` (constructor arguments appended), mining a block
    /// for it where blocks come by hand only.
    ///
    /// # Errors
    /// [`Error::Unexpected`] where its constructor reverts.
    pub async fn deploy(&self, from: Address, creation_code: Bytes) -> Result<Address> {
        let creation = Transaction { from, data: creation_code, ..Transaction::default() };
        let hash = self.send(&creation).await?;
        if self.receipt(hash).await?.is_none() {
            self.mine(1).await?;
        }
        let receipt = self.mined(hash).await?;
        match receipt.contract_address {
            Some(address) if receipt.succeeded() => Ok(address),
            _ => Err(Error::unexpected("deploy", "the constructor reverted")),
        }
    }

    /// Stops answering, as a node that hangs: connections are taken, requests wait.
    pub fn pause(&self) -> Result<()> {
        self.server.signal(Signal::SIGSTOP)
    }

    /// Goes on after [`Anvil::pause`].
    pub fn resume(&self) -> Result<()> {
        self.server.signal(Signal::SIGCONT)
    }

    /// Ends the node for good: connections are refused from now on.
    pub fn kill(&mut self) {
        self.server.kill();
    }
}

/// The path of anvil, installed on first use.
///
/// # Errors
/// What stands in the way of installing it.
pub fn binary() -> Result<PathBuf> {
    let system = match env::consts::OS {
        "macos" => "darwin",
        other => other,
    };
    let machine = match env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let package = format!("@foundry-rs/anvil-{system}-{machine}");
    let modules = npm::install(&[&format!("{package}@{VERSION}")])?;
    Ok(modules.join(package).join("bin/anvil"))
}
