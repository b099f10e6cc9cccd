//! surfpool, a Solana node whose slots a test makes by hand: fund, pay, mine.
//!
//! It knows neither skipped slots nor forks: those take a proxy in front of it.

use std::{
    process::Command,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use nix::sys::signal::Signal;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use solana_hash::Hash;
use solana_instruction::Instruction;
use solana_message::{AddressLookupTableAccount, Message, VersionedMessage, v0};
use solana_transaction::versioned::VersionedTransaction;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

use crate::{
    Error, Result,
    process::{Server, free_port, on_blocking_thread},
    rpc::JsonRpc,
};

mod build;
mod instructions;
mod tokens;

pub use build::{VERSION, binary};
pub use instructions::{MemoProgram, TokenProgram, memo, pay_lamports, referring};
pub use solana_keypair::{Keypair, Signer};
pub use solana_pubkey::Pubkey;
pub use tokens::{Fee, Mint, MintOptions};

/// Lamports in a SOL.
pub const SOL: u64 = 1_000_000_000;

const READY_WITHIN: Duration = Duration::from_secs(60);
/// Other processes may take the free ports before the node does.
const PORT_TRIES: u32 = 5;
/// What the node's own key begins with: a tenth of what there is to give away.
const PURSE: u64 = 100_000 * SOL;
/// How much later than the slot before it one that is closed by hand says that it is. Short, so
/// that blocks do not run ahead of the clock.
const SLOT: Duration = Duration::from_millis(10);

/// How much of the network stands behind a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commitment {
    /// The newest slot, which is still open.
    Processed,
    /// The slot before it.
    Confirmed,
    /// 31 slots before it.
    Finalized,
}

impl Commitment {
    fn name(self) -> &'static str {
        match self {
            Self::Processed => "processed",
            Self::Confirmed => "confirmed",
            Self::Finalized => "finalized",
        }
    }
}

/// How a node behaves.
#[derive(Debug, Clone, Default)]
pub struct SurfpoolOptions {
    /// A slot each so often; without it, slots are closed by [`Surfpool::mine`] alone.
    pub slot_time: Option<Duration>,
}

/// A running node, killed when dropped.
#[derive(Debug)]
pub struct Surfpool {
    server: Server,
    ports: Ports,
    rpc: JsonRpc,
    purse: Keypair,
    /// Tells transactions apart that would else be the same.
    sent: AtomicU64,
}

#[derive(Debug, Clone, Copy)]
struct Ports {
    rpc: u16,
    ws: u16,
    control: u16,
}

#[derive(Deserialize)]
struct Answer<T> {
    value: T,
}

#[derive(Deserialize)]
struct Status {
    slot: u64,
}

#[derive(Deserialize)]
struct Simulated {
    err: Option<Value>,
}

impl Surfpool {
    /// Compiles surfpool where it is not there yet (minutes), starts it on free ports with a chain
    /// of a few empty blocks and waits until it answers.
    ///
    /// # Errors
    /// What stands in the way of compiling or starting it.
    pub async fn start(options: SurfpoolOptions) -> Result<Self> {
        let program = on_blocking_thread(binary).await?;
        let mut tries = 0;
        let (server, ports, rpc) = loop {
            let ports = Ports { rpc: free_port()?, ws: free_port()?, control: free_port()? };
            let mut command = Command::new(&program);
            for port in [ports.rpc, ports.ws, ports.control] {
                command.arg(port.to_string());
            }
            command.arg(options.slot_time.unwrap_or(SLOT).as_millis().max(1).to_string());
            command.arg(if options.slot_time.is_some() { "clock" } else { "manual" });
            tries += 1;
            match serve(&mut command, ports).await {
                Err(Error::Failed { .. }) if tries < PORT_TRIES => {}
                outcome => {
                    let (server, rpc) = outcome?;
                    break (server, ports, rpc);
                }
            }
        };
        let purse = Keypair::new_from_array([0xc0; 32]);
        let node = Self { server, ports, rpc, purse, sent: AtomicU64::new(0) };
        node.airdrop(&node.purse.pubkey(), PURSE).await?;
        Ok(node)
    }

