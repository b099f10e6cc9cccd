//! Why a transaction did or did not settle an intent.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use confirmd_chain::{
    Chain, Header, Height, Inclusion, Proof, TransactionId, WatchSet, WatchVersion, Work,
};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use crate::api::auth::Reader;
use crate::api::context::Context;
use crate::api::input::{Parameters, Path};
use crate::api::problem::Problem;
use crate::settlement::{Credit, Intent, NetworkId, OrphanReason, Role, TransferView, rfc3339};
use crate::store::Scan;

const MAX_TRANSACTION: usize = 128;

/// Which transaction.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "shows the parameters in the OpenAPI document")]
pub(super) struct ExplainQuery {
    /// The transaction's id.
    tx: String,
    /// The account, where an admin means another than the key's own.
    account: Option<String>,
}

/// What a transaction is to an intent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    /// It counts towards the intent.
    Counts,
    /// It came to the intent and settles nothing.
    Orphan,
    /// It is in no block yet; the transfers say which rail it would pay, if one.
    Unconfirmed,
    /// It counted, until a reorg took it.
    Reverted,
    /// Another transaction spends what it would have to.
    Replaced,
    /// It was given to another intent.
    OtherIntent,
    /// It failed, so it credits nothing.
    Failed,
    /// No provider knows it in a block.
    NotFound,
    /// It credits nothing to an address of the intent in an asset that the registry knows.
    NoMatch,
    /// Its block was not scanned yet, or before the network was followed.
    NotScanned,
    /// Its block is older than a new intent's payments are looked for.
    BeforeLookBack,
    /// Its block is later than the intent's late window.
    AfterLateWindow,
    /// The providers do not answer at present.
    Unanswered,
    /// It should be known, and is not.
    Unexplained,
}

/// Why a transaction did or did not settle an intent.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ExplainAnswer {
    /// The transaction.
    transaction: String,
    /// What it is to the intent.
    verdict: Verdict,
    /// Why, in words.
    reason: String,
    /// The network on which it was found.
    network: Option<String>,
    /// The block in which it stands.
    block: Option<BlockAnswer>,
    /// What the scan ledger says of that height.
    scanned: Option<ScanAnswer>,
    /// Its transfers that were given to the intent.
    transfers: Vec<TransferView>,
}

/// A block.
#[derive(Debug, Serialize, ToSchema)]
struct BlockAnswer {
    height: u64,
    hash: String,
    time: String,
}

/// A row of the scan ledger: blocks that were scanned one after the other.
#[derive(Debug, Serialize, ToSchema)]
struct ScanAnswer {
    /// The lowest of them.
    first_height: u64,
    first_hash: String,
    /// The highest.
    last_height: u64,
    last_hash: String,
    /// How they are known to be complete: `commitment` (rebuilt from the block's own), `logs`
    /// (what the provider said), or `links` (what the provider said of a block that links to those
    /// around it; nothing in it commits to its transactions).
    #[schema(value_type = String)]
    proof: Proof,
    /// Who showed them: a provider's name in the configuration.
    provider: String,
    /// How many logs, values, calls or outputs in them were held against what is watched; none where
    /// the header alone told that there is nothing.
    examined: u64,
    /// How many transfers in them hit any watch.
    matched: u64,
    /// When the first of them was scanned.
    began_at: String,
    /// When the last of them was.
    scanned_at: String,
}

/// Explain a transaction
///
/// Why it did or did not settle the intent, from what was scanned and from the chain as it is now.
/// Scope: `read`.
#[utoipa::path(get, path = "/v1/intents/{id}/explain", tag = "intents",
    params(("id" = String, Path, description = "The backend's own id"), ExplainQuery),
    responses((status = 200, body = ExplainAnswer)))]
pub(super) async fn explain(
    State(context): State<Context>,
    Reader(caller): Reader,
    Path(id): Path<String>,
    mut parameters: Parameters,
) -> Result<Json<ExplainAnswer>, Problem> {
    let key = caller.intent_key(&id, &mut parameters, &context.store).await?;
    let transaction = parameters.parsed("tx", "a transaction's id", read_transaction);
    if transaction.is_none() && parameters.errors.is_empty() {
        parameters.errors.add("?tx", "is missing; expected a transaction's id");
    }
    parameters.end()?;
    // First the cursors: an intent read after them is never behind them.
    let cursors = context.store.cursors().await?;
    let found = context.store.intent(&key).await?;
    let (intent, credits) = found.ok_or(Problem::NotFound("intent"))?;
    let transaction = transaction.unwrap_or_else(|| TransactionId::new(""));
    let question = Question { context: &context, cursors, intent, transaction };
    let own: Vec<_> =
        credits.iter().filter(|credit| credit.id.transaction == question.transaction).collect();
    Ok(Json(match own.first() {
        Some(first) => question.known(first, &own).await?,
        None => question.unknown().await?,
    }))
}

