//! A live look at every provider: does it serve this cluster, and which methods work.

use std::collections::BTreeMap;
use std::time::Instant;

use confirmd_chain::{At, ProbeReport, WatchSet};
use confirmd_rpc::{CallError, Failure, Provider};
use serde::Serialize;

use crate::block::Detail;
use crate::calls;
use crate::chain::Solana;

impl Solana {
    pub(crate) async fn probe_one(&self, provider: &Provider) -> ProbeReport {
        let mut report = ProbeReport {
            provider: provider.name().to_owned(),
            reachable: false,
            chain_agrees: false,
            head: None,
            latency_ms: 0,
            methods: BTreeMap::new(),
            fee_proxies: BTreeMap::new(),
            problem: None,
        };
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
            works(provider, "getBlocksWithLimit", calls::slots_params(slot, 1)).await,
            works(provider, "getTransaction", calls::transaction_params(&nothing)).await,
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

/// Whether a provider has a method: it answers, if only that it knows no such thing.
async fn works<P: Serialize + Send>(
    provider: &Provider,
    method: &'static str,
    params: P,
) -> (String, bool) {
    let answer = provider.call(method, params).await;
    let has = !matches!(answer, Err(CallError::Unsupported(_) | CallError::Unreachable(_)));
    (method.to_owned(), has)
}
