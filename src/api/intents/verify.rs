//! Whether a transaction pays an intent.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use confirmd_chain::{
    Chain, Confirmations, Header, Height, Inclusion, Timestamp, TransactionId, TransferId,
    WatchSet, WatchVersion,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::explain::read_transaction;
use crate::api::auth::Reader;
use crate::api::context::Context;
use crate::api::fields::AccountQuery;
use crate::api::input::{Body, Errors, Field, Parameters, Path};
use crate::api::problem::Problem;
use crate::settlement::{
    Claim, Credit, Intent, Mismatch, NetworkId, Role, Status, required_of, verify as judge,
};

/// The payment that a payer claims.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "shows the body in the OpenAPI document; it is read field by field")]
pub(super) struct VerifyTransaction {
    /// The transaction's id: its hash, or on Solana its first signature.
    transaction: String,
}

/// Whether a transaction pays the intent.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct VerifyAnswer {
    /// Whether it counts towards the intent, or will once it is mined and scanned.
    matches: bool,
    /// Why it does not: the first reason that applies.
    reason: Option<Mismatch>,
    /// Where the intent stands.
    status: Status,
    /// How deep the transaction is in the blocks that were scanned, at most as deep as required.
    confirmations: u32,
    /// How deep it must be.
    required_confirmations: u32,
}

/// Verify a payment
///
/// Whether a transaction that a payer names pays this intent, and if not, why: the first reason
/// that applies. Nothing changes by it: what pays the intent is found without it. 503
/// `providers-unavailable` where the transaction is not known here and no provider answers.
/// Scope: `read`.
#[utoipa::path(post, path = "/v1/intents/{id}/verify", tag = "intents",
    params(("id" = String, Path, description = "The backend's own id"), AccountQuery),
    request_body = VerifyTransaction,
    responses((status = 200, body = VerifyAnswer)))]
pub(super) async fn verify(
    State(context): State<Context>,
    Reader(caller): Reader,
    Path(id): Path<String>,
    mut parameters: Parameters,
    Body(body): Body,
) -> Result<Json<VerifyAnswer>, Problem> {
    let key = caller.intent_key(&id, &mut parameters, &context.store).await?;
    parameters.end()?;
    let transaction = read(&body)?;
    // First the cursors: an intent read after them is never behind them.
    let cursors = context.store.cursors().await?;
    let found = context.store.intent(&key).await?;
    let (intent, credits) = found.ok_or(Problem::NotFound("intent"))?;
    let question = Question { context: &context, cursors, intent, credits, transaction };
    Ok(Json(question.answer().await?))
}

fn read(body: &serde_json::Value) -> Result<TransactionId, Problem> {
    let mut errors = Errors::default();
    let transaction = Field::root(body).object(&mut errors).and_then(|mut object| {
        let field = object.required("transaction", "a transaction's id", &mut errors);
        let read = field.and_then(|field| {
            let read = read_transaction(field.string(&mut errors)?);
            if read.is_none() {
                errors.add(&field.pointer, "expected a transaction's id");
            }
            read
        });
        object.end(&mut errors);
        read
    });
    errors.finish(transaction)
}

struct Question<'a> {
    context: &'a Context,
    cursors: BTreeMap<NetworkId, Height>,
    intent: Intent,
    credits: Vec<Credit>,
    transaction: TransactionId,
}

