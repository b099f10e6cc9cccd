//! The scan ledger: what is kept of every committed block, and for how long.

use std::time::Duration;

use confirmd::settlement::NetworkId;
use confirmd::watcher::Housekeeper;
use confirmd_chain::{Height, Proof};
use serde_json::json;

use crate::support::{Api, EXAMINED, OTHER, PROVIDER, READER, WRITER, address, on_both, order};

async fn range(api: &Api, height: u64) -> Option<(u64, u64, u64)> {
    let bsc = NetworkId::from("bsc");
    let scan = api.context.store.scan_of(&bsc, Height(height)).await.expect("the ledger");
    scan.map(|scan| {
        let (first, last) = (scan.first.0.0, scan.last.0.0);
        let examined = (last + 1 - first) * EXAMINED;
        let told = (scan.proof, scan.provider.as_str(), scan.examined);
        assert_eq!(told, (Proof::Commitment, PROVIDER, examined));
        (first, last, scan.matched)
    })
}

#[tokio::test]
async fn every_committed_block_is_in_the_ledger_in_few_rows_i1() {
    on_both(async |api| {
        api.post("/v1/intents", WRITER, &order("order-1", &address(1))).await.expect(201);
        api.grow(100, 1).await;
        api.pay(101, &address(1), "1", 1).await;
        api.grow(102, 3).await;
        assert_eq!(range(&api, 100).await, Some((100, 104, 1)), "single blocks share a row");
        assert_eq!((range(&api, 99).await, range(&api, 105).await), (None, None));
        api.grow(105, 600).await;
        assert_eq!(range(&api, 200).await, Some((105, 360, 0)), "a row has at most 256 blocks");
        assert_eq!(range(&api, 704).await, Some((617, 704, 0)));
        // Another branch: its blocks begin a row of their own, and the old row stays below them.
        api.commit(700, 2, Some(699), &[]).await;
        assert_eq!(range(&api, 699).await, Some((617, 704, 0)));
        assert_eq!(range(&api, 700).await, Some((700, 701, 0)), "the newest row stands");
    })
    .await;
}

#[tokio::test]
async fn the_ledger_is_kept_as_long_as_it_is_configured() {
    on_both(async |api| {
        api.grow(100, 3).await;
        let day = Duration::from_secs(86_400);
        let housekeeper = Housekeeper {
            store: api.context.store.clone(),
            clock: api.context.clock.clone(),
            deliveries: day,
            events: day,
            ledger: day,
        };
        housekeeper.prune().await.expect("prunes");
        assert_eq!(range(&api, 100).await, Some((100, 102, 0)));
        api.context.clock.advance(2 * day);
        housekeeper.prune().await.expect("prunes");
        assert_eq!(range(&api, 100).await, None);
    })
    .await;
}

#[tokio::test]
async fn a_transaction_is_explained_from_what_is_known_and_to_its_own_account_only() {
    on_both(async |api| {
        api.post("/v1/intents", WRITER, &order("mine", &address(1))).await.expect(201);
        api.post("/v1/intents", OTHER, &order("theirs", &address(2))).await.expect(201);
        api.pay(100, &address(1), "1", 3).await;
        let hash = format!("0x{:064X}", 100);
        let path = |intent: &str, tx: &str| format!("/v1/intents/{intent}/explain?tx={tx}");
        let mine = api.get(&path("mine", &hash), READER).await.expect(200);
        assert_eq!((&mine["verdict"], &mine["network"]), (&json!("counts"), &json!("bsc")));
        assert_eq!(mine["block"]["height"], 100);
        assert_eq!(mine["scanned"]["proof"], "commitment");
        assert_eq!(
            (&mine["scanned"]["first_height"], &mine["scanned"]["last_height"]),
            (&json!(100), &json!(102))
        );
        assert_eq!(mine["transfers"][0]["amount"], "1");
        let theirs = api.get(&path("theirs", &hash), OTHER).await.expect(200);
        assert_eq!(theirs["verdict"], "other_intent");
        assert!(!theirs.to_string().contains("mine"), "{theirs}");
        let unknown = api.get(&path("mine", &format!("0x{:064x}", 7)), READER).await.expect(200);
        assert_eq!(unknown["verdict"], "unanswered", "no provider answers here");
        let answer = api.get(&path("mine", "no%20id"), READER).await;
        assert_eq!(answer.problem(422, "invalid-value"), ["?tx"]);
        let answer = api.get("/v1/intents/mine/explain", READER).await;
        assert_eq!(answer.problem(422, "invalid-value"), ["?tx"]);
        api.get(&path("theirs", &hash), READER).await.problem(404, "not-found");
    })
    .await;
}
