//! What is asked of one provider, and what its silence means.
//!
//! Agave's codes, and how they are taken. None of them proves that a slot has no block: that does
//! the next block's parent.
//!
//! | code | what the node says | taken as |
//! | --- | --- | --- |
//! | -32001 | cleaned up: older than all that the node keeps | not there, and no later one tells why |
//! | -32004, -32014, `null` | not available or known yet | not there |
//! | -32007, -32009 | skipped, or lost by a ledger jump or in long-term storage | not there |
//! | -32005, -32016 | behind the cluster; behind the slot that was asked for | stale |
//! | -32011 | keeps no history of transactions | lacks a method |
//! | -32015 | a transaction's version is above what was asked for | lacks a method |

use confirmd_chain::{Height, TransactionId};
use confirmd_rpc::{Answer, CallError, Failure, Provider, Request};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::block::Detail;
use crate::config::SolanaConfig;
use crate::json::list;

/// What most of a cluster voted for. It was never taken back yet, but could be.
const CONFIRMED: &str = "confirmed";
/// What cannot be taken back.
const FINALIZED: &str = "finalized";

/// The newest version of transactions that is read (SIMD-0385). A block with one of a newer version
/// is not answered at all.
const TRANSACTION_VERSION: u8 = 1;

const CLEANED_UP: i64 = -32001;
const NOT_THERE: [i64; 5] = [CLEANED_UP, -32004, -32007, -32009, -32014];
const BEHIND: [i64; 2] = [-32005, -32016];
const NO_HISTORY: i64 = -32011;
const NEWER_VERSION: i64 = -32015;

/// Holds a provider's cluster against ours, unless that was done since it took over.
pub(crate) async fn check_chain(provider: &Provider, config: &SolanaConfig) -> Result<(), Failure> {
    if provider.is_trusted() {
        return Ok(());
    }
    if let Some(expected) = &config.genesis {
        let found = genesis(provider).await?;
        if !found.starts_with(expected) {
            let words = format!("its first block is {found}, expected {expected}…");
            return Err(Failure::wrong_chain(words));
        }
    }
    provider.trust();
    Ok(())
}

/// The hash of the cluster's first block.
pub(crate) async fn genesis(provider: &Provider) -> Result<String, Failure> {
    let answer = told(provider.call("getGenesisHash", ()).await)?;
    Ok(answer.decode()?)
}

/// The newest slots that are confirmed and finalized.
pub(crate) async fn newest(provider: &Provider) -> Result<(Height, Height), Failure> {
    let request = |commitment| Request::new("getSlot", &(json!({ "commitment": commitment }),));
    let answers = provider.batch(&[request(CONFIRMED)?, request(FINALIZED)?]).await?;
    let mut slots = Vec::with_capacity(2);
    for answer in answers {
        slots.push(Height(told(answer)?.decode()?));
    }
    match slots[..] {
        [confirmed, finalized] => Ok((confirmed, finalized)),
        _ => Err(Failure::malformed("two calls without two answers")),
    }
}

/// What a provider shows at a slot.
pub(crate) enum Shown {
    Block(Answer),
    /// No block, in its words: it may be skipped, lost or not there yet.
    Nothing(String),
    /// None that it still has: it keeps only later ones, so the first of these tells nothing.
    CleanedUp(String),
}

pub(crate) async fn look(
    provider: &Provider,
    slot: Height,
    detail: Detail,
) -> Result<Shown, Failure> {
    let answer = provider.call("getBlock", block_params(slot, detail)).await;
    if let Err(CallError::Refused(error) | CallError::Missing(error)) = &answer
        && error.code == CLEANED_UP
    {
        return Ok(Shown::CleanedUp(error.to_string()));
    }
    match told(answer).and_then(|answer| there(answer, || format!("block {slot}"))) {
        Ok(answer) => Ok(Shown::Block(answer)),
        Err(Failure::Missing(words)) => Ok(Shown::Nothing(words)),
        Err(failure) => Err(failure),
    }
}

