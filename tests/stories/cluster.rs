//! What Solana's nodes say where they lack a block, and when they call one final: through the
//! daemon, none of it loses a payment or tells one too early.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use solana_pubkey::Pubkey;
use xtask::surfpool::Commitment;

use crate::proxy::{Proxy, denied};
use crate::rig::StoreKind;
use crate::solana::{ID, Scene, USDC, fresh, node};

/// What a node says in the place of a slot's block.
type Said = fn(u64) -> Value;

const LOST: Said = |slot| {
    let words = "was skipped, or missing in long-term storage";
    denied(-32009, &format!("Slot {slot} {words}"))
};

/// Agave's words in the place of a block that there is, each with whether the node's list of blocks
/// names it all the same. It may have lost it from both.
const CASES: [(Said, bool); 6] = [
    (|_| Value::Null, true),
    (|slot| denied(-32004, &format!("Block not available for slot {slot}")), true),
    (
        |slot| {
            let words = "was skipped, or missing due to ledger jump to recent snapshot";
            denied(-32007, &format!("Slot {slot} {words}"))
        },
        true,
    ),
    (LOST, true),
    (
        |_| {
            let words = "Transaction version (0) is not supported by the requesting client. \
                         Please try the request again with the following configuration \
                         parameter: \"maxSupportedTransactionVersion\": 0";
            denied(-32015, words)
        },
        true,
    ),
    // The last one, since a node that shows a block which stands on none of ours is put aside.
    (LOST, false),
];

/// How often a proxy changed an answer.
#[derive(Clone, Default)]
struct Count(Arc<AtomicU64>);

impl Count {
    fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Waits until three more answers were changed: the daemon has looked at what the ones before
    /// led it to.
    async fn until_three_more(&self, scene: &Scene) {
        let before = self.get();
        scene
            .rig
            .until("it asks again and again", async |_| (self.get() >= before + 3).then_some(()))
            .await;
    }
}

/// Says this in the place of a slot's block from now on.
fn deny(proxy: &Proxy, slot: u64, (said, is_listed): (Said, bool)) -> Count {
    let (said, count) = (said(slot), Count::default());
    let counted = count.clone();
    proxy.lie(move |method, params, result| match method {
        "getBlock" if params[0] == json!(slot) => {
            *result = said.clone();
            counted.add();
        }
        "getBlocksWithLimit" if !is_listed => leave_out(result, &counted, |shown| shown == slot),
        _ => {}
    });
    count
}

/// Takes slots out of a list, and counts it where there was one.
fn leave_out(slots: &mut Value, counted: &Count, is_out: impl Fn(u64) -> bool) {
    let slots = slots.as_array_mut().expect("slots");
    let all = slots.len();
    slots.retain(|shown| !is_out(shown.as_u64().expect("a slot")));
    if slots.len() < all {
        counted.add();
    }
}

/// Answers as a node would that has blocks below this slot only, though the newest slot is told by
/// another one: what it says of blocks, of their slots, or of both.
fn lag(proxy: &Proxy, slot: u64, lacks_blocks: bool, lacks_slots: bool) -> Count {
    let count = Count::default();
    let counted = count.clone();
    proxy.lie(move |method, params, result| match method {
        "getBlock" if lacks_blocks => {
            let asked = params[0].as_u64().expect("a slot");
            if asked >= slot {
                *result = denied(-32004, &format!("Block not available for slot {asked}"));
                counted.add();
            }
        }
        "getBlocksWithLimit" if lacks_slots => leave_out(result, &counted, |shown| shown >= slot),
        _ => {}
    });
    count
}

/// Calls no slot above this one final. Counts how often it is asked.
fn hold_back(proxy: &Proxy, finalized: u64) -> Count {
    let count = Count::default();
    let counted = count.clone();
    proxy.lie(move |method, params, result| {
        if method == "getSlot" && params[0]["commitment"] == "finalized" {
            let honest = result.as_u64().expect("a slot");
            *result = json!(honest.min(finalized));
            counted.add();
        }
    });
    count
}

/// Waits for a new order for 5 USDC, by its name as the memo.
async fn order(scene: &Scene, shop: &Pubkey, name: &str, confirmations: u64) {
    let more = json!({ "memo": name, "confirmations": confirmations });
    scene.expect(name, shop, "USDC", "5", more).await;
}

/// Pays an order in the slot that is open, and closes so many.
async fn pay(scene: &Scene, shop: &Pubkey, name: &str, slots: u64) {
    let open = open(scene).await;
    let paid = scene.pay(shop, 5 * USDC, name).await;
    scene.mine(slots).await;
    assert_eq!(scene.node.slot_of(&paid).await.expect("it is in a block"), open);
}

/// The slot that takes what is sent now.
async fn open(scene: &Scene) -> u64 {
    scene.node.slot(Commitment::Processed).await.expect("a slot")
}

/// What was told of an order, in order, as the log has it. The backend made it, and is not told of
/// that.
async fn log(scene: &Scene, name: &str) -> Vec<String> {
    let path = format!("/v1/events?after=0&limit=200&intent={name}");
    let (code, events) = scene.rig.get(&path).await;
    assert_eq!(code, 200, "{events}");
    let events = events["data"].as_array().expect("a list").iter();
    let kinds = events.map(|event| event["type"].as_str().expect("text").to_owned());
    kinds.filter(|kind| kind != "payment.created").collect()
}

