//! The contract, kept by asking one provider after the other.

use alloy_primitives::{B256, U64};
use async_trait::async_trait;
use confirmd_chain::{
    Address, AddressError, Amount, Asset, At, Block, Chain, ChainError, Header, Heads, Height,
    Inclusion, ProbeReport, ProviderStatus, ReferenceError, TransactionId, Wallet, WalletError,
    WatchKey, WatchSet, Witness,
};
use confirmd_rpc::{Answer, AskError, CallError, Failure, Fault, FaultKind, Provider, Request};
use futures_util::future::join_all;
use serde::Deserialize;

use crate::block::Body;
use crate::config::{Finality, Traces, Verify};
use crate::network::Evm;
use crate::{address, calls, header, references, uri, wallet};

/// So much older than the newest block that was seen, a provider's newest block shows that it
/// lags behind the others, or behind what it said before.
const STALE_AFTER_MS: i64 = 30_000;

impl Evm {
    async fn heads_from(&self, provider: &Provider) -> Result<Heads, Failure> {
        calls::check_chain(provider, self.config.chain_id).await?;
        let mut requests = vec![calls::latest()?];
        if let Finality::Tag(tag) = self.config.finality {
            requests.push(calls::tagged(tag)?);
        }
        let mut answers = provider.batch(&requests).await?.into_iter();
        let newest = answers.next().ok_or_else(|| Failure::malformed("no answer"))?;
        let newest = newest.map_err(CallError::indivisible)?;
        if newest.is_null() {
            return Err(Failure::stale("null instead of the newest block"));
        }
        let (latest, _) = header::read::<B256>(newest.json()?)?;
        let finalized = match self.config.finality {
            Finality::Depth(depth) => latest.number.checked_sub(depth),
            // Young networks have no such block yet, and say so by null or by an error.
            Finality::Tag(_) => match answers.next() {
                Some(Ok(answer)) => number(&answer)?.map(|tagged| tagged.min(latest.number)),
                _ => None,
            },
        };
        let finalized = finalized.map(Height);
        Ok(Heads { latest: latest.to_chain(), finalized, held_back: None })
    }

    pub(crate) async fn header_from(
        &self,
        provider: &Provider,
        at: &At,
    ) -> Result<Header, Failure> {
        calls::check_chain(provider, self.config.chain_id).await?;
        let answer = calls::block(provider, at, false).await?;
        let body = Body::read(&answer, false)?;
        body.check_place(at)?;
        Ok(body.header.to_chain())
    }

    /// Whether the others name a block, too: as many as the pool's quorum.
    async fn agree_on(&self, block: &Header, proven_by: &Provider) -> Result<(), Failure> {
        let at = &At::Height(block.height);
        self.pool
            .agree_on(
                block,
                proven_by,
                |provider| async move { self.header_from(&provider, at).await },
            )
            .await
    }
}

/// Whether a provider's newest block is far behind the newest that was seen.
fn lags(latest: &Header, newest: &Header) -> bool {
    latest.height < newest.height && latest.time.plus_ms(STALE_AFTER_MS) < newest.time
}

#[async_trait]
impl Chain for Evm {
    async fn heads(&self) -> Result<Heads, ChainError> {
        let asked =
            self.pool.heads(lags, |provider| async move { self.heads_from(&provider).await });
        Ok(asked.await?)
    }

    async fn header(&self, at: At) -> Result<Header, ChainError> {
        let at = &at;
        let asked = self.pool.ask(|provider| async move { self.header_from(&provider, at).await });
        Ok(asked.await?)
    }

    async fn block(&self, at: At, watches: &WatchSet) -> Result<Block, ChainError> {
        let at = &at;
        let asked = self.pool.ask(|provider| async move {
            calls::check_chain(&provider, self.config.chain_id).await?;
            let block = self.block_from(&provider, at, watches).await?;
            self.agree_on(&block.header, &provider).await?;
            Ok(block)
        });
        Ok(asked.await?)
    }

