//! Payments on a chain that never looks back.

use confirmd::settlement::{AmountPolicy, Credit, Retraction};
use confirmd_chain::Height;

use super::sim::{Sim, blocks, time_of};
use super::{
    Intent, Story, at_once, check, exact, in_time_until, plain, progress, tolerant, two_networks,
};

#[test]
fn amounts_settle_an_intent_or_leave_it_short() {
    check(&[
        Story {
            name: "three transfers, two in one block",
            intent: plain,
            script: &["a: t1=3 | t2=4 t3=3 | - | -"],
            status: "confirmed",
            events: &["1 partial r1 3 1/3", "2 detected r1 10 1/3", "3 confirmed r1 10 3/3"],
            roles: &[("t1", "pays r1"), ("t2", "pays r1"), ("t3", "pays r1")],
        },
        Story {
            name: "over",
            intent: plain,
            script: &["a: t1=12 | - | -"],
            status: "confirmed",
            events: &["1 detected r1 12 +2 1/3", "2 confirmed r1 12 +2 3/3"],
            roles: &[("t1", "pays r1")],
        },
        Story {
            name: "under",
            intent: plain,
            script: &["a: t1=9 | - | - | -"],
            status: "partial",
            events: &["1 partial r1 9 1/3"],
            roles: &[("t1", "pays r1")],
        },
        Story {
            name: "required one: a single event, the highest",
            intent: at_once,
            script: &["a: t1=10"],
            status: "confirmed",
            events: &["1 confirmed r1 10 1/1"],
            roles: &[("t1", "pays r1")],
        },
        Story {
            name: "more while confirming",
            intent: plain,
            script: &["a: t1=10 | t2=5 | - | -"],
            status: "confirmed",
            events: &[
                "1 detected r1 10 1/3",
                "2 detected r1 15 +5 2/3",
                "3 confirmed r1 15 +5 3/3",
            ],
            roles: &[("t1", "pays r1"), ("t2", "pays r1")],
        },
        Story {
            name: "a second payment after confirmation is surplus, told when deep",
            intent: plain,
            script: &["a: t1=10 | - | - | t2=10 | -", "a: -"],
            status: "confirmed",
            events: &[
                "1 detected r1 10 1/3",
                "2 confirmed r1 10 3/3",
                "orphan.received t2 surplus",
            ],
            roles: &[("t1", "pays r1"), ("t2", "surplus")],
        },
        Story {
            name: "the wrong asset",
            intent: plain,
            script: &["a: t1=10@EUR | - | -"],
            status: "pending",
            events: &["orphan.received t1 wrong_asset"],
            roles: &[("t1", "wrong_asset")],
        },
    ]);
}

#[test]
fn what_cannot_be_spent_yet_is_not_confirmed_i6() {
    check(&[
        Story {
            name: "a miner's reward confirms once it is mature",
            intent: at_once,
            script: &["a: t1=10~5 | - | - | -", "a: -"],
            status: "confirmed",
            events: &["1 detected r1 10 0/1", "2 confirmed r1 10 1/1"],
            roles: &[("t1", "pays r1")],
        },
        Story {
            name: "it holds up the payment that it is a part of",
            intent: plain,
            script: &["a: t1=4~6 | t2=6 | - | - | -", "a: -"],
            status: "confirmed",
            events: &["1 partial r1 4 1/3", "2 detected r1 10 1/3", "3 confirmed r1 10 3/3"],
            roles: &[("t1", "pays r1"), ("t2", "pays r1")],
        },
        Story {
            name: "one that the payment does not need does not",
            intent: plain,
            script: &["a: t1=10 | t2=4~100 | -"],
            status: "confirmed",
            events: &[
                "1 detected r1 10 1/3",
                "2 detected r1 14 +4 2/3",
                "3 confirmed r1 14 +4 3/3",
            ],
            roles: &[("t1", "pays r1"), ("t2", "pays r1")],
        },
    ]);
}

