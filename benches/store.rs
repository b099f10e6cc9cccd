//! The store on SQLite, as it runs (WAL, `synchronous = FULL`): one block's commit, whose cost must
//! not grow with the open intents, and a start with 1,000,000 of them, to stay under 5 s.
//!
//! The databases are filled once, into the temporary folder, and kept there for the next run.

#![allow(missing_docs, clippy::expect_used, reason = "a benchmark is nobody's library")]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::U256;
use confirmd::clock::Clock;
use confirmd::settlement::{AmountPolicy, Intent, IntentKey, Matching, NetworkId, Rail, State};
use confirmd::store::{NewIntent, Store};
use confirmd::watcher::{Committer, DepositPolicy, Step};
use confirmd::webhook::{Endpoints, Waker};
use confirmd_chain::{
    Address, Amount, Asset, Block, BlockHash, Confirmations, Header, Height, Proof, Timestamp,
    TransactionId, Transfer, TransferId, TransferIndex, WatchKey, WatchSet, WatchVersion, Work,
};
use divan::Bencher;
use serde_json::json;
use sqlx::{Row, SqlitePool};
use tokio::runtime::Runtime;

const NETWORK: &str = "anvil";
const TOKEN: &str = "0x5FbDB2315678afecb367f032d93F642f64180aa3";
/// Each commit pays others, so that none is dearer than the one before.
const COMMITS: u32 = 20;

fn main() {
    divan::main();
}

#[divan::bench(sample_count = COMMITS, sample_size = 1, args = [(0, 2_500), (0, 100_000),
    (1, 2_500), (1, 100_000), (100, 2_500), (100, 100_000)])]
fn commit_a_block(bencher: Bencher<'_, '_>, (hits, open): (u64, u64)) {
    let runtime = Runtime::new().expect("a runtime");
    let file = copy_of(&runtime, open);
    let (committer, fence) = runtime.block_on(async {
        let store = Store::open(&url(&file)).await.expect("opens");
        let network = NetworkId::from(NETWORK);
        let lease = Duration::from_hours(1);
        assert!(store.take_lease(&network, "bench", lease).await.expect("a lease"), "it is free");
        let fence = store.take_over(&network, "bench").await.expect("takes over");
        (committer(store, network), fence)
    });
    let mut height = 0;
    bencher
        .with_inputs(|| {
            height += 1;
            block(height, hits)
        })
        .bench_local_refs(|block| {
            let step =
                Step { blocks: std::slice::from_ref(block), rolled_back_to: None, finalized: None };
            runtime.block_on(committer.commit(&fence, step)).expect("commits");
        });
    runtime.block_on(committer.store.close());
    drop(committer);
    fs::remove_file(file).expect("was there");
}

/// From opening the store to knowing every watch: what a follower does before its first block.
#[divan::bench(sample_count = 3, sample_size = 1, args = [10_000, 1_000_000])]
fn start(bencher: Bencher<'_, '_>, open: u64) {
    let runtime = Runtime::new().expect("a runtime");
    let file = filled(&runtime, open);
    bencher.bench_local(|| {
        runtime.block_on(async {
            let store = Store::open(&url(&file)).await.expect("opens");
            let network = NetworkId::from(NETWORK);
            let none = WatchVersion::default();
            let (keys, version) = store.watches_since(&network, none).await.expect("watches");
            let watches = WatchSet::new(keys, version);
            watches.want_references(store.wants_references(&network).await.expect("references"));
            assert_eq!(watches.view().len() as u64, open, "every intent is watched");
            store.close().await;
        });
    });
}

fn committer(store: Store, network: NetworkId) -> Committer {
    let assets = [(Asset::Token(Address::from_canonical(TOKEN)), ("USDC".to_owned(), 6))];
    Committer {
        store,
        network,
        assets: Arc::new(BTreeMap::from(assets)),
        endpoints: Endpoints::new(BTreeMap::new(), None),
        deposits: DepositPolicy::default(),
        late_window: Duration::from_hours(24),
        clock: Clock::system(),
        courier: Waker::default(),
    }
}

/// A block that pays so many intents, each what it waits for.
fn block(height: u64, hits: u64) -> Block {
    let hash = |height: u64| BlockHash::new(format!("0x{height:064x}"));
    let transfer = |number: u64| {
        let id = TransferId {
            transaction: TransactionId::new(format!("0x{number:064x}")),
            index: TransferIndex::Log(0),
        };
        Transfer {
            id,
            asset: Asset::Token(Address::from_canonical(TOKEN)),
            from: Some(Address::from_canonical(TOKEN)),
            to: Address::from_canonical(address(number)),
            watch: watch(number),
            amount: Amount::from_base_units(U256::from(5_000_000)),
            memo: None,
            references: Vec::new(),
            maturity: Confirmations::default(),
        }
    };
    Block {
        header: Header {
            height: Height(height),
            hash: hash(height),
            parent: hash(height - 1),
            parent_height: Height(height - 1),
            time: Timestamp::from_seconds(height),
            mined_at: Timestamp::from_seconds(height),
            work: Work::ONE,
        },
        transfers: ((height - 1) * hits + 1..=height * hits).map(transfer).collect(),
        spends: Vec::new(),
        proof: Proof::Commitment,
        provider: "node".into(),
        examined: 7,
        watches: WatchVersion(1),
    }
}

