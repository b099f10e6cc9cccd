//! Any order of blocks, reorgs and commands ends where a fresh scan of the surviving chain ends.

use std::collections::BTreeMap;

use confirmd::settlement::{
    AmountPolicy, Credit, Decision, Event, EventKind, Intent, IntentView, Matching, OrphanState,
    ReferenceKind, Role, look_again,
};
use confirmd_chain::Height;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value;

use super::sim::{Chain, NOW, Pay, Sim, intent, rail, time_of};

/// The last height whose block is in time.
const LAST_IN_TIME: u64 = 12;

#[derive(Clone, Debug)]
enum Act {
    Extend(Vec<Vec<Pay>>),
    Reorg {
        depth: u64,
        blocks: Vec<Vec<Pay>>,
    },
    /// A mempool shows payments.
    See(Vec<Pay>),
    /// A mempool shows that the coin of a transaction is spent by one that pays nobody.
    Replace(String),
    Cancel,
    Expire,
    Attach(String),
    Dismiss(String),
}

/// Few transactions and few amounts, so that they come back, collide, and add up.
fn pay() -> impl Strategy<Value = Pay> {
    let asset = select(vec!["USD", "USD", "USD", "EUR", "GBP"]);
    let amount = select(vec![3, 4, 5, 9, 10, 12]);
    let maturity = select(vec![0, 0, 0, 5]);
    let reference = select(vec![None, Some("ours"), Some("ours"), Some("another")]);
    let parts = (1..=6_u8, asset, amount, maturity, reference);
    parts.prop_map(|(tx, asset, amount, maturity, reference)| Pay {
        tx: format!("t{tx}"),
        asset: asset.to_owned(),
        amount,
        maturity,
        reference: reference.map(str::to_owned),
        coin: Some(coin(tx)),
        ..Pay::default()
    })
}

/// Two transactions each spend the same.
fn coin(tx: u8) -> String {
    format!("c{}", tx.div_ceil(2))
}

fn branch() -> impl Strategy<Value = Vec<Vec<Pay>>> {
    prop::collection::vec(prop::collection::vec(pay(), 0..3), 1..6)
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        6 => branch().prop_map(Act::Extend),
        4 => (1..8_u64, branch()).prop_map(|(depth, blocks)| Act::Reorg { depth, blocks }),
        4 => prop::collection::vec(pay(), 1..3).prop_map(Act::See),
        2 => (1..=6_u8).prop_map(|tx| Act::Replace(coin(tx))),
        1 => Just(Act::Cancel),
        2 => Just(Act::Expire),
        3 => (1..=6_u8).prop_map(|tx| Act::Attach(format!("t{tx}"))),
        2 => (1..=6_u8).prop_map(|tx| Act::Dismiss(format!("t{tx}"))),
    ];
    prop::collection::vec(act, 1..10)
}

/// What tells a rail's payments from others at the same address.
fn matching() -> impl Strategy<Value = Matching> {
    let (given, carried) = ("ours".to_owned(), "ours".to_owned());
    let reference = Matching::Reference { kind: ReferenceKind::Reference, given, carried };
    select(vec![Matching::Address, Matching::Address, reference, Matching::ExactAmount])
}

/// An intent with several kinds of rails, the first of which may have been replaced.
fn intents() -> impl Strategy<Value = Intent> {
    let replaced = select(vec![None, None, Some(4), Some(9)]);
    (plain_intents(), matching(), matching(), replaced).prop_map(|(intent, first, second, at)| {
        let mut intent = intent;
        intent.rails[0].matching = first;
        intent.rails[1].matching = second;
        if let Some(height) = at {
            let instead = rail("r3", "a", "USD", 12, 2);
            intent.rails[0].replaced_at = Some(time_of(Height(height)));
            intent.rails.push(instead);
        }
        for rail in &mut intent.rails {
            if rail.matching == Matching::ExactAmount {
                rail.policy = AmountPolicy::Exact;
            }
        }
        intent
    })
}

