//! Payments that are in no block yet: seen, replaced, mined, taken back.

use confirmd::settlement::{Credit, EventKind, IntentView, Retraction, look_again};
use confirmd_chain::{Height, Timestamp, TransferId, TransferIndex};

use super::sim::{NOW, Sim, blocks, time_of};
use super::{Story, at_once, check, exact, in_time_until, plain, two_networks};

#[test]
fn what_a_mempool_shows_is_told_once_and_counts_for_nothing_f23() {
    check(&[
        Story {
            name: "seen again and again, then mined",
            intent: plain,
            script: &["a? t1=10$c1", "a? t1=10$c1", "a: - | t1=10$c1 | - | -"],
            status: "confirmed",
            events: &["1 seen r1 0 0/3", "2 detected r1 10 1/3", "3 confirmed r1 10 3/3"],
            roles: &[("t1", "pays r1")],
        },
        Story {
            name: "in parts, one of them mined",
            intent: plain,
            script: &["a? t1=4$c1", "a: t1=4$c1", "a? t2=6$c2"],
            status: "partial",
            events: &["1 seen r1 0 0/3", "2 partial r1 4 1/3", "3 seen r1 4 1/3"],
            roles: &[("t1", "pays r1"), ("t2", "seen r1")],
        },
        Story {
            name: "more than asked for, until it is confirmed",
            intent: at_once,
            script: &["a? t1=10$c1 t2=5$c2", "a: t1=10$c1", "a? t3=5$c3"],
            status: "confirmed",
            events: &["1 seen r1 0 0/1", "2 seen r1 0 0/1", "3 confirmed r1 10 1/1"],
            roles: &[("t1", "pays r1"), ("t2", "gone"), ("t3", "gone")],
        },
        Story {
            name: "an exact amount that is complete takes no more",
            intent: exact,
            script: &["a: t1=10$c1", "a? t2=10$c2"],
            status: "confirming",
            events: &["1 detected r1 10 1/3"],
            roles: &[("t1", "pays r1"), ("t2", "gone")],
        },
        Story {
            name: "what would settle nothing is told when it is mined, if at all",
            intent: plain,
            script: &["a? t1=10@EUR$c1 t2=10>elsewhere$c2"],
            status: "pending",
            events: &[],
            roles: &[("t1", "gone"), ("t2", "gone")],
        },
        Story {
            name: "another rail's",
            intent: two_networks,
            script: &["b? t1=20@EUR$c1", "a? t2=10$c2", "b: t1=20@EUR$c1"],
            status: "confirming",
            events: &["1 seen r1 0 0/2", "2 seen r1 0 0/2", "3 detected r2 20 1/3"],
            roles: &[("t1", "pays r2"), ("t2", "gone")],
        },
        Story {
            name: "money was seen, so nothing is cancelled",
            intent: plain,
            script: &["a? t1=10$c1", "cancel refused"],
            status: "pending",
            events: &["1 seen r1 0 0/3"],
            roles: &[("t1", "seen r1")],
        },
        Story {
            name: "cancelled before",
            intent: plain,
            script: &["cancel", "a? t1=10$c1"],
            status: "cancelled",
            events: &["1 cancelled r1 0 0/3"],
            roles: &[("t1", "gone")],
        },
    ]);
}

