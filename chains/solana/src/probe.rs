//! A live look at every provider: does it serve this cluster, and which methods work.

use std::collections::BTreeMap;
use std::time::Instant;

use confirmd_chain::{At, ProbeReport, WatchSet};
use confirmd_rpc::{Failure, Provider};

use crate::block::Detail;
use crate::calls;
use crate::network::Solana;

impl Solana {
    pub(crate) async fn probe_one(&self, provider: &Provider) -> ProbeReport {
        let mut report = ProbeReport::of(provider.name());
        if let Err(failure) = self.fill(provider, &mut report).await {
            report.problem = Some(failure.to_string());
        }
        report
    }

    async fn fill(&self, provider: &Provider, report: &mut ProbeReport) -> Result<(), Failure> {
        let asked = Instant::now();
        let genesis = calls::genesis(provider).await?;
        report.latency_ms = u64::try_from(asked.elapsed().as_millis()).unwrap_or(u64::MAX);
        report.reachable = true;
        let expected = self.config.genesis.as_deref().unwrap_or_default();
        report.chain_agrees = genesis.starts_with(expected);
        if !report.chain_agrees {
            report.problem = Some(format!("its first block is {genesis}, expected {expected}…"));
            return Ok(());
        }
        let latest = self.heads_from(provider).await?.latest;
        let slot = latest.height;
        report.head = Some(slot);
        let nothing = bs58::encode([1; 64]).into_string();
        report.methods = BTreeMap::from([
            provider.has("getBlocksWithLimit", calls::slots_params(slot, 1)).await,
            provider.has("getTransaction", calls::transaction_params(&nothing)).await,
        ]);
        let full = calls::block(provider, slot, Detail::Full).await;
        report.methods.insert("getBlock with instructions".to_owned(), full.is_ok());
        // A whole block, as the follower asks for it.
        let at = At::Block { height: slot, hash: latest.hash };
        let shown = self.block_from(provider, &at, &WatchSet::default()).await;
        report.methods.insert("getBlock".to_owned(), shown.is_ok());
        report.problem = shown.err().map(|failure| failure.to_string());
        Ok(())
    }
}