/// Two rails on one network. Networks know no common order of blocks, so what a fresh scan of two
/// would tell first is not defined; stories cover them.
fn plain_intents() -> impl Strategy<Value = Intent> {
    let policy = || select(vec![AmountPolicy::AtLeast, AmountPolicy::Exact]);
    (1..5_u32, 1..5_u32, policy(), policy(), select(vec!["0", "0.1"]), any::<bool>()).prop_map(
        |(first, second, policy, other, tolerance, wants_progress)| {
            let mut rails =
                vec![rail("r1", "a", "USD", 10, first), rail("r2", "a", "EUR", 9, second)];
            rails[0].policy = policy;
            rails[1].policy = other;
            let expires_at = time_of(Height(LAST_IN_TIME)).0;
            let tolerance = tolerance.parse().expect("valid");
            Intent { tolerance, wants_progress, ..intent(rails, expires_at) }
        },
    )
}

/// A run, and what it did that no chain shows.
struct Run {
    sim: Sim,
    cancelled: bool,
    /// The cursor at which the intent expired.
    expired_at: Option<u64>,
    /// An admin decided about an orphan.
    resolved: bool,
}

impl Run {
    fn of(intent: &Intent, acts: Vec<Act>) -> Self {
        let sim = Sim::new(intent.clone());
        let mut run = Self { sim, cancelled: false, expired_at: None, resolved: false };
        for act in acts {
            run.act(act);
        }
        run
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Extend(blocks) => {
                let blocks = once_each(&self.chain().blocks, blocks);
                self.sim.extend("a", &blocks);
            }
            Act::Reorg { depth, blocks } => {
                // A branch that is lost after the expiry would have decided otherwise about it:
                // the expiry waited until a block later than it was as deep as is required.
                let length = self.chain().blocks.len() as u64;
                let required = u64::from(self.sim.intent.required_on(&"a".into()).0);
                let deep = self.expired_at.map_or(0, |at| at - (required - 1));
                let ancestor = length.saturating_sub(depth).max(deep);
                let kept = usize::try_from(ancestor).expect("small");
                let blocks = once_each(&self.chain().blocks[..kept], blocks);
                self.sim.reorg("a", ancestor, &blocks);
            }
            Act::See(pays) => {
                // Nodes refuse what conflicts with a block.
                let pays = once_each(&self.chain().blocks, vec![pays]);
                self.sim.see("a", &pays.concat());
            }
            Act::Replace(coin) => {
                let by = Pay { tx: "x".to_owned(), coin: Some(coin), ..Pay::default() };
                let is_mined = self.chain().blocks.iter().flatten().any(|pay| pay.conflicts(&by));
                if !is_mined {
                    self.sim.see("a", &[by]);
                }
            }
            Act::Cancel => self.cancelled |= self.sim.cancel().is_ok(),
            Act::Expire => {
                let was = self.sim.intent.state.closed;
                self.sim.expire();
                if was != self.sim.intent.state.closed {
                    self.expired_at = Some(self.chain().blocks.len() as u64);
                }
            }
            Act::Attach(tx) => self.resolved |= self.sim.attach(&tx).is_ok(),
            Act::Dismiss(tx) => {
                let before = (self.sim.roles(), self.sim.intent.state.status);
                self.resolved |= self.sim.resolve(&tx, Decision::Dismissed).is_ok();
                let after = (self.sim.roles(), self.sim.intent.state.status);
                assert_eq!(after, before, "what is dismissed changes nothing else");
            }
        }
    }

    fn chain(&self) -> &Chain {
        &self.sim.chains[&"a".into()]
    }

    /// One look at the surviving chain, block by block, with the same first-seen times and
    /// commands, and then at what mempools showed last. Nothing could be cancelled after a transfer
    /// was seen, so it comes first.
    fn fresh(&self, intent: &Intent) -> Sim {
        let mut sim = Sim::new(intent.clone());
        sim.seen.clone_from(&self.sim.seen);
        sim.resolutions.clone_from(&self.sim.resolutions);
        if self.cancelled {
            sim.cancel().expect("nothing was seen");
        }
        let blocks = &self.chain().blocks;
        for (height, block) in (1..).zip(blocks) {
            sim.extend("a", std::slice::from_ref(block));
            let is_due = self.expired_at.is_some_and(|at| height == at.min(blocks.len() as u64));
            if is_due {
                sim.expire_now();
            }
        }
        let waiting = self.sim.credits.iter().filter(|credit| credit.place.is_none());
        for credit in waiting.filter(|credit| credit.sighting.is_some()) {
            let orphan = OrphanState::default();
            sim.credits.push(Credit { role: Role::Gone, orphan, ..credit.clone() });
        }
        let (intent, credits) = (sim.intent.clone(), sim.credits.clone());
        sim.take(look_again(intent, credits, &sim.cursors(), NOW));
        sim
    }
}

