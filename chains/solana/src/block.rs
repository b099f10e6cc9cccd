//! Blocks as `getBlock` answers them: taken apart without being copied.
//!
//! What most transactions need nobody to look at stays as text, to be read where it is needed. A
//! block says what its parent is, by slot and by hash, so that a chain of blocks proves itself and
//! which slots were skipped. It does not say its own slot, and no hash in it commits to what it
//! shows of its transactions: for these, there is the provider's word.

use alloy_primitives::U256;
use confirmd_chain::{BlockHash, Header, Height, Timestamp, Work};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::Refusal;
use crate::json::{ACCOUNTS, AtMost, list};

/// No block has so many transactions, by far.
const TRANSACTIONS: usize = 1 << 16;

/// How much of a block is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// The header alone.
    Header,
    /// Each transaction's accounts and balances: all that is credited, and references.
    Accounts,
    /// Everything, with the instructions in which memos are.
    Full,
}

impl Detail {
    /// As `transactionDetails` has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Header => "none",
            Self::Accounts => "accounts",
            Self::Full => "full",
        }
    }
}

/// A block as it was answered, its text borrowed.
#[derive(Debug)]
pub struct RawBlock<'a> {
    /// Its place in the chain.
    pub header: Header,
    /// How many blocks are below it; slots that were skipped do not count.
    pub ordinal: Option<u64>,
    pub(crate) transactions: Vec<Transaction<'a>>,
}

/// A block as it is written.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockJson<'a> {
    blockhash: &'a str,
    previous_blockhash: &'a str,
    parent_slot: u64,
    block_time: Option<i64>,
    block_height: Option<u64>,
    #[serde(borrow, default)]
    transactions: Option<Transactions<'a>>,
}

struct Transactions<'a>(Vec<Transaction<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for Transactions<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut transactions = Vec::new();
        AtMost(TRANSACTIONS, &mut transactions).deserialize(deserializer)?;
        Ok(Self(transactions))
    }
}

/// A transaction, whatever its version.
#[derive(Debug, Deserialize)]
pub(crate) struct Transaction<'a> {
    #[serde(borrow)]
    transaction: Content<'a>,
    #[serde(borrow)]
    meta: Option<Meta<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Content<'a> {
    #[serde(borrow)]
    signatures: &'a RawValue,
    /// In [`Detail::Accounts`].
    #[serde(borrow, default)]
    account_keys: Option<&'a RawValue>,
    /// In [`Detail::Full`].
    #[serde(borrow, default)]
    message: Option<Message<'a>>,
}

/// What was signed.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Message<'a> {
    #[serde(borrow)]
    pub(crate) account_keys: &'a RawValue,
    #[serde(borrow)]
    pub(crate) instructions: &'a RawValue,
    pub(crate) header: MessageHeader,
}

/// Who signed.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MessageHeader {
    pub(crate) num_required_signatures: usize,
}

/// What became of a transaction.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Meta<'a> {
    #[serde(borrow)]
    err: &'a RawValue,
    pub(crate) fee: u64,
    #[serde(borrow)]
    pub(crate) pre_balances: &'a RawValue,
    #[serde(borrow)]
    pub(crate) post_balances: &'a RawValue,
    #[serde(borrow, default)]
    pre_token_balances: Option<&'a RawValue>,
    #[serde(borrow, default)]
    post_token_balances: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(crate) loaded_addresses: Option<Loaded<'a>>,
    #[serde(borrow, default)]
    pub(crate) inner_instructions: Option<&'a RawValue>,
}

/// The accounts that a transaction takes from look-up tables.
#[derive(Debug, Deserialize)]
pub(crate) struct Loaded<'a> {
    #[serde(borrow)]
    pub(crate) writable: &'a RawValue,
    #[serde(borrow)]
    pub(crate) readonly: &'a RawValue,
}

/// Where the keys of a transaction's accounts stand.
pub(crate) enum Keys<'t, 'a> {
    /// All of them in one list.
    Listed(&'a RawValue),
    /// Those that were signed, and those of look-up tables behind them.
    Signed(&'t Message<'a>),
}

/// An account of a transaction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key<'a> {
    pub(crate) text: &'a str,
    pub(crate) is_signer: bool,
}

/// Reads the text alone, as signed messages have it, or an object that tells more of the account.
impl<'de: 'a, 'a> Deserialize<'de> for Key<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KeyVisitor).map(|(text, is_signer)| Key { text, is_signer })
    }
}

struct KeyVisitor;

