//! What providers say in their errors, and what they mean by it.
//!
//! The codes of JSON-RPC and EIP-1474 are used by every provider in its own way (-32005 is a rate
//! limit here and a range limit there), so the words decide first and the code only where they say
//! nothing. The order of the tables matters: "limit" and "exceeded" stand in both kinds of text.

use std::time::Duration;

use serde::Deserialize;

use crate::message::{ErrorObject, INVALID_PARAMS};
use crate::redact::{Redaction, without_urls};
use crate::{CallError, RpcError};

const PARSE_ERROR: i64 = -32700;
const INVALID_REQUEST: i64 = -32600;
const METHOD_NOT_FOUND: i64 = -32601;
/// EIP-1474.
const RESOURCE_NOT_FOUND: i64 = -32001;
const METHOD_NOT_SUPPORTED: i64 = -32004;
const LIMIT_EXCEEDED: i64 = -32005;
/// QuickNode's rate limits: per second, and by credits.
const QUICKNODE_RATE: [i64; 2] = [-32007, -32012];
/// QuickNode's and Blast's limit on the range of `eth_getLogs`.
const RANGE_LIMIT: i64 = -32614;

/// Sure signs of a limit on time, whatever else the text says.
const RATE: &[&str] = &[
    "rate limit",
    "rate-limit",
    "ratelimit",
    "too many requests",
    "request limit",
    "requests per second",
    "requests limited to",
    "request count exceeded",
    "compute units",
    "credits limited",
    "capacity limit",
    "throughput",
    "quota",
    "too much load",
    "concurrent requests",
    "reached the free tier",
    "call rate",
    "/sec",
    "/second",
    "per second",
    "per minute",
];

/// Signs of a limit on the range or the answer.
const TOO_MUCH: &[&str] = &[
    "block range",
    "blocks range",
    "range is too",
    "range exceeds",
    "range too",
    "max range",
    "range limit",
    "exceeds the range",
    "ranges over",
    "exceeds limit of",
    "exceed maximum block",
    "blocks distance",
    "too many blocks",
    "number of requested blocks",
    "returned more than",
    "requested more than",
    "more than 10000 results",
    "too many logs",
    "too many results",
    "exceeds max results",
    "exceeds max block",
    "max results",
    "query exceeds limit",
    "limited to",
    "limit the query to",
    "limit your query",
    "smaller than size",
    "response size",
    "response too large",
    "response is too",
    "result too large",
    "too large, max",
    "content too large",
    "entity too large",
    "payload too large",
    "message too big",
    "query timeout",
    "query timed out",
    "reduce the range",
    "narrow",
    "specify less number of address",
    "too many addresses",
];

/// Signs that the provider lacks a method, or keeps it for those who pay more.
const UNSUPPORTED: &[&str] = &[
    "method not found",
    "does not exist/is not available",
    "unsupported method",
    "method not supported",
    "not supported",
    "not whitelisted",
    "method not allowed",
    "method is not available",
    "is disabled",
    "not included in your current plan",
    "not available on the free",
    "upgrade your plan",
    "unknown method",
    "not been enabled",
];

/// Signs that the provider has not got the block or transaction, yet or any more.
const MISSING: &[&str] = &[
    "header not found",
    "block not found",
    "block is not found",
    "unknown block",
    "unknown header",
    "resource not found",
    "block with such an id",
    "not found for block",
    "could not find block",
    "cannot find block",
    "block is not available",
    "block not available",
    "block does not exist",
    "invalid block range",
    "beyond current head",
    "could not be found",
    "beyond head block",
    "after last accepted block",
    "after the latest block",
    "history has been pruned",
    "pruned history",
    "missing trie node",
    "receipts not found",
    "transaction not found",
    "old data not available",
    "block height not available",
    "historical state",
    "state unavailable",
    "state is not available",
    "state not available",
    "no state available",
    "is pruned",
];