#[test]
fn a_replaced_payment_is_taken_back_when_the_conflict_shows_up_f23() {
    check(&[
        Story {
            name: "by one that pays elsewhere, in the mempool",
            intent: plain,
            script: &["a? t1=10$c1", "a: -", "a? x$c1"],
            status: "pending",
            events: &["1 seen r1 0 0/3", "2 reverted replaced r1 0 0/3 takes back 1"],
            roles: &[("t1", "replaced")],
        },
        Story {
            name: "by one that pays elsewhere, in a block",
            intent: plain,
            script: &["a? t1=10$c1", "a: - | x$c1"],
            status: "pending",
            events: &["1 seen r1 0 0/3", "2 reverted replaced r1 0 0/3 takes back 1"],
            roles: &[("t1", "replaced")],
        },
        Story {
            name: "by one that pays less",
            intent: plain,
            script: &["a? t1=10$c1", "a? t2=4$c1", "a: t2=4$c1"],
            status: "partial",
            events: &[
                "1 seen r1 0 0/3",
                "2 reverted replaced r1 0 0/3 takes back 1",
                "3 seen r1 0 0/3",
                "4 partial r1 4 1/3",
            ],
            roles: &[("t1", "replaced"), ("t2", "pays r1")],
        },
        Story {
            name: "by one that pays less, in a block: first what was is taken back",
            intent: plain,
            script: &["a? t1=10$c1", "a: - | t2=4$c1"],
            status: "partial",
            events: &[
                "1 seen r1 0 0/3",
                "2 reverted replaced r1 0 0/3 takes back 1",
                "3 partial r1 4 1/3",
            ],
            roles: &[("t1", "replaced"), ("t2", "pays r1")],
        },
        Story {
            name: "and replaced back: it is there again",
            intent: plain,
            script: &["a? t1=10$c1", "a? x$c1", "a? t1=10$c1"],
            status: "pending",
            events: &[
                "1 seen r1 0 0/3",
                "2 reverted replaced r1 0 0/3 takes back 1",
                "3 seen r1 0 0/3",
            ],
            roles: &[("t1", "seen r1")],
        },
        Story {
            name: "a mempool that lags shows it, but the block stands",
            intent: plain,
            script: &["a? t1=10$c1", "a: x$c1", "a? t1=10$c1"],
            status: "pending",
            events: &["1 seen r1 0 0/3", "2 reverted replaced r1 0 0/3 takes back 1"],
            roles: &[("t1", "replaced")],
        },
        Story {
            name: "mined all the same",
            intent: plain,
            script: &["a? t1=10$c1", "a? x$c1", "a: t1=10$c1"],
            status: "confirming",
            events: &[
                "1 seen r1 0 0/3",
                "2 reverted replaced r1 0 0/3 takes back 1",
                "3 detected r1 10 1/3",
            ],
            roles: &[("t1", "pays r1")],
        },
    ]);
}

#[test]
fn a_replacement_that_pays_the_same_makes_no_noise_f23() {
    check(&[
        Story {
            name: "twice, then mined",
            intent: plain,
            script: &["a? t1=10$c1", "a? t2=10$c1", "a? t3=10$c1", "a: t3=10$c1"],
            status: "confirming",
            events: &["1 seen r1 0 0/3", "2 detected r1 10 1/3"],
            roles: &[("t1", "replaced"), ("t2", "replaced"), ("t3", "pays r1")],
        },
        Story {
            name: "mined before it was seen",
            intent: plain,
            script: &["a? t1=10$c1", "a: t2=10$c1"],
            status: "confirming",
            events: &["1 seen r1 0 0/3", "2 detected r1 10 1/3"],
            roles: &[("t1", "replaced"), ("t2", "pays r1")],
        },
        Story {
            name: "what took its place is replaced by what does not pay",
            intent: plain,
            script: &["a? t1=10$c1", "a? t2=10$c1", "a? x$c1"],
            status: "pending",
            events: &["1 seen r1 0 0/3", "2 reverted replaced r1 0 0/3 takes back 1"],
            roles: &[("t1", "replaced"), ("t2", "replaced")],
        },
        Story {
            name: "one that waits while its parent is raised is not told again",
            intent: plain,
            script: &["a? t1=4$c1 t2=6$c2", "a? t3=4$c1", "a: t3=4$c1 t2=6$c2"],
            status: "confirming",
            events: &["1 seen r1 0 0/3", "2 seen r1 0 0/3", "3 detected r1 10 1/3"],
            roles: &[("t1", "replaced"), ("t2", "pays r1"), ("t3", "pays r1")],
        },
    ]);
}