#[test]
fn a_tolerance_is_exact_to_the_unit_i10() {
    check(&[
        Story {
            name: "just enough",
            intent: tolerant,
            script: &["a: t1=999"],
            status: "confirmed",
            events: &["1 confirmed r1 999 1/1"],
            roles: &[("t1", "pays r1")],
        },
        Story {
            name: "one short of it",
            intent: tolerant,
            script: &["a: t1=998"],
            status: "partial",
            events: &["1 partial r1 998 1/1"],
            roles: &[("t1", "pays r1")],
        },
    ]);
}

#[test]
fn an_exact_rail_takes_no_other_total() {
    check(&[
        Story {
            name: "equal, in two",
            intent: exact,
            script: &["a: t1=4 | t2=6 | - | -"],
            status: "confirmed",
            events: &["1 partial r1 4 1/3", "2 detected r1 10 1/3", "3 confirmed r1 10 3/3"],
            roles: &[("t1", "pays r1"), ("t2", "pays r1")],
        },
        Story {
            name: "over",
            intent: exact,
            script: &["a: t1=11 | - | -"],
            status: "pending",
            events: &["orphan.received t1 wrong_amount"],
            roles: &[("t1", "wrong_amount")],
        },
        Story {
            name: "over in two, then a new run",
            intent: exact,
            script: &["a: t1=6 | t2=6 | t3=10 | - | -"],
            status: "confirmed",
            events: &[
                "1 partial r1 6 1/3",
                "2 reverted r1 0 0/3 takes back 1",
                "3 detected r1 10 1/3",
                "orphan.received t1 wrong_amount",
                "orphan.received t2 wrong_amount",
                "4 confirmed r1 10 3/3",
            ],
            roles: &[("t1", "wrong_amount"), ("t2", "wrong_amount"), ("t3", "pays r1")],
        },
        Story {
            name: "more after it is complete",
            intent: exact,
            script: &["a: t1=10 | t2=1 | - | -"],
            status: "confirmed",
            events: &[
                "1 detected r1 10 1/3",
                "2 confirmed r1 10 3/3",
                "orphan.received t2 surplus",
            ],
            roles: &[("t1", "pays r1"), ("t2", "surplus")],
        },
        Story {
            name: "under at the end",
            intent: exact,
            script: &["a: t1=9 |-|-|-|-|-|-|-|-|-|-|-|-", "expire"],
            status: "expired",
            events: &["1 partial r1 9 1/3", "2 expired r1 9 3/3", "orphan.received t1 underpaid"],
            roles: &[("t1", "underpaid")],
        },
    ]);
}

#[test]
fn time_is_over_after_the_last_millisecond() {
    check(&[
        Story {
            name: "exactly at the expiry",
            intent: || in_time_until(2_000),
            script: &["a: - | t1=10"],
            status: "confirmed",
            events: &["1 confirmed r1 10 1/1"],
            roles: &[("t1", "pays r1")],
        },
        Story {
            name: "one millisecond late",
            intent: || in_time_until(1_999),
            script: &["a: - | t1=10", "expire"],
            status: "expired",
            events: &["orphan.received t1 late", "1 expired r1 0 0/1"],
            roles: &[("t1", "late")],
        },
        Story {
            name: "expiry waits for a block later than it that is deep enough",
            intent: plain,
            script: &["a: -|-|-|-|-|-|-|-|-|-|-|-", "expire", "expire"],
            status: "pending",
            events: &[],
            roles: &[],
        },
        Story {
            name: "and comes with it, once",
            intent: plain,
            script: &["a: -|-|-|-|-|-|-|-|-|-|-|-|-", "expire", "expire"],
            status: "expired",
            events: &["1 expired r1 0 0/3"],
            roles: &[],
        },
        Story {
            name: "what confirms does not expire",
            intent: plain,
            script: &["a: -|-|-|-|-|-|-|-|-|t1=10|-", "expire"],
            status: "confirming",
            events: &["1 detected r1 10 1/3"],
            roles: &[("t1", "pays r1")],
        },
        Story {
            name: "every network has to be past it",
            intent: two_networks,
            script: &["a: -|-|-|-|-|-|-|-|-|-|-|-|-", "b: -|-|-", "expire"],
            status: "pending",
            events: &[],
            roles: &[],
        },
    ]);
}

