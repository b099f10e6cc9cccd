//! The suite that every chain passes, told on a cluster that skips slots and forks. On a real node,
//! which does neither, it is told in `tests/node`.

mod support;

use confirmd_chain::conformance;
use support::cluster::Cluster;

#[tokio::test]
async fn solana_with_skipped_slots_and_forks() {
    conformance::run(&Cluster::start().await).await;
}