#[test]
fn who_is_seen_in_time_has_paid_in_time() {
    check(&[
        Story {
            name: "mined late",
            intent: || in_time_until(2_500),
            script: &["a: - | -", "a? t1=10$c1", "a: - | - | -", "expire", "a: t1=10$c1"],
            status: "confirmed",
            events: &["1 seen r1 0 0/1", "2 confirmed r1 10 1/1"],
            roles: &[("t1", "pays r1")],
        },
        Story {
            name: "and its fee raised after the end",
            intent: || in_time_until(2_500),
            script: &[
                "a: - | -",
                "a? t1=10$c1",
                "a: - | - | -",
                "a? t2=10$c1",
                "expire",
                "a: t2=10$c1",
            ],
            status: "confirmed",
            events: &["1 seen r1 0 0/1", "2 confirmed r1 10 1/1"],
            roles: &[("t1", "replaced"), ("t2", "pays r1")],
        },
        Story {
            name: "once it is replaced, the wait is over",
            intent: || in_time_until(2_500),
            script: &["a: - | -", "a? t1=10$c1", "a: - | - | x$c1", "expire"],
            status: "expired",
            events: &[
                "1 seen r1 0 0/1",
                "2 reverted replaced r1 0 0/1 takes back 1",
                "3 expired r1 0 0/1",
            ],
            roles: &[("t1", "replaced")],
        },
        Story {
            name: "seen late, it holds nothing and is late",
            intent: || in_time_until(2_500),
            script: &["a: - | - | -", "a? t1=10$c1", "expire", "a: t1=10$c1"],
            status: "expired",
            events: &["1 expired r1 0 0/1", "orphan.received t1 late"],
            roles: &[("t1", "late")],
        },
    ]);
}

#[test]
fn an_intent_that_a_seen_payment_holds_is_overdue_until_nodes_forget_it() {
    let mut sim = Sim::new(in_time_until(2_500));
    sim.see("a", &blocks("t1=10$c1").concat());
    sim.extend("a", &blocks("- | - | -"));
    sim.expire();
    let view = IntentView::at(&sim.intent, &sim.credits, &sim.cursors(), NOW);
    assert!(view.overdue);
    let shown = sim.credits[0].sighting.as_mut().expect("was seen");
    shown.shown_at = Timestamp(NOW.0 - confirmd::settlement::FORGOTTEN_AFTER_MS);
    sim.expire();
    assert_eq!(sim.story(), ["1 seen r1 0 0/1", "2 expired r1 0 0/1"]);
    // It comes back all the same: it was in time.
    sim.extend("a", &blocks("t1=10$c1"));
    assert_eq!(sim.intent.state.status.as_str(), "confirmed");
}

#[test]
fn a_reorg_puts_a_payment_back_into_the_mempool_i4_f7_f23() {
    check(&[
        Story {
            name: "and it is mined again",
            intent: at_once,
            script: &["a? t1=10$c1", "a: t1=10$c1", "a<0: - | -", "a? t1=10$c1", "a: t1=10$c1"],
            status: "confirmed",
            events: &[
                "1 seen r1 0 0/1",
                "2 confirmed r1 10 1/1",
                "3 reverted r1 0 0/1 takes back 2",
                "4 confirmed r1 10 1/1",
            ],
            roles: &[("t1", "pays r1")],
        },
        Story {
            name: "where it holds the intent",
            intent: || in_time_until(2_500),
            script: &["a? t1=10$c1", "a: t1=10$c1", "a<0: - | - | - | -", "expire"],
            status: "pending",
            events: &[
                "1 seen r1 0 0/1",
                "2 confirmed r1 10 1/1",
                "3 reverted r1 0 0/1 takes back 2",
            ],
            roles: &[("t1", "seen r1")],
        },
        Story {
            name: "for the first time that anybody sees it there",
            intent: plain,
            script: &["a: t1=10$c1", "a<0: - | -", "a? t1=10$c1"],
            status: "pending",
            events: &[
                "1 detected r1 10 1/3",
                "2 reverted r1 0 0/3 takes back 1",
                "3 seen r1 0 0/3",
            ],
            roles: &[("t1", "seen r1")],
        },
        Story {
            name: "unless the winning branch spends its coin elsewhere: all at once",
            intent: plain,
            script: &["a? t1=10$c1", "a: t1=10$c1 | - | -", "a<0: x$c1 | - | - | -"],
            status: "pending",
            events: &[
                "1 seen r1 0 0/3",
                "2 detected r1 10 1/3",
                "3 confirmed r1 10 3/3",
                "4 reverted replaced r1 0 0/3 takes back 1 2 3",
            ],
            roles: &[("t1", "replaced")],
        },
        Story {
            name: "or the mempool of that branch does",
            intent: plain,
            script: &["a? t1=10$c1", "a: t1=10$c1", "a<0: - | -", "a? x$c1"],
            status: "pending",
            events: &[
                "1 seen r1 0 0/3",
                "2 detected r1 10 1/3",
                "3 reverted r1 0 0/3 takes back 2",
                "4 reverted replaced r1 0 0/3 takes back 1",
            ],
            roles: &[("t1", "replaced")],
        },
        Story {
            name: "the winning branch holds a replacement that pays the same",
            intent: plain,
            script: &["a? t1=10$c1", "a: t1=10$c1", "a<0: - | t2=10$c1"],
            status: "confirming",
            events: &[
                "1 seen r1 0 0/3",
                "2 detected r1 10 1/3",
                "3 reverted r1 0 0/3 takes back 2",
                "4 detected r1 10 1/3",
            ],
            roles: &[("t1", "replaced"), ("t2", "pays r1")],
        },
    ]);
}