impl<'de> Visitor<'de> for KeyVisitor {
    type Value = (&'de str, bool);

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an account's key")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok((text, false))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut text, mut is_signer) = (None, None);
        while let Some(name) = map.next_key::<&str>()? {
            match name {
                "pubkey" => text = Some(map.next_value()?),
                "signer" => is_signer = Some(map.next_value()?),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        let missing = serde::de::Error::missing_field;
        Ok((text.ok_or_else(|| missing("pubkey"))?, is_signer.ok_or_else(|| missing("signer"))?))
    }
}

impl<'a> RawBlock<'a> {
    /// Takes an answer apart. That the block stands at `slot` is what was asked, not what it says.
    ///
    /// # Errors
    /// When it cannot be read, or what was asked for is not there.
    pub fn read(block: BlockJson<'a>, slot: Height, detail: Detail) -> Result<Self, Refusal> {
        let hash = |text: &str| match (1..=64).contains(&text.len()) {
            true if text.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
                Ok(BlockHash::new(text))
            }
            _ => Err(Refusal::malformed("a block's hash that is none")),
        };
        // A cluster's first block is its own parent.
        let stands = |slots: &u64| *slots > 0 || slot.0 == 0;
        let Some(slots) = slot.0.checked_sub(block.parent_slot).filter(stands) else {
            let parent = block.parent_slot;
            return Err(Refusal::unproven(format!("block {slot} stands on {parent}")));
        };
        let time = block.block_time.and_then(|seconds| u64::try_from(seconds).ok());
        let time = time.ok_or_else(|| Refusal::malformed(format!("block {slot} has no time")))?;
        let header = Header {
            height: slot,
            hash: hash(block.blockhash)?,
            parent: hash(block.previous_blockhash)?,
            parent_height: Height(block.parent_slot),
            time: Timestamp::from_seconds(time),
            mined_at: Timestamp::from_seconds(time),
            work: Work::new(U256::from(slots)),
        };
        if header.hash == header.parent {
            return Err(Refusal::unproven(format!("block {slot} is its own parent")));
        }
        let transactions = match (detail, block.transactions) {
            (Detail::Header, _) => Vec::new(),
            (_, Some(Transactions(transactions))) => transactions,
            // Null is never empty (F10).
            (_, None) => return Err(Refusal::malformed("a block without its transactions")),
        };
        Ok(Self { header, ordinal: block.block_height, transactions })
    }

    /// How many transactions it shows.
    #[must_use]
    pub fn transactions(&self) -> usize {
        self.transactions.len()
    }
}

impl<'a> Transaction<'a> {
    /// What became of it.
    pub(crate) fn meta(&self) -> Result<&Meta<'a>, Refusal> {
        let meta = self.meta.as_ref();
        meta.ok_or_else(|| Refusal::unproven("a transaction without what became of it"))
    }

    /// Its id.
    pub(crate) fn signature(&self) -> Result<&'a str, Refusal> {
        let signatures: Vec<&'a str> = list(self.transaction.signatures, ACCOUNTS)?;
        let first = signatures.into_iter().next().filter(|first| !first.is_empty());
        first.ok_or_else(|| Refusal::malformed("a transaction without a signature"))
    }

    pub(crate) fn keys(&self) -> Result<Keys<'_, 'a>, Refusal> {
        let Content { message, account_keys, .. } = &self.transaction;
        let listed = account_keys.map(Keys::Listed);
        let keys = message.as_ref().map(Keys::Signed).or(listed);
        keys.ok_or_else(|| Refusal::malformed("a transaction without its accounts"))
    }

    pub(crate) fn message(&self) -> Result<&Message<'a>, Refusal> {
        let message = self.transaction.message.as_ref();
        message.ok_or_else(|| Refusal::malformed("a transaction without its instructions"))
    }
}

impl<'a> Meta<'a> {
    /// Whether it failed, so that it credits nothing but its fee (I11).
    pub(crate) fn failed(&self) -> bool {
        self.err.get() != "null"
    }

    /// Whether any token account has another balance than before. Where the node shows none that
    /// is unproven: there is a list even where it is empty.
    pub(crate) fn moves_tokens(&self) -> Result<bool, Refusal> {
        Ok(self.tokens_before()?.get() != self.tokens_after()?.get())
    }

    pub(crate) fn tokens_before(&self) -> Result<&'a RawValue, Refusal> {
        self.pre_token_balances.ok_or_else(no_balances)
    }

    pub(crate) fn tokens_after(&self) -> Result<&'a RawValue, Refusal> {
        self.post_token_balances.ok_or_else(no_balances)
    }
}

fn no_balances() -> Refusal {
    Refusal::unproven("a transaction without its token balances")
}
