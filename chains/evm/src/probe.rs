//! A live look at every provider: does it serve this network, and which methods work.

use std::collections::BTreeMap;
use std::time::Instant;

use alloy_primitives::{Address, U64};
use confirmd_chain::{At, BlockHash, ContractProbe, Height, ProbeReport, WatchSet};
use confirmd_rpc::{CallError, Provider};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::config::Verify;
use crate::network::Evm;
use crate::references;
use crate::traces::TraceMethod;

/// The head as the probe needs it.
#[derive(Deserialize)]
struct HeadJson {
    number: U64,
    hash: BlockHash,
}

impl Evm {
    pub(crate) async fn probe_one(&self, provider: &Provider) -> ProbeReport {
        let mut report = ProbeReport::of(provider.name());
        if let Err(error) = self.fill(provider, &mut report).await {
            report.problem = Some(error.to_string());
        }
        report
    }

    async fn fill(&self, provider: &Provider, report: &mut ProbeReport) -> Result<(), CallError> {
        let asked = Instant::now();
        let chain: U64 = provider.call("eth_chainId", ()).await?.decode()?;
        report.latency_ms = u64::try_from(asked.elapsed().as_millis()).unwrap_or(u64::MAX);
        report.reachable = true;
        report.chain_agrees = chain == U64::from(self.config.chain_id);
        if !report.chain_agrees {
            let expected = self.config.chain_id;
            report.problem = Some(format!("serves chain {chain}, expected {expected}"));
            return Ok(());
        }
        let head: HeadJson =
            provider.call("eth_getBlockByNumber", ("latest", false)).await?.decode()?;
        report.head = Some(Height(head.number.to()));
        let newest = At::Block { height: Height(head.number.to()), hash: head.hash.clone() };
        let hash = head.hash.as_str();
        report.methods = BTreeMap::from([
            works(provider, "eth_getBlockReceipts", "eth_getBlockReceipts", (hash,)).await,
            works(provider, "eth_getLogs by hash", "eth_getLogs", self.logs_filter(hash)).await,
            works(provider, "finalized", "eth_getBlockByNumber", ("finalized", false)).await,
            works(provider, "safe", "eth_getBlockByNumber", ("safe", false)).await,
            works(provider, "trace_block", "trace_block", (head.number,)).await,
            works(
                provider,
                "debug_traceBlockByHash",
                "debug_traceBlockByHash",
                (hash, json!({ "tracer": "callTracer" })),
            )
            .await,
        ]);
        let methods = [
            ("trace_block", TraceMethod::TraceBlock),
            ("debug_traceBlockByHash", TraceMethod::DebugTraceBlock),
        ];
        let shown = methods.into_iter().find(|(name, _)| report.methods.get(*name) == Some(&true));
        if let Some((_, method)) = shown {
            self.tracers.seen(provider, method);
        }
        if let Some(proxy) = self.sources.token_proxy {
            report.fee_proxies.insert("erc20", self.token_proxy(provider, proxy).await);
        }
        report.problem = self.verify_problem(provider, report, newest).await;
        Ok(())
    }

    /// What stands at the address of the fee proxy for tokens. To be valid it has to let anybody
    /// pay nothing in a registered token.
    async fn token_proxy(&self, provider: &Provider, proxy: Address) -> ContractProbe {
        let code = provider.call("eth_getCode", (proxy, "latest")).await;
        let code = code.and_then(|code| code.decode::<String>());
        let has_code = code.is_ok_and(|code| code.len() > 2);
        let call_valid = match self.sources.tokens.iter().min() {
            Some(token) if has_code => {
                let data = references::payment_of_nothing(*token, proxy);
                let call = json!({ "from": proxy, "to": proxy, "data": data });
                provider.call("eth_call", (call, "latest")).await.is_ok()
            }
            _ => false,
        };
        ContractProbe { has_code, call_valid }
    }

    fn logs_filter(&self, hash: &str) -> (serde_json::Value,) {
        (json!({ "blockHash": hash, "address": self.filter.contracts }),)
    }

    /// What keeps the configured mode from working with this provider.
    async fn verify_problem(
        &self,
        provider: &Provider,
        report: &ProbeReport,
        newest: At,
    ) -> Option<String> {
        let lacks = |method: &str| report.methods.get(method) == Some(&false);
        let mode = match self.config.verify {
            Verify::Receipts => ("receipts", "eth_getBlockReceipts"),
            Verify::Logs => ("logs", "eth_getLogs by hash"),
        };
        if lacks(mode.1) {
            return Some(format!("verify = \"{}\" needs {}", mode.0, mode.1));
        }
        let nobody = WatchSet::default();
        let proven = self.block_from(provider, &newest, &nobody).await;
        proven.err().map(|failure| failure.to_string())
    }
}

/// Whether a call has an answer other than null.
async fn works<P: Serialize + Send>(
    provider: &Provider,
    name: &str,
    method: &'static str,
    params: P,
) -> (String, bool) {
    let answer = provider.call(method, params).await;
    (name.to_owned(), answer.is_ok_and(|answer| !answer.is_null()))
}
