//! Payments on a chain that takes blocks back (I4).

use confirmd::settlement::AmountPolicy;

use super::sim::{intent, rail};
use super::{Story, at_once, check, exact, plain};

#[test]
fn what_both_branches_hold_makes_no_noise_i4() {
    check(&[
        Story {
            name: "the same block height",
            intent: plain,
            script: &["a: - | t1=10", "a<1: t1=10 | -"],
            status: "confirming",
            events: &["1 detected r1 10 1/3"],
            roles: &[("t1", "pays r1")],
        },
        Story {
            name: "another order of the same parts: only what never was is taken back",
            intent: plain,
            script: &["a: t1=3 | t2=7", "a<0: t2=7 | t1=3"],
            status: "confirming",
            events: &[
                "1 partial r1 3 1/3",
                "2 detected r1 10 1/3",
                "3 reverted r1 10 1/3 takes back 1",
            ],
            roles: &[("t1", "pays r1"), ("t2", "pays r1")],
        },
    ]);
}

#[test]
fn what_only_the_lost_branch_held_is_taken_back_by_name_i4() {
    check(&[
        Story {
            name: "gone, and back later",
            intent: plain,
            script: &["a: t1=3 | t2=7", "a<0: - | -", "a: t1=3 | t2=7"],
            status: "confirming",
            events: &[
                "1 partial r1 3 1/3",
                "2 detected r1 10 1/3",
                "3 reverted r1 0 0/3 takes back 1 2",
                "4 partial r1 3 1/3",
                "5 detected r1 10 1/3",
            ],
            roles: &[("t1", "pays r1"), ("t2", "pays r1")],
        },
        Story {
            name: "one part lost, another added",
            intent: plain,
            script: &["a: t1=3 | t2=4", "a<1: t3=5"],
            status: "partial",
            events: &[
                "1 partial r1 3 1/3",
                "2 partial r1 7 1/3",
                "3 reverted r1 3 1/3 takes back 2",
                "4 partial r1 8 1/3",
            ],
            roles: &[("t1", "pays r1"), ("t2", "gone"), ("t3", "pays r1")],
        },
        Story {
            name: "an orphan told, then gone",
            intent: plain,
            script: &["a: t1=5@EUR | - | -", "a<0: - | - | -"],
            status: "pending",
            events: &[
                "orphan.received t1 wrong_asset",
                "orphan.reverted t1 wrong_asset takes back 1",
            ],
            roles: &[("t1", "gone")],
        },
        Story {
            name: "an orphan that moved up has to get deep again",
            intent: plain,
            script: &["a: t1=5@EUR | - | -", "a<0: - | - | t1=5@EUR", "a: - | -"],
            status: "pending",
            events: &[
                "orphan.received t1 wrong_asset",
                "orphan.reverted t1 wrong_asset takes back 1",
                "orphan.received t1 wrong_asset",
            ],
            roles: &[("t1", "wrong_asset")],
        },
        Story {
            name: "an exact payment that a part from the new branch spoils",
            intent: exact,
            script: &["a: - | t1=5", "a<0: t2=8 | t1=5"],
            status: "pending",
            events: &[
                "1 partial r1 5 1/3",
                "2 reverted r1 0 0/3 takes back 1",
                "3 partial r1 8 1/3",
                "4 reverted r1 0 0/3 takes back 3",
            ],
            roles: &[("t1", "wrong_amount"), ("t2", "wrong_amount")],
        },
    ]);
}

#[test]
fn a_transaction_that_comes_back_with_another_payload_is_read_afresh_f6() {
    check(&[
        Story {
            name: "less",
            intent: plain,
            script: &["a: t1=10", "a<0: - | t1=4"],
            status: "partial",
            events: &[
                "1 detected r1 10 1/3",
                "2 reverted r1 0 0/3 takes back 1",
                "3 partial r1 4 1/3",
            ],
            roles: &[("t1", "pays r1")],
        },
        Story {
            name: "the same amount of another asset",
            intent: plain,
            script: &["a: t1=4", "a<0: t1=4@EUR"],
            status: "pending",
            events: &["1 partial r1 4 1/3", "2 reverted r1 0 0/3 takes back 1"],
            roles: &[("t1", "wrong_asset")],
        },
    ]);
}

#[test]
fn a_reorg_deeper_than_the_threshold_takes_a_confirmation_back_f7() {
    check(&[
        Story {
            name: "gone",
            intent: plain,
            script: &["a: t1=10 | - | - | -", "a<0: -|-|-|-|-"],
            status: "pending",
            events: &[
                "1 detected r1 10 1/3",
                "2 confirmed r1 10 3/3",
                "3 reverted r1 0 0/3 takes back 1 2",
            ],
            roles: &[("t1", "gone")],
        },
        Story {
            name: "in a later block: detected stays",
            intent: plain,
            script: &["a: t1=10 | - | -", "a<0: - | - | t1=10", "a: - | -"],
            status: "confirmed",
            events: &[
                "1 detected r1 10 1/3",
                "2 confirmed r1 10 3/3",
                "3 reverted r1 10 1/3 takes back 2",
                "4 confirmed r1 10 3/3",
            ],
            roles: &[("t1", "pays r1")],
        },
        Story {
            name: "a shorter branch below a transfer that stays",
            intent: plain,
            script: &["a: t1=10 | - | -", "a<1: -"],
            status: "confirming",
            events: &[
                "1 detected r1 10 1/3",
                "2 confirmed r1 10 3/3",
                "3 reverted r1 10 2/3 takes back 2",
            ],
            roles: &[("t1", "pays r1")],
        },
        Story {
            name: "another transfer confirms instead",
            intent: at_once,
            script: &["a: t1=10", "a<0: t2=10"],
            status: "confirmed",
            events: &[
                "1 confirmed r1 10 1/1",
                "2 reverted r1 0 0/1 takes back 1",
                "3 confirmed r1 10 1/1",
            ],
            roles: &[("t1", "gone"), ("t2", "pays r1")],
        },
    ]);
}

#[test]
fn a_part_that_was_told_with_a_wrong_total_is_told_anew_where_a_reorg_took_the_first_telling_i4() {
    let in_two_assets = || {
        let rails = vec![rail("r1", "a", "USD", 10, 1), rail("r2", "a", "EUR", 9, 1)];
        let mut intent = intent(rails, 10_000);
        intent.rails.iter_mut().for_each(|rail| rail.policy = AmountPolicy::Exact);
        intent
    };
    check(&[Story {
        name: "what the other rail's wrong total was told with is taken back",
        intent: in_two_assets,
        script: &["a: t1=3 | - | t2=9", "a<2: t2=3@EUR", "a: t3=9@EUR"],
        status: "partial",
        events: &[
            "1 partial r1 3 1/1",
            "2 reverted r1 0 0/1 takes back 1",
            "orphan.received t1 wrong_amount",
            "orphan.received t2 wrong_amount",
            "orphan.reverted t1 wrong_amount takes back 1",
            "orphan.reverted t2 wrong_amount takes back 1",
            "3 partial r1 3 1/1",
            "4 reverted r1 3 1/1 takes back 3",
            "5 partial r1 3 1/1",
            "orphan.received t2 wrong_amount",
            "orphan.received t3 wrong_amount",
        ],
        roles: &[("t1", "pays r1"), ("t2", "wrong_amount"), ("t3", "wrong_amount")],
    }]);
}
