//! Deposits: what comes to a wallet without an intent, block by block, and what reorgs make of it.

use std::collections::BTreeMap;

use confirmd::settlement::{
    Deposit, DepositChange, DepositMemory, DepositStatus, DepositView, Event, EventKind, Place,
    Retraction, WalletKey, deposit_heights,
};
use confirmd_chain::{
    Address, Amount, Asset, BlockHash, Confirmations, Height, Timestamp, TransactionId, TransferId,
    TransferIndex,
};
use proptest::prelude::*;

fn deposit(required: u32) -> Deposit {
    Deposit {
        wallet: WalletKey { account: "default".to_owned(), id: "shop".to_owned() },
        network: "a".into(),
        id: TransferId { transaction: TransactionId::new("t1"), index: TransferIndex::Vout(1) },
        asset: Asset::Native,
        symbol: "BTC".to_owned(),
        decimals: 8,
        from: None,
        to: Address::from_canonical("bc1q"),
        address_index: Some(4),
        path: None,
        external_id: None,
        amount: Amount::from(21_000),
        minimum: Amount::from(21_000),
        place: None,
        credit_time: Timestamp(0),
        required: Confirmations(required),
        memory: DepositMemory::default(),
    }
}

fn place(height: u64) -> Place {
    Place {
        height: Height(height),
        hash: BlockHash::new(format!("b{height}")),
        time: Timestamp(i64::try_from(height).expect("small") * 1_000),
        position: 0,
    }
}

/// A chain that is followed, and one deposit on it.
struct Sim {
    deposit: Deposit,
    cursor: u64,
    events: Vec<Event>,
}

impl Sim {
    fn new(required: u32) -> Self {
        Self { deposit: deposit(required), cursor: 0, events: Vec::new() }
    }

    /// Blocks up to `cursor`, above `kept` in place of others, with the deposit at a height.
    fn step(&mut self, kept: Option<u64>, cursor: u64, at: Option<u64>) {
        let from = kept.unwrap_or(self.cursor) + 1;
        let lost = kept.is_some_and(|kept| {
            self.deposit.place.as_ref().is_some_and(|place| place.height.0 > kept)
        });
        if lost {
            self.deposit.place = None;
        }
        if let Some(at) = at {
            self.deposit.place = Some(place(at));
        }
        let heights = deposit_heights(&self.deposit, Height(from), Height(cursor));
        let times: BTreeMap<_, _> =
            heights.into_iter().map(|height| (height, place(height.0).time)).collect();
        let (deposit, events) = self.deposit.clone().settle(&DepositChange {
            rolled_back_to: kept.map(Height),
            from: Height(from),
            cursor: Height(cursor),
            times: &times,
            retraction: Retraction::Reorg,
            now: Timestamp(i64::MAX),
        });
        self.deposit = deposit;
        self.events.extend(events);
        self.cursor = cursor;
    }

    fn told(&self) -> Vec<&'static str> {
        self.events.iter().map(|event| event.kind.as_str()).collect()
    }

    /// The kinds of the events that stand.
    fn standing(&self) -> Vec<EventKind> {
        let retracted: Vec<_> = self.events.iter().flat_map(|e| &e.data.retracts).collect();
        let stands = |event: &&Event| {
            event.kind != EventKind::DepositReverted && !retracted.contains(&&event.id)
        };
        self.events.iter().filter(stands).map(|event| event.kind).collect()
    }
}

type Steps = &'static [(Option<u64>, u64, Option<u64>)];

#[test]
fn a_deposit_tells_what_its_blocks_and_reorgs_make_of_it_i4_i6() {
    let cases: [(&str, u32, Steps, &[&str], DepositStatus); 9] = [
        (
            "block by block",
            3,
            &[(None, 1, Some(1)), (None, 2, None), (None, 3, None), (None, 9, None)],
            &["deposit.detected", "deposit.confirmed"],
            DepositStatus::Confirmed,
        ),
        (
            "many blocks at once",
            3,
            &[(None, 9, Some(1))],
            &["deposit.detected", "deposit.confirmed"],
            DepositStatus::Confirmed,
        ),
        (
            "one confirmation is enough",
            1,
            &[(None, 1, Some(1))],
            &["deposit.confirmed"],
            DepositStatus::Confirmed,
        ),
        (
            "on both branches at the same height",
            3,
            &[(None, 2, Some(2)), (Some(1), 3, Some(2))],
            &["deposit.detected"],
            DepositStatus::Confirming,
        ),
        (
            "on both branches, later on the new one, and deep on both",
            2,
            &[(None, 4, Some(2)), (Some(1), 6, Some(3))],
            &["deposit.detected", "deposit.confirmed"],
            DepositStatus::Confirmed,
        ),
        (
            "on both branches, deep on the lost one only",
            3,
            &[(None, 4, Some(2)), (Some(1), 4, Some(3)), (None, 5, None)],
            &["deposit.detected", "deposit.confirmed", "deposit.reverted", "deposit.confirmed"],
            DepositStatus::Confirmed,
        ),
        (
            "the branch that confirmed it is lost, its block is not",
            3,
            &[(None, 4, Some(2)), (Some(2), 3, None)],
            &["deposit.detected", "deposit.confirmed", "deposit.reverted"],
            DepositStatus::Confirming,
        ),
        (
            "gone for good",
            3,
            &[(None, 4, Some(2)), (Some(1), 9, None)],
            &["deposit.detected", "deposit.confirmed", "deposit.reverted"],
            DepositStatus::Reverted,
        ),
        (
            "gone and back",
            2,
            &[(None, 2, Some(2)), (Some(1), 3, None), (None, 5, Some(4))],
            &["deposit.detected", "deposit.reverted", "deposit.detected", "deposit.confirmed"],
            DepositStatus::Confirmed,
        ),
    ];
    for (name, required, steps, told, status) in cases {
        let mut sim = Sim::new(required);
        for &(kept, cursor, at) in steps {
            sim.step(kept, cursor, at);
        }
        assert_eq!((sim.told().as_slice(), sim.deposit.status()), (told, status), "{name}");
    }
}