/// A block; [`Failure::Missing`] where the provider shows none at this slot.
pub(crate) async fn block(
    provider: &Provider,
    slot: Height,
    detail: Detail,
) -> Result<Answer, Failure> {
    match look(provider, slot, detail).await? {
        Shown::Block(answer) => Ok(answer),
        Shown::Nothing(words) | Shown::CleanedUp(words) => Err(Failure::Missing(words)),
    }
}

pub(crate) fn block_params(slot: Height, detail: Detail) -> (Height, Value) {
    let options = json!({
        "commitment": CONFIRMED,
        "encoding": "json",
        "transactionDetails": detail.as_str(),
        // What validators earn. It is part of no transaction.
        "rewards": false,
        "maxSupportedTransactionVersion": TRANSACTION_VERSION,
    });
    (slot, options)
}

/// The first slots from `from` on that have a block, so many at most, as the provider says it.
pub(crate) async fn slots(
    provider: &Provider,
    from: Height,
    limit: u64,
) -> Result<Vec<Height>, Failure> {
    let answer = told(provider.call("getBlocksWithLimit", slots_params(from, limit)).await)?;
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let slots: Vec<Height> = list(answer.decode()?, most)?;
    let rises = slots.windows(2).all(|pair| pair[0] < pair[1]);
    let within = slots.first().is_none_or(|first| *first >= from);
    match rises && within {
        true => Ok(slots),
        false => Err(Failure::unproven(format!("not the slots from {from} on, or out of order"))),
    }
}

pub(crate) fn slots_params(from: Height, limit: u64) -> (Height, u64, Value) {
    (from, limit, json!({ "commitment": CONFIRMED }))
}

/// Where a transaction stands, and whether it succeeded.
pub(crate) async fn transaction(
    provider: &Provider,
    id: &TransactionId,
) -> Result<(Height, bool), Failure> {
    #[derive(Deserialize)]
    struct Told<'a> {
        slot: Height,
        #[serde(borrow)]
        meta: Option<Meta<'a>>,
    }
    #[derive(Deserialize)]
    struct Meta<'a> {
        #[serde(borrow)]
        err: &'a RawValue,
    }
    let answer = told(provider.call("getTransaction", transaction_params(id.as_str())).await)?;
    let answer = there(answer, || format!("transaction {id}"))?;
    let Told { slot, meta } = answer.decode()?;
    let meta = meta.ok_or_else(|| Failure::malformed("a transaction without what became of it"))?;
    Ok((slot, meta.err.get() == "null"))
}

pub(crate) fn transaction_params(id: &str) -> (&str, Value) {
    let options = json!({
        "commitment": CONFIRMED,
        "encoding": "json",
        "maxSupportedTransactionVersion": TRANSACTION_VERSION,
    });
    (id, options)
}

/// An answer, or what its error means.
fn told(answer: Result<Answer, CallError>) -> Result<Answer, Failure> {
    let error = match answer {
        Ok(answer) => return Ok(answer),
        Err(error) => error.indivisible(),
    };
    Err(match error {
        CallError::Refused(error) if NOT_THERE.contains(&error.code) => {
            Failure::Missing(error.to_string())
        }
        CallError::Refused(error) if BEHIND.contains(&error.code) => {
            Failure::stale(error.to_string())
        }
        CallError::Refused(error) if error.code == NO_HISTORY => {
            Failure::Unsupported(error.to_string())
        }
        CallError::Refused(error) if error.code == NEWER_VERSION => newer(&error.to_string()),
        CallError::Unsupported(words) if words.starts_with("Transaction version") => newer(&words),
        other => other.into(),
    })
}

fn newer(words: &str) -> Failure {
    Failure::Unsupported(format!(
        "a transaction is of a version above {TRANSACTION_VERSION}, which only a newer confirmd \
         reads ({words})"
    ))
}

/// Null is never empty (F10).
fn there(answer: Answer, what: impl FnOnce() -> String) -> Result<Answer, Failure> {
    if answer.is_null() { Err(Failure::Missing(what())) } else { Ok(answer) }
}