/// What an error means to the caller.
pub(crate) fn classify(method: &str, error: &ErrorObject, redaction: &Redaction) -> CallError {
    let text = readable(&error.message);
    let data = error.data.as_deref().unwrap_or_default();
    let says = |signs: &[&str]| signs.iter().any(|sign| text.contains(sign));
    let words = redaction.clean(&error.message);
    let rpc = || RpcError { code: error.code, message: words.clone() };
    let limited = || CallError::RateLimited { words: words.clone(), retry_after: backoff(data) };

    if says(RATE) {
        return limited();
    }
    if says(MISSING) {
        return CallError::Missing(rpc());
    }
    if says(TOO_MUCH) {
        return CallError::TooMuch(words);
    }
    if says(UNSUPPORTED) {
        return CallError::Unsupported(words);
    }
    match error.code {
        RANGE_LIMIT => CallError::TooMuch(words),
        // "limit exceeded" and no more: BNB Smart Chain's public nodes mean the range by it.
        LIMIT_EXCEEDED if method == "eth_getLogs" => CallError::TooMuch(words),
        // A Solana node that is behind its cluster; its family knows the code.
        LIMIT_EXCEEDED if text.starts_with("node is ") => CallError::Refused(rpc()),
        LIMIT_EXCEEDED | 429 => limited(),
        code if QUICKNODE_RATE.contains(&code) && text.contains("limit") => limited(),
        METHOD_NOT_FOUND => CallError::Unsupported(words),
        METHOD_NOT_SUPPORTED if method.starts_with("eth_") => CallError::Unsupported(words),
        RESOURCE_NOT_FOUND if method.starts_with("eth_") => CallError::Missing(rpc()),
        // A search that takes too long here takes less time over fewer blocks.
        _ if method == "eth_getLogs"
            && (text.contains("timed out") || text.contains("timeout")) =>
        {
            CallError::TooMuch(words)
        }
        PARSE_ERROR | INVALID_REQUEST | INVALID_PARAMS => CallError::Invalid(rpc()),
        _ => CallError::Refused(rpc()),
    }
}

/// The words that count: a link to a page about rate limits stands in many other errors too. Not
/// redacted, since a URL may hold words of ours ("/block").
fn readable(message: &str) -> String {
    const ENOUGH: usize = 2_000;
    without_urls(&message.chars().take(ENOUGH).collect::<String>()).to_lowercase()
}

/// Infura says in the error's data how long to stay away.
fn backoff(data: &str) -> Option<Duration> {
    #[derive(Deserialize)]
    struct Data {
        rate: Rate,
    }
    #[derive(Deserialize)]
    struct Rate {
        backoff_seconds: serde_json::Number,
    }
    let seconds = serde_json::from_str::<Data>(data).ok()?.rate.backoff_seconds.as_f64()?;
    Duration::try_from_secs_f64(seconds.ceil()).ok()
}

/// How much smaller a batch must become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BatchRefusal {
    /// Fewer calls in one.
    Smaller,
    /// No batches at all.
    Never,
}

/// Whether an error refuses the batch as such, not a call in it.
pub(crate) fn refuses_batch(error: &ErrorObject) -> Option<BatchRefusal> {
    let text = readable(&error.message);
    let says = |signs: &[&str]| signs.iter().any(|sign| text.contains(sign));
    if says(RATE) {
        return None;
    }
    let size =
        ["too large", "too many", "too big", "limit", "maximum", "exceed", "more than", "up to"];
    if text.contains("batch") {
        return Some(if says(&size) { BatchRefusal::Smaller } else { BatchRefusal::Never });
    }
    if says(&["response too large", "content too large", "entity too large", "payload too large"]) {
        return Some(BatchRefusal::Smaller);
    }
    // A server that reads one object cannot make sense of a list.
    let confused = matches!(error.code, PARSE_ERROR | INVALID_REQUEST | METHOD_NOT_FOUND);
    confused.then_some(BatchRefusal::Never)
}

#[cfg(test)]
mod corpus;