/// A chain holds a transaction once, and spends a coin once.
fn once_each(chain: &[Vec<Pay>], mut blocks: Vec<Vec<Pay>>) -> Vec<Vec<Pay>> {
    let mut known: Vec<Pay> = chain.iter().flatten().cloned().collect();
    for block in &mut blocks {
        block.retain(|pay| {
            let is_new = !known.iter().any(|other| other.tx == pay.tx || other.conflicts(pay));
            known.extend(is_new.then(|| pay.clone()));
            is_new
        });
    }
    blocks
}

/// What an event tells, apart from how deep and when.
fn told(event: &Event) -> String {
    let view = event.data.intent.as_ref().expect("shows its intent");
    let received: Vec<_> = view.rails.iter().map(|rail| rail.received.as_str()).collect();
    let mut transfers: Vec<_> = event
        .data
        .transfers
        .iter()
        .filter(|transfer| transfer.status != "seen")
        .map(|transfer| format!("{}={}", transfer.transaction, transfer.amount))
        .collect();
    transfers.sort();
    format!("{} {:?} {received:?} {transfers:?}", event.kind, view.settled_by)
}

fn is_milestone(event: &&Event) -> bool {
    use EventKind::{PaymentConfirmed, PaymentDetected, PaymentPartial};
    matches!(event.kind, PaymentPartial | PaymentDetected | PaymentConfirmed)
}

fn milestones(sim: &Sim) -> Vec<String> {
    sim.standing().filter(is_milestone).map(told).collect()
}

/// The orphans that somebody who reads the events in order has still to decide about.
fn orphans(sim: &Sim) -> BTreeMap<String, String> {
    let mut open = BTreeMap::new();
    for event in &sim.events {
        let Some(orphan) = &event.data.orphan else { continue };
        let tx = orphan.transaction.clone();
        match event.kind {
            EventKind::OrphanReceived => {
                open.insert(tx, format!("{:?} {}", orphan.reason, orphan.amount));
            }
            _ => {
                open.remove(&tx);
            }
        }
    }
    open
}

/// Further confirmations that were told and stand.
fn progress(sim: &Sim) -> impl Iterator<Item = u32> {
    let confirming = |event: &&Event| event.kind == EventKind::PaymentConfirming;
    sim.standing().filter(confirming).map(|event| event.data.confirmations)
}

/// Where an intent stands, as far as the API shows it.
fn state(sim: &Sim) -> Value {
    let cursors = sim.cursors();
    let view = IntentView::at(&sim.intent, &sim.credits, &cursors, NOW);
    let lost = sim.credits.iter().filter(|credit| credit.role == Role::Gone).count();
    let mut view = serde_json::to_value(view).expect("JSON");
    // Transfers that a reorg took are remembered; a fresh scan never met them.
    let mut shown = view["transfers"].as_array().cloned().unwrap_or_default();
    let is_orphan = |status: &Value| status.as_str().is_some_and(|s| s.starts_with("orphan:"));
    shown.retain(|transfer| !transfer["rail_id"].is_null() || is_orphan(&transfer["status"]));
    shown.sort_by_key(|transfer| transfer["transaction"].to_string());
    view["transfers"] = shown.into();
    let total = view["transfers_total"].as_u64().expect("a count");
    view["transfers_total"] = (total - lost as u64).into();
    view["updated_at"] = Value::Null;
    view
}

