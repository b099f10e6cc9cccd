//! Orphans that an admin attaches to an intent, or dismisses.

use confirmd::settlement::{
    AmountPolicy, Decision, Matching, OrphanReason, ReferenceKind, Resolve, ResolveError, resolve,
};
use confirmd_chain::Address;

use super::sim::{NOW, Sim, blocks, intent, rail};
use super::{Intent, Story, at_once, check, exact, in_time_until, plain, play, two_networks};

/// 10 USD on network `a`, two blocks deep, until block 3.
fn short() -> Intent {
    intent(vec![rail("r1", "a", "USD", 10, 2)], 3_000)
}

fn at_a_shared_address() -> Intent {
    let mut intent = at_once();
    let (given, carried) = ("0123".to_owned(), "ours".to_owned());
    intent.rails[0].matching =
        Matching::Reference { kind: ReferenceKind::Reference, given, carried };
    intent
}

#[test]
fn an_attached_orphan_pays_its_intent_after_all() {
    check(&[
        Story {
            name: "late, on an expired intent",
            intent: short,
            script: &["a: - | - | - | - | -", "expire", "a: t1=10 | -", "attach t1"],
            status: "confirmed",
            events: &[
                "1 expired r1 0 0/2",
                "orphan.received t1 late",
                "orphan.resolved t1 late takes back 1",
                "2 confirmed r1 10 2/2",
            ],
            roles: &[("t1", "pays r1")],
        },
        Story {
            name: "late and not deep yet, with a part that came in time",
            intent: short,
            script: &["a: t1=4 | - | - | - | -", "expire", "a: t2=6", "attach t2", "a: -"],
            status: "confirmed",
            events: &[
                "1 partial r1 4 1/2",
                "2 expired r1 4 2/2",
                "orphan.received t1 underpaid",
                "orphan.resolved t2 late",
                "3 detected r1 10 1/2",
                "orphan.reverted t1 underpaid takes back 1",
                "4 confirmed r1 10 2/2",
            ],
            roles: &[("t1", "pays r1"), ("t2", "pays r1")],
        },
        Story {
            name: "after the intent was cancelled",
            intent: at_once,
            script: &["cancel", "a: t1=10", "attach t1"],
            status: "confirmed",
            events: &[
                "1 cancelled r1 0 0/1",
                "orphan.received t1 cancelled",
                "orphan.resolved t1 cancelled takes back 1",
                "2 confirmed r1 10 1/1",
            ],
            roles: &[("t1", "pays r1")],
        },
        Story {
            name: "without the reference",
            intent: at_a_shared_address,
            script: &["a: t1=4?", "attach t1", "cancel refused", "a: t2=6#ours"],
            status: "confirmed",
            events: &[
                "orphan.received t1 ambiguous",
                "orphan.resolved t1 ambiguous takes back 1",
                "1 partial r1 4 1/1",
                "2 confirmed r1 10 1/1",
            ],
            roles: &[("t1", "pays r1"), ("t2", "pays r1")],
        },
    ]);
}

#[test]
fn a_reorg_takes_an_attached_payment_back_as_any_other_and_it_may_return_i4() {
    check(&[
        Story {
            name: "it is gone",
            intent: short,
            script: &[
                "a: - | - | - | - | -",
                "expire",
                "a: t1=10 | -",
                "attach t1",
                "a<5: - | - | -",
            ],
            status: "expired",
            events: &[
                "1 expired r1 0 0/2",
                "orphan.received t1 late",
                "orphan.resolved t1 late takes back 1",
                "2 confirmed r1 10 2/2",
                "3 reverted r1 0 0/2 takes back 2",
            ],
            roles: &[("t1", "gone")],
        },
        Story {
            name: "it returns, and what was decided about it still holds",
            intent: short,
            script: &[
                "a: - | - | - | - | -",
                "expire",
                "a: t1=10 | -",
                "attach t1",
                "a<5: - | - | -",
                "a: t1=10 | -",
            ],
            status: "confirmed",
            events: &[
                "1 expired r1 0 0/2",
                "orphan.received t1 late",
                "orphan.resolved t1 late takes back 1",
                "2 confirmed r1 10 2/2",
                "3 reverted r1 0 0/2 takes back 2",
                "4 detected r1 10 1/2",
                "5 confirmed r1 10 2/2",
            ],
            roles: &[("t1", "pays r1")],
        },
        Story {
            name: "it returns as another payment, about which nothing was decided",
            intent: short,
            script: &[
                "a: - | - | - | - | -",
                "expire",
                "a: t1=10 | -",
                "attach t1",
                "a<5: t1=11 | - | -",
            ],
            status: "expired",
            events: &[
                "1 expired r1 0 0/2",
                "orphan.received t1 late",
                "orphan.resolved t1 late takes back 1",
                "2 confirmed r1 10 2/2",
                "3 reverted r1 0 0/2 takes back 2",
                "orphan.received t1 late",
            ],
            roles: &[("t1", "late")],
        },
        Story {
            name: "what it completed is gone, so it is an orphan again and told as one",
            intent: short,
            script: &[
                "a: - | - | t1=4 | - | -",
                "expire",
                "a: t2=6 | -",
                "attach t2",
                "a<2: - | - | - | t2=6 | - | -",
            ],
            status: "expired",
            events: &[
                "1 partial r1 4 1/2",
                "2 expired r1 4 2/2",
                "orphan.received t1 underpaid",
                "orphan.received t2 late",
                "orphan.resolved t2 late takes back 1",
                "3 confirmed r1 10 2/2",
                "orphan.reverted t1 underpaid takes back 1",
                "4 reverted r1 6 2/2 takes back 1 3",
                "orphan.received t2 underpaid",
            ],
            roles: &[("t1", "gone"), ("t2", "underpaid")],
        },
    ]);
}

