//! Settlement's rules as stories: what comes in blocks, and what the backend is told.

#![allow(clippy::expect_used, reason = "a test that finds nothing has failed")]

mod sim;

use confirmd::settlement::{AmountPolicy, Decision, Intent};
use sim::{Sim, blocks, intent, rail};

/// What happens, in order: `a: blocks`, `a<2: blocks` (a reorg down to height 2), `a? payments` (a
/// mempool shows them), `expire`, `cancel`, `cancel refused`, `required 9`, `attach t1`, `dismiss t1`.
type Script = &'static [&'static str];

struct Story {
    name: &'static str,
    intent: fn() -> Intent,
    script: Script,
    status: &'static str,
    events: &'static [&'static str],
    roles: &'static [(&'static str, &'static str)],
}

/// 10 USD on network `a`, three blocks deep, until block 10.
fn plain() -> Intent {
    intent(vec![rail("r1", "a", "USD", 10, 3)], 10_000)
}

fn at_once() -> Intent {
    intent(vec![rail("r1", "a", "USD", 10, 1)], 10_000)
}

fn exact() -> Intent {
    let mut intent = plain();
    intent.rails[0].policy = AmountPolicy::Exact;
    intent
}

fn tolerant() -> Intent {
    let mut intent = intent(vec![rail("r1", "a", "USD", 1_000, 1)], 10_000);
    intent.tolerance = "0.001".parse().expect("valid");
    intent
}

fn in_time_until(ms: i64) -> Intent {
    intent(vec![rail("r1", "a", "USD", 10, 1)], ms)
}

fn progress() -> Intent {
    Intent { wants_progress: true, ..plain() }
}

/// 10 USD on `a` or 20 EUR on `b`.
fn two_networks() -> Intent {
    intent(vec![rail("r1", "a", "USD", 10, 2), rail("r2", "b", "EUR", 20, 3)], 10_000)
}

fn play(sim: &mut Sim, script: Script) {
    for line in script {
        match line.split_once(": ") {
            Some((place, text)) => match place.split_once('<') {
                Some((network, ancestor)) => {
                    sim.reorg(network, ancestor.parse().expect("a height"), &blocks(text));
                }
                None => sim.extend(place, &blocks(text)),
            },
            None if line.contains("? ") => {
                let (network, text) = line.split_once("? ").expect("just found");
                sim.see(network, &blocks(text).concat());
            }
            None => match *line {
                "expire" => sim.expire(),
                "cancel" => sim.cancel().expect("nothing was seen"),
                "cancel refused" => assert!(sim.cancel().is_err(), "money was seen"),
                other if other.starts_with("attach ") => {
                    assert_eq!(sim.attach(&other["attach ".len()..]), Ok(true), "{line}");
                }
                other if other.starts_with("dismiss ") => {
                    let tx = &other["dismiss ".len()..];
                    assert_eq!(sim.resolve(tx, Decision::Dismissed), Ok(true), "{line}");
                }
                other => {
                    let depth = other.strip_prefix("required ").expect("a known command");
                    let depth = depth.parse().expect("a depth");
                    sim.require(confirmd_chain::Confirmations(depth));
                }
            },
        }
    }
}

fn check(stories: &[Story]) {
    for story in stories {
        let mut sim = Sim::new((story.intent)());
        play(&mut sim, story.script);
        assert_eq!(sim.story(), story.events, "events: {}", story.name);
        assert_eq!(sim.intent.state.status.as_str(), story.status, "status: {}", story.name);
        let roles = sim.roles();
        let roles: Vec<_> = roles.iter().map(|(tx, role)| (tx.as_str(), role.as_str())).collect();
        assert_eq!(roles, story.roles, "roles: {}", story.name);
        sim.check_numbers();
        sim.check_depths();
    }
}

#[path = "settlement/bodies.rs"]
mod bodies;
#[path = "settlement/deposits.rs"]
mod deposits;
#[path = "settlement/payments.rs"]
mod payments;
#[path = "settlement/properties.rs"]
mod properties;
#[path = "settlement/rails.rs"]
mod rails;
#[path = "settlement/reorgs.rs"]
mod reorgs;
#[path = "settlement/resolve.rs"]
mod resolve;
#[path = "settlement/unconfirmed.rs"]
mod unconfirmed;
