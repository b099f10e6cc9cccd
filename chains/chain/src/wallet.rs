//! Wallets: public keys from which addresses are derived, one after the other.

use std::fmt;

use crate::Address;

/// The first index that only a private key can derive (BIP-32, hardened).
pub const INDEX_END: u32 = 1 << 31;

/// Where the next address of a wallet comes from. It holds public keys alone: it can receive, and
/// never spend.
pub trait Wallet: fmt::Debug + Send + Sync {
    /// The text that [`Chain::parse_wallet`](crate::Chain::parse_wallet) reads into the same
    /// wallet again. Two texts of one wallet give the same.
    fn canonical(&self) -> &str;

    /// The address at an index. The same whenever it is asked for.
    ///
    /// # Errors
    /// [`WalletError::IndexTooHigh`].
    fn derive(&self, index: u32) -> Result<Derived, WalletError>;
}

/// One address of a wallet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Derived {
    /// The address.
    pub address: Address,
    /// How its key is derived (BIP-32): `m/84'/0'/0'/0/5`; without `m/` where the way to the
    /// wallet's own key is not known.
    pub path: String,
}

/// Why a text is no wallet of a network. None repeats the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WalletError {
    /// A private key or seed. It is not repeated, here or anywhere (I12).
    #[error(
        "this holds a private key or seed, which confirmd never needs: treat it as exposed, and \
         register the public key"
    )]
    PrivateKey,
    /// The characters are right, the checksum is not: likely a typing error.
    #[error("the checksum is wrong; check it for typing errors")]
    Checksum,
    /// No wallet of this family at all, or not of this network; says what was expected.
    #[error("{0}")]
    Malformed(String),
    /// Says what a wallet must be like for addresses to be derived from it.
    #[error("{0}")]
    NotDerivable(String),
    /// The wallet has no address of that index.
    #[error("the index is too high: it ends at 2147483647")]
    IndexTooHigh,
    /// The network has no such wallets.
    #[error("this network derives no addresses from public keys; register a list of addresses")]
    Unsupported,
}