#[test]
fn a_dismissed_orphan_is_never_heard_of_again() {
    check(&[
        Story {
            name: "it goes and returns",
            intent: short,
            script: &[
                "a: - | - | - | - | -",
                "expire",
                "a: t1=10 | -",
                "dismiss t1",
                "a<5: - | - | -",
                "a: t1=10 | - | -",
            ],
            status: "expired",
            events: &["1 expired r1 0 0/2", "orphan.received t1 late", "orphan.resolved t1 late"],
            roles: &[("t1", "late")],
        },
        Story {
            name: "before it is deep, so it is never reported at all",
            intent: short,
            script: &["a: - | - | - | - | -", "expire", "a: t1=10", "dismiss t1", "a: - | -"],
            status: "expired",
            events: &["1 expired r1 0 0/2", "orphan.resolved t1 late"],
            roles: &[("t1", "late")],
        },
        Story {
            name: "a part that was sent back does not count beside what is attached",
            intent: short,
            script: &[
                "a: t1=4 | - | - | - | -",
                "expire",
                "a: t2=10 | -",
                "dismiss t1",
                "attach t2",
            ],
            status: "confirmed",
            events: &[
                "1 partial r1 4 1/2",
                "2 expired r1 4 2/2",
                "orphan.received t1 underpaid",
                "orphan.received t2 late",
                "orphan.resolved t1 underpaid",
                "orphan.resolved t2 late takes back 1",
                "3 confirmed r1 10 2/2",
            ],
            roles: &[("t1", "underpaid"), ("t2", "pays r1")],
        },
        Story {
            name: "a part of a wrong total leaves the others what they are",
            intent: exact,
            script: &["a: t1=6 | t2=9 | - | -", "dismiss t1", "a: t3=10 | - | -", "dismiss t2"],
            status: "confirmed",
            events: &[
                "1 partial r1 6 1/3",
                "2 reverted r1 0 0/3 takes back 1",
                "orphan.received t1 wrong_amount",
                "orphan.received t2 wrong_amount",
                "orphan.resolved t1 wrong_amount",
                "3 detected r1 10 1/3",
                "4 confirmed r1 10 3/3",
                "orphan.resolved t2 wrong_amount",
            ],
            roles: &[("t1", "wrong_amount"), ("t2", "wrong_amount"), ("t3", "pays r1")],
        },
    ]);
}

fn after(intent: Intent, script: super::Script) -> Sim {
    let mut sim = Sim::new(intent);
    play(&mut sim, script);
    sim
}

#[test]
fn what_would_not_pay_is_refused_with_the_reason() {
    use OrphanReason::{OtherRail, Surplus, Underpaid, WrongAmount, WrongAsset};
    let expired: super::Script = &["a: - | - | - | - | -", "expire", "a: t1=9"];
    let by_amount = || {
        let mut intent = exact();
        intent.rails[0].matching = Matching::ExactAmount;
        intent
    };
    let cases = [
        ("too little for an intent that is over", after(short(), expired), Underpaid),
        ("of another asset", after(plain(), &["a: t1=9@EUR"]), WrongAsset),
        ("a confirmed one needs no more", after(at_once(), &["a: t2=10 | t1=9"]), Surplus),
        ("another amount than the exact one", after(by_amount(), &["a: t1=9"]), WrongAmount),
        ("a wrong total", after(exact(), &["a: t2=6 t1=9"]), WrongAmount),
        (
            "another rail settles",
            after(two_networks(), &["b: t2=20@EUR", "a: - | t1=10"]),
            OtherRail,
        ),
    ];
    for (name, mut sim, reason) in cases {
        let before = sim.clone();
        assert_eq!(sim.attach("t1"), Err(ResolveError::WouldNotPay(reason)), "{name}");
        assert_eq!(sim.intent, before.intent, "{name}");
        assert_eq!(sim.credits, before.credits, "{name}");
    }
    let mut pays = after(at_once(), &["a: t1=10"]);
    assert_eq!(pays.attach("t1"), Err(ResolveError::NoOrphan));
    assert_eq!(pays.resolve("t1", Decision::Dismissed), Err(ResolveError::NoOrphan));
    let mut gone = after(at_once(), &["a: t1=10@EUR", "a<0: - | -"]);
    assert_eq!(gone.resolve("t1", Decision::Dismissed), Err(ResolveError::NoOrphan));
}