    async fn blocks(
        &self,
        from: Height,
        to: Height,
        watches: &WatchSet,
    ) -> Result<Vec<Block>, ChainError> {
        let whole = self.config.native || self.config.verify == Verify::Receipts;
        loop {
            let wanted = (to.0.saturating_sub(from.0) + 1).min(self.window.get(whole));
            let last = from.plus(wanted - 1);
            let asked = self.pool.ask(|provider| async move {
                calls::check_chain(&provider, self.config.chain_id).await?;
                let blocks = self.range_from(&provider, from, last, watches).await;
                let blocks = match wanted {
                    // Nobody can ask for less than one, but another provider may have it.
                    1 => blocks.map_err(Failure::indivisible)?,
                    _ => blocks?,
                };
                // The last one's hash commits to all before it.
                if let Some(last) = blocks.last() {
                    self.agree_on(&last.header, &provider).await?;
                }
                Ok(blocks)
            });
            match asked.await {
                Ok(blocks) => {
                    self.window.grow(wanted);
                    return Ok(blocks);
                }
                Err(AskError::TooMuch(words)) if self.window.shrink(wanted) => {
                    let network = &self.config.network;
                    tracing::debug!(%network, blocks = wanted, %words, "asking for fewer blocks");
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn transaction(&self, id: &TransactionId) -> Result<Option<Inclusion>, ChainError> {
        if id.as_str().parse::<B256>().is_err() {
            return Ok(None);
        }
        let asked =
            self.pool.ask(|provider| async move { self.inclusion_from(&provider, id).await });
        Ok(asked.await.map(Some).or_else(AskError::absent)?)
    }

    fn parse_address(&self, text: &str) -> Result<Address, AddressError> {
        address::parse_address(text)
    }

    /// The 20 bytes. A text that is no address gets those of the zero address, to which nothing
    /// is ever credited.
    fn watch_key(&self, address: &Address) -> WatchKey {
        address::watch_key(&address::raw(address).unwrap_or_default())
    }

    fn sees_internal_transfers(&self) -> bool {
        self.config.native
            && match self.config.traces {
                Traces::Never => false,
                Traces::WhereOffered => self.tracers.any(),
                Traces::Always => true,
            }
    }

    fn parse_reference(&self, text: &str, asset: &Asset) -> Result<String, ReferenceError> {
        let (proxy, unsupported) = match asset {
            Asset::Native => (
                self.sources.native_proxy,
                "the registry file has no fee proxy for the native coin, so nobody can pay with a \
                 reference",
            ),
            Asset::Token(_) => (
                self.sources.token_proxy,
                "the registry file has no fee proxy for tokens, so nobody can pay with a reference",
            ),
        };
        if proxy.is_none() {
            return Err(ReferenceError::Unsupported(unsupported));
        }
        let expected = "16 hex digits, the 8 bytes of a Request Network reference";
        let reference = references::parse(text).ok_or(ReferenceError::Malformed(expected))?;
        Ok(references::reference_topic(&reference))
    }

    /// A reference goes through a fee proxy, for which no URI has a word.
    fn payment_uri(
        &self,
        to: &Address,
        asset: &Asset,
        amount: Amount,
        carried: Option<&str>,
    ) -> Option<String> {
        let uri = || uri::payment_uri(self.config.chain_id, to, asset, amount);
        carried.is_none().then(uri)
    }

    fn parse_wallet(&self, text: &str) -> Result<Box<dyn Wallet>, WalletError> {
        wallet::parse_wallet(text)
    }

    async fn woken(&self) {
        self.subscribed.call_once(|| {
            if let Ok(request) = Request::new("eth_subscribe", &("newHeads",)) {
                self.pool.subscribe(&request);
            }
        });
        self.pool.woken().await;
    }

    async fn witnesses(&self, heights: &[Height]) -> Vec<Witness> {
        self.pool
            .witnesses(heights, |provider| async move { self.names_of(&provider, heights).await })
            .await
    }

    fn accuse(&self, provider: &str, words: &str) {
        self.pool.accuse(provider, &Fault::new(FaultKind::Forked, words));
    }

    fn providers(&self) -> Vec<ProviderStatus> {
        self.pool.statuses()
    }

    async fn probe(&self) -> Vec<ProbeReport> {
        join_all(self.pool.providers().iter().map(|provider| self.probe_one(provider))).await
    }
}

/// The number of a block; none where there is no block.
fn number(answer: &Answer) -> Result<Option<u64>, Failure> {
    #[derive(Deserialize)]
    struct Numbered {
        number: U64,
    }
    Ok(answer.decode::<Option<Numbered>>()?.map(|block| block.number.to()))
}
