//! Native coin through contracts: seen by call traces, as one transfer whichever way it is shown.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use alloy_consensus::Header;
use alloy_primitives::{Address as Raw, B256, Bytes, U64, U256, address, keccak256};
use confirmd_chain::{
    Asset, At, Block, Chain, ChainError, Height, TransferIndex, WatchSet, WatchVersion,
};
use confirmd_evm::header::{self, ProvenHeader};
use confirmd_evm::traces::{self, BlockTraces, TraceMethod};
use confirmd_evm::transactions::Transaction;
use confirmd_evm::{Evm, EvmConfig, Refusal, Traces, Verify};
use serde_json::{Value, json};
use support::scripted::Scripted;
use support::{Node, text};
use xtask::anvil::{Anvil, AnvilOptions, Transaction as Sent};
use xtask::erc20::pay_through_contract;
use xtask::solidity;

const SHOP: Raw = address!("0x00000000000000000000000000000000000051b0");
const OTHER: Raw = address!("0x00000000000000000000000000000000000051b1");

/// Every way in which a contract can move coin, and some in which it seems to.
const MAZE: &str = r#"
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

contract Maze {
    constructor() payable {}

    function run(address payable a, address payable b, address library_) external payable {
        sha256("a precompile, which some nodes leave out");
        pay(a, 1);
        try this.failing(a) {} catch {}
        new Passing{value: 3}(b);
        sha256("another");
        (bool done, ) = library_.delegatecall(abi.encodeCall(this.pay, (a, 4)));
        require(done);
        new Ending{value: 5}(b);
        pay(payable(this), 6);
    }

    function failing(address payable a) external {
        pay(a, 2);
        revert();
    }

    function pay(address payable to, uint256 amount) public payable {
        (bool sent, ) = to.call{value: amount}("");
        require(sent);
    }

    function undone(address payable a) external payable {
        pay(a, msg.value);
        revert();
    }

    receive() external payable {}
}

contract Passing {
    constructor(address payable to) payable {
        (bool sent, ) = to.call{value: msg.value}("");
        require(sent);
    }
}

contract Ending {
    constructor(address payable to) payable { selfdestruct(to); }
}
"#;

fn watching(evm: &Evm, addresses: &[Raw]) -> WatchSet {
    let keys = addresses.iter().map(|address| evm.watch_key(&text(*address)));
    WatchSet::new(keys, WatchVersion(1))
}

async fn height_of(anvil: &Anvil, transaction: B256) -> Height {
    Height(anvil.receipt(transaction).await.unwrap().unwrap().height())
}

fn places(block: &Block) -> Vec<(TransferIndex, String)> {
    block.transfers.iter().map(|t| (t.id.index.clone(), t.amount.to_string())).collect()
}

fn call_data(signature: &str, words: &[Raw]) -> Bytes {
    let words = words.iter().flat_map(Raw::into_word);
    keccak256(signature)[..4].iter().copied().chain(words).collect()
}

#[tokio::test]
async fn coin_through_a_contract_is_seen_where_a_provider_has_traces_f24() {
    for verify in [Verify::Receipts, Verify::Logs] {
        let node = Node::start(|config| config.verify = verify).await;
        let (anvil, evm) = (&node.anvil, &node.evm);
        assert!(!evm.sees_internal_transfers(), "not known yet");
        let watches = watching(evm, &[SHOP]);
        let paid = pay_through_contract(anvil, SHOP, U256::from(9)).await.unwrap();
        let height = height_of(anvil, paid).await;
        let block = evm.block(At::Height(height), &watches).await.unwrap();
        let [transfer] = &block.transfers[..] else { panic!("{verify:?}: {block:?}") };
        assert_eq!((&transfer.asset, transfer.amount.to_string()), (&Asset::Native, "9".into()));
        assert_eq!(transfer.id.index, TransferIndex::Trace(vec![0]));
        assert_eq!(transfer.id.transaction.as_str(), paid.to_string());
        assert!(evm.sees_internal_transfers(), "now it is");
        let range = evm.blocks(height, height, &watches).await.unwrap();
        assert_eq!(range, [block], "a range shows the same");

        // The value and its root trace are one transfer (I2).
        let paid = anvil.pay(anvil.accounts()[1], SHOP, U256::from(5)).await.unwrap();
        let height = height_of(anvil, paid).await;
        let block = evm.block(At::Height(height), &watches).await.unwrap();
        assert_eq!(places(&block), [(TransferIndex::Value, "5".to_owned())]);
    }
}

