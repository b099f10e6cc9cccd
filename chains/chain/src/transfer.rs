//! Transfers: credits as the chain shows them.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Amount, Confirmations, WatchKey};

/// An address in its family's canonical text (EVM: EIP-55 checksum case). Made by
/// [`crate::Chain::parse_address`], so two of one network are equal when their texts are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Address(Arc<str>);

impl Address {
    /// From the family's canonical text.
    #[must_use]
    pub fn from_canonical(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What moved: the native coin, or a token by its contract or mint.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Asset {
    /// The network's own coin.
    Native,
    /// A token, by its contract (EVM) or mint (Solana).
    Token(Address),
}

/// `native`, or the token's address.
impl fmt::Display for Asset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Native => f.write_str("native"),
            Self::Token(address) => address.fmt(f),
        }
    }
}

impl From<&str> for Asset {
    /// Reads what [`Display`](fmt::Display) writes.
    fn from(text: &str) -> Self {
        match text {
            "native" => Self::Native,
            token => Self::Token(Address::from_canonical(token)),
        }
    }
}

/// A transaction's id in its family's usual text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TransactionId(Arc<str>);

impl TransactionId {
    /// From the family's canonical text.
    #[must_use]
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where in its transaction a transfer stands. It counts within the transaction, never within the
/// block, so that it stays when a reorg moves the transaction (I2).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TransferIndex {
    /// The n-th log of an EVM transaction.
    Log(u32),
    /// An EVM transaction's own value.
    Value,
    /// An EVM internal call, by its trace address.
    Trace(Vec<u32>),
    /// The n-th output of a Bitcoin transaction.
    Vout(u32),
    /// The n-th account of a Solana transaction.
    Account(u32),
}

/// `log:3`, `value`, `trace:0.1`, `vout:1`, `account:5`.
impl fmt::Display for TransferIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log(n) => write!(f, "log:{n}"),
            Self::Value => f.write_str("value"),
            Self::Trace(path) => {
                f.write_str("trace:")?;
                for (i, step) in path.iter().enumerate() {
                    write!(f, "{}{step}", if i == 0 { "" } else { "." })?;
                }
                Ok(())
            }
            Self::Vout(n) => write!(f, "vout:{n}"),
            Self::Account(n) => write!(f, "account:{n}"),
        }
    }
}

/// The text is not a transfer index.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a transfer index: {0:?}")]
pub struct TransferIndexError(String);

impl FromStr for TransferIndex {
    type Err = TransferIndexError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || TransferIndexError(text.to_owned());
        let number = |n: &str| n.parse::<u32>().map_err(|_| error());
        match text.split_once(':') {
            None if text == "value" => Ok(Self::Value),
            Some(("log", n)) => number(n).map(Self::Log),
            Some(("vout", n)) => number(n).map(Self::Vout),
            Some(("account", n)) => number(n).map(Self::Account),
            Some(("trace", "")) => Ok(Self::Trace(Vec::new())),
            Some(("trace", path)) => {
                path.split('.').map(number).collect::<Result<_, _>>().map(Self::Trace)
            }
            _ => Err(error()),
        }
    }
}

/// By what a transfer is known on its network (I2). Its block, asset, receiver and amount may
/// change in a reorg; this does not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransferId {
    /// The transaction.
    pub transaction: TransactionId,
    /// The place in it.
    pub index: TransferIndex,
}

/// One credit of an asset to a watched address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Its identity.
    pub id: TransferId,
    /// What moved.
    pub asset: Asset,
    /// Who sent it, where the chain says.
    pub from: Option<Address>,
    /// Who received it.
    pub to: Address,
    /// The watch that it hit.
    pub watch: WatchKey,
    /// How much arrived (I11).
    pub amount: Amount,
    /// The transaction's memo, where the chain has them.
    pub memo: Option<String>,
    /// The references that it was paid with, as [`crate::Chain::parse_reference`] writes them.
    pub references: Vec<String>,
    /// With fewer confirmations than these nobody can spend it, so it is not final either,
    /// whatever its receiver asks for. None for most; 100 for what a Bitcoin block's miner gets.
    pub maturity: Confirmations,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_reads_back_as_written() {
        let indexes = [
            TransferIndex::Log(3),
            TransferIndex::Value,
            TransferIndex::Trace(vec![0, 1]),
            TransferIndex::Trace(vec![]),
            TransferIndex::Vout(1),
            TransferIndex::Account(5),
        ];
        for index in indexes {
            assert_eq!(index.to_string().parse(), Ok(index));
        }
        for wrong in ["", "log", "log:", "log:-1", "trace:0.", "vout:x", "value:1"] {
            assert!(wrong.parse::<TransferIndex>().is_err(), "{wrong:?}");
        }
    }
}