/// What is told of unconfirmed transactions and stands: every one that would pay the intent while
/// it is open, and none that was replaced.
fn check_sightings(sim: &Sim) {
    let told = &sim.intent.state.seen;
    let standing = sim.standing().filter(|event| event.kind == EventKind::PaymentSeen);
    let standing: Vec<_> = standing.map(|event| &event.id).collect();
    let known: Vec<_> = told.iter().map(|told| &told.event).collect();
    assert_eq!(standing, known, "{:#?}", sim.story());
    let is_told =
        |credit: &&Credit| told.iter().any(|told| told.transaction == credit.id.transaction);
    for credit in &sim.credits {
        if matches!(credit.role, Role::Seen(_)) && sim.intent.state.status.is_open() {
            assert!(is_told(&credit), "never told: {}\n{:#?}", credit.name(), sim.story());
        }
    }
    let replaced = sim.credits.iter().filter(|credit| credit.replaced_by().is_some());
    assert_eq!(replaced.filter(is_told).map(Credit::name).next(), None, "{:#?}", sim.story());
}

fn by_subject(sim: &Sim) -> BTreeMap<String, Vec<Event>> {
    let mut subjects: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for event in &sim.events {
        subjects.entry(event.subject.clone()).or_default().push(event.clone());
    }
    subjects
}

fn config() -> ProptestConfig {
    ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_end_is_that_of_a_fresh_scan_i2_i4_i6(intent in intents(), acts in acts()) {
        let run = Run::of(&intent, acts);
        let fresh = run.fresh(&intent);
        let (mut ours, mut theirs) = (state(&run.sim), state(&fresh));
        if run.resolved {
            // What is attached late confirms late.
            for state in [&mut ours, &mut theirs] {
                state["confirmed_at"] = Value::Null;
                let transfers = state["transfers"].as_array_mut().into_iter().flatten();
                transfers.for_each(|transfer| transfer["confirmed_at"] = Value::Null);
            }
        }
        prop_assert_eq!(ours, theirs);
        prop_assert_eq!(orphans(&run.sim), orphans(&fresh));
        run.sim.check_numbers();
        run.sim.check_depths();
        check_sightings(&run.sim);
        check_sightings(&fresh);
        fresh.check_depths();

        // A fresh scan knows from the start what is to become of an orphan, so it tells another way.
        if run.resolved {
            return Ok(());
        }
        let (ours, theirs) = (milestones(&run.sim), milestones(&fresh));
        for told in &ours {
            prop_assert!(theirs.contains(told), "not taken back: {told}\n{:#?}", run.sim.story());
            let times = ours.iter().filter(|other| *other == told).count();
            prop_assert_eq!(times, 1, "told twice: {}\n{:#?}", told, run.sim.story());
        }
        let cursors = fresh.cursors();
        let view = IntentView::at(&fresh.intent, &fresh.credits, &cursors, NOW);
        for depth in progress(&run.sim) {
            prop_assert!(depth <= view.confirmations, "{depth}: {:#?}", run.sim.story());
        }
        // A step below something that stands is not told any more (I7), but the end always is: by
        // the same event as in a fresh scan, or by the retraction that led back to it.
        let last = run.sim.events.iter().rfind(|event| {
            is_milestone(event) || event.kind == EventKind::PaymentReverted
        });
        if let Some(newest) = theirs.last() {
            let by_retraction = last.is_some_and(|e| e.kind == EventKind::PaymentReverted);
            prop_assert!(
                ours.contains(newest) || by_retraction,
                "never told: {newest}\n{:#?}", run.sim.story()
            );
        }
    }

    #[test]
    fn many_blocks_at_once_tell_what_they_tell_one_by_one(
        intent in intents(),
        chunks in prop::collection::vec(branch(), 1..6),
    ) {
        let mut batched = Sim::new(intent.clone());
        let mut single = Sim::new(intent);
        for blocks in chunks {
            let blocks = once_each(&batched.chains[&"a".into()].blocks, blocks);
            for block in &blocks {
                single.extend("a", std::slice::from_ref(block));
            }
            batched.extend("a", &blocks);
        }
        prop_assert_eq!(by_subject(&batched), by_subject(&single));
        prop_assert_eq!(batched.intent.state, single.intent.state);
    }
}
