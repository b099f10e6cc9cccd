//! The contract, kept by asking one provider after the other.

use async_trait::async_trait;
use confirmd_chain::{
    Address, AddressError, Amount, Asset, At, Block, Chain, ChainError, Header, Heads, Height,
    Inclusion, Mempool, ProbeReport, Proof, ProviderStatus, ReferenceError, TransactionId, Wallet,
    WalletError, WatchKey, WatchSet, Work,
};
use confirmd_rpc::{AskError, Failure, Provider};
use futures_util::future::join_all;
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::block::scan;
use crate::headers::MEDIAN_OF;
use crate::network::Bitcoin;
use crate::{Hash256, calls, receiving, script, uri};

/// A provider whose newest block is so many below the newest that was seen lags behind the others,
/// or behind what it said before.
const STALE_AFTER: u64 = 2;
/// How many irreversible blocks are handed over at once: what is read ahead is held in memory.
const RANGE: u64 = 32;
/// How many blocks are fetched at the same time.
const AT_ONCE: usize = 4;

impl Bitcoin {
    async fn heads_from(&self, provider: &Provider) -> Result<Heads, Failure> {
        calls::check_chain(provider, &self.config).await?;
        let best = calls::best_hash(provider).await?;
        let latest = self.header_of(provider, best, None).await?;
        let finalized = latest.height.0.checked_sub(self.config.final_depth).map(Height);
        Ok(Heads { latest, finalized, held_back: None })
    }

    pub(crate) async fn header_from(
        &self,
        provider: &Provider,
        at: &At,
    ) -> Result<Header, Failure> {
        calls::check_chain(provider, &self.config).await?;
        let (hash, height) = place_of(provider, at).await?;
        self.header_of(provider, hash, Some(height)).await
    }

    /// The header with this hash, at the height at which it was asked for.
    pub(crate) async fn header_of(
        &self,
        provider: &Provider,
        hash: Hash256,
        asked: Option<Height>,
    ) -> Result<Header, Failure> {
        let is_there = |height: u64| asked.is_none_or(|asked| asked.0 == height);
        if let Some(placed) = self.headers.placed(hash) {
            if is_there(placed.height.0) {
                return Ok(placed);
            }
            // Either this provider is wrong, or the one that told the height before.
            self.headers.forget();
        }
        let (raw, height) = calls::header(provider, hash).await?;
        if !is_there(height) {
            return Err(Failure::unproven(format!("answers with block {height} for another")));
        }
        self.headers.place(provider, &self.config, &raw, height).await
    }

    pub(crate) async fn block_from(
        &self,
        provider: &Provider,
        at: &At,
        watches: &WatchSet,
    ) -> Result<Block, Failure> {
        calls::check_chain(provider, &self.config).await?;
        let (hash, height) = place_of(provider, at).await?;
        let header = self.header_of(provider, hash, Some(height)).await?;
        self.block_of(provider, hash, header, watches).await
    }

    /// A block whose header is proven.
    async fn block_of(
        &self,
        provider: &Provider,
        hash: Hash256,
        header: Header,
        watches: &WatchSet,
    ) -> Result<Block, Failure> {
        let bytes = calls::block(provider, hash).await?;
        let view = watches.view();
        let scanned = scan(&bytes, &self.config, &view)?;
        if scanned.header.hash != hash {
            return Err(Failure::unproven(format!("answers with another block than {hash}")));
        }
        if let Err(refusal) = scanned.check_height(header.height.0, &self.config) {
            self.headers.forget();
            return Err(refusal.into());
        }
        self.recent.note(hash, scanned.transfers.iter().map(|transfer| &transfer.id.transaction));
        Ok(Block {
            header,
            transfers: scanned.transfers,
            spends: scanned.spends,
            proof: Proof::Commitment,
            provider: provider.name().into(),
            examined: scanned.examined,
            watches: view.version(),
        })
    }

