//! Call traces, asked of the provider that shows them.

use std::time::Instant;

use confirmd_chain::WatchSet;
use confirmd_rpc::{CallError, Failure, Provider};

use crate::block::Body;
use crate::config::Traces;
use crate::network::Evm;
use crate::tracers::Ability;
use crate::traces::{self, BlockTraces, TraceMethod};
use crate::transactions::{Transaction, Transactions};
use crate::{Refusal, calls};

/// Nodes that are no archives keep the state of the newest 128 blocks, without which no older one
/// can be run again. Some margin is for what is mined while they are asked.
const STATE_KEPT: u64 = 96;

/// What a node says that does not have the state any more.
const STATE_IS_GONE: [&str; 4] = ["state", "trie node", "pruned", "old data not available"];

impl Evm {
    /// Gives the block its traces, where coin through contracts is looked for: this provider's, or
    /// those of another that has them. Where nobody waits for anything it saves the call, and the
    /// block says that it was decoded for nobody.
    pub(crate) async fn trace(
        &self,
        provider: &Provider,
        body: &mut Body<'_>,
        whole: Option<&Transactions<'_>>,
        watches: &WatchSet,
    ) -> Result<(), Failure> {
        let list = whole.map(Transactions::as_slice).unwrap_or_default();
        if self.config.traces == Traces::Never || list.is_empty() {
            return Ok(());
        }
        let nobody_as_of = {
            let view = watches.view();
            view.is_empty().then(|| view.version())
        };
        if nobody_as_of.is_some() {
            body.nobody_as_of = nobody_as_of;
            return Ok(());
        }
        if let Some(traces) = self.traces_of(provider, body, list).await? {
            body.traces = traces;
            return Ok(());
        }
        let mut failures = Vec::new();
        for other in self.pool.order() {
            if other.name() == provider.name() {
                continue;
            }
            match self.traces_of(&other, body, list).await {
                Ok(Some(traces)) => {
                    body.traces = traces;
                    return Ok(());
                }
                Ok(None) => {}
                Err(failure) => failures.push(format!("{}: {failure}", other.name())),
            }
        }
        let number = body.header.number;
        match (failures.is_empty(), self.config.traces) {
            // The block is fine; that others fail is no fault of the one who showed it.
            (false, _) => {
                let failures = failures.join("; ");
                Err(Failure::Unsupported(format!("no traces of block {number}; {failures}")))
            }
            (true, Traces::Always) => Err(Failure::Unsupported(format!(
                "no traces of block {number}; traces = true needs a provider with trace_block or \
                 debug_traceBlockByHash, of old blocks too"
            ))),
            (true, _) => Ok(()),
        }
    }

    /// A provider's traces of a block; none where it has none of any block, or none so old.
    async fn traces_of(
        &self,
        provider: &Provider,
        body: &Body<'_>,
        list: &[Transaction<'_>],
    ) -> Result<Option<BlockTraces>, Failure> {
        let methods = match self.tracers.of(provider) {
            Some(Ability::Has(method)) => return self.ask(provider, method, body, list).await,
            Some(Ability::Lacks(_)) => return Ok(None),
            None => [TraceMethod::TraceBlock, TraceMethod::DebugTraceBlock],
        };
        calls::check_chain(provider, self.config.chain_id).await?;
        for method in methods {
            let answer = match calls::traces(provider, method, &body.header).await {
                Ok(answer) if !answer.is_null() => answer,
                Err(error @ (CallError::Unreachable(_) | CallError::RateLimited { .. })) => {
                    return Err(error.into());
                }
                Err(error) if self.is_out_of_reach(body, &error) => return Ok(None),
                // Who has never shown traces does not have them, in whatever words.
                Ok(_) | Err(_) => continue,
            };
            let read = |json| traces::read(method, json, &body.header, list);
            match answer.json().map_err(Refusal::from).and_then(read) {
                Ok(traces) => {
                    self.tracers.note(provider, Ability::Has(method));
                    return Ok(Some(traces));
                }
                Err(Refusal::Malformed(_)) => {}
                Err(refusal) => return Err(refusal.into()),
            }
        }
        self.tracers.note(provider, Ability::Lacks(Instant::now()));
        let (network, provider) = (&self.config.network, provider.name());
        tracing::info!(%network, %provider, "shows no call traces");
        Ok(None)
    }

    /// Whether a provider does not show a block's traces since it is no archive.
    fn is_out_of_reach(&self, body: &Body<'_>, error: &CallError) -> bool {
        let CallError::Missing(said) = error else { return false };
        let said = said.message.to_lowercase();
        let kept_from = self.pool.newest_height().map_or(0, |newest| newest.minus(STATE_KEPT).0);
        body.header.number < kept_from && STATE_IS_GONE.iter().any(|words| said.contains(words))
    }

    /// Asks a provider that showed traces before, and so is to show those of every block.
    async fn ask(
        &self,
        provider: &Provider,
        method: TraceMethod,
        body: &Body<'_>,
        list: &[Transaction<'_>],
    ) -> Result<Option<BlockTraces>, Failure> {
        let number = body.header.number;
        let answer = match calls::traces(provider, method, &body.header).await {
            Ok(answer) if answer.is_null() => {
                return Err(Failure::stale(format!("null instead of the traces of {number}")));
            }
            Err(CallError::Unsupported(words)) => {
                self.tracers.forget(provider);
                return Err(Failure::Unsupported(format!("traces of block {number}: {words}")));
            }
            Err(error) if self.is_out_of_reach(body, &error) => {
                let (network, provider) = (&self.config.network, provider.name());
                tracing::info!(%network, %provider, number, "no call traces: it keeps no old state");
                return Ok(None);
            }
            answer => answer.map_err(CallError::indivisible)?,
        };
        Ok(Some(traces::read(method, answer.json()?, &body.header, list)?))
    }
}
