//! Databases that go away.

use std::time::Duration;

use xtask::postgres::{Postgres, PostgresOptions};

use crate::rig::{Options, Rig};

#[tokio::test(flavor = "multi_thread")]
async fn it_comes_back_by_itself_when_postgresql_does_i1_f15() {
    let mut server = Postgres::start(PostgresOptions { durable: true }).await.expect("PostgreSQL");
    let url = server.database("stories").await.expect("a database");
    let rig = Rig::start(Options { store_url: Some(url), ..Options::default() }).await;
    let to = rig.fresh_address();
    rig.expect("patient", "USDC", "5", to).await;
    server.crash().await.expect("ends");
    let units = alloy_primitives::U256::from(5)
        * alloy_primitives::U256::from(10).pow(alloy_primitives::U256::from(18));
    rig.usdc().transfer(to, units).await.expect("pays");
    rig.until("it is not ready", async |rig| (rig.get("/readyz").await.0 == 503).then_some(()))
        .await;
    tokio::time::timeout(Duration::from_secs(30), server.restart())
        .await
        .expect("in time")
        .expect("restarts");
    rig.anvil().mine(2).await.expect("mines");
    rig.until("it is ready", async |rig| (rig.get("/readyz").await.0 == 200).then_some(())).await;
    rig.until_status("patient", "confirmed").await;
    assert_eq!(
        rig.receiver.wait_for_event("patient", "payment.confirmed").await.kind(),
        "payment.confirmed"
    );
}