#[tokio::test]
async fn blocks_decoded_for_nobody_cost_no_traces_and_say_so() {
    let node = Node::start(|_| {}).await;
    let nobody = WatchSet::new([], WatchVersion(7));
    let paid = pay_through_contract(&node.anvil, SHOP, U256::from(9)).await.unwrap();
    let height = height_of(&node.anvil, paid).await;
    let block = node.evm.block(At::Height(height), &nobody).await.unwrap();
    assert!(!node.evm.sees_internal_transfers(), "nobody was asked");
    assert_eq!((block.watches, block.transfers.len()), (WatchVersion(7), 0));
}

/// A block with the maze, as a node shows it.
struct Shown {
    block: Value,
    flat: Value,
    nested: Value,
}

impl Shown {
    async fn of(anvil: &Anvil, transaction: B256) -> Self {
        let number = U64::from(height_of(anvil, transaction).await.0);
        let block: Value = anvil.call("eth_getBlockByNumber", json!([number, true])).await.unwrap();
        let tracer = json!([block["hash"], { "tracer": "callTracer" }]);
        Self {
            flat: anvil.call("trace_block", json!([number])).await.unwrap(),
            nested: anvil.call("debug_traceBlockByHash", tracer).await.unwrap(),
            block,
        }
    }

    fn read(&self, method: TraceMethod, answer: &Value) -> Result<BlockTraces, Refusal> {
        let block = serde_json::to_vec(&self.block).unwrap();
        let (header, list): (ProvenHeader, Vec<Transaction<'_>>) = header::read(&block).unwrap();
        traces::read(method, &serde_json::to_vec(answer).unwrap(), &header, &list)
    }
}

async fn maze(anvil: &Anvil) -> Shown {
    let compile = || solidity::compile(MAZE, "Maze").unwrap();
    let code = tokio::task::spawn_blocking(compile).await.unwrap();
    let from = anvil.accounts()[0];
    let maze = anvil.deploy(from, code.clone()).await.unwrap();
    let library = anvil.deploy(from, code).await.unwrap();
    let data = call_data("run(address,address,address)", &[SHOP, OTHER, library]);
    let run = Sent { from, to: Some(maze), value: U256::from(100), data };
    let run = anvil.send(&run).await.unwrap();
    assert!(anvil.receipt(run).await.unwrap().unwrap().succeeded());
    Shown::of(anvil, run).await
}

/// Takes the calls of precompiles out, as some nodes do.
fn without_precompiles(call: &mut Value) {
    let Some(calls) = call.get_mut("calls").and_then(Value::as_array_mut) else { return };
    calls.retain(|call| call["to"] != json!(format!("0x{:040x}", 2)));
    calls.iter_mut().for_each(without_precompiles);
}

#[tokio::test]
async fn every_way_of_moving_coin_is_seen_once_and_alike_by_both_methods_i2_i11_f24() {
    let anvil = Anvil::start(AnvilOptions::default()).await.unwrap();
    let shown = maze(&anvil).await;
    let flat = shown.read(TraceMethod::TraceBlock, &shown.flat).unwrap();
    let to = |receiver: Raw| -> Vec<(Vec<u32>, u64)> {
        let to_it = flat.transfers.iter().filter(|moved| moved.to == receiver);
        to_it.map(|moved| (moved.path.clone(), moved.amount.to())).collect()
    };
    // The failed call of 2 credits nothing, nor does the delegated call that names the value.
    assert_eq!(to(SHOP), [(vec![0], 1), (vec![3, 0], 4)]);
    assert_eq!(to(OTHER), [(vec![2, 0], 3), (vec![4, 0], 5)]);
    let amounts: Vec<u64> = flat.transfers.iter().map(|moved| moved.amount.to()).collect();
    assert_eq!(amounts, [1, 3, 3, 4, 5, 5], "two creations, and none to itself");

    let mut nested = shown.nested.clone();
    assert_eq!(shown.read(TraceMethod::DebugTraceBlock, &nested).unwrap(), flat);
    let before = nested.to_string().len();
    without_precompiles(&mut nested[0]["result"]);
    assert!(nested.to_string().len() < before, "there were precompiles");
    assert_eq!(shown.read(TraceMethod::DebugTraceBlock, &nested).unwrap(), flat);
}

#[tokio::test]
async fn a_transaction_that_is_undone_moves_nothing_i11() {
    let anvil = Anvil::start(AnvilOptions::default()).await.unwrap();
    let compile = || solidity::compile(MAZE, "Maze").unwrap();
    let code = tokio::task::spawn_blocking(compile).await.unwrap();
    let from = anvil.accounts()[0];
    let maze = anvil.deploy(from, code).await.unwrap();
    let data = call_data("undone(address)", &[SHOP]);
    let undone = Sent { from, to: Some(maze), value: U256::from(9), data };
    let undone = anvil.send(&undone).await.unwrap();
    let shown = Shown::of(&anvil, undone).await;
    let expected = BlockTraces { transfers: vec![], failed: vec![0] };
    assert_eq!(shown.read(TraceMethod::TraceBlock, &shown.flat).unwrap(), expected);
    assert_eq!(shown.read(TraceMethod::DebugTraceBlock, &shown.nested).unwrap(), expected);
}

#[tokio::test]
async fn traces_that_are_not_of_the_block_are_refused_f1_f5() {
    let anvil = Anvil::start(AnvilOptions::default()).await.unwrap();
    let shown = maze(&anvil).await;
    let other = json!(format!("0x{}", "1".repeat(64)));
    type Change<'a> = (&'a str, Box<dyn Fn(&mut Value) + 'a>);
    let flat: [Change<'_>; 7] = [
        ("none (F1)", Box::new(|all| *all = json!([]))),
        ("another block", Box::new(|all| all[1]["blockHash"] = other.clone())),
        ("another transaction", Box::new(|all| all[1]["transactionHash"] = other.clone())),
        ("a place beyond", Box::new(|all| all[1]["transactionPosition"] = json!(1))),
        ("another value", Box::new(|all| all[0]["action"]["value"] = json!("0x65"))),
        ("another receiver", Box::new(|all| all[0]["action"]["to"] = json!(OTHER))),
        ("a call in none", Box::new(|all| all[1]["traceAddress"] = json!([0, 0, 0, 0, 0, 0]))),
    ];
    for (what, change) in flat {
        let mut answer = shown.flat.clone();
        change(&mut answer);
        let read = shown.read(TraceMethod::TraceBlock, &answer);
        assert!(matches!(read, Err(Refusal::Unproven(_))), "{what}: {read:?}");
    }
    let nested: [Change<'_>; 5] = [
        ("none (F1)", Box::new(|all| *all = json!([]))),
        ("another transaction", Box::new(|all| all[0]["txHash"] = other.clone())),
        ("one more", Box::new(|all| all.as_array_mut().unwrap().push(shown.nested[0].clone()))),
        ("another value", Box::new(|all| all[0]["result"]["value"] = json!("0x65"))),
        ("no result", Box::new(|all| all[0]["result"] = Value::Null)),
    ];
    for (what, change) in nested {
        let mut answer = shown.nested.clone();
        change(&mut answer);
        let read = shown.read(TraceMethod::DebugTraceBlock, &answer);
        assert!(matches!(read, Err(Refusal::Unproven(_))), "{what}: {read:?}");
    }
}

#[tokio::test]
async fn calls_a_thousand_deep_are_read_f20() {
    let anvil = Anvil::start(AnvilOptions::default()).await.unwrap();
    let paid = anvil.pay(anvil.accounts()[0], OTHER, U256::from(1)).await.unwrap();
    let mut shown = Shown::of(&anvil, paid).await;
    let (from, to) = (json!(OTHER), json!(SHOP));
    let call = |calls: &str| {
        format!(r#"{{"type":"CALL","from":{from},"to":{to},"value":"0x1","calls":[{calls}]}}"#)
    };
    let deep = (0..1_024).fold(String::new(), |calls, _| call(&calls));
    // Deeper than serde_json writes or reads in one go, so the text is put together by hand.
    let root = shown.nested[0]["result"].take();
    let root = json!({ "from": root["from"], "to": root["to"], "value": root["value"] });
    let root = format!(r#"{},"calls":[{deep}]}}"#, root.to_string().trim_end_matches('}'));
    let answer = format!(r#"[{{"txHash":"{paid}","result":{root}}}]"#);
    let block = serde_json::to_vec(&shown.block).unwrap();
    let (header, list): (ProvenHeader, Vec<Transaction<'_>>) = header::read(&block).unwrap();
    let read = traces::read(TraceMethod::DebugTraceBlock, answer.as_bytes(), &header, &list);
    let transfers = read.unwrap().transfers;
    assert_eq!(transfers.len(), 1_024);
    assert_eq!(transfers.last().unwrap().path.len(), 1_024);
}

/// The golden block with payments, and what a node would show of its calls: each transaction's
/// own, and in the first one a payment of 77 wei to the watched address.
fn golden() -> (Value, Value) {
    let file: Value = serde_json::from_str(include_str!("golden/mixed.json")).unwrap();
    let mut flat = Vec::new();
    let transactions = file["block"]["transactions"].as_array().unwrap();
    for (at, transaction) in transactions.iter().enumerate() {
        let mut trace = json!({
            "type": if transaction["to"].is_null() { "create" } else { "call" },
            "action": {
                "callType": "call", "from": transaction["from"], "to": transaction["to"],
                "value": transaction["value"],
            },
            "result": {}, "traceAddress": [], "blockHash": file["block"]["hash"],
            "transactionHash": transaction["hash"], "transactionPosition": at,
        });
        if file["receipts"][at]["status"] != json!("0x1") {
            trace["error"] = json!("Reverted");
        }
        flat.push(trace.clone());
        trace["traceAddress"] = json!([0]);
        trace["action"]["from"] = json!(OTHER);
        trace["action"]["to"] = file["watched"].clone();
        trace["action"]["callType"] = json!("call");
        trace["type"] = json!("call");
        trace["action"]["value"] = json!("0x4d");
        flat.push(trace);
    }
    (file, json!(flat))
}

fn golden_config(file: &Value, traces: Traces) -> EvmConfig {
    let token = file["token"].as_str().unwrap().parse().unwrap();
    EvmConfig { traces, ..support::config(vec![text(token)]) }
}

fn follow(file: &Value, traces: Traces, nodes: &[&Scripted]) -> (Evm, WatchSet) {
    let urls: Vec<String> = nodes.iter().map(|node| node.url()).collect();
    let evm = Evm::new(golden_config(file, traces), support::pool(&urls)).unwrap();
    let watches = watching(&evm, &[file["watched"].as_str().unwrap().parse().unwrap()]);
    (evm, watches)
}

fn traced(block: &Block) -> usize {
    let internal = |index: &TransferIndex| matches!(index, TransferIndex::Trace(_));
    block.transfers.iter().filter(|transfer| internal(&transfer.id.index)).count()
}

#[tokio::test]
async fn another_providers_traces_complete_a_block_and_without_any_it_is_said_f24() {
    let (file, flat) = golden();
    let succeeded = file["receipts"].as_array().unwrap();
    let succeeded = succeeded.iter().filter(|receipt| receipt["status"] == json!("0x1")).count();
    let blocks = std::slice::from_ref(&file);
    let at = At::Height(Height(3));
    let without = Scripted::honest(blocks).await;
    let answer = flat.clone();
    let with = Scripted::lying(blocks, move |method, _, result| {
        if method == "trace_block" {
            *result = answer.clone();
        }
    });
    let with = with.await;

    let (evm, watches) = follow(&file, Traces::WhereOffered, &[&without, &with]);
    let block = evm.block(at.clone(), &watches).await.unwrap();
    assert_eq!(traced(&block), succeeded, "of failed transactions none (I11)");
    assert!(evm.sees_internal_transfers());

    let (evm, watches) = follow(&file, Traces::WhereOffered, &[&without]);
    assert_eq!(traced(&evm.block(at.clone(), &watches).await.unwrap()), 0);
    assert!(!evm.sees_internal_transfers(), "and the API can say so");

    let (evm, watches) = follow(&file, Traces::Always, &[&without]);
    let error = evm.block(at.clone(), &watches).await.unwrap_err();
    assert!(matches!(&error, ChainError::Misconfigured(why) if why.contains("traces = true")));

    let (evm, watches) = follow(&file, Traces::Never, &[&with]);
    assert_eq!(traced(&evm.block(at, &watches).await.unwrap()), 0);
    assert!(!evm.sees_internal_transfers());
}

#[tokio::test]
async fn a_provider_that_had_traces_and_withholds_them_stalls_the_block_i3() {
    let (file, flat) = golden();
    let mut answers = 0;
    let node = Scripted::lying(std::slice::from_ref(&file), move |method, _, result| {
        if method == "trace_block" {
            answers += 1;
            *result = if answers == 1 { flat.clone() } else { Value::Null };
        }
    });
    let node = node.await;
    let (evm, watches) = follow(&file, Traces::WhereOffered, &[&node]);
    let at = At::Height(Height(3));
    assert!(traced(&evm.block(at.clone(), &watches).await.unwrap()) > 0);
    let error = evm.block(at, &watches).await.unwrap_err();
    assert!(matches!(&error, ChainError::Unproven(why) if why.contains("traces of 3")), "{error}");
}

/// Of an old block only an archive has them; of a new one every node that has them at all.
#[tokio::test]
async fn an_old_block_is_taken_without_the_traces_that_no_node_keeps_and_a_new_one_is_not_i3() {
    let gone = json!({ "error": { "code": -32000,
        "message": "required historical state unavailable (reexec=128)" } });
    for (newest, is_taken) in [(3 + 60, false), (3 + 200, true)] {
        let (file, flat) = golden();
        let (mut answers, gone) = (0, gone.clone());
        let node = Scripted::lying(std::slice::from_ref(&file), move |method, params, result| {
            if method == "trace_block" {
                answers += 1;
                *result = if answers == 1 { flat.clone() } else { gone.clone() };
            }
            if method == "eth_getBlockByNumber" && params[0] == "latest" {
                let header = Header { number: newest, ..Header::default() };
                *result = serde_json::to_value(&header).unwrap();
                result["hash"] = json!(header.hash_slow());
                result["transactions"] = json!([]);
            }
        });
        let node = node.await;
        let (evm, watches) = follow(&file, Traces::WhereOffered, &[&node]);
        let at = At::Height(Height(3));
        assert!(traced(&evm.block(at.clone(), &watches).await.unwrap()) > 0);
        evm.heads().await.unwrap();
        match evm.block(at, &watches).await {
            Ok(block) => assert!(is_taken && traced(&block) == 0),
            Err(error) => assert!(!is_taken, "{error}"),
        }
    }
}

#[tokio::test]
async fn traces_that_contradict_the_receipts_are_refused_f5() {
    let (file, flat) = golden();
    let node = Scripted::lying(std::slice::from_ref(&file), move |method, _, result| {
        if method == "trace_block" {
            *result = flat.clone();
            for trace in result.as_array_mut().unwrap() {
                trace["error"] = json!("Reverted");
            }
        }
    });
    let node = node.await;
    let (evm, watches) = follow(&file, Traces::WhereOffered, &[&node]);
    let error = evm.block(At::Height(Height(3)), &watches).await.unwrap_err();
    assert!(matches!(&error, ChainError::Unproven(why) if why.contains("receipt")), "{error}");
}
