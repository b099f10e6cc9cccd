//! The contract itself.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::Serialize;

use crate::{
    Address, Amount, Asset, Block, BlockHash, Header, Heads, Height, Mempool, Timestamp,
    TransactionId, Wallet, WalletError, WatchKey, WatchSet, Work,
};

/// Which block is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum At {
    /// The one that stands at this height now. Where the network skipped that height (Solana), the
    /// first one above it, which proves that by its parent: at a lower height than was asked for.
    Height(Height),
    /// This very one, whether it still counts or not.
    Block {
        /// Its height.
        height: Height,
        /// Its hash.
        hash: BlockHash,
    },
}

/// Why a chain could not answer. None of them moves a cursor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// No provider has the block: it is not made yet, or its branch is gone. Ask again later.
    #[error("no provider has the block yet")]
    NotFound,
    /// No provider gave an answer that could be used. Wait, ask again, and show it.
    #[error("no provider answers: {0}")]
    Unavailable(String),
    /// Providers answered, but none could prove what it said. Wait, ask again, and show it.
    #[error("no provider proves its answer: {0}")]
    Unproven(String),
    /// The network cannot be followed as configured; asking again does not help.
    #[error("{0}")]
    Misconfigured(String),
}

/// Why a text is not an address of a network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not an address of this family at all; says what was expected.
    #[error("{0}")]
    Malformed(String),
    /// The characters are right, the checksum is not: likely a typing error.
    #[error("the checksum is wrong; check the address for typing errors")]
    Checksum,
    /// A private key or seed. It is not repeated, here or anywhere (I12).
    #[error("this looks like a private key; confirmd never needs one, treat it as exposed")]
    PrivateKey,
}

/// Why a text is nothing that payments carry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// It is not of the right form; says what was expected.
    #[error("expected {0}")]
    Malformed(&'static str),
    /// Nobody can pay with one here; says why.
    #[error("{0}; give an address of its own instead")]
    Unsupported(&'static str),
}

/// Where a transaction stands, and whether it did what it was to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inclusion {
    /// Its block.
    pub header: Header,
    /// Whether it succeeded; one that failed credits nothing (I11).
    pub succeeded: bool,
}

/// One provider as the status shows it. Its URL is never shown (I12).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProviderStatus {
    /// Its name in the configuration.
    pub name: String,
    /// Whether it is asked now; false while it is put aside.
    pub healthy: bool,
    /// How long its last answer took, in milliseconds.
    pub latency_ms: u64,
    /// How often each kind of fault was seen since the start (`rate_limited`, `stale`, `unproven`,
    /// `unreachable`, `malformed`, `wrong_chain`, `forked`).
    pub faults: BTreeMap<&'static str, u64>,
    /// The last fault in words, without URL or credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_fault: Option<String>,
}

/// What a live look at a contract's address found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ContractProbe {
    /// Whether there is a contract.
    pub has_code: bool,
    /// Whether it takes a payment of nothing, so that it is the contract that it should be.
    pub call_valid: bool,
}

/// What a live look at a network's providers found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProbeReport {
    /// The provider's name.
    pub provider: String,
    /// Whether it answered.
    pub reachable: bool,
    /// Whether it serves this network (EVM: chain id).
    pub chain_agrees: bool,
    /// Its newest height.
    pub head: Option<Height>,
    /// How long it took to answer, in milliseconds.
    pub latency_ms: u64,
    /// Which methods it has, by name.
    pub methods: BTreeMap<String, bool>,
    /// What stands at the addresses of the network's fee proxies, by their names in the registry.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub fee_proxies: BTreeMap<&'static str, ContractProbe>,
    /// What is wrong, in words; without URL or credentials.
    pub problem: Option<String>,
}

impl ProbeReport {
    /// Of a provider of which nothing is known yet.
    #[must_use]
    pub fn of(provider: &str) -> Self {
        Self {
            provider: provider.to_owned(),
            reachable: false,
            chain_agrees: false,
            head: None,
            latency_ms: 0,
            methods: BTreeMap::new(),
            fee_proxies: BTreeMap::new(),
            problem: None,
        }
    }
}

/// What one provider says of some heights, when it is asked by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    /// The provider's name.
    pub provider: String,
    /// The time of its newest block.
    pub newest: Timestamp,
    /// The block that it names at each height that it was asked about, in that order.
    pub names: Vec<Option<BlockHash>>,
}

