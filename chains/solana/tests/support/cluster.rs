//! A cluster that makes blocks, skips slots, forks, and lies on demand, behind a server that speaks
//! as Agave does.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use confirmd_chain::conformance::Subject;
use confirmd_chain::{Address, Amount, Asset, Chain, TransactionId};
use confirmd_solana::Solana;
use serde_json::{Value, json};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::transaction::Transaction;
use super::{PYUSD, USDC, address, chain, key};

pub const GENESIS: &str = "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d";
/// The slot of the first block.
pub const FIRST: u64 = 100;
const STARTED: u64 = 1_700_000_000;

/// What a lie is made of: the method and its parameters, and the result, which it may change.
/// An object with `error` in the place of the result is sent as an error.
type Lie = Box<dyn FnMut(&str, &Value, &mut Value) + Send>;

/// From what is posted to what is replied.
pub type Answering = Arc<dyn Fn(&Value) -> Value + Send + Sync>;

#[derive(Clone, Debug)]
struct Made {
    hash: String,
    parent_hash: String,
    parent_slot: u64,
    ordinal: u64,
    transactions: Vec<Transaction>,
}

struct State {
    blocks: BTreeMap<u64, Made>,
    /// How many blocks were made, those that are gone included: each has a hash of its own.
    made: u64,
    /// How many slots below the newest block are not final.
    final_after: u64,
}

/// The error that Agave answers with.
pub fn error(code: i64, message: &str) -> Value {
    json!({ "error": { "code": code, "message": message } })
}

/// A cluster and the server in front of it.
pub struct Cluster {
    server: MockServer,
    state: Arc<Mutex<State>>,
    lie: Arc<Mutex<Lie>>,
    calls: Arc<Mutex<Vec<(String, Value)>>>,
    answering: Answering,
    chain: Solana,
    ids: AtomicU64,
}

impl Cluster {
    /// With one block, of no transactions.
    pub async fn start() -> Self {
        let server = MockServer::start().await;
        let mut state = State { blocks: BTreeMap::new(), made: 0, final_after: 31 };
        state.make(FIRST, Vec::new());
        let state = Arc::new(Mutex::new(state));
        let honest: Lie = Box::new(|_, _, _| {});
        let lie = Arc::new(Mutex::new(honest));
        let calls = Arc::new(Mutex::new(Vec::new()));
        let (shared, lies, log) = (Arc::clone(&state), Arc::clone(&lie), Arc::clone(&calls));
        let answering: Answering = Arc::new(move |posted: &Value| {
            let answer = |call: &Value| {
                let (method, params) = (call["method"].as_str().unwrap(), &call["params"]);
                log.lock().unwrap().push((method.to_owned(), params.clone()));
                let mut result = shared.lock().unwrap().answer(method, params);
                lies.lock().unwrap()(method, params, &mut result);
                match result.get("error") {
                    Some(error) => json!({ "jsonrpc": "2.0", "id": call["id"], "error": error }),
                    None => json!({ "jsonrpc": "2.0", "id": call["id"], "result": result }),
                }
            };
            match posted {
                Value::Array(calls) => calls.iter().map(answer).collect(),
                call => answer(call),
            }
        });
        let answers = Arc::clone(&answering);
        let respond = move |request: &Request| {
            let reply = answers(&request.body_json().unwrap());
            ResponseTemplate::new(200).set_body_json(reply)
        };
        Mock::given(any()).respond_with(respond).mount(&server).await;
        let chain = chain(&[server.uri()]);
        Self { server, state, lie, calls, answering, chain, ids: AtomicU64::new(1) }
    }

    pub fn url(&self) -> String {
        self.server.uri()
    }

    /// How it answers, for a server of another kind.
    pub fn answering(&self) -> Answering {
        Arc::clone(&self.answering)
    }

    pub fn solana(&self) -> &Solana {
        &self.chain
    }

    /// Passes every answer through this from now on.
    pub fn lie(&self, lie: impl FnMut(&str, &Value, &mut Value) + Send + 'static) {
        *self.lie.lock().unwrap() = Box::new(lie);
    }

    /// The parameters of the calls of a method so far.
    pub fn asked(&self, method: &str) -> Vec<Value> {
        let calls = self.calls.lock().unwrap();
        calls.iter().filter(|(name, _)| name == method).map(|(_, params)| params.clone()).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Makes a block after so many skipped slots, and tells its slot.
    pub fn make(&self, skipped: u64, transactions: Vec<Transaction>) -> u64 {
        let mut state = self.state();
        let slot = state.newest() + 1 + skipped;
        state.make(slot, transactions);
        slot
    }

    /// Takes back the blocks from a slot on.
    pub fn forget_from(&self, slot: u64) {
        self.state().blocks.split_off(&slot);
    }

    /// Shows the same chain as another one.
    pub fn copy(&self, other: &Self) {
        let other = other.state();
        let mut state = self.state();
        (state.blocks, state.made) = (other.blocks.clone(), other.made);
    }

    pub fn hash(&self, slot: u64) -> String {
        self.state().blocks[&slot].hash.clone()
    }

    fn id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }
}

impl State {
    fn newest(&self) -> u64 {
        self.blocks.keys().next_back().copied().unwrap_or(FIRST - 1)
    }

