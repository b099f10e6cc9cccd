//! The contract, kept by asking one provider after the other.

use async_trait::async_trait;
use confirmd_chain::{
    Address, AddressError, Amount, Asset, At, Block, Chain, ChainError, Header, Heads, Height,
    Inclusion, ProbeReport, ProviderStatus, ReferenceError, TransactionId, Wallet, WalletError,
    WatchKey, WatchSet, Witness,
};
use confirmd_rpc::{Failure, Fault, FaultKind, Names, Provider, Request};
use futures_util::future::join_all;

use crate::config::FINAL_DEPTH;
use crate::network::Solana;
use crate::{address, calls, memo, uri};

/// A provider whose newest block is so many slots below the newest that was seen lags behind the
/// others, or behind what it said before. Some 25 seconds.
const STALE_AFTER: u64 = 64;
/// So many confirmed slots that cannot be followed yet are no hiccup. Some ten seconds.
const HELD_BACK: u64 = 25;
/// How many slots of irreversible blocks are handed over at once.
const RANGE: u64 = 32;
/// The most blocks whose slots are named at once.
const SLOTS: u64 = 1_000;

impl Solana {
    /// The newest block is never so far above the final ones that a count of slots would call one
    /// final before the cluster does.
    pub(crate) async fn heads_from(&self, provider: &Provider) -> Result<Heads, Failure> {
        calls::check_chain(provider, &self.config).await?;
        let (confirmed, finalized) = calls::newest(provider).await?;
        let newest = confirmed.min(finalized.plus(u64::from(FINAL_DEPTH.0) - 1));
        let latest = self.tip_from(provider, newest).await?;
        let held_back = (confirmed >= newest.plus(HELD_BACK)).then(|| {
            format!(
                "the cluster has finalized nothing above slot {finalized}, though it confirmed \
                 {confirmed}; what is above {newest} waits, since it would be called final"
            )
        });
        let finalized = Some(finalized.min(latest.height));
        Ok(Heads { latest, finalized, held_back })
    }

    /// The time of a provider's newest block, and the blocks that it names; none at a slot that it
    /// proves to be skipped.
    async fn names_of(&self, provider: &Provider, heights: &[Height]) -> Result<Names, Failure> {
        let newest = self.heads_from(provider).await?.latest.time;
        let mut names = Vec::with_capacity(heights.len());
        for height in heights {
            let header = self.header_from(provider, &At::Height(*height)).await.ok();
            let header = header.filter(|header| header.height == *height);
            names.push(header.map(|header| header.hash));
        }
        Ok((newest, names))
    }
}

#[async_trait]
impl Chain for Solana {
    async fn heads(&self) -> Result<Heads, ChainError> {
        let lags =
            |latest: &Header, newest: &Header| latest.height.plus(STALE_AFTER) <= newest.height;
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
        let asked =
            self.pool.ask(|provider| async move { self.agreed_from(&provider, at, watches).await });
        Ok(asked.await?)
    }

    async fn heights(
        &self,
        from: Height,
        to: Height,
        limit: u64,
    ) -> Result<Vec<Height>, ChainError> {
        let limit = limit.clamp(1, SLOTS);
        let asked = self.pool.ask(|provider| async move {
            calls::check_chain(&provider, &self.config).await?;
            calls::slots(&provider, from, limit).await
        });
        let slots = asked.await?;
        Ok(slots.into_iter().take_while(|slot| *slot <= to).collect())
    }

    async fn blocks(
        &self,
        from: Height,
        to: Height,
        watches: &WatchSet,
    ) -> Result<Vec<Block>, ChainError> {
        let last = to.min(from.plus(RANGE - 1));
        let asked = self
            .pool
            .ask(|provider| async move { self.range_from(&provider, from, last, watches).await });
        Ok(asked.await?)
    }

    async fn transaction(&self, id: &TransactionId) -> Result<Option<Inclusion>, ChainError> {
        self.inclusion(id).await
    }

    fn parse_address(&self, text: &str) -> Result<Address, AddressError> {
        let address = address::parse_address(text)?;
        if self.config.tokens.iter().any(|token| token.mint == address) {
            let words = "this is a token's mint; expected the address of its receiver";
            return Err(AddressError::Malformed(words.to_owned()));
        }
        Ok(address)
    }

    /// The 32 bytes. A text that is no address gets twenty zeros, which no key is.
    fn watch_key(&self, address: &Address) -> WatchKey {
        let key = address::raw(address);
        key.map_or(WatchKey::from([0; 20]), |key| address::watch_key(&key))
    }

    /// Balances tell it however it was sent.
    fn sees_internal_transfers(&self) -> bool {
        self.config.native
    }

    fn parse_reference(&self, text: &str, _: &Asset) -> Result<String, ReferenceError> {
        let expected = "a Solana Pay reference: 32 bytes in base58 that are no program's address";
        memo::parse_reference(text).ok_or(ReferenceError::Malformed(expected))
    }

    fn parse_memo(&self, text: &str) -> Result<String, ReferenceError> {
        let expected = "a text of at most 512 bytes, without control characters";
        memo::parse_memo(text).ok_or(ReferenceError::Malformed(expected))
    }

    fn payment_uri(
        &self,
        to: &Address,
        asset: &Asset,
        amount: Amount,
        carried: Option<&str>,
    ) -> Option<String> {
        let token = self.token(asset);
        let is_known = token.is_some() || *asset == Asset::Native;
        is_known.then(|| uri::payment_uri(to, token, amount, carried))
    }

    fn token_account(&self, owner: &Address, asset: &Asset) -> Option<Address> {
        let token = self.token(asset)?;
        address::token_account(owner, &token.mint, token.program)
    }

    /// There is no such wallet.
    fn parse_wallet(&self, text: &str) -> Result<Box<dyn Wallet>, WalletError> {
        if address::is_secret(text.trim()) {
            return Err(WalletError::PrivateKey);
        }
        Err(WalletError::NotDerivable(
            "ed25519 keys cannot be derived from a public key, so a wallet here is a list of \
             addresses: import one"
                .to_owned(),
        ))
    }

    async fn woken(&self) {
        self.subscribed.call_once(|| {
            if let Ok(request) = Request::new("slotSubscribe", &()) {
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
