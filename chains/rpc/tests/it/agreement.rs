//! What several providers say of one block. Nobody is called: each says what its name is told to.

use std::sync::Mutex;

use confirmd_chain::{BlockHash, Header, Height, Timestamp, Work};
use confirmd_rpc::{Failure, Fault, FaultKind, Pool, Says};

use crate::support::{config, pool_of};

fn block(hash: &str) -> Header {
    Header {
        height: Height(7),
        hash: BlockHash::new(hash),
        parent: BlockHash::new("parent"),
        parent_height: Height(6),
        time: Timestamp(0),
        mined_at: Timestamp(0),
        work: Work::ONE,
    }
}

fn three(quorum: usize) -> Pool {
    let names = ["first", "second", "third"];
    pool_of(&names.map(|name| config(name, "http://127.0.0.1:1"))).with_quorum(quorum)
}

/// What a block of the first one ends with where the others say this of it, and who was asked.
async fn ends(
    pool: &Pool,
    says: impl Fn(&str) -> Result<Says, Failure>,
) -> (Result<(), Failure>, Vec<String>) {
    let asked = Mutex::new(Vec::new());
    let first = &pool.providers()[0];
    let ended = pool
        .agree(&block("0xaa"), first, |provider| {
            asked.lock().expect("no panic").push(provider.name().to_owned());
            let said = says(provider.name());
            async move { said }
        })
        .await;
    (ended, asked.into_inner().expect("no panic"))
}

fn otherwise(kind: FaultKind) -> Result<Says, Failure> {
    Ok(Says::Otherwise(Fault::new(kind, "shows less in 7")))
}

#[tokio::test]
async fn who_is_outvoted_is_blamed_for_what_it_showed() {
    let pool = three(2);
    let (ended, asked) = ends(&pool, |name| match name {
        "second" => otherwise(FaultKind::Unproven),
        _ => Ok(Says::TheSame),
    })
    .await;
    assert_eq!((ended, asked.len()), (Ok(()), 2));
    let blamed = &pool.statuses()[1];
    assert_eq!(blamed.faults.get("unproven"), Some(&1));
    let words = blamed.last_fault.as_deref().unwrap_or_default();
    assert_eq!(words, "unproven: shows less in 7, first, third agree on 0xaa");
    assert!(!blamed.healthy && pool.statuses()[0].healthy && pool.statuses()[2].healthy);
}

#[tokio::test]
async fn where_too_few_say_the_same_nobody_is_believed_or_blamed() {
    let pool = three(2);
    let (ended, _) = ends(&pool, |_| otherwise(FaultKind::Forked)).await;
    let Err(Failure::Contested(words)) = ended else { panic!("contested, not {ended:?}") };
    assert!(words.contains("so far first; second shows less in 7; third shows less"), "{words}");
    let (ended, _) = ends(&three(3), |name| match name {
        "third" => Err(Failure::Missing("block 7".to_owned())),
        _ => otherwise(FaultKind::Unproven),
    })
    .await;
    assert!(matches!(ended, Err(Failure::Contested(_))), "one says otherwise: {ended:?}");
    assert!(pool.statuses().iter().all(|provider| provider.healthy));
}

#[tokio::test]
async fn what_the_others_do_not_have_yet_is_missing() {
    let missing = |_: &str| Err(Failure::Missing("block 7".to_owned()));
    let (ended, asked) = ends(&three(2), missing).await;
    assert!(matches!(ended, Err(Failure::Missing(_))), "{ended:?}");
    assert_eq!(asked, ["second", "third"]);
}

#[tokio::test]
async fn one_is_enough_where_no_more_are_wanted() {
    let (ended, asked) = ends(&three(1), |_| otherwise(FaultKind::Forked)).await;
    assert_eq!((ended, asked), (Ok(()), Vec::new()));
}

#[tokio::test]
async fn a_hash_is_enough_where_it_commits_to_all() {
    let pool = three(2);
    let (shown, first) = (block("0xaa"), &pool.providers()[0]);
    let theirs = |name: &str| block(if name == "second" { "0xbb" } else { "0xaa" });
    let named = pool.agree_on(&shown, first, |provider| {
        let theirs = theirs(provider.name());
        async move { Ok(theirs) }
    });
    assert_eq!(named.await, Ok(()));
    let words = pool.statuses()[1].last_fault.clone().unwrap_or_default();
    assert_eq!(words, "forked: names 0xbb at 7, first, third agree on 0xaa");
}