impl Question<'_> {
    async fn answer(&self) -> Result<VerifyAnswer, Problem> {
        let counts = self.credits.iter().find(|credit| {
            credit.id.transaction == self.transaction
                && matches!(credit.role, Role::Pays(_) | Role::Seen(_))
        });
        if let Some(credit) = counts {
            let required = required_of(&self.intent, credit);
            let height = credit.place.as_ref().map(|place| place.height);
            return Ok(self.shown(None, &credit.network, height, required));
        }
        let mut silent = None;
        for network in self.intent.networks() {
            let Some(chain) = self.context.chains.get(network) else { continue };
            match chain.transaction(&self.transaction).await {
                Ok(Some(found)) => return self.judged(network, chain.as_ref(), &found).await,
                Ok(None) => {}
                Err(error) => silent = Some((network, error)),
            }
        }
        match silent {
            None => {
                let network = &self.intent.rails[0].network;
                let required = self.intent.required_on(network);
                Ok(self.shown(Some(Mismatch::TransactionNotFound), network, None, required))
            }
            Some((network, error)) => {
                Err(Problem::ProvidersUnavailable(format!("{network}: {error}")))
            }
        }
    }

    async fn judged(
        &self,
        network: &NetworkId,
        chain: &dyn Chain,
        found: &Inclusion,
    ) -> Result<VerifyAnswer, Problem> {
        let required = self.intent.required_on(network);
        let height = Some(found.header.height);
        if !found.succeeded {
            let failed = Some(Mismatch::TransactionFailed);
            return Ok(self.shown(failed, network, height, required));
        }
        let rails = || self.intent.rails.iter().filter(|rail| rail.network == *network);
        let keys = rails().map(|rail| chain.watch_key(&rail.address));
        let watches = WatchSet::new(keys, WatchVersion::default());
        watches.want_references(rails().any(|rail| rail.matching.carried().is_some()));
        let block = chain.block(found.header.at(), &watches).await;
        let unavailable = |error| Problem::ProvidersUnavailable(format!("{network}: {error}"));
        let mut transfers = block.map_err(unavailable)?.transfers;
        transfers.retain(|transfer| transfer.id.transaction == self.transaction);
        let used = self.used(network).await?;
        let credit_time = self.credit_time(network, &found.header);
        let set_aside = self.own(network).find_map(|credit| match credit.role {
            Role::Orphan(reason) => Some(reason),
            _ => None,
        });
        let claim = Claim { network, transfers: &transfers, used: &used, set_aside, credit_time };
        Ok(match judge(&self.intent, &claim) {
            Ok(rail) => self.shown(None, network, height, self.intent.required_by(rail)),
            Err(mismatch) => self.shown(Some(mismatch), network, height, required),
        })
    }

    /// When it was paid: by its block, or by when it was first seen here.
    fn credit_time(&self, network: &NetworkId, header: &Header) -> Timestamp {
        let seen = self.own(network).map(|credit| credit.credit_time).min();
        seen.map_or(header.mined_at, |seen| seen.min(header.mined_at))
    }

    /// What the transaction was to the intent so far.
    fn own(&self, network: &NetworkId) -> impl Iterator<Item = &Credit> {
        let is_own = |credit: &&Credit| {
            credit.network == *network && credit.id.transaction == self.transaction
        };
        self.credits.iter().filter(is_own)
    }

    /// Its transfers that another intent or a wallet was given, or that came when the intent was
    /// paid already.
    async fn used(&self, network: &NetworkId) -> Result<Vec<TransferId>, Problem> {
        let store = &self.context.store;
        let own = self.intent.key.to_string();
        let given = store.transfers_in(self.transaction.as_str()).await?.into_iter();
        let elsewhere = given.filter(|(owner, credit)| *owner != own && credit.network == *network);
        let mut used: Vec<_> = elsewhere.map(|(_, credit)| credit.id).collect();
        used.extend(store.deposited_in(network, &self.transaction).await?);
        Ok(used)
    }

    fn shown(
        &self,
        reason: Option<Mismatch>,
        network: &NetworkId,
        height: Option<Height>,
        required: Confirmations,
    ) -> VerifyAnswer {
        let depth = match (height, self.cursors.get(network)) {
            (Some(height), Some(&cursor)) => Confirmations::count(height, cursor, required),
            _ => Confirmations(0),
        };
        VerifyAnswer {
            matches: reason.is_none(),
            reason,
            status: self.intent.state.status,
            confirmations: depth.0,
            required_confirmations: required.0,
        }
    }
}
