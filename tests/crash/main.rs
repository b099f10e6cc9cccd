//! SIGKILL at random moments, again and again, under load (F13): the daemon as a process, on a
//! real node and both databases.
//!
//! While payments come in, blocks are replaced and the receiver fails now and then, the daemon is
//! killed and started again. In the end everything must be as an *oracle* has it: a daemon that
//! nobody disturbed, which sees only the chain that survived, and knew every intent before the
//! first block of it.
//!
//! | variable | what it sets |
//! | --- | --- |
//! | `CONFIRMD_CRASH_KILLS` | how often the daemon is killed |
//! | `CONFIRMD_CRASH_PAYMENTS` | how many payments are made meanwhile |
//! | `CONFIRMD_CRASH_SEED` | when it is killed, and what is paid: a run's own seed is printed |

#![allow(clippy::expect_used, reason = "a test's helper that fails, fails the test")]

mod dice;
mod instance;
mod ledger;
mod receiver;
mod traffic;

use std::env;
use std::time::{Duration, Instant};

use confirmd::clock::Clock;
use tokio::sync::mpsc;
use xtask::anvil::{Anvil, AnvilOptions};
use xtask::postgres::Database;

use crate::dice::Dice;
use crate::instance::Instance;
use crate::ledger::Ledger;
use crate::receiver::Receiver;
use crate::traffic::{Made, Traffic};

/// Some die while they start, most while they work.
const LONGEST_LIFE_MS: u64 = 700;
/// How long it may take until everything is looked back for, told and compared: so much, and so
/// much for each payment. Many kills leave much to be looked back for.
const SETTLED_WITHIN: Duration = Duration::from_mins(3);
const SETTLED_WITHIN_EACH: Duration = Duration::from_millis(300);

/// How long, and how.
#[derive(Clone, Copy, Debug)]
struct Plan {
    kills: u64,
    payments: u64,
    seed: u64,
}

impl Plan {
    fn from_environment() -> Self {
        let number = |name: &str| env::var(name).ok().map(|text| text.parse().expect("a number"));
        let of_now = || Clock::system().now().0.unsigned_abs() % 1_000_000;
        Self {
            kills: number("CONFIRMD_CRASH_KILLS").unwrap_or(10),
            payments: number("CONFIRMD_CRASH_PAYMENTS").unwrap_or(100),
            seed: number("CONFIRMD_CRASH_SEED").unwrap_or_else(of_now),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_again_and_again_on_sqlite_it_loses_nothing_and_tells_nothing_twice_i1_i2_i7_f13() {
    survive(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_again_and_again_on_postgresql_it_loses_nothing_and_tells_nothing_twice_i1_i7_f13() {
    survive(Some(Database::create("crash").await.expect("PostgreSQL"))).await;
}

async fn survive(database: Option<Database>) {
    let plan = Plan::from_environment();
    eprintln!("{plan:?}: CONFIRMD_CRASH_SEED={} runs the same again", plan.seed);
    let began = Instant::now();
    let options = AnvilOptions { automine: false, ..AnvilOptions::default() };
    let anvil: &'static Anvil =
        Box::leak(Box::new(Anvil::start(options).await.expect("anvil starts")));
    let traffic = Traffic::new(anvil, Dice::new(plan.seed)).await;
    let token = traffic.token();

    let receiver = Receiver::start(Dice::new(plan.seed.rotate_left(16))).await;
    let database_url = database.as_ref().map(Database::url);
    let mut victim = Instance::new("victim", anvil, token, &receiver.url, database_url);
    let Made { intents, replaced } = kill_under_load(&mut victim, traffic, plan).await;
    let under_load = began.elapsed();
    anvil.mine(6).await.expect("mines");

    let calm = Receiver::start_calm().await;
    let mut oracle = Instance::new("oracle", anvil, token, &calm.url, None);
    oracle.start().await;
    anvil.pause().expect("pauses");
    for intent in &intents {
        oracle.create(intent).await;
    }
    anvil.resume().expect("resumes");
    let payments = u32::try_from(plan.payments).expect("a small number");
    let within = SETTLED_WITHIN + SETTLED_WITHIN_EACH * payments;
    let expected = Ledger::of(&mut oracle, within, None).await;
    oracle.stop();
    expected.must_tell_a_story(plan.payments);

    receiver.calm_down();
    victim.start().await;
    let found = Ledger::of(&mut victim, within, Some(&expected)).await;
    victim.stop();
    found.must_equal(&expected, &replaced);
    receiver.must_have_got(&found);
    calm.must_have_got(&expected);
    eprintln!(
        "{} kills over {} payments to {} intents in {under_load:?} (all: {:?}): {} events, of \
         which {} take back others, came in {} requests",
        plan.kills,
        plan.payments,
        intents.len(),
        began.elapsed(),
        found.events.len(),
        found.reverts(),
        receiver.requests(),
    );
}

/// Kills the daemon as often as planned, at moments that the seed chose, while payments go on;
/// answers what was made meanwhile.
async fn kill_under_load(victim: &mut Instance, traffic: Traffic, plan: Plan) -> Made {
    let mut dice = Dice::new(plan.seed.rotate_left(32));
    let share = plan.payments / plan.kills.max(1);
    // Payments are ordered life by life, so that none passes without any.
    let (orders, ordered) = mpsc::channel(usize::try_from(share.max(1)).expect("a small number"));
    let traffic = tokio::spawn(traffic.run(victim.api(), ordered));
    let mut ordered = 0;
    let mut killed = 0;
    while killed < plan.kills {
        victim.start().await;
        while ordered < share * (killed + 1) {
            orders.send(()).await.expect("the traffic goes on");
            ordered += 1;
        }
        // Not a wait for anything: the moment is the fault.
        tokio::time::sleep(Duration::from_millis(dice.below(LONGEST_LIFE_MS))).await;
        killed += u64::from(victim.kill());
    }
    victim.start().await;
    for _ in ordered..plan.payments {
        orders.send(()).await.expect("the traffic goes on");
    }
    drop(orders);
    let made = traffic.await.expect("the traffic goes on to its end");
    victim.kill();
    made
}
