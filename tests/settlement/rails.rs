//! Rails that share an address, and rails that take others' places.

use confirmd::settlement::{AmountPolicy, Matching, PatchError, Rail, ReferenceKind, may_expire};
use confirmd_chain::{Address, Height, Timestamp};

use super::sim::{NOW, Sim, blocks, intent, rail, time_of};
use super::{Intent, Story, check};

/// 10 USD with the reference `ours`, one block deep.
fn referred() -> Intent {
    let mut intent = intent(vec![rail("r1", "a", "USD", 10, 1)], 10_000);
    let (given, carried) = ("0123".to_owned(), "ours".to_owned());
    intent.rails[0].matching =
        Matching::Reference { kind: ReferenceKind::Reference, given, carried };
    intent
}

/// Exactly 10 USD at a shared address, one block deep.
fn exact_amount() -> Intent {
    let mut intent = intent(vec![rail("r1", "a", "USD", 10, 1)], 10_000);
    intent.rails[0].matching = Matching::ExactAmount;
    intent.rails[0].policy = AmountPolicy::Exact;
    intent.tolerance = "0.1".parse().expect("valid");
    intent
}

#[test]
fn at_a_shared_address_only_what_names_the_intent_pays_it() {
    check(&[
        Story {
            name: "by its reference, in two parts",
            intent: referred,
            script: &["a: t1=4#ours t2=10 t3=10#another | t4=6#ours"],
            status: "confirmed",
            events: &[
                "1 partial r1 4 1/1",
                "orphan.received t2 ambiguous",
                "orphan.received t3 ambiguous",
                "2 confirmed r1 10 1/1",
            ],
            roles: &[
                ("t1", "pays r1"),
                ("t2", "ambiguous"),
                ("t3", "ambiguous"),
                ("t4", "pays r1"),
            ],
        },
        Story {
            name: "the right reference with a wrong token",
            intent: referred,
            script: &["a: t1=10@EUR#ours"],
            status: "pending",
            events: &["orphan.received t1 wrong_asset"],
            roles: &[("t1", "wrong_asset")],
        },
        Story {
            name: "a reference paid twice",
            intent: referred,
            script: &["a: t1=10#ours | t2=10#ours"],
            status: "confirmed",
            events: &["1 confirmed r1 10 1/1", "orphan.received t2 surplus"],
            roles: &[("t1", "pays r1"), ("t2", "surplus")],
        },
        Story {
            name: "by its exact amount, whatever is tolerated, and never in parts",
            intent: exact_amount,
            script: &["a: t1=9 t2=1 | t3=11? | t4=10 | t5=10"],
            status: "confirmed",
            events: &[
                "orphan.received t1 wrong_amount",
                "orphan.received t2 wrong_amount",
                "orphan.received t3 ambiguous",
                "1 confirmed r1 10 1/1",
                "orphan.received t5 surplus",
            ],
            roles: &[
                ("t1", "wrong_amount"),
                ("t2", "wrong_amount"),
                ("t3", "ambiguous"),
                ("t4", "pays r1"),
                ("t5", "surplus"),
            ],
        },
        Story {
            name: "a reorg that changes what a transfer carries takes the payment back",
            intent: referred,
            script: &["a: - | t1=10#ours", "a<1: t1=10#another | -"],
            status: "pending",
            events: &[
                "1 confirmed r1 10 1/1",
                "2 reverted r1 0 0/1 takes back 1",
                "orphan.received t1 ambiguous",
            ],
            roles: &[("t1", "ambiguous")],
        },
    ]);
}

fn at(address: &str, amount: u64) -> Rail {
    Rail { address: Address::from_canonical(address), ..rail("r1", "a", "USD", amount, 1) }
}

fn repointed() -> Sim {
    let mut sim = Sim::new(intent(vec![at("old", 10)], 10_000));
    sim.extend("a", &blocks("- | -"));
    assert_eq!(sim.repoint(vec![at("new", 12)], Timestamp(3_500)), Ok(true));
    sim
}