    /// Where its JSON-RPC answers over HTTP.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.rpc)
    }

    /// Where its subscriptions are.
    pub fn ws_url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.ports.ws)
    }

    /// Any other method.
    ///
    /// # Errors
    /// As [`JsonRpc::call`].
    pub async fn call<T: DeserializeOwned>(&self, method: &str, params: Value) -> Result<T> {
        self.rpc.call(method, params).await
    }

    /// The key that pays fees and, in what tests leave open, the money.
    pub fn purse(&self) -> &Keypair {
        &self.purse
    }

    /// The newest slot at a commitment.
    pub async fn slot(&self, commitment: Commitment) -> Result<u64> {
        self.call("getSlot", json!([{ "commitment": commitment.name() }])).await
    }

    /// Closes so many slots, the first of which holds what was sent; gives the one that is open
    /// then.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::TimedOut`] where the node does not answer.
    pub async fn mine(&self, slots: u64) -> Result<u64> {
        let what = || format!("surfpool: {slots} slots");
        let answer = async {
            let stream = TcpStream::connect(("127.0.0.1", self.ports.control)).await?;
            let mut stream = BufReader::new(stream);
            stream.write_all(format!("{slots}\n").as_bytes()).await?;
            let mut line = String::new();
            stream.read_line(&mut line).await?;
            Ok(line)
        };
        let answer = tokio::time::timeout(READY_WITHIN, answer).await.map_err(|_| {
            let output = self.server.output();
            Error::TimedOut { what: what(), within: READY_WITHIN, output }
        })?;
        let line = answer.map_err(Error::io(what()))?;
        line.trim().parse().map_err(|error| Error::unexpected(what(), &error))
    }

    /// Gives away new lamports.
    pub async fn airdrop(&self, to: &Pubkey, lamports: u64) -> Result<()> {
        let params = json!([to.to_string(), lamports]);
        self.call::<String>("requestAirdrop", params).await.map(drop)
    }

    /// Lamports of an account.
    pub async fn balance_of(&self, account: &Pubkey) -> Result<u64> {
        let params = json!([account.to_string(), { "commitment": "processed" }]);
        Ok(self.call::<Answer<u64>>("getBalance", params).await?.value)
    }

    /// Sends a transaction of these instructions, which `signers` sign beside the node's own key,
    /// and gives its signature. The open slot takes it.
    ///
    /// # Errors
    /// [`Error::Rpc`] where it would fail; [`Surfpool::send_failing`] is for those.
    pub async fn send(&self, instructions: &[Instruction], signers: &[&Keypair]) -> Result<String> {
        let message = Message::new_with_blockhash(
            &self.distinct(instructions),
            Some(&self.purse.pubkey()),
            &self.newest_hash().await?,
        );
        let transaction = self.sign(VersionedMessage::Legacy(message), signers)?;
        self.submit(&transaction, false).await
    }

    /// Like [`Surfpool::send`], as a transaction of version 0 that names what it can through an
    /// address look-up table.
    ///
    /// # Errors
    /// As [`Surfpool::send`].
    pub async fn send_v0(
        &self,
        instructions: &[Instruction],
        signers: &[&Keypair],
        table: &AddressLookupTableAccount,
    ) -> Result<String> {
        let message = v0::Message::try_compile(
            &self.purse.pubkey(),
            &self.distinct(instructions),
            std::slice::from_ref(table),
            self.newest_hash().await?,
        );
        let message = message.map_err(|error| Error::unexpected("a v0 message", &error))?;
        self.submit(&self.sign(VersionedMessage::V0(message), signers)?, false).await
    }

    /// Like [`Surfpool::send`], for a transaction that fails and stands in a block all the same.
    ///
    /// # Errors
    /// [`Error::Unexpected`] where it would not fail.
    pub async fn send_failing(
        &self,
        instructions: &[Instruction],
        signers: &[&Keypair],
    ) -> Result<String> {
        let message = Message::new_with_blockhash(
            &self.distinct(instructions),
            Some(&self.purse.pubkey()),
            &self.newest_hash().await?,
        );
        let transaction = self.sign(VersionedMessage::Legacy(message), signers)?;
        let how = json!({ "encoding": "base64", "commitment": "processed" });
        let simulated: Answer<Simulated> =
            self.call("simulateTransaction", json!([transaction, how])).await?;
        match simulated.value.err {
            Some(_) => self.submit(&transaction, true).await,
            None => Err(Error::unexpected("a failing transaction", "does not fail")),
        }
    }

    /// Makes an address look-up table of these addresses. Takes two slots.
    pub async fn lookup_table(&self, addresses: &[Pubkey]) -> Result<AddressLookupTableAccount> {
        let recent = self.slot(Commitment::Confirmed).await?;
        let (create, key) = instructions::create_table(&self.purse.pubkey(), recent);
        let extend = instructions::extend_table(&self.purse.pubkey(), key, addresses);
        self.send(&[create, extend], &[]).await?;
        // What a slot adds to a table may be used in the next.
        self.mine(2).await?;
        Ok(AddressLookupTableAccount { key, addresses: addresses.to_vec() })
    }

    /// The slot of a transaction, once it is closed.
    ///
    /// # Errors
    /// [`Error::Unexpected`] where no closed slot holds it.
    pub async fn slot_of(&self, signature: &str) -> Result<u64> {
        let statuses: Answer<Vec<Option<Status>>> =
            self.call("getSignatureStatuses", json!([[signature]])).await?;
        let status = statuses.value.into_iter().next().flatten();
        let status = status.ok_or_else(|| Error::unexpected(signature, "is in no closed slot"))?;
        Ok(status.slot)
    }

    async fn newest_hash(&self) -> Result<Hash> {
        #[derive(Deserialize)]
        struct Newest {
            blockhash: String,
        }
        let params = json!([{ "commitment": "processed" }]);
        let newest: Answer<Newest> = self.call("getLatestBlockhash", params).await?;
        let hash = newest.value.blockhash.parse();
        hash.map_err(|error| Error::unexpected("getLatestBlockhash", &error))
    }

    /// The instructions, and one that changes nothing but the signature.
    fn distinct(&self, instructions: &[Instruction]) -> Vec<Instruction> {
        let number = self.sent.fetch_add(1, Ordering::Relaxed);
        [instructions, &[instructions::compute_unit_price(number)]].concat()
    }

    fn sign(&self, message: VersionedMessage, signers: &[&Keypair]) -> Result<String> {
        let signers: Vec<&Keypair> = [&[&self.purse], signers].concat();
        let transaction = VersionedTransaction::try_new(message, signers.as_slice())
            .map_err(|error| Error::unexpected("signing", &error))?;
        let bytes = wincode::serialize(&transaction)
            .map_err(|error| Error::unexpected("a transaction", &error))?;
        Ok(BASE64_STANDARD.encode(bytes))
    }

    async fn submit(&self, transaction: &str, may_fail: bool) -> Result<String> {
        let how = json!({
            "encoding": "base64", "skipPreflight": may_fail, "preflightCommitment": "processed",
        });
        self.call("sendTransaction", json!([transaction, how])).await
    }
}

async fn serve(command: &mut Command, ports: Ports) -> Result<(Server, JsonRpc)> {
    let mut server = Server::start("surfpool", command, Signal::SIGKILL)?;
    let rpc = JsonRpc::new(format!("http://127.0.0.1:{}", ports.rpc))?;
    server
        .until("an answer", READY_WITHIN, async || rpc.call::<u64>("getSlot", json!([])).await.ok())
        .await?;
    Ok((server, rpc))
}