#[test]
fn an_event_of_a_deposit_says_the_whole_state_and_what_it_takes_back_i7() {
    let mut sim = Sim::new(3);
    sim.step(None, 4, Some(2));
    sim.step(Some(1), 5, None);
    let sequences: Vec<_> = sim.events.iter().map(|event| event.sequence).collect();
    assert_eq!(sequences, [1, 2, 3]);
    let ids: Vec<_> = sim.events[..2].iter().map(|event| event.id.clone()).collect();
    let [detected, confirmed, reverted] = sim.events.as_slice() else { panic!("three events") };
    assert_eq!((detected.data.confirmations, detected.timestamp), (1, Timestamp(2_000)));
    assert_eq!((confirmed.data.confirmations, confirmed.timestamp), (3, Timestamp(4_000)));
    assert_eq!(reverted.data.retracts, ids);
    assert_eq!(reverted.data.reason, Some(Retraction::Reorg));
    let view = confirmed.data.deposit.as_ref().expect("the deposit");
    assert_eq!((view.status, view.amount.as_str()), (DepositStatus::Confirmed, "0.00021"));
    assert!(view.id.starts_with("dep_") && view.id == confirmed.subject);
    assert!(confirmed.body().contains("\"type\":\"deposit.confirmed\""));
    assert_eq!(confirmed.headline(), "Deposit of 0.00021 BTC on a confirmed");
}

#[derive(Clone, Debug)]
struct Turn {
    /// How many blocks are taken back.
    depth: u64,
    /// How many come.
    blocks: u64,
    /// At which of them the deposit stands.
    at: Option<u64>,
}

fn turn() -> impl Strategy<Value = Turn> {
    (0_u64..6, 1_u64..8, prop::option::of(0_u64..8)).prop_map(|(depth, blocks, at)| Turn {
        depth,
        blocks,
        at,
    })
}

proptest! {
    #[test]
    fn after_any_reorgs_a_deposit_is_what_a_fresh_scan_makes_of_it_i4(
        required in 1_u32..5,
        turns in prop::collection::vec(turn(), 1..12),
    ) {
        let mut sim = Sim::new(required);
        for Turn { depth, blocks, at } in turns {
            let kept = sim.cursor.saturating_sub(depth);
            let stays = sim.deposit.place.as_ref().is_some_and(|place| place.height.0 <= kept);
            let at = at.filter(|at| !stays && *at < blocks).map(|at| kept + 1 + at);
            sim.step((kept < sim.cursor).then_some(kept), kept + blocks, at);
        }
        let mut fresh = Sim::new(required);
        let at = sim.deposit.place.as_ref().map(|place| place.height.0);
        for height in 1..=sim.cursor {
            fresh.step(None, height, at.filter(|at| *at == height));
        }
        prop_assert_eq!(sim.deposit.place.is_some(), fresh.deposit.place.is_some());
        if fresh.deposit.place.is_some() {
            prop_assert_eq!(sim.deposit.status(), fresh.deposit.status());
        }
        let cursor = Height(sim.cursor);
        prop_assert_eq!(sim.deposit.confirmations(cursor), fresh.deposit.confirmations(cursor));
        prop_assert_eq!(sim.standing(), fresh.standing());
        let time = |told: &Option<confirmd::settlement::Told>| told.as_ref().map(|told| told.at);
        prop_assert_eq!(time(&sim.deposit.memory.confirmed), time(&fresh.deposit.memory.confirmed));
        let sequences: Vec<_> = sim.events.iter().map(|event| event.sequence).collect();
        let rising = (1..).take(sequences.len()).collect::<Vec<u32>>();
        prop_assert_eq!(sequences, rising);
    }
}

#[test]
fn what_is_less_than_the_minimum_says_so() {
    for (amount, is_below) in [(20_999, true), (21_000, false), (21_001, false)] {
        let deposit = Deposit { amount: Amount::from(amount), ..deposit(3) };
        assert_eq!(DepositView::of(&deposit, Height(0)).below_minimum, is_below, "{amount}");
    }
}