    /// Blocks from `from` on up to `to`, each linked to the one before.
    async fn range_from(
        &self,
        provider: &Provider,
        from: Height,
        to: Height,
        watches: &WatchSet,
    ) -> Result<Vec<Block>, Failure> {
        calls::check_chain(provider, &self.config).await?;
        let hashes = calls::block_hashes(provider, from.0..=to.0).await?;
        // From below upwards, so that each finds its ancestors; then the bodies, several at once.
        let mut headers = Vec::<Header>::with_capacity(hashes.len());
        for (hash, height) in hashes.iter().zip((from.0..).map(Height)) {
            let header = self.header_of(provider, *hash, Some(height)).await?;
            if headers.last().is_some_and(|before| before.hash != header.parent) {
                return Err(Failure::unproven(format!(
                    "block {height} does not link to the one before it"
                )));
            }
            headers.push(header);
        }
        // A loop, since the compiler cannot see that a closure's future is Send here.
        let mut blocks = Vec::with_capacity(headers.len());
        for (hash, header) in hashes.into_iter().zip(headers) {
            blocks.push(self.block_of(provider, hash, header, watches));
        }
        stream::iter(blocks).buffered(AT_ONCE).try_collect().await
    }
}

/// The hash and the height that are asked for.
async fn place_of(provider: &Provider, at: &At) -> Result<(Hash256, Height), Failure> {
    match at {
        At::Height(height) => Ok((calls::block_hash(provider, height.0).await?, *height)),
        At::Block { height, hash } => match hash.as_str().parse() {
            Ok(hash) => Ok((hash, *height)),
            Err(_) => Err(Failure::Missing(hash.to_string())),
        },
    }
}

#[async_trait]
impl Chain for Bitcoin {
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
            self.pool.ask(|provider| async move { self.block_from(&provider, at, watches).await });
        Ok(asked.await?)
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
        let Ok(hash) = id.as_str().parse::<Hash256>() else { return Ok(None) };
        let asked =
            self.pool.ask(|provider| async move { self.inclusion_from(&provider, hash).await });
        Ok(asked.await.map(Some).or_else(AskError::absent)?)
    }

    async fn unconfirmed(&self, watches: &WatchSet) -> Result<Option<Mempool>, ChainError> {
        let asked = self
            .pool
            .ask_beside(|provider| async move { self.pending_from(&provider, watches).await });
        Ok(Some(asked.await?))
    }

    /// The one that was seen first is kept, until another one has more work.
    fn prefers(&self, new: Work, ours: Work) -> bool {
        new > ours
    }

    fn parse_address(&self, text: &str) -> Result<Address, AddressError> {
        self.config.addresses.parse(text)
    }

    /// The scriptPubKey. A text that is no address gets twenty zeros, which no script is.
    fn watch_key(&self, address: &Address) -> WatchKey {
        let script = self.config.addresses.read(address.as_str());
        script.map_or(WatchKey::from([0; 20]), |script| script.watch_key())
    }

    /// There is no other way to send the coin than by outputs.
    /// A median of so many times is none of the oldest, and none of the newest.
    fn time_lag(&self) -> u64 {
        MEDIAN_OF as u64
    }

    fn sees_internal_transfers(&self) -> bool {
        true
    }

    /// BIP-21 has no word for what a further output is to say.
    fn payment_uri(
        &self,
        to: &Address,
        asset: &Asset,
        amount: Amount,
        carried: Option<&str>,
    ) -> Option<String> {
        (*asset == Asset::Native && carried.is_none()).then(|| uri::payment_uri(to, amount))
    }

    fn parse_wallet(&self, text: &str) -> Result<Box<dyn Wallet>, WalletError> {
        receiving::parse_wallet(text, self.config.wallets, &self.config.addresses)
    }

    fn parse_reference(&self, text: &str, _: &Asset) -> Result<String, ReferenceError> {
        let expected = "a text for an OP_RETURN output: at most 256 bytes, no control characters";
        script::parse_reference(text).ok_or(ReferenceError::Malformed(expected))
    }

    async fn woken(&self) {
        self.subscribed.call_once(|| self.zmq.listen(&self.config.network));
        self.zmq.woken().await;
    }

    fn providers(&self) -> Vec<ProviderStatus> {
        self.pool.statuses()
    }

    async fn probe(&self) -> Vec<ProbeReport> {
        join_all(self.pool.providers().iter().map(|provider| self.probe_one(provider))).await
    }
}
