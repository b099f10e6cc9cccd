//! Native coin through contracts: what a provider's call traces show of it.
//!
//! No header commits to traces, so unlike logs and values they are **as the provider says**. What
//! can be held is held: they are of this block, of its transactions and of no other, each root
//! call is its transaction's, and what the receipts call failed or successful is so here.
//!
//! A call is known by its trace address, which must be the same whichever method and provider
//! showed it (I2). Some nodes leave calls of precompiles out, so these are not counted: the
//! address counts, among a call's children, only those in which something else is called.

use alloy_primitives::{Address, B256, U256};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::Refusal;
use crate::header::ProvenHeader;
use crate::transactions::Transaction;

/// How a provider is asked for the traces of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceMethod {
    /// `trace_block`, as OpenEthereum had it first.
    TraceBlock,
    /// `debug_traceBlockByHash` with the `callTracer`, as geth has it.
    DebugTraceBlock,
}

/// Coin that a call, a creation or a self-destruction moved within a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InternalTransfer {
    /// The place of the transaction in the block.
    pub at: usize,
    /// The trace address, without precompiles; never that of the root.
    pub path: Vec<u32>,
    /// The contract that sent it.
    pub from: Address,
    /// The receiver.
    pub to: Address,
    /// How much, in wei.
    pub amount: U256,
}

/// What a block's traces show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockTraces {
    /// The coin that moved within transactions, in order. Of failed calls, and of the calls in
    /// them, there is none.
    pub transfers: Vec<InternalTransfer>,
    /// The places of the transactions whose root call failed, in order.
    pub failed: Vec<usize>,
}

impl BlockTraces {
    /// What moved within the transaction at this place.
    pub fn of(&self, at: usize) -> impl Iterator<Item = &InternalTransfer> {
        let first = self.transfers.partition_point(|moved| moved.at < at);
        self.transfers.iter().skip(first).take_while(move |moved| moved.at == at)
    }
}

