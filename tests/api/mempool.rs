//! What a look at a mempool writes, on both databases.

use std::collections::BTreeSet;

use confirmd::settlement::NetworkId;
use confirmd::store::StoreError;
use confirmd::watcher::{Sightings, Step};
use confirmd_chain::{
    Block, FeeRate, Height, Spend, TransactionId, Unconfirmed, WatchKey, WatchVersion,
};
use serde_json::{Value, json};

use crate::support::{Api, READER, WRITER, address, on_both, order, take_over};

fn bsc() -> NetworkId {
    NetworkId::from("bsc")
}

/// The n-th coin.
fn coin(n: u8) -> WatchKey {
    WatchKey::new(&[n; 36]).expect("an outpoint")
}

/// A transaction of this number that spends a coin.
fn payment(api: &Api, number: u64, to: &str, spends: u8) -> Unconfirmed {
    Unconfirmed {
        transfers: vec![api.transfer(number, to, "12.5")],
        spends: vec![coin(spends)],
        fee_rate: FeeRate::new(5, 2),
        replaceable: false,
    }
}

/// A transaction spends a coin and pays nobody.
fn spend(spends: u8) -> Spend {
    Spend { watch: coin(spends), by: TransactionId::new("0xdead") }
}

/// A look at a mempool that began when the cursor was at block 100.
async fn see(api: &Api, payments: &[&Unconfirmed], spends: &[Spend]) -> BTreeSet<TransactionId> {
    let fence = take_over(&api.context.store, &bsc()).await;
    let looked_from = Height(100);
    let sightings = Sightings { payments, spends, looked_from };
    let taken = api.committer(&bsc()).commit_sightings(&fence, &sightings).await;
    taken.expect("a commit")
}

async fn commit(api: &Api, block: Block, rolled_back_to: Option<u64>) {
    let fence = take_over(&api.context.store, &bsc()).await;
    let rolled_back_to = rolled_back_to.map(Height);
    let step = Step { blocks: &[block], rolled_back_to, finalized: None };
    api.committer(&bsc()).commit(&fence, step).await.expect("a commit");
}

/// What was told of payments, in order.
async fn told(api: &Api) -> Vec<String> {
    let events = api.get("/v1/events?after=0", READER).await.expect(200);
    let events = events["data"].as_array().expect("a list").iter();
    let kinds = events.map(|event| event["type"].as_str().expect("a type").to_owned());
    kinds.filter(|kind| kind != "payment.created").collect()
}

/// An intent, and a payment of it that waits in the mempool.
async fn seen(api: &Api) -> Unconfirmed {
    api.post("/v1/intents", WRITER, &order("order-1", &address(1))).await.expect(201);
    api.grow(100, 1).await;
    api.end_backfills("bsc").await;
    let payment = payment(api, 7, &address(1), 1);
    assert_eq!(see(api, &[&payment], &[]).await.len(), 1);
    payment
}

#[tokio::test]
async fn what_a_mempool_shows_is_told_once_and_by_whoever_follows_the_network_i7() {
    on_both(async |api| {
        let payment = seen(&api).await;
        assert_eq!(see(&api, &[&payment], &[]).await.len(), 1, "it is taken, and not told again");
        assert_eq!(told(&api).await, ["payment.seen"]);
        let intent = api.get("/v1/intents/order-1", READER).await.expect(200);
        assert_eq!((&intent["status"], &intent["transfers_total"]), (&json!("pending"), &json!(1)));
        let transfer = &intent["transfers"][0];
        let shown = [&transfer["status"], &transfer["fee_rate"], &transfer["replaceable"]];
        assert_eq!(shown, [&json!("seen"), &json!("2.5"), &json!(false)]);
        // Money was seen.
        api.command("/v1/intents/order-1/cancel", WRITER).await.problem(409, "money-seen");

        let former = take_over(&api.context.store, &bsc()).await;
        take_over(&api.context.store, &bsc()).await;
        let sightings = Sightings { payments: &[], spends: &[spend(1)], looked_from: Height(100) };
        let refused = api.committer(&bsc()).commit_sightings(&former, &sightings).await;
        assert!(matches!(refused, Err(StoreError::Fenced)), "{refused:?}");
        assert_eq!(told(&api).await, ["payment.seen"]);
    })
    .await;
}