    fn make(&mut self, slot: u64, transactions: Vec<Transaction>) {
        self.made += 1;
        let parent = self.blocks.iter().next_back();
        let made = Made {
            hash: key(1_000_000 + self.made),
            parent_hash: parent.map_or(key(1_000_000), |(_, parent)| parent.hash.clone()),
            parent_slot: parent.map_or(slot - 1, |(slot, _)| *slot),
            ordinal: parent.map_or(FIRST, |(_, parent)| parent.ordinal + 1),
            transactions,
        };
        self.blocks.insert(slot, made);
    }

    fn finalized(&self) -> u64 {
        let below = self.newest().saturating_sub(self.final_after);
        self.blocks.range(..=below).next_back().map_or(FIRST, |(slot, _)| *slot)
    }

    fn answer(&self, method: &str, params: &Value) -> Value {
        match method {
            "getGenesisHash" => json!(GENESIS),
            "getSlot" if params[0]["commitment"] == "finalized" => json!(self.finalized()),
            "getSlot" => json!(self.newest()),
            "getBlock" => self.block(params[0].as_u64().unwrap(), &params[1]),
            "getBlocksWithLimit" => {
                let limit = usize::try_from(params[1].as_u64().unwrap()).unwrap();
                let from = params[0].as_u64().unwrap();
                self.blocks.range(from..).take(limit).map(|(slot, _)| *slot).collect()
            }
            "getTransaction" => self.transaction(&params[0]),
            _ => error(-32601, "Method not found"),
        }
    }

    fn block(&self, slot: u64, options: &Value) -> Value {
        assert_eq!(options["commitment"], "confirmed");
        assert_eq!(options["rewards"], false);
        if slot > self.newest() {
            return error(-32004, &format!("Block not available for slot {slot}"));
        }
        let Some(made) = self.blocks.get(&slot) else {
            let words = "was skipped, or missing due to ledger jump to recent snapshot";
            return error(-32007, &format!("Slot {slot} {words}"));
        };
        let newer = made.transactions.iter().find(|transaction| {
            transaction.version.as_u64() > options["maxSupportedTransactionVersion"].as_u64()
        });
        if let Some(newer) = newer {
            let words = "is not supported by the requesting client. Please try the request again";
            return error(-32015, &format!("Transaction version ({}) {words}", newer.version));
        }
        let mut block = json!({
            "blockHeight": made.ordinal,
            "blockTime": STARTED + slot,
            "blockhash": made.hash,
            "parentSlot": made.parent_slot,
            "previousBlockhash": made.parent_hash,
        });
        let transactions = made.transactions.iter();
        match options["transactionDetails"].as_str().unwrap() {
            "full" => block["transactions"] = transactions.map(Transaction::full_shown).collect(),
            "accounts" => {
                block["transactions"] = transactions.map(Transaction::accounts_shown).collect();
            }
            _ => {}
        }
        block
    }

    fn transaction(&self, id: &Value) -> Value {
        let all = self.blocks.iter().flat_map(|(slot, made)| {
            made.transactions.iter().map(move |transaction| (slot, transaction))
        });
        let mut found = all.filter(|(_, transaction)| *id == json!(transaction.signature));
        found.next().map_or(Value::Null, |(slot, transaction)| {
            let mut shown = transaction.full_shown();
            shown["slot"] = json!(slot);
            shown
        })
    }
}

#[async_trait]
impl Subject for Cluster {
    fn chain(&self) -> &dyn Chain {
        &self.chain
    }

    fn assets(&self) -> Vec<Asset> {
        vec![Asset::Token(address(USDC)), Asset::Native, Asset::Token(address(PYUSD))]
    }

    fn address(&self, n: u64) -> Address {
        address(&key(n))
    }

    fn private_keys(&self) -> Vec<String> {
        let file = format!("[{}]", [7; 64].map(|byte: u8| byte.to_string()).join(","));
        let pair = bs58::encode([7; 64]).into_string();
        let words = "legal winner thank year wave sausage worth useful legal winner thank yellow";
        vec![file, pair, words.to_owned()]
    }

    /// Every third block stands above skipped slots.
    async fn mine(&self, blocks: u64) {
        for _ in 0..blocks {
            let skipped = if self.id().is_multiple_of(3) { 2 } else { 0 };
            self.make(skipped, Vec::new());
        }
    }

    async fn pay(&self, asset: &Asset, to: &Address, amount: Amount) -> TransactionId {
        let units = u64::try_from(amount.base_units()).unwrap();
        let payment = match asset {
            Asset::Native => Transaction::of_coin(self.id(), to.as_str(), units),
            Asset::Token(mint) => {
                Transaction::of_tokens(self.id(), mint.as_str(), to.as_str(), units)
            }
        };
        let id = TransactionId::new(payment.signature.clone());
        self.make(1, vec![payment]);
        id
    }

    async fn reorg(&self, depth: u64) -> bool {
        let mut state = self.state();
        let lost: Vec<u64> =
            state.blocks.keys().rev().take(usize::try_from(depth).unwrap()).copied().collect();
        for slot in &lost {
            state.blocks.remove(slot);
        }
        for slot in lost.iter().rev() {
            state.make(*slot, Vec::new());
        }
        true
    }
}
