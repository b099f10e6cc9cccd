//! Providers that show another branch than the others do.

use alloy_primitives::{Address, U256};
use xtask::anvil::{Anvil, AnvilOptions};
use xtask::erc20::Erc20;

use crate::providers::{at_fault, provider};
use crate::proxy::Proxy;
use crate::rig::{Options, Rig, node};

/// A daemon and its providers, all in front of one node. Some of them will show a branch of it.
struct Stage {
    rig: Rig,
    anvil: &'static Anvil,
    providers: Vec<(&'static str, Proxy)>,
}

impl Stage {
    /// Starts it with the providers of these names, in order of preference.
    async fn start(names: &[&'static str], options: Options) -> Self {
        let anvil = node(options.slots_in_an_epoch).await;
        let mut providers = Vec::new();
        for name in names {
            providers.push((*name, Proxy::start(anvil.url()).await));
        }
        let urls = providers.iter().map(|(name, proxy)| (*name, proxy.url.clone())).collect();
        let rig = Rig::on(anvil, Options { providers: urls, ..options }).await;
        Self { rig, anvil, providers }
    }

    /// Starts a node that goes on from the newest block by itself, with a payment to `to` that
    /// the others do not have, and so many more blocks.
    async fn branch_off(&self, to: Address, blocks: u64) -> &'static Anvil {
        let height = self.anvil.block_number().await.expect("a height");
        let fork = Some((self.anvil.url(), height));
        let options = AnvilOptions { fork, ..AnvilOptions::default() };
        let branch = Box::leak(Box::new(Anvil::start(options).await.expect("anvil starts")));
        let usdc = Erc20::at(branch, self.rig.usdc().address);
        usdc.transfer(to, five()).await.expect("pays");
        branch.mine(blocks).await.expect("mines");
        branch
    }

    /// A provider shows the branch from now on.
    fn shows(&self, name: &str, branch: &Anvil) {
        let found = self.providers.iter().find(|(other, _)| *other == name);
        found.expect("it is there").1.serve(branch.url());
    }