/// EVM hashes are the same in any case; no other family's ids begin so.
pub(super) fn read_transaction(text: &str) -> Option<TransactionId> {
    let fits = (1..=MAX_TRANSACTION).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let hex = text.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("0x"));
    let canonical = if hex { text.to_ascii_lowercase() } else { text.to_owned() };
    fits.then(|| TransactionId::new(canonical))
}

struct Question<'a> {
    context: &'a Context,
    cursors: BTreeMap<NetworkId, Height>,
    intent: Intent,
    transaction: TransactionId,
}

/// What the chain says of a transaction.
struct Found {
    network: NetworkId,
    inclusion: Inclusion,
}

impl Question<'_> {
    /// Its transfers were given to the intent.
    async fn known(&self, first: &Credit, own: &[&Credit]) -> Result<ExplainAnswer, Problem> {
        let counts = own.iter().find(|credit| matches!(credit.role, Role::Pays(_) | Role::Seen(_)));
        let told = counts.copied().unwrap_or(first);
        let (verdict, reason) = match told.role {
            Role::Pays(rail) => {
                let rail = &self.intent.rails[rail].rail_id;
                (Verdict::Counts, format!("It pays rail {rail}."))
            }
            Role::Orphan(reason) => (Verdict::Orphan, in_words(reason).to_owned()),
            Role::Seen(rail) => {
                let rail = &self.intent.rails[rail].rail_id;
                let reason = format!("It would pay rail {rail}, but stands in no block yet.");
                (Verdict::Unconfirmed, reason)
            }
            Role::Gone => self.gone(told),
        };
        let header = told.place.as_ref().map(|place| Header {
            height: place.height,
            hash: place.hash.clone(),
            parent: place.hash.clone(),
            parent_height: place.height,
            time: place.time,
            mined_at: place.time,
            work: Work::default(),
        });
        let mut answer =
            self.answer(verdict, reason, Some((&told.network, header.as_ref()))).await?;
        let show = |credit: &&Credit| TransferView::of(&self.intent, credit, &self.cursors);
        answer.transfers = own.iter().map(show).collect();
        Ok(answer)
    }

    /// What it is while it is in no block and would not pay.
    fn gone(&self, credit: &Credit) -> (Verdict, String) {
        if let Some(by) = credit.replaced_by() {
            let reason = format!("The transaction {by} spends what it would have to.");
            return (Verdict::Replaced, reason);
        }
        if credit.sighting.is_some() {
            let reason = "It stands in no block yet, and would settle nothing now.".to_owned();
            return (Verdict::Unconfirmed, reason);
        }
        (Verdict::Reverted, "The chain took another branch, without it.".to_owned())
    }

    /// Nothing in it was given to the intent.
    async fn unknown(&self) -> Result<ExplainAnswer, Problem> {
        let others = self.context.store.transfers_in(self.transaction.as_str()).await?;
        let networks = self.intent.networks();
        if let Some((owner, credit)) = others.iter().find(|(_, c)| networks.contains(&c.network)) {
            let reason = match owner.strip_prefix(&format!("{}/", self.intent.key.account)) {
                Some(id) => format!("It was given to the intent {id}."),
                None => "It was given to an intent of another account.".to_owned(),
            };
            return self.answer(Verdict::OtherIntent, reason, Some((&credit.network, None))).await;
        }
        let mut silent = Vec::new();
        for network in networks {
            let Some(chain) = self.context.chains.get(network) else { continue };
            match chain.transaction(&self.transaction).await {
                Ok(Some(inclusion)) => {
                    let found = Found { network: network.clone(), inclusion };
                    return self.found(chain.as_ref(), &found).await;
                }
                Ok(None) => {}
                Err(error) => silent.push(format!("{network}: {error}")),
            }
        }
        if silent.is_empty() {
            let reason = "No provider of the intent's networks knows it in a block: it may wait, \
                          it may have been replaced, or it is of another network.";
            return self.answer(Verdict::NotFound, reason.to_owned(), None).await;
        }
        let reason = format!("It is not known here, and providers fail: {}.", silent.join("; "));
        self.answer(Verdict::Unanswered, reason, None).await
    }

    /// It stands on the chain, and nobody was given anything of it.
    async fn found(&self, chain: &dyn Chain, found: &Found) -> Result<ExplainAnswer, Problem> {
        let Found { network, inclusion: Inclusion { header, succeeded } } = found;
        let at = Some((network, Some(header)));
        if !succeeded {
            let reason = "It failed, so nothing moved.".to_owned();
            return self.answer(Verdict::Failed, reason, at).await;
        }
        let rails = self.intent.rails.iter().filter(|rail| rail.network == *network);
        let keys = rails.map(|rail| chain.watch_key(&rail.address));
        let watches = WatchSet::new(keys, WatchVersion::default());
        let block = match chain.block(header.at(), &watches).await {
            Ok(block) => block,
            Err(error) => {
                let reason = format!("It stands in a block that cannot be read now: {error}.");
                return self.answer(Verdict::Unanswered, reason, at).await;
            }
        };
        let pays = |id: &TransactionId| *id == self.transaction;
        if !block.transfers.iter().any(|transfer| pays(&transfer.id.transaction)) {
            let reason = "It succeeded, but credits nothing to an address of the intent in an \
                          asset that the registry knows: compare the receiver, the token's \
                          contract and the network.";
            return self.answer(Verdict::NoMatch, reason.to_owned(), at).await;
        }
        let (verdict, reason) = self.why_not_taken(network, header).await?;
        self.answer(verdict, reason, at).await
    }

    /// It pays an address of the intent, and was not taken.
    async fn why_not_taken(
        &self,
        network: &NetworkId,
        header: &Header,
    ) -> Result<(Verdict, String), Problem> {
        let store = &self.context.store;
        let cursor = self.cursors.get(network).copied().unwrap_or(Height(0));
        if header.height > cursor {
            let reason = format!("{network} is followed up to block {cursor} so far.");
            return Ok((Verdict::NotScanned, reason));
        }
        if store.is_looked_for(network, &self.intent.key.to_string()).await? {
            let reason = "Blocks from before the intent are still being looked at.".to_owned();
            return Ok((Verdict::NotScanned, reason));
        }
        let defaults = &self.context.settings.config.defaults;
        let ms =
            |duration: std::time::Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        let since = self.intent.created_at.plus_ms(-ms(defaults.look_back));
        if header.mined_at < since {
            let reason =
                format!("Payments of this intent are looked for from {} on.", rfc3339(since));
            return Ok((Verdict::BeforeLookBack, reason));
        }
        let state = &self.intent.state;
        let end = state.updated_at.max(self.intent.expires_at).plus_ms(ms(defaults.late_window));
        if !state.status.is_open() && header.mined_at > end {
            let reason = format!("The late window of this intent ended {}.", rfc3339(end));
            return Ok((Verdict::AfterLateWindow, reason));
        }
        if store.scan_of(network, header.height).await?.is_none() {
            let reason = "The scan ledger does not have its block: it is older than what is kept, \
                          or than the following of the network.";
            return Ok((Verdict::NotScanned, reason.to_owned()));
        }
        let reason = "It pays the intent and its block was scanned, yet it is not known. If a \
                      reorganisation is not under way, this is a fault: please report it.";
        Ok((Verdict::Unexplained, reason.to_owned()))
    }

    async fn answer(
        &self,
        verdict: Verdict,
        reason: String,
        at: Option<(&NetworkId, Option<&Header>)>,
    ) -> Result<ExplainAnswer, Problem> {
        let header = at.and_then(|(_, header)| header);
        let scan = match at {
            Some((network, Some(header))) => {
                self.context.store.scan_of(network, header.height).await?
            }
            _ => None,
        };
        Ok(ExplainAnswer {
            transaction: self.transaction.to_string(),
            verdict,
            reason,
            network: at.map(|(network, _)| network.to_string()),
            block: header.map(|header| BlockAnswer {
                height: header.height.0,
                hash: header.hash.to_string(),
                time: rfc3339(header.mined_at),
            }),
            scanned: scan.as_ref().map(show_scan),
            transfers: Vec::new(),
        })
    }
}

fn show_scan(scan: &Scan) -> ScanAnswer {
    ScanAnswer {
        first_height: scan.first.0.0,
        first_hash: scan.first.1.to_string(),
        last_height: scan.last.0.0,
        last_hash: scan.last.1.to_string(),
        proof: scan.proof,
        provider: scan.provider.clone(),
        examined: scan.examined,
        matched: scan.matched,
        began_at: rfc3339(scan.began_at),
        scanned_at: rfc3339(scan.committed_at),
    }
}

const fn in_words(reason: OrphanReason) -> &'static str {
    match reason {
        OrphanReason::Late => "It came after the expiry.",
        OrphanReason::Surplus => "The intent was confirmed before it came.",
        OrphanReason::OtherRail => {
            "Another rail settled the intent, or had taken this one's place."
        }
        OrphanReason::Underpaid => "It is a part of an amount that was not completed in time.",
        OrphanReason::Cancelled => "The intent was cancelled.",
        OrphanReason::WrongAsset => "No rail of the intent takes this asset at this address.",
        OrphanReason::WrongAmount => "The rail takes one exact amount, and this made another.",
        OrphanReason::Ambiguous => "Nothing tells which intent it is for.",
    }
}