/// Reads the answer of a method and holds it against the block.
///
/// # Errors
/// When it is no such answer, or is not of this block and its transactions.
pub fn read(
    method: TraceMethod,
    json: &[u8],
    header: &ProvenHeader,
    transactions: &[Transaction<'_>],
) -> Result<BlockTraces, Refusal> {
    let groups = match method {
        TraceMethod::TraceBlock => flat_groups(json, header, transactions)?,
        TraceMethod::DebugTraceBlock => nested_groups(json, header, transactions)?,
    };
    let mut traces = BlockTraces::default();
    for ((at, frames), transaction) in groups.iter().enumerate().zip(transactions) {
        let Some(root) = frames.first() else {
            if transaction.may_be_untraced() {
                continue;
            }
            return Err(unproven(header, &format!("no trace of {}", transaction.hash)));
        };
        if !root.is_of(transaction) {
            let hash = transaction.hash;
            return Err(unproven(header, &format!("a root call that {hash} did not make")));
        }
        if root.failed {
            traces.failed.push(at);
        }
        collect(at, frames, &mut traces.transfers);
    }
    Ok(traces)
}

/// One call, in the order in which calls were made.
#[derive(Debug)]
struct Frame {
    /// How many calls are around it; none around the root.
    depth: usize,
    from: Option<Address>,
    to: Option<Address>,
    amount: U256,
    /// Whether it moves its amount; a delegated call only names its caller's.
    moves: bool,
    failed: bool,
}

/// Below this stand precompiles, which nobody holds. Contracts that a network itself comes with
/// begin above.
const FIRST_HELD: u16 = 0x1000;

impl Frame {
    fn is_precompile(&self) -> bool {
        self.to.is_some_and(|to| {
            let (zeros, low) = to.as_slice().split_at(18);
            let low = low.iter().fold(0, |low, byte| low << 8 | u16::from(*byte));
            zeros.iter().all(|byte| *byte == 0) && low < FIRST_HELD
        })
    }

    /// Whether, as a root, it is the call that the transaction makes.
    fn is_of(&self, transaction: &Transaction<'_>) -> bool {
        let to_agrees = transaction.to.is_none() || transaction.to == self.to;
        transaction.may_be_untraced() || (to_agrees && transaction.carries() == self.amount)
    }
}

/// Adds the transfers below the root of a transaction's calls.
fn collect(at: usize, frames: &[Frame], transfers: &mut Vec<InternalTransfer>) {
    let parents = parents(frames);
    // Whether something that is no precompile is called, here or further down.
    let mut counts: Vec<bool> = frames.iter().map(|frame| !frame.is_precompile()).collect();
    for (n, parent) in parents.iter().enumerate().skip(1).rev() {
        counts[*parent] |= counts[n];
    }
    let mut failed = vec![false; frames.len()];
    let mut place = vec![0_u32; frames.len()];
    let mut children = vec![0_u32; frames.len()];
    for (n, frame) in frames.iter().enumerate() {
        let parent = parents[n];
        failed[n] = frame.failed || failed[parent];
        if n == 0 || !counts[n] {
            continue;
        }
        place[n] = children[parent];
        children[parent] += 1;
        let (Some(from), Some(to)) = (frame.from, frame.to) else { continue };
        if frame.moves && !failed[n] && !frame.amount.is_zero() && from != to {
            let path = path(n, &parents, &place);
            transfers.push(InternalTransfer { at, path, from, to, amount: frame.amount });
        }
    }
}

/// The place of each frame's parent; the root is its own. Depths were checked to rise by one at
/// most, as those of calls in their order do.
fn parents(frames: &[Frame]) -> Vec<usize> {
    let mut around = Vec::<usize>::new();
    let mut parents = Vec::with_capacity(frames.len());
    for (n, frame) in frames.iter().enumerate() {
        around.truncate(frame.depth);
        parents.push(around.last().copied().unwrap_or_default());
        around.push(n);
    }
    parents
}

fn path(n: usize, parents: &[usize], place: &[u32]) -> Vec<u32> {
    let mut path = Vec::new();
    let mut at = n;
    while at != 0 {
        path.push(place[at]);
        at = parents[at];
    }
    path.reverse();
    path
}

fn unproven(header: &ProvenHeader, what: &str) -> Refusal {
    Refusal::unproven(format!("the traces of block {} have {what}", header.number))
}

// trace_block: one list for the block, each call with its trace address.

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FlatTrace<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(borrow)]
    action: FlatAction<'a>,
    result: Option<FlatResult>,
    error: Option<IgnoredAny>,
    trace_address: Vec<u32>,
    block_hash: Option<B256>,
    transaction_hash: Option<B256>,
    transaction_position: Option<usize>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FlatAction<'a> {
    call_type: Option<&'a str>,
    from: Option<Address>,
    to: Option<Address>,
    value: Option<U256>,
    /// What destroys itself, for whom, and what it had.
    address: Option<Address>,
    refund_address: Option<Address>,
    balance: Option<U256>,
}

#[derive(Deserialize)]
struct FlatResult {
    address: Option<Address>,
}

impl FlatTrace<'_> {
    fn frame(&self) -> Frame {
        let action = &self.action;
        let ends = matches!(self.kind, "suicide" | "selfdestruct");
        let created = self.result.as_ref().and_then(|result| result.address);
        let (from, to, amount) = match self.kind {
            _ if ends => (action.address, action.refund_address, action.balance),
            "create" => (action.from, created, action.value),
            _ => (action.from, action.to, action.value),
        };
        let calls = self.kind == "call" && action.call_type.is_none_or(|kind| kind == "call");
        Frame {
            depth: self.trace_address.len(),
            from,
            to,
            amount: amount.unwrap_or_default(),
            moves: ends || calls || self.kind == "create",
            failed: self.error.is_some(),
        }
    }
}