#[test]
fn a_replaced_rail_takes_what_was_timed_before_and_nothing_later() {
    let mut early = repointed();
    early.extend("a", &blocks("t1=10>old | t2=12>new"));
    assert_eq!(early.story(), ["1 confirmed r1 10 1/1", "orphan.received t2 other_rail"]);

    let mut late = repointed();
    late.extend("a", &blocks("- | t1=10>old | t2=12>new"));
    assert_eq!(late.story(), ["orphan.received t1 other_rail", "1 confirmed r2 12 1/1"]);
    assert_eq!(late.intent.rails.len(), 2);
}

#[test]
fn a_rail_that_asks_for_another_amount_at_the_same_address_takes_what_comes_later() {
    let mut sim = Sim::new(intent(vec![at("old", 10)], 10_000));
    sim.extend("a", &blocks("- | -"));
    assert_eq!(sim.repoint(vec![at("old", 12)], Timestamp(3_500)), Ok(true));
    sim.extend("a", &blocks("- | t1=10>old | t2=2>old"));
    assert_eq!(sim.story(), ["1 partial r2 10 1/1", "2 confirmed r2 12 1/1"]);
}

#[test]
fn the_same_patch_again_changes_nothing_and_money_forbids_another() {
    let mut sim = repointed();
    let before = sim.intent.clone();
    assert_eq!(sim.repoint(vec![at("new", 12)], Timestamp(4_000)), Ok(false));
    assert_eq!(sim.intent, before);
    sim.extend("a", &blocks("t1=3>new"));
    assert_eq!(sim.repoint(vec![at("third", 12)], Timestamp(4_000)), Err(PatchError::MoneySeen));
    let paid = sim.intent.clone();
    assert_eq!(sim.repoint(vec![at("new", 12)], Timestamp(4_000)), Ok(false));
    assert_eq!(sim.intent, paid);
}

#[test]
fn what_nobody_can_tell_whose_it_is_is_no_money_seen() {
    let mut sim = Sim::new(exact_amount());
    sim.extend("a", &blocks("t1=11?"));
    let other = Rail { amount: 12_u64.into(), ..sim.intent.rails[0].clone() };
    assert_eq!(sim.repoint(vec![other], Timestamp(4_000)), Ok(true));
    sim.cancel().expect("nothing of it was seen");
}

#[test]
fn a_rail_that_stays_keeps_its_place_and_the_rails_of_a_life_are_limited() {
    let kept = at("kept", 10);
    let mut sim = Sim::new(intent(vec![kept.clone()], 10_000));
    for n in 0..63 {
        let rails = vec![at(&format!("a{n}"), 10), kept.clone()];
        assert_eq!(sim.repoint(rails, Timestamp(1_000 + n)), Ok(true));
    }
    assert_eq!(sim.intent.current_rails().map(|(index, _)| index).collect::<Vec<_>>(), [0, 63]);
    let rails = vec![at("one-more", 10), kept];
    assert_eq!(sim.repoint(rails, Timestamp(2_000)), Err(PatchError::TooManyRails));
    sim.cancel().expect("nothing was seen");
    assert_eq!(sim.repoint(vec![at("a62", 10)], Timestamp(2_000)), Err(PatchError::Closed));
}

#[test]
fn expiry_waits_for_a_replaced_rails_network_only_up_to_the_replacement_i9() {
    let mut sim = Sim::new(intent(vec![at("old", 10)], 10_000));
    let elsewhere = Rail { network: "b".into(), ..at("new", 10) };
    assert_eq!(sim.repoint(vec![elsewhere], Timestamp(3_500)), Ok(true));
    let deep = |old: u64, new: u64| {
        let times = [("a".into(), time_of(Height(old))), ("b".into(), time_of(Height(new)))];
        may_expire(&sim.intent, &sim.credits, &times.into_iter().collect(), NOW)
    };
    assert!(!deep(3, 11), "the replaced rail may still be found paid");
    assert!(deep(4, 11));
    assert!(!deep(4, 10));
}
