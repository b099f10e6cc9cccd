//! A live look at every provider: does it serve this network, and which methods work.

use std::collections::BTreeMap;
use std::time::Instant;

use confirmd_chain::{At, Height, ProbeReport, WatchSet};
use confirmd_rpc::{Failure, Provider};
use serde_json::json;

use crate::calls;
use crate::network::Bitcoin;

impl Bitcoin {
    pub(crate) async fn probe_one(&self, provider: &Provider) -> ProbeReport {
        let mut report = ProbeReport::of(provider.name());
        if let Err(failure) = self.fill(provider, &mut report).await {
            report.problem = Some(failure.to_string());
        }
        report
    }

    async fn fill(&self, provider: &Provider, report: &mut ProbeReport) -> Result<(), Failure> {
        let asked = Instant::now();
        let count: u64 = provider.call("getblockcount", ()).await?.decode()?;
        report.latency_ms = u64::try_from(asked.elapsed().as_millis()).unwrap_or(u64::MAX);
        report.reachable = true;
        let identity = self.config.identity;
        let found = calls::block_hash(provider, identity.height.0).await?;
        report.chain_agrees = found == identity.hash;
        if !report.chain_agrees {
            let expected = identity.hash;
            report.problem =
                Some(format!("its block {} is {found}, expected {expected}", identity.height));
            return Ok(());
        }
        report.head = Some(Height(count));
        let nothing = "0".repeat(64);
        report.methods = BTreeMap::from([
            provider.has("getblockheader", json!([found.to_string(), true])).await,
            provider.has("getrawmempool", json!([false])).await,
            provider.has("getmempoolentry", json!([nothing])).await,
            provider.has("getrawtransaction", json!([nothing])).await,
            provider.has("gettxout", json!([nothing, 0])).await,
        ]);
        // A whole block, as the follower asks for it.
        let at = At::Height(Height(count));
        let proven = self.block_from(provider, &at, &WatchSet::default()).await;
        report.methods.insert("getblock".to_owned(), proven.is_ok());
        report.problem = proven.err().map(|failure| failure.to_string());
        Ok(())
    }
}