fn flat_groups(
    json: &[u8],
    header: &ProvenHeader,
    transactions: &[Transaction<'_>],
) -> Result<Vec<Vec<Frame>>, Refusal> {
    let mut traces: Vec<FlatTrace<'_>> = serde_json::from_slice(json)?;
    // What a block pays its miner is of no transaction.
    traces.retain(|trace| trace.kind != "reward");
    traces.sort_by(|a, b| {
        let key = |trace: &FlatTrace<'_>| trace.transaction_position;
        key(a).cmp(&key(b)).then_with(|| a.trace_address.cmp(&b.trace_address))
    });
    let mut groups: Vec<Vec<Frame>> = transactions.iter().map(|_| Vec::new()).collect();
    for trace in &traces {
        let at = trace.transaction_position.unwrap_or(usize::MAX);
        let stands_there = transactions.get(at).map(|transaction| transaction.hash);
        if trace.block_hash != Some(header.hash)
            || stands_there.is_none()
            || stands_there != trace.transaction_hash
        {
            return Err(unproven(header, "a call of another block or transaction"));
        }
        push(&mut groups[at], trace.frame(), header)?;
    }
    Ok(groups)
}

/// Adds the next call of a transaction, which is the root or stands in one that is there.
fn push(frames: &mut Vec<Frame>, frame: Frame, header: &ProvenHeader) -> Result<(), Refusal> {
    let fits = match frames.last() {
        None => frame.depth == 0,
        Some(last) => (1..=last.depth + 1).contains(&frame.depth),
    };
    if !fits {
        return Err(unproven(header, "a call that stands in no other"));
    }
    frames.push(frame);
    Ok(())
}

// debug_traceBlockByHash: one tree for each transaction.

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NestedTrace<'a> {
    tx_hash: Option<B256>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct NestedCall<'a> {
    #[serde(rename = "type", default)]
    kind: &'a str,
    from: Option<Address>,
    to: Option<Address>,
    value: Option<U256>,
    error: Option<IgnoredAny>,
    #[serde(borrow)]
    calls: Option<Vec<&'a RawValue>>,
}

fn nested_groups(
    json: &[u8],
    header: &ProvenHeader,
    transactions: &[Transaction<'_>],
) -> Result<Vec<Vec<Frame>>, Refusal> {
    let traces: Vec<NestedTrace<'_>> = serde_json::from_slice(json)?;
    let mut groups: Vec<Vec<Frame>> = transactions.iter().map(|_| Vec::new()).collect();
    let mut rest = transactions.iter().enumerate();
    for trace in &traces {
        // Those between that are not traced are judged by the caller.
        let of = rest.find(|(_, tx)| trace.tx_hash.is_none_or(|hash| hash == tx.hash));
        let Some((at, _)) = of else {
            return Err(unproven(header, "a call of another block or transaction"));
        };
        let root = trace
            .result
            .ok_or_else(|| unproven(header, &format!("no result for transaction {at}")))?;
        flatten(root, header, &mut groups[at])?;
    }
    Ok(groups)
}

/// Walks a tree of calls in their order. It may be a thousand calls deep, so it is walked with a
/// list of our own and never by recursion (F20).
fn flatten(root: &RawValue, header: &ProvenHeader, frames: &mut Vec<Frame>) -> Result<(), Refusal> {
    let mut open = vec![(0, root)];
    while let Some((depth, json)) = open.pop() {
        let call: NestedCall<'_> = serde_json::from_str(json.get())?;
        let frame = Frame {
            depth,
            from: call.from,
            to: call.to,
            amount: call.value.unwrap_or_default(),
            moves: matches!(call.kind, "CALL" | "CREATE" | "CREATE2" | "SELFDESTRUCT"),
            failed: call.error.is_some(),
        };
        push(frames, frame, header)?;
        open.extend(call.calls.into_iter().flatten().rev().map(|call| (depth + 1, call)));
    }
    Ok(())
}