#[test]
fn a_decision_may_be_repeated_and_not_be_changed() {
    let mut sim = after(in_time_until(0), &["a: t1=10", "attach t1"]);
    let story = sim.story();
    assert_eq!(sim.attach("t1"), Ok(false));
    let attached = Decision::Attached("order-1".to_owned());
    assert_eq!(
        sim.resolve("t1", Decision::Dismissed),
        Err(ResolveError::Resolved(attached.clone()))
    );
    assert_eq!(sim.story(), story);

    let mut sim = after(in_time_until(0), &["a: t1=10", "dismiss t1"]);
    assert_eq!(sim.resolve("t1", Decision::Dismissed), Ok(false));
    assert_eq!(sim.resolve("t1", attached), Err(ResolveError::Resolved(Decision::Dismissed)));
}

/// Attaches `t1` of one intent to another one.
fn move_to(from: &Sim, to: &Sim) -> Result<[Sim; 2], ResolveError> {
    let (mut from, mut to) = (from.clone(), to.clone());
    let orphan = from.credits.iter().position(|credit| credit.id.transaction.as_str() == "t1");
    let mut cursors = to.cursors();
    cursors.extend(from.cursors());
    let ask = Resolve {
        orphan: orphan.expect("t1 is there"),
        decision: Decision::Attached(to.intent.key.id.clone()),
        actor: "Ada",
        reason: "asked for",
        cursors: &cursors,
        now: NOW,
    };
    let held = |sim: &Sim| (sim.intent.clone(), sim.credits.clone());
    let outcomes = resolve(held(&from), Some(held(&to)), &ask)?;
    let [lost, gained] = <[_; 2]>::try_from(outcomes).expect("both changed");
    from.take(lost);
    to.take(gained);
    Ok([from, to])
}

fn other(script: super::Script) -> Sim {
    let mut intent = at_once();
    intent.key.id = "order-2".to_owned();
    intent.rails[0].address = Address::from_canonical("elsewhere");
    after(intent, script)
}

#[test]
fn an_orphan_of_one_intent_pays_another_and_leaves_the_first_as_it_was() {
    let from = after(at_once(), &["a: t0=10 | t1=4 | -"]);
    let [from, to] = move_to(&from, &other(&["a: - | t2=6>elsewhere | -"])).expect("moves");
    assert_eq!(
        from.story(),
        [
            "1 confirmed r1 10 1/1",
            "orphan.received t1 surplus",
            "orphan.resolved t1 surplus takes back 1"
        ]
    );
    let told = from.events.last().and_then(|event| event.data.orphan.as_ref());
    let told = told.and_then(|orphan| orphan.resolution.as_ref()).expect("says what became of it");
    assert_eq!((told.decision.as_str(), told.intent.as_deref()), ("attached", Some("order-2")));
    assert_eq!(to.story(), ["1 partial r1 6 1/1", "2 confirmed r1 10 1/1"]);
    assert_eq!(from.credits.len(), 1);
    assert_eq!(to.intent.state.status.as_str(), "confirmed");
}

#[test]
fn an_orphan_on_which_others_depend_stays_where_it_is() {
    // Without it the other part of the wrong total would be a part of the amount.
    let from = after(exact(), &["a: t1=6 | t2=9 | -"]);
    assert_eq!(move_to(&from, &other(&["a: - | - | -"])).err(), Some(ResolveError::Entangled));
    // Attached, it became a part of a wrong total. Dismissed, it would leave the amount behind.
    let mut shared = at_a_shared_address();
    shared.rails[0].policy = AmountPolicy::Exact;
    let mut kept = after(shared, &["a: t1=3?", "attach t1", "a: t2=10#ours | -"]);
    let (roles, story) = (kept.roles(), kept.story());
    assert!(roles.values().all(|role| role == "wrong_amount"), "{roles:?}");
    assert_eq!(kept.resolve("t1", Decision::Dismissed), Err(ResolveError::Entangled));
    assert_eq!((kept.roles(), kept.story()), (roles, story));
    // It would complete the amount before those which are to be confirmed soon.
    let mut to = intent(vec![rail("r1", "a", "USD", 10, 3), rail("r2", "a", "EUR", 9, 3)], 10_000);
    to.key.id = "order-2".to_owned();
    let to = after(to, &["a: - | t2=9@EUR"]);
    let mut from = Sim::new(in_time_until(0));
    from.extend("a", &blocks("t1=10 | -"));
    assert_eq!(move_to(&from, &to).err(), Some(ResolveError::Entangled));
}
