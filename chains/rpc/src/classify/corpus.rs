//! What real providers say, collected from their documentation and from bug reports (F11).

use super::*;
use crate::Remedy;

/// Provider, method, code, message.
type Said = (&'static str, &'static str, i64, &'static str);

const LOGS: &str = "eth_getLogs";
const BLOCK: &str = "eth_getBlockByHash";
const RECEIPTS: &str = "eth_getBlockReceipts";

const TOO_MUCH_AT_ONCE: &[Said] = &[
    ("Infura", LOGS, -32005, "query returned more than 10000 results"),
    (
        "Infura",
        LOGS,
        -32005,
        "query returned more than 10000 results. Try with this block range [0xBDE5F8, 0x102DBCC].",
    ),
    ("Infura", LOGS, -32602, "range 1000000 exceeds limit of 10000"),
    ("Infura", LOGS, -32005, "query timeout exceeded"),
    ("Alchemy", LOGS, -32000, "Log response size exceeded. Please reduce query block range."),
    (
        "Alchemy",
        LOGS,
        -32602,
        "Log response size exceeded. You can make eth_getLogs requests with up to a 2K block range \
         and no limit on the response size, or you can request any block range with a cap of 10K \
         logs in the response. Based on your parameters and the response size limit, this block \
         range should work: [0x0, 0xd043b8]",
    ),
    (
        "Alchemy",
        LOGS,
        -32600,
        "You can make eth_getLogs requests with up to a 500 block range. Based on your parameters, \
         this block range should work: [0x123c9b2, 0x123cba5]",
    ),
    (
        "Alchemy",
        LOGS,
        -32600,
        "Under the Free tier plan, you can make eth_getLogs requests with up to a 10 block range. \
         Upgrade to PAYG for expanded block range.",
    ),
    ("QuickNode", LOGS, -32614, "eth_getLogs is limited to a 10,000 range"),
    ("QuickNode", LOGS, -32602, "eth_getLogs is limited to a 5 range, upgrade from discover plan"),
    ("Ankr", LOGS, -32600, "block range is too wide"),
    ("Ankr", LOGS, -32602, "maximum [from, to] blocks distance: 10000"),
    ("Ankr", LOGS, -32000, "query exceeds max results 20000"),
    (
        "Chainstack",
        LOGS,
        -32600,
        "Block range limit exceeded. See more details at \
         https://docs.chainstack.com/docs/limits#evm-range-limits-and-rate-limits",
    ),
    ("publicnode", LOGS, -32701, "exceed maximum block range: 50000"),
    (
        "publicnode",
        LOGS,
        -32602,
        "Please limit the query to at most 1000 blocks, maximum block range: 1000",
    ),
    ("Blast", LOGS, -32614, "exceeds the range allowed for your plan (10001 > 5000)"),
    ("Blast", LOGS, -32600, "eth_getLogs is limited to a 10,000 blocks range"),
    ("dRPC", LOGS, 35, "ranges over 10000 blocks are not supported on freetier"),
    ("dRPC", LOGS, -32602, "query exceeds max block range 10000"),
    ("BNB dataseed", LOGS, -32005, "limit exceeded"),
    ("BNB dataseed", LOGS, -32000, "exceed maximum block range: 5000"),
    ("BlockPI", LOGS, -32602, "eth_getLogs is limited to 1024 block range"),
    ("1RPC", LOGS, -32000, "response size should not greater than 10000000 bytes"),
    ("LlamaRPC", LOGS, -32602, "query exceeds max results 20000"),
    (
        "Cloudflare",
        LOGS,
        -32047,
        "Invalid eth_getLogs request. 'fromBlock'-'toBlock' range too large. Max range: 800",
    ),
    ("thirdweb", LOGS, -32602, "Maximum allowed number of requested blocks is 1000"),
    ("Coinbase", LOGS, -32602, "please limit the query to at most 1,000 blocks"),
    ("Merkle", LOGS, -32602, "eth_getLogs range is too large, max is 10k blocks"),
    ("Base", LOGS, -32600, "block range too large"),
    ("Optimism", LOGS, -32020, "backend response too large"),
    ("Optimism", LOGS, -32602, "Block range is too large"),
    ("Arbitrum", LOGS, -32000, "logs matched by query exceeds limit of 10000"),
    ("Avalanche", LOGS, -32000, "requested too many blocks from 1 to 5000, maximum is set to 2048"),
    ("Polygon zkEVM", LOGS, -32602, "logs are limited to a 10000 block range"),
    ("Energy Web", LOGS, -32000, "Limit exceeded: Query requested more than 10.000 blocks"),
    ("Candle", LOGS, -32600, "block range too high"),
    (
        "Morph",
        LOGS,
        -32000,
        "block range is larger than max block range, block range = 5120, max block range = 5000",
    ),
    ("Scroll", LOGS, -32000, "block range is bigger than maxBlockRange"),
    ("Moonbeam", LOGS, -32603, "block range is too wide (maximum 1024)"),
    ("Harmony", LOGS, -32000, "query must be smaller than size 1024"),
    ("Swell", LOGS, -32000, "block range greater than 100000 max"),
    ("geth", LOGS, -32000, "exceed max block range: 5000"),
    ("geth", LOGS, -32002, "request timed out"),
    ("geth", RECEIPTS, -32003, "response too large"),
    ("erigon", LOGS, -32000, "query block range exceeds server limit, narrow your filter: 1000"),
    ("erigon", LOGS, -32000, "query returns too many logs, narrow your filter: 20000"),
    (
        "reth",
        LOGS,
        -32602,
        "query exceeds max results 20000, retry with the range 25766988-25775072",
    ),
    ("reth", LOGS, -32602, "query exceeds max block range 100000"),
    ("reth", RECEIPTS, -32008, "Response is too big"),
    ("besu", LOGS, -32005, "Requested range exceeds maximum RPC range limit"),
    ("bor", LOGS, -32000, "exceed maximum block range: 1000"),
    ("nethermind", LOGS, -32005, "Too many logs requested. Max logs per response is 20000."),
];

const RATE_LIMITED: &[Said] = &[
    ("Infura", LOGS, -32005, "daily request count exceeded, request rate limited"),
    ("Infura", BLOCK, -32005, "exceeded project rate limit"),
    ("Infura", BLOCK, -32005, "Too Many Requests"),
    (
        "Alchemy",
        LOGS,
        429,
        "Your app has exceeded its compute units per second capacity. If you have retries enabled, \
         you can safely ignore this message. If not, check out https://docs.alchemy.com/x",
    ),
    (
        "Alchemy",
        BLOCK,
        429,
        "Monthly capacity limit exceeded. Visit https://dashboard.alchemy.com/",
    ),
    ("QuickNode", LOGS, -32007, "50/second request limit reached - reduce calls per second"),
    ("QuickNode", BLOCK, -32012, "credits limited to 6000/sec"),
    ("QuickNode", BLOCK, -32003, "daily request limit reached - upgrade your account"),
    ("Ankr", BLOCK, -32090, "Too many requests, reason: call rate limit exhausted, retry in 10s"),
    (
        "Chainstack",
        BLOCK,
        -32005,
        "You've exceeded the RPS limit available on the current plan: rate limit",
    ),
    ("publicnode", BLOCK, -32005, "rate limit exceeded"),
    ("Tenderly", BLOCK, -32005, "rate limit exceeded"),
    ("dRPC", BLOCK, 15, "Too many requests, please retry later"),
    ("BNB dataseed", LOGS, -32005, "method eth_getLogs in batch triggered rate limit"),
    ("BNB dataseed", BLOCK, -32005, "limit exceeded"),
    ("Base", BLOCK, -32016, "over rate limit"),
    ("Blast", BLOCK, -32097, "Exceeded the quota usage"),
    ("reown", BLOCK, -32000, "Requests per second limit exceeded"),
    (
        "nethermind",
        LOGS,
        -32603,
        "Unable to rent an instance of IEthRpcModule. Too many concurrent requests.",
    ),
    ("EIP-1474", BLOCK, -32005, "Request exceeds defined limit"),
];

const UNSUPPORTED_HERE: &[Said] = &[
    ("geth", RECEIPTS, -32601, "the method eth_getBlockReceipts does not exist/is not available"),
    ("besu", RECEIPTS, -32601, "Method not found"),
    ("nethermind", RECEIPTS, -32601, "The method 'eth_getBlockReceipts' is not found."),
    ("Infura", RECEIPTS, -32601, "The method eth_getBlockReceipts does not exist/is not available"),
    ("Alchemy", RECEIPTS, -32600, "Unsupported method: eth_getBlockReceipts on BASE_MAINNET"),
    ("Blast", RECEIPTS, -32000, "method is not whitelisted"),
    ("Chainstack", RECEIPTS, -32000, "eth_getBlockReceipts is not included in your current plan"),
    ("EIP-1474", RECEIPTS, -32004, "Method is not implemented"),
    (
        "Agave",
        "getBlock",
        -32015,
        "Transaction version (2) is not supported by the requesting client. Please try the \
         request again with the following configuration parameter: \
         \"maxSupportedTransactionVersion\": 2",
    ),
];

const NOT_THERE: &[Said] = &[
    ("geth", LOGS, -32000, "unknown block"),
    ("geth", BLOCK, -32000, "header not found"),
    ("geth", LOGS, -32602, "block range extends beyond current head block"),
    ("geth", LOGS, 4444, "pruned history unavailable"),
    ("geth", BLOCK, -39001, "Unknown block"),
    ("hyperliquid", LOGS, -32602, "invalid block range"),
    ("erigon", LOGS, -32000, "block not found: 0xabab"),
    ("nethermind", LOGS, -32001, "8633830 could not be found"),
    ("besu", LOGS, -32000, "Block not found"),
    ("EIP-1474", BLOCK, -32001, "Resource unavailable"),
    ("Agave", "getBlock", -32004, "Block not available for slot 1"),
    ("Avalanche", BLOCK, -32000, "cannot query unfinalized data: after last accepted block 12"),
];

const REFUSED: &[Said] = &[
    ("Base", BLOCK, -32011, "no backend is currently healthy to serve traffic"),
    ("geth", BLOCK, -32603, "internal error"),
    ("geth", BLOCK, -32002, "request timed out"),
    ("Ankr", BLOCK, -32000, "Unauthorized: You must authenticate your request with an API key."),
    ("Ankr", BLOCK, -32052, "API key is not allowed to access blockchain"),
    // Solana's own codes mean something to its family, and only there.
    ("Agave", "getBlock", -32004, "Block for slot 1 is pending"),
    ("Agave", "getBlock", -32007, "Slot 1 was skipped, or missing due to ledger jump"),
    ("Agave", "getBlock", -32001, "Block 1 cleaned up, does not exist on node"),
    ("Agave", "getBlock", -32005, "Node is behind by 42 slots"),
    ("Agave", "getBlock", -32005, "Node is unhealthy"),
    ("Agave", "getBlock", -32009, "Slot 1 was skipped, or missing in long-term storage"),
    ("Agave", "getBlock", -32014, "Block status not yet available for slot 1"),
    ("Agave", "getSlot", -32016, "Minimum context slot has not been reached"),
];

const INVALID: &[Said] = &[
    ("geth", BLOCK, -32602, "missing value for required argument 0"),
    ("geth", BLOCK, -32600, "invalid request"),
    ("geth", BLOCK, -32700, "parse error"),
    ("besu", BLOCK, -32602, "Invalid params"),
];

fn sort((provider, method, code, message): &Said) -> (CallError, String) {
    let error = ErrorObject { code: *code, message: (*message).to_owned(), data: None };
    let label = format!("{provider} says {code} {message:?} to {method}");
    (classify(method, &error, &Redaction::new([])), label)
}

#[test]
fn every_limit_on_the_range_shrinks_it_f11() {
    for said in TOO_MUCH_AT_ONCE {
        let (error, label) = sort(said);
        assert_eq!(error.remedy(), Remedy::Shrink, "{label}: {error:?}");
        let remedy = error.indivisible().remedy();
        assert_eq!(remedy, Remedy::Elsewhere, "{label}: one block cannot shrink");
    }
}

#[test]
fn every_limit_on_the_rate_waits_and_never_shrinks_f11() {
    for said in RATE_LIMITED {
        let (error, label) = sort(said);
        assert_eq!(error.remedy(), Remedy::Wait, "{label}: {error:?}");
    }
}

#[test]
fn what_a_provider_lacks_is_asked_elsewhere() {
    for said in UNSUPPORTED_HERE {
        let (error, label) = sort(said);
        assert!(matches!(error, CallError::Unsupported(_)), "{label}: {error:?}");
    }
    for said in NOT_THERE {
        let (error, label) = sort(said);
        assert!(matches!(error, CallError::Missing(_)), "{label}: {error:?}");
    }
    for said in REFUSED {
        let (error, label) = sort(said);
        let CallError::Refused(rpc) = &error else { panic!("{label}: {error:?}") };
        assert_eq!(rpc.code, said.2, "{label}: the family needs the code");
        assert_eq!(error.remedy(), Remedy::Elsewhere, "{label}");
    }
}

#[test]
fn a_mistake_of_ours_is_given_up() {
    for said in INVALID {
        let (error, label) = sort(said);
        assert_eq!(error.remedy(), Remedy::GiveUp, "{label}: {error:?}");
    }
}

#[test]
fn infura_says_in_its_data_how_long_to_stay_away() {
    let data = r#"{"rate":{"allowed_rps":5,"backoff_seconds":29.5,"current_rps":5.2},"see":"…"}"#;
    let error = ErrorObject {
        code: -32005,
        message: "exceeded project rate limit".to_owned(),
        data: Some(data.to_owned()),
    };
    let CallError::RateLimited { retry_after, .. } = classify(BLOCK, &error, &Redaction::new([]))
    else {
        panic!("a rate limit")
    };
    assert_eq!(retry_after, Some(Duration::from_secs(30)));
}

#[test]
fn refusals_of_a_batch_are_told_from_those_of_a_call() {
    let cases = [
        (-32600, "batch too large", Some(BatchRefusal::Smaller)),
        (-32010, "The batch request was too large", Some(BatchRefusal::Smaller)),
        (
            -32602,
            "Number of requests in batch exceeds --rpc-max-batch-size",
            Some(BatchRefusal::Smaller),
        ),
        (-32600, "Too many [\"eth_getLogs\"] methods in the batch", Some(BatchRefusal::Smaller)),
        (-32600, "Exceeded maximum batch size 50", Some(BatchRefusal::Smaller)),
        (-32005, "Batched requests are not supported by this server", Some(BatchRefusal::Never)),
        (-32600, "Invalid Request", Some(BatchRefusal::Never)),
        (-32700, "Parse error", Some(BatchRefusal::Never)),
        (-32005, "method eth_getLogs in batch triggered rate limit", None),
        (-32000, "internal error", None),
    ];
    for (code, message, expected) in cases {
        let error = ErrorObject { code, message: message.to_owned(), data: None };
        assert_eq!(refuses_batch(&error), expected, "{code} {message}");
    }
}

#[test]
fn a_word_that_stands_in_the_url_too_keeps_its_meaning() {
    let url = reqwest::Url::parse("https://node.example/block/range/unknown").expect("a URL");
    let message = "unknown block".to_owned();
    let error = ErrorObject { code: -32000, message, data: None };
    let sorted = classify(LOGS, &error, &Redaction::new([&url]));
    assert!(matches!(sorted, CallError::Missing(_)), "{sorted:?}");
}
