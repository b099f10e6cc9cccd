//! Extended public keys: the accounts of BIP-44 wallets, coin type 60 of SLIP-44.

use std::sync::LazyLock;

use alloy_primitives::Address as Raw;
use bitcoin::base58;
use bitcoin::bip32::{ChildNumber, Error as KeyError, Xpub};
use bitcoin::secp256k1::{Secp256k1, VerifyOnly};
use confirmd_chain::{Derived, INDEX_END, Wallet, WalletError, looks_secret};

use crate::address::canonical;

const EXPECTED: &str = "expected an extended public key (xpub…) of an account, m/44'/60'/0'";
/// How far below its master key an account's stands, and that of its receiving addresses.
const ACCOUNT_DEPTH: u8 = 3;
const CHAIN_DEPTH: u8 = 4;
const RECEIVING: ChildNumber = ChildNumber::Normal { index: 0 };

static CURVE: LazyLock<Secp256k1<VerifyOnly>> = LazyLock::new(Secp256k1::verification_only);

/// The receiving addresses of one account.
#[derive(Debug)]
struct ExtendedKey {
    text: String,
    /// The parent of the addresses' keys.
    chain: Xpub,
    /// The way to it, as far as it is known.
    path: String,
}

/// Reads an extended public key: of an account (`m/44'/60'/0'`), whose receiving addresses are
/// `0/i` below it, or of these addresses themselves (`m/44'/60'/0'/0`).
///
/// # Errors
/// When it is none, or stands where no address is derived from; private keys by name.
pub fn parse_wallet(text: &str) -> Result<Box<dyn Wallet>, WalletError> {
    let text = text.trim();
    if looks_secret(text) {
        return Err(WalletError::PrivateKey);
    }
    let key: Xpub = text.parse().map_err(|error| match error {
        KeyError::Base58(base58::Error::IncorrectChecksum(_)) => WalletError::Checksum,
        _ => WalletError::Malformed(EXPECTED.to_owned()),
    })?;
    if !key.network.is_mainnet() {
        let why = "this is a key of Bitcoin's test networks (tpub); EVM wallets show an xpub";
        return Err(WalletError::Malformed(why.to_owned()));
    }
    let (chain, path) = match (key.depth, key.child_number) {
        (ACCOUNT_DEPTH, ChildNumber::Hardened { index }) => {
            let chain = key.derive_pub(&*CURVE, &[RECEIVING]).map_err(|_| {
                WalletError::NotDerivable("the account has no receiving addresses".to_owned())
            })?;
            (chain, format!("m/44'/60'/{index}'/0/"))
        }
        (CHAIN_DEPTH, ChildNumber::Normal { .. }) => (key, String::new()),
        (depth, _) => {
            let why = format!("the key stands {depth} steps below its master key; {EXPECTED}");
            return Err(WalletError::NotDerivable(why));
        }
    };
    Ok(Box::new(ExtendedKey { text: key.to_string(), chain, path }))
}

impl Wallet for ExtendedKey {
    fn canonical(&self) -> &str {
        &self.text
    }

    fn derive(&self, index: u32) -> Result<Derived, WalletError> {
        if index >= INDEX_END {
            return Err(WalletError::IndexTooHigh);
        }
        let key = self
            .chain
            .derive_pub(&*CURVE, &[ChildNumber::Normal { index }])
            .map_err(|_| WalletError::NotDerivable(format!("no key has the index {index}")))?;
        // The 64 bytes behind the mark of an uncompressed key.
        let point = key.public_key.serialize_uncompressed();
        let address = canonical(&Raw::from_raw_public_key(&point[1..]));
        Ok(Derived { address, path: format!("{}{index}", self.path) })
    }
}

#[cfg(test)]
mod tests {
    use bitcoin::NetworkKind;
    use bitcoin::bip32::{DerivationPath, Xpriv};

    use super::*;

    /// BIP-39: `test test test test test test test test test test test junk`, whose accounts every
    /// development node shows.
    const SEED: &str = "9dfc3c64c2f8bede1533b6a79f8570e5943e0b8fd1cf77107adf7b72cef42185\
                        d564a3aee24cab43f80e3c4538087d70fc824eabbad596a23c97b6ee8322ccc0";
    const ADDRESSES: [&str; 3] = [
        "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266",
        "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
        "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC",
    ];

    fn private(network: NetworkKind, path: &str) -> Xpriv {
        let seed = alloy_primitives::hex::decode(SEED).unwrap();
        let path: DerivationPath = path.parse().unwrap();
        let secp = Secp256k1::new();
        Xpriv::new_master(network, &seed).unwrap().derive_priv(&secp, &path).unwrap()
    }

    fn public(path: &str) -> String {
        Xpub::from_priv(&Secp256k1::new(), &private(NetworkKind::Main, path)).to_string()
    }

    #[test]
    fn an_account_gives_the_addresses_that_its_wallet_shows() {
        let account = parse_wallet(&format!(" {}\n", public("m/44'/60'/0'"))).unwrap();
        let receiving = parse_wallet(&public("m/44'/60'/0'/0")).unwrap();
        for (index, address) in (0..).zip(ADDRESSES) {
            let derived = account.derive(index).unwrap();
            assert_eq!(derived.address.as_str(), address);
            assert_eq!(derived.path, format!("m/44'/60'/0'/0/{index}"));
            let same = receiving.derive(index).unwrap();
            assert_eq!((same.address, same.path), (derived.address, index.to_string()));
        }
        assert_eq!(account.canonical(), public("m/44'/60'/0'"));
        let second = parse_wallet(&public("m/44'/60'/1'")).unwrap().derive(7).unwrap();
        assert_eq!(second.path, "m/44'/60'/1'/0/7");
        assert!(account.derive(INDEX_END - 1).is_ok());
        assert_eq!(account.derive(INDEX_END), Err(WalletError::IndexTooHigh));
    }

    #[test]
    fn what_is_no_account_is_refused_with_what_is_wrong_i14() {
        let account = public("m/44'/60'/0'");
        let mut typo = account.clone().into_bytes();
        typo.swap(60, 61);
        let test = private(NetworkKind::Test, "m/44'/60'/0'");
        let test = Xpub::from_priv(&Secp256k1::new(), &test).to_string();
        let cases = [
            (String::from_utf8(typo).unwrap(), "checksum"),
            (account[..110].to_owned(), "checksum"),
            ("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266".to_owned(), "expected an extended"),
            (String::new(), "expected an extended"),
            (test, "tpub"),
            (public("m"), "0 steps below its master"),
            (public("m/44'/60'/0'/0/0"), "5 steps below its master"),
            (public("m/44/60/0"), "3 steps below its master"),
        ];
        for (text, expected) in cases {
            let error = parse_wallet(&text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text:?}: {error}");
        }
    }

    #[test]
    fn a_private_key_is_refused_by_name_and_not_repeated_i12() {
        for network in [NetworkKind::Main, NetworkKind::Test] {
            let secret = private(network, "m/44'/60'/0'").to_string();
            let error = parse_wallet(&secret).unwrap_err();
            assert_eq!(error, WalletError::PrivateKey);
            assert!(!error.to_string().contains(&secret[4..20]));
        }
    }
}