#[test]
fn a_conflict_that_a_reorg_takes_waits_for_the_mempools_word_i4() {
    check(&[Story {
        name: "the block that double-spent it is gone, and it is shown again",
        intent: plain,
        script: &["a? t1=10$c1", "a: x$c1", "a<0: - | -", "a? t1=10$c1", "a: t1=10$c1"],
        status: "confirming",
        events: &[
            "1 seen r1 0 0/3",
            "2 reverted replaced r1 0 0/3 takes back 1",
            "3 seen r1 0 0/3",
            "4 detected r1 10 1/3",
        ],
        roles: &[("t1", "pays r1")],
    }]);
}

#[test]
fn a_body_tells_the_fee_rate_and_whether_it_may_be_replaced_i7() {
    let mut sim = Sim::new(plain());
    sim.extend("a", &blocks("-"));
    sim.see("a", &blocks("t1=10$c1").concat());
    sim.see("a", &blocks("x$c1").concat());
    let [seen, reverted] = sim.events.as_slice() else { panic!("{:?}", sim.story()) };
    assert_eq!(seen.kind, EventKind::PaymentSeen);
    assert_eq!(seen.timestamp, time_of(Height(1)), "when it was seen");
    let transfer = &seen.data.transfers[0];
    assert_eq!((transfer.status.as_str(), transfer.confirmations), ("seen", 0));
    assert_eq!(transfer.rail_id.as_deref(), Some("r1"));
    assert_eq!((transfer.fee_rate.as_deref(), transfer.replaceable), (Some("2.5"), Some(true)));
    assert_eq!((transfer.block, &transfer.block_hash), (None, &None));
    let view = seen.data.intent.as_ref().expect("shows its intent");
    assert_eq!((view.rails[0].received.as_str(), view.transfers_total), ("0", 1));
    assert_eq!(reverted.data.reason, Some(Retraction::Replaced));
    assert_eq!(reverted.data.retracts, std::slice::from_ref(&seen.id));
    let view = reverted.data.intent.as_ref().expect("shows its intent");
    let transfer = &view.transfers[0];
    assert_eq!(
        (transfer.status.as_str(), transfer.replaced_by.as_deref()),
        ("replaced", Some("x"))
    );
    assert_eq!((transfer.rail_id.as_deref(), &transfer.fee_rate), (None, &None));
}

#[test]
fn several_outputs_of_one_transaction_are_one_sighting() {
    let mut sim = Sim::new(plain());
    sim.see("a", &blocks("t1=4$c1").concat());
    let seen = sim.credits[0].clone();
    let output = |vout| {
        let index = TransferIndex::Vout(vout);
        Credit { id: TransferId { index, ..seen.id.clone() }, ..seen.clone() }
    };
    let credits = vec![output(0), output(1)];
    let mut sim = Sim::new(plain());
    sim.take(look_again(plain(), credits, &sim.cursors(), NOW));
    assert_eq!(sim.story(), ["1 seen r1 0 0/3"]);
    assert_eq!(sim.events[0].data.transfers.len(), 2);
}