    /// Nothing is told of what only the branch has, and what the others have is told once.
    async fn only_the_true_payment_is_told(&self, fault: &str) {
        let rig = &self.rig;
        let to = rig.fresh_address();
        rig.expect("true", "USDC", "5", to).await;
        rig.pay(to, 5).await;
        rig.mine(2).await;
        rig.until_status("true", "confirmed").await;
        rig.receiver.wait_for_event("true", "payment.confirmed").await;
        at_fault(rig, "liar", fault).await;
        assert_eq!(rig.receiver.told_of("true"), ["payment.detected", "payment.confirmed"]);
        assert_eq!(rig.receiver.told_of("false"), [""; 0]);
        assert_eq!(rig.intent("false").await["status"], "pending");
        for (name, _) in self.providers.iter().filter(|(name, _)| *name != "liar") {
            assert_eq!(provider(rig, name).await["faults"]["forked"], 0, "{name}");
        }
        let (_, status) = rig.get("/scanner/status").await;
        assert_eq!(status["networks"][0]["state"], "following");
    }
}

fn five() -> U256 {
    U256::from(5) * U256::from(10).pow(U256::from(18))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shorter_branch_of_one_provider_is_not_followed_i4_f8_f9() {
    let stage = Stage::start(&["liar", "honest"], Options::default()).await;
    let to = stage.rig.fresh_address();
    stage.rig.expect("false", "USDC", "5", to).await;
    let branch = stage.branch_off(to, 2).await;
    stage.rig.mine(6).await;
    stage.shows("liar", branch);
    stage.only_the_true_payment_is_told("forked").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_of_one_provider_that_is_200_blocks_ahead_is_not_followed_i4() {
    let stage = Stage::start(&["liar", "honest"], Options::default()).await;
    let to = stage.rig.fresh_address();
    stage.rig.expect("false", "USDC", "5", to).await;
    let branch = stage.branch_off(to, 205).await;
    stage.rig.mine(4).await;
    stage.shows("liar", branch);
    stage.only_the_true_payment_is_told("forked").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_from_below_the_irreversible_blocks_stops_nothing_while_others_serve_ours_i5_i9() {
    // Final after four blocks.
    let options = Options { slots_in_an_epoch: 2, ..Options::default() };
    let stage = Stage::start(&["liar", "honest"], options).await;
    let to = stage.rig.fresh_address();
    stage.rig.expect("false", "USDC", "5", to).await;
    let branch = stage.branch_off(to, 210).await;
    let forked_at = stage.anvil.block_number().await.expect("a height");
    stage.rig.mine(10).await;
    stage
        .rig
        .until("blocks of ours are final", async |rig| {
            let (_, status) = rig.get("/scanner/status").await;
            (status["networks"][0]["finalized"].as_u64() > Some(forked_at)).then_some(())
        })
        .await;
    stage.shows("liar", branch);
    stage.only_the_true_payment_is_told("forked").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_quorum_two_providers_outvote_one_i3() {
    let options = Options { quorum: 2, ..Options::default() };
    let stage = Stage::start(&["liar", "first", "second"], options).await;
    let to = stage.rig.fresh_address();
    stage.rig.expect("false", "USDC", "5", to).await;
    // It goes on from our newest block: only the other providers show that it is wrong.
    let branch = stage.branch_off(to, 200).await;
    stage.shows("liar", branch);
    stage.only_the_true_payment_is_told("forked").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_quorum_that_is_not_there_the_network_waits_and_shows_it_i3() {
    let options = Options { quorum: 2, ..Options::default() };
    let stage = Stage::start(&["liar", "honest"], options).await;
    let (rig, to) = (&stage.rig, stage.rig.fresh_address());
    rig.expect("waits", "USDC", "5", to).await;
    let branch = stage.branch_off(to, 200).await;
    stage.shows("liar", branch);
    stage.anvil.mine(2).await.expect("mines");
    rig.until("it is stalled", async |rig| {
        let (_, status) = rig.get("/scanner/status").await;
        let network = &status["networks"][0];
        (network["state"] == "stalled").then(|| {
            let reason = network["reason"].as_str().unwrap_or_default();
            assert!(reason.contains("2 providers have to name"), "{reason}");
        })
    })
    .await;
    assert_eq!(rig.intent("waits").await["status"], "pending");
    stage.shows("liar", stage.anvil);
    rig.pay(to, 5).await;
    rig.mine(2).await;
    rig.until_status("waits", "confirmed").await;
    rig.receiver.wait_for_event("waits", "payment.confirmed").await;
    assert_eq!(rig.receiver.told_of("waits"), ["payment.detected", "payment.confirmed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shorter_branch_that_two_providers_agree_on_is_followed_i4() {
    let stage = Stage::start(&["first", "second"], Options::default()).await;
    let (rig, lost, kept) = (&stage.rig, stage.rig.fresh_address(), stage.rig.fresh_address());
    rig.expect("lost", "USDC", "5", lost).await;
    rig.expect("kept", "USDC", "5", kept).await;
    let branch = stage.branch_off(kept, 1).await;
    rig.pay(lost, 5).await;
    rig.mine(4).await;
    rig.receiver.wait_for_event("lost", "payment.confirmed").await;
    stage.shows("first", branch);
    stage.shows("second", branch);
    let reverted = rig.receiver.wait_for_event("lost", "payment.reverted").await;
    assert_eq!(reverted.body["data"]["reason"], "reorg");
    rig.receiver.wait_for_event("kept", "payment.detected").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reorganisation_that_all_see_is_nobodys_fault_i4() {
    let stage = Stage::start(&["first", "second"], Options::default()).await;
    let (rig, to) = (&stage.rig, stage.rig.fresh_address());
    rig.expect("lost", "USDC", "5", to).await;
    rig.pay(to, 5).await;
    rig.receiver.wait_for_event("lost", "payment.detected").await;
    stage.anvil.reorg(1).await.expect("reorganises");
    rig.mine(1).await;
    rig.receiver.wait_for_event("lost", "payment.reverted").await;
    for name in ["first", "second"] {
        assert_eq!(provider(rig, name).await["faults"]["forked"], 0, "{name}");
    }
}