#[tokio::test]
async fn what_pays_no_open_intent_waits_for_its_block_or_for_an_intent_i13() {
    on_both(async |api| {
        api.post("/v1/intents", WRITER, &order("over", &address(2))).await.expect(201);
        api.command("/v1/intents/over/cancel", WRITER).await.expect(200);
        api.grow(100, 1).await;
        let early = payment(&api, 7, &address(1), 1);
        let late = payment(&api, 8, &address(2), 2);
        assert_eq!(see(&api, &[&early, &late], &[]).await, BTreeSet::new());
        api.post("/v1/intents", WRITER, &order("order-1", &address(1))).await.expect(201);
        let taken = see(&api, &[&early, &late], &[]).await;
        assert_eq!(taken.iter().collect::<Vec<_>>(), [early.transaction().expect("it pays")]);
        assert_eq!(told(&api).await, ["payment.cancelled", "payment.seen"]);
    })
    .await;
}

#[tokio::test]
async fn a_replacement_that_pays_the_same_is_silent_in_one_step_f23() {
    on_both(async |api| {
        seen(&api).await;
        let raised = payment(&api, 8, &address(1), 1);
        see(&api, &[&raised], &[]).await;
        assert_eq!(told(&api).await, ["payment.seen"]);
        see(&api, &[], &[spend(1)]).await;
        assert_eq!(told(&api).await, ["payment.seen", "payment.reverted"]);
    })
    .await;
}

#[tokio::test]
async fn a_block_that_was_decoded_before_the_coins_were_watched_is_looked_at_again_f23() {
    on_both(async |api| {
        seen(&api).await;
        // It double-spends, and nobody looked for that yet.
        commit(&api, Block { watches: WatchVersion(0), ..api.block(101) }, None).await;
        commit(&api, api.block(102), None).await;
        assert_eq!(told(&api).await, ["payment.seen"]);
        let store = &api.context.store;
        let jobs = store.backfills(&bsc(), 10).await.expect("backfills");
        let [job] = jobs.as_slice() else { panic!("{jobs:?}") };
        assert_eq!((job.next, job.to), (Some(Height(101)), Height(101)));
        let keys = store.watches_of(&bsc(), std::iter::once(job.intent.as_str())).await;
        assert_eq!(keys.expect("watches"), [coin(1)]);
        let again = [Block { spends: vec![spend(1)], ..api.block(101) }];
        let fence = take_over(store, &bsc()).await;
        let committer = api.committer(&bsc());
        let done = committer.commit_backfill(&fence, &jobs, &again, Height(102)).await;
        assert!(done.expect("a commit"), "it is our block");
        assert_eq!(told(&api).await, ["payment.seen", "payment.reverted"]);
        assert_eq!(store.backfills(&bsc(), 10).await.expect("backfills"), []);
    })
    .await;
}

#[tokio::test]
async fn a_block_outweighs_a_mempool_until_a_reorg_takes_it_i4_f23() {
    on_both(async |api| {
        let payment = seen(&api).await;
        commit(&api, Block { spends: vec![spend(1)], ..api.block(101) }, None).await;
        assert_eq!(told(&api).await, ["payment.seen", "payment.reverted"]);
        // A node that lags shows it still.
        see(&api, &[&payment], &[]).await;
        assert_eq!(told(&api).await, ["payment.seen", "payment.reverted"]);
        commit(&api, api.block(101), Some(100)).await;
        assert_eq!(told(&api).await, ["payment.seen", "payment.reverted"]);
        see(&api, &[&payment], &[]).await;
        assert_eq!(told(&api).await, ["payment.seen", "payment.reverted", "payment.seen"]);
        let events = api.get("/v1/events?after=0", READER).await.expect(200);
        let events = events["data"].as_array().expect("a list").iter();
        let reverted: Vec<&Value> =
            events.filter(|event| event["type"] == "payment.reverted").collect();
        assert_eq!(reverted[0]["data"]["reason"], "replaced", "{reverted:?}");
    })
    .await;
}

#[tokio::test]
async fn coins_are_watched_until_their_payment_is_irreversible() {
    on_both(async |api| {
        let payment = seen(&api).await;
        let store = &api.context.store;
        let watched = async || {
            let since = store.watches_since(&bsc(), WatchVersion(0)).await.expect("watches");
            since.0.contains(&coin(1))
        };
        let end = async |finalized: u64| {
            let mut transaction = store.begin().await.expect("a transaction");
            let now = api.context.clock.now();
            let ended = transaction.end_watching(&bsc(), now, Height(finalized)).await;
            transaction.commit().await.expect("commits");
            ended.expect("ends")
        };
        assert!(watched().await);
        assert_eq!(end(1_000).await, [], "it waits in the mempool");
        let block = Block { transfers: payment.transfers.clone(), ..api.block(101) };
        commit(&api, block, None).await;
        assert_eq!(end(100).await, [], "a reorg may still take it");
        assert_eq!(end(101).await, [coin(1)]);
        assert!(!watched().await);
    })
    .await;
}