#[test]
fn a_cancelled_intent_takes_no_money() {
    check(&[
        Story {
            name: "cancelled twice, then paid",
            intent: plain,
            script: &["a: -", "cancel", "cancel", "a: t1=10 | - | -"],
            status: "cancelled",
            events: &["1 cancelled r1 0 0/3", "orphan.received t1 cancelled"],
            roles: &[("t1", "cancelled")],
        },
        Story {
            name: "paid, then cancelled",
            intent: plain,
            script: &["a: t1=1", "cancel refused"],
            status: "partial",
            events: &["1 partial r1 1 1/3"],
            roles: &[("t1", "pays r1")],
        },
        Story {
            name: "seen, lost, then cancelled",
            intent: plain,
            script: &["a: t1=1", "a<0: -", "cancel refused"],
            status: "pending",
            events: &["1 partial r1 1 1/3", "2 reverted r1 0 0/3 takes back 1"],
            roles: &[("t1", "gone")],
        },
    ]);
}

#[test]
fn rails_never_add_up() {
    check(&[
        Story {
            name: "parts on both, the first to be complete wins",
            intent: two_networks,
            script: &["a: t1=5", "b: - | t2=15@EUR", "b: t3=5@EUR", "a: - | - | t4=5", "b: -|-"],
            status: "confirmed",
            events: &[
                "1 partial r1 5 1/2",
                "2 partial r1 5 1/3",
                "3 detected r2 20 1/3",
                "orphan.received t1 other_rail",
                "4 confirmed r2 20 3/3",
            ],
            roles: &[
                ("t1", "other_rail"),
                ("t2", "pays r2"),
                ("t3", "pays r2"),
                ("t4", "other_rail"),
            ],
        },
        Story {
            name: "when the settling rail is lost the other one is told",
            intent: two_networks,
            script: &["a: - | - | t1=10", "b: t2=20@EUR", "a: - | -", "b<0: - | -"],
            status: "confirmed",
            events: &[
                "1 detected r1 10 1/2",
                "2 detected r2 20 1/3",
                "orphan.received t1 other_rail",
                "3 reverted r1 10 2/2 takes back 2",
                "orphan.reverted t1 other_rail takes back 1",
                "4 confirmed r1 10 2/2",
            ],
            roles: &[("t1", "pays r1"), ("t2", "gone")],
        },
    ]);
}

#[test]
fn what_comes_to_another_rail_after_the_first_is_complete_has_one_reason() {
    check(&[Story {
        name: "two parts that would have made a wrong amount",
        intent: || {
            let mut rails =
                vec![super::rail("r1", "a", "USD", 10, 1), super::rail("r2", "a", "EUR", 20, 1)];
            rails[0].policy = AmountPolicy::Exact;
            super::intent(rails, 10_000)
        },
        script: &["a: t1=3 | t2=20@EUR", "a: t3=9"],
        status: "confirmed",
        events: &[
            "1 partial r1 3 1/1",
            "2 confirmed r2 20 1/1",
            "orphan.received t1 other_rail",
            "orphan.received t3 other_rail",
        ],
        roles: &[("t1", "other_rail"), ("t2", "pays r2"), ("t3", "other_rail")],
    }]);
}

#[test]
fn every_confirmation_is_told_only_where_it_is_wanted() {
    check(&[
        Story {
            name: "wanted",
            intent: || Intent { rails: vec![super::rail("r1", "a", "USD", 10, 4)], ..progress() },
            script: &["a: t1=10", "a: - | -", "a: - | -"],
            status: "confirmed",
            events: &[
                "1 detected r1 10 1/4",
                "2 confirming r1 10 2/4",
                "3 confirming r1 10 3/4",
                "4 confirmed r1 10 4/4",
            ],
            roles: &[("t1", "pays r1")],
        },
        Story {
            name: "taken back with the depth that is lost",
            intent: progress,
            script: &["a: t1=10 | -", "a<0: - | t1=10", "a: -"],
            status: "confirming",
            events: &[
                "1 detected r1 10 1/3",
                "2 confirming r1 10 2/3",
                "3 reverted r1 10 1/3 takes back 2",
                "4 confirming r1 10 2/3",
            ],
            roles: &[("t1", "pays r1")],
        },
    ]);
}