/// A network that can be followed. One implementation per family.
#[async_trait]
pub trait Chain: Send + Sync + 'static {
    /// The newest block and the newest irreversible height.
    async fn heads(&self) -> Result<Heads, ChainError>;

    /// A block's place in the chain, without its transfers.
    async fn header(&self, at: At) -> Result<Header, ChainError>;

    /// A block with its transfers that hit a watch, proven as far as the network allows.
    async fn block(&self, at: At, watches: &WatchSet) -> Result<Block, ChainError>;

    /// The heights in `from..=to` that have a block, the lowest `limit` of them at most. Only a plan
    /// of what to ask for: a block that is left out shows as a link that does not fit.
    async fn heights(
        &self,
        from: Height,
        to: Height,
        limit: u64,
    ) -> Result<Vec<Height>, ChainError> {
        let to = to.min(from.plus(limit.saturating_sub(1)));
        Ok((from.0..=to.0).map(Height).collect())
    }

    /// Blocks `from..=to`, all of them irreversible: each linked to the one before it and proven.
    /// May stop before `to`; never empty: where the network skipped all of them, the first above.
    async fn blocks(
        &self,
        from: Height,
        to: Height,
        watches: &WatchSet,
    ) -> Result<Vec<Block>, ChainError>;

    /// The block in which a transaction stands, as a provider says it; none where no provider knows
    /// it in a block. Unproven: for people's questions, never for what is credited.
    async fn transaction(&self, id: &TransactionId) -> Result<Option<Inclusion>, ChainError>;

    /// The transactions that are in no block yet and hit a watch: all that are so now, not what
    /// changed since the last look. None where the network has no mempool to be read. Asked
    /// beside the blocks, never before one; see [`Mempool`] for what it is worth.
    async fn unconfirmed(&self, watches: &WatchSet) -> Result<Option<Mempool>, ChainError> {
        let _ = watches;
        Ok(None)
    }

    /// Whether a branch is to be followed instead of ours, by what the blocks of each weigh above
    /// the newest one that both share. Ours is left for one of equal weight too, since its end is
    /// what the providers show; unless the network keeps to what it saw first (Bitcoin).
    fn prefers(&self, new: Work, ours: Work) -> bool {
        new >= ours
    }

    /// Reads an address of this network into its canonical text.
    ///
    /// # Errors
    /// When it is none; private keys are refused by name.
    fn parse_address(&self, text: &str) -> Result<Address, AddressError>;

    /// What decoders look up for an address that [`Self::parse_address`] made.
    fn watch_key(&self, address: &Address) -> WatchKey;

    /// Reads a memo that a payer is told into the text by which
    /// [`Transfer::references`](crate::Transfer::references) shows it, which begins with `memo:`.
    ///
    /// # Errors
    /// When it is none, or payments carry none here.
    fn parse_memo(&self, text: &str) -> Result<String, ReferenceError> {
        let _ = text;
        Err(ReferenceError::Unsupported("payments here carry no memo"))
    }

    /// How many blocks [`Header::time`] is behind [`Header::mined_at`] at most: whoever looks for a
    /// block by its time begins so many earlier.
    fn time_lag(&self) -> u64 {
        0
    }

    /// Whether native coin is seen however it is sent. Where it is not, what contracts send is
    /// missed, and who waits for native coin has to be told.
    fn sees_internal_transfers(&self) -> bool {
        false
    }

    /// Reads a reference that a payer of this asset is told into the text by which
    /// [`Transfer::references`](crate::Transfer::references) shows it.
    ///
    /// # Errors
    /// When it is none, or nobody can pay the asset with one here.
    fn parse_reference(&self, text: &str, asset: &Asset) -> Result<String, ReferenceError> {
        let _ = (text, asset);
        Err(ReferenceError::Unsupported("payments here carry no reference"))
    }

    /// What a payer's wallet reads from a link or a QR code. `carried` is what the payment is to
    /// carry, as [`Self::parse_reference`] or [`Self::parse_memo`] made it. None where the family
    /// has no URI that says all of this.
    fn payment_uri(
        &self,
        to: &Address,
        asset: &Asset,
        amount: Amount,
        carried: Option<&str>,
    ) -> Option<String> {
        let _ = (to, asset, amount, carried);
        None
    }

    /// The account in which an owner keeps an asset, where that is another than the owner's own
    /// (Solana's associated token account).
    fn token_account(&self, owner: &Address, asset: &Asset) -> Option<Address> {
        let _ = (owner, asset);
        None
    }

    /// Reads the public keys that addresses are derived from: an extended public key, or whatever
    /// the family has.
    ///
    /// # Errors
    /// When it is none; private keys are refused by name.
    fn parse_wallet(&self, text: &str) -> Result<Box<dyn Wallet>, WalletError> {
        let _ = text;
        Err(WalletError::Unsupported)
    }

    /// Returns when a provider hints at a new block. Only a hint, and it may never come: the
    /// follower polls beside it.
    async fn woken(&self) {
        std::future::pending::<()>().await;
    }

    /// Asks every provider by itself which blocks stand at these heights, in the order in which
    /// they are asked for anything else. Who does not answer names nothing. For when providers show
    /// different branches, not for every block; a family that proves which one counts has none.
    async fn witnesses(&self, heights: &[Height]) -> Vec<Witness> {
        let _ = heights;
        Vec::new()
    }

    /// Puts a provider aside that serves another branch than ours, which others serve too.
    fn accuse(&self, provider: &str, words: &str) {
        let _ = (provider, words);
    }

    /// The providers as they are now.
    fn providers(&self) -> Vec<ProviderStatus>;

    /// Looks at every provider now.
    async fn probe(&self) -> Vec<ProbeReport>;
}