/// Waits until an order is confirmed, and that was told once.
async fn until_told_once(scene: &Scene, name: &str) {
    scene.rig.receiver.wait_for_event(name, "payment.confirmed").await;
    scene.until_scanned().await;
    assert_eq!(log(scene, name).await, ["payment.detected", "payment.confirmed"], "{name}");
    let intent = scene.rig.intent(name).await;
    assert_eq!(intent["transfers_total"], 1, "{intent}");
    assert_eq!(intent["rails"][0]["received"], "5", "{intent}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_is_taken_from_the_second_node_whatever_the_first_says_instead_of_it_i3_f10() {
    let node = node().await;
    let second =
        format!("[[networks.{ID}.providers]]\nname = \"second\"\nurl = \"{}\"\n", node.url());
    let scene = Scene::on(node, StoreKind::Sqlite, &second).await;
    let shop = fresh();
    for (n, case) in CASES.into_iter().enumerate() {
        let name = format!("order-{n}");
        order(&scene, &shop, &name, 3).await;
        let denied = deny(&scene.proxy, open(&scene).await, case);
        pay(&scene, &shop, &name, 4).await;
        until_told_once(&scene, &name).await;
        assert!(denied.get() > 0, "{name}: the first node was never asked");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_the_only_node_denies_is_waited_for_and_never_passed_over_i3_f10() {
    let scene = Scene::set(StoreKind::Sqlite, "").await;
    let shop = fresh();
    for (n, case) in CASES.into_iter().enumerate() {
        let name = format!("order-{n}");
        order(&scene, &shop, &name, 3).await;
        let slot = open(&scene).await;
        let denied = deny(&scene.proxy, slot, case);
        pay(&scene, &shop, &name, 4).await;
        denied.until_three_more(&scene).await;
        let scanned = scene.scanned().await.expect("a slot");
        assert!(scanned < slot, "{name}: {slot} is passed over, {scanned} is scanned");
        assert_eq!(scene.rig.intent(&name).await["status"], "pending", "{name}");
        assert_eq!(log(&scene, &name).await, [""; 0], "{name}");
        scene.proxy.lie(|_, _, _| {});
        until_told_once(&scene, &name).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_lags_behind_a_balancer_delays_a_payment_and_hides_none_i3_f10() {
    let scene = Scene::set(StoreKind::Sqlite, "").await;
    let shop = fresh();
    let backends = [(true, true), (true, false), (false, true)];
    for (n, (lacks_blocks, lacks_slots)) in backends.into_iter().enumerate() {
        let name = format!("order-{n}");
        order(&scene, &shop, &name, 3).await;
        scene.until_scanned().await;
        let slot = open(&scene).await;
        let lagged = lag(&scene.proxy, slot, lacks_blocks, lacks_slots);
        // No more, so that the newest block which it has is among the first that are tried.
        pay(&scene, &shop, &name, 2).await;
        lagged.until_three_more(&scene).await;
        assert_eq!(scene.scanned().await, Some(slot - 1), "{name}");
        assert_eq!(scene.rig.intent(&name).await["status"], "pending", "{name}");
        scene.proxy.lie(|_, _, _| {});
        scene.mine(4).await;
        until_told_once(&scene, &name).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_slots_are_not_final_before_the_cluster_says_so_i6_f10() {
    let scene = Scene::set(StoreKind::Sqlite, "").await;
    let shop = fresh();
    order(&scene, &shop, "final", 32).await;
    order(&scene, &shop, "seen", 1).await;
    let slot = open(&scene).await;
    let held = hold_back(&scene.proxy, slot - 1);
    pay(&scene, &shop, "final", 10).await;
    pay(&scene, &shop, "seen", 51).await;
    // A block with 32 confirmations would be final. Those below are scanned and told, and no more.
    scene.rig.receiver.wait_for_event("seen", "payment.confirmed").await;
    scene
        .rig
        .until("what is not final is scanned", async |_| {
            (scene.scanned().await >= Some(slot + 30)).then_some(())
        })
        .await;
    held.until_three_more(&scene).await;
    let confirmed = scene.node.slot(Commitment::Confirmed).await.expect("a slot");
    assert_eq!((scene.scanned().await, confirmed), (Some(slot + 30), slot + 60));
    assert_eq!(log(&scene, "final").await, ["payment.detected"]);
    let intent = scene.rig.intent("final").await;
    assert_eq!(intent["status"], "confirming", "{intent}");
    // That is no secret.
    scene
        .rig
        .until("the status says what it waits for", async |rig| {
            let (_, status) = rig.get("/scanner/status").await;
            let problems = status["problems"].as_array().into_iter().flatten();
            let mut ours = problems.filter(|problem| problem["subject"] == ID);
            let action =
                ours.find(|problem| problem["code"] == "network-stalled")?["action"].clone();
            action.as_str()?.contains("finalized nothing above").then_some(())
        })
        .await;

    scene.proxy.lie(|_, _, _| {});
    until_told_once(&scene, "final").await;
    let told = scene.rig.receiver.wait_for_event("final", "payment.confirmed").await;
    assert_eq!(told.body["data"]["confirmations"], 32, "{}", told.body);
}