fn address(number: u64) -> String {
    format!("0x{number:040x}")
}

fn watch(number: u64) -> WatchKey {
    let mut bytes = [0; 20];
    bytes[12..].copy_from_slice(&number.to_be_bytes());
    WatchKey::from(bytes)
}

fn url(file: &std::path::Path) -> String {
    format!("sqlite://{}", file.display())
}

fn copy_of(runtime: &Runtime, open: u64) -> PathBuf {
    let original = filled(runtime, open);
    let copy = original.with_extension(format!("{}.copy", std::process::id()));
    fs::copy(original, &copy).expect("copies");
    copy
}

/// A database with so many open intents of one rail each, numbered from 1.
fn filled(runtime: &Runtime, open: u64) -> PathBuf {
    // Tables that changed are filled anew.
    let tables = include_bytes!("../migrations/sqlite/0001_first.sql");
    let digest = tables.iter().fold(0_u64, |sum, byte| sum.wrapping_mul(31) ^ u64::from(*byte));
    let folder = std::env::temp_dir().join(format!("confirmd-bench-{digest:x}"));
    fs::create_dir_all(&folder).expect("a folder");
    let file = folder.join(format!("{open}.db"));
    if !file.exists() {
        let unfinished = folder.join(format!("{open}.{}.unfinished", std::process::id()));
        runtime.block_on(fill(&unfinished, open));
        fs::rename(unfinished, &file).expect("renames");
    }
    file
}

/// The first intent comes by the store's own way; its rows are then copied under other names, in
/// one transaction.
async fn fill(file: &std::path::Path, open: u64) {
    let store = Store::open(&url(file)).await.expect("opens");
    let mut transaction = store.begin().await.expect("begins");
    transaction.create_intent(&first_intent()).await.expect("is new");
    transaction.commit().await.expect("commits");
    store.close().await;
    let pool = SqlitePool::connect(&url(file)).await.expect("opens");
    let mut transaction = pool.begin().await.expect("begins");
    for table in ["intents", "rails"] {
        let columns = sqlx::query("SELECT name FROM pragma_table_info($1)").bind(table);
        let columns = columns.fetch_all(&mut *transaction).await.expect("columns");
        let values: Vec<_> = columns.iter().map(|row| value(row.get("name"))).collect();
        let copies = format!(
            "WITH RECURSIVE numbers (n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM numbers
                 WHERE n < {open})
             INSERT INTO {table} SELECT {} FROM {table} JOIN numbers
                 WHERE {table}.intent = 'default/order-1'",
            values.join(", ")
        );
        let copies = sqlx::AssertSqlSafe(copies);
        sqlx::query(copies).execute(&mut *transaction).await.expect("copies");
    }
    sqlx::query("DELETE FROM backfills").execute(&mut *transaction).await.expect("deletes");
    transaction.commit().await.expect("commits");
    pool.close().await;
}

/// What the n-th copy has in a column.
fn value(column: String) -> String {
    match column.as_str() {
        "intent" => "'default/order-' || n".to_owned(),
        "id" => "'order-' || n".to_owned(),
        "address" => "printf('0x%040x', n)".to_owned(),
        "watch" => "unhex(printf('%040x', n))".to_owned(),
        _ => column,
    }
}

fn first_intent() -> NewIntent {
    let rail = Rail {
        rail_id: "r1".to_owned(),
        network: NETWORK.into(),
        caip2: "eip155:31337".to_owned(),
        chain_id: Some(31_337),
        asset: Asset::Token(Address::from_canonical(TOKEN)),
        caip19: format!("eip155:31337/erc20:{TOKEN}"),
        symbol: "USDC".to_owned(),
        decimals: 6,
        amount: Amount::from_base_units(U256::from(5_000_000)),
        address: Address::from_canonical(address(1)),
        matching: Matching::Address,
        policy: AmountPolicy::AtLeast,
        required: Confirmations(3),
        token_account: None,
        payment_uri: None,
        replaced_at: None,
    };
    let now = Clock::system().now();
    let intent = Intent {
        key: IntentKey { account: "default".to_owned(), id: "order-1".to_owned() },
        rails: vec![rail],
        created_at: now,
        expires_at: now.plus_ms(365 * 86_400_000),
        tolerance: "0".parse().expect("a tolerance"),
        confirmations: None,
        endpoints: vec!["backend".to_owned()],
        wants_progress: false,
        metadata: json!({}),
        dialect_data: json!({}),
        state: State::new(now),
    };
    NewIntent {
        intent,
        watches: vec![watch(1)],
        api_key: "bench".to_owned(),
        max_open: u64::MAX,
        request_hash: String::new(),
        look_back_from: now,
    }
}
