//! Several daemons on one PostgreSQL: they share the networks out, and one that is killed, paused
//! or without its database loses nothing and tells nothing twice.

use std::sync::Arc;
use std::time::Duration;

use confirmd::clock::Clock;
use confirmd::settlement::NetworkId;
use confirmd::store::{Store, StoreError};
use confirmd::watcher::{Committer, DepositPolicy, Step};
use confirmd::webhook::{Endpoints, Waker};
use confirmd_chain::{Block, BlockHash, Header, Height, Proof, Timestamp, WatchVersion, Work};
use xtask::postgres::{Database, Postgres, PostgresOptions};
use xtask::process::Signal;

use crate::fleet::Fleet;

#[tokio::test(flavor = "multi_thread")]
async fn two_share_three_networks_and_one_that_is_asked_to_stop_hands_its_own_over() {
    let database = Database::create("fleet").await.expect("PostgreSQL");
    let mut fleet = Fleet::new(database.url()).await;
    let (mut first, second) = (fleet.start().await, fleet.start().await);
    fleet.until_followed_by(&second, &[&first, &second]).await;
    // Each takes what the other follows, too.
    fleet.expect_on_all(&first, "by-first").await;
    fleet.expect_on_all(&second, "by-second").await;
    fleet.pay("by").await;
    fleet.until_all_confirmed(&first).await;
    fleet.assert_told_once(&second).await;
    let ids = fleet.receiver.inbox().len();
    assert_eq!(ids, 12, "while nothing fails, two couriers send nothing twice");

    first.server.signal(Signal::SIGTERM).expect("asked");
    let code = first.server.ended(Duration::from_secs(12)).await.expect("stops");
    assert_eq!(code, Some(0), "{}", first.server.output());
    fleet.until_followed_by(&second, &[&second]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_takes_over_what_a_killed_one_followed_i1_i7_f13() {
    let database = Database::create("fleet").await.expect("PostgreSQL");
    let mut fleet = Fleet::new(database.url()).await;
    let (mut killed, other) = (fleet.start().await, fleet.start().await);
    fleet.until_followed_by(&other, &[&killed, &other]).await;
    fleet.expect_on_all(&killed, "before").await;
    fleet.expect_on_all(&other, "after").await;
    fleet.pay("before").await;
    killed.server.kill();
    fleet.pay("after").await;
    fleet.until_followed_by(&other, &[&other]).await;
    fleet.until_all_confirmed(&other).await;
    fleet.assert_told_once(&other).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_paused_past_its_lease_stands_by_when_it_wakes_i7_f17() {
    let database = Database::create("fleet").await.expect("PostgreSQL");
    let mut fleet = Fleet::new(database.url()).await;
    let (paused, other) = (fleet.start().await, fleet.start().await);
    fleet.until_followed_by(&other, &[&paused, &other]).await;
    fleet.expect_on_all(&paused, "before").await;
    fleet.expect_on_all(&other, "meanwhile").await;
    fleet.expect_on_all(&other, "afterwards").await;
    fleet.pay("before").await;
    paused.server.signal(Signal::SIGSTOP).expect("pauses");
    fleet.pay("meanwhile").await;
    fleet.until_followed_by(&other, &[&other]).await;
    paused.server.signal(Signal::SIGCONT).expect("wakes");
    // While it finds out that it was paused, there is something for it to do wrong.
    fleet.pay("afterwards").await;
    fleet.until_all_confirmed(&other).await;
    // It takes its part again, by asking for it.
    fleet.until_followed_by(&paused, &[&paused, &other]).await;
    fleet.expect_on_all(&paused, "shared-again").await;
    fleet.pay("shared-again").await;
    fleet.until_all_confirmed(&paused).await;
    fleet.assert_told_once(&paused).await;
    fleet.assert_told_once(&other).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_come_back_when_postgresql_does_i1_i7_f15() {
    let mut server = Postgres::start(PostgresOptions { durable: true }).await.expect("PostgreSQL");
    let url = server.database("fleet").await.expect("a database");
    let mut fleet = Fleet::new(&url).await;
    let (first, second) = (fleet.start().await, fleet.start().await);
    fleet.until_followed_by(&second, &[&first, &second]).await;
    fleet.expect_on_all(&first, "before").await;
    fleet.expect_on_all(&second, "meanwhile").await;
    fleet.pay("before").await;
    server.stop().await.expect("stops");
    fleet.pay("meanwhile").await;
    fleet
        .until("neither is ready", async |fleet| {
            let ready = fleet.is_ready(&first).await || fleet.is_ready(&second).await;
            (!ready).then_some(())
        })
        .await;
    server.restart().await.expect("starts");
    for instance in [&first, &second] {
        fleet
            .until("it is ready", async |fleet| fleet.is_ready(instance).await.then_some(()))
            .await;
    }
    fleet.until_followed_by(&second, &[&first, &second]).await;
    fleet.until_all_confirmed(&first).await;
    fleet.assert_told_once(&second).await;
}

/// What a daemon would do that was paused in the middle of a step.
#[tokio::test(flavor = "multi_thread")]
async fn a_step_of_a_former_follower_is_refused_whole_i1_f17() {
    let database = Database::create("fleet").await.expect("PostgreSQL");
    let network = NetworkId::from("red");
    let (former, newer) = (open(&database).await, open(&database).await);
    let short = Duration::from_millis(1);
    assert!(former.take_lease(&network, former.instance(), short).await.expect("a lease"));
    let old = former.take_over(&network, former.instance()).await.expect("a fence");
    let long = Duration::from_secs(600);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while !newer.take_lease(&network, newer.instance(), long).await.expect("an answer") {
        assert!(tokio::time::Instant::now() < deadline, "the lease never runs out");
    }
    let new = newer.take_over(&network, newer.instance()).await.expect("a fence");

    let blocks = [block(7)];
    let step = Step { blocks: &blocks, rolled_back_to: None, finalized: None };
    let refused = committer(&former, &network).commit(&old, step).await;
    assert!(matches!(refused, Err(StoreError::Fenced)), "{refused:?}");
    let refused = former.take_over(&network, former.instance()).await;
    assert!(matches!(refused, Err(StoreError::Fenced)), "{refused:?}");
    let row = newer.network(&network).await.expect("a row").expect("the network");
    assert_eq!((row.cursor, row.instance.as_deref()), (None, Some(newer.instance())));
    assert_eq!(newer.block(&network, Height(7)).await.expect("an answer"), None);

    committer(&newer, &network).commit(&new, step).await.expect("commits");
    let row = former.network(&network).await.expect("a row").expect("the network");
    assert_eq!(row.cursor.map(|cursor| cursor.height), Some(Height(7)));
}

async fn open(database: &Database) -> Store {
    Store::open(database.url()).await.expect("opens")
}

fn committer(store: &Store, network: &NetworkId) -> Committer {
    Committer {
        store: store.clone(),
        network: network.clone(),
        assets: Arc::default(),
        endpoints: Endpoints::new(Default::default(), None),
        deposits: DepositPolicy::default(),
        late_window: Duration::from_secs(60),
        clock: Clock::system(),
        courier: Waker::default(),
    }
}

fn block(height: u64) -> Block {
    Block {
        header: Header {
            height: Height(height),
            hash: BlockHash::new(format!("0x{height:064x}")),
            parent: BlockHash::new(format!("0x{:064x}", height - 1)),
            parent_height: Height(height - 1),
            time: Timestamp(1_000),
            mined_at: Timestamp(1_000),
            work: Work::ONE,
        },
        transfers: Vec::new(),
        spends: Vec::new(),
        proof: Proof::Commitment,
        provider: "node".into(),
        examined: 7,
        watches: WatchVersion::default(),
    }
}
