//! Matching at 1,000,000 watches: what one looked-up transfer costs (to stay under 100 ns), and
//! what one watch takes in memory (to stay within 100 bytes).

#![allow(missing_docs, clippy::expect_used, reason = "a benchmark is nobody's library")]

use std::sync::LazyLock;

use confirmd_chain::{WatchKey, WatchSet, WatchVersion};
use divan::{Bencher, black_box};

const WATCHES: u64 = 1_000_000;
/// Enough different ones that no cache holds what they look at.
const LOOKED_UP: u64 = 1 << 18;
/// So many in a row are timed together: one alone is shorter than what the clock can tell.
const SAMPLE: u32 = 1 << 16;

static SET: LazyLock<WatchSet> =
    LazyLock::new(|| WatchSet::new((0..WATCHES).map(address), WatchVersion(1)));

fn main() {
    let before = resident_bytes();
    assert_eq!(SET.view().len() as u64, WATCHES, "addresses differ");
    let taken = resident_bytes().saturating_sub(before);
    println!("{WATCHES} watches take {} bytes each", taken / WATCHES);
    divan::main();
}

#[divan::bench(sample_size = SAMPLE)]
fn hit(bencher: Bencher<'_, '_>) {
    let keys: Vec<_> = (0..LOOKED_UP).map(|n| address(n * (WATCHES / LOOKED_UP))).collect();
    look_up(bencher, &keys);
}

#[divan::bench(sample_size = SAMPLE)]
fn miss(bencher: Bencher<'_, '_>) {
    let keys: Vec<_> = (WATCHES..WATCHES + LOOKED_UP).map(address).collect();
    look_up(bencher, &keys);
}

/// As in a block: most of what moves is nobody's here.
#[divan::bench(sample_size = SAMPLE)]
fn one_hit_in_a_hundred(bencher: Bencher<'_, '_>) {
    let number = |n| if n % 100 == 0 { n * (WATCHES / LOOKED_UP) } else { WATCHES + n };
    let keys: Vec<_> = (0..LOOKED_UP).map(|n| address(number(n))).collect();
    look_up(bencher, &keys);
}

fn look_up(bencher: Bencher<'_, '_>, keys: &[WatchKey]) {
    let view = SET.view();
    let mut keys = keys.iter().cycle();
    bencher.bench_local(|| view.contains(black_box(keys.next().expect("endless"))));
}

/// An address that looks like any other.
fn address(number: u64) -> WatchKey {
    let mut bytes = [0; 20];
    bytes[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    bytes[12..].copy_from_slice(&number.to_be_bytes());
    WatchKey::from(bytes)
}

/// The memory that this process has in use, from the second field of `/proc/self/statm`.
fn resident_bytes() -> u64 {
    const PAGE: u64 = 4096;
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages = statm.split(' ').nth(1).expect("a second field");
    pages.parse::<u64>().expect("a number") * PAGE
}
