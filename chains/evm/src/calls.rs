//! What is asked of one provider, and what its silence means.

use alloy_primitives::{Address, B256, U64};
use confirmd_chain::{At, Height};
use confirmd_rpc::{Answer, CallError, Failure, Provider, Request};
use serde::Serialize;

use crate::config::Tag;
use crate::credits::Sources;
use crate::header::ProvenHeader;
use crate::logs::TRANSFER;
use crate::references::NATIVE_PAYMENT;
use crate::traces::TraceMethod;

/// The logs that are asked for: these contracts', with one of these first topics.
#[derive(Clone, Debug)]
pub(crate) struct LogFilter {
    pub(crate) contracts: Vec<Address>,
    topics: Vec<B256>,
}

impl LogFilter {
    /// What credits something.
    pub(crate) fn new(sources: &Sources) -> Self {
        let mut contracts: Vec<Address> =
            sources.tokens.iter().copied().chain(sources.native_proxy).collect();
        contracts.sort_unstable();
        let topics = if sources.tokens.is_empty() { None } else { Some(TRANSFER) };
        let topics = topics.into_iter().chain(sources.native_proxy.map(|_| NATIVE_PAYMENT));
        Self { topics: topics.collect(), contracts }
    }

    /// Whether there is nothing to ask for.
    pub(crate) fn is_empty(&self) -> bool {
        self.contracts.is_empty()
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ByHash<'a> {
    block_hash: B256,
    address: &'a [Address],
    topics: [&'a [B256]; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ByRange<'a> {
    from_block: U64,
    to_block: U64,
    address: &'a [Address],
    topics: [&'a [B256]; 1],
}

/// Holds a provider's chain id against ours, unless that was done since it took over.
pub(crate) async fn check_chain(provider: &Provider, expected: u64) -> Result<(), Failure> {
    if provider.is_trusted() {
        return Ok(());
    }
    let answer = provider.call("eth_chainId", ()).await.map_err(CallError::indivisible)?;
    let found: U64 = answer.decode()?;
    if found != U64::from(expected) {
        return Err(Failure::wrong_chain(format!("serves chain {found}, expected {expected}")));
    }
    provider.trust();
    Ok(())
}

/// The request for a block at a height, with whole transactions or their hashes.
pub(crate) fn block_at(height: Height, full: bool) -> Result<Request, CallError> {
    Request::new("eth_getBlockByNumber", &(U64::from(height.0), full))
}

/// The request for the newest block.
pub(crate) fn latest() -> Result<Request, CallError> {
    Request::new("eth_getBlockByNumber", &("latest", false))
}

/// The request for the newest block of a tag.
pub(crate) fn tagged(tag: Tag) -> Result<Request, CallError> {
    Request::new("eth_getBlockByNumber", &(tag.as_str(), false))
}

/// A block. That the provider has none is no fault of its own (F4).
pub(crate) async fn block(provider: &Provider, at: &At, full: bool) -> Result<Answer, Failure> {
    let answer = match at {
        At::Height(height) => provider.send(&block_at(*height, full)?).await,
        At::Block { hash, .. } => provider.call("eth_getBlockByHash", (hash.as_str(), full)).await,
    };
    let answer = answer.map_err(CallError::indivisible)?;
    if answer.is_null() {
        return Err(Failure::Missing(match at {
            At::Height(height) => format!("block {height}"),
            At::Block { hash, .. } => format!("block {hash}"),
        }));
    }
    Ok(answer)
}

/// All receipts of a block that the provider has just shown.
pub(crate) async fn receipts(provider: &Provider, block: &B256) -> Result<Answer, Failure> {
    let answer = provider.call("eth_getBlockReceipts", (block,)).await;
    shown(answer.map_err(CallError::indivisible), "receipts", block)
}

/// The logs of a block that the provider has just shown. By hash, so that a node which has not
/// seen the block cannot answer with an empty list (F1).
pub(crate) async fn logs_of(
    provider: &Provider,
    block: &B256,
    wanted: &LogFilter,
) -> Result<Answer, Failure> {
    let filter =
        ByHash { block_hash: *block, address: &wanted.contracts, topics: [&wanted.topics] };
    let answer = provider.call("eth_getLogs", (filter,)).await;
    shown(answer.map_err(CallError::indivisible), "logs", block)
}

/// The same over a range. [`Failure::TooMuch`] asks for a smaller one.
pub(crate) async fn logs_between(
    provider: &Provider,
    from: u64,
    to: u64,
    wanted: &LogFilter,
) -> Result<Answer, Failure> {
    let filter = ByRange {
        from_block: U64::from(from),
        to_block: U64::from(to),
        address: &wanted.contracts,
        topics: [&wanted.topics],
    };
    let answer = provider.call("eth_getLogs", (filter,)).await?;
    if answer.is_null() {
        return Err(Failure::stale(format!("null instead of the logs of {from} to {to}")));
    }
    Ok(answer)
}

/// The receipts of some transactions of a block that the provider has just shown.
pub(crate) async fn transaction_receipts(
    provider: &Provider,
    transactions: &[B256],
) -> Result<Vec<Answer>, Failure> {
    let request = |hash| Request::new("eth_getTransactionReceipt", &(hash,));
    let requests = transactions.iter().map(request).collect::<Result<Vec<_>, _>>()?;
    let answers = provider.batch(&requests).await?;
    let named = answers.into_iter().zip(transactions);
    named
        .map(|(answer, hash)| shown(answer.map_err(CallError::indivisible), "receipt", hash))
        .collect()
}

/// The encodings, as hex, of transactions at these places of a block that the provider has just
/// shown.
pub(crate) async fn raw_transactions(
    provider: &Provider,
    block: &B256,
    places: &[usize],
) -> Result<Vec<Answer>, Failure> {
    const METHOD: &str = "eth_getRawTransactionByBlockHashAndIndex";
    let request = |at: &usize| Request::new(METHOD, &(block, U64::from(*at)));
    let requests = places.iter().map(request).collect::<Result<Vec<_>, _>>()?;
    let answers = provider.batch(&requests).await?.into_iter().map(|answer| match answer {
        Err(CallError::Unsupported(words)) => Err(Failure::Unsupported(format!(
            "{METHOD}, needed to prove transactions of types that are not known: {words}"
        ))),
        answer => shown(answer.map_err(CallError::indivisible), "transactions", block),
    });
    answers.collect()
}

/// The call traces of a block.
pub(crate) async fn traces(
    provider: &Provider,
    method: TraceMethod,
    header: &ProvenHeader,
) -> Result<Answer, CallError> {
    #[derive(Serialize)]
    struct Options {
        tracer: &'static str,
    }
    match method {
        TraceMethod::TraceBlock => provider.call("trace_block", (U64::from(header.number),)).await,
        TraceMethod::DebugTraceBlock => {
            let options = Options { tracer: "callTracer" };
            provider.call("debug_traceBlockByHash", (header.hash, options)).await
        }
    }
}

/// Null, or "not there", for what the provider has just shown: it lags behind itself, as a
/// balancer does whose nodes differ (F1, F4).
fn shown(answer: Result<Answer, CallError>, what: &str, of: &B256) -> Result<Answer, Failure> {
    match answer {
        Ok(answer) if !answer.is_null() => Ok(answer),
        Ok(_) => Err(Failure::stale(format!("null instead of the {what} of {of}"))),
        Err(CallError::Missing(error)) => {
            Err(Failure::stale(format!("no {what} of {of}: {error}")))
        }
        Err(error) => Err(error.into()),
    }
}
