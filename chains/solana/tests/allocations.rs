//! A block in which nothing is for us allocates nearly nothing, however full it is.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use allocation_counter::measure;
use confirmd_chain::{Chain, Height, WatchSet, WatchVersion};
use confirmd_solana::block::{BlockJson, Detail, RawBlock};
use confirmd_solana::scan::{Rules, scan};
use serde::Deserialize;
use support::busy::{TRANSACTIONS, body};
use support::{address, chain, config, key};

/// The most allocations for a block, those included in which a list outgrows its place.
const FEW: u64 = 32;
/// How many more than a block of half as many transactions.
const ONCE_MORE: u64 = 1;

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    result: BlockJson<'a>,
}

/// How often reading a block allocates, from the body of an answer to what was found.
fn allocations(detail: Detail, transactions: u64) -> u64 {
    let (body, rules) = (body(detail, transactions), Rules::new(&config()));
    let chain = chain(&["http://127.0.0.1:1".to_owned()]);
    let nobody = (0..1_000).map(|n| chain.watch_key(&address(&key(20_000_000 + n))));
    let watches = WatchSet::new(nobody, WatchVersion(1));
    let mut examined = 0;
    let counted = measure(|| {
        let envelope: Envelope<'_> = serde_json::from_slice(&body).unwrap();
        let block = RawBlock::read(envelope.result, Height(100), detail).unwrap();
        let discriminates = detail == Detail::Full;
        let found = scan(&block, detail, discriminates, &rules, &watches.view()).unwrap();
        assert_eq!(found.transfers, [], "nobody is paid");
        examined = found.examined;
    });
    assert!(examined > transactions / 2, "it was looked at: {examined}");
    println!("{transactions} transactions, {}: {}", detail.as_str(), counted.count_total);
    counted.count_total
}

#[test]
fn a_block_without_a_hit_allocates_nearly_nothing() {
    for detail in [Detail::Accounts, Detail::Full] {
        let half = allocations(detail, TRANSACTIONS / 2);
        let whole = allocations(detail, TRANSACTIONS);
        assert!(whole <= FEW, "{whole} allocations in {detail:?}");
        assert!(whole <= half + ONCE_MORE, "{whole}, and {half} for half of it, in {detail:?}");
    }
}