#[test]
fn a_raised_threshold_never_unconfirms() {
    check(&[
        Story {
            name: "after confirmation",
            intent: plain,
            script: &["a: t1=10 | - | -", "required 9", "a: - | t2=1"],
            status: "confirmed",
            events: &["1 detected r1 10 1/3", "2 confirmed r1 10 3/3"],
            roles: &[("t1", "pays r1"), ("t2", "surplus")],
        },
        Story {
            name: "before it, and lowered again",
            intent: plain,
            script: &["a: t1=10 | -", "required 9", "a: - | -", "required 2", "a: -"],
            status: "confirmed",
            events: &["1 detected r1 10 1/3", "2 confirmed r1 10 2/2"],
            roles: &[("t1", "pays r1")],
        },
    ]);
}

#[test]
fn a_lowered_threshold_confirms_at_once_and_survives_what_does_not_reach_below_it_i4_i6() {
    check(&[
        Story {
            name: "without another block",
            intent: plain,
            script: &["a: t1=10 | -", "required 2"],
            status: "confirmed",
            events: &["1 detected r1 10 1/3", "2 confirmed r1 10 2/2"],
            roles: &[("t1", "pays r1")],
        },
        Story {
            name: "a reorg above makes no noise",
            intent: plain,
            script: &["required 9", "a: t1=10 | - | - | -", "required 2", "a<3: - | -"],
            status: "confirmed",
            events: &["1 detected r1 10 1/9", "2 confirmed r1 10 2/2"],
            roles: &[("t1", "pays r1")],
        },
        Story {
            name: "a reorg below takes it back",
            intent: plain,
            script: &["a: - | t1=10 | -", "required 2", "a<1: - | - | -"],
            status: "pending",
            events: &[
                "1 detected r1 10 1/3",
                "2 confirmed r1 10 2/2",
                "3 reverted r1 0 0/2 takes back 1 2",
            ],
            roles: &[("t1", "gone")],
        },
        Story {
            name: "an orphan is told as soon as it is deep enough",
            intent: plain,
            script: &["a: t1=10@EUR | -", "required 2"],
            status: "pending",
            events: &["orphan.received t1 wrong_asset"],
            roles: &[("t1", "wrong_asset")],
        },
    ]);
}

#[test]
fn a_transfer_is_confirmed_at_the_time_of_the_block_that_makes_it_deep_enough_i4() {
    let confirmed_at = |sim: &Sim| {
        let at = |credit: &Credit| (credit.id.transaction.to_string(), credit.confirmed_at);
        sim.credits.iter().map(at).collect::<Vec<_>>()
    };
    let at = |tx: &str, height: u64| (tx.to_owned(), Some(time_of(Height(height))));
    let mut sim = Sim::new(plain());
    sim.extend("a", &blocks("t1=4 | t2=6 | -"));
    assert_eq!(confirmed_at(&sim), [at("t1", 3), ("t2".to_owned(), None)]);
    sim.extend("a", &blocks("-"));
    assert_eq!(confirmed_at(&sim), [at("t1", 3), at("t2", 4)]);
    sim.reorg("a", 1, &blocks("- | - | - | t2=6 | -"));
    assert_eq!(confirmed_at(&sim), [at("t1", 3), ("t2".to_owned(), None)]);
    sim.extend("a", &blocks("-"));
    assert_eq!(confirmed_at(&sim), [at("t1", 3), at("t2", 7)]);
}

#[test]
fn a_wrong_total_takes_back_what_was_told_of_its_parts_at_once() {
    let mut sim = Sim::new(exact());
    sim.extend("a", &blocks("t1=6 | t2=9"));
    assert_eq!(sim.story(), ["1 partial r1 6 1/3", "2 reverted r1 0 0/3 takes back 1"]);
    let reverted = sim.events.last().expect("just told");
    assert_eq!(reverted.data.reason, Some(Retraction::WrongAmount));
    assert_eq!(sim.intent.state.status.as_str(), "pending");
    // The part that made it wrong goes in a reorg: the other one is told again.
    sim.reorg("a", 1, &blocks("- | -"));
    assert_eq!(sim.story()[2..], ["3 partial r1 6 3/3"]);
}
